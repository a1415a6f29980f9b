"""What stands around the devices: RAM records, commands, configuration, others' blobs."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import pytest

from migratable.check import check
from migratable.check.baseline import Baseline
from migratable.check.commands import Commands, Pages
from migratable.check.devices.slirp import examine
from migratable.check.problem import UnexaminedError
from migratable.errors import StreamError
from migratable.profile import bundled
from migratable.rehearse.rewrite import damaged_pages, elide
from migratable.stream import (
    Command,
    Configuration,
    ConfigurationSubsection,
    Element,
    RamFlag,
    Section,
    SectionKind,
    Stream,
    read,
    write,
)
from migratable.stream.cursor import Cursor, counted
from migratable.stream.edit import with_elements
from migratable.stream.ram import RamBlock, RamFault
from migratable.stream.ram_walker import RamWalker
from migratable.verdict import Outcome, Verdict

EOS = int(RamFlag.EOS).to_bytes(8, "big")
MAIN = "ppc_spapr.ram"


@cache
def destination(name: str) -> Baseline:
    found = bundled.load(name)
    assert found.loader is not None
    return Baseline(found, found.loader)


def own(name: str = "pseries-10.0") -> Stream:
    stream = destination(name).stream
    assert stream is not None
    return stream


def judged(stream: Stream, name: str = "pseries-10.0") -> Verdict:
    return check(read(bytes(write(stream))), destination(name))


def with_record(record: bytes, name: str = "pseries-10.0") -> Stream:
    """The destination's own stream with one more RAM record at the end of the last body."""
    stream = own(name)
    last = [one for one in stream.sections if one.idstr == "ram"][-1]
    assert last.kind is SectionKind.END
    body = bytes(last.body)
    assert body.endswith(EOS)
    changed = replace(last, body=body[:-8] + record + EOS)
    return with_elements(stream, tuple(changed if one is last else one for one in stream.elements))


def page(offset: int, kind: int, block: str = MAIN, data: bytes = b"\0") -> bytes:
    return (offset | kind).to_bytes(8, "big") + counted(block) + data


def length_of_main() -> int:
    return next(one.used_length for one in own().ram_blocks if one.id == MAIN)


@pytest.mark.parametrize(
    ("record", "message"),
    [
        (page(1 << 40, RamFlag.ZERO), "Illegal RAM offset 10000000000"),
        (page(1 << 40, RamFlag.PAGE, data=bytes(4096)), "Illegal RAM offset 10000000000"),
        (page(0, RamFlag.ZERO, "nowhere"), "Can't find block nowhere"),
        (page(0, RamFlag.ZERO, data=b"\x07"), "Found a zero page with value 7"),
    ],
)
def test_ram_records_that_are_refused(record: bytes, message: str) -> None:
    verdict = judged(with_record(record))
    assert verdict.outcome is Outcome.REFUSED
    assert verdict.first_refusal is not None
    assert verdict.first_refusal.rule == "ram-contents"
    assert verdict.first_refusal.message == message
    assert verdict.first_refusal.device == "ram"


def test_the_last_page_of_a_block_is_inside() -> None:
    size = length_of_main()
    assert judged(with_record(page(size - 4096, RamFlag.ZERO))).outcome is Outcome.LOADS
    assert judged(with_record(page(size, RamFlag.ZERO))).outcome is Outcome.REFUSED


def test_a_zero_page_with_a_value_was_taken_up_to_9_0() -> None:
    stream = with_record(page(0, RamFlag.ZERO, data=b"\x07"), "pseries-7.2")
    assert judged(stream, "pseries-7.2").outcome is Outcome.LOADS


def test_a_damaged_delta_is_unknown() -> None:
    good = page(0, RamFlag.XBZRLE, data=b"\1\0\3\0\1x")
    wrong = page(0, RamFlag.XBZRLE, data=b"\2\0\3\0\1x")
    outside = page(0, RamFlag.XBZRLE, data=b"\1\0\4\xff\x7f\1x")
    assert judged(with_record(good)).outcome is Outcome.LOADS
    assert judged(with_record(wrong)).outcome is Outcome.UNKNOWN
    assert judged(with_record(outside)).outcome is Outcome.UNKNOWN


