"""Reading and writing whole streams."""

from __future__ import annotations

import mmap
from dataclasses import replace
from pathlib import Path

import pytest

from migratable.errors import StreamError
from migratable.stream import (
    Command,
    CommandKind,
    Section,
    SectionKind,
    Span,
    Stream,
    open_stream,
    read,
    write,
)
from migratable.stream import reader_forward as reader_module
from migratable.stream.edit import make_stream, without_vmdesc
from migratable.stream.writer import element_chunks
from tests.unit.stream import tiny


def told(stream: Stream) -> list[tuple[str, str, int, int, bytes]]:
    return [
        (one.kind.name, one.idstr, one.instance_id, one.version_id, bytes(one.body))
        for one in stream.sections
    ]


@pytest.mark.parametrize("name", tiny.NAMES)
def test_written_is_what_was_read(name: str) -> None:
    data = tiny.golden(name)
    assert write(read(data)) == data
    assert write(read(data, ram=True)) == data


@pytest.mark.parametrize("name", [name for name in tiny.NAMES if "nofoot" not in name])
def test_sections_found_by_footers_are_those_found_from_the_end(name: str) -> None:
    stream = read(tiny.golden(name))
    forward = read(write(without_vmdesc(stream)))
    assert forward.vmdesc is None
    assert told(forward) == told(stream)


def test_facts_of_a_golden_stream() -> None:
    stream = read(tiny.golden("4.1-pseries-4.1-dual"))
    assert stream.machine == "pseries-4.1"
    assert stream.page_size == 4096
    assert [(block.id, block.used_length) for block in stream.ram_blocks] == [
        ("ppc_spapr.ram", 256 << 20)
    ]
    assert len(stream.devices) == 17
    iommu = stream.device("spapr_iommu", 0x80000001)
    assert iommu is not None and iommu.version_id == 2
    assert all(section.description is not None for section in stream.devices)
    parts = [one.kind.name for one in stream.sections if one.idstr == "spapr/htab"]
    assert parts == ["START", "PART", "END"]


def test_other_shapes() -> None:
    noconf = read(tiny.golden("5.2-pc-noconf"))
    assert noconf.machine is None and noconf.ram is not None
    xen = read(tiny.golden("7.2-q35-xen"))
    assert (xen.machine, xen.ram, xen.vmdesc, len(xen.devices)) == (None, None, None, 50)
    nofoot = read(tiny.golden("10.0-pc-nofoot"))
    assert not any(section.footer for section in nofoot.sections)
    shared = read(tiny.golden("10.0-pc-xis"))
    assert shared.configuration is not None
    assert shared.configuration.capabilities == ("x-ignore-shared",)
    assert all(block.gpa is not None for block in shared.ram_blocks)
    postcopy = read(tiny.golden("5.2-pc-postcopy"))
    assert [one.name for one in postcopy.commands] == [
        "OPEN_RETURN_PATH",
        "PING",
        "POSTCOPY_ADVISE",
    ]


def test_a_real_postcopy_stream() -> None:
    """Devices travel in a package with LISTEN and RUN; RAM goes on after it, without vmdesc."""
    stream = read(tiny.golden("5.2-pc-switched"))
    package = next(one for one in stream.commands if one.kind == CommandKind.PACKAGED)
    assert isinstance(package.nested[0], Command)
    assert package.nested[0].kind == CommandKind.POSTCOPY_LISTEN
    assert len(stream.devices) == 31
    assert stream.vmdesc is None
    last = stream.sections[-1]
    assert (last.idstr, last.kind) == ("ram", SectionKind.END)


@pytest.mark.parametrize("vmdesc", [True, False])
def test_cut_at_any_byte(vmdesc: bool) -> None:
    """Only a cut after the EOF byte, where vmdesc may be absent or damaged, is a whole stream."""
    data = tiny.data(pages=(("pc.ram", 4096, b"p" * 4096),), vmdesc=vmdesc)
    whole = len(data) if not vmdesc else data.rindex(b"\x00\x06\x00") + 1
    for length in range(len(data)):
        if length == whole:
            assert read(data[:length]).vmdesc is None
            assert read(data[:length]).vmdesc_error == ""
            continue
        if vmdesc and length > whole:
            cut = read(data[:length])
            assert cut.vmdesc is None
            assert "ends early" in cut.vmdesc_error or "JSON" in cut.vmdesc_error
            assert bytes(write(cut)) == data[:length]
            continue
        with pytest.raises(StreamError) as caught:
            read(data[:length])
        assert caught.value.offset is None or caught.value.offset <= length


def test_padding_after_the_stream() -> None:
    data = tiny.data()
    stream = read(data + bytes(70_000))
    assert stream.vmdesc is not None and len(stream.trailer) == 70_000
    assert write(stream) == data + bytes(70_000)
    bare = tiny.data(vmdesc=False)
    assert write(read(bare + bytes(5000))) == bare + bytes(5000)


def test_negative_instance_ids_are_the_same_as_large_ones() -> None:
    assert tiny.stream().device("0000:00:01.0/thing", 0x80000000) is not None


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "shorter than its header"),
        (b"QEVM\0\0\0\2", "version 2"),
        (b"QEVN\0\0\0\3", "not a migration stream"),
        (b"QEVM\0\0\0\3\x07\xff\xff\xff\xff", "machine type name of 4294967295 bytes"),
        (b"QEVM\0\0\0\3\x09", "unknown section type 0x9"),
        (b"QEVM\0\0\0\3\x02\0\0\0\1", "no START"),
        (b"QEVM\0\0\0\3\x08\0\7\0\4\xff\xff\xff\xff", "package of 4294967295 bytes"),
        (b"QEVM\0\0\0\3\x04\0\0\0\1\5timer", "stream ends early"),
    ],
)
def test_broken_heads(data: bytes, words: str) -> None:
    with pytest.raises(StreamError, match=words):
        read(data)


