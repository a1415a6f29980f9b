"""``check/vmstate_types.py``: what each type's ``get`` takes, keeps, and says."""

from __future__ import annotations

from dataclasses import replace

import pytest

from migratable.check.problem import UnexaminedError
from migratable.facts.field_types import COMPARED, FIXED, PLAIN
from migratable.profile.tables import Flag, VmField
from migratable.stream.vmdesc import VmField as Entry
from migratable.stream.vmdesc import VmsdBody
from tests.unit.check.test_flags import AT, Load, error, number, refused, vmsd

ONE = int(Flag.SINGLE)


def taken(field: VmField, data: bytes = bytes(64), **more: object) -> int:
    return len(data) - Load(data, vmsd(field), **more).left  # type: ignore[arg-type]


@pytest.mark.parametrize(("info", "width"), [*PLAIN.items(), *FIXED.items()])
def test_types_of_fixed_size(info: str, width: int) -> None:
    assert taken(VmField(name="n", info=info, size=width, flags=ONE)) == width
    pointer = VmField(name="n", info=info, size=8, num=1, flags=int(Flag.ARRAY_OF_POINTER))
    assert taken(pointer, words={(AT, 8): 0x5000}) == width


@pytest.mark.parametrize(("info", "width"), COMPARED.items())
def test_compared_types(info: str, width: int) -> None:
    field = VmField(name="n", info=info, size=width, flags=ONE)
    assert taken(field, words={(AT, width): 0}) == width


@pytest.mark.parametrize(
    ("info", "size", "count"),
    [
        *(("buffer", 0, 0), ("buffer", 5, 5), ("unused_buffer", 0, 0), ("unused_buffer", 5, 5)),
        *(("bitmap", 0, 0), ("bitmap", 1, 8), ("bitmap", 64, 8), ("bitmap", 65, 16)),
        ("fd", 4, 0),
    ],
)
def test_types_as_long_as_the_table_says(info: str, size: int, count: int) -> None:
    assert taken(VmField(name="b", info=info, size=size, flags=ONE)) == count


def test_the_first_of_several_numbers_is_kept() -> None:
    flags = int(Flag.ARRAY | Flag.ARRAY_OF_POINTER)
    field = VmField(name="a", info="uint8", size=8, num=2, flags=flags)
    done = Load(b"\5\6", vmsd(field), words={(AT, 8): 0x5000, (AT + 8, 8): 0x6000})
    assert done.body.number("a") == 5


@pytest.mark.parametrize(
    ("info", "wire", "memory"), [("uint16_from_uint8", 1, 2), ("int32_as_uint16", 2, 4)]
)
def test_wider_in_memory(info: str, wire: int, memory: int) -> None:
    done = Load((7).to_bytes(wire, "big"), vmsd(VmField(name="n", info=info, flags=ONE)))
    assert (done.left, done.body.number("n"), done.memory.get(AT, memory)) == (0, 7, 7)


def test_a_capability_is_its_name() -> None:
    assert taken(VmField(name="c", info="capability", flags=ONE), b"\x03abcd") == 4


# tmp: a structure that is made for the load and knows its parent

TMP = VmField(name="t", info="tmp", size=16, vmsd=1, version=1, flags=ONE)


def test_a_temporary_structure_leads_to_its_parent() -> None:
    """Its first word is the parent's address, and there is the counter."""
    up = VmField(name="up", size=8, vmsd=2, flags=int(Flag.STRUCT | Flag.POINTER))
    counted = VmField(name="a", info="uint8", size=1, num_offset=4, flags=int(Flag.VARRAY_UINT8))
    tables = vmsd(TMP), vmsd(up, name="inner"), vmsd(counted, name="parent")
    done = Load(b"abc", *tables, words={(AT + 4, 1): 2})
    assert done.left == 1
    assert [child.vmsd.name for child in done.body.children["t"]] == ["inner"]
    with pytest.raises(UnexaminedError, match="has no description"):
        Load(b"abc", vmsd(replace(TMP, vmsd=None)))


