"""``check/savevm.py`` step by step, with destinations that have one or two tiny devices."""

from __future__ import annotations

from dataclasses import replace

import pytest

from migratable.check import check
from migratable.check.baseline import Baseline
from migratable.check.problem import UnexaminedError
from migratable.check.savevm import Replay
from migratable.check.tracker import Untracked
from migratable.profile.tables import Flag, Handler, LoaderTables, VmField, Vmsd
from migratable.stream.edit import make_stream
from migratable.stream.model import (
    Command,
    Configuration,
    ConfigurationSubsection,
    Element,
    Section,
    Span,
    Stream,
)
from migratable.stream.ram import RamBlock, RamFault, RamStart, RamStatistics
from migratable.stream.vmdesc import VmDevice, VmsdBody
from migratable.stream.vmdesc import VmField as Entry
from migratable.stream.wire_format import CommandKind, SectionKind
from migratable.unchecked import Code
from migratable.verdict import Outcome, Severity
from tests.unit.check.bodies import profile

MACHINE = "pc-q35-10.0"
NUMBER = VmField(name="n", info="uint32", size=4, flags=int(Flag.SINGLE))
EQUAL = VmField(name="e", info="uint8 equal", size=1, offset=8, flags=int(Flag.SINGLE))
PLAIN = Vmsd(name="dev", version=2, minimum=1, fields=(NUMBER,))
STRICT = Vmsd(name="strict", version=1, minimum=1, fields=(EQUAL,))


def handler(idstr: str = "dev", instance_id: int = 0, vmsd: int | None = 0) -> Handler:
    return Handler(
        idstr=idstr, instance_id=instance_id, alias_id=-1, version=4, vmsd=vmsd, opaque=0x1000
    )


def section(
    idstr: str = "dev",
    body: bytes = b"\0\0\0\7",
    *,
    number: int = 3,
    instance_id: int = 0,
    version: int = 1,
    **more: object,
) -> Section:
    values = {"kind": SectionKind.FULL, "footer": True, **more}
    return Section(
        section_id=number,
        idstr=idstr,
        instance_id=instance_id,
        version_id=version,
        body=body,
        **values,  # type: ignore[arg-type]
    )


def destination(
    *handlers: Handler,
    vmsds: tuple[Vmsd, ...] = (PLAIN, STRICT),
    own: tuple[Element, ...] = (),
    words: dict[tuple[int, int], int] | None = None,
    **more: object,
) -> Baseline:
    found = handlers or (handler(), handler("strict", vmsd=1))
    tables = LoaderTables(handlers=found, vmsds=vmsds, words=words or {})
    to = Baseline(profile("10.0.13", "x86_64", **more), tables)
    to._stream = make_stream(MACHINE, own) if own else None
    return to


def loaded(*elements: Element, to: Baseline | None = None, machine: str | None = MACHINE) -> Replay:
    return replayed(make_stream(machine, elements), to)


def replayed(stream: Stream, to: Baseline | None = None) -> Replay:
    return Replay(stream, to or destination()).qemu_loadvm_state()


def rules(replay: Replay) -> list[str]:
    return [finding.rule for finding in replay.findings if finding.severity is Severity.REFUSES]


# what is kept


def test_a_clean_section_says_nothing() -> None:
    replay = loaded(section())
    assert (rules(replay), replay.refusal, replay.undecided, replay.stderr) == ([], None, [], [])


def test_the_first_refusal_ends_what_is_printed_and_undecided() -> None:
    """All later causes are found; the program would not come to them."""
    to = destination(handler(), handler("strict", vmsd=1), handler("old", vmsd=None))
    replay = loaded(
        section("old", b"", number=2),
        section("other", b"", number=3),
        section("nowhere", b"", number=4),
        section("strict", b"\1", number=5),
        to=to,
    )
    assert rules(replay) == ["unknown-section", "unknown-section"]
    assert replay.refusal is replay.findings[0]
    assert replay.stderr == list(replay.findings[0].stderr)
    assert replay.undecided == ["old: its contents (no VMStateDescription)"]
    assert len(replay.unexamined) == 2
    assert "strict" in replay.unexamined[1]


# configuration


def test_a_stream_begins_with_its_configuration() -> None:
    (finding,) = loaded(section(), machine=None).findings
    assert finding.rule == "configuration"
    assert finding.stderr[0] == "Configuration section missing"


@pytest.mark.parametrize(
    ("elements", "byte"),
    [
        ((Command(kind=1, payload=b""),), 8),
        ((section(kind=SectionKind.START),), 1),
        ((section(),), 4),
        ((Span(data=b""),), 1),
        ((), 0),
    ],
)
def test_the_byte_in_its_place(elements: tuple[Element, ...], byte: int) -> None:
    assert Replay(make_stream(None, elements), destination())._first_byte() == byte


