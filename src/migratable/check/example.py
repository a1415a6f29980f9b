"""Events for the examples of rule pages, which are also tests."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from migratable.check.events import BodyLoaded
from migratable.check.state import LoadedState
from migratable.profile.model import Profile
from migratable.profile.tables import LoaderTables, MachineCapability, Vmsd
from migratable.releases import QemuVersion

PC = Profile(version=QemuVersion(10, 0, 13), machine="pc-q35-10.0", target="x86_64")
PSERIES = Profile(version=QemuVersion(10, 0, 13), machine="pseries-10.0", target="ppc64")


def loading(
    name: str,
    values: Mapping[str, int | memoryview] | None = None,
    *,
    version: int = 1,
    own: Mapping[str, int | memoryview] | None = None,
    parent: LoadedState | None = None,
) -> LoadedState:
    """A body with these values, and what the destination itself would send in its place."""
    return LoadedState(
        index=0,
        vmsd=Vmsd(name=name, version=version, minimum=version),
        opaque=0,
        version=version,
        values=dict(values or {}),
        parent=parent,
        own=None if own is None else loading(name, own, version=version),
    )


def body_loaded(body: LoadedState, idstr: str, profile: Profile = PC) -> BodyLoaded:
    """The point behind the section's whole body, on a destination (of QEMU 10.0)."""
    return BodyLoaded(
        release=profile.version.release, body=body, idstr=idstr, instance_id=0, profile=profile
    )


def spapr_with_cfpc(level: int) -> BodyLoaded:
    """A pseries guest with a level of ``cap-cfpc``, on a destination that has level 1."""
    machine = loading("spapr", version=3)
    name = "spapr/cap/cfpc"
    values = {"mig.caps[SPAPR_CAP_CFPC]": level}
    machine.subsections[name] = loading(name, values, parent=machine)
    cfpc = MachineCapability(name="cfpc", wire="cfpc", default=2, effective=1)
    tables = LoaderTables(handlers=(), vmsds=(), capabilities=(cfpc,))
    profile = replace(PSERIES, loader=tables)
    return body_loaded(machine, "spapr", profile)
