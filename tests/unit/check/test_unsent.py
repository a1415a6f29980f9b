"""What a machine that never booted has not sent, and the destination would read otherwise."""

from __future__ import annotations

from dataclasses import replace

from migratable.check import check
from migratable.check.unsent import differences
from migratable.profile.model import Profile
from migratable.profile.tables import Flag, Handler, LoaderTables, VmField, Vmsd
from migratable.releases import QemuVersion
from migratable.verdict import Severity
from tests import recorded

SMP = ("qemu-system-x86_64", "-smp", "1,maxcpus={}")


def _q35(most: int) -> Profile:
    name = next(one for one in recorded.names() if "q35" in one)
    return replace(recorded.profile(name), command_line=tuple(word.format(most) for word in SMP))


def test_cpu_hot_plug_with_another_maxcpus() -> None:
    name = next(one for one in recorded.names() if "q35" in one)
    stream = recorded.source(name)
    found = check(stream, _q35(8), origin=_q35(4))
    (latent,) = [one for one in found.findings if one.severity is Severity.LATENT]
    assert "sends ich9_pm/cpuhp, whose devs has 4 elements at the source and 8" in latent.summary
    assert "maxcpus=" in latent.explanation
    assert check(stream, _q35(4), origin=_q35(4)).findings == ()


def _machine(count: int, size: int, *, test: int = 0, opaque: int = 0x1000) -> Profile:
    """A device with a subsection that has an array and a value that must be equal."""
    element = Vmsd(name="row", version=1, minimum=1, fields=(VmField(name="a", info="uint8"),))
    rows = VmField(
        name="rows",
        offset=8,
        size=1,
        num_offset=0,
        flags=int(Flag.STRUCT | Flag.VARRAY_UINT32 | Flag.POINTER),
        vmsd=2,
        test=test,
    )
    width = VmField(name="width", offset=16, size=4, info="uint32 equal", flags=int(Flag.SINGLE))
    inner = Vmsd(name="dev/late", version=1, minimum=1, fields=(rows,))
    other = Vmsd(name="dev/wide", version=1, minimum=1, fields=(width,))
    top = Vmsd(name="dev", version=1, minimum=1, subsections=(1, 3))
    handler = Handler(idstr="dev", instance_id=0, alias_id=-1, version=1, vmsd=0, opaque=opaque)
    words = {(opaque, 4): count, (opaque + 16, 4): size}
    tables = LoaderTables(handlers=(handler,), vmsds=(top, inner, element, other), words=words)
    return Profile(version=QemuVersion(10, 0, 0), machine="none", target="x86_64", loader=tables)


def test_counts_and_values_of_subsections_that_did_not_come() -> None:
    source, destination = _machine(3, 7), _machine(5, 9, opaque=0x9000)
    found = list(differences(source, destination, lambda idstr, name: False))
    assert [(one.subsection, one.field, one.source, one.destination) for one in found] == [
        ("dev/late", "rows", 3, 5),
        ("dev/wide", "width", 7, 9),
    ]
    assert [one.counts for one in found] == [True, False]
    arrived = list(differences(source, destination, lambda idstr, name: name == "dev/late"))
    assert [one.subsection for one in arrived] == ["dev/wide"]
    assert list(differences(source, _machine(3, 7), lambda idstr, name: False)) == []


def test_fields_that_may_be_absent_are_not_judged() -> None:
    found = list(differences(_machine(3, 7, test=1), _machine(5, 7, test=1), lambda *_: False))
    assert found == []
