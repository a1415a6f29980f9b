"""Rehearsals beside real loads: guests that ran, the oracle's cases, load, SIGKILL, big memory."""

from __future__ import annotations

import json
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from migratable.commandline import parse
from migratable.errors import LabError, MigratableError
from migratable.profile.collect import collect
from migratable.qemu.process import QemuProcess
from migratable.rehearse import Destination, rehearse, rehearse_all
from migratable.rehearse.destination import try_destination
from migratable.stream import Stream, read, write
from migratable.verdict import Outcome, Verdict
from tests.absent import absent
from tests.conftest import Lab
from tests.guests.machines import GUESTS, Running
from tests.guests.saved import stream as saved_stream

pytestmark = pytest.mark.real
RELEASES = ("5.2", "7.2", "10.0", "11.1")
_PROGRAM = re.compile(r"^[^\s:]*(?:qemu|kvm)[^\s:]*: ")


def guest_stream(name: str, release: str, lab: Lab) -> Path:
    try:
        return saved_stream(name, lab(release, GUESTS[name].target))
    except LabError as error:
        absent(f"guest {name}: {error}")


def machine(target: str, memory: str = "256") -> list[str]:
    kind = "pc-q35-5.2" if target == "x86_64" else "pseries-5.2"
    line = [f"qemu-system-{target}", "-M", kind, "-m", memory]
    return line if target == "x86_64" else [*line, "-cpu", "power9_v2.0"]


# Guests that ran: the same answer as the full stream gets, and every line the same

Edit = tuple[str, str, str | None]  # device or "-option", property, value
LEFT_OUT = "left out"

PAIRS: list[tuple[str, str, str, tuple[Edit, ...]]] = [
    ("x86-linux", "5.2", "11.1", ()),
    ("x86-linux", "10.0", "5.2", ()),
    ("x86-linux", "10.0", "11.1", ()),
    ("x86-linux", "7.2", "7.2", (("virtio-blk-pci", "event_idx", "off"),)),
    ("x86-linux", "5.2", "7.2", (("virtio-scsi-pci", "hotplug", "off"),)),
    ("x86-linux", "11.1", "10.0", (("virtio-net-pci", "ctrl_vq", "off"),)),
    ("x86-linux", "7.2", "5.2", (("virtio-rng-pci", LEFT_OUT, None),)),
    ("x86-linux", "5.2", "10.0", (("-machine", "vmport", "off"),)),
    ("x86-firmware", "10.0", "5.2", (("virtio-blk-pci", "event_idx", "off"),)),
    ("x86-firmware", "10.0", "11.1", ()),
    ("x86-tap", "10.0", "11.1", ()),
    ("x86-tap", "10.0", "10.0", (("virtio-net-pci", "host_uso", "off"),)),
    ("x86-tap", "10.0", "10.0", (("virtio-net-pci", "guest_tso4", "off"),)),
    ("ppc-linux", "7.2", "10.0", ()),
    ("ppc-linux", "7.2", "11.1", (("-machine", "ic-mode", "xics"),)),
    ("ppc-linux", "5.2", "7.2", (("virtio-balloon-pci", "event_idx", "off"),)),
    ("ppc-linux", "10.0", "7.2", ()),
    ("ppc-hash", "7.2", "10.0", (("virtio-blk-pci", "disable-legacy", "on"),)),
    ("ppc-firmware", "7.2", "10.0", ()),
    ("ppc-firmware", "7.2", "11.1", (("-machine", "cap-cfpc", "broken"),)),
]


def edited(line: list[str], edits: tuple[Edit, ...]) -> list[str]:
    found = parse(line)
    for what, key, value in edits:
        if what == "-machine":
            found = found.with_machine(key, value)
        elif key == LEFT_OUT:
            option = found.find_device(what)
            assert option is not None
            found = found.replace(option)
        else:
            found = found.with_device(what, key, value)
    return found.argv


