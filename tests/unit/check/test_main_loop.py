"""Parts of the main loop that recorded streams do not have."""

from __future__ import annotations

from dataclasses import replace

import pytest

from migratable.check import stderr, undelimited
from migratable.check.baseline import Baseline
from migratable.check.problem import RefusedError
from migratable.check.qemu_file import QemuFile, whole
from migratable.check.savevm import Replay
from migratable.check.state import Memory
from migratable.check.vmdesc_cursor import VmdescCursor
from migratable.check.vmstate import VMStateLoader
from migratable.profile.tables import Flag, Handler, LoaderTables, VmField, Vmsd
from migratable.stream import vmdesc
from migratable.stream.edit import make_stream
from migratable.stream.model import Section
from migratable.stream.vmdesc import VmsdBody
from migratable.stream.wire_format import SectionKind
from tests.unit.check.bodies import profile

SLIRP = Handler(idstr="slirp", instance_id=0, alias_id=-1, version=4, vmsd=None, opaque=0)


def section(idstr: str = "slirp", number: int = 5) -> Section:
    return Section(
        kind=SectionKind.FULL,
        section_id=number,
        idstr=idstr,
        instance_id=0,
        version_id=4,
        body=b"",
        footer=False,
    )


def header(number: int, name: bytes = b"cpu") -> bytes:
    return b"\x04" + number.to_bytes(4, "big") + bytes([len(name)]) + name


@pytest.mark.parametrize(
    ("data", "size"),
    [
        (bytes(131) + header(6), 131),
        (bytes(10) + header(5) + bytes(3) + header(9, b"0000:00:02.0/e1000"), 22),
        (bytes(10) + header(4) + header(7), 19),
        (bytes(10) + header(6, b"\xff\xfe\xfd") + header(7), 19),
        (bytes(10) + header(5000), None),
        (bytes(40), None),
    ],
)
def test_where_a_section_without_tables_ends(data: bytes, size: int | None) -> None:
    """Only a later section's number and a name that can be one make a header."""
    baseline = Baseline(profile(), LoaderTables(handlers=(SLIRP,), vmsds=()))
    replay = Replay(make_stream("pc-i440fx-2.1", []), baseline)
    assert undelimited.next_header(replay, section(), data, 0) == size
    assert bool(replay.undecided) == (size is None)
    assert undelimited.next_header(replay, section("other"), data, 0) is None


def entry(kind: str, struct: VmsdBody | None = None) -> vmdesc.VmField:
    return vmdesc.VmField(name="p", type=kind, size=4 if struct else 1, struct=struct)


def test_marks_of_allocated_elements_are_followed() -> None:
    flags = int(Flag.ARRAY | Flag.ARRAY_OF_POINTER | Flag.ARRAY_OF_POINTER_AUTO_ALLOC)
    table = Vmsd(
        name="d",
        version=1,
        minimum=1,
        fields=(VmField(name="p", num=3, flags=flags | int(Flag.STRUCT)), VmField(name="q")),
    )
    one = VmsdBody(name="one", version=1)
    other = VmsdBody(name="other", version=1)
    mark = entry("ptr-marker")
    last = vmdesc.VmField(name="q", type="uint32", size=4)
    written = (mark, entry("struct", one), mark, mark, entry("struct", other), last)
    cursor = VmdescCursor(VmsdBody(name="d", version=1, fields=written), table)
    bodies, size = cursor.next_field(0, 3)
    assert bodies == (one, other)
    assert size == 3 + 2 * 4
    assert cursor.next_field(1, 1) == ((), 4)
    ends = (mark, entry("struct", one), mark)
    assert VmdescCursor(VmsdBody(name="d", version=1, fields=ends), table).next_field(0, 2) == (
        (one,),
        6,
    )


def test_a_buffer_of_another_size_is_another_field() -> None:
    """hw/pci/pci.c: ``config`` is in the table twice, with 256 and with 4096 bytes."""
    entry = vmdesc.VmField(name="config", type="pci config", size=256)
    for size, flags, there in ((256, 0, True), (4096, 0, False), (1, int(Flag.VBUFFER), True)):
        field = VmField(name="config", info="pci config", size=size, flags=flags)
        table = Vmsd(name="d", version=1, minimum=1, fields=(field,))
        assert VmdescCursor(VmsdBody(name="d", version=1, fields=(entry,)), table).has(0) is there