def test_a_rehearsal_sends_the_damaged_records() -> None:
    stream = with_record(page(1 << 40, RamFlag.ZERO) + page(0, RamFlag.ZERO, data=b"\x07"))
    pages, left = damaged_pages(read(bytes(write(stream))))
    assert pages == [(MAIN, 1 << 40, bytes(4096)), (MAIN, 0, b"\x07")]
    assert left == ()
    sent = read(bytes(write(elide(stream, pages))))
    assert sent.ram_statistics is not None
    assert {one.kind for one in sent.ram_statistics.faults} == {"offset", "fill"}


@pytest.mark.parametrize("size", [1024, 4096, 65536])
@pytest.mark.parametrize("pages", [1, 2, 255, 256, 257, 70_000])
def test_the_border_of_a_block_is_exact(size: int, pages: int) -> None:
    def faults(number: int) -> list[RamFault]:
        walker = RamWalker(size, blocks=[RamBlock(id="a", used_length=size * pages)])
        head = page(0, RamFlag.ZERO, "a")
        record = (number * size | RamFlag.ZERO | RamFlag.CONTINUE).to_bytes(8, "big") + b"\0"
        walker.section(Cursor(head + record + EOS))
        assert walker.statistics.blocks["a"].zero == 2
        return walker.statistics.faults

    assert faults(pages - 1) == []
    assert faults(pages // 2) == []
    assert faults(pages) == [RamFault(kind="offset", block="a", offset=size * pages)]
    assert faults(pages << 20) == [RamFault(kind="offset", block="a", offset=size * pages << 20)]


# Commands


def command(kind: int, payload: bytes = b"") -> Command:
    return Command(kind=kind, payload=payload)


def with_commands(*commands: Command) -> Stream:
    stream = own()
    at = next(n for n, one in enumerate(stream.elements) if isinstance(one, Section))
    elements = (*stream.elements[: at + 1], *commands, *stream.elements[at + 1 :])
    return with_elements(stream, elements)


@pytest.mark.parametrize(
    ("commands", "outcome", "message"),
    [
        ([command(1), command(2, b"\0\0\0\1")], Outcome.LOADS, ""),
        (
            [command(2, b"\0\0\0\1")],
            Outcome.REFUSED,
            "CMD_PING (0x1) received with no return path",
        ),
        (
            [command(1, b"\0")],
            Outcome.REFUSED,
            "OPEN_RETURN_PATH received with bad length - expecting 0, got 1",
        ),
        ([command(0)], Outcome.REFUSED, "MIG_CMD 0x0 unknown (len 0x0)"),
        ([command(0x40)], Outcome.REFUSED, "MIG_CMD 0x40 unknown (len 0x0)"),
        ([command(3, bytes(16))], Outcome.UNKNOWN, ""),
        ([command(4)], Outcome.UNKNOWN, ""),
        ([command(5)], Outcome.UNKNOWN, ""),
        ([command(9)], Outcome.UNKNOWN, ""),
        ([command(11)], Outcome.LOADS, ""),
    ],
)
def test_commands(commands: list[Command], outcome: Outcome, message: str) -> None:
    verdict = judged(with_commands(*commands))
    assert verdict.outcome is outcome
    if message:
        assert verdict.first_refusal is not None
        assert verdict.first_refusal.message == message


def test_a_postcopy_handshake_is_in_order() -> None:
    met = Commands()
    for one in (command(1), command(3, bytes(16)), command(6, b"\0"), command(4), command(5)):
        assert list(met.judge(one, Pages(host=0, target=0))) == []
    with pytest.raises(UnexaminedError, match="POSTCOPY_LISTEN"):
        list(met.judge(command(4), Pages()))


# Configuration


def with_subsection(name: str, body: bytes, version: int = 1) -> Stream:
    stream = own()
    assert stream.configuration is not None
    sub = ConfigurationSubsection(name=f"configuration/{name}", version=version, body=body)
    configuration = Configuration(machine=stream.configuration.machine, subsections=(sub,))
    return replace(stream, configuration=configuration)


@pytest.mark.parametrize(
    ("name", "body", "version", "outcome"),
    [
        ("capabilities", b"\0\0\0\1" + counted("x-ignore-shared"), 1, Outcome.LOADS),
        ("capabilities", b"\0\0\0\1" + counted("mapped-ram"), 1, Outcome.LOADS),
        ("capabilities", b"\0\0\0\1" + counted("moon-phase"), 1, Outcome.REFUSED),
        ("capabilities", bytes(4), 2, Outcome.REFUSED),
        ("target-page-bits", b"\0\0\0\x0c", 1, Outcome.LOADS),
        ("target-page-bits", b"\0\0\0\x10", 1, Outcome.REFUSED),
        ("weather", bytes(4), 1, Outcome.REFUSED),
    ],
)
def test_configuration(name: str, body: bytes, version: int, outcome: Outcome) -> None:
    stream = with_subsection(name, body, version)
    assert check(stream, destination("pseries-10.0")).outcome is outcome


# Others


def test_slirp_is_read_whole() -> None:
    examine(bytes(131), 4, footer=True)
    examine(bytes(1) + b"\xff" * 130, 4, footer=True)
    examine(bytes(3), 2, footer=True)
    for body, version in ((b"\x2a" + bytes(130), 4), (bytes(130), 4), (bytes(132), 4)):
        with pytest.raises(UnexaminedError, match="own state"):
            examine(body, version, footer=True)


def test_a_section_renamed_to_ram_is_unknown() -> None:
    stream = own()
    renamed = tuple(
        replace(one, idstr="ram", instance_id=0)
        if isinstance(one, Section) and one.idstr == "timer"
        else one
        for one in stream.elements
    )
    verdict = check(replace(stream, elements=renamed), destination("pseries-10.0"))
    assert verdict.outcome is Outcome.UNKNOWN


def test_a_damaged_vmdesc_stops_no_loader() -> None:
    data = bytearray(write(own()))
    at = data.rindex(b'"page_size"')
    data[at] = 0xFF
    stream = read(bytes(data))
    assert stream.vmdesc is None
    assert "vmdesc" in stream.vmdesc_error
    verdict = check(stream, destination("pseries-10.0"))
    assert verdict.outcome is not Outcome.REFUSED
    assert any("description of itself" in one for one in verdict.unchecked)
    assert "Expected vmdescription" not in "".join(verdict.stderr)


def test_a_stream_cut_in_its_vmdesc_is_read() -> None:
    data = bytes(write(own()))
    stream = read(data[:-100])
    assert "vmdesc" in stream.vmdesc_error
    assert [one.idstr for one in stream.sections] == [one.idstr for one in own().sections]
    with pytest.raises(StreamError):
        read(data[: data.rindex(b'"page_size"') - 10_000])


def test_a_section_that_comes_twice_is_unknown() -> None:
    stream = own()
    elements: list[Element] = []
    for one in stream.elements:
        elements += [one, one] if isinstance(one, Section) and one.idstr == "timer" else [one]
    verdict = check(replace(stream, elements=tuple(elements)), destination("pseries-10.0"))
    assert verdict.outcome is Outcome.UNKNOWN
    assert "timer: duplicate section" in verdict.unchecked
    # slirp's handlers, and isa-ide's of old releases, all have the instance id 0: a handler each
    profile = destination("pseries-10.0").profile
    assert profile.loader is not None
    timer = next(one for one in profile.loader.handlers if one.idstr == "timer")
    tables = replace(profile.loader, handlers=(*profile.loader.handlers, timer))
    twice = check(replace(stream, elements=tuple(elements)), replace(profile, loader=tables))
    assert twice.outcome is Outcome.LOADS


def test_a_command_after_the_last_section_is_judged() -> None:
    stream = own()
    verdict = judged(with_elements(stream, (*stream.elements, command(0x40))))
    assert verdict.outcome is Outcome.REFUSED
