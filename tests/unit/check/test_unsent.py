"""What a machine that never booted has not sent, and the destination would read otherwise."""

from __future__ import annotations

from dataclasses import replace

import pytest

from migratable.check import check
from migratable.check.unsent import differences
from migratable.profile.model import Profile
from migratable.profile.tables import Flag, Handler, LoaderTables, VmField, Vmsd
from migratable.releases import QemuVersion
from migratable.verdict import Severity
from tests import recorded

SMP = ("qemu-system-x86_64", "-smp", "1,maxcpus={}")


def _q35(most: int) -> Profile:
    name = next(one for one in recorded.names() if "q35" in one)
    return replace(recorded.profile(name), command_line=tuple(word.format(most) for word in SMP))


def test_cpu_hot_plug_with_another_maxcpus() -> None:
    name = next(one for one in recorded.names() if "q35" in one)
    stream = recorded.source(name)
    found = check(stream, _q35(8), origin=_q35(4))
    (latent,) = [one for one in found.findings if one.severity is Severity.LATENT]
    assert "sends ich9_pm/cpuhp, whose devs has 4 elements at the source and 8" in latent.summary
    assert "maxcpus=" in latent.explanation
    assert check(stream, _q35(4), origin=_q35(4)).findings == ()


def _machine(count: int, size: int, *, test: int = 0, opaque: int = 0x1000) -> Profile:
    """A device with a subsection that has an array and a value that must be equal."""
    element = Vmsd(name="row", version=1, minimum=1, fields=(VmField(name="a", info="uint8"),))
    rows = VmField(
        name="rows",
        offset=8,
        size=1,
        num_offset=0,
        flags=int(Flag.STRUCT | Flag.VARRAY_UINT32 | Flag.POINTER),
        vmsd=2,
        test=test,
    )
    width = VmField(name="width", offset=16, size=4, info="uint32 equal", flags=int(Flag.SINGLE))
    inner = Vmsd(name="dev/late", version=1, minimum=1, fields=(rows,))
    other = Vmsd(name="dev/wide", version=1, minimum=1, fields=(width,))
    top = Vmsd(name="dev", version=1, minimum=1, subsections=(1, 3))
    handler = Handler(idstr="dev", instance_id=0, alias_id=-1, version=1, vmsd=0, opaque=opaque)
    words = {(opaque, 4): count, (opaque + 16, 4): size}
    tables = LoaderTables(handlers=(handler,), vmsds=(top, inner, element, other), words=words)
    return Profile(version=QemuVersion(10, 0, 0), machine="none", target="x86_64", loader=tables)


def test_counts_and_values_of_subsections_that_did_not_come() -> None:
    source, destination = _machine(3, 7), _machine(5, 9, opaque=0x9000)
    found = list(differences(source, destination, lambda idstr, name: False))
    assert [(one.subsection, one.field, one.source, one.destination) for one in found] == [
        ("dev/late", "rows", 3, 5),
        ("dev/wide", "width", 7, 9),
    ]
    assert [one.counts for one in found] == [True, False]
    arrived = list(differences(source, destination, lambda idstr, name: name == "dev/late"))
    assert [one.subsection for one in arrived] == ["dev/wide"]
    assert list(differences(source, _machine(3, 7), lambda idstr, name: False)) == []


def test_fields_that_may_be_absent_are_not_judged() -> None:
    found = list(differences(_machine(3, 7, test=1), _machine(5, 7, test=1), lambda *_: False))
    assert found == []


# small machines, table by table

AT, OTHER = 0x1000, 0x9000
WIDTH = VmField(name="width", offset=16, size=4, info="uint32 equal", flags=int(Flag.SINGLE))


def _vmsd(name: str, *fields: VmField, subsections: tuple[int, ...] = ()) -> Vmsd:
    return Vmsd(name=name, version=1, minimum=1, fields=fields, subsections=subsections)


def _struct(vmsd: int, *, offset: int = 0, flags: int = 0, num: int = 0) -> VmField:
    return VmField(
        name="s", offset=offset, size=8, num=num, vmsd=vmsd, flags=int(Flag.STRUCT) | flags
    )


def _handler(idstr: str, vmsd: int | None, opaque: int = AT, instance_id: int = 0) -> Handler:
    return Handler(
        idstr=idstr, instance_id=instance_id, alias_id=-1, version=1, vmsd=vmsd, opaque=opaque
    )


def _with(
    vmsds: tuple[Vmsd, ...], words: dict[tuple[int, int], int], *handlers: Handler
) -> Profile:
    tables = LoaderTables(handlers=handlers or (_handler("dev", 0),), vmsds=vmsds, words=words)
    return Profile(version=QemuVersion(10, 0, 0), machine="none", target="x86_64", loader=tables)


def _found(source: Profile, destination: Profile, *arrived: str) -> list[tuple[str, str, int, int]]:
    return [
        (one.idstr, one.subsection, one.source, one.destination)
        for one in differences(source, destination, lambda _, name: name in arrived)
    ]


LATE = (_vmsd("dev", subsections=(1,)), _vmsd("dev/late", WIDTH))


