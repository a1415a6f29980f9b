"""Each flag of a field, by a description that has little else (``migration/vmstate.c``)."""

from __future__ import annotations

from dataclasses import replace

import pytest

from migratable.check.array_fast import plain_width
from migratable.check.baseline import Baseline, BaselineLoader
from migratable.check.problem import Problem, RefusedError, UnexaminedError
from migratable.check.qemu_file import QemuFile
from migratable.check.state import LoadedState, Memory
from migratable.check.vmstate import VMStateLoader
from migratable.profile.tables import Flag, Handler, LoaderTables, PciMasks, VmField, Vmsd
from migratable.stream.vmdesc import VmField as Entry
from migratable.stream.vmdesc import VmsdBody
from tests.unit.check.bodies import profile

AT = 0x1000
HANDLER = Handler(idstr="dev", instance_id=0, alias_id=-1, version=1, vmsd=0, opaque=AT)
Words = dict[tuple[int, int], int]


def vmsd(*fields: VmField, **more: object) -> Vmsd:
    values: dict[str, object] = {"name": "dev", "version": 1, "minimum": 1, **more}
    return Vmsd(fields=fields, **values)  # type: ignore[arg-type]


def number(name: str = "n", info: str = "uint32", *, version: int = 0, test: int = 0) -> VmField:
    flags = int(Flag.SINGLE)
    return VmField(name=name, info=info, size=4, flags=flags, version=version, test=test)


class Load:
    """A body that was loaded; *left* is what was not read."""

    def __init__(
        self,
        data: bytes,
        *vmsds: Vmsd,
        words: Words | None = None,
        version: int = 1,
        release: str = "10.0.13",
        kind: type[VMStateLoader] = VMStateLoader,
        own: LoadedState | None = None,
        tables: LoaderTables | None = None,
        description: VmsdBody | None = None,
        target: str = "x86_64",
        **more: object,
    ) -> None:
        self.f = QemuFile(data)
        self.memory = Memory(words or {})
        self.loader = kind(
            tables=tables or LoaderTables(handlers=(HANDLER,), vmsds=vmsds),
            profile=profile(release, target),
            f=self.f,
            memory=self.memory,
            handler=HANDLER,
            **more,  # type: ignore[arg-type]
        )
        self.body = self.loader.vmstate_load_state(0, AT, version, None, description, own)

    @property
    def left(self) -> int:
        return self.f.size - self.f.pos


def error(data: bytes, *vmsds: Vmsd, **more: object) -> RefusedError:
    with pytest.raises(RefusedError) as caught:
        Load(data, *vmsds, **more)  # type: ignore[arg-type]
    return caught.value


def refused(data: bytes, *vmsds: Vmsd, **more: object) -> Problem:
    return error(data, *vmsds, **more).problem


# vmstate_n_elems


@pytest.mark.parametrize(
    ("flag", "width", "counter", "elements"),
    [
        (Flag.VARRAY_INT32, 4, 3, 3),
        (Flag.VARRAY_UINT32, 4, 3, 3),
        (Flag.VARRAY_UINT16, 2, 3, 3),
        (Flag.VARRAY_UINT8, 1, 3, 3),
        (Flag.VARRAY_INT32, 4, 0xFFFFFFFF, 0),  # -1: no element
    ],
)
def test_a_counter_tells_how_many(flag: Flag, width: int, counter: int, elements: int) -> None:
    field = VmField(name="a", info="uint16", size=2, num=9, num_offset=8, flags=int(flag))
    done = Load(bytes(range(20)), vmsd(field), words={(AT + 8, width): counter})
    assert 20 - done.left == 2 * elements
    with pytest.raises(UnexaminedError, match="length of dev:a"):
        Load(bytes(20), vmsd(field))


