"""Reading a stream from its end: vmdesc first, then device sections backwards."""

from __future__ import annotations

import re
from collections.abc import Container

from migratable.errors import StreamError
from migratable.stream import vmdesc
from migratable.stream import wire_format as layout
from migratable.stream.cursor import raw, text
from migratable.stream.model import Element, Section
from migratable.stream.vmdesc import VmDescription, VmDevice
from migratable.stream.wire_format import VMDESCRIPTION, SectionKind

MAX_PADDING = 16 << 20
"""NUL bytes after the stream that are taken for padding (direct I/O, block devices)."""
_SEARCH = 16 << 20
"""How far back a device whose size does not fit is looked for."""
_SEARCHES = 64
"""How many are, so that a hostile vmdesc cannot make it long."""


def strip_padding(data: memoryview) -> int:
    """Where the stream ends when NUL bytes at the end are padding; the EOF byte is one itself."""
    end = len(data)
    limit = max(0, end - MAX_PADDING)
    while end > limit:
        start = max(limit, end - 65536)
        kept = len(bytes(data[start:end]).rstrip(b"\0"))
        if kept:
            return start + kept
        end = start
    return len(data)


def find_vmdesc(data: memoryview, end: int) -> VmDescription | None:
    """Find the trailer that ends at *end*, None when there is none.

    JSON has no NUL, the u32 before it has one (below 16 MiB): the last NUL is in that length.

    :raise StreamError: when the trailer is there and its JSON is not what QEMU writes.
    """
    if end < 14 or data[end - 1] != ord("}"):
        return None
    window = 65536
    while True:
        start = max(0, end - window)
        last = bytes(data[start:end]).rfind(b"\0")
        if last >= 0:
            break
        if start == 0 or window > layout.MAX_VMDESC:
            return None
        window = min(4 * window, layout.MAX_VMDESC + 16)
    last += start
    for at in range(max(0, last - 4), last):
        size = int.from_bytes(data[at + 1 : at + 5], "big")
        if (
            data[at] == layout.VMDESCRIPTION
            and at + 5 + size == end
            and data[at + 5] == ord("{")
            and data[at - 1] == layout.EOF
        ):
            return vmdesc.parse(bytes(data[at + 5 : end]), offset=at)
    return None


def peel_devices(
    data: memoryview, found: VmDescription, minimum: int
) -> tuple[int, list[Element], bool | None]:
    """Find the device sections before the EOF byte, last first.

    Stops at the first that is not where it should be: those before it were sent early (``early
    setup``) and precede the RAM.

    :param minimum: where the head of the stream ends.
    :return: offset of the first device, the sections in the order of the wire, and whether they
        have footers (None when there is no section to tell).
    """
    assert found.offset is not None
    pos = found.offset - 1
    sections: list[Element] = []
    footers: bool | None = None
    searches = _SEARCHES
    for device in reversed(found.devices):
        section = None
        for footer in (True, False) if footers is None else (footers,):
            section = _section_before(
                data, pos, device, footer=footer, minimum=minimum, search=searches > 0
            )
            if section is not None:
                footers = footer
                searches -= len(section.body) != device.size
                break
        if section is None:
            break
        sections.append(section)
        assert section.offset is not None
        pos = section.offset
    sections.reverse()
    return pos, sections, footers


def _section_before(
    data: memoryview, pos: int, device: VmDevice, *, footer: bool, minimum: int, search: bool
) -> Section | None:
    end = pos - 5 if footer else pos
    name = raw(device.idstr)
    if end < minimum or len(name) > 255 or (footer and data[end] != layout.SECTION_FOOTER):
        return None
    tail = bytes([len(name)]) + name + device.instance_id.to_bytes(4, "big")
    header = 14 + len(name)
    start = end - device.size - header
    if start < minimum or not _header_at(data, start, tail):
        if not footer or not search:
            return None
        start = _search_header(data, end, tail, minimum)
        if start < 0:
            return None
    section_id = bytes(data[start + 1 : start + 5])
    if footer and section_id != data[end + 1 : end + 5]:
        raise StreamError(
            "section footer has another id than its section",
            offset=end + 1,
            path=f"section {device.idstr!r} {device.instance_id}",
        )
    body = start + header
    return Section(
        kind=SectionKind.FULL,
        section_id=int.from_bytes(section_id, "big"),
        idstr=device.idstr,
        instance_id=device.instance_id,
        version_id=int.from_bytes(data[body - 4 : body], "big"),
        body=data[body:end],
        footer=footer,
        offset=start,
        description=device,
    )


def _header_at(data: memoryview, start: int, tail: bytes) -> bool:
    return data[start] == layout.SECTION_FULL and data[start + 5 : start + 5 + len(tail)] == tail


def _search_header(data: memoryview, end: int, tail: bytes, minimum: int) -> int:
    """Where the section with the footer at *end* begins, when vmdesc's size is wrong; or -1.

    Before 10.0 the size of a compressed pointer array with NULLs in it is (``vmstate_save``).
    """
    wanted = b"\x04" + bytes(data[end + 1 : end + 5]) + tail
    start = max(minimum, end - _SEARCH)
    found = -1
    for match in re.finditer(re.escape(wanted), data[start:end]):
        found = start + match.start()
    return found


def plausible_element(data: memoryview, pos: int, end: int, starts: Container[int]) -> bool:
    """Tell whether an element, or the end of the stream, could begin at *pos*."""
    if pos >= end:
        return pos == end
    kind = data[pos]
    left = end - pos
    if kind == layout.EOF:
        after = bytes(data[pos + 1 : pos + 17])
        return left == 1 or after[:1] == bytes([VMDESCRIPTION]) or not after.strip(b"\0")
    if kind in (layout.SECTION_START, layout.SECTION_FULL):
        if left < 15:
            return False
        length = data[pos + 5]
        name = text(data[pos + 6 : pos + 6 + length])
        version = int.from_bytes(data[pos + 10 + length : pos + 14 + length], "big")
        return bool(name) and name.isprintable() and left >= 14 + length and version < 1 << 30
    if kind in (layout.SECTION_PART, layout.SECTION_END):
        return int.from_bytes(data[pos + 1 : pos + 5], "big") in starts
    if kind == layout.COMMAND:
        return int.from_bytes(data[pos + 1 : pos + 3], "big") < 32
    return False
