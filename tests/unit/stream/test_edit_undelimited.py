"""RAM is left out of a stream whose sections have no ends; its device state stays."""

from __future__ import annotations

from dataclasses import replace

from migratable.stream import SectionKind, read, write
from migratable.stream.edit import elide_ram
from migratable.stream.model import Section, Span
from tests.unit.stream import tiny


def test_what_nothing_delimits_stays() -> None:
    whole = read(tiny.data())
    start = next(one for one in whole.sections if one.kind is SectionKind.START)
    assert start.idstr == "ram"
    devices = b"\x04\0\0\0\x05\x05timer\0\0\0\0\0\0\0\x02" + bytes(24) + b"\0"
    span = Span(data=memoryview(devices), offset=0, undelimited=True)
    elements = [one for one in whole.elements if isinstance(one, Section) and one.idstr == "ram"]
    stream = replace(whole, elements=(*elements, span), vmdesc=None, eof=False, trailer=b"")
    left = elide_ram(stream)
    assert write(left).endswith(devices)
    kinds = [getattr(one, "kind", None) for one in left.elements]
    assert kinds[0] is SectionKind.START
    assert SectionKind.END in kinds
    assert len(left.elements) == 3
