"""``check/vmstate.py`` step by step: what each step reads, notes, and says when it stops."""

from __future__ import annotations

from dataclasses import replace

import pytest

from migratable.check import events
from migratable.check.array_fast import plain_width
from migratable.check.problem import UnexaminedError
from migratable.check.state import LoadedState
from migratable.check.vmstate import VMStateLoader
from migratable.messages import text
from migratable.profile.tables import Flag, VmField, Vmsd
from migratable.stream.vmdesc import VmField as Entry
from migratable.stream.vmdesc import VmsdBody
from tests.unit.check.test_flags import AT, Load, error, number, refused, sub, vmsd

STRUCT = int(Flag.STRUCT)
ONE = VmField(name="s", size=4, vmsd=1, flags=STRUCT)


def described(*names: str, name: str = "dev", size: int = 4) -> VmsdBody:
    fields = tuple(Entry(name=one, type="uint32", size=size) for one in names)
    return VmsdBody(name=name, version=1, fields=fields)


def own(**values: int) -> LoadedState:
    return LoadedState(index=0, vmsd=vmsd(), opaque=AT, version=1, values=dict(values))


# how deep


def chain(length: int) -> list[Vmsd]:
    """Descriptions, each inside the one before."""
    outer = [vmsd(VmField(name="s", size=4, vmsd=i + 1, flags=STRUCT)) for i in range(length - 1)]
    return [*outer, vmsd(number())]


def test_structures_are_followed_65_deep() -> None:
    assert Load(bytes(4), *chain(65)).left == 0
    with pytest.raises(UnexaminedError, match="nested too deeply"):
        Load(bytes(4), *chain(66))


def test_beside_each_other_is_not_below() -> None:
    beside = [VmField(name=f"s{i}", size=4, vmsd=1, flags=STRUCT) for i in range(70)]
    assert Load(bytes(280), vmsd(*beside), vmsd(number(), name="inner")).left == 0


def test_what_was_beside_is_not_counted() -> None:
    """Ten structures, then one below which 65 more would be."""
    beside = [VmField(name=f"s{i}", size=4, vmsd=1, flags=STRUCT) for i in range(10)]
    deep = VmField(name="deep", size=4, vmsd=2, flags=STRUCT)
    below = [vmsd(VmField(name="s", size=4, vmsd=i + 3, flags=STRUCT)) for i in range(64)]
    tables = (vmsd(*beside, deep), vmsd(number()), *below, vmsd(number()))
    with pytest.raises(UnexaminedError, match="nested too deeply"):
        Load(bytes(44), *tables)


def test_a_stub_is_not_followed() -> None:
    with pytest.raises(UnexaminedError, match="only a stub"):
        Load(b"", vmsd(name=""))


# fields whose test nothing models (``untold``)

OPTIONAL = vmsd(number("a"), number("n", test=1), number("z"))


@pytest.mark.parametrize(
    ("has", "sent", "left", "note"),
    [
        (True, True, 0, []),
        (False, False, 4, []),
        (True, False, 0, ["dev:n is read by the destination and was not sent"]),
        (False, True, 4, ["dev:n is not read by the destination and was sent"]),
    ],
)
def test_as_in_the_destinations_own_stream(
    has: bool, sent: bool, left: int, note: list[str]
) -> None:
    description = described("a", *(["n"] if sent else []), "z")
    done = Load(bytes(12), OPTIONAL, exists={(0, 1): has}, description=description)
    assert done.left == left
    assert done.loader.notes == note
    assert done.body.missing == (set() if has else {"n"})
    silent = Load(bytes(12), OPTIONAL, exists={(0, 1): has})
    assert (silent.left, silent.loader.notes) == (left, [])


@pytest.mark.parametrize("sent", [True, False])
def test_of_another_version_as_the_stream_says(sent: bool) -> None:
    """The destination's own stream tells of its own version alone."""
    description = described("a", *(["n"] if sent else []), "z")
    table = replace(OPTIONAL, version=2)
    for exists in ({(0, 1): sent}, {}):
        done = Load(bytes(12), table, exists=exists, description=description)
        assert done.left == (0 if sent else 4)
        assert done.loader.unchecked == ["whether dev:n is read was taken from the stream"]
    with pytest.raises(UnexaminedError, match="dev:n is read of version 1"):
        Load(bytes(12), table, exists={(0, 1): not sent}, description=description)
    without = Load(bytes(12), table, exists={(0, 1): sent})
    assert without.left == (0 if sent else 4)


