"""Made-up bodies for the hooks of devices."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from migratable.check.objects import Loading
from migratable.check.points import BodyEntered, BodyLoaded
from migratable.check.trouble import Problem
from migratable.profile.loader import VmField, Vmsd
from migratable.profile.model import Profile
from migratable.terms import QemuVersion

Value = int | bytes


def body(
    name: str,
    values: Mapping[str, Value] | None = None,
    *,
    version: int = 1,
    children: Mapping[str, Sequence[Loading]] | None = None,
    subsections: Sequence[Loading] = (),
    own: Mapping[str, Value] | Loading | None = None,
    fields: Sequence[VmField] = (),
    parent: Loading | None = None,
) -> Loading:
    """A loaded body; *own* is what the destination has itself."""
    loading = Loading(
        index=0,
        vmsd=Vmsd(name=name, version=version, minimum=1, fields=tuple(fields)),
        opaque=0x1000,
        version=version,
        parent=parent,
        values={
            key: memoryview(value) if isinstance(value, bytes) else value
            for key, value in (values or {}).items()
        },
        children={key: list(value) for key, value in (children or {}).items()},
        subsections={one.vmsd.name: one for one in subsections},
    )
    for one in subsections:
        one.parent = loading
    loading.own = own if isinstance(own, Loading) or own is None else body(name, own)
    return loading


def profile(release: str = "10.0.13", target: str = "x86_64", **more: object) -> Profile:
    """A destination of which only the given is known."""
    return Profile(
        version=QemuVersion.parse(release),
        machine=str(more.pop("machine", "pc-q35-10.0")),
        target=target,
        **more,  # type: ignore[arg-type]
    )


def loaded(what: Loading, at: Profile | str = "10.0.13") -> list[Problem]:
    """What the hooks say after the body was loaded."""
    from migratable.check.devices import after

    to = profile(at) if isinstance(at, str) else at
    return list(
        after(
            BodyLoaded(
                release=to.version.release,
                body=what,
                idstr=what.vmsd.name,
                instance_id=0,
                profile=to,
            )
        )
    )


def entered(what: Loading, at: Profile | str = "10.0.13") -> list[Problem]:
    """What the hooks say before the body is loaded."""
    from migratable.check.devices import before

    to = profile(at) if isinstance(at, str) else at
    return list(
        before(BodyEntered(release=to.version.release, body=what, idstr=what.vmsd.name, profile=to))
    )


def lines(problems: Sequence[Problem], release: tuple[int, int] = (10, 0)) -> list[str]:
    """What QEMU prints for them."""
    from migratable.knowledge import text

    return [text(name, release, **params) for problem in problems for name, params in problem.words]
