"""Which optional fields a destination reads: the ``field_exists`` tests of VMState tables.

A test is a function of the object being loaded. Those that depend on configuration alone answer
alike when the destination writes its own stream, which the profile has. Those that depend on what
was loaded before, on the body's version, or that stand in a part of the stream that its vmdesc does
not describe (a virtio device's own part), are in :mod:`.devices.field_tests`.
"""

from __future__ import annotations

from migratable.check.devices.field_tests import CONFIGURATION, TESTS, State
from migratable.check.state import LoadedState, Memory
from migratable.profile.model import Profile
from migratable.profile.tables import Flag, VmField


def field_exists(
    body: LoadedState,
    field: VmField,
    profile: Profile,
    memory: Memory | None = None,
    idstr: str = "",
) -> bool | None:
    """Return whether the field is read, None when no predicate can tell.

    A ``VMSTATE_VALIDATE`` for which there is none counts as passed.

    :param idstr: of the section.
    """
    if field.info == "pci config" and profile.loader is not None:
        masks = profile.loader.pci.get(idstr)
        if masks is not None:  # hw/pci/pci.c: migrate_is_pcie, migrate_is_not_pcie
            return field.size == len(masks.config)
    test = TESTS.get((body.vmsd.name, field.name))
    told = None if test is None else test(State(body, field, profile, memory))
    if told is None and field.flags & Flag.MUST_EXIST:
        return True
    return told


def depends_on_state(body: LoadedState, item: VmField) -> bool:
    """Whether the field's test is known to depend on loaded state."""
    test = TESTS.get((body.vmsd.name, item.name))
    return test is not None and test not in CONFIGURATION
