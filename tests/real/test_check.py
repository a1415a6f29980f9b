"""Predictions beside what real QEMU did: the destination itself, named cases, recorded ones."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

from migratable.check import check, not_started
from migratable.check.baseline import Baseline
from migratable.errors import DestinationStartError
from migratable.profile.collect import collect
from migratable.profile.model import Profile
from migratable.rehearse import rehearse
from migratable.stream import Stream, read, write
from migratable.stream.model import Span
from migratable.stream.wire_format import WHOLE
from migratable.verdict import Outcome, Severity, Verdict
from tests.conftest import Lab

pytestmark = pytest.mark.real
RELEASES = ("5.2", "7.2", "10.0", "11.1")


def words(text: str, *devices: str) -> list[str]:
    """A command line with devices on it."""
    return [*text.split(), *(word for device in devices for word in ("-device", device))]


def profile(lab: Lab, release: str, line: list[str], stream: Stream | None = None) -> Profile:
    """Take a lab release's profile; the test is skipped by its name without the release."""
    arch = line[0].removeprefix("qemu-system-")
    sizes = {} if stream is None else {one.id: one.used_length for one in stream.ram_blocks}
    return collect([*lab(release, arch).command, *line[1:]], ram_sizes=sizes)


# A machine's own stream is the one that it must take, and to the byte

MACHINES = {
    "pseries": words(
        "qemu-system-ppc64 -M pseries-5.2 -cpu power9_v2.0 -smp 2 -m 512 -nodefaults",
        "virtio-net-pci", "virtio-scsi-pci", "spapr-vlan", "spapr-vscsi", "nec-usb-xhci", "VGA",
        "virtio-balloon-pci,free-page-reporting=on", "spapr-pci-host-bridge,index=1",
        "virtio-gpu-pci", "pci-ohci", "e1000", "rtl8139", "lsi53c895a", "megasas", "i6300esb",
    ),
    "q35": words(
        "qemu-system-x86_64 -M pc-q35-5.2 -smp 3 -m 256 -nodefaults -serial null",
        "virtio-net-pci", "virtio-scsi-pci,num_queues=3", "virtio-gpu-pci", "virtio-keyboard-pci",
        "virtio-tablet-pci", "e1000e", "vmxnet3", "pvscsi", "qemu-xhci,id=x", "usb-kbd,bus=x.0",
        "pcie-root-port,id=r,slot=1", "ioh3420,slot=2", "pcie-pci-bridge,id=b", "sdhci-pci",
        "tulip,bus=b,addr=1", "i82559c,bus=b,addr=2", "bochs-display", "virtio-rng-pci,bus=r",
    ),
    "i440fx": words(
        "qemu-system-x86_64 -M pc-i440fx-5.2 -smp 2 -m 256 -nodefaults -serial null -parallel null",
        "virtio-net-pci,mq=on,vectors=4", "virtio-serial-pci", "virtio-rng-pci", "e1000",
        "rtl8139", "pcnet", "lsi53c895a", "mptsas1068", "am53c974", "piix3-usb-uhci",
        "usb-ehci,id=e", "usb-tablet,bus=e.0", "cirrus-vga", "i6300esb", "pvpanic",
    ),
    "microvm": words(
        "qemu-system-x86_64 -M microvm -m 256 -nodefaults -serial null",
        "virtio-net-device", "virtio-rng-device", "virtio-serial-device", "virtio-scsi-device",
    ),
    "isapc": words("qemu-system-x86_64 -M isapc -m 64 -nodefaults -cpu pentium", "ne2k_isa"),
    "pseries-2.8": words("qemu-system-ppc64 -M pseries-2.8,cap-htm=off -cpu POWER8 -nodefaults"),
}  # fmt: skip


@pytest.mark.parametrize("release", RELEASES)
@pytest.mark.parametrize("machine", MACHINES)
def test_own_stream(machine: str, release: str, lab: Lab) -> None:
    try:
        own = profile(lab, release, MACHINES[machine])
    except DestinationStartError as error:
        pytest.skip(f"QEMU {release} does not start this {machine}: {error.stderr[-1]}")
    assert own.loader is not None
    destination = Baseline(own, own.loader)
    stream = destination.stream
    assert stream is not None
    sections = {(one.idstr, one.instance_id) for one in stream.sections if one.kind in WHOLE}
    followed = set()
    for handler in own.loader.handlers:
        if handler.vmsd is None or (handler.idstr, handler.instance_id) not in sections:
            continue
        found = destination.section(handler)
        assert not found.unexamined, handler.idstr
        assert found.consumed == found.size, handler.idstr
        followed.add((handler.idstr, handler.instance_id))
    old_style = {(one.idstr, one.instance_id) for one in own.loader.handlers if one.vmsd is None}
    assert sections - followed <= old_style
    verdict = check(stream, destination, origin=own)
    assert verdict.outcome is Outcome.LOADS, (verdict.findings, verdict.unchecked)
    assert verdict.findings == ()


