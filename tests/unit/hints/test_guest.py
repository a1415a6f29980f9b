"""What a stream says of its machine, and what remedies make of it, against made-up destinations."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest

from migratable.commandline import parse
from migratable.hints import machine_options, memory, missing_devices, pci_placement, pseries
from migratable.hints.candidate import Situation
from migratable.hints.guest import Guest, place, slot_of
from migratable.hints.inventory import Parts
from migratable.hints.proposers import candidates, proposers
from migratable.hints.qtree import Tree
from migratable.hints.qtree import parse as parse_tree
from migratable.hints.remedies import ram_block_unknown
from migratable.problem_facts import (
    BlockFacts,
    CapabilitiesFacts,
    Facts,
    MachineTypeFacts,
    PropertiesFacts,
)
from migratable.profile.model import Profile
from migratable.releases import QemuVersion
from migratable.stream import RamBlock, Stream, read, write
from migratable.stream.edit import make_stream
from migratable.stream.pages import ram_end, ram_start
from migratable.verdict import Basis, Finding, Outcome, Severity, Verdict
from tests.unit.stream import tiny

Q35, PSERIES = "10.0-q35", "7.2-pseries"


def situation(
    stream: Stream, text: str, *, tree: str = "", parts: Parts | None = None, **known: object
) -> Situation:
    """A destination of which only the given is known."""
    machine = str(known.pop("machine", stream.machine))
    made = Profile(
        version=QemuVersion(10, 0),
        machine=machine,
        target="ppc64" if machine.startswith("pseries") else "x86_64",
        **known,  # type: ignore[arg-type]
    )
    found = Situation(
        line=parse(f"qemu {text}"),
        stream=stream,
        guest=Guest.of(stream),
        verdict=Verdict(outcome=Outcome.REFUSED, basis=Basis.PREDICTED),
        profile=made,
    )
    found.__dict__["tree"] = parse_tree(tree) if tree else Tree()
    found.__dict__["parts"] = parts or Parts()
    return found


def golden(name: str) -> Stream:
    return read(tiny.golden(name))


def refused(rule: str, device: str | None = None, facts: Facts | None = None) -> Finding:
    return Finding(rule=rule, severity=Severity.REFUSES, summary="", device=device, facts=facts)


def lines(at: Situation, finding: Finding, most: int = 4) -> list[str]:
    """Command lines that are proposed first."""
    edited = (one.edit(at.line) for one in candidates(at, finding) if one.edit is not None)
    return [" ".join(one.argv[1:]) for one in itertools.islice(edited, most)]


@pytest.mark.parametrize(
    ("idstr", "parts"),
    [
        ("0000:00:02.0/e1000", ("0000:00", ("02.0",), "", "e1000")),
        ("0000:00:1c.0:00.0/1/usb-kbd", ("0000:00", ("1c.0", "00.0"), "/1", "usb-kbd")),
        ("pci@800000020000000:01.0/xhci", ("pci@800000020000000", ("01.0",), "", "xhci")),
        ("0000:00:04.0/0:0:0/scsi-disk", ("0000:00", ("04.0",), "/0:0:0", "scsi-disk")),
        ("cpu", None),
        ("vty@71000000/spapr_vty", None),
    ],
)
def test_places(idstr: str, parts: object) -> None:
    assert place(idstr) == parts


def test_slots() -> None:
    assert slot_of("0000:00:1d.7") == "0x1d.7"
    assert slot_of("0000:00:01.0:00.0") == "0x0"


def test_guest() -> None:
    guest = Guest.of(golden(Q35))
    nic, port = guest.pci["0000:00:02.0"], guest.pci["0000:00:01.0"]
    assert (nic.names, nic.pci_id, nic.addr) == (["virtio-net"], "1af4:1000", "0x2")
    assert nic.blocks == {"virtio-net-pci.rom": 1 << 18}
    assert (port.slot_number, nic.slot_number) == (0, None)
    assert guest.pci["0000:00:04.0"].inner == [("/0:0:0", "scsi-disk")]
    assert guest.at("0000:00:0c.0/1/usb-ptr") is guest.pci["0000:00:0c.0"]
    assert guest.count("slirp") == 2
    assert guest.count("e1000") == 0


def test_a_guest_without_vmdesc_has_its_places() -> None:
    guest = Guest.of(read(tiny.golden("10.0-pc-nofoot")))
    assert guest.pci
    assert guest.count("timer") == 1


# Devices of the destination

TREE = """\
bus: main-system-bus
  type System
  dev: q35-pcihost, id ""
    bus: pcie.0
      type PCIE
      dev: e1000, id "nic"
        addr = 05.0
        multifunction = false
        class Ethernet controller, addr 00:05.0, pci id 8086:100e (sub 1af4:1100)
      dev: virtio-rng-pci, id ""
        addr = 03.0
        class Class 00ff, addr 00:03.0, pci id 1af4:1005 (sub 1af4:0004)
