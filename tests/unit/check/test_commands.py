"""Commands of a stream in the loader's order, and records of its RAM (not of its pages)."""

from __future__ import annotations

from dataclasses import replace

import pytest

from migratable.check import ram
from migratable.check.commands import Commands, by_place
from migratable.check.problem import UnexaminedError
from migratable.stream.edit import make_stream
from migratable.stream.model import Command, Section, Span, Stream
from migratable.stream.ram import RamFault, RamStatistics
from migratable.stream.wire_format import CommandKind, SectionKind

OPEN, PING, ADVISE = CommandKind.OPEN_RETURN_PATH, CommandKind.PING, CommandKind.POSTCOPY_ADVISE
LISTEN, RUN, DISCARD = (
    CommandKind.POSTCOPY_LISTEN,
    CommandKind.POSTCOPY_RUN,
    CommandKind.POSTCOPY_RAM_DISCARD,
)
HANDSHAKE = ((OPEN, 0), (ADVISE, 16), (LISTEN, 0), (RUN, 0))


def command(kind: int, length: int = 0) -> Command:
    return Command(kind=kind, payload=(7).to_bytes(length, "big") if length else b"")


def judged(*commands: tuple[int, int]) -> list[str]:
    """What is said of each of them: ids of messages."""
    met = Commands()
    return [
        problem.words[0][0] + f" {problem.errno}"
        for kind, length in commands
        for problem in met.judge(command(kind, length))
    ]


@pytest.mark.parametrize(
    "commands",
    [
        HANDSHAKE,
        ((OPEN, 0), (PING, 4), (ADVISE, 0), (DISCARD, 9), (LISTEN, 0), (RUN, 0)),
        ((CommandKind.PACKAGED, 4),),
        ((CommandKind.SWITCHOVER_START, 0),),
        ((99, 3),),  # the number is refused elsewhere
    ],
)
def test_in_order(commands: tuple[tuple[int, int], ...]) -> None:
    assert judged(*commands) == []


@pytest.mark.parametrize(
    "commands",
    [
        ((ADVISE, 16),),
        ((OPEN, 0), (ADVISE, 8)),
        ((OPEN, 0), (ADVISE, 16), (ADVISE, 16)),
        ((OPEN, 0), (LISTEN, 0)),
        (*HANDSHAKE, (LISTEN, 0)),
        ((OPEN, 0), (ADVISE, 16), (RUN, 0)),
        (*HANDSHAKE, (RUN, 0)),
        ((OPEN, 0), (DISCARD, 9)),
        (*HANDSHAKE, (CommandKind.POSTCOPY_RESUME, 0)),
        ((CommandKind.RECV_BITMAP, 5),),
        ((CommandKind.ENABLE_COLO, 0),),
    ],
)
def test_out_of_order(commands: tuple[tuple[int, int], ...]) -> None:
    assert judged(*commands[:-1]) == []
    with pytest.raises(UnexaminedError, match="out of a migration's order"):
        judged(*commands)


@pytest.mark.parametrize(
    ("kind", "length"),
    [
        (OPEN, 1),
        (PING, 3),
        (LISTEN, 1),
        (RUN, 1),
        (CommandKind.POSTCOPY_RESUME, 1),
        (CommandKind.PACKAGED, 8),
        (CommandKind.SWITCHOVER_START, 4),
    ],
)
def test_a_command_of_another_length(kind: CommandKind, length: int) -> None:
    """-ERANGE, whatever was before."""
    problem = next(Commands().judge(command(kind, length)))
    assert (problem.rule, problem.errno) == ("layout", 34)
    assert problem.words[0][1]["length"] == length


def test_a_ping_without_a_way_back() -> None:
    problem = next(Commands().judge(command(PING, 4)))
    assert (problem.rule, problem.errno) == ("configuration", 1)
    assert problem.words == (("command-ping", {"value": 7}),)
    refused_before = Commands()
    assert len(list(refused_before.judge(command(OPEN, 2)))) == 1
    assert len(list(refused_before.judge(command(PING, 4)))) == 1  # it opened none