def test_a_temporary_structure_is_beside_its_own() -> None:
    body = VmsdBody(
        name="dev",
        version=1,
        fields=(
            Entry(name="t", type="tmp", size=0, elements=(VmsdBody(name="inner", version=1),)),
        ),
    )
    optional = vmsd(number("n", test=1), name="inner")
    assert Load(b"", vmsd(TMP), optional, description=body).body.child("t").missing == {"n"}  # type: ignore[union-attr]
    own = Load(bytes(4), vmsd(TMP), vmsd(number(), name="inner")).body
    done = Load(b"\0\0\0\7", vmsd(TMP), vmsd(number(), name="inner"), own=own)
    child = done.body.child("t")
    assert child is not None
    assert (child.number("n"), child.owned("n")) == (7, 0)


def test_what_a_temporary_structure_reports() -> None:
    """Up to 10.2 its function cannot hand the error on: it is a line of its own."""
    newer = vmsd(number(), name="inner", version=3, minimum=2)
    old = error(bytes(4), vmsd(TMP), newer, release="10.2.0")
    assert len(old.separate) == 1
    new = error(bytes(4), vmsd(TMP), newer, release="11.0.0")
    assert new.separate == []


# lists and trees

LIST = VmField(name="l", info="qtailq", size=8, vmsd=1, version=1, flags=ONE)


def test_an_element_of_a_list_that_is_refused() -> None:
    inner = vmsd(VmField(name="n", info="uint8 equal", size=1, flags=ONE), name="inner")
    with pytest.raises(UnexaminedError):
        Load(b"\1\5", vmsd(LIST), inner)
    for release, reported in (("10.2.0", 1), ("11.1.0", 0)):  # 11.1: seen with uefi-vars
        broken = error(b"\1", vmsd(LIST), inner, release=release)
        assert broken.problem.rule == "stream-broken"
        assert len(broken.separate) == reported
    with pytest.raises(UnexaminedError, match="has no description"):
        Load(b"\0", vmsd(replace(LIST, vmsd=None)))


def test_elements_of_a_list_have_their_own_memory_and_description() -> None:
    inner = vmsd(number(), number("m", test=1), name="inner")
    two = VmsdBody(name="inner", version=1, fields=(Entry(name="n", type="uint32", size=4),))
    one = replace(two, fields=(*two.fields, Entry(name="m", type="uint32", size=4)))
    body = VmsdBody(
        name="dev",
        version=1,
        fields=(Entry(name="l", type="qtailq", size=15, elements=(one, two)),),
    )
    data = b"\1" + bytes(8) + b"\1" + bytes(4) + b"\0"
    done = Load(data, vmsd(LIST), inner, description=body)
    assert done.left == 0
    first, second = done.body.children["l"]
    assert (first.missing, second.missing) == (set(), {"m"})
    assert first.opaque != second.opaque


TREE = VmField(name="t", info="gtree", size=8, vmsd=1, version=1, flags=ONE)
LEAF = vmsd(number(), name="leaf")


@pytest.mark.parametrize(
    ("data", "values"),
    [
        (bytes(5), []),
        (b"\0\0\0\1\1" + bytes(8) + b"\0\0\0\5" + b"\0", [5]),
        (b"\0\0\0\2\1" + bytes(11) + b"\5\1" + bytes(11) + b"\6\0", [5, 6]),
    ],
)
def test_a_tree(data: bytes, values: list[int]) -> None:
    done = Load(data, vmsd(TREE), LEAF)
    assert done.left == 0
    assert [leaf.number("n") for leaf in done.body.children.get("t", ())] == values