@pytest.mark.parametrize(("name", "source", "destination", "edits"), PAIRS)
def test_as_the_full_stream(
    name: str,
    source: str,
    destination: str,
    edits: tuple[Edit, ...],
    lab: Lab,
    tmp_path: Path,
) -> None:
    guest = GUESTS[name]
    path = guest_stream(name, source, lab)
    program = lab(destination, guest.target).command
    line = edited(["qemu", *guest.command_line(guest.disk(tmp_path))], edits)[1:]
    with Running(program, [*line, "-S", "-incoming", "defer"], tap=guest.tap) as real:
        status = real.load(path)
    printed = [_PROGRAM.sub("", one) for one in real.lines if "chardev=mon" not in one]
    answer = rehearse(
        read(path), [f"qemu-system-{guest.target}", *line, "-serial", "null"], release=destination
    )
    assert (answer.outcome, list(answer.stderr)) == (
        Outcome.LOADS if status == "completed" else Outcome.REFUSED,
        printed,
    )
    if answer.first_refusal is not None:
        assert answer.first_refusal.rule not in {"unrecognised", "destination-start"}


IOMMUS = {
    "intel": ("x86_64", "pc-q35-5.2", "-device intel-iommu", "intel_iommu=on", RELEASES),
    "virtio": ("x86_64", "pc-q35-7.2", "-device virtio-iommu-pci", "", RELEASES[1:]),
    "pseries": ("ppc64", "pseries-5.2", "-cpu POWER9", "", RELEASES),
}


@pytest.mark.slow
@pytest.mark.parametrize("kind", IOMMUS)
def test_guests_behind_an_iommu(kind: str, lab: Lab, tmp_path: Path) -> None:
    from tests.guests import initrd

    target, machine_type, option, append, releases = IOMMUS[kind]
    platform = "iommu_platform=on,disable-legacy=on"
    text = (
        f"-accel tcg -display none -nodefaults -M {machine_type} -m 512 {option} "
        "-drive if=none,id=d0,driver=null-co,size=16M,read-zeroes=on "
        f"-device virtio-blk-pci,drive=d0,{platform} -device virtio-rng-pci,{platform} "
    )
    if target == "x86_64":
        text += (
            "-drive if=none,id=d1,driver=null-co,size=16M,read-zeroes=on "
            "-device ide-hd,drive=d1,bus=ide.0 -device pcie-root-port,id=port0,chassis=1 "
            f"-device virtio-rng-pci,bus=port0,{platform}"
        )
    try:
        kernel, root = initrd.build(target)
    except LabError as error:
        absent(f"kernel: {error}")
    console = "ttyS0" if target == "x86_64" else "hvc0"
    boot = ["-kernel", str(kernel), "-initrd", str(root)]
    boot += ["-append", f"console={console} quiet {append}"]
    path = tmp_path / "guest.mig.gz"
    with Running(lab(releases[0], target).command, [*text.split(), *boot]) as running:
        running.await_count(6, 180)
        running.save(path)
    stream = read(path)
    for release in releases:
        line = text.split()
        program = lab(release, target).command
        with Running(program, [*line, "-S", "-incoming", "defer"]) as real:
            status = real.load(path)
        printed = [_PROGRAM.sub("", one) for one in real.lines if "chardev=mon" not in one]
        line = [f"qemu-system-{target}", *line, "-serial", "null"]
        answer = rehearse(stream, line, release=release)
        assert status == "completed"
        assert (answer.outcome, list(answer.stderr)) == (Outcome.LOADS, printed)


def oracle() -> list[str]:
    """Names of the sources, fixed so that tests are named without the folder."""
    return [
        "ppc-lin-5",
        *(f"x86-fir-{number}" for number in (0, 1, 5)),
        *(f"x86-lin-{number}" for number in (8, 9, 12, 14, 17, 18)),
    ]