def test_a_test_of_loaded_state_is_not_guessed() -> None:
    """ide_drive's identify_data follows identify_set, which is not sent here."""
    table = vmsd(number("identify_data", test=1), name="ide_drive")
    with pytest.raises(UnexaminedError, match="depends on the guest's state"):
        Load(bytes(4), table, exists={(0, 0): True}, description=described("x"))


def test_a_subsections_name_is_longer_than_its_parents() -> None:
    """``vmstate_subsection_load``: at least one character more, and it begins with it."""
    assert refused(b"\5\4devx\0\0\0\1", vmsd()).rule == "unknown-subsection"
    assert Load(b"\5\3dev\0\0\0\1", vmsd()).left == 9


def test_a_null_pointer_to_a_single_byte() -> None:
    """``assert(first_elem || !n_elems || !size)``."""
    flags = int(Flag.SINGLE | Flag.POINTER)
    field = VmField(name="p", info="uint8", size=1, flags=flags)
    assert error(b"\0", vmsd(field), words={(AT, 8): 0}).problem.aborts


def test_a_check_that_nothing_models_is_passed() -> None:
    check = VmField(name="whatever", test=1, flags=int(Flag.MUST_EXIST | Flag.ARRAY))
    done = Load(bytes(4), vmsd(number(), check), description=described("n"))
    assert (done.body.missing, done.loader.unchecked) == (set(), [])


def test_only_a_missing_check_refuses() -> None:
    """Fields that are simply not there are skipped."""
    done = Load(bytes(4), vmsd(number("n", version=2), number("m")))
    assert done.body.missing == {"n"}


# what is said on the way out


def test_the_stream_ends_inside_a_field() -> None:
    stopped = error(b"\0", vmsd(number()), release="11.1.0")
    assert (stopped.ended, stopped.errno) == (True, 5)
    assert stopped.printed == [("field-error", {"vmsd": "dev", "field": "n"})]
    assert stopped.chain == [("state-stream-error", {"vmsd": "dev", "errno": -5})]


def test_the_stream_ends_inside_an_element() -> None:
    """No type's function adds its link (``element-error``) to the file's error."""
    field = VmField(name="b", info="buffer", size=4, flags=int(Flag.SINGLE))
    stopped = error(b"\0", vmsd(ONE), vmsd(field, name="inner"), release="11.1.0")
    assert stopped.chain == [("state-stream-error", {"vmsd": "inner", "errno": -5})]
    assert [name for name, _ in stopped.printed] == ["field-error", "field-error"]


def test_an_element_that_is_refused() -> None:
    field = VmField(name="n", info="uint8 equal", size=1, flags=int(Flag.SINGLE))
    old = error(b"\5", vmsd(field), words={(AT, 1): 6}, release="10.2.0")
    assert old.chain[-1] == ("element-error", {"type": "uint8 equal", "field": "n", "ret": -22})
    new = error(b"\5", vmsd(field), words={(AT, 1): 6}, release="11.0.0")
    assert all(name != "element-error" for name, _ in new.chain)


def test_a_mark_for_an_element_that_is_not_there() -> None:
    """get_nullptr: '0' stands for it, whatever else is refused."""
    flags = int(Flag.ARRAY | Flag.ARRAY_OF_POINTER | Flag.STRUCT)
    field = VmField(name="p", size=8, num=1, vmsd=1, flags=flags)
    tables = vmsd(field), vmsd(number(), name="inner")
    stopped = error(b"1", *tables, words={(AT, 8): 0}, release="10.2.0")
    assert stopped.problem.rule == "layout"
    assert ("field-error", {"vmsd": "dev", "field": "p"}) in stopped.printed
    assert stopped.chain[-1] == ("element-error", {"type": "nullptr", "field": "p", "ret": -22})
    newer = error(b"1", *tables, words={(AT, 8): 0}, release="11.0.0")
    assert all(name != "element-error" for name, _ in newer.chain)
    assert refused(b"", *tables, words={(AT, 8): 0}).rule == "stream-broken"


def test_a_subsection_that_is_refused() -> None:
    table = vmsd(subsections=(1,))
    one = vmsd(number(), name="dev/one")
    stopped = error(sub("dev/one", 2), table, one, release="11.1.0")
    link = ("subsection-failed", {"subsection": "dev/one", "vmsd": "dev", "ret": -22})
    assert stopped.chain[-1] == link