def test_a_counter_that_was_loaded_before_is_taken() -> None:
    count = VmField(name="n", info="uint8", size=1, offset=8, flags=int(Flag.SINGLE))
    field = VmField(name="a", info="uint8", size=1, num_offset=8, flags=int(Flag.VARRAY_UINT8))
    done = Load(b"\x02abc", vmsd(count, field), words={(AT + 8, 1): 3})
    assert done.left == 1
    assert done.body.number("n") == 2


@pytest.mark.parametrize(("flags", "elements"), [(Flag.ARRAY, 4), (Flag.SINGLE, 1)])
def test_a_fixed_array(flags: Flag, elements: int) -> None:
    field = VmField(name="a", info="uint16", size=2, num=4, flags=int(flags))
    assert Load(bytes(8), vmsd(field)).left == 8 - 2 * elements


def test_multiply_elements() -> None:
    field = VmField(
        name="a",
        info="uint16",
        size=2,
        num=3,
        num_offset=8,
        flags=int(Flag.VARRAY_UINT32 | Flag.MULTIPLY_ELEMENTS),
    )
    assert Load(bytes(14), vmsd(field), words={(AT + 8, 4): 2}).left == 2


def test_too_many_elements_are_not_followed() -> None:
    field = VmField(name="a", info="uint8", size=1, num=(1 << 24) + 1, flags=int(Flag.ARRAY))
    with pytest.raises(UnexaminedError, match="16777217 elements"):
        Load(b"", vmsd(field))
    enough = replace(field, num=1 << 24)
    assert Load(bytes(1 << 24), vmsd(enough)).left == 0


# vmstate_size


@pytest.mark.parametrize(("flags", "taken"), [(Flag.VBUFFER, 3), (Flag.VBUFFER | Flag.MULTIPLY, 6)])
def test_a_buffer_of_variable_size(flags: Flag, taken: int) -> None:
    field = VmField(name="b", info="buffer", size=2, size_offset=8, flags=int(flags))
    done = Load(bytes(range(8)), vmsd(field), words={(AT + 8, 4): 3})
    assert done.left == 8 - taken
    assert done.body.data("b") == bytes(range(taken))
    with pytest.raises(UnexaminedError, match="size of dev:b"):
        Load(bytes(8), vmsd(field))
    with pytest.raises(UnexaminedError, match="negative size"):
        Load(bytes(8), vmsd(field), words={(AT + 8, 4): 1 << 31})


# pointers


def test_a_pointer_is_followed() -> None:
    """A counter behind a pointer is where the pointer leads to."""
    flags = int(Flag.STRUCT | Flag.POINTER)
    inner = vmsd(
        VmField(name="a", info="uint8", size=1, num_offset=0, flags=int(Flag.VARRAY_UINT8)),
        name="inner",
    )
    outer = vmsd(VmField(name="p", size=16, offset=8, vmsd=1, flags=flags))
    done = Load(b"abcd", outer, inner, words={(AT + 8, 8): 0x5000, (0x5000, 1): 3})
    assert done.left == 1


def test_allocated_memory_is_new() -> None:
    flags = int(Flag.VBUFFER | Flag.POINTER | Flag.ALLOC)
    size = VmField(name="n", info="uint32", size=4, offset=16, flags=int(Flag.SINGLE))
    field = VmField(name="b", info="buffer", size=0, size_offset=16, offset=8, flags=flags)
    done = Load(b"\0\0\0\x02abc", vmsd(size, field), words={(AT + 8, 8): 0})
    assert done.left == 1
    assert (done.memory.get(AT + 8, 8) or 0) > 1 << 57
    with pytest.raises(UnexaminedError, match="allocates"):
        Load((1 << 28 | 1).to_bytes(4, "big"), vmsd(size, field), words={(AT + 8, 8): 0})
    none = Load(bytes(4), vmsd(size, field), words={(AT + 8, 8): 0})
    assert none.memory.get(AT + 8, 8) == 0


