"""Altered copies, and what differs between two streams."""

from __future__ import annotations

from dataclasses import replace

import pytest

from migratable.stream import Section, SectionKind, Stream, edit, read, write
from migratable.stream.compare import Difference, Kind, compare
from tests.unit.stream import tiny


def names(stream: Stream) -> list[str]:
    return [one.idstr for one in stream.devices]


def find(stream: Stream, idstr: str) -> Section:
    section = stream.device(idstr)
    assert section is not None
    return section


@pytest.mark.parametrize("name", [name for name in tiny.NAMES if "nofoot" not in name])
def test_dropped_sections_stay_dropped(name: str) -> None:
    stream = read(tiny.golden(name))
    small = edit.drop_sections(stream, lambda one: one.idstr == "timer")
    again = read(write(small))
    assert names(again) == [one for one in names(stream) if one != "timer"]
    if stream.vmdesc is not None:
        assert all(one.description is not None for one in again.devices)


def test_replaced_and_appended() -> None:
    stream = tiny.stream()
    timer = find(stream, "timer")
    longer = replace(timer, body=bytes(timer.body) + b"more", version_id=9)
    stream = edit.replace_section(stream, timer, longer)
    extra = edit.full_section("extra", 7, 1, b"", section_id=edit.free_section_id(stream))
    again = read(write(edit.append_section(stream, extra)))
    assert names(again) == ["timer", "0000:00:01.0/thing", "extra"]
    found = find(again, "timer")
    assert (found.version_id, bytes(found.body[-4:])) == (9, b"more")
    assert found.description is not None and found.description.opaque
    assert find(again, "extra").instance_id == 7


def test_elided_golden_streams_lose_nothing_but_ram() -> None:
    stream = read(tiny.golden("4.1-pseries-4.1-dual"))
    again = read(write(edit.elide_ram(stream)))
    assert [bytes(one.body) for one in again.devices] == [bytes(one.body) for one in stream.devices]
    assert again.ram_blocks == stream.ram_blocks
    kinds = [one.kind for one in again.sections if one.idstr == "ram"]
    assert kinds == [SectionKind.START, SectionKind.END]


def differences(a: Stream, b: Stream, *, values: bool = True) -> list[Difference]:
    return list(compare(a, b, values=values))


@pytest.mark.parametrize("name", tiny.NAMES)
def test_identity(name: str) -> None:
    stream = read(tiny.golden(name))
    assert differences(stream, read(tiny.golden(name))) == []


def test_value_subsection_section_and_configuration() -> None:
    a = tiny.stream()
    body, _ = tiny.timer(ticks=5)
    b = edit.replace_section(a, find(a, "timer"), replace(find(a, "timer"), body=body))
    [one] = differences(a, b)
    assert (one.kind, one.path, one.a, one.b) == (Kind.VALUE, ("cpu_ticks_offset",), 1, 5)
    assert differences(a, b, values=False) == []

    b = edit.drop_sections(a, lambda section: section.idstr == "timer")
    [one] = differences(a, b)
    assert (one.kind, one.section, one.note) == (Kind.SECTION, "timer", "only in A")
    assert [two.note for two in differences(b, a)] == ["only in B"]

    assert a.configuration is not None
    b = replace(a, configuration=replace(a.configuration, machine="pc-q35-5.2"))
    [one] = differences(a, b)
    assert (one.kind, one.a, one.b) == (Kind.CONFIGURATION, "pc-q35-4.1", "pc-q35-5.2")


def test_real_differences() -> None:
    dual = read(tiny.golden("4.1-pseries-4.1-dual"))
    xive = read(tiny.golden("4.2+mig-cap-num-pseries-4.2-xive"))
    found = differences(dual, xive, values=False)
    told = {(one.kind, one.section, one.path[-1:] or (one.note,)) for one in found}
    assert (Kind.SECTION, "ics", ("only in A",)) in told
    assert (Kind.CONFIGURATION, None, ("machine",)) in told


def test_arrays_and_bytes() -> None:
    a = tiny.stream()
    section = find(a, "0000:00:01.0/thing")
    body = bytearray(section.body)
    body[1], body[6], body[15] = 9, 8, 0x7A
    b = edit.replace_section(a, section, replace(section, body=bytes(body)))
    found = differences(a, b)
    assert [(one.path, one.a, one.b) for one in found] == [
        (("counts[0]",), 1, 9),
        (("points[0]", "x"), 7, 8),
        (("blob",), "61626364", "7a626364"),
    ]
    assert found[2].note == "1 of 4 byte differs, the first at 0x0"
    assert found[0].to_json()["path"] == ["counts[0]"]
