"""Altered streams at places of QEMU's loader that no machine's own stream reaches, beside QEMU."""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import replace

import pytest

from migratable.check import check
from migratable.profile.collect import collect
from migratable.rehearse import rehearse
from migratable.stream import SectionKind, Stream, read
from migratable.stream.edit import map_sections
from migratable.stream.model import Section
from migratable.verdict import Outcome
from tests.conftest import Lab

pytestmark = pytest.mark.real
Change = Callable[[bytes], bytes]

_ARM = "qemu-system-arm -M virt-7.2 -m 32 -nodefaults -display none -cpu cortex-a15"
_Q35 = "qemu-system-x86_64 -M pc-q35-7.2 -m 32 -nodefaults -display none"
_RELEASES = ("7.2", "10.0", "11.1")


def put(at: int, new: bytes, old: int | None = None) -> Change:
    """*new* in the place of *old* bytes; of as many when that is not given."""
    return lambda body: body[:at] + new + body[at + (len(new) if old is None else old) :]


def _behind(text: bytes, skip: int, new: bytes) -> Change:
    return lambda body: put(body.index(text) + len(text) + skip, new)(body)


def _thumb(body: bytes) -> bytes:
    """``cpu``: regs[15] is odd, and cpsr has the T bit."""
    status = 16 * 4 + 32 * 8 + 8
    return put(status + 3, bytes([body[status + 3] | 0x20]))(put(63, b"\1")(body))


def _domains(new: bytes) -> Change:
    """``virtio-iommu``: the tree of domains, before ``bypass`` and the subsections."""
    return lambda body: put(body.index(b"\5\x15virtio/64bit") - 6, new, 5)(body)


def _domain(mappings: bytes = bytes(5), endpoints: bytes = b"\0", count: int = 1) -> bytes:
    inner = struct.pack(">I", 1) + mappings + endpoints + b"\1"
    return struct.pack(">I", count) + b"\1" + struct.pack(">Q", 1) + inner + b"\0"


def _variable(name: bytes, attributes: int) -> Change:
    """``uefi-vars``: one more of them, before the end of their list and that of the policies."""
    words = struct.pack(">III", len(name), 3, attributes)
    return lambda body: body[:-2] + b"\1" + bytes(16) + words + name + b"xyz" + bytes(11) + b"\0\0"


def _policy(entry: bytes) -> Change:
    return lambda body: body[:-1] + b"\1" + struct.pack(">I", len(entry)) + entry + b"\0"


_ENTRY = bytes(4) + struct.pack("<HH", 48, 44) + bytes(36)
_MAPPING = struct.pack(">I", 1) + b"\1" + struct.pack(">QQQI", 0x1000, 0x1FFF, 0x5000, 3) + b"\0"

#: Section, machine, its options, change, and what becomes of it.
CASES: dict[str, tuple[str, str, str, Change, str]] = {
    "thumb": ("cpu", _ARM, "", _thumb, "refused"),
    "loop-size": (
        "cpu",
        "qemu-system-arm -M mps3-an547 -nodefaults -display none",
        "-audiodev none,id=a",
        _behind(b"cpu/m/fp", 4 + 16, b"\0\2\0\0"),
        "refused",
    ),
    "no-domain": ("virtio-iommu", _Q35, "virtio-iommu-pci", _domains(bytes(4) + b"\1"), "refused"),
    "few-domains": (
        "virtio-iommu",
        _Q35,
        "virtio-iommu-pci",
        _domains(_domain(count=2)),
        "refused",
    ),
    "domain": ("virtio-iommu", _Q35, "virtio-iommu-pci", _domains(_domain(_MAPPING)), "loads"),
    "endpoint": (
        "virtio-iommu",
        _Q35,
        "virtio-iommu-pci",
        _domains(_domain(endpoints=b"\1\0\0\0\x08\0")),
        "loads",
    ),
    "mappings": (
        "virtio-iommu",
        _Q35,
        "virtio-iommu-pci",
        _domains(_domain(bytes(4) + b"\1")),
        "refused",
    ),
    "attributes": ("uefi-vars-sysbus", _Q35, "uefi-vars-x64", _variable(b"A\0\0\0", 16), "refused"),
    "surrogate": (
        "uefi-vars-sysbus",
        _Q35,
        "uefi-vars-x64",
        _variable(b"\0\xd8\0\0", 7),
        "refused",
    ),
    "policy": ("uefi-vars-sysbus", _Q35, "uefi-vars-x64", _policy(_ENTRY + b"A\0\0\0"), "loads"),
    "odd-policy": (
        "uefi-vars-sysbus",
        _Q35,
        "uefi-vars-x64",
        _policy(_ENTRY + b"\0\xd8A\0"),
        "refused",
    ),
}


