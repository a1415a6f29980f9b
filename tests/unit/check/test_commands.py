"""Commands of a stream in the loader's order, and records of its RAM (not of its pages)."""

from __future__ import annotations

from dataclasses import replace

import pytest

from migratable.check import ram
from migratable.check.baseline import Baseline
from migratable.check.commands import Commands, Pages, by_place
from migratable.check.problem import UnexaminedError
from migratable.check.savevm import Replay
from migratable.profile.tables import LoaderTables
from migratable.stream.edit import make_stream
from migratable.stream.model import Command, Section, Span, Stream
from migratable.stream.ram import RamBlock, RamFault, RamStart, RamStatistics
from migratable.stream.wire_format import CommandKind, SectionKind
from tests.unit.check.bodies import profile

OPEN, PING, ADVISE = CommandKind.OPEN_RETURN_PATH, CommandKind.PING, CommandKind.POSTCOPY_ADVISE
LISTEN, RUN, DISCARD = (
    CommandKind.POSTCOPY_LISTEN,
    CommandKind.POSTCOPY_RUN,
    CommandKind.POSTCOPY_RAM_DISCARD,
)
#: As :func:`command` makes an advice.
PAGES = Pages(host=0, target=7)
HANDSHAKE = ((OPEN, 0), (ADVISE, 16), (LISTEN, 0), (RUN, 0))


def command(kind: int, length: int = 0) -> Command:
    return Command(kind=kind, payload=(7).to_bytes(length, "big") if length else b"")