def test_a_destination_without_one() -> None:
    """As its own stream has it; without a stream, as its command line says."""
    off = ("-global", "migration.send-configuration=off")
    assert rules(loaded(section(), to=destination(command_line=off)))[0] == "configuration"
    assert rules(loaded(section(), to=destination(command_line=off), machine=None)) == []
    both = destination(own=(section(),), command_line=off)
    assert rules(loaded(section(), to=both)) == []


def test_another_page_size_is_told_from_the_own_stream() -> None:
    to = destination(own=(section(),))
    assert to.stream is not None
    assert to.stream.page_size == 4096
    assert rules(loaded(section(), to=to)) == []


def test_a_destination_whose_pages_are_not_the_smallest() -> None:
    bits = ConfigurationSubsection(
        name="configuration/target-page-bits", version=1, body=b"\0\0\0\x0c"
    )
    to = destination(own=(section(),))
    assert to.stream is not None
    to._stream = replace(
        to.stream, configuration=Configuration(machine=MACHINE, subsections=(bits,))
    )
    assert rules(loaded(section(), to=to)) == ["target-page-size"]


@pytest.mark.parametrize(
    ("machine", "sections"), [("pc-q35-9.0", True), ("pc-i440fx-10.0", False), ("virt", False)]
)
def test_behind_another_family_nothing_is_compared(machine: str, sections: bool) -> None:
    replay = loaded(section("other"), machine=machine)
    assert rules(replay) == ["machine-type", *(["unknown-section"] if sections else [])]
    assert bool(replay.unchecked) is not sections


# sections


def test_a_handler_loads_once() -> None:
    """savevm.c takes a second section of the name into the same device."""
    assert loaded(section(), section("strict", b"", number=9)).undecided
    twice = loaded(section(), section(number=4))
    assert twice.undecided == ["dev: duplicate section"]
    several = destination(handler(), handler(instance_id=1))
    assert loaded(section(), section(number=4, instance_id=1), to=several).undecided == []
    assert loaded(section(), section(number=4), to=several).undecided == twice.undecided
    alike = destination(handler(), handler())
    assert loaded(section(), section(number=4), to=alike).undecided == []
    by_both = destination(replace(handler("0/dev"), compat=("dev", 0)))
    again = loaded(section("0/dev"), section(number=4), to=by_both).undecided
    assert again == ["dev: duplicate section"]
    part = section(number=3, kind=SectionKind.PART)
    assert loaded(section(), part).undecided == ["dev: further data after its section"]


def test_a_refusal_inside_a_device() -> None:
    to = destination(words={(0x1008, 1): 4})
    (finding,) = loaded(section("strict", b"\5", number=9, instance_id=0), to=to).findings
    assert (finding.rule, finding.device, finding.instance_id) == ("field-equal", "strict", 0)
    assert finding.stderr[-2:] == (
        "error while loading state for instance 0x0 of device 'strict'",
        "load of migration failed: Invalid argument",
    )


def test_a_section_that_ends_early() -> None:
    """Inside a field, and where the version of a subsection would be."""
    table = replace(PLAIN, subsections=(1,))
    below = replace(STRICT, name="dev/x")
    to = destination(handler(), vmsds=(table, below), own=(section(footer=False),))
    for body in (b"\0\0", b"\0\0\0\7\5\5dev/x\0\0"):
        stream = make_stream(MACHINE, [section(body=body, footer=False)])
        replay = replayed(replace(stream, eof=False), to)
        assert rules(replay) == ["stream-broken"]
        assert replay.stderr[-1] == "load of migration failed: Input/output error"


def test_near_are_devices_of_the_same_kind() -> None:
    to = destination(handler("0000:00:01.0/e1000"), handler("0000:00:02.0/e1000", 2), handler())
    (finding,) = loaded(section("0000:00:09.0/e1000"), to=to).findings
    assert "'0000:00:01.0/e1000' 0, '0000:00:02.0/e1000' 2." in finding.explanation


def test_a_guessed_layout_is_not_judged() -> None:
    to = destination(handler("a/dev"), assumed_sections={"dev": "no image here"})
    replay = loaded(section("a/dev", b"long enough"), to=to)
    assert (rules(replay), replay.undecided) == ([], ["a/dev: no image here"])


