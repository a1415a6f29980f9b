"""Releases against one another, with programs that are made up."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from collections.abc import Mapping
from typing import Any

import pytest
from click.testing import CliRunner

from migratable.cli import cli
from migratable.errors import DestinationStartError, PlanError
from migratable.fleet.cells import State
from migratable.gate import recipes, releases
from migratable.gate.programs import Device, Program, read_devices, read_machines
from migratable.gate.releases import Question, compare
from migratable.profile.model import Profile
from migratable.releases import QemuVersion
from migratable.report.matrix_html import render
from migratable.report.matrix_junit import write
from migratable.stream import Stream
from migratable.verdict import Basis, Finding, Outcome, Severity, Verdict
from tests.unit.stream import tiny

MACHINES = """Supported machines are:
microvm              microvm (i386)
pc                   Standard PC (i440FX + PIIX, 1996) (alias of pc-i440fx-7.2)
pc-i440fx-7.2        Standard PC (i440FX + PIIX, 1996) (default)
pc-i440fx-1.7        Standard PC (i440FX + PIIX, 1996) (deprecated)
none                 empty machine
"""
DEVICES = """Storage devices:
name "virtio-blk-pci", bus PCI, alias "virtio-blk"
name "scsi-hd", bus SCSI, desc "virtual SCSI disk"
name "nvdimm", desc "DIMM memory module"

CPU devices:
name "486-x86_64-cpu"