class Refusing(VMStateLoader):
    """A device's hook refuses, whichever it is."""

    __slots__ = ()

    def ask(self, event: object) -> None:
        if isinstance(event, events.BodyEntered | events.BodyLoaded):
            assert (event.body.vmsd.name, event.idstr) == ("dev", "dev")
            raise self.refuse("post-load", "no", errno=1)


@pytest.mark.parametrize(
    ("hook", "link"),
    [
        ("pre_load", ("pre-load-hook", {"ret": -1})),
        ("post_load", ("post-load-hook", {"ret": -1})),
        ("pre_load_errp", ("pre-load-hook-error", {})),
        ("post_load_errp", ("post-load-hook-error", {})),
    ],
)
def test_a_hook_that_refuses(hook: str, link: tuple[str, dict[str, int]]) -> None:
    table = vmsd(number(), version=3, minimum=2, hooks=frozenset({hook}))
    stopped = error(bytes(4), table, version=3, kind=Refusing, release="11.1.0")
    assert stopped.errno == 1
    words = {"vmsd": "dev", "version": 3, "minimum": 2, **link[1]}
    assert stopped.chain == [(link[0], words)]
    assert Load(bytes(4), vmsd(number()), kind=Refusing).left == 0


# pointers


def test_an_element_is_found_behind_its_pointer() -> None:
    """The counter of the second element is at its own address."""
    flags = int(Flag.ARRAY | Flag.ARRAY_OF_POINTER | Flag.STRUCT)
    field = VmField(name="p", size=8, num=2, vmsd=1, flags=flags)
    count = VmField(name="a", info="uint8", num_offset=0, size=1, flags=int(Flag.VARRAY_UINT8))
    words = {(AT, 8): 0x5000, (AT + 8, 8): 0x6000, (0x5000, 1): 1, (0x6000, 1): 2}
    assert Load(bytes(5), vmsd(field), vmsd(count, name="inner"), words=words).left == 2


def test_elements_lie_behind_each_other() -> None:
    field = VmField(
        name="s", size=16, num=2, offset=32, vmsd=1, flags=int(Flag.STRUCT | Flag.ARRAY)
    )
    done = Load(bytes(8), vmsd(field), vmsd(number(), name="inner"))
    assert [child.opaque for child in done.body.children["s"]] == [AT + 32, AT + 48]


def test_a_null_pointer_aborts_the_program() -> None:
    flags = int(Flag.STRUCT | Flag.POINTER)
    field = VmField(name="p", size=8, vmsd=1, flags=flags)
    problem = refused(bytes(4), vmsd(field), vmsd(number()), words={(AT, 8): 0})
    assert problem.aborts
    assert problem.field == "p"
    name, words = problem.words[0]
    assert "vmstate.c" in text(name, (10, 0), **words)
    none = replace(field, num=0, flags=flags | int(Flag.ARRAY))
    assert Load(bytes(4), vmsd(none), vmsd(number()), words={(AT, 8): 0}).left == 4


@pytest.mark.parametrize("flag", [Flag.POINTER, Flag.ALLOC])
def test_memory_is_allocated_for_a_pointer_with_both_flags(flag: Flag) -> None:
    field = VmField(name="b", info="buffer", size=4, flags=int(flag))
    done = Load(bytes(4), vmsd(field), words={(AT, 8): 0x7000})
    assert done.memory.get(AT, 8) == 0x7000


def test_allocated_elements_have_their_own_memory() -> None:
    flags = int(Flag.ARRAY | Flag.ARRAY_OF_POINTER | Flag.ARRAY_OF_POINTER_AUTO_ALLOC | STRUCT)
    field = VmField(name="p", size=8, num=2, vmsd=1, flags=flags)
    inner = vmsd(number(), name="inner")
    done = Load(b"1\0\0\0\x011\0\0\0\x02", vmsd(field), inner, release="11.1.0")
    first, second = (child.opaque for child in done.body.children["p"])
    assert first > 1 << 59
    assert second != first
    assert refused(b"1\0\0\0\x01", vmsd(field), inner, release="11.1.0").rule == "stream-broken"


# the destination's own bodies


def test_each_element_is_beside_its_own() -> None:
    field = VmField(name="s", size=4, num=3, vmsd=1, flags=int(Flag.STRUCT | Flag.ARRAY))
    inner = vmsd(number(), subsections=(2,), name="dev")
    before = own()
    before.children["s"] = [own(n=7), own(n=8)]
    before.children["s"][1].subsections["dev/x"] = own(n=9)
    data = bytes(4) + bytes(4) + sub("dev/x", body=bytes(4)) + bytes(4)
    done = Load(data, vmsd(field), inner, vmsd(number(), name="dev/x"), own=before)
    assert [child.owned("n") for child in done.body.children["s"]] == [7, 8, None]
    assert done.body.children["s"][1].subsections["dev/x"].owned("n") == 9
    alone = Load(data, vmsd(field), inner, vmsd(number(), name="dev/x"))
    assert [child.own for child in alone.body.children["s"]] == [None] * 3