@pytest.mark.parametrize("source", oracle())
def test_oracle(source: str, shared_folder: Path, lab: Lab) -> None:
    folder = shared_folder / "oracle" / "running"
    stream = read(folder / f"{source}.mig.xz")
    text = (folder / "cases.jsonl").read_text(encoding="utf-8")
    cases = [json.loads(line) for line in text.splitlines()]
    mine = [one for one in cases if one["id"].rpartition("-")[0] == source]
    assert mine
    for case in mine:
        lab(case["dst_rel"], case["arch"])
        line = [f"qemu-system-{case['arch']}", *case["dst_args"]]
        answer = rehearse(stream, line, release=case["dst_rel"])
        wanted = Outcome.LOADS if case["status"] == "completed" else Outcome.REFUSED
        assert (case["id"], answer.outcome) == (case["id"], wanted)
        assert list(answer.stderr) == case["stderr"], case["id"]


# Does the guest go on?


def watched(name: str, source: str, destination: str, seconds: float, lab: Lab) -> Verdict:
    guest = GUESTS[name]
    path = guest_stream(name, source, lab)
    lab(destination, guest.target)
    with tempfile.TemporaryDirectory() as folder:
        line = guest.command_line(guest.disk(Path(folder)))
        line = [f"qemu-system-{guest.target}", *line, "-serial", "stdio"]
        return rehearse(read(path), line, release=destination, watch=seconds)


@pytest.mark.slow
def test_a_guest_that_goes_on(lab: Lab) -> None:
    answer = watched("ppc-linux", "7.2", "10.0", 8, lab)
    assert answer.outcome is Outcome.LOADS
    assert answer.destination["guest"]["state"] == "runs"
    assert any(line.startswith("C ") for line in answer.destination["guest"]["console"])
    assert [one.severity for one in answer.findings if one.rule == "guest-goes-on"] == ["info"]


@pytest.mark.slow
def test_a_guest_that_qemu_loads_and_that_stands_still(lab: Lab) -> None:
    """Linux on pseries, 11.1 under TCG: idle for ever."""
    answer = watched("ppc-linux", "7.2", "11.1", 8, lab)
    assert answer.outcome is Outcome.LOADS
    guest = answer.destination["guest"]
    assert (guest["state"], guest["console_bytes"]) == ("stands-still", 0)
    assert any(one["decrementer_overdue"] for one in guest["vcpus"])
    found = [one for one in answer.findings if one.rule == "guest-goes-on"]
    assert [one.severity for one in found] == ["endangers"]


# Whatever the guest's memory


def written(qemu: QemuProcess) -> tuple[int, int]:
    """Size of the main memory's file, and how many of its bytes were ever written."""
    found = []
    for path in Path(f"/proc/{qemu.pid}/fd").iterdir():
        if path.readlink().name.startswith("memfd:"):
            stat = path.stat()
            found.append((stat.st_size, stat.st_blocks * 512))
    return max(found)


@pytest.mark.parametrize("target", ["x86_64", "ppc64"])
def test_64_gib(target: str, lab: Lab) -> None:
    """A guest of 64 GiB is sent in as many bytes as one of 2, and its memory is not written."""
    lab("10.0", target)
    sent: dict[str, int] = {}
    memory: dict[str, tuple[int, int]] = {}
    for size in ("2G", "64G"):

        def look(qemu: QemuProcess, _: object, size: str = size) -> None:
            memory[size] = written(qemu)

        stream = read(collect(machine(target, size), release="10.0").stream)
        line = Destination(command_line=tuple(machine(target, size)), release="10.0")
        answer = try_destination(stream, line, loaded=look)
        assert answer.load is not None
        assert answer.load.completed, answer.stderr
        sent[size] = len(write(answer.stream))
    assert sent["64G"] < sent["2G"] + 4096
    assert {size: total for size, (total, _) in memory.items()} == {"2G": 2 << 30, "64G": 64 << 30}
    assert all(used < 16 << 20 for _, used in memory.values()), memory


# Nothing is left behind


MARK = f"migratable-test-mark-{os.getpid()}"


