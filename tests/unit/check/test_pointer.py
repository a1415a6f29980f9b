"""A pointer of the destination that must lead somewhere."""

from __future__ import annotations

import pytest

from migratable.check.problem import RefusedError, UnexaminedError
from migratable.check.qemu_file import QemuFile
from migratable.check.state import Memory
from migratable.check.stderr import of_refusal
from migratable.check.vmstate import VMStateLoader
from migratable.profile.tables import Flag, Handler, LoaderTables, VmField, Vmsd
from tests.unit.check.bodies import profile

TIMER = VmField(
    name="buft", offset=8, size=8, info="timer", flags=int(Flag.SINGLE | Flag.POINTER), version=0
)
TABLE = Vmsd(name="hda-audio-stream/buffer", version=1, minimum=1, fields=(TIMER,))


def load(pointer: int | None, release: str = "5.2.0", *, wants_kvm: bool = False) -> None:
    words = {} if pointer is None else {(0x1008, 8): pointer}
    to = profile(release, wants_kvm=wants_kvm)
    VMStateLoader(
        tables=LoaderTables(handlers=(), vmsds=(TABLE,)),
        profile=to,
        f=QemuFile(bytes(8)),
        memory=Memory(words),
        handler=Handler(idstr="hda", instance_id=0, alias_id=-1, version=1, vmsd=0, opaque=0x1000),
    ).vmstate_load_state(0, 0x1000, 1, None, None)


@pytest.mark.parametrize("pointer", [0x5000, None])
def test_something_is_there(pointer: int | None) -> None:
    load(pointer)


@pytest.mark.parametrize(
    ("release", "place"),
    [("5.2.0", "../../migration/vmstate.c:124"), ("10.0.13", "migration/vmstate.c:172")],
)
def test_nothing_is_there(release: str, place: str) -> None:
    with pytest.raises(RefusedError) as caught:
        load(0, release)
    assert of_refusal(caught.value, (), caught.value.release) == [
        f"{place}: vmstate_load_state: Assertion `first_elem || !n_elems || !size' failed."
    ]


def test_under_kvm_it_may_be_there() -> None:
    with pytest.raises(UnexaminedError, match="under KVM"):
        load(0, wants_kvm=True)