def test_code_that_no_build_has() -> None:
    hooked = replace(PLAIN, name="tomorrow", hooks=frozenset({"post_load"}))
    to = destination(handler(), vmsds=(hooked,))
    to = Baseline(to.profile, replace(to.tables, build_id="00"))
    replay = loaded(section(), to=to)
    assert len(replay.undecided) == 1
    assert replay.undecided[0].startswith("dev: code that no known build has (")


def test_a_baseline_that_is_not_understood() -> None:
    """Its own section has more bytes than its tables: only the version is judged."""
    own = (section(body=b"\0\0\0\7more"),)
    replay = loaded(section(), to=destination(own=own))
    assert rules(replay) == []
    assert len(replay.undecided) == 1
    assert "its tables take 4 of 8 bytes" in replay.undecided[0]
    newer = loaded(section(version=3), to=destination(own=own))
    assert rules(newer) == ["version-too-new"]
    assert newer.unexamined == []
    assert "of device 'dev'" in newer.stderr[-2]


# footers


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"\0\0\0\7\0", "Missing section footer for dev"),
        (b"\0\0\0\7\x7e\0\0\0\4", "Mismatched section id in footer for dev"),
        (b"\0\0\0\7\x7e\1\0\0\3", "Mismatched section id in footer for dev"),
    ],
)
def test_where_the_tables_end_there_is_a_footer(body: bytes, said: str) -> None:
    replay = loaded(section(body=body))
    assert rules(replay) == ["section-footer"]
    assert replay.stderr[0].startswith(said)
    assert "of device" not in " ".join(replay.stderr)


def test_a_footer_that_is_cut() -> None:
    stream = make_stream(MACHINE, [section(body=b"\0\0\0\7\x7e\0", footer=False)])
    to = destination(own=(section(),))
    cut = Replay(replace(stream, eof=False), to)
    outcome = cut.qemu_loadvm_section_start_full(stream.sections[0], Untracked(to), lambda: b"")
    assert [finding.rule for finding in outcome.findings] == ["section-footer"]
    assert outcome.consumed is None


@pytest.mark.parametrize("wanted", [True, False])
def test_both_sides_have_footers_or_neither(wanted: bool) -> None:
    own = (section(footer=wanted),)
    sent = section("ram", b"", number=2, version=4, kind=SectionKind.START, footer=not wanted)
    last = section("other", number=4, footer=not wanted)
    to = destination(handler(), handler("ram", vmsd=None), own=own)
    replay = loaded(sent, last, to=to)
    assert rules(replay) == ["section-footer"]
    assert [finding.rule for finding in replay.findings] == ["section-footer"]
    assert len(replay.unchecked) == 1
    finding = replay.findings[0]
    if wanted:
        assert (finding.device, finding.instance_id) == ("ram", 0)
        assert finding.stderr[0] == "Missing section footer for ram"
    else:
        assert (finding.device, finding.instance_id) == (None, None)
        assert finding.stderr[0] == "Unknown savevm section type 126"
    assert rules(loaded(section(footer=wanted), to=destination(own=own))) == []
    assert replay.qemu_loadvm_state_main(Untracked(to)) is False  # what follows is not judged


# RAM

RAM = section("ram", b"", number=2, version=4, kind=SectionKind.START)


def with_ram(used: int, assumed: dict[str, str] | None = None) -> Replay:
    blocks = (RamBlock(id="pc.ram", used_length=used),)
    stream = replace(make_stream(MACHINE, [RAM]), ram=RamStart(blocks=blocks))
    ram = handler("ram", vmsd=None)
    to = destination(ram, ram_blocks={"pc.ram": (4096, 4096)}, assumed_blocks=assumed or {})
    return replayed(stream, to)


def test_blocks_of_ram() -> None:
    assert rules(with_ram(4096)) == []
    assert with_ram(4096).undecided == []
    replay = with_ram(8192)
    assert rules(replay) == ["ram-block-size"]
    finding = replay.findings[0]
    assert (finding.device, finding.instance_id) == ("ram", 0)
    assert "of device 'ram'" in replay.stderr[-2]


def test_a_block_whose_size_is_a_guess() -> None:
    assumed = {"pc.ram": "no image here"}
    replay = with_ram(8192, assumed)
    assert rules(replay) == []
    assert len(replay.undecided) == 1
    assert replay.undecided[0].endswith("no image here")
    assert with_ram(4096, assumed).undecided == []
    blocks = (RamBlock(id="pc.ram", used_length=8192), RamBlock(id="other", used_length=1))
    stream = replace(make_stream(MACHINE, [RAM]), ram=RamStart(blocks=blocks))
    sizes = {"pc.ram": (4096, 8192)}
    to = destination(handler("ram", vmsd=None), ram_blocks=sizes, assumed_blocks=assumed)
    replay = replayed(stream, to)
    assert rules(replay) == ["ram-block-unknown"]
    assert [str(reason) for reason in replay.unexamined] == [
        "RAM block 'pc.ram' has 8192 bytes in the stream; the destination's size is not known: "
        "no image here"
    ]