"""
PARTS = Parts(
    buses={"e1000": "PCI", "virtio-rng-pci": "PCI", "e1000-82545em": "PCI", "isa-fdc": "ISA"},
    sections={"e1000": "e1000", "e1000-82545em": "e1000"},
    machines=("pc-q35-10.0", "pc-q35-9.2"),
)


def test_tree() -> None:
    tree = parse_tree(TREE)
    assert sorted(tree.pci()) == ["0000:00:03.0", "0000:00:05.0"]
    assert tree.bus_at("0000:00:07.0") == "pcie.0"
    line = parse("qemu -device e1000,id=nic -device virtio-rng-pci")
    options = [tree.option(line, node, {}) for node in tree.pci().values()]
    assert {one.value for one in options if one is not None} == {"e1000,id=nic", "virtio-rng-pci"}


def test_devices_are_moved_to_the_places_of_the_guest() -> None:
    at = situation(
        golden(Q35), "-device e1000,id=nic -device virtio-rng-pci", tree=TREE, parts=PARTS
    )
    found = pci_placement.plan(at)
    moved = {device.path: option.fields.get("driver") for option, device in found.moves}
    assert moved == {"0000:00:0b.0": "e1000", "0000:00:05.0": "virtio-rng-pci"}
    assert "0000:00:02.0" in {one.path for one in found.missing}
    assert not found.surplus


def test_drivers_of_a_device() -> None:
    guest = Guest.of(golden(Q35))
    at = situation(golden(Q35), "", parts=PARTS)
    assert missing_devices.drivers(at, guest.pci["0000:00:0b.0"]) == ["e1000"]  # by its PCI id
    assert missing_devices.drivers(at, guest.pci["0000:00:05.0"]) == ["virtio-rng-pci"]


def test_machine_type() -> None:
    at = situation(golden(Q35), "-machine pc-q35-9.2,usb=on", machine="pc-q35-9.2", parts=PARTS)
    finding = refused("machine-type", facts=MachineTypeFacts(received="pc-q35-10.0"))
    assert lines(at, finding) == ["-machine pc-q35-10.0,usb=on"]
    newer = refused("machine-type", facts=MachineTypeFacts(received="pc-q35-11.1"))
    assert lines(at, newer) == []
    (advice,) = candidates(at, newer)
    assert advice.needs_guest_restart


def test_ic_mode() -> None:
    text = "-machine pseries-7.2,ic-mode=xics"
    at = situation(golden(PSERIES), text)
    (first, *_) = pseries.controllers(at)
    assert first.edit is not None
    assert first.edit(at.line).argv[1:] == ["-machine", "pseries-7.2,ic-mode=dual"]


def test_capabilities() -> None:
    at = situation(golden(PSERIES), "-machine pseries-7.2,cap-large-decr=off")
    finding = refused(
        "capability-higher",
        "spapr",
        CapabilitiesFacts(higher=(("large-decr", 1, 0), ("cfpc", 2, 1))),
    )
    first, second, *_ = lines(at, finding)
    assert first == "-machine pseries-7.2,cap-large-decr=on,cap-cfpc=fixed"
    assert second == "-machine pseries-7.2"


def test_memory_size() -> None:
    at = situation(golden(Q35), "-m 1G")
    finding = refused("ram-block-size", "ram", BlockFacts(block="pc.ram", size=64 << 20))
    assert lines(at, finding) == ["-m 64M"]


@pytest.mark.parametrize(
    ("given", "first"),
    [
        ("-m 1G", "-m 1G -smp 1"),
        ("-smp 4 -m 1G", "-smp 1 -m 1G"),
        ("-smp 4,maxcpus=8", "-smp 1,maxcpus=8"),
        ("-smp 4,sockets=4,cores=1", "-smp 1,sockets=1,cores=1"),
        ("-smp 4,cores=4", "-smp 1"),  # one CPU is no core of four
    ],
)
def test_cpus(given: str, first: str) -> None:
    at = situation(golden(Q35), given)
    edit = next(iter(machine_options.smp(at))).edit
    assert edit is not None
    assert " ".join(edit(at.line).argv[1:]) == first


def with_blocks(*blocks: tuple[str, int]) -> Stream:
    found = [RamBlock(id=name, used_length=size) for name, size in blocks]
    return read(write(make_stream("pc-q35-10.0", [ram_start(found), ram_end()])))


def test_main_memory_of_backends() -> None:
    """Not a module beside the destination's own main memory."""
    stream = with_blocks(("node0", 1 << 28), ("node1", 1 << 28))
    at = situation(stream, "-m 1G", ram_blocks={"pc.ram": (1 << 30, 1 << 30)})
    finding = refused("ram-block-unknown", "ram", BlockFacts(block="node0", size=1 << 28))
    (only,) = lines(at, finding)
    assert only == (
        "-m 512M -object memory-backend-ram,id=node0,size=256M "
        "-object memory-backend-ram,id=node1,size=256M "
        "-numa node,nodeid=0,memdev=node0 -numa node,nodeid=1,memdev=node1"
    )