def test_each_body_is_beside_its_description() -> None:
    """An optional field inside the second element and inside a subsection."""
    field = VmField(name="s", size=4, num=3, vmsd=1, flags=int(Flag.STRUCT | Flag.ARRAY))
    inner = vmsd(number("n", test=1), name="inner", subsections=())
    one = Entry(name="s", type="struct", size=4, index=0, struct=described("n", name="inner"))
    two = Entry(name="s", type="struct", size=0, index=1, struct=described(name="inner"))
    three = Entry(name="s", type="struct", size=4, index=2, struct=described("n", name="inner"))
    body = VmsdBody(
        name="dev",
        version=1,
        fields=(one, two, three),
        subsections=(described("o", name="dev/other"), described("n", name="dev/sub")),
    )
    table = vmsd(field, subsections=(2,))
    below = vmsd(number("n", test=1), name="dev/sub")
    data = bytes(8) + sub("dev/sub", body=bytes(4))
    done = Load(data, table, inner, below, description=body)
    assert done.left == 0
    assert [child.missing for child in done.body.children["s"]] == [set(), {"n"}, set()]


# numbers


def test_numbers_are_kept_where_they_are_loaded() -> None:
    fields = (
        VmField(name="b", info="bool", size=1, offset=0, flags=int(Flag.SINGLE)),
        VmField(name="w", info="bool", size=3, offset=8, flags=int(Flag.SINGLE)),
        VmField(name="p", info="uint32", size=4, offset=16, flags=int(Flag.SINGLE | Flag.POINTER)),
        VmField(name="a", info="uint16", size=2, num=2, offset=32, flags=int(Flag.ARRAY)),
        VmField(name="e", info="uint16", size=2, num=0, offset=40, flags=int(Flag.ARRAY)),
    )
    data = b"\1" + b"\1" + b"\0\0\0\7" + b"\0\1\0\2"
    done = Load(data, vmsd(*fields), words={(AT + 16, 8): 0x5000})
    assert done.left == 0
    assert done.memory.get(AT, 1) == 1
    assert (done.memory.get(AT + 8, 1), done.memory.get(AT + 8, 3)) == (1, None)
    assert done.memory.get(AT + 16, 4) is None
    assert done.body.numbers("a", 2) == (1, 2)
    assert done.memory.get(AT + 32, 2) is None
    assert "e" not in done.body.values


INNER = (
    number(),
    VmField(name="b", info="buffer", size=6, flags=int(Flag.BUFFER)),
    VmField(name="u", info="unused_buffer", size=2, flags=int(Flag.BUFFER)),
    VmField(name="a", info="uint16", size=2, num=3, flags=int(Flag.ARRAY)),
)


def test_the_bytes_of_a_plain_structure() -> None:
    done = Load(bytes(4), vmsd(number()), vmsd(*INNER, name="inner"))
    assert plain_width(done.loader, 1) == 4 + 6 + 2 + 6
    assert plain_width(done.loader, None) is None


@pytest.mark.parametrize(
    "field",
    [
        VmField(name="b", info="buffer", size=6, flags=int(Flag.VBUFFER)),
        VmField(name="c", info="uint8", size=1, flags=int(Flag.VARRAY_UINT8)),
        VmField(name="p", info="uint8", size=1, flags=int(Flag.POINTER)),
        VmField(name="q", info="uint8", size=1, flags=int(Flag.ARRAY_OF_POINTER)),
        VmField(name="s", size=4, vmsd=0, flags=STRUCT),
    ],
)
def test_structures_with_more_are_not_plain(field: VmField) -> None:
    done = Load(bytes(4), vmsd(number()), vmsd(number("n"), field), vmsd(subsections=(0,)))
    assert plain_width(done.loader, 1) is None
    assert plain_width(done.loader, 2) is None