def test_commands_are_between_sections() -> None:
    def section(number: int) -> Section:
        return Section(
            kind=SectionKind.FULL,
            section_id=number,
            idstr=f"d{number}",
            instance_id=0,
            version_id=1,
            body=b"",
        )

    opened, ping = command(OPEN), command(PING, 4)
    package = Command(kind=CommandKind.PACKAGED, payload=bytes(4), nested=(section(2), ping))
    stream = replace(make_stream("pc", []), elements=(opened, section(1), package))
    found = by_place(stream)
    assert found[0] == [opened]
    assert found[1][0].kind == CommandKind.PACKAGED
    assert found[2] == [ping]


# records of RAM

BLOCKS = {"pc.ram": (0x8000, 0x10000)}


def said(release: tuple[int, int] = (10, 0), **fault: object) -> list[str]:
    found = RamFault(**{"block": "pc.ram", "offset": 0, **fault})  # type: ignore[arg-type]
    return [name for problem in ram.refused([found], BLOCKS, release) for name, _ in problem.words]


@pytest.mark.parametrize(
    ("fault", "release", "words"),
    [
        ({"kind": "block", "block": "vga.vram"}, (10, 0), ["ram-page-block", "ram-offset"]),
        ({"kind": "block", "offset": 0x7000}, (10, 0), []),
        ({"kind": "block", "offset": 0x8000}, (10, 0), ["ram-offset"]),
        ({"kind": "offset", "offset": 0x1000}, (10, 0), ["ram-offset"]),
        ({"kind": "fill", "value": 1}, (9, 0), []),
        ({"kind": "fill", "value": 1}, (9, 1), ["ram-zero-page"]),
        ({"kind": "flush"}, (8, 0), ["ram-flags"]),
        ({"kind": "flush"}, (8, 1), []),
        ({"kind": "compressed"}, (9, 1), ["ram-flags"]),
    ],
)
def test_records(fault: dict[str, object], release: tuple[int, int], words: list[str]) -> None:
    assert said(release, **fault) == words


def test_records_that_depend_on_a_capability() -> None:
    with pytest.raises(UnexaminedError, match="delta-encoded"):
        said(kind="xbzrle")
    with pytest.raises(UnexaminedError, match="capability compress"):
        said((9, 0), kind="compressed")


@pytest.mark.parametrize(("kind", "flags"), [("flush", 0x200), ("compressed", 0x100)])
def test_flags_that_a_release_does_not_know(kind: str, flags: int) -> None:
    release = (8, 0) if kind == "flush" else (9, 1)
    fault = RamFault(kind=kind, block="pc.ram", offset=0)
    problem = next(ram.refused([fault], BLOCKS, release))
    assert (problem.rule, problem.words) == ("ram-contents", (("ram-flags", {"flags": flags}),))


def test_another_version_of_the_section() -> None:
    with pytest.raises(UnexaminedError, match="version 3"):
        list(ram.examine(make_stream("pc", []), 3, BLOCKS, (10, 0)))
    assert list(ram.examine(make_stream("pc", []), 4, BLOCKS, (10, 0))) == []


def spans(size: int, *, walked: bool) -> Stream:
    stream = replace(make_stream("pc", []), elements=(Span(data=Sized(size)),))  # type: ignore[arg-type]
    return replace(stream, ram_statistics=RamStatistics(page_size=4096)) if walked else stream


class Sized:
    """As long as a guest's memory, and empty."""

    def __init__(self, size: int) -> None:
        self.size = size

    def __len__(self) -> int:
        return self.size


def test_more_than_a_gibibyte_is_not_walked() -> None:
    assert ram.too_many(spans((1 << 30) + 1, walked=False))
    assert not ram.too_many(spans(1 << 30, walked=False))
    assert not ram.too_many(spans((1 << 30) + 1, walked=True))


def test_records_that_cannot_be_read() -> None:
    section = Section(
        kind=SectionKind.PART,
        section_id=1,
        idstr="ram",
        instance_id=0,
        version_id=4,
        body=b"\xff" * 9,
    )
    stream = replace(make_stream("pc", []), elements=(section,))
    with pytest.raises(UnexaminedError, match="RAM records cannot be read"):
        list(ram.examine(stream, 4, BLOCKS, (10, 0)))