def test_what_two_unknown_pointers_lead_to_is_not_the_same() -> None:
    """The first object's loaded counter is not the second's."""
    flags = int(Flag.STRUCT | Flag.POINTER)
    count = VmField(name="n", info="uint8", size=1, offset=8, flags=int(Flag.SINGLE))
    array = VmField(name="a", info="uint8", size=1, num_offset=8, flags=int(Flag.VARRAY_UINT8))
    tables = (
        vmsd(
            VmField(name="p", size=64, offset=16, vmsd=1, flags=flags),
            VmField(name="q", size=64, offset=24, vmsd=2, flags=flags),
        ),
        vmsd(count, name="counter"),
        vmsd(array, name="array"),
    )
    with pytest.raises(UnexaminedError, match="length of array:a"):
        Load(b"\x02ab", *tables)


def test_a_null_pointer_aborts_before_elements_are_counted() -> None:
    """``assert(first_elem || !n_elems || !size)``: -1 elements are some."""
    flags = int(Flag.VARRAY_INT32 | Flag.POINTER)
    field = VmField(name="a", info="uint16", size=2, num_offset=16, flags=flags)
    table = vmsd(field)
    assert refused(b"", table, words={(AT, 8): 0, (AT + 16, 4): 0xFFFFFFFF}).aborts
    for elements, there in ((0, 0), (0xFFFFFFFF, 0x5000)):
        Load(b"", table, words={(AT, 8): there, (AT + 16, 4): elements})


def test_an_array_of_pointers_has_marks_for_those_that_are_null() -> None:
    flags = int(Flag.ARRAY | Flag.ARRAY_OF_POINTER | Flag.STRUCT)
    field = VmField(name="p", size=8, num=3, offset=8, vmsd=1, flags=flags)
    inner = vmsd(number(), name="inner")
    words = {(AT + 8, 8): 0x5000, (AT + 16, 8): 0, (AT + 24, 8): 0x6000}
    done = Load(b"\0\0\0\x01" + b"0" + b"\0\0\0\x02", vmsd(field), inner, words=words)
    assert done.left == 0
    assert [one.number("n") for one in done.body.children["p"]] == [1, 2]
    assert [one.opaque for one in done.body.children["p"]] == [0x5000, 0x6000]
    assert refused(b"\0\0\0\x01" + b"1", vmsd(field), inner, words=words).rule == "layout"
    del words[AT + 16, 8]
    with pytest.raises(UnexaminedError, match="which elements of dev:p exist"):
        Load(bytes(12), vmsd(field), inner, words=words)


def test_an_array_whose_elements_are_allocated() -> None:
    flags = int(Flag.ARRAY | Flag.ARRAY_OF_POINTER | Flag.ARRAY_OF_POINTER_AUTO_ALLOC | Flag.STRUCT)
    field = VmField(name="p", size=8, num=3, offset=8, vmsd=1, flags=flags)
    inner = vmsd(number(), name="inner")
    done = Load(b"1\0\0\0\x07" + b"0" + b"1\0\0\0\x08", vmsd(field), inner, release="11.1.2")
    assert done.left == 0
    assert [one.number("n") for one in done.body.children["p"]] == [7, 8]
    problem = refused(b"2", vmsd(field), inner, release="11.1.2")
    assert (problem.rule, problem.words[0][0]) == ("layout", "pointer-marker")


# structures


def test_structures_have_their_own_version_or_the_stated_one() -> None:
    inner = vmsd(number("x", version=1), number("y", version=3), name="inner", version=3)
    struct = VmField(name="s", size=8, vmsd=1, flags=int(Flag.STRUCT))
    vstruct = VmField(name="s", size=8, vmsd=1, struct_version=2, flags=int(Flag.VSTRUCT))
    assert Load(bytes(8), vmsd(struct), inner).left == 0
    assert Load(bytes(8), vmsd(vstruct), inner).left == 4
    nothing = VmField(name="s", size=8, flags=int(Flag.STRUCT))
    with pytest.raises(UnexaminedError, match="has no description"):
        Load(bytes(8), vmsd(nothing))