def qemus() -> set[int]:
    """Programs that this test or a child of it has started."""
    found = set()
    for path in Path("/proc").glob("[0-9]*"):
        try:
            text = (path / "cmdline").read_bytes()
            state = (path / "stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            continue
        if b"migratable-qmp" in text and MARK.encode() in text and state != "Z":
            found.add(int(path.name))
    return found


def marked(line: list[str]) -> list[str]:
    """The line with a mark by which its process is found again; it does not show in a stream."""
    return [*line, "-object", f"rng-builtin,id={MARK}"]


@pytest.fixture
def private_temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    folder = tmp_path / "tmp"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    monkeypatch.setenv("TMPDIR", str(folder))
    yield folder
    assert list(folder.iterdir()) == []


@pytest.fixture(scope="module")
def never_ran(lab: Lab) -> Callable[[str], Stream]:
    streams: dict[str, Stream] = {}

    def one(target: str) -> Stream:
        if target not in streams:
            lab("7.2", target)
            data = collect(marked(machine(target)), release="7.2").stream
            streams[target] = read(data)
        return streams[target]

    return one


def counts() -> tuple[int, int]:
    return sum(1 for _ in Path("/proc/self/fd").iterdir()), threading.active_count()


def counts_at_rest(before: tuple[int, int]) -> tuple[int, int]:
    """Descriptors and threads, once those that are ending have ended."""
    deadline = time.monotonic() + 60
    while (found := counts()) != before and time.monotonic() < deadline:
        time.sleep(0.01)
    return found


@pytest.mark.parametrize("number", [20, pytest.param(200, marks=pytest.mark.slow)])
def test_many_in_a_row(
    number: int, never_ran: Callable[[str], Stream], lab: Lab, private_temporary: Path
) -> None:
    targets = ["x86_64", "ppc64"]
    for target in targets:
        for release in RELEASES:
            lab(release, target)
        never_ran(target)
    before = counts()
    for index in range(number):
        target = targets[index % 5 == 0]
        release = RELEASES[index % 4]
        answer = rehearse(never_ran(target), marked(machine(target)), release=release)
        # 5.2's pseries knows an older spapr_iommu than 7.2's sends.
        loads = (target, release) != ("ppc64", "5.2")
        assert answer.outcome is (Outcome.LOADS if loads else Outcome.REFUSED), answer
    assert counts_at_rest(before) == before
    assert not qemus()


def test_16_side_by_side(
    never_ran: Callable[[str], Stream], lab: Lab, private_temporary: Path
) -> None:
    for release in RELEASES:
        lab(release)
    stream = never_ran("x86_64")
    before = counts()
    lines = [marked(machine("x86_64")), marked([*machine("x86_64"), "-device", "nonsense"])]
    destinations = [
        Destination(command_line=lines[number % 4 == 3], release=RELEASES[number % 4])
        for number in range(16)
    ]
    answers = rehearse_all(stream, destinations, jobs=16)
    outcomes = [isinstance(one, Verdict) and str(one.outcome) for one in answers]
    assert outcomes == ["loads", "loads", "loads", "refused"] * 4
    assert counts_at_rest(before) == before
    assert not qemus()


@pytest.mark.slow
@pytest.mark.parametrize("memory", ["256", "64G"])
def test_killed_at_any_moment(memory: str, lab: Lab, private_temporary: Path) -> None:
    lab("7.2")
    line = marked(machine("x86_64", memory))
    source = private_temporary.parent / "source.mig"
    source.write_bytes(collect(line, release="7.2").stream)
    command = [sys.executable, "-m", "migratable", "rehearse", str(source), "--release", "7.2"]
    command += ["--release", "7.2", "--jobs", "2", "--", *line]
    random.seed(4)
    for number in range(8):
        process = subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=os.environ
        )
        time.sleep(0.1 + 0.08 * number + random.random() * 0.05)
        process.send_signal(signal.SIGKILL if number % 4 else signal.SIGTERM)
        process.wait()
        deadline = time.monotonic() + 60
        while qemus() and time.monotonic() < deadline:
            time.sleep(0.01)
        assert not qemus()
        assert list(private_temporary.iterdir()) == []


# What a rehearsal cannot tell is not told