def test_main_memory_of_a_machine_that_has_a_backend() -> None:
    at = situation(
        golden(PSERIES),
        "-m 256M -machine memory-backend=mine -object memory-backend-ram,id=mine,size=256M",
        ram_blocks={"mine": (1 << 28, 1 << 28)},
    )
    finding = refused("ram-block-unknown", "ram", BlockFacts(block="ppc_spapr.ram", size=1 << 28))
    first, *rest = lines(at, finding)
    assert first == "-m 256M"
    assert not [one for one in rest if "dimm" in one]


def test_memory_module() -> None:
    stream = with_blocks(("pc.ram", 1 << 28), ("dimm", 1 << 28))
    at = situation(stream, "-m 256M", ram_blocks={"pc.ram": (1 << 28, 1 << 28)})
    finding = refused("ram-block-unknown", "ram", BlockFacts(block="dimm", size=1 << 28))
    (only,) = lines(at, finding)
    assert only.endswith("-device pc-dimm,memdev=dimm")
    assert "slots=4" in only


@pytest.mark.parametrize("block", ["vga.vram", "system.flash0", "pc.bios", "vmsvga.fifo"])
def test_what_qemu_names_is_no_module(block: str) -> None:
    stream = with_blocks(("pc.ram", 1 << 28), (block, 4096))
    at = situation(stream, "-m 256M", ram_blocks={"pc.ram": (1 << 28, 1 << 28)})
    finding = refused("ram-block-unknown", "ram", BlockFacts(block=block, size=4096))
    assert not [one for one in ram_block_unknown.candidates(at, finding) if "dimm" in one.action]


def test_a_rule_without_a_module_has_remedies() -> None:
    assert "field-equal" not in proposers()
    at = situation(golden(Q35), "-machine pc-q35-10.0,hpet=off")
    assert lines(at, refused("field-equal", "hpet")) == ["-machine pc-q35-10.0"]


def test_properties_that_a_rule_names() -> None:
    at = situation(golden(Q35), "-device e1000,id=nic", tree=TREE, parts=PARTS)
    at.guest.pci["0000:00:05.0"] = replace(at.guest.pci["0000:00:0b.0"], chain=("05.0",))
    finding = refused(
        "field-equal", "0000:00:05.0/e1000", PropertiesFacts(properties={"mitigation": "off"})
    )
    assert lines(at, finding, 1) == ["-device e1000,id=nic,mitigation=off"]


def test_a_capture_without_ram_leaves_memory_alone() -> None:
    line = parse("qemu -m 1G")
    assert memory.with_total(line, make_stream("pc-q35-10.0", [])).argv == line.argv


def test_sizes_of_a_stream() -> None:
    assert memory.total(golden(Q35)) == 64 << 20
    assert memory.total(golden(PSERIES)) == 256 << 20
    assert memory.total(with_blocks(("one", 1 << 20), ("two", 1 << 20))) == 2 << 20
