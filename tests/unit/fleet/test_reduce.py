"""Keys: what a rule may see makes them different, and nothing else does."""

from __future__ import annotations

from dataclasses import replace

import pytest

from migratable.check.cache.equivalence import kind, shape
from migratable.profile.model import Profile
from migratable.profile.tables import Handler, LoaderTables, VmField, Vmsd
from migratable.releases import QemuVersion
from migratable.stream import read, write
from migratable.stream.edit import replace_section as replaced
from migratable.stream.edit import with_elements
from migratable.stream.vmdesc import parse
from migratable.stream.wire_format import SectionKind
from tests.unit.stream import tiny


def test_contents_of_ram_are_not_seen() -> None:
    without = tiny.stream()
    one = tiny.stream(pages=(("pc.ram", 0, b"\x01" * 4096),))
    two = tiny.stream(pages=(("pc.ram", 4096, b"\x02" * 4096),))
    assert shape(one) == shape(two) == shape(without)


def test_the_way_in_which_it_was_read_is_not_seen() -> None:
    data = tiny.data(pages=(("pc.ram", 0, b"\x01" * 4096),))
    assert shape(read(data)) == shape(read(data, ram=True))


def test_white_space_of_vmdesc_is_not_seen() -> None:
    stream = tiny.stream()
    assert stream.vmdesc is not None
    raw = stream.vmdesc.raw.replace(b", ", b",\n\t ")
    assert raw != stream.vmdesc.raw
    assert shape(replace(stream, vmdesc=parse(raw))) == shape(stream)


def test_a_byte_of_a_device_is_seen() -> None:
    stream = tiny.stream()
    section = stream.devices[0]
    for at in (0, len(section.body) - 1):
        body = bytearray(section.body)
        body[at] ^= 1
        other = replaced(stream, section, replace(section, body=bytes(body)))
        assert shape(other) != shape(stream)


@pytest.mark.parametrize("name", tiny.NAMES)
def test_golden_streams_are_all_different_and_each_equals_itself(name: str) -> None:
    stream = read(tiny.golden(name))
    assert shape(read(write(stream))) == shape(stream)
    others = {shape(read(tiny.golden(other))) for other in tiny.NAMES if other != name}
    assert shape(stream) not in others


def test_what_a_header_says_is_seen() -> None:
    stream = tiny.stream()
    section = stream.devices[0]
    assert stream.configuration is not None
    assert stream.ram is not None
    different = [
        stream,
        replaced(stream, section, replace(section, instance_id=7)),
        replaced(stream, section, replace(section, version_id=7)),
        replaced(stream, section, replace(section, idstr="timex")),
        replaced(stream, section, replace(section, footer=False)),
        replace(stream, configuration=replace(stream.configuration, machine="pc-q35-4.2")),
        replace(stream, configuration=None),
        replace(stream, ram=replace(stream.ram, blocks=stream.ram.blocks[:1])),
        replace(stream, vmdesc=None),
        replace(stream, eof=False),
    ]
    assert len({shape(one) for one in different}) == len(different)


def _profile(base: int, **options: object) -> Profile:
    """A destination whose process lives at *base*."""
    tables = LoaderTables(
        handlers=(
            Handler(idstr="a", instance_id=0, alias_id=-1, version=1, vmsd=0, opaque=base + 0x1000),
            Handler(idstr="b", instance_id=0, alias_id=-1, version=1, vmsd=0, opaque=base + 0x9000),
        ),
        vmsds=(
            Vmsd(
                name="a",
                version=1,
                minimum=1,
                fields=(VmField(name="x", test=base + 0x77), VmField(name="y", test=base + 0x99)),
            ),
        ),
        words={(base + 0x1008, 4): 17, (base + 0x9010, 8): base + 0x1008},
    )
    arguments: dict[str, object] = {
        "version": QemuVersion(10, 0),
        "machine": "m",
        "loader": tables,
        "taken": str(base),
        "program": (str(base),),
        "command_line": ("qemu", "-name", str(base)),
    }
    arguments.update(options)
    return Profile(**arguments)  # type: ignore[arg-type]


def test_addresses_and_names_of_a_destination_are_not_seen() -> None:
    assert kind(_profile(0x7F00_0000_0000)) == kind(_profile(0x5555_0000_0000))


def test_how_many_rounds_a_destination_took_is_not_seen() -> None:
    """Beside busy processes an empty ``spapr/htab`` of the same machine takes another number."""
    stream = read(tiny.golden("7.2-pseries"))
    rounds = [one for one in stream.sections if one.idstr == "spapr/htab"]
    part = next(one for one in rounds if one.kind is SectionKind.PART)
    once = [one for one in stream.elements if one not in rounds or one.kind is not SectionKind.PART]
    at = next(number for number, one in enumerate(once) if one in rounds) + 1
    keys = {
        kind(_profile(0, stream=write(with_elements(stream, [*once[:at], *parts, *once[at:]]))))
        for parts in ([], [part], [part, part])
    }
    assert len(keys) == 1
    assert keys != {kind(_profile(0, stream=tiny.data()))}


def test_what_a_destination_is_is_seen() -> None:
    one = _profile(0x7F00_0000_0000)
    assert one.loader is not None
    words = dict(one.loader.words)
    words[0x7F00_0000_1008, 4] = 18
    other_pointer = dict(one.loader.words)
    other_pointer[0x7F00_0000_9010, 8] += 8
    different = [
        one,
        replace(one, version=QemuVersion(10, 1)),
        replace(one, machine="n"),
        replace(one, pvr=5),
        replace(one, ram_blocks={"pc.ram": (1, 1)}),
        replace(one, loader=None),
        replace(one, loader=replace(one.loader, words=words)),
        replace(one, loader=replace(one.loader, words=other_pointer)),
        replace(one, loader=replace(one.loader, handlers=one.loader.handlers[:1])),
        replace(one, stream=tiny.data()),
    ]
    assert len({kind(one) for one in different}) == len(different)
