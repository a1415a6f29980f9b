"""Made-up bodies for the hooks of devices."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from migratable.check.events import BodyEntered, BodyLoaded
from migratable.check.problem import Problem
from migratable.check.state import LoadedState
from migratable.profile.model import Profile
from migratable.profile.tables import VmField, Vmsd
from migratable.releases import QemuVersion

Value = int | bytes


def body(
    name: str,
    values: Mapping[str, Value] | None = None,
    *,
    version: int = 1,
    children: Mapping[str, Sequence[LoadedState]] | None = None,
    subsections: Sequence[LoadedState] = (),
    own: Mapping[str, Value] | LoadedState | None = None,
    fields: Sequence[VmField] = (),
    parent: LoadedState | None = None,
) -> LoadedState:
    """A loaded body; *own* is what the destination has itself."""
    loading = LoadedState(
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
    loading.own = own if isinstance(own, LoadedState) or own is None else body(name, own)
    return loading


def profile(release: str = "10.0.13", target: str = "x86_64", **more: object) -> Profile:
    """A destination of which only the given is known."""
    return Profile(
        version=QemuVersion.parse(release),
        machine=str(more.pop("machine", "pc-q35-10.0")),
        target=target,
        **more,  # type: ignore[arg-type]
    )


def loaded(what: LoadedState, at: Profile | str = "10.0.13") -> list[Problem]:
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


def entered(what: LoadedState, at: Profile | str = "10.0.13") -> list[Problem]:
    """What the hooks say before the body is loaded."""
    from migratable.check.devices import before

    to = profile(at) if isinstance(at, str) else at
    return list(
        before(BodyEntered(release=to.version.release, body=what, idstr=what.vmsd.name, profile=to))
    )


def lines(problems: Sequence[Problem], release: tuple[int, int] = (10, 0)) -> list[str]:
    """What QEMU prints for them."""
    from migratable.messages import text

    return [text(name, release, **params) for problem in problems for name, params in problem.words]
