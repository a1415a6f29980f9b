"""Whatever is in a stream, a check gives a verdict or an error with its place, and soon."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from migratable.check import check
from migratable.check.baseline import Baseline
from migratable.errors import StreamError
from migratable.profile import bundled
from migratable.stream import Stream, read, write
from migratable.stream.model import Section
from migratable.verdict import Outcome, Severity, Verdict
from tests.steps import at_most

#: Ten times what the largest of hundreds of examples needs: a loop over something huge.
CALLS = 20_000_000
NAMES = [name for name in bundled.names() if name.startswith("pseries")]
_WORDS = (
    b"\xff\xff\xff\xff",
    b"\0\0\0\0",
    b"\x7f\xff\xff\xff",
    b"\0\0\x10\0",
    b"\x05\x0fspapr/cap/htm",
)
_FEW = settings(max_examples=40, suppress_health_check=list(HealthCheck))
_MANY = settings(max_examples=300, suppress_health_check=list(HealthCheck))


@cache
def example() -> bytes:
    """The bundled stream."""
    path = bundled.FOLDER / "guest-pseries.mig.gz"
    return bytes(write(read(path)))


@cache
def destination(name: str) -> Baseline:
    found = bundled.load(name)
    assert found.loader is not None
    return Baseline(found, found.loader)


def consistent(verdict: Verdict) -> None:
    """What holds for every verdict."""
    refusing = [one for one in verdict.findings if one.severity is Severity.REFUSES]
    assert (verdict.outcome is Outcome.REFUSED) == bool(refusing)
    assert (verdict.first_refusal is not None) == bool(refusing)
    if verdict.first_refusal is not None:
        assert verdict.first_refusal.message
        assert verdict.first_refusal.message in verdict.stderr
    if verdict.outcome is Outcome.UNKNOWN:
        assert verdict.unchecked
    for finding in verdict.findings:
        assert finding.summary
    verdict.to_json()


def judge(stream: Stream, name: str) -> None:
    known = destination(name), destination(NAMES[-1])  # decoding a profile is no part of it
    try:
        with at_most(CALLS):
            verdict = check(stream, known[0], origin=known[1].profile)
    except StreamError as error:  # of what no reader gives: a body that ends inside a number
        assert str(error)
    else:
        consistent(verdict)


@_FEW
@given(st.data())
def test_damaged_bytes(data: st.DataObject) -> None:
    damage_bytes(data)


@pytest.mark.slow
@_MANY
@given(st.data())
def test_many_damaged_bytes(data: st.DataObject) -> None:
    damage_bytes(data)


def damage_bytes(data: st.DataObject) -> None:
    """Anywhere in the file: the reader refuses what it cannot read, the rest gets a verdict."""
    stream = bytearray(example())
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(stream) - 1))
        kind = data.draw(st.sampled_from(["byte", "word", "cut"]))
        if kind == "byte":
            stream[at] = data.draw(st.integers(0, 255))
        elif kind == "word":
            word = data.draw(st.sampled_from(_WORDS))
            stream[at : at + len(word)] = word
        elif data.draw(st.booleans()):
            del stream[at:]
            break
    try:
        found = read(bytes(stream))
        judge(found, data.draw(st.sampled_from(NAMES)))
    except StreamError:
        pass


@_FEW
@given(st.data())
def test_damaged_sections(data: st.DataObject) -> None:
    damage_sections(data)


@pytest.mark.slow
@_MANY
@given(st.data())
def test_many_damaged_sections(data: st.DataObject) -> None:
    damage_sections(data)


def damage_sections(data: st.DataObject) -> None:
    """Inside bodies and headers, with and without the stream's own description of itself."""
    whole = read(example())
    numbers = [
        number
        for number, one in enumerate(whole.elements)
        if isinstance(one, Section) and one.idstr != "ram"
    ]
    elements = list(whole.elements)
    for number in data.draw(st.lists(st.sampled_from(numbers), min_size=1, max_size=3)):
        section = elements[number]
        assert isinstance(section, Section)
        body = bytearray(section.body)
        kind = data.draw(
            st.sampled_from(["byte", "word", "drop", "insert", "version", "name", "id"])
        )
        at = data.draw(st.integers(0, max(len(body) - 1, 0)))
        if kind == "byte" and body:
            body[at] = data.draw(st.integers(0, 255))
        elif kind == "word":
            word = data.draw(st.sampled_from(_WORDS))
            body[at : at + len(word)] = word
        elif kind == "drop":
            del body[at : at + data.draw(st.sampled_from([1, 2, 8, 5000]))]
        elif kind == "insert":
            body[at:at] = data.draw(st.binary(min_size=1, max_size=20))
        elif kind == "version":
            section = replace(section, version_id=data.draw(st.integers(0, 300)))
        elif kind == "name":
            section = replace(section, idstr=data.draw(st.text(max_size=20)))
        else:
            section = replace(section, instance_id=data.draw(st.integers(0, (1 << 32) - 1)))
        elements[number] = replace(section, body=bytes(body))
    stream = replace(whole, elements=tuple(elements))
    if data.draw(st.booleans()):
        plain = [
            replace(one, description=None) if isinstance(one, Section) else one for one in elements
        ]
        stream = replace(stream, elements=tuple(plain), vmdesc=None, trailer=b"")
    judge(stream, data.draw(st.sampled_from(NAMES)))


def test_cut_behind_every_section() -> None:
    """A stream that ends early is no stream, wherever it ends."""
    whole = read(example())
    for count in range(1, len(whole.elements)):
        cut = replace(whole, elements=whole.elements[:count], vmdesc=None, eof=False, trailer=b"")
        with pytest.raises(StreamError, match="ends early"):
            read(write(cut))
