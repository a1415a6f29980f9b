"""Dataclasses as JSON objects and back: every form of annotation, every kind of damage."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest

from migratable.members import (
    ASIDE,
    HIDDEN,
    SPARSE,
    MalformedError,
    members,
    most,
    named,
    plain,
    read,
    read_row,
    rows,
)


class Kind(enum.StrEnum):
    A = "a"
    B = "b"


@dataclass(frozen=True, slots=True, kw_only=True)
class Inner:
    number: int = field(metadata=most(7))
    word: str = field(default="", metadata=SPARSE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outer:
    kind: Kind = field(metadata=named("class"))
    data: bytes = b""
    truth: bool = False
    nothing: int | None = field(default=None, metadata=SPARSE)
    inner: Inner | None = None
    several: tuple[Inner, ...] = ()
    row: tuple[str, int] = ("", 0)
    texts: Mapping[str, str] = field(default_factory=dict, metadata=SPARSE)
    counts: Mapping[int, int] = field(default_factory=dict)
    anything: Any = None
    ours: object = field(default=None, metadata=HIDDEN)
    aside: str = field(default="", metadata=ASIDE)


FULL = Outer(
    kind=Kind.B,
    data=b"\1\xff",
    truth=True,
    nothing=0,
    inner=Inner(number=7),
    several=(Inner(number=0, word="w"),),
    row=("a", -1),
    texts={"k": "v"},
    counts={16: 1},
    anything=[{"x": 1.5}],
    ours=object(),
    aside="not written",
)


def test_all_forms() -> None:
    document = members(FULL)
    assert document == {
        "class": "b",
        "data": "01ff",
        "truth": True,
        "nothing": 0,  # is not the default
        "inner": {"number": 7},
        "several": [{"number": 0, "word": "w"}],
        "row": ["a", -1],
        "texts": {"k": "v"},
        "counts": {"16": 1},
        "anything": [{"x": 1.5}],
    }
    assert type(document["class"]) is str
    again = read(Outer, document | {"aside": "read", "later": "passed over"})
    assert members(again) == document
    assert (again.aside, again.ours, again.kind) == ("read", None, Kind.B)


def test_defaults() -> None:
    assert read(Outer, {"class": "a"}) == Outer(kind=Kind.A)
    assert set(members(Outer(kind=Kind.A))) == {
        "class", "data", "truth", "inner", "several", "row", "counts", "anything",
    }  # fmt: skip
    assert plain(frozenset({"b", "a"})) == ["a", "b"]


def test_given_members_are_not_read() -> None:
    assert read(Outer, {"class": "a", "truth": "damaged"}, truth=True).truth is True


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"class": 1}, "class: string expected, got int"),
        ({"class": "c"}, "class: one of a, b expected, got 'c'"),
        ({"data": "xy"}, "data: hexadecimal bytes expected"),
        ({"truth": 1}, "truth: true or false expected, got int"),
        ({"nothing": True}, "nothing: number expected, got bool"),
        ({"inner": {"number": 8}}, "inner.number: number from 0 to 7 expected, got 8"),
        ({"inner": {"number": -1}}, "inner.number: number from 0 to 7"),
        ({"inner": {}}, "inner.number: missing"),
        ({"several": [{"number": 1}, 2]}, r"several\[1\]: object expected, got int"),
        ({"several": {}}, "several: list expected, got dict"),
        ({"row": ["a"]}, "row: 2 values expected, got 1"),
        ({"row": ["a", "b"]}, "row: number expected"),
        ({"texts": {"k": 1}}, "texts.k: string expected"),
        ({"texts": []}, "texts: object expected"),
        ({"counts": {"ten": 1}}, "counts: numbers expected for names"),
    ],
)
def test_damage_is_named_with_its_place(change: dict[str, Any], says: str) -> None:
    with pytest.raises(MalformedError, match=f"^{says}"):
        read(Outer, members(FULL) | change)


def test_what_is_no_object_and_what_is_not_whole() -> None:
    with pytest.raises(MalformedError, match=r"^a.b: object expected, got list"):
        read(Inner, [], ".a.b")
    with pytest.raises(MalformedError, match=r"^word: missing"):
        read(Inner, {"number": 1}, whole=True)


def test_rows() -> None:
    whole = Inner(number=1, word="w")
    assert rows([whole]) == [[1, "w"]]
    assert read_row(Inner, [1, "w"]) == whole
    for damaged in ([1], ["1", "w"], {"number": 1, "word": "w"}):
        with pytest.raises(MalformedError):
            read_row(Inner, damaged)
