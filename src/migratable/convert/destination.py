"""Destinations from profiles."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial

from migratable.check import check
from migratable.check.baseline import Baseline
from migratable.convert.situation import Destination, streams_of
from migratable.profile.model import Profile


def of_profile(
    profile: Profile,
    *,
    name: str = "",
    others: Callable[[], Iterable[tuple[str, Profile]]] = tuple,
) -> Destination:
    """A destination that a profile describes.

    :param name: for the user; by default machine type and release.
    :param others: profiles at hand, whose own streams show what is at its default.
    """
    version = profile.version
    known = profile.loader
    baseline = None if known is None else Baseline(profile, known)
    return Destination(
        judge=partial(check, profile=baseline or profile),
        name=name or f"{profile.machine} of QEMU {version.major}.{version.minor}.{version.micro}",
        machine=profile.machine,
        release=version.release,
        tables=known,
        capabilities=() if known is None else known.capabilities,
        own=None if baseline is None else baseline.stream,
        fresh=lambda: streams_of(others()),
    )