def test_wrong_footer() -> None:
    data = bytearray(tiny.data())
    at = data.index(b"\x7e\x00\x00\x00\x03")
    data[at + 4] = 4
    with pytest.raises(StreamError, match="timer"):
        read(bytes(data))


def test_packages_nest_and_are_written_again() -> None:
    section = next(one for one in tiny.stream(vmdesc=False).devices if one.idstr == "timer")
    inner = Command(
        kind=CommandKind.PACKAGED, payload=bytes(4), nested=(section,), package_end=b"\0"
    )
    listen = Command(kind=CommandKind.POSTCOPY_LISTEN, payload=b"")
    outer = Command(kind=CommandKind.PACKAGED, payload=bytes(4), nested=(listen, inner))
    data = write(make_stream("pc", [outer]))
    stream = read(data)
    assert write(stream) == data
    assert [one.name for one in stream.commands] == ["PACKAGED", "POSTCOPY_LISTEN", "PACKAGED"]
    assert [one.idstr for one in stream.sections] == ["timer"]


def test_packages_do_not_nest_for_ever() -> None:
    element: Command = Command(kind=CommandKind.PING, payload=bytes(4))
    for _ in range(50):
        element = Command(kind=CommandKind.PACKAGED, payload=bytes(4), nested=(element,))
    with pytest.raises(StreamError, match="nested more than 8 deep"):
        read(write(make_stream("pc", [element])))


def test_large_ram_is_left_alone_until_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader_module, "SMALL", 100)
    data = tiny.data(pages=(("pc.ram", 0, b"p" * 4096), ("pc.ram", 4096, bytes(4096))))
    lazy = read(data)
    assert any(isinstance(one, Span) and not one.walked for one in lazy.elements)
    assert lazy.ram_statistics is None
    assert write(lazy) == data
    walked = read(data, ram=True)
    assert walked.ram_statistics is not None
    count = walked.ram_statistics.blocks["pc.ram"]
    assert (count.normal, count.zero) == (1, 1)


def test_very_many_rounds_become_one_span(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader_module, "MAX_PARTS", 3)
    stream = tiny.stream()
    end = next(one for one in stream.sections if one.kind is SectionKind.END)
    at = stream.elements.index(end)
    part = replace(end, kind=SectionKind.PART)
    rounds = (*stream.elements[:at], *[part] * 10, *stream.elements[at:])
    data = write(replace(stream, elements=rounds))
    found = read(data, ram=True)
    span = next(one for one in found.elements if isinstance(one, Span))
    assert (span.walked, span.sections) == (True, 8)
    assert write(found) == data
    assert found.ram_statistics is not None and found.ram_statistics.sections == 11


def test_early_setup_devices_before_the_ram() -> None:
    """Since 8.1 some FULL sections precede the rounds of RAM; vmdesc lists them first."""
    stream = tiny.stream()
    start, end, early, late = stream.elements
    data = write(replace(stream, elements=(start, early, end, late)))
    found = read(data)
    assert write(found) == data
    assert [one.idstr for one in found.devices] == ["timer", "0000:00:01.0/thing"]
    assert all(one.description is not None for one in found.devices)


def test_a_size_that_vmdesc_has_wrong() -> None:
    """Before 10.0 arrays of pointers with NULLs have a wrong size; the header is searched."""
    stream = tiny.stream()
    assert stream.vmdesc is not None
    raw = stream.vmdesc.raw.replace(b'"array_len": 3', b'"array_len": 9')
    found = read(write(replace(stream, vmdesc=replace(stream.vmdesc, raw=raw))))
    assert told(found) == told(stream)


def test_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "tiny.mig"
    path.write_bytes(tiny.data())
    with open_stream(path, ram=True) as stream:
        assert write(stream) == tiny.data()
    with path.open("rb") as file:
        mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        assert write(read(mapped)) == tiny.data()


def test_element_chunks_are_the_elements_bytes() -> None:
    data = tiny.data()
    for element in read(data).elements:
        assert isinstance(element, Section) and element.offset is not None
        chunk = b"".join(element_chunks(element))
        assert data[element.offset :].startswith(chunk)


def test_configuration_subsections() -> None:
    name, uuid = b"configuration/uuid", bytes(range(16))
    bits = b"configuration/target-page-bits"
    stranger = b"configuration/stranger"
    head = b"QEVM\0\0\0\3\x07\0\0\0\4virt"
    for sub, body in ((bits, b"\0\0\0\x10"), (name, uuid), (stranger, b"whatever")):
        head += b"\x05" + bytes([len(sub)]) + sub + b"\0\0\0\1" + body
    rest = tiny.data(vmdesc=False)
    data = head + rest[rest.index(b"\x01\0\0\x70\0") :]
    stream = read(data)
    assert write(stream) == data
    assert stream.configuration is not None
    assert stream.configuration.target_page_bits == 16
    assert stream.page_size == 65536
    assert stream.configuration.uuid is not None and stream.configuration.uuid.bytes == uuid
    unknown = stream.configuration.subsection("stranger")
    assert unknown is not None and bytes(unknown.body) == b"whatever"