@pytest.mark.parametrize(
    "data",
    [
        b"\0\0\0\0\1",
        b"\0\0\0\1\0",
        b"\0\0\0\1\1" + bytes(12) + b"\1",
        b"\x80\0\0\0\1",  # a negative number: none is too few
        b"\xff\xff\xff\xff\0",
    ],
)
def test_a_tree_with_another_number_of_elements(data: bytes) -> None:
    """Seen with virtio-iommu on 7.2, 10.0 and 11.1."""
    problem = refused(data, vmsd(TREE), LEAF)
    assert (problem.rule, problem.words[0][0]) == ("layout", "gtree-inconsistent")


def test_a_tree_that_cannot_be_followed() -> None:
    assert refused(bytes(4), vmsd(TREE), LEAF).rule == "stream-broken"
    with pytest.raises(UnexaminedError, match="has no description"):
        Load(bytes(5), vmsd(replace(TREE, vmsd=None)))
    keyed = replace(TREE, start=16)
    assert Load(bytes(5), vmsd(keyed), LEAF).left == 0
    with pytest.raises(UnexaminedError, match="keys of dev:t"):
        Load(b"\0\0\0\1\1" + bytes(21), vmsd(keyed), LEAF)
    newer = vmsd(replace(TREE, version=2), version=2)
    assert refused(bytes(5), newer, LEAF, version=2).rule == "version-too-new"
    old = vmsd(number(), name="leaf", version=3, minimum=2)
    assert refused(bytes(5), vmsd(TREE), old).rule == "version-too-old"


def test_an_element_of_a_tree_that_is_refused() -> None:
    for release, reported in (("10.1.0", 1), ("11.1.0", 0)):
        broken = error(b"\0\0\0\1\1" + bytes(8), vmsd(TREE), LEAF, release=release)
        assert "gtree-element" in {name for name, _ in broken.printed}
        assert broken.chained is (release == "11.1.0")
        assert len(broken.separate) <= reported


def test_descriptions_of_a_trees_elements() -> None:
    """A key that has a description stands before its value's."""
    long = vmsd(number(), number("m", test=1), name="leaf")
    field = Entry(name="n", type="uint32", size=4)
    short = VmsdBody(name="leaf", version=1, fields=(field,))
    whole = replace(short, fields=(field, replace(field, name="m")))
    entry = Entry(name="mappings", type="gtree", size=1, elements=(short, whole, short, short))
    mappings = replace(TREE, name="mappings", start=16)
    domain = vmsd(mappings, name="domain")
    body = VmsdBody(name="domain", version=1, fields=(entry,))
    data = b"\0\0\0\2" + b"\1" + bytes(16 + 8) + b"\1" + bytes(16 + 4) + b"\0"
    done = Load(data, domain, long, description=body)
    assert done.left == 0
    assert [leaf.missing for leaf in done.body.children["mappings"]] == [set(), {"m"}]
    plain = replace(entry, name="t", elements=(short, whole))
    body = VmsdBody(name="dev", version=1, fields=(plain,))
    data = b"\0\0\0\2" + b"\1" + bytes(8 + 4) + b"\1" + bytes(8 + 8) + b"\0"
    assert Load(data, vmsd(TREE), long, description=body).left == 0


@pytest.mark.parametrize(
    ("sent", "local", "said"),
    [
        (5, 5, None),
        (0, 5, None),
        (6, 5, "is 6, the destination takes 0 to 5"),
        (0xFFFFFFFF, 5, "is -1, the destination takes 0 to 5"),
        (0x80000000, 5, "is -2147483648, the destination takes 0 to 5"),
        (0x7FFFFFFF, 0x7FFFFFFF, None),
        (1, 0xFFFFFFFE, "is 1, the destination takes 0 to -2"),
    ],
)
def test_between_0_and_the_destinations_own(sent: int, local: int, said: str | None) -> None:
    """``get_int32_le``: both are signed."""
    field = VmField(name="n", info="int32 le", size=4, flags=ONE)
    data, words = sent.to_bytes(4, "big"), {(AT, 4): local}
    if said is None:
        assert Load(data, vmsd(field), words=words).body.number("n") == sent
    else:
        assert refused(data, vmsd(field), words=words).summary == f"dev:n {said}"