def judged(*commands: tuple[int, int]) -> list[str]:
    """What is said of each of them: ids of messages."""
    met = Commands()
    return [
        problem.words[0][0] + f" {problem.errno}"
        for kind, length in commands
        for problem in met.judge(command(kind, length), PAGES)
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
    problem = next(Commands().judge(command(kind, length), PAGES))
    assert (problem.rule, problem.errno) == ("layout", 34)
    assert problem.words[0][1]["length"] == length


def test_a_ping_without_a_way_back() -> None:
    problem = next(Commands().judge(command(PING, 4), PAGES))
    assert (problem.rule, problem.errno) == ("configuration", 1)
    assert problem.words == (("command-ping", {"value": 7}),)
    refused_before = Commands()
    assert len(list(refused_before.judge(command(OPEN, 2), PAGES))) == 1
    assert len(list(refused_before.judge(command(PING, 4), PAGES))) == 1  # it opened none


def advice(host: int, target: int) -> Command:
    return Command(kind=ADVISE, payload=host.to_bytes(8, "big") + target.to_bytes(8, "big"))


@pytest.mark.parametrize(
    ("host", "target", "words"),
    [
        (0x1000, 0x1000, ()),
        (0x201000, 0x1000, ("postcopy-page-sizes", {"stream": 0x201000, "local": 0x1000})),
        (0x201000, 0x400, ("postcopy-page-sizes", {"stream": 0x201000, "local": 0x1000})),
        (0x1000, 0x400, ("postcopy-target-page-size", {"stream": 0x400, "local": 0x1000})),
        (
            0x1000,
            0x1000 + (1 << 56),
            ("postcopy-target-page-size", {"stream": 0x1000 + (1 << 56), "local": 0x1000}),
        ),
    ],
)
def test_postcopy_needs_pages_of_the_same_sizes(
    host: int, target: int, words: tuple[str, dict[str, int]] | tuple[()]
) -> None:
    """Seen on 5.2, 10.0 and 11.1."""
    met = Commands(met={OPEN})
    problems = list(met.judge(advice(host, target), Pages(host=0x1000, target=0x1000)))
    assert [(one.words, one.errno) for one in problems] == ([((words,), 1)] if words else [])
    assert ADVISE in met.met


@pytest.mark.parametrize(
    ("release", "said"),
    [
        (
            "10.0.13",
            [
                "Postcopy needs matching RAM page sizes (s=201000 d=1000)",
                "load of migration failed: Operation not permitted",
            ],
        ),
        (
            "11.1.2",
            [
                "load of migration failed: Operation not permitted: "
                "Postcopy needs matching RAM page sizes (s=201000 d=1000)"
            ],
        ),
    ],
)
def test_what_is_printed_of_a_command(release: str, said: list[str]) -> None:
    """As those programs do; the main loop hands its error on."""
    to = profile(release, block_page_sizes={"pc.ram": 0x1000})
    stream = replace(
        make_stream("pc-q35-10.0", []), elements=(command(OPEN), advice(0x201000, 0x1000))
    )
    replay = Replay(stream, Baseline(to, LoaderTables(handlers=(), vmsds=()))).qemu_loadvm_state()
    assert replay.stderr == said
    assert [one.rule for one in replay.findings] == ["ram-block-page-size"]


@pytest.mark.parametrize(("words", "outcome"), [((), True), (("-mem-path", "/dev/huge"), False)])
def test_a_block_on_huge_pages(words: tuple[str, ...], outcome: bool) -> None:
    """Where the destination's memory is in files, nothing is known of its pages."""
    block = RamBlock(id="pc.ram", used_length=1 << 21, page_size=1 << 21)
    start = Section(
        kind=SectionKind.START,
        section_id=1,
        idstr="ram",
        instance_id=0,
        version_id=4,
        body=b"",
        footer=True,
    )
    stream = make_stream("pc-q35-10.0", [start])
    stream = replace(stream, ram=RamStart(blocks=(block,)))
    to = profile(
        block_page_sizes={"pc.ram": 0x1000},
        ram_blocks={"pc.ram": (1 << 21, 1 << 21)},
        command_line=words,
    )
    replay = Replay(stream, Baseline(to, LoaderTables(handlers=(), vmsds=())))
    ram.parse_ramblocks(replay, start)
    assert ("ram-block-page-size" in {one.rule for one in replay.findings}) is outcome


def test_sizes_of_pages_that_are_not_known() -> None:
    huge = advice(0x201000, 0x1000)
    with pytest.raises(UnexaminedError, match="sizes of the pages"):
        list(Commands(met={OPEN}).judge(huge, Pages(target=0x1000)))
    assert list(Commands(met={OPEN}).judge(huge, Pages(host=0x201000))) == []
    short = Command(kind=ADVISE, payload=b"")  # postcopy of other things than RAM
    assert list(Commands(met={OPEN}).judge(short, Pages())) == []


@pytest.mark.parametrize(
    ("sizes", "words", "host"),
    [
        ({"pc.ram": 0x1000, "pc.bios": 0x1000}, (), 0x1000),
        ({"pc.ram": 0x200000, "pc.bios": 0x1000}, (), 0x201000),
        ({}, (), None),
        ({"m": 0x1000}, ("-mem-path", "/dev/hugepages"), None),
        ({"m": 0x1000}, ("--mem-path", "/dev/hugepages"), None),
        ({"m": 0x1000}, ("-object", '{"qom-type": "memory-backend-file"}'), None),
        ({"m": 0x1000}, ("-object", "memory-backend-memfd,id=m,hugetlb=on"), None),
        ({"m": 0x1000}, ("-object", "memory-backend-memfd,id=m"), 0x1000),
    ],
)
def test_what_is_known_of_a_destinations_pages(
    sizes: dict[str, int], words: tuple[str, ...], host: int | None
) -> None:
    """A profile's machine starts without the files that its memory is in."""
    to = profile(block_page_sizes=sizes, command_line=words)
    assert Baseline(to, LoaderTables(handlers=(), vmsds=())).pages == Pages(host=host)


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
    return [
        name for problem in ram.problems_of([found], BLOCKS, release) for name, _ in problem.words
    ]


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
    problem = next(ram.problems_of([fault], BLOCKS, release))
    assert (problem.rule, problem.words) == ("ram-contents", (("ram-flags", {"flags": flags}),))


def test_another_version_of_the_section() -> None:
    with pytest.raises(UnexaminedError, match="version 3"):
        list(ram.ram_load_precopy(make_stream("pc", []), 3, BLOCKS, (10, 0)))
    assert list(ram.ram_load_precopy(make_stream("pc", []), 4, BLOCKS, (10, 0))) == []


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
        list(ram.ram_load_precopy(stream, 4, BLOCKS, (10, 0)))