@pytest.mark.parametrize(("info", "said"), [("qlist", True), ("qtailq", False)])
def test_what_is_said_of_an_element_of_a_list(info: str, said: bool) -> None:
    inner = Vmsd(
        name="inner",
        version=1,
        minimum=1,
        fields=(VmField(name="n", info="uint8 equal", size=1, flags=int(Flag.SINGLE)),),
    )
    field = VmField(name="l", info=info, size=8, vmsd=1, version=1, flags=int(Flag.SINGLE))
    table = Vmsd(name="dev", version=1, minimum=1, fields=(field,))
    handler = Handler(idstr="dev", instance_id=0, alias_id=-1, version=1, vmsd=0, opaque=0x1000)
    loader = VMStateLoader(
        tables=LoaderTables(handlers=(handler,), vmsds=(table, inner)),
        profile=profile(),
        f=QemuFile(b"\x01\x05"),
        memory=AllZero({}),
        handler=handler,
    )
    with pytest.raises(RefusedError) as caught:
        loader.vmstate_load_state(0, 0x1000, 1, None, None)
    assert ("list-element" in {name for name, _ in caught.value.printed}) is said


class AllZero(Memory):
    """Memory in which every word is 0."""

    def get(self, address: int, width: int) -> int | None:
        return super().get(address, width) or 0


def test_a_section_of_a_later_kind_is_on_the_wire_without_its_name() -> None:
    whole_section = section("cpu")
    assert whole(whole_section) == b"\x04\0\0\0\x05\x03cpu" + bytes(4) + b"\0\0\0\x04"
    third = replace(whole_section, instance_id=3)
    assert whole(third)[9:13] == b"\0\0\0\3"
    part = replace(whole_section, kind=SectionKind.PART, body=b"xyz", footer=True)
    assert whole(part) == b"\x02\0\0\0\x05xyz\x7e\0\0\0\x05"


@pytest.mark.parametrize(
    ("release", "info", "linked"),
    [
        ((10, 2), "tmp", True),
        ((11, 0), "tmp", False),
        ((11, 0), "nullptr", False),
        ((11, 0), "qtailq", False),
        ((11, 0), "qlist", False),
        ((11, 0), "gtree", False),
        ((10, 2), "qtailq", True),
        ((11, 0), "int32 equal", False),
        ((11, 0), "int32 le", False),
        ((11, 0), "buffer", True),
    ],
)
def test_links_around_elements(release: tuple[int, int], info: str, linked: bool) -> None:
    assert stderr.links_element(release, info) is linked


def test_a_device_that_cannot_migrate_is_found_before_the_stream() -> None:
    blocked = Vmsd(name="nvme", version=1, minimum=1, unmigratable=True)
    handler = Handler(idstr="nvme", instance_id=0, alias_id=-1, version=1, vmsd=0, opaque=0)
    baseline = Baseline(profile(), LoaderTables(handlers=(handler,), vmsds=(blocked,)))
    replay = Replay(make_stream("pc-q35-10.0", []), baseline).qemu_loadvm_state()
    assert [finding.rule for finding in replay.findings] == ["not-migratable"]


@pytest.mark.parametrize(
    ("kind", "tables", "told"),
    [
        (SectionKind.PART, True, True),
        (SectionKind.END, True, True),
        (SectionKind.FULL, True, False),
        (SectionKind.PART, False, False),
    ],
)
def test_a_part_of_a_section_with_tables_would_be_loaded_as_a_whole(
    kind: SectionKind, tables: bool, told: bool
) -> None:
    """Seen with ``timer`` on 10.0 and 11.1: a part of 4 bytes is refused, one of 24 is loaded."""
    table = Vmsd(name="timer", version=4, minimum=1)
    handler = replace(SLIRP, idstr="timer", vmsd=0 if tables else None)
    baseline = Baseline(profile(), LoaderTables(handlers=(handler,), vmsds=(table,)))
    part = replace(section("timer"), kind=kind)
    replay = Replay(make_stream("pc-q35-10.0", [part]), baseline).qemu_loadvm_state()
    assert ("timer: further data after its section" in replay.undecided) is told


def test_what_could_not_be_followed_is_kept() -> None:
    baseline = Baseline(profile(), LoaderTables(handlers=(SLIRP,), vmsds=()))
    slirp = replace(section(), body=b"\x2a", footer=True)
    replay = Replay(make_stream("pc-q35-10.0", [slirp]), baseline).qemu_loadvm_state()
    assert replay.unexamined == replay.undecided
    assert any("forwarded connections" in reason for reason in replay.unexamined)


def test_sections_without_tables_may_have_one_number() -> None:
    """Two user networks of 5.2 are (slirp, 0) twice; 11.1 has (slirp, 0) and (slirp, 1)."""
    handlers = (SLIRP, replace(SLIRP, instance_id=1))
    body = bytes(1 + 2 + 16 * 8)
    for count, told in ((2, False), (3, True)):
        sections = [
            replace(section(number=number), body=body, footer=True) for number in range(count)
        ]
        baseline = Baseline(profile(), LoaderTables(handlers=handlers, vmsds=()))
        replay = Replay(make_stream("pc-q35-10.0", sections), baseline).qemu_loadvm_state()
        assert ("slirp: duplicate section" in replay.undecided) is told