def test_refusal_for_a_device_that_was_left_out(
    never_ran: Callable[[str], Stream], lab: Lab
) -> None:
    lab("7.2")
    device = ["-device", "virtio-rng-pci,id=r0"]
    source = collect([*machine("x86_64"), *device], release="7.2").stream
    passed = [*machine("x86_64"), "-device", "vfio-pci,host=00:03.0"]
    answer = rehearse(read(source), passed, release="7.2")
    assert answer.outcome is Outcome.UNKNOWN
    assert any("left out" in text for text in answer.unchecked)
    assert any("vfio-pci" in text for text in answer.unchecked)
    assert rehearse(never_ran("x86_64"), passed, release="7.2").outcome is Outcome.LOADS


def test_tap_without_a_namespace(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    from migratable.qemu import start

    path = guest_stream("x86-tap", "10.0", lab)
    line = ["qemu-system-x86_64", *GUESTS["x86-tap"].command_line(Path("/nowhere/disk.img"))]
    line += ["-serial", "null"]
    assert rehearse(read(path), line, release="10.0").outcome is Outcome.LOADS
    monkeypatch.setattr(start, "namespaces_work", lambda: False)
    answer = rehearse(read(path), line, release="10.0")
    assert answer.outcome is Outcome.UNKNOWN
    assert answer.first_refusal is not None
    assert "vnet_hdr" in answer.first_refusal.message


@pytest.mark.usefixtures("no_kvm")
def test_section_of_kvm_alone(never_ran: Callable[[str], Stream], lab: Lab) -> None:
    """A source under KVM has ``kvmclock``; a destination that asks for KVM will have it too."""
    from migratable.stream.edit import append_section, free_section_id, full_section

    lab("10.0")
    stream = never_ran("x86_64")
    section = full_section("kvmclock", 0, 1, bytes(8), section_id=free_section_id(stream))
    stream = append_section(stream, section)
    line = marked(machine("x86_64"))
    kvm = rehearse(stream, [*line, "-enable-kvm"], release="10.0")
    assert kvm.outcome is Outcome.UNKNOWN
    assert "there is no /nonexistent/kvm here" in kvm.unchecked[0]
    assert any("kvmclock" in text for text in kvm.unchecked)
    tcg = rehearse(stream, line, release="10.0")
    assert tcg.first_refusal is not None
    assert (tcg.first_refusal.rule, tcg.first_refusal.device) == ("unknown-section", "kvmclock")


def test_start_that_needs_kvm_is_unknown(never_ran: Callable[[str], Stream], lab: Lab) -> None:
    lab("7.2", "ppc64")
    line = [*machine("ppc64"), "-M", "pseries-5.2,cap-htm=on"]
    stream = never_ran("ppc64")
    answer = rehearse(stream, line, release="7.2")
    assert answer.outcome is Outcome.REFUSED
    assert answer.first_refusal is not None
    assert answer.first_refusal.rule == "destination-start"
    answer = rehearse(stream, [*line, "-enable-kvm"], release="7.2")
    assert answer.outcome is Outcome.UNKNOWN
    assert any("under KVM" in text for text in answer.unchecked)


def test_stream_without_any_ram_section(never_ran: Callable[[str], Stream], lab: Lab) -> None:
    """What ``xen-save-devices-state`` writes: no configuration, no RAM, no vmdesc."""
    from dataclasses import replace

    lab("10.0")
    stream = never_ran("x86_64")
    bare = replace(stream, configuration=None, elements=stream.devices, ram=None, vmdesc=None)
    answer = rehearse(bare, marked(machine("x86_64")), release="10.0")
    assert answer.outcome is Outcome.LOADS, answer.stderr
    assert not any("vmdesc" in line for line in answer.stderr)
    assert any("machine type and RAM blocks" in text for text in answer.unchecked)


# However the stream travelled

_PC = (
    "qemu-system-x86_64 -M pc -m 32M -smp 2 -nodefaults "
    "-device virtio-balloon-pci,disable-modern=on "
    "-device virtio-rng-pci,packed=on,disable-legacy=on -device cirrus-vga -device rtl8139"
)


@pytest.mark.parametrize(
    ("name", "option", "outcome"),
    [
        ("10.0-pc-nofoot", "-global migration.send-section-footer=off", "loads"),
        ("10.0-pc-nofoot", "", "refused"),
        ("5.2-pc-noconf", "-global migration.send-configuration=off", "loads"),
        ("5.2-pc-noconf", "", "refused"),
        ("11.1-pc-nodesc", "-M suppress-vmdesc=on", "loads"),
        ("10.0-pc-xis", "", "loads"),
        ("5.2-pc-postcopy", "", "loads"),
        ("5.2-pc-switched", "", "refused"),
    ],
)
def test_golden_streams(name: str, option: str, outcome: str, lab: Lab, repository: Path) -> None:
    """Of ``tests/golden``; ``switched`` comes from a machine with fewer devices."""
    release = name.partition("-")[0]
    lab(release)
    stream = read(repository / "tests" / "golden" / "streams" / f"{name}.mig.xz")
    answer = rehearse(stream, [*_PC.split(), *option.split()], release=release)
    assert answer.outcome == outcome, answer.stderr
    assert not any("vmdesc" in line for line in answer.stderr)
    if name == "5.2-pc-switched":
        assert answer.first_refusal is not None
        assert answer.first_refusal.device == "0000:00:02.0/virtio-rng"


def test_mapped_ram(lab: Lab, tmp_path: Path) -> None:
    path = tmp_path / "mapped.mig"
    line = machine("x86_64")
    with Running(lab("10.0").command, [*line[1:], "-S", "-display", "none"]) as running:
        capability = {"capability": "mapped-ram", "state": True}
        running.qmp("migrate-set-capabilities", capabilities=[capability])
        assert running.migrate(f"file:{path}") == "completed"
    answer = rehearse(read(path), [*line, "-serial", "null"], release="11.1")
    assert answer.outcome is Outcome.LOADS, answer.stderr
    assert any("mapped-ram" in text for text in answer.unchecked)


# The command


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "migratable", "rehearse", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)