@pytest.mark.parametrize("release", _RELEASES)
@pytest.mark.parametrize("case", CASES)
def test_as_qemu_says(case: str, release: str, lab: Lab) -> None:
    name, machine, options, change, outcome = CASES[case]
    if name == "uefi-vars-sysbus" and release == "7.2":
        pytest.skip("QEMU 7.2 has no uefi-vars")
    device = ["-device", options] if options and not options.startswith("-") else options.split()
    words = [*machine.split(), *device]
    line = [*lab(release, words[0].removeprefix("qemu-system-")).command, *words[1:]]
    own = collect(line)

    def altered(section: Section) -> Section:
        meant = section.idstr.rpartition("/")[2] == name
        return replace(section, body=change(bytes(section.body))) if meant else section

    agree(map_sections(read(own.stream), altered), line, outcome)


@pytest.mark.parametrize("release", _RELEASES[1:])
def test_a_digest_that_nothing_has_set(release: str, lab: Lab) -> None:
    """``uefi_vars_post_load`` looks at memory of ``get_qtailq``: 10.0 refused 6 of 300 loads."""
    line = [*lab(release, "x86_64").command, *_Q35.split()[1:], "-device", "uefi-vars-x64"]
    change = _variable(b"A\0\0\0", 7)

    def altered(section: Section) -> Section:
        meant = section.idstr.rpartition("/")[2] == "uefi-vars-sysbus"
        return replace(section, body=change(bytes(section.body))) if meant else section

    stream = map_sections(read(collect(line).stream), altered)
    predicted, real = check(stream, collect(line)), rehearse(stream, line)
    assert predicted.outcome is Outcome.LOADS
    assert "field-validation" in {finding.rule for finding in predicted.findings}
    assert real.outcome is Outcome.LOADS or "invalid uefi variable" in real.stderr


def agree(stream: Stream, line: list[str], outcome: str) -> None:
    """The outcome and lines of real QEMU are those that were predicted."""
    predicted, real = check(stream, collect(line)), rehearse(stream, line)
    assert (str(real.outcome), str(predicted.outcome)) == (outcome, outcome), predicted.unchecked
    assert predicted.stderr == real.stderr


@pytest.mark.parametrize("release", _RELEASES)
def test_pages_that_the_stream_does_not_say(release: str, lab: Lab) -> None:
    line = [*lab(release, "arm").command, *_ARM.split()[1:]]
    own = read(collect(line).stream)
    assert own.configuration is not None
    silent = replace(own, configuration=replace(own.configuration, subsections=()))
    agree(silent, line, "refused")


@pytest.mark.parametrize("release", _RELEASES)
def test_features_that_a_legacy_device_does_not_look_at(release: str, lab: Lab) -> None:
    line = [*lab(release, "arm").command, *_ARM.replace("7.2", "6.2").split()[1:]]
    line += ["-device", "virtio-rng-device"]
    modern = [*line, "-global", "virtio-mmio.force-legacy=false"]
    used = _behind(b"virtio/64bit_features\0\0\0\1", 0, b"\0\0\0\1\0\0\0\0")

    def altered(section: Section) -> Section:
        virtio = section.idstr.endswith("virtio-rng")
        return replace(section, body=used(bytes(section.body))) if virtio else section

    stream = map_sections(read(collect(modern).stream), altered)
    agree(stream, line, "refused" if release == "11.1" else "loads")


@pytest.mark.parametrize("release", _RELEASES)
@pytest.mark.parametrize(("size", "outcome"), [(4, Outcome.REFUSED), (24, Outcome.LOADS)])
def test_a_part_of_a_section_with_tables(
    size: int, outcome: Outcome, release: str, lab: Lab
) -> None:
    """The program reads all of them again; whether they fit is not followed."""
    line = [*lab(release).command, *_Q35.split()[1:]]
    own = collect(line)
    elements = []
    for one in read(own.stream).elements:
        elements.append(one)
        if isinstance(one, Section) and one.idstr == "timer":
            elements.append(replace(one, kind=SectionKind.PART, body=bytes(one.body)[:size]))
    stream = replace(read(own.stream), elements=tuple(elements))
    assert rehearse(stream, line).outcome is outcome
    assert check(stream, own).outcome is Outcome.UNKNOWN