def test_many_plain_structures_are_kept_as_bytes() -> None:
    many = VmField(name="s", size=4, num=65, vmsd=1, flags=int(Flag.STRUCT | Flag.ARRAY))
    data = bytes(range(256)) + bytes(4)
    done = Load(data, vmsd(many), vmsd(number(), name="inner"))
    assert done.body.data("s") == data
    few = replace(many, num=64)
    assert len(Load(data, vmsd(few), vmsd(number())).body.children["s"]) == 64
    versioned = replace(many, flags=int(Flag.VSTRUCT | Flag.ARRAY), struct_version=1)
    assert len(Load(data, vmsd(versioned), vmsd(number())).body.children["s"]) == 65


def test_an_array_of_pointers_to_numbers_is_looked_at() -> None:
    flags = int(Flag.ARRAY | Flag.ARRAY_OF_POINTER)
    field = VmField(name="a", info="uint16", size=2, num=2, flags=flags)
    words = {(AT, 8): 0x5000, (AT + 2, 8): 0x6000}
    done = Load(b"\0\1\0\2", vmsd(field), words=words)
    assert (done.memory.get(0x5000, 2), done.memory.get(0x6000, 2)) == (1, 2)


# counters and sizes


@pytest.mark.parametrize(
    ("flag", "counter"), [(Flag.VARRAY_INT32, (1 << 31) - 1), (Flag.VARRAY_UINT32, 1 << 31)]
)
def test_only_a_signed_counter_can_be_negative(flag: Flag, counter: int) -> None:
    field = VmField(name="a", info="uint8", size=1, num_offset=8, flags=int(flag))
    with pytest.raises(UnexaminedError, match=f"{counter} elements"):
        Load(b"", vmsd(field), words={(AT + 8, 4): counter})


@pytest.mark.parametrize("counter", [0x80000000, 0xFFFFFFFF])
def test_a_negative_number_of_elements_times_a_factor(counter: int) -> None:
    flags = int(Flag.VARRAY_INT32 | Flag.MULTIPLY_ELEMENTS)
    field = VmField(name="a", info="uint8", size=1, num=2, num_offset=8, flags=flags)
    done = Load(b"abc", vmsd(field), words={(AT + 8, 4): counter})
    assert done.left == 3
    assert done.loader.vmstate_n_elems(done.body, field) == 2 * (counter - (1 << 32))


def test_a_buffer_of_two_gigabytes_is_negative() -> None:
    field = VmField(name="b", info="buffer", size=1, size_offset=8, flags=int(Flag.VBUFFER))
    assert refused(b"", vmsd(field), words={(AT + 8, 4): (1 << 31) - 1}).rule == "stream-broken"


def test_what_is_allocated_has_a_limit() -> None:
    flags = int(Flag.VBUFFER | Flag.POINTER | Flag.ALLOC)
    field = VmField(name="b", info="buffer", size=1, size_offset=8, flags=flags)
    assert refused(b"", vmsd(field), words={(AT, 8): 0, (AT + 8, 4): 1 << 28}).errno == 5
    with pytest.raises(UnexaminedError, match="268435457 bytes"):
        Load(b"", vmsd(field), words={(AT, 8): 0, (AT + 8, 4): (1 << 28) + 1})


def test_the_stated_size_is_of_one_element() -> None:
    field = VmField(name="t", info="psw", size=8, num=2, flags=int(Flag.ARRAY))
    entry = Entry(name="t", type="psw", size=6, array_len=2)
    body = VmsdBody(name="dev", version=1, fields=(entry,))
    done = Load(bytes(12), vmsd(field), description=body)
    assert done.left == 0
    assert done.loader.unchecked == ["dev: the contents of t"] * 2
    single = replace(field, num=0, flags=int(Flag.SINGLE))
    alone = replace(body, fields=(replace(entry, array_len=None),))
    assert Load(bytes(12), vmsd(single), description=alone).left == 6
    nothing = replace(body, fields=(replace(entry, size=0),))
    assert Load(bytes(12), vmsd(field), description=nothing).loader.unchecked == []
    with pytest.raises(UnexaminedError, match="no stated size"):
        Load(bytes(12), vmsd(field))


# what was not examined


def test_code_of_a_target_that_was_not_read_is_named_once_a_body() -> None:
    """target sparc64 is not audited; what has code of its own is told."""
    plain, coded = vmsd(number()), vmsd(number(), hooks=frozenset({"post_load"}), name="zz")
    outer = vmsd(ONE, name="zz-outer")
    assert Load(bytes(4), plain, trusted=False).loader.unexamined == []
    done = Load(bytes(4), outer, coded, trusted=False, target="sparc64")
    assert len(done.loader.unexamined) == 1
    assert "zz" in done.loader.unexamined[0]
    assert Load(bytes(4), outer, coded, target="sparc64").loader.unexamined == []