def test_command(never_ran: Callable[[str], Stream], lab: Lab, tmp_path: Path) -> None:
    from migratable.stream import write

    for release in ("7.2", "10.0"):
        lab(release)
    source = tmp_path / "guest.mig"
    source.write_bytes(write(never_ran("x86_64")))
    line = marked(machine("x86_64"))
    done = run(str(source), "--release", "10.0", "--json", "--", *line)
    assert (done.returncode, done.stderr) == (0, "")
    answer = json.loads(done.stdout)
    assert answer["schema"] == "migratable.verdict/1"
    assert (answer["verdict"], answer["basis"]) == ("loads", "rehearsed")
    assert answer["destination"]["qemu"].startswith("10.0")
    assert answer["source"]["machine"] == "pc-q35-5.2"
    less = [*line, "-m", "128"]
    done = run(str(source), "--release", "10.0", "--", *line, "--", *less)
    assert done.returncode == 1
    assert "LOADS" in done.stdout
    assert "REFUSED" in done.stdout
    assert "ram-block-size" in done.stdout
    done = run(str(source), "--release", "7.2", "--release", "10.0", "--json", "--", *less)
    assert done.returncode == 1
    found = json.loads(done.stdout)["rehearsals"]
    assert [one["first_refusal"]["rule"] for one in found] == ["ram-block-size"] * 2
    assert [one["name"] for one in found] == ["7.2", "10.0"]
    for wrong in (
        [str(source)],
        [str(source), "--watch", "3", "--", *line],
        [str(source), "--", "/nowhere/qemu-none"],
        [str(tmp_path / "none.mig"), "--release", "10.0", "--", *line],
        [str(source), "--alive", "--release", "10.0", "--", *line],
    ):
        done = run(*wrong)
        assert (done.returncode, done.stdout) == (2, ""), wrong
        assert done.stderr.strip()
        assert "Traceback" not in done.stderr


def test_source_is_no_stream(tmp_path: Path, lab: Lab) -> None:
    source = tmp_path / "nonsense.mig"
    source.write_bytes(b"no stream at all")
    with pytest.raises(MigratableError):
        rehearse(read(source), machine("x86_64"), release=lab("10.0").release)
