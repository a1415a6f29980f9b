"""Descriptions made by a program's own tables are those that the program writes itself."""

from __future__ import annotations

from dataclasses import replace

import pytest

from migratable.check.describe import describe
from migratable.profile.bundled import find
from migratable.profile.tables import Flag, LoaderTables, Vmsd
from migratable.profile.tables import VmField as TableField
from migratable.stream import Section, SectionKind, Stream, VmField, VmsdBody, read, write
from migratable.stream.edit import describe as vmdesc_of
from migratable.stream.edit import full_section, make_stream, map_sections
from migratable.stream.fields import decode
from migratable.stream.vmdesc import VmDevice
from tests import recorded
from tests.unit.check.bodies import profile
from tests.unit.check.test_flags import AT, HANDLER, Words, number, vmsd


def _bare(stream: Stream) -> Stream:
    return map_sections(stream, lambda section: replace(section, description=None))


def _plain(body: VmsdBody) -> VmsdBody:
    """Without the numbers of elements, which releases give in three ways."""

    def field(one: VmField) -> VmField:
        struct = None if one.struct is None else _plain(one.struct)
        inner = tuple(map(_plain, one.elements))
        return replace(one, index=None, struct=struct, elements=inner)

    return replace(
        body,
        fields=tuple(map(field, body.fields)),
        subsections=tuple(map(_plain, body.subsections)),
    )


@pytest.mark.parametrize("name", recorded.names())
def test_same_as_the_programs_own(name: str) -> None:
    program = recorded.profile(name)
    whole = read(program.stream)
    found = describe(_bare(whole), program)
    if program.target in {"x86_64", "ppc64"}:
        assert found.undescribed == ()
    compared = 0
    missing = {id(section) for section, _ in found.undescribed}
    for ours, theirs in zip(found.stream.devices, whole.devices, strict=True):
        assert theirs.description is not None
        if not theirs.description.opaque and id(ours) not in missing:
            assert ours.description is not None, ours.name
            assert _plain(ours.description.body) == _plain(theirs.description.body), ours.name
            compared += 1
    assert compared >= 14


def test_section_that_the_tables_do_not_fit_stays_undescribed() -> None:
    program = find("pseries-10.0")

    def longer(section: Section) -> Section:
        if section.idstr == "timer":
            return replace(section, body=bytes(section.body) + b"\0", description=None)
        if section.idstr == "globalstate":
            return replace(section, body=bytes(section.body)[:20], description=None)
        return section

    stream = map_sections(read(program.stream), longer)
    found = describe(stream, program)
    reasons = {section.idstr: reason for section, reason in found.undescribed}
    assert set(reasons) == {"timer", "globalstate"}
    size = len(next(one for one in stream.devices if one.idstr == "timer").body)
    assert reasons["timer"] == f"stream {size} bytes, tables {size - 1}"
    timer = next(one for one in found.stream.devices if one.idstr == "timer")
    assert decode(timer).fields[0].name == "data"


def test_section_of_a_device_that_the_program_has_not() -> None:
    program = find("pseries-10.0")
    stream = map_sections(
        read(program.stream),
        lambda one: replace(one, idstr="tamer", description=None) if one.idstr == "timer" else one,
    )
    ((section, reason),) = describe(stream, program).undescribed
    assert (section.idstr, reason) == ("tamer", "the program as it was started has no such section")


def test_profile_without_tables_describes_nothing() -> None:
    program = replace(find("pseries-10.0"), loader=None, unchecked=("no /proc/PID/mem",))
    found = describe(_bare(read(program.stream)), program)
    assert {reason for _, reason in found.undescribed} == {"no /proc/PID/mem"}
    assert len(found.undescribed) == len(found.stream.devices)


# small tables (migration/vmstate.c: vmsd_desc_field_start, vmsd_can_compress, vmstate_save_state_v)

INNER = VmsdBody(name="inner", version=3, fields=(VmField(name="n", type="uint32", size=4),))
PART = vmsd(number(), name="inner", version=3)
STRUCTS = Flag.STRUCT | Flag.ARRAY
POINTERS = Flag.ARRAY | Flag.ARRAY_OF_POINTER


def _part(flags: int = Flag.STRUCT, num: int = 0) -> TableField:
    return TableField(name="s", size=4, vmsd=1, num=num, flags=int(flags))


def _described(
    data: bytes,
    *tables: Vmsd,
    words: Words | None = None,
    instance_id: int = 0,
    own: tuple[VmField, ...] = (),
) -> VmDevice | str:
    """The description of a section; the reason, when it has none.

    :param own: what the program's own stream has of it.
    """
    handler = replace(HANDLER, instance_id=instance_id)
    loader = LoaderTables(handlers=(handler,), vmsds=tables, words=words or {})
    body = VmsdBody(name="dev", version=1, fields=own)
    known = VmDevice(idstr="dev", instance_id=instance_id, body=body)
    section = full_section("dev", instance_id, 1, data, section_id=1, description=known)
    written = make_stream("none", [section])
    written = replace(written, vmdesc=vmdesc_of(written.elements, 4096))
    program = profile(loader=loader, stream=write(written) if own else b"")
    found = describe(_bare(written), program)
    if found.undescribed:
        return found.undescribed[0][1]
    (device,) = found.stream.devices
    assert device.description is not None
    assert device.description.size == len(data)
    return device.description