Uncategorized devices:
name "pc-dimm", desc "DIMM, memory"
"""


def test_help_is_read() -> None:
    assert read_machines(MACHINES) == ["microvm", "pc-i440fx-7.2", "pc-i440fx-1.7"]
    wide = "Supported machines are:\npc" + " " * 200_000 + "(alias of x) y\nq35" + " " * 200_000
    assert read_machines(wide) == ["pc", "q35"]
    found = read_devices(DEVICES)
    assert [(one.name, one.bus, one.category) for one in found] == [
        ("virtio-blk-pci", "PCI", "Storage"),
        ("scsi-hd", "SCSI", "Storage"),
        ("nvdimm", "", "Storage"),
        ("pc-dimm", "", "Uncategorized"),
    ]


def test_a_device_gets_what_it_needs() -> None:
    disk = Device(name="scsi-hd", bus="SCSI", properties={"drive": "str", "serial": "str"})
    words = " ".join(recipes.words("pc", disk))
    assert "-device virtio-scsi-pci -device scsi-hd,drive=d0" in words
    assert "node-name=d0" in words
    dimm = Device(name="pc-dimm", properties={"memdev": "link<memory-backend>"})
    words = " ".join(recipes.words("pc", dimm))
    assert "maxmem=2G" in words
    assert "-device pc-dimm,memdev=m0" in words
    assert recipes.words("pc") == ("-machine", "pc", "-m", "256M")
    assert recipes.left_out(Device(name="virtio-blk-device", bus="virtio-bus"))
    assert not recipes.left_out(disk)


def _program(release: int, machines: tuple[str, ...], devices: tuple[str, ...]) -> Program:
    return Program(
        label=f"{release}.0",
        command=(f"qemu{release}",),
        version=QemuVersion(release, 0),
        machines=machines,
        devices={name: Device(name=name, bus="PCI", category="Net") for name in devices},
    )


PROGRAMS = {
    "7.0": _program(7, ("pc-q35-6.0", "pc-q35-7.0"), ("old", "net")),
    "8.0": _program(8, ("pc-q35-6.0", "pc-q35-7.0", "pc-q35-8.0"), ("old", "net", "new")),
    "9.0": _program(9, ("pc-q35-7.0", "pc-q35-8.0", "pc-q35-9.0"), ("net", "new", "odd")),
}


def _collected(line: Any, **options: Any) -> Profile:
    release = int(line.program[0].removeprefix("qemu"))
    machine = line.machine
    known = PROGRAMS[f"{release}.0"]
    if machine not in known.machines:
        raise DestinationStartError("x", stderr=("unsupported machine type",))
    for _, driver, _ in line.devices():
        if driver == "odd":
            raise DestinationStartError("x", stderr=("odd needs more",))
        if driver not in known.devices:
            raise DestinationStartError("x", stderr=(f"'{driver}' is not a valid device model",))
    return Profile(version=QemuVersion(release, 0), machine=machine, stream=tiny.data())


def _check(stream: Stream, profile: Profile) -> Verdict:
    """9.0 cannot load pc-q35-7.0, from whatever release."""
    if profile.version.major == 9 and profile.machine == "pc-q35-7.0":
        found = Finding(rule="layout", severity=Severity.REFUSES, summary="9.0 broke it")
        return Verdict(outcome=Outcome.REFUSED, basis=Basis.PREDICTED, findings=(found,))
    return Verdict(outcome=Outcome.LOADS, basis=Basis.PREDICTED)


@pytest.fixture
def made_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(releases, "program", lambda word, arch: PROGRAMS[word])
    monkeypatch.setattr(releases, "collected", _collected)
    monkeypatch.setattr(releases, "predict", _check)


def _compared(*words: str, machines: tuple[str, ...], **options: Any) -> releases.Comparison:
    return compare(Question(releases=words, machines=machines, **options), check=_check)


def _states(found: releases.Comparison, name: str) -> Mapping[str, State]:
    matrix = found.matrix
    vm = next(at for at, line in enumerate(matrix.vms) if line.name == name)
    return {line.name: matrix.answer(vm, at).state for at, line in enumerate(matrix.hosts)}


@pytest.mark.usefixtures("made_up")
def test_what_a_release_broke() -> None:
    found = _compared("7.0", "8.0", "9.0", machines=("all",))
    assert _states(found, "pc-q35-7.0") == {
        "7.0 → 8.0": State.LOADS,
        "7.0 → 9.0": State.REFUSED,
        "8.0 → 9.0": State.REFUSED,
        "8.0 → 7.0": State.LOADS,
        "9.0 → 7.0": State.LOADS,
        "9.0 → 8.0": State.LOADS,
        "7.0 → 7.0": State.LOADS,
        "8.0 → 8.0": State.LOADS,
        "9.0 → 9.0": State.REFUSED,
    }
    # A machine type that a release dropped is refused there; one that it did not have yet is not.
    assert _states(found, "pc-q35-6.0")["7.0 → 9.0"] is State.REFUSED
    assert _states(found, "pc-q35-6.0")["9.0 → 7.0"] is State.NONE
    assert _states(found, "pc-q35-8.0")["8.0 → 7.0"] is State.NONE
    assert _states(found, "pc-q35-8.0")["8.0 → 9.0"] is State.LOADS
    told = {
        (one.release, found.matrix.vms[one.vm].name, found.matrix.hosts[one.host].name)
        for one in found.broken
    }
    assert told == {
        ("9.0", "pc-q35-7.0", "7.0 → 9.0"),
        ("9.0", "pc-q35-7.0", "8.0 → 9.0"),
        ("9.0", "pc-q35-7.0", "9.0 → 9.0"),
        ("9.0", "pc-q35-6.0", "7.0 → 9.0"),
        ("9.0", "pc-q35-6.0", "8.0 → 9.0"),
    }
    assert {one.message for one in found.broken} == {"9.0 broke it", "unsupported machine type"}
    assert found.exit_status == 1
    assert _compared("7.0", "8.0", machines=("pc-q35-7.0",)).exit_status == 0


@pytest.mark.usefixtures("made_up")
def test_devices_are_tried_on_the_newest_shared_machine() -> None:
    found = _compared("7.0", "8.0", "9.0", machines=("none",), devices=("all",))
    assert {line.name for line in found.matrix.vms} == {"old", "net", "new"}
    assert dict(found.left_out) == {"odd": "odd needs more"}
    assert _states(found, "old")["7.0 → 8.0"] is State.LOADS
    assert _states(found, "old")["8.0 → 9.0"] is State.REFUSED
    assert _states(found, "new")["8.0 → 7.0"] is State.REFUSED
    assert _states(found, "new")["7.0 → 8.0"] is State.NONE
    crossed = _compared("7.0", "8.0", machines=("pc-q35-*",), devices=("net",), cross=True)
    assert [line.name for line in crossed.matrix.vms] == [
        "net on pc-q35-6.0",
        "net on pc-q35-7.0",
        "net on pc-q35-8.0",
    ]


def test_devices_where_no_machine_type_has_a_version() -> None:
    """riscv64's virt stands for itself; a type that one release lacks does not."""

    def at(*machines: str) -> Program:
        return Program(
            label="x", command=("q",), version=QemuVersion(7, 2), machines=machines, devices={}
        )

    names = ("spike", "virt", "sifive_u")
    programs = (at(*names), at("spike", "virt"))
    assert releases._shared(programs, names) == ["virt", "spike"]
    versioned = (*names, "pc-q35-7.0")
    assert releases._shared((at(*versioned),) * 2, versioned) == ["pc-q35-7.0"]