def test_own_stream_of_virt(lab: Lab) -> None:
    """Another target, if a program for it is there: the tables are read in the same way."""
    line = words("qemu-system-aarch64 -M virt -cpu cortex-a57 -m 128", "virtio-net-pci")
    own = profile(lab, "10.0", line)
    verdict = check(read(own.stream), own)
    assert verdict.outcome is not Outcome.REFUSED


# The two cases of the issue


def test_power9_is_another_processor_from_10_0_on(lab: Lab) -> None:
    line = words("qemu-system-ppc64 -M pseries-5.2 -cpu POWER9 -m 512 -nodefaults")
    stream = read(profile(lab, "5.2", line).stream)
    there = profile(lab, "10.0", line)
    verdict = check(stream, there)
    assert verdict.outcome is Outcome.REFUSED
    assert verdict.first_refusal is not None
    assert verdict.first_refusal.rule == "cpu-identity"
    assert verdict.first_refusal.device == "cpu"
    agree(verdict, rehearse(stream, [*lab("10.0", "ppc64").command, *line[1:]]))
    named = [word.replace("POWER9", "power9_v2.0") for word in line]
    assert check(stream, profile(lab, "10.0", named)).outcome is Outcome.LOADS
    real = rehearse(stream, [*lab("10.0", "ppc64").command, *named[1:]])
    assert real.outcome is Outcome.LOADS


def test_what_happens_to_q35_from_10_0_to_11_1(lab: Lab) -> None:
    """10.0 starts every virtqueue with 1024 entries, 11.1 does not take that."""
    devices = ("virtio-rng-pci", "virtio-tablet-pci")
    line = words("qemu-system-x86_64 -M pc-q35-10.0 -m 256 -nodefaults", *devices)
    stream = read(profile(lab, "10.0", line).stream)
    verdict = check(stream, profile(lab, "11.1", line))
    assert verdict.first_refusal is not None
    assert verdict.first_refusal.rule == "virtio-queues"
    agree(verdict, rehearse(stream, [*lab("11.1", "x86_64").command, *line[1:]]))
    without = words("qemu-system-x86_64 -M pc-q35-10.0 -m 256 -nodefaults")
    stream = read(profile(lab, "10.0", without).stream)
    assert check(stream, profile(lab, "11.1", without)).outcome is Outcome.LOADS
    real = rehearse(stream, [*lab("11.1", "x86_64").command, *without[1:]])
    assert real.outcome is Outcome.LOADS


def agree(predicted: Verdict, real: Verdict) -> None:
    """The same verdict with the same lines."""
    assert predicted.outcome is real.outcome
    assert predicted.stderr == real.stderr
    assert predicted.first_refusal is not None
    assert real.first_refusal is not None
    assert predicted.first_refusal.message == real.first_refusal.message


# Streams whose sections have no ends (machine types before 2.3 send neither footers nor vmdesc)


@pytest.mark.parametrize(
    ("source", "target", "options", "outcome"),
    [
        ("5.2", "7.2", "", Outcome.LOADS),
        ("7.2", "5.2", "", Outcome.LOADS),
        ("7.2", "5.2", "-device virtio-rng-pci,addr=5", Outcome.LOADS),
        ("5.2", "7.2", "-device e1000,addr=6", Outcome.REFUSED),
    ],
)
def test_undelimited(source: str, target: str, options: str, outcome: Outcome, lab: Lab) -> None:
    line = words("qemu-system-x86_64 -M pc-i440fx-2.1 -m 64 -nodefaults")
    here = [*line, *options.split()]
    there = here if outcome is Outcome.LOADS else line
    own = read(profile(lab, source, here).stream)
    stream = read(write(replace(own, vmdesc=None)))
    assert any(isinstance(one, Span) and one.undelimited for one in stream.elements)
    verdict = check(stream, profile(lab, target, there, stream))
    assert verdict.outcome is outcome
    real = rehearse(stream, [*lab(target, "x86_64").command, *there[1:]])
    assert real.outcome is outcome
    if outcome is Outcome.REFUSED:
        agree(verdict, real)


# Recorded: guests that had run, and releases that no distribution has


