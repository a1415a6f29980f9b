"""Another PCI configuration: another device at the place, or the same with other properties."""

from __future__ import annotations

from collections.abc import Iterator

from migratable.hints import devices, machine_options, pci_placement, property_probe
from migratable.hints.candidate import Candidate, Situation
from migratable.problem_facts import PciConfigFacts
from migratable.verdict import Finding

_HEADER_TYPE = 0x0E
_CLASS = frozenset({0x0A, 0x0B})


def candidates(situation: Situation, finding: Finding) -> Iterator[Candidate]:
    """Places first when it is another device; else properties, given ones dropped first."""
    idstr = finding.device or ""
    offsets = finding.facts.offsets if isinstance(finding.facts, PciConfigFacts) else ()
    if offsets and offsets[0] < 4:
        yield from pci_placement.arranged(situation, idstr)
    if idstr.rpartition("/")[2].startswith("virtio"):
        yield from machine_options.other_cpus(situation)
    node = devices.node_of(situation, idstr)
    if offsets == (_HEADER_TYPE,) and node is not None:
        several = "off" if node.prop("multifunction") == "true" else "on"
        yield from devices.with_property(situation, idstr, "multifunction", several)
    if offsets and set(offsets) <= _CLASS and (device := situation.guest.at(idstr)) is not None:
        number = f"{device.register(0x0A, 2):#x}"
        yield from devices.with_property(situation, idstr, "class", number)
    yield from _address(situation, idstr)
    yield from devices.behind(situation, idstr)
    yield from property_probe.properties(situation, idstr)
    yield from devices.dropped(situation, idstr)
    yield from pci_placement.exchanged(situation, idstr)
    yield from pci_placement.moves(situation)


def _address(situation: Situation, idstr: str) -> Iterator[Candidate]:
    """The guest's MAC address, of which e1000e and igb make their PCI serial number.

    ``hw/net/e1000e.c: e1000e_gen_dsn``: the address with ff:ff in its middle, lowest byte last.
    """
    device = situation.guest.at(idstr)
    number = b"" if device is None else device.serial_number[::-1]
    if number[3:5] == b"\xff\xff":
        mac = ":".join(f"{byte:02x}" for byte in number[:3] + number[5:])
        node = devices.node_of(situation, idstr)
        if node is not None and node.prop("mac") != mac:
            yield from devices.with_property(situation, idstr, "mac", mac)