def test_more_records_of_memory_than_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("migratable.check.ram.too_many", lambda stream: True)
    assert [str(reason) for reason in with_ram(4096).unchecked] == [
        "the records of guest memory (more than 1 GiB of them)"
    ]


def test_ram_is_read_where_it_stands() -> None:
    """Behind what is set up before it, not at once."""
    blocks = (RamBlock(id="other", used_length=1),)
    stream = make_stream(MACHINE, [section("early", number=1), RAM])
    stream = replace(stream, ram=RamStart(blocks=blocks))
    replay = replayed(stream, destination(handler("ram", vmsd=None)))
    assert rules(replay) == ["unknown-section", "ram-block-unknown"]
    started = replace(stream.sections[0], kind=SectionKind.START)
    early = replayed(replace(stream, elements=(started, RAM)), destination(handler()))
    assert rules(early)[:2] == ["unknown-section", "ram-block-unknown"]


# commands


def test_commands_are_met_in_their_place() -> None:
    ping = Command(kind=int(CommandKind.PING), payload=bytes(4))
    first = loaded(ping, section("other"))
    assert rules(first)[-1] == "unknown-section"
    last = loaded(section("other"), ping)
    assert rules(last)[0] == "unknown-section"
    assert len(last.findings) == 2
    unknown = Command(kind=99, payload=b"")
    assert len(loaded(unknown, section()).findings) == 1
    late = Command(kind=int(CommandKind.POSTCOPY_RUN), payload=b"")
    assert "out of a migration's order" in loaded(section(), late).undecided[0]


# streams whose sections have no ends


def header(number: int, name: bytes, version: int = 1) -> bytes:
    start = b"\x04" + number.to_bytes(4, "big") + bytes([len(name)]) + name
    return start + bytes(4) + version.to_bytes(4, "big")


def rest(data: bytes) -> Replay:
    to = destination(
        *(handler(), handler("strict", vmsd=1), handler("old", vmsd=None)),
        own=(section(footer=False),),
    )
    return loaded(section(number=1, footer=False), Span(data=data, undelimited=True), to=to)


def test_sections_without_ends() -> None:
    two = header(2, b"strict") + b"\1"
    replay = rest(two + b"\0")
    assert rules(replay) == []
    assert len(replay.undecided) == 1  # the destination's own value is not known
    assert rules(rest(header(2, b"other") + b"\0")) == ["unknown-section"]


def test_the_tables_end_elsewhere() -> None:
    replay = rest(header(2, b"dev", 3) + b"\0\0\0\7")
    assert rules(replay) == ["version-too-new"]
    cut = rest(b"\x04\0\0")
    assert len(cut.undecided) == 1
    assert rules(cut) == []
    assert rules(rest(b"\x09")) == ["layout"]
    assert rest(b"\x09").stderr[0].endswith("9")
    assert rules(rest(b"")) == []
    cut = rest(header(2, b"dev") + b"\0\0")
    assert rules(cut) == ["stream-broken"]
    assert cut.stderr[-1] == "load of migration failed: Input/output error"


def test_a_section_of_old_style_ends_at_the_next_header() -> None:
    replay = rest(header(2, b"old") + b"??????" + header(3, b"other") + b"\0")
    assert rules(replay) == ["unknown-section"]


# what a replay keeps


def test_what_is_not_decisive_is_kept() -> None:
    skipped = VmField(name="t", info="psw", size=8, flags=int(Flag.SINGLE))
    table = Vmsd(name="dev", version=1, minimum=1, fields=(skipped,))
    body = VmsdBody(name="dev", version=1, fields=(Entry(name="t", type="psw", size=4),))
    described = VmDevice(idstr="dev", instance_id=0, body=body)
    replay = loaded(section(description=described), to=destination(handler(), vmsds=(table,)))
    assert [str(reason) for reason in replay.unchecked] == ["dev: the contents of t"]
    assert replay.undecided == []


def test_only_processors_are_kept() -> None:
    to = destination(handler("cpu"), handler())
    (kept,) = loaded(section("cpu"), section(body=b"\0\0\0\5", number=4), to=to).kept
    assert kept.number("n") == 7
    assert to.section(to.tables.handlers[0]).state is None