@pytest.mark.slow
def test_recorded_guests(lab: Lab, shared_folder: Path) -> None:
    """Every line of each case; what the guest then died of is said beforehand."""
    folder = shared_folder / "oracle" / "running"
    streams: dict[str, Stream] = {}
    differing, cases = [], 0
    for text in (folder / "cases.jsonl").read_text().splitlines():
        case = json.loads(text)
        name = case["id"].rpartition("-")[0]
        stream = streams.setdefault(name, read(folder / f"{name}.mig.xz"))
        line = [re.sub("@(G|LOG)@", "/nowhere", word) for word in case["dst_args"]]
        line = [f"qemu-system-{case['arch']}", *line]
        try:
            verdict = check(stream, profile(lab, case["dst_rel"], line, stream))
        except DestinationStartError as error:
            verdict = not_started(error.stderr)
        cases += 1
        outcome = Outcome.LOADS if case["status"] == "completed" else Outcome.REFUSED
        if verdict.outcome is not outcome or list(verdict.stderr) != case["stderr"]:
            differing.append((case["id"], str(verdict.outcome), case["stderr"], verdict.stderr))
        endangered = any(one.severity is Severity.ENDANGERS for one in verdict.findings)
        if case["arch"] == "x86_64" and case["status"] == "completed":
            assert endangered == (case["guest_continued"] is False), case["id"]
    assert cases > 40
    assert differing == []


def test_recorded_streams(lab: Lab, shared_folder: Path) -> None:
    """Streams of 4.1, 4.2 and of 4.2 with two more capabilities, on all releases."""
    folder = shared_folder / "oracle" / "streams"
    pairs = 0
    for entry in json.loads((folder / "index.json").read_text()):
        arch = "ppc64" if "pseries" in entry["file"] else "x86_64"
        stream = read(folder / entry["file"])
        # Each stream on one release, so that all releases get some
        release = RELEASES[pairs % len(RELEASES)]
        line = [f"qemu-system-{arch}", *entry["args"]]
        command = [*lab(release, arch).command, *line[1:]]
        try:
            verdict = check(stream, profile(lab, release, line, stream))
        except DestinationStartError as error:
            verdict = not_started(error.stderr)
        real = rehearse(stream, command)
        assert verdict.outcome is real.outcome, (entry["file"], release, real.stderr)
        assert verdict.stderr == real.stderr, (entry["file"], release)
        pairs += 1
    assert pairs > 20


# What the loader does not look at


def test_features_that_the_destination_lacks(lab: Lab) -> None:
    """7.2's TCG has AVX, 5.2's has not; QEMU loads the guest without a word."""
    line = words("qemu-system-x86_64 -M pc-q35-5.2 -cpu Haswell-noTSX -m 64 -nodefaults")
    there, here = profile(lab, "7.2", line), profile(lab, "5.2", line)
    verdict = check(read(there.stream), here, origin=there)
    assert verdict.outcome is Outcome.LOADS
    (danger,) = [one for one in verdict.findings if one.severity is Severity.ENDANGERS]
    assert danger.rule == "cpu-features"
    assert all(re.search(rf"\b{name}\b", danger.summary) for name in ("avx", "avx2"))
    back = check(read(here.stream), there, origin=here)
    assert all(one.severity is not Severity.ENDANGERS for one in back.findings)


def test_what_may_be_sent_later(lab: Lab) -> None:
    """5.2 misspells a subsection of the balloon, which later releases do not know."""
    line = words("qemu-system-x86_64 -M pc-q35-5.2 -m 64 -nodefaults", "virtio-balloon-pci")
    there, here = profile(lab, "5.2", line), profile(lab, "7.2", line)
    verdict = check(read(there.stream), here, origin=there)
    assert verdict.outcome is Outcome.LOADS
    latent = [one for one in verdict.findings if one.severity is Severity.LATENT]
    assert [one.device for one in latent] == ["0000:00:01.0/virtio-balloon"]
    assert "vitio-balloon-device/page-poison" in latent[0].summary
    alone = check(read(there.stream), here)
    assert alone.findings == ()  # the stream alone does not show it


def test_features_that_a_driver_may_take_later(lab: Lab) -> None:
    line = words("qemu-system-x86_64 -M pc-q35-5.2 -m 64 -nodefaults", "virtio-rng-pci,packed=on")
    without = [word.replace("packed=on", "packed=off") for word in line]
    there, here = profile(lab, "7.2", line), profile(lab, "7.2", without)
    verdict = check(read(there.stream), here)  # the stream itself says that the source offers it
    assert [one.rule for one in verdict.findings] == ["latent"], verdict
    assert "does not: packed;" in verdict.findings[0].summary
