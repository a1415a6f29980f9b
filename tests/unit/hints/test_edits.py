"""Edits of command lines, what differs between two, and what a program said at its start."""

from __future__ import annotations

import pytest

from migratable.commandline import CommandLine, parse
from migratable.facts.removed_options import INSTEAD
from migratable.hints import line_edits, memory, removed_options
from migratable.hints.remedies import capability_higher, destination_start
from migratable.hints.start_error import said
from migratable.problem_facts import StartFacts
from migratable.verdict import Finding, Severity
from tests.unit.stream import tiny


def line(text: str) -> CommandLine:
    return parse(f"qemu {text}")


def words(found: CommandLine) -> str:
    return " ".join(found.argv[1:])


def start(message: str) -> Finding:
    return Finding(
        rule="destination-start",
        severity=Severity.REFUSES,
        summary="",
        facts=StartFacts(said=message),
    )


@pytest.mark.parametrize(
    ("old", "new", "places"),
    [
        ("-m 1G", "-m 1G", set()),
        ("-m 1G", "-m size=2G,slots=2", {("m", "", "size"), ("m", "", "slots")}),
        ("-device a,id=x,p=1", "-device a,id=x,p=2", {("device", "x#1", "p")}),
        ("-device a -device b", "-device b -device a", set()),
        ("-device a,id=x -device a,id=y", "-device a,id=y -device a,id=x", set()),
        ("-global a.b=1 -global c.d=1", "-global c.d=1", {("global", "a", "b")}),
        ("-machine q35", "-machine q35,usb=on", {("machine", "", "usb")}),
    ],
)
def test_differences(old: str, new: str, places: set[line_edits.Place]) -> None:
    assert line_edits.differences(line(old), line(new)) == places
    assert line_edits.differences(line(new), line(old)) == places


def test_two_alike_devices_differ_from_one() -> None:
    assert line_edits.differences(line("-device a"), line("-device a -device a"))


def test_with_option_keeps_its_place() -> None:
    found = line_edits.with_option(line("-smp 1 -m 1G -smp 2,cores=2"), "smp", "4")
    assert words(found) == "-smp 4 -m 1G"
    assert words(line_edits.with_option(line("-m 1G"), "smp", "4")) == "-m 1G -smp 4"


def test_a_device_goes_with_all_that_sits_on_it() -> None:
    found = line(
        "-device bridge,id=b -device hub,id=h,bus=b -device kbd,bus=h.0 -device nic,bus=pci.0"
    )
    option = next(found.all("device"))
    assert words(line_edits.without_device(found, option)) == "-device nic,bus=pci.0"


@pytest.mark.parametrize(
    ("message", "option", "which", "rest"),
    [
        ("-device e1000,id=n,x=1: no", "-device", "n", "no"),
        ("-device e1000,mac=52:54:00:00:00:01,id=n: a: b", "-device", "n", "a: b"),
        ("-device e1000,x=1: no", "-device", "e1000", "no"),
        ('-device {"driver": "e1000", "id": "n"}: no', "-device", "n", "no"),
        ("-no-hpet: invalid option", "-no-hpet", "", "invalid option"),
        ("total memory: no", "", "", "total memory: no"),
    ],
)
def test_said(message: str, option: str, which: str, rest: str) -> None:
    assert said(start(message)) == (option, which, rest)


def test_devices_in_order() -> None:
    found = destination_start.in_order(
        line("-device a,bus=b.0 -m 1G -device c -device b,id=b,bus=d -device d,id=d")
    )
    assert words(found) == "-device c -m 1G -device d,id=d -device b,id=b,bus=d -device a,bus=b.0"


def test_devices_that_name_each_other_stay() -> None:
    text = "-device a,id=x,peer=y -device b,id=y,peer=x"
    assert words(destination_start.in_order(line(text))) == text


def test_devices_without_json() -> None:
    found = parse(["qemu", "-device", '{"driver": "e1000", "id": "n", "bus": "a,b"}', "-m", "1G"])
    assert destination_start.without_json(found).argv[1:] == [
        "-device", "e1000,id=n,bus=a,,b", "-m", "1G",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "level", "value"),
    [
        ("cfpc", 1, "workaround"),
        ("ibs", 4, "fixed-na"),
        ("hpt-max-page-size", 16, "64k"),
        ("hpt-max-page-size", 24, "16M"),
        ("large-decr", 1, "on"),
        ("htm", 0, "off"),
    ],
)
def test_capability_levels(name: str, level: int, value: str) -> None:
    assert capability_higher.value(name, level) == value


@pytest.mark.parametrize(("size", "text"), [(1 << 30, "1G"), (130 << 20, "130M"), (4097, "4097")])
def test_sizes(size: int, text: str) -> None:
    assert memory.text(size) == text


def test_main_memory() -> None:
    stream = tiny.stream()  # pc.ram, 8 KiB
    assert words(memory.with_total(line("-m 1G,slots=2,maxmem=2G"), stream)).startswith("-m ")
    assert memory.with_total(line("-m 4"), stream).get("m", "size") == "8K"
    backed = "-machine memory-backend=r -object memory-backend-ram,id=r,size=1G -m 1G"
    both = memory.with_total(line(backed), stream)
    assert both.get("object", "size") == both.get("m", "size") == "8K"
    assert words(memory.plain(line(backed))) == "-m 1G"


def test_slots() -> None:
    stream = tiny.stream()
    found = memory.with_slots(line("-m 1G"), stream, 2)
    assert found.get("m", "slots") == "2"
    assert found.get("m", "maxmem") == "2G"
    modules = "-m 1G,slots=4,maxmem=4G -device pc-dimm,memdev=pc.ram -device nvdimm,memdev=other"
    without = memory.without_slots(line(modules), stream)
    assert words(without) == "-m 1G -device pc-dimm,memdev=pc.ram"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("-M pc-q35-7.2,usb=on -no-hpet -m 1G", "-M pc-q35-7.2,usb=on,hpet=off -m 1G"),
        ("-no-acpi -m 1G", "-machine acpi=off -m 1G"),
        ("-m 1G -soundhw ac97 -device a", "-m 1G -audio driver=none,model=ac97 -device a"),
        ("-rtc clock=vm -localtime", "-rtc clock=vm,base=localtime"),
        ("-localtime -m 1G", "-rtc base=localtime -m 1G"),
        ("-chroot /a -m 1G", "-run-with chroot=/a -m 1G"),
        ("-run-with user=b -chroot /a", "-run-with user=b,chroot=/a"),
        ("-no-kvm-pit-reinjection", "-global kvm-pit.lost_tick_policy=discard"),
    ],
)
def test_what_stands_for_a_removed_option(old: str, new: str) -> None:
    found = line(old)
    option = next(one for one in found.options if one.name in INSTEAD)
    (candidate,) = removed_options.candidates(option)
    assert candidate.edit is not None
    assert words(candidate.edit(found)) == new


@pytest.mark.parametrize("text", ["-soundhw ac97,hda", "-enable-fips"])
def test_a_removed_option_that_no_other_stands_for(text: str) -> None:
    assert not list(removed_options.candidates(line(text).options[0]))