def test_a_poorer_backend_leaves_it_open() -> None:
    """What another backend of the device may take is not refused; all else is."""
    to = destination(
        handler("a/virtio-net"), words={}, assumed_backends={"virtio-net": "a hub port for a tap"}
    )
    short = section("a/virtio-net", b"\0\0\0\7\0")
    assert rules(loaded(short, to=to)) == ["section-footer"]
    assert loaded(section("a/virtio-net"), to=to).undecided == []


def test_the_first_section_without_a_follower() -> None:
    own = (section(footer=True),)
    ram = section("ram", b"", number=2, version=4, kind=SectionKind.START, footer=False)
    to = destination(handler(), handler("ram", vmsd=None), own=own)
    assert rules(loaded(ram, to=to)) == ["section-footer"]
    assert "everything after a footer mismatch" in loaded(ram, to=to).unchecked[-1]


def test_code_that_is_new_is_the_first_reason() -> None:
    hooked = replace(
        PLAIN,
        name="tomorrow",
        hooks=frozenset({"post_load"}),
        fields=(NUMBER, replace(NUMBER, name="x", info="of-tomorrow")),
    )
    to = destination(handler(), vmsds=(hooked,))
    to = Baseline(to.profile, replace(to.tables, build_id="00"))
    first, second = loaded(section(body=bytes(8)), to=to).undecided
    assert "code that no known build has" in first
    assert "unknown type" in second
    assert to.novelties(to.tables.handlers[0])
    assert Baseline(to.profile, replace(to.tables, build_id=None)).novelties(handler()) == ()
    assert to.novelties(handler("old", vmsd=None)) == ()


def test_descriptions_that_lead_to_each_other() -> None:
    loop = Vmsd(name="a", version=1, minimum=1, fields=(replace(NUMBER, vmsd=1),))
    back = Vmsd(name="b", version=1, minimum=1, fields=(replace(NUMBER, vmsd=0),), subsections=(2,))
    last = Vmsd(name="c", version=1, minimum=1)
    to = destination(handler(), vmsds=(loop, back, last, PLAIN))
    assert to._reachable([0]) == [0, 1, 2]
    assert to._reachable([1, 2, 2, 3]) == [0, 1, 2, 3]


def test_a_damaged_own_stream_is_understood_nowhere() -> None:
    to = Baseline(profile(stream=b"QEVMjunk"), destination().tables)
    assert [text.partition(":")[0] for text in to.not_understood()] == ["dev", "strict"]
    assert to.section(handler()).unexamined


def test_no_vmdesc_follows() -> None:
    """qemu_loadvm_state: a line when the machine expects one."""
    stream = make_stream(MACHINE, [section()])
    assert check(stream, destination()).stderr[-1:] == (
        "Expected vmdescription section, but got 0",
    )
    assert check(stream, destination(suppress_vmdesc=True)).stderr == ()
    damaged = check(replace(stream, vmdesc_error="not JSON"), destination())
    assert damaged.stderr == ()
    assert any("(not JSON)" in reason for reason in damaged.unchecked)


def test_under_kvm_it_may_be_refused_elsewhere() -> None:
    to = destination(wants_kvm=True, kvm_decides=("the CPU",))
    assert to.profile.stand_in
    verdict = check(make_stream(MACHINE, [section()]), to)
    assert verdict.outcome is Outcome.UNKNOWN


def test_a_handler_whose_code_reads_other_sections_depends_on_them() -> None:
    """What such a section gives is not kept for another VM with the same bytes."""
    to = destination(handler("spapr/htab", vmsd=None), handler("mystery", vmsd=None))
    replay = Replay(make_stream(MACHINE, []), to)
    for idstr, alone in (("spapr/htab", False), ("mystery", True)):
        one = section(idstr, b"")
        outcome = replay.qemu_loadvm_section_start_full(one, Untracked(to), lambda: b"")
        assert outcome.self_contained is alone


def test_a_records_refusal_is_that_of_the_ram_handler() -> None:
    """``ram_load_precopy``: the first page of a block that the destination does not have."""
    walked = RamStatistics(page_size=4096, faults=[RamFault(kind="block", block="x", offset=0)])
    stream = replace(make_stream(MACHINE, [RAM]), ram=RamStart(blocks=()), ram_statistics=walked)
    (finding,) = replayed(stream, destination(handler("ram", vmsd=None))).findings
    assert (finding.rule, finding.device, finding.instance_id) == ("ram-contents", "ram", 0)


def test_reasons_are_their_text() -> None:
    text = "its layout is not known"
    assert str(UnexaminedError(text)) == str(UnexaminedError(text, Code.BUILD)) == text