def test_nothing_is_known_of_a_machine_without_tables() -> None:
    there = _with(LATE, {(AT + 16, 4): 7})
    bare = replace(there, loader=None)
    assert _found(bare, there) == _found(there, bare) == _found(bare, bare) == []


def test_devices_that_only_one_side_has_are_passed_over() -> None:
    """``migration/savevm.c: find_se`` looks for idstr and instance; ``ram`` has no description."""
    dev, second = _handler("dev", 0), _handler("dev", 0, OTHER, instance_id=1)
    source = _with(
        LATE, {(AT + 16, 4): 7}, _handler("ram", None), _handler("gone", 0), _handler("old", 0), dev
    )
    destination = _with(
        LATE,
        {(AT + 16, 4): 7, (OTHER + 16, 4): 9},
        *(_handler("ram", 0), _handler("old", None), second, dev),
    )
    assert _found(source, destination) == []
    moved = replace(dev, opaque=OTHER)
    assert _found(source, _with(LATE, {(OTHER + 16, 4): 9}, _handler("old", None), moved)) == [
        ("dev", "dev/late", 7, 9)
    ]


def test_each_subsection_is_named_once() -> None:
    """All CPUs have the same: one sentence about it."""
    words = {(AT + 16, 4): 7, (OTHER + 16, 4): 7}
    handlers = (_handler("dev", 0), _handler("dev", 0, OTHER, instance_id=1))
    source = _with(LATE, words, *handlers)
    destination = _with(LATE, dict.fromkeys(words, 9), *handlers)
    assert _found(source, destination) == [("dev", "dev/late", 7, 9)]


def test_a_subsection_that_the_destination_does_not_know_says_nothing_of_the_next() -> None:
    source = (_vmsd("dev", subsections=(1, 2)), _vmsd("dev/new", WIDTH), _vmsd("dev/late", WIDTH))
    assert _found(_with(source, {(AT + 16, 4): 7}), _with(LATE, {(AT + 16, 4): 9})) == [
        ("dev", "dev/late", 7, 9)
    ]


def test_what_is_sent_already_is_judged_by_the_loader() -> None:
    """A value of the section itself, not of a subsection, was compared while it was loaded."""
    sent = (_vmsd("dev", WIDTH),)
    assert _found(_with(sent, {(AT + 16, 4): 7}), _with(sent, {(AT + 16, 4): 9})) == []
    source, destination = _with(LATE, {(AT + 16, 4): 7}), _with(LATE, {(AT + 16, 4): 9})
    assert _found(source, destination, "dev/late") == []


def test_a_subsection_inside_one_that_was_not_sent() -> None:
    """It is named by the outer one, whatever else of the inner one's name came."""
    tables = (*(_vmsd("dev", subsections=(1,)), _vmsd("dev/late", subsections=(2,))), LATE[1])
    tables = (*tables[:2], replace(tables[2], name="dev/late/more"))
    source, destination = _with(tables, {(AT + 16, 4): 7}), _with(tables, {(AT + 16, 4): 9})
    assert _found(source, destination, "dev/late/more") == [("dev", "dev/late", 7, 9)]


@pytest.mark.parametrize(
    ("first", "second", "told"),
    [
        ("int32 le", "int32 le", True),
        ("uint32 equal", "uint32 equal", True),
        ("uint32 equal", "int32 equal", False),
        ("uint32", "uint32", False),
    ],
)
def test_types_that_compare(first: str, second: str, told: bool) -> None:
    """``migration/vmstate-types.c``: get_int32_equal, get_int32_le …; others only store."""

    def side(info: str, value: int) -> Profile:
        field = replace(WIDTH, info=info)
        return _with((LATE[0], _vmsd("dev/late", field)), {(AT + 16, 4): value})

    assert _found(side(first, 9), side(second, 7)) == ([("dev", "dev/late", 9, 7)] if told else [])


def test_a_number_that_may_be_smaller() -> None:
    """``get_int32_le`` takes what is not above the destination's own."""
    tables = (LATE[0], _vmsd("dev/late", replace(WIDTH, info="int32 le")))
    low, high = _with(tables, {(AT + 16, 4): 7}), _with(tables, {(AT + 16, 4): 9})
    assert _found(low, high) == _found(low, low) == []
    assert _found(high, low) == [("dev", "dev/late", 9, 7)]


def test_values_that_are_not_known_are_not_compared() -> None:
    known, zero = {(AT + 16, 4): 7}, {(AT + 16, 4): 0}
    unknown: dict[tuple[int, int], int] = {}
    assert _found(_with(LATE, known), _with(LATE, unknown)) == []
    assert _found(_with(LATE, unknown), _with(LATE, known)) == []
    assert _found(_with(LATE, zero), _with(LATE, known)) == [("dev", "dev/late", 0, 7)]


