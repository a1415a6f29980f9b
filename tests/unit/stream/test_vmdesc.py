"""The vmdesc trailer."""

from __future__ import annotations

import json
from typing import Any

import pytest

from migratable.errors import StreamError
from migratable.stream import read, vmdesc
from migratable.stream import wire_format as layout
from tests.unit.stream import tiny

WITHOUT_VMDESC = {"11.1-pc-nodesc", "5.2-pc-switched", "7.2-q35-xen"}


@pytest.mark.parametrize("name", sorted(set(tiny.NAMES) - WITHOUT_VMDESC))
def test_dumped_and_parsed_again(name: str) -> None:
    found = read(tiny.golden(name)).vmdesc
    assert found is not None
    again = vmdesc.parse(vmdesc.dump(found))
    assert again.devices == found.devices
    assert (again.page_size, again.configuration) == (found.page_size, found.configuration)


@pytest.mark.parametrize("name", tiny.NAMES)
def test_sizes_are_those_of_the_sections(name: str) -> None:
    stream = read(tiny.golden(name))
    for section in stream.devices:
        if section.description is not None:
            assert section.description.size == len(section.body), section.name


def test_repeated_keys_are_elements() -> None:
    stream = tiny.stream()
    section = stream.device("0000:00:01.0/thing")
    assert section is not None and section.description is not None
    queue = section.description.body.fields[2]
    assert [element.name for element in queue.elements] == ["entry", "entry"]


def test_an_array_that_begins_with_a_null_pointer() -> None:
    """Up to 7.2 its element has an empty object where a body is (s390x: css)."""
    (device,) = vmdesc.parse(described(name="p", index=0, type="struct", struct={}, size=1)).devices
    assert device.body.fields[0].struct is None
    assert device.body.size == 1


def described(**field: Any) -> bytes:
    body = {"vmsd_name": "d", "version": 1, "fields": [field]}
    return json.dumps(
        {"page_size": 4096, "devices": [{"name": "d", "instance_id": 0} | body]}
    ).encode()


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"{", "not JSON"),
        (b"[]", "expected at 0"),
        (b'{"devices": []}', "integer expected"),
        (b'{"page_size": 4096}', "list expected"),
        (b'{"page_size": 4096, "devices": [1]}', "object expected"),
        (b'{"page_size": 1e3, "devices": []}', "not an integer"),
        (b'{"page_size": true, "devices": []}', "integer expected"),
        (b'{"page_size": %s, "devices": []}' % (b"9" * 5000), "vmdesc"),
        (b'{"page_size": NaN, "devices": []}', "vmdesc"),
        (b"\xff\xfe{}", "not JSON"),
        (described(name="f", type="uint8", size=-1), "out of range"),
        (described(name="f", type="uint8", size=1 << 63), "out of range"),
        (described(name=1, type="uint8", size=1), "string expected"),
        (described(name="f", type="struct", size=1, struct=[]), "object expected"),
        (b'{"page_size": 4096, "devices": ' + b"[" * 100_000, "deep|JSON"),
    ],
)
def test_malformed(data: bytes, words: str) -> None:
    with pytest.raises(StreamError, match=words):
        vmdesc.parse(data)


def test_deep_nesting() -> None:
    inner: dict[str, Any] = {"vmsd_name": "n", "version": 1, "fields": []}
    for _ in range(layout.MAX_NESTING + 5):
        inner = {"vmsd_name": "n", "version": 1, "fields": [], "subsections": [inner]}
    data = {"page_size": 4096, "devices": [{"name": "d", "instance_id": 0} | inner]}
    with pytest.raises(StreamError, match="nested more than"):
        vmdesc.parse(json.dumps(data).encode())


def test_bombs() -> None:
    with pytest.raises(StreamError, match="members, more than"):
        vmdesc.parse(b"[" + b"[]," * (layout.MAX_VMDESC_VALUES + 1))
    with pytest.raises(StreamError, match="more than 16777216"):
        vmdesc.parse(bytes(layout.MAX_VMDESC + 1))
