"""What rules at a stream's end see of it, as the key of remembered answers."""

from __future__ import annotations

import pytest

from migratable.check.cache.prepared_stream import Streams
from migratable.stream.edit import make_stream
from migratable.stream.model import Section
from migratable.stream.wire_format import SectionKind


def _section(idstr: str, body: bytes) -> Section:
    return Section(
        kind=SectionKind.FULL, section_id=3, idstr=idstr, instance_id=0, version_id=3, body=body
    )


def _seen(idstr: str, body: bytes) -> object:
    stream = make_stream("pc-q35-10.0", [_section(idstr, body)])
    return Streams().ready(stream).ends({idstr})


@pytest.mark.parametrize(
    ("idstr", "at", "seen"),
    [
        ("mc146818rtc", 0x00, False),  # seconds
        ("mc146818rtc", 0x34, True),  # memory below 4 GiB
        ("mc146818rtc", 0x5B, True),  # memory from 4 GiB on
        ("mc146818rtc", 0x90, False),  # behind the CMOS
        ("cpu", 0x00, True),
    ],
)
def test_only_what_rules_ask_for_is_seen(idstr: str, at: int, seen: bool) -> None:
    body = bytearray(160)
    before = _seen(idstr, bytes(body))
    body[at] ^= 7
    assert (_seen(idstr, bytes(body)) != before) is seen


def test_other_sections_are_not_asked_for() -> None:
    stream = make_stream("pc-q35-10.0", [_section("mc146818rtc", bytes(160))])
    assert Streams().ready(stream).ends({"cpu"}) == ()