def _fields(
    data: bytes, *tables: Vmsd, words: Words | None = None, own: tuple[VmField, ...] = ()
) -> tuple[VmField, ...]:
    described = _described(data, *tables, words=words, own=own)
    assert isinstance(described, VmDevice), described
    return described.body.fields


def test_a_section_says_its_instance() -> None:
    """4.1 and 4.2 wrote instance ids with a sign; sections have them without one."""
    body = VmsdBody(name="dev", version=1, fields=INNER.fields)
    for given, said in ((3, 3), (-1, 0xFFFFFFFF)):
        assert _described(bytes(4), vmsd(number()), instance_id=given) == VmDevice(
            idstr="dev", instance_id=said, body=body
        )


def test_only_whole_sections_are_described() -> None:
    """What is sent while the guest runs is not in the vmdesc."""
    section = full_section("dev", 0, 1, bytes(4), section_id=1)
    loader = LoaderTables(handlers=(HANDLER,), vmsds=(vmsd(number()),))
    parts = [replace(section, kind=kind) for kind in (SectionKind.START, SectionKind.END)]
    found = describe(make_stream("none", [*parts, section]), profile(loader=loader))
    assert found.undescribed == ()
    described = [one.description is not None for one in found.stream.sections]
    assert described == [False, False, True]


def test_a_handler_of_the_old_style_stays_as_it_is() -> None:
    """QEMU describes it as bytes (``migration/savevm.c: vmstate_save_old_style``)."""
    loader = LoaderTables(handlers=(replace(HANDLER, vmsd=None),), vmsds=())
    data = VmsdBody(name="", version=0, fields=(VmField(name="data", type="buffer", size=4),))
    opaque = VmDevice(idstr="dev", instance_id=0, body=data)
    section = full_section("dev", 0, 1, bytes(4), section_id=1, description=opaque)
    found = describe(make_stream("none", [section]), profile(loader=loader))
    assert (found.undescribed, found.stream.elements) == ((), (section,))


def test_what_is_described_stays_as_it_is() -> None:
    """Another release may describe it in another way."""
    theirs = VmDevice(idstr="dev", instance_id=0, body=replace(INNER, name="theirs"))
    section = full_section("dev", 0, 1, bytes(4), section_id=1, description=theirs)
    bare = replace(section, idstr="dev2", description=None)
    handlers = (HANDLER, replace(HANDLER, idstr="dev2"))
    program = profile(loader=LoaderTables(handlers=handlers, vmsds=(vmsd(number()),)))
    found = describe(make_stream("none", [section, bare]), program)
    first, second = found.stream.devices
    assert first.description == theirs
    assert second.description is not None
    assert second.description.body.name == "dev"
    whole = make_stream("none", [section])
    without = describe(whole, replace(program, loader=None))
    assert (without.stream, without.undescribed) == (whole, ())


def test_an_array_has_one_entry() -> None:
    many = TableField(name="a", info="uint16", size=2, num=3, flags=int(Flag.ARRAY))
    one = TableField(name="b", info="uint16", size=2, num=1, flags=int(Flag.ARRAY))
    assert _fields(bytes(8), vmsd(many, one)) == (
        VmField(name="a", type="uint16", size=2, array_len=3),
        VmField(name="b", type="uint16", size=2),
    )


def test_an_array_without_elements_has_none() -> None:
    none = TableField(name="a", info="uint16", size=2, num=0, flags=int(Flag.ARRAY))
    assert _fields(bytes(4), vmsd(none, number())) == INNER.fields


def test_fields_of_one_name_are_numbered() -> None:
    assert [one.name for one in _fields(bytes(8), vmsd(number(), number()))] == ["n[0]", "n[1]"]


@pytest.mark.parametrize("count", [2, 65])
def test_structures_that_look_alike_have_one_entry(count: int) -> None:
    """Of many plain ones no element is looked at: its entry is made from the table."""
    arrays = [
        TableField(name=f"a{num}", info="uint8", size=1, num=num, flags=int(Flag.ARRAY))
        for num in (1, 2)
    ]
    buffer = TableField(name="b", info="buffer", size=5, flags=int(Flag.BUFFER))
    inner = VmsdBody(
        name="inner",
        version=3,
        fields=(
            *INNER.fields,
            VmField(name="a1", type="uint8", size=1),
            VmField(name="a2", type="uint8", size=1, array_len=2),
            VmField(name="b", type="buffer", size=5),
        ),
    )
    tables = (vmsd(_part(STRUCTS, count)), vmsd(number(), *arrays, buffer, name="inner", version=3))
    assert _fields(bytes(12 * count), *tables) == (
        VmField(name="s", type="struct", size=12, array_len=count, struct=inner),
    )