def test_an_array_counted_by_one_side_alone() -> None:
    """A fixed count is in the table, which is compared elsewhere."""
    counted = VmField(name="rows", size=1, num_offset=4, flags=int(Flag.VARRAY_UINT16), num=1)
    fixed = replace(counted, flags=int(Flag.ARRAY), info="uint32 equal")
    tables = [(LATE[0], _vmsd("dev/late", one)) for one in (counted, fixed)]
    words = {(AT + 4, 2): 3, (AT, 4): 5}, {(AT + 4, 2): 4, (AT, 4): 6}
    assert _found(_with(tables[0], words[0]), _with(tables[0], words[1])) == [
        ("dev", "dev/late", 3, 4)
    ]
    assert _found(_with(tables[0], words[0]), _with(tables[1], words[1])) == []
    assert _found(_with(tables[1], words[0]), _with(tables[0], words[1])) == []


INSIDE = (_vmsd("part", subsections=(2,)), _vmsd("part/late", WIDTH))


@pytest.mark.parametrize(
    ("flags", "num", "followed"),
    [(0, 0, True), (int(Flag.ARRAY), 2, False), (int(Flag.VARRAY_INT32), 0, False)],
)
def test_subsections_of_structures_inside(flags: int, num: int, followed: bool) -> None:
    """Of an array's elements each may differ: none is judged."""
    tables = (_vmsd("dev", _struct(1, offset=32, flags=flags, num=num)), *INSIDE)
    source = _with(tables, {(AT + 32 + 16, 4): 7})
    destination = _with(tables, {(OTHER + 32 + 16, 4): 9}, _handler("dev", 0, OTHER))
    assert _found(source, destination) == ([("dev", "part/late", 7, 9)] if followed else [])


def test_a_structure_that_only_one_table_has() -> None:
    tables = (_vmsd("dev", _struct(1)), *INSIDE)
    number = replace(_struct(1), vmsd=None, flags=int(Flag.SINGLE), info="uint32")
    flat = (_vmsd("dev", number), *INSIDE)
    words = {(AT + 16, 4): 7}, {(AT + 16, 4): 9}
    assert _found(_with(tables, words[0]), _with(flat, words[1])) == []
    assert _found(_with(flat, words[0]), _with(tables, words[1])) == []
    # One after them is looked at all the same.
    more = replace(_struct(1), name="t")
    both = [(_vmsd("dev", table[0].fields[0], more), *INSIDE) for table in (flat, tables)]
    expected = [("dev", "part/late", 7, 9)]
    assert _found(_with(both[0], words[0]), _with(both[1], words[1])) == expected
    array = replace(_struct(1), flags=int(Flag.STRUCT | Flag.ARRAY), num=2)
    after = (_vmsd("dev", array, more), *INSIDE)
    assert _found(_with(after, words[0]), _with(after, words[1])) == expected


@pytest.mark.parametrize(("there", "here"), [(0x5000, 0), (0, 0x6000), (0x5000, 0x6000)])
def test_a_structure_behind_a_pointer(there: int, here: int) -> None:
    """Where a pointer is null there is no structure."""
    tables = (_vmsd("dev", _struct(1, offset=32, flags=int(Flag.POINTER))), *INSIDE)
    source = _with(tables, {(AT + 32, 8): there, (there + 16, 4): 7})
    destination = _with(tables, {(AT + 32, 8): here, (here + 16, 4): 9})
    assert _found(source, destination) == ([("dev", "part/late", 7, 9)] if there and here else [])


def _chain(length: int) -> tuple[Vmsd, ...]:
    """A subsection below *length* structures."""
    outer = [_vmsd("dev", _struct(number + 1)) for number in range(length)]
    return (*outer, _vmsd("dev", subsections=(length + 1,)), LATE[1])


@pytest.mark.parametrize(("length", "told"), [(15, True), (16, False)])
def test_structures_are_followed_16_deep(length: int, told: bool) -> None:
    tables = _chain(length)
    found = _found(_with(tables, {(AT + 16, 4): 7}), _with(tables, {(AT + 16, 4): 9}))
    assert found == ([("dev", "dev/late", 7, 9)] if told else [])


def test_a_structure_that_points_to_itself_ends() -> None:
    tables = (_vmsd("dev", _struct(0, offset=32, flags=int(Flag.POINTER))),)
    machine = _with(tables, {(AT + 32, 8): AT})
    assert _found(machine, machine) == []


def test_only_fields_that_both_always_send_are_compared() -> None:
    more = replace(WIDTH, name="more", offset=20)
    optional = replace(more, test=1)
    words = ({(AT + 16, 4): 7, (AT + 20, 4): 1}, {(AT + 16, 4): 9, (AT + 20, 4): 2})
    expected = [("dev", "dev/late", 7, 9)]
    for first, second in (((optional,), (optional,)), ((optional,), (more,)), ((more,), ())):
        tables = [(LATE[0], _vmsd("dev/late", *one, WIDTH)) for one in (first, second)]
        assert _found(_with(tables[0], words[0]), _with(tables[1], words[1])) == expected


def test_elements_of_a_list_are_not_followed() -> None:
    """``vmstate_info_qtailq``: the field is the list's head, its description of an element."""
    head = VmField(name="s", info="qtailq", size=16, vmsd=1, flags=int(Flag.SINGLE))
    tables = (_vmsd("dev", head), *INSIDE)
    assert _found(_with(tables, {(AT + 16, 4): 7}), _with(tables, {(AT + 16, 4): 9})) == []