@pytest.mark.parametrize("elements", [64, 65, 200])
def test_many_plain_structures_take_the_same_bytes(elements: int) -> None:
    inner = vmsd(number(), number("m"), name="inner")
    field = VmField(name="a", size=8, num=elements, vmsd=1, flags=int(Flag.STRUCT | Flag.ARRAY))
    assert Load(bytes(8 * elements + 3), vmsd(field), inner).left == 3
    assert refused(bytes(8 * elements - 1), vmsd(field), inner).rule == "stream-broken"


@pytest.mark.parametrize(
    "inner",
    [
        vmsd(number(test=1), name="inner"),
        vmsd(number(version=2), name="inner"),
        vmsd(number(info="uint32 equal"), name="inner"),
        vmsd(number(), name="inner", hooks=frozenset({"post_load"})),
    ],
)
def test_structures_that_are_not_plain_are_looked_at(inner: Vmsd) -> None:
    field = VmField(name="a", size=8, num=100, vmsd=1, flags=int(Flag.STRUCT | Flag.ARRAY))
    loader = Load(bytes(4), vmsd(number()), inner)
    assert plain_width(loader.loader, 1) is None
    assert field.num > 64


# existence


def test_a_field_is_read_from_its_version_on() -> None:
    two = vmsd(number("x"), number("y", version=2), number("z"), version=2)
    assert Load(bytes(12), two, version=2).left == 0
    old = Load(bytes(12), two, version=1)
    assert old.left == 4
    assert old.body.missing == {"y"}


def test_a_check_that_must_hold() -> None:
    check = VmField(name="log_num <= log_max", test=1, flags=int(Flag.MUST_EXIST | Flag.ARRAY))
    fields = (number("log_num"), number("log_max"), check)
    table = vmsd(*fields, name="PCIE_AER_ERROR_LOG")
    assert Load(bytes(3) + b"\x01" + bytes(3) + b"\x01", table).left == 0
    problem = refused(bytes(3) + b"\x02" + bytes(3) + b"\x01", table)
    assert (problem.rule, problem.errno) == ("field-validation", 1)
    unmodelled = replace(check, name="whatever")
    assert Load(bytes(8), vmsd(*fields[:2], unmodelled)).left == 0


def test_a_test_that_is_not_modelled_needs_a_word() -> None:
    with pytest.raises(UnexaminedError, match="whether dev:n is read"):
        Load(bytes(4), vmsd(number(test=1)))


def test_versions() -> None:
    table = vmsd(number(), version=3, minimum=2)
    assert Load(bytes(4), table, version=3).left == 0
    assert Load(bytes(4), table, version=2).left == 0
    assert refused(bytes(4), table, version=4).rule == "version-too-new"
    assert refused(bytes(4), table, version=1).rule == "version-too-old"
    old = replace(table, hooks=frozenset({"load_old"}), minimum_old=1)
    with pytest.raises((UnexaminedError, RefusedError)):
        Load(bytes(4), old, version=1)


def test_the_stream_ends_inside() -> None:
    assert refused(bytes(3), vmsd(number())).rule == "stream-broken"
    assert refused(bytes(3), vmsd(number())).errno == 5


# subsections


def sub(name: str, version: int = 1, body: bytes = b"") -> bytes:
    return b"\x05" + bytes([len(name)]) + name.encode() + version.to_bytes(4, "big") + body


