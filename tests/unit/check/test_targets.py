"""Targets whose code was not read never load; audited ones by what was."""

from __future__ import annotations

from dataclasses import replace

import pytest

from migratable.check import check
from migratable.check.qemu_file import QemuFile
from migratable.check.state import Memory
from migratable.check.vmstate import VMStateLoader
from migratable.facts import targets
from migratable.profile.model import Profile
from migratable.profile.tables import Flag, Handler, LoaderTables, VmField, Vmsd
from migratable.stream import read
from migratable.verdict import Outcome
from tests import recorded
from tests.unit.check.bodies import profile

HANDLER = Handler(idstr="d", instance_id=0, alias_id=-1, version=1, vmsd=0, opaque=0x1000)


def virt(name: str = "virt-10.0") -> Profile:
    return recorded.profile(name)


@pytest.mark.parametrize("target", ["x86_64", "i386", "ppc64", "ppc", ""])
def test_wholly_read(target: str) -> None:
    assert targets.audited(target)
    assert targets.wholly(target)
    assert targets.examined(target, "a-device-of-tomorrow")


@pytest.mark.parametrize(
    ("target", "own", "foreign"),
    [
        ("aarch64", "arm_gicv3", "s390_subch_dev"),
        ("arm", "pl011", "goldfish_rtc"),
        ("s390x", "s390_subch_dev", "pl011"),
        ("riscv64", "goldfish_rtc", "arm_gic"),
    ],
)
def test_read_by_name(target: str, own: str, foreign: str) -> None:
    assert targets.audited(target)
    assert not targets.wholly(target)
    assert targets.examined(target, own)
    assert targets.examined(target, "virtio-net-device")
    assert not targets.examined(target, foreign)
    assert not targets.examined(target, "a-device-of-tomorrow")


def test_an_unaudited_target_never_loads() -> None:
    """Its own stream, which every table takes whole."""
    own = virt()
    assert check(read(own.stream), own).outcome is Outcome.LOADS
    other = replace(own, target="mips64el")
    verdict = check(read(own.stream), other)
    assert verdict.outcome is Outcome.UNKNOWN
    assert targets.unaudited("mips64el") in verdict.unchecked


def test_an_unaudited_target_is_refused_by_its_tables() -> None:
    verdict = check(recorded.source("virt-10.0-other"), replace(virt(), target="mips64el"))
    assert verdict.outcome is Outcome.REFUSED


def test_a_cause_behind_what_was_not_examined_says_so() -> None:
    """A refusal stays one; its words may not be the first that QEMU prints."""
    own = virt()
    assert own.loader is not None
    handlers = tuple(one for one in own.loader.handlers if one.idstr != "pl031")
    lacks = replace(own, loader=replace(own.loader, handlers=handlers))
    whole = check(read(own.stream), lacks)
    assert whole.first_refusal is not None
    assert whole.first_refusal.unless == ()
    vmsds = tuple(
        replace(one, hooks=frozenset({"post_load"})) if one.name == "timer" else one
        for one in own.loader.vmsds
    )
    verdict = check(
        read(own.stream), replace(own, loader=replace(own.loader, handlers=handlers, vmsds=vmsds))
    )
    assert verdict.outcome is Outcome.REFUSED
    assert verdict.first_refusal is not None
    assert any("timer" in reason for reason in verdict.first_refusal.unless)
    assert verdict.to_json()["first_refusal"]["unless"] == list(verdict.first_refusal.unless)


def test_a_hook_that_nobody_read_is_unknown() -> None:
    """A build whose description has a name of its own, and a hook."""
    own = virt()
    assert own.loader is not None
    vmsds = tuple(
        replace(one, name="pl061-of-tomorrow", hooks=frozenset({"post_load"}))
        if one.name == "pl061"
        else one
        for one in own.loader.vmsds
    )
    verdict = check(read(own.stream), replace(own, loader=replace(own.loader, vmsds=vmsds)))
    assert verdict.outcome is Outcome.UNKNOWN
    assert any("pl061-of-tomorrow" in reason for reason in verdict.unchecked)


def test_a_destination_that_refuses_itself_is_unknown() -> None:
    own = replace(virt(), refuses_itself=("error while loading state for 'cpu'",))
    verdict = check(read(own.stream), own)
    assert verdict.outcome is Outcome.UNKNOWN
    assert any("refuses even its own stream" in reason for reason in verdict.unchecked)


def test_refuses_itself_is_kept_in_a_file() -> None:
    own = replace(virt(), refuses_itself=("a", "b"))
    assert Profile.loads(own.dumps()).refuses_itself == ("a", "b")
    assert '"refuses_itself"' not in virt().dumps()


@pytest.mark.parametrize("accelerator", ["tcg", "kvm"])
def test_kvm_on_another_target_is_unknown(accelerator: str) -> None:
    own = replace(virt(), wants_kvm=True, accelerator=accelerator)
    verdict = check(read(own.stream), own)
    assert verdict.outcome is Outcome.UNKNOWN
    # Other devices would be a refusal, if the two accelerators had the same ones.
    other = check(recorded.source("virt-10.0-other"), own)
    assert other.outcome is Outcome.UNKNOWN


# Tables


def loader(*vmsds: Vmsd, data: bytes, words: dict[tuple[int, int], int]) -> VMStateLoader:
    to = profile()
    return VMStateLoader(
        tables=LoaderTables(handlers=(), vmsds=vmsds),
        profile=to,
        f=QemuFile(data),
        memory=Memory(words),
        handler=HANDLER,
    )


@pytest.mark.parametrize("size", [8, 0])
def test_array_of_pointers_without_a_size(size: int) -> None:
    """11.1 states the size 0 for an array of pointers; they are a pointer apart all the same."""
    item = VmField(
        name="pools",
        size=size,
        num=3,
        info="uint32",
        flags=int(Flag.ARRAY | Flag.ARRAY_OF_POINTER),
    )
    table = Vmsd(name="d", version=1, minimum=1, fields=(item,))
    words = {(0x1000, 8): 0x5000, (0x1008, 8): 0, (0x1010, 8): 0x6000}
    made = loader(table, data=b"\0\0\0\x01" + b"0" + b"\0\0\0\x02", words=words)
    made.vmstate_load_state(0, 0x1000, 1, None, None)
    assert made.f.pos == 9
    assert made.memory.get(0x6000, 4) == 2


def test_a_stub_is_not_entered() -> None:
    item = VmField(name="cpuhp", vmsd=1, flags=int(Flag.STRUCT))
    table = Vmsd(name="d", version=1, minimum=1, fields=(item,))
    made = loader(table, Vmsd(name="", version=0, minimum=0), data=b"", words={})
    with pytest.raises(Exception, match="stub"):
        made.vmstate_load_state(0, 0x1000, 1, None, None)
