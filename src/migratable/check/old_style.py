"""Handlers of the old style: a loader of their own instead of a table."""

from __future__ import annotations

from collections.abc import Iterable

from migratable.check import slirp
from migratable.check.devices import s390x
from migratable.check.problem import UnexaminedError
from migratable.profile.model import Profile
from migratable.stream.model import Section


def examine(start: Section, parts: Iterable[Section], profile: Profile) -> None:
    """See that the handler takes all that its sections have.

    :param start: the section with its name; *parts* follow it.
    :raise UnexaminedError: where it does not, or it is not known what it does.
    """
    name = start.idstr
    if name == "slirp":
        slirp.examine(bytes(start.body), start.version_id, footer=start.footer)
    elif name in s390x.LOADERS:
        memory = sum(used for used, _ in profile.ram_blocks.values())
        for section in (start, *parts):
            s390x.examine(name, bytes(section.body), memory, footer=section.footer)
    else:
        raise UnexaminedError(f"{name}: its contents (a loader of its own)")