def test_subsections() -> None:
    table = vmsd(number(), subsections=(1, 2))
    one, two = (vmsd(number(), name=f"dev/{name}") for name in ("one", "two"))
    data = bytes(4) + sub("dev/two", body=b"\0\0\0\x07") + sub("dev/one", body=b"\0\0\0\x08")
    done = Load(data + b"\x7e", table, one, two)
    assert done.left == 1
    assert {name: state.number("n") for name, state in done.body.subsections.items()} == {
        "dev/two": 7,
        "dev/one": 8,
    }
    assert refused(bytes(4) + sub("dev/three"), table, one, two).rule == "unknown-subsection"
    newer = refused(bytes(4) + sub("dev/one", 2, bytes(4)), table, one, two)
    assert newer.rule == "version-too-new"


@pytest.mark.parametrize(
    "tail", [sub("other/x"), sub("dev"), b"\x05", b"\x05\x07dev/o", b"\x04\x07dev/one"]
)
def test_what_is_no_subsection_of_this_body_is_left(tail: bytes) -> None:
    table = vmsd(number(), subsections=(1,))
    one = vmsd(number(), name="dev/one")
    assert Load(bytes(4) + tail, table, one).left == len(tail)


# values that are compared


@pytest.mark.parametrize(
    ("info", "width", "sent", "local", "good"),
    [
        ("int32 equal", 4, 5, 5, True),
        ("int32 equal", 4, 5, 4, False),
        ("uint8 equal", 1, 5, 5, True),
        ("uint8 equal", 1, 5, 6, False),
        ("uint16 equal", 2, 5, 6, False),
        ("uint64 equal", 8, 5, 5, True),
        ("int32 le", 4, 5, 6, True),
        ("int32 le", 4, 6, 5, False),
        ("int32 le", 4, 0xFFFFFFFF, 5, False),
    ],
)
def test_compared(info: str, width: int, sent: int, local: int, good: bool) -> None:
    field = VmField(name="n", info=info, size=width, offset=8, flags=int(Flag.SINGLE))
    data, words = sent.to_bytes(width, "big"), {(AT + 8, width): local}
    if good:
        done = Load(data, vmsd(field), words=words)
        assert done.body.number("n") == sent
        if info == "int32 le":
            assert done.memory.get(AT + 8, 4) == sent
    else:
        assert refused(data, vmsd(field), words=words).rule == "field-equal"
    with pytest.raises(UnexaminedError, match="destination's own dev:n"):
        Load(data, vmsd(field))


# lists


def test_a_list_has_a_byte_before_each_element() -> None:
    for info in ("qtailq", "qlist"):
        field = VmField(name="l", info=info, size=8, vmsd=1, version=1, flags=int(Flag.SINGLE))
        inner = vmsd(number(), name="inner")
        done = Load(b"\x01\0\0\0\x07\x01\0\0\0\x08\0\xff", vmsd(field), inner)
        assert done.left == 1
        assert [one.number("n") for one in done.body.children["l"]] == [7, 8]
        newer = replace(field, version=2)
        two = vmsd(newer, version=2)
        assert refused(b"\0", two, inner, version=2).rule == "version-too-new"
        older = replace(inner, minimum=2, version=2)
        assert refused(b"\0", vmsd(field), older).rule == "version-too-old"


# find_se


@pytest.mark.parametrize(
    ("idstr", "instance_id", "place"),
    [
        ("pci/dev", 0, 0),
        ("pci/dev", 3, 0),  # its alias
        ("dev", 7, 0),  # what old streams call it
        ("dev", 0, 1),
        ("dev", 5, None),
        ("other", 0, None),
        ("dev", 0xFFFFFFF9, None),
    ],
)
def test_find_se(idstr: str, instance_id: int, place: int | None) -> None:
    handlers = (
        Handler(
            idstr="pci/dev",
            instance_id=0,
            alias_id=3,
            version=1,
            vmsd=None,
            opaque=1,
            compat=("dev", 7),
        ),
        Handler(idstr="dev", instance_id=0, alias_id=-1, version=1, vmsd=None, opaque=2),
    )
    baseline = Baseline(profile(), LoaderTables(handlers=handlers, vmsds=()))
    se = baseline.find_se(idstr, instance_id)
    assert se is (None if place is None else handlers[place])