def test_a_version_of_its_own_inside_of_an_element_does_not_keep_it_apart() -> None:
    """``vmsd_can_compress`` looks into ``VMS_STRUCT`` alone."""
    inner = vmsd(replace(_part(Flag.VSTRUCT), vmsd=2), name="inner", version=3)
    tables = (vmsd(_part(STRUCTS, 2)), inner, replace(PART, subsections=(3,)), vmsd(name="more"))
    (entry,) = _fields(bytes(8), *tables)
    assert (entry.array_len, entry.size) == (2, 4)


def _each(count: int) -> tuple[VmField, ...]:
    return tuple(
        VmField(name="s", type="struct", size=4, index=index, struct=INNER)
        for index in range(count)
    )


@pytest.mark.parametrize("count", [2, 65])
def test_elements_that_may_differ_have_an_entry_each(count: int) -> None:
    """``vmsd_can_compress``: not with a test of the field, or a subsection of the element."""
    array, data = _part(STRUCTS, count), bytes(4 * count)
    more = (replace(PART, subsections=(2,)), vmsd(name="inner/more"))
    assert _fields(data, vmsd(array), *more) == _each(count)
    optional = vmsd(replace(array, test=1))
    assert _fields(data, optional, PART, own=_each(count)) == _each(count)
    numbers = TableField(name="a", info="uint8", size=1, num=count, flags=int(Flag.ARRAY), test=1)
    entries = tuple(VmField(name="a", type="uint8", size=1, index=at) for at in range(count))
    assert _fields(bytes(count), vmsd(numbers), own=entries) == entries


def test_a_test_inside_of_an_element_keeps_it_apart() -> None:

    inner = vmsd(number(), number("x", test=1), name="inner", version=3)
    body = replace(INNER, fields=(*INNER.fields, VmField(name="x", type="uint32", size=4)))
    entries = tuple(
        VmField(name="s", type="struct", size=8, index=index, struct=body) for index in range(2)
    )
    assert _fields(bytes(16), vmsd(_part(STRUCTS, 2)), inner, own=entries) == entries


def test_a_structure_of_a_version_of_its_own() -> None:
    """``VMS_VSTRUCT``: its members are in the field's own object."""
    field = replace(_part(Flag.VSTRUCT), struct_version=2)
    body = replace(INNER, version=2)
    assert _fields(bytes(4), vmsd(field), replace(PART, minimum=2)) == (
        VmField(name="s", type="vstruct", size=4, elements=(body,)),
    )


def test_elements_behind_null_pointers_are_named_as_such() -> None:
    """``vmsd_create_fake_nullptr_field``: the byte ``0`` in the place of the element."""
    words = {(AT, 8): 0x5000, (AT + 8, 8): 0, (AT + 16, 8): 0x6000}
    field = replace(_part(Flag.STRUCT | POINTERS, 3), size=8)
    element = VmField(name="s", type="struct", size=4, index=0, struct=INNER)
    assert _fields(b"\1\2\3\0040\5\6\7\x08", vmsd(field), PART, words=words) == (
        element,
        VmField(name="s", type="nullptr", size=1, index=1),
        replace(element, index=2),
    )


def test_timers_of_which_some_are_not_there() -> None:
    """Which of them are there is not kept: no description is better than a wrong one."""
    field = TableField(name="t", info="timer", size=8, num=2, flags=int(POINTERS))
    words = {(AT, 8): 0x5000, (AT + 8, 8): 0}
    reason = _described(bytes(8) + b"0", vmsd(field), words=words)
    assert reason == "t has null pointers among its numbers"
    assert _fields(bytes(16), vmsd(field), words={**words, (AT + 8, 8): 0x6000}) == (
        VmField(name="t", type="timer", size=8, array_len=2),
    )


def test_elements_that_the_loader_allocates_stay_undescribed() -> None:
    field = _part(Flag.STRUCT | POINTERS | Flag.ARRAY_OF_POINTER_AUTO_ALLOC, 1)
    assert _described(b"0", vmsd(field), PART) == "dev:s has elements that are allocated"


def test_subsections_follow_the_fields() -> None:
    data = bytes(4) + b"\x05\x08dev/more" + (1).to_bytes(4) + bytes(4)
    more = vmsd(number(), name="dev/more")
    described = _described(data, vmsd(number(), subsections=(1,)), more)
    assert isinstance(described, VmDevice)
    assert described.body.fields == INNER.fields
    assert described.body.subsections == (replace(INNER, name="dev/more", version=1),)


def test_a_section_that_ends_inside_a_subsections_header() -> None:
    data = bytes(4) + b"\x05\x08dev/more" + b"\0\0"
    reason = _described(data, vmsd(number(), subsections=(1,)), vmsd(number(), name="dev/more"))
    assert reason == "it is shorter than the program's tables"
