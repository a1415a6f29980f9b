"""QEMU's tables in memory that is made up: which layout they have, and when nothing is guessed."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import replace
from typing import cast

import pytest

from migratable.errors import ProfileError
from migratable.profile.memory.layout import FIELD_LAYOUTS, LAYOUTS, Entry, find_layout
from migratable.profile.memory.probe import Layout
from migratable.profile.memory.process import ProcessMemory, Region
from migratable.profile.tables import Flag

DATA, CODE = 0x10_0000, 0x80_0000
NAMES = {"name", "err_hint"}


class Made:
    """Memory with one region of data and one of code; grows while tables are put into it."""

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        self.data = bytearray(64)
        self._types: dict[str, int] = {}

    def put(self, content: bytes) -> int:
        self.data += bytes(-len(self.data) % 16)
        at = DATA + len(self.data)
        self.data += content
        return at

    def text(self, text: str) -> int:
        return self.put(text.encode() + b"\0")

    def info(self, name: str) -> int:
        if name not in self._types:
            self._types[name] = self.put(struct.pack("<QQQ", self.text(name), CODE, CODE))
        return self._types[name]

    def fields(self, *fields: dict[str, int]) -> int:
        layout = self.layout.field
        out = b""
        for field in fields:
            members = [field.get(name, 0) for name in layout.members]
            out += struct.pack("<" + layout.fmt, *members)
        return self.put(out + bytes(layout.size))

    def description(self, name: str, hooks: dict[str, int], *fields: dict[str, int]) -> int:
        table = bytearray(self.layout.subsections + 8)
        struct.pack_into("<QIiii", table, 0, self.text(name), 0, 2, 1, 1)
        for hook, offset in self.layout.hooks:
            for wanted, value in hooks.items():
                if hook in {wanted, f"{wanted}_errp"}:
                    struct.pack_into("<Q", table, offset, value)
        struct.pack_into("<Q", table, self.layout.fields, self.fields(*fields))
        return self.put(bytes(table))

    def memory(self) -> ProcessMemory:
        regions = [
            Region(DATA, DATA + len(self.data), "r--p", "/opt/vmm"),
            Region(CODE, CODE + 4096, "r-xp", "/opt/vmm"),
        ]

        class Words(ProcessMemory):
            def __init__(self, data: bytes) -> None:
                self.regions = tuple(regions)
                self._order = "<"
                self._data = data

            def read(self, address: int, length: int) -> bytes | None:
                at = address - DATA
                found = self._data[at : at + length] if at >= 0 else b""
                return found if len(found) == length else None

            def region(self, address: int) -> Region | None:
                return next((one for one in regions if one.start <= address < one.end), None)

        return cast(ProcessMemory, Words(bytes(self.data)))


def machine(layout: Layout) -> tuple[Made, list[Entry]]:
    """What each machine has, and an array with as many elements as its counter says."""
    made = Made(layout)
    number = {"info": made.info("int64"), "size": 8, "flags": int(Flag.SINGLE)}
    ticks = {**number, "name": made.text("cpu_ticks_offset")}
    unused = {
        "name": made.text("unused"),
        "info": made.info("unused_buffer"),
        "size": 8,
        "flags": int(Flag.BUFFER),
    }
    array = {**number, "name": made.text("regs"), "flags": int(Flag.ARRAY), "num": 16}
    counted = {
        **number,
        "name": made.text("timers"),
        "flags": int(Flag.VARRAY_INT32),
        "num_offset": 0x591,
        "num_width": 4,
    }
    both = {"pre_load": CODE + 16, "post_load": CODE + 32}
    found = [
        ("timer", made.description("timer", {}, ticks, unused)),
        ("cpu_common", made.description("cpu_common", both, {**number, "name": ticks["name"]})),
        ("board", made.description("board", {"post_load": CODE + 64}, array, counted)),
    ]
    return made, [
        Entry(idstr=name, instance_id=0, alias_id=-1, version=2, ops=0, vmsd=at, opaque=0, compat=0)
        for name, at in found
    ]


def layouts() -> Sequence[Layout]:
    return [replace(one, field=field) for one in LAYOUTS for field in FIELD_LAYOUTS]


@pytest.mark.parametrize("layout", layouts(), ids=lambda one: f"{one.fields}-{one.hooks[0][1]}")
def test_each_layout_is_told_from_all_others(layout: Layout) -> None:
    made, entries = machine(layout)
    assert find_layout(made.memory(), entries) == layout


def test_a_layout_that_nobody_knows_is_refused() -> None:
    strange = replace(
        LAYOUTS[3], fields=120, subsections=128, field=FIELD_LAYOUTS[0]
    )  # a downstream's own member
    made, entries = machine(strange)
    with pytest.raises(ProfileError, match=r"not known yet.*rehearse"):
        find_layout(made.memory(), entries)


def test_unknown_flags_fit_no_layout() -> None:
    layout = replace(LAYOUTS[3], field=FIELD_LAYOUTS[0])
    made, entries = machine(layout)
    odd = {"name": made.text("odd"), "info": made.info("int64"), "size": 8, "flags": 0x4000_0001}
    at = made.description("odd", {}, odd)
    with pytest.raises(ProfileError, match="not known yet"):
        find_layout(made.memory(), [*entries, replace(entries[0], idstr="odd", vmsd=at)])


def test_without_arrays_nothing_is_told() -> None:
    made, entries = machine(replace(LAYOUTS[3], field=FIELD_LAYOUTS[0]))
    with pytest.raises(ProfileError):
        find_layout(made.memory(), entries[:2])