# the destination's own stream


def test_a_baseline_refuses_nothing_and_compares_nothing() -> None:
    field = VmField(name="n", info="int32 equal", size=4, offset=8, flags=int(Flag.SINGLE))
    done = Load(b"\0\0\0\x05", vmsd(field), kind=BaselineLoader)
    assert done.body.number("n") == 5
    pointer = VmField(name="p", info="timer", size=8, flags=int(Flag.SINGLE | Flag.POINTER))
    assert Load(bytes(8), vmsd(pointer), words={(AT, 8): 0}, kind=BaselineLoader).left == 0
    assert refused(bytes(8), vmsd(pointer), words={(AT, 8): 0}).aborts


# MSI-X


@pytest.mark.parametrize(("entries", "taken"), [(1, 17), (8, 129), (9, 146)])
def test_msix_tables_are_as_long_as_the_destination_says(entries: int, taken: int) -> None:
    config = bytearray(256)
    config[0x06] = 0x10
    config[0x34] = 0x40
    config[0x40:0x44] = bytes([0x11, 0, entries - 1, 0])
    masks = PciMasks(config=bytes(config), cmask=bytes(256), wmask=bytes(256), w1cmask=bytes(256))
    field = VmField(name="msix", info="msix state", flags=int(Flag.SINGLE))
    tables = LoaderTables(handlers=(HANDLER,), vmsds=(vmsd(field),), pci={"dev": masks})
    assert 200 - Load(bytes(200), tables=tables).left == taken


# what surviving mutants showed to be unheld


def test_a_stream_that_ends_in_an_element_is_an_error_of_the_field() -> None:
    """In the second element of an array whose type has a reader of its own."""
    field = VmField(name="b", info="buffer", size=4, num=2, flags=int(Flag.ARRAY))
    with pytest.raises(RefusedError) as caught:
        Load(bytes(6), vmsd(field))
    assert caught.value.problem.rule == "stream-broken"
    assert ("field-error", {"vmsd": "dev", "field": "b"}) in caught.value.printed


def test_an_unknown_type_is_not_followed() -> None:
    with pytest.raises(UnexaminedError, match="unknown type 'whatever'"):
        Load(bytes(8), vmsd(number(info="whatever")))


@pytest.mark.parametrize(("info", "width"), [("bool", 1), ("uint16", 2), ("uint32", 4)])
def test_a_number_is_kept_as_wide_as_its_type(info: str, width: int) -> None:
    field = VmField(name="n", info=info, size=width, offset=8, flags=int(Flag.SINGLE))
    done = Load(b"\0\0\0\1"[-width:], vmsd(field))
    assert [done.memory.get(AT + 8, other) for other in (1, 2, 4)] == [
        1 if other == width else None for other in (1, 2, 4)
    ]


def test_a_baseline_states_sizes() -> None:
    loader = Load(bytes(4), vmsd(number()), kind=BaselineLoader).loader
    loader.stated = 12
    assert loader.local_size(LoadedState(index=0, vmsd=vmsd(), opaque=0, version=1), number()) == 12
    loader.record_size(LoadedState(index=0, vmsd=vmsd(), opaque=0, version=1), number())
    assert loader.sizes == {(0, "n"): 12}
    entry = Entry(name="n", type="uint32", size=4)
    described = VmsdBody(name="dev", version=1, fields=(entry,))
    done = Load(bytes(4), vmsd(number()), kind=BaselineLoader, description=described)
    assert done.loader.sizes == {(0, "n"): 4}


def test_bytes_of_a_field_in_the_destinations_own_stream() -> None:
    loader = Load(bytes(4), vmsd(number()), sizes={(0, "n"): 12}).loader
    state = LoadedState(index=0, vmsd=vmsd(), opaque=0, version=1)
    assert loader.local_size(state, number()) == 12
    assert loader.local_size(state, number("m")) is None