@pytest.mark.usefixtures("made_up")
@pytest.mark.parametrize(
    ("words", "options", "message"),
    [
        (("7.0",), {}, "two releases or more"),
        (("7.0", "7.0"), {}, "occurs twice"),
        (("7.0", "8.0"), {"machines": ("pc-99",)}, "no release has the machine type 'pc-99'"),
        (("7.0", "8.0"), {"devices": ("nett*",)}, "no release has the device 'nett*'"),
        (("7.0", "8.0"), {"machines": ("none",)}, "nothing to compare"),
    ],
)
def test_questions_that_make_no_sense(
    words: tuple[str, ...], options: dict[str, Any], message: str
) -> None:
    with pytest.raises(PlanError) as error:
        compare(Question(releases=words, **options), check=_check)
    assert message in str(error.value)


@pytest.mark.usefixtures("made_up")
def test_the_command_and_its_forms() -> None:
    arguments = [
        "matrix",
        "--releases",
        "7.0",
        "8.0",
        "9.0",
        "--machines",
        "pc-q35-7.0",
        "pc-q35-6.0",
    ]
    runner = CliRunner()
    done = runner.invoke(cli, arguments, catch_exceptions=False)
    assert done.exit_code == 1
    assert "9.0 broke 5 pairs that 8.0 did not" in done.output
    assert "8.0 broke 0 pairs" in done.output
    document = json.loads(runner.invoke(cli, [*arguments, "--format", "json"]).output)
    assert document["releases"]["broken_by_last"] == 5
    page = render(document)
    assert "9.0: 5 pairs that 8.0 did not break" in page
    root = ET.fromstring("\n".join(write(document)).encode())
    news = root.findall("./testsuite/testcase/failure")
    assert len(news) == 5
    document["releases"]["broken"] = document["releases"]["broken"][1:]
    root = ET.fromstring("\n".join(write(document)).encode())
    assert len(root.findall("./testsuite/testcase/failure")) == 4
    old = [one for one in root.iter("skipped") if "before this release" in one.get("message", "")]
    assert len(old) == 1


@pytest.mark.usefixtures("made_up")
def test_lists_take_words_up_to_the_next_option() -> None:
    runner = CliRunner()
    one = runner.invoke(
        cli, ["matrix", "--releases", "7.0", "8.0", "--machines", "pc-q35-7.0", "--format", "json"]
    )
    two = runner.invoke(
        cli, ["matrix", "--releases=7.0,8.0", "--machines", "pc-q35-7.0", "--format=json"]
    )
    assert one.exit_code == two.exit_code == 0
    assert json.loads(one.output) == json.loads(two.output)
