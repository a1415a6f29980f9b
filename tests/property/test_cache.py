"""Answers of the cache are those of a replay, whatever is in the streams."""

from __future__ import annotations

import random
from dataclasses import replace
from functools import cache, partial

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from migratable.check import check
from migratable.check.baseline import Baseline
from migratable.check.cache.prepared_stream import Streams
from migratable.check.cache.replay_cache import Memo
from migratable.check.savevm import Replay
from migratable.check.verdict import verdict_of
from migratable.stream import SectionKind, Stream
from migratable.stream.model import Element, Section
from migratable.verdict import Verdict
from tests import recorded

BOARDS = {
    "q35": ("q35-5.2", "q35-10.0", "q35-10.0-other"),
    "i440fx": ("i440fx-10.0", "i440fx-11.1", "i440fx-10.0-other"),
    "pseries": ("pseries-5.2", "pseries-10.0-other", "pseries-11.1"),
}
_FEW = settings(max_examples=2, suppress_health_check=list(HealthCheck))
_MANY = settings(max_examples=20, suppress_health_check=list(HealthCheck))


@cache
def baseline(name: str) -> Baseline:
    profile = recorded.profile(name)
    assert profile.loader is not None
    return Baseline(profile, profile.loader)


def altered(stream: Stream, rnd: random.Random) -> Stream:
    """A stream some bytes of which are others, most of them in a few sections."""
    chosen = {rnd.randrange(len(stream.elements)) for _ in range(4)}

    def alter(number: int, element: Element) -> Element:
        whole = isinstance(element, Section) and element.kind in {
            SectionKind.FULL,
            SectionKind.START,
        }
        if not whole or number not in chosen or not len(element.body):  # type: ignore[union-attr]
            return element
        assert isinstance(element, Section)
        body = bytearray(element.body)
        for _ in range(rnd.randrange(1, 4)):
            start = rnd.randrange(len(body))
            value = rnd.choice((b"\0", b"\1", b"\xff", b"\x05", bytes([rnd.randrange(256)])))
            body[start : start + 1] = value
        return replace(element, body=bytes(body))

    elements = tuple(alter(number, element) for number, element in enumerate(stream.elements))
    return replace(stream, elements=elements)


def judge(memo: Memo, replay: Replay) -> Verdict:
    return verdict_of(replay, {}, memo.baseline.profile)


@pytest.mark.parametrize("board", BOARDS)
@_FEW
@given(seed=st.integers(0, 1 << 30))
def test_the_cache_answers_as_a_replay(board: str, seed: int) -> None:
    compare(board, seed)


@pytest.mark.slow
@pytest.mark.parametrize("board", BOARDS)
@_MANY
@given(seed=st.integers(0, 1 << 30))
def test_the_cache_answers_as_many_replays(board: str, seed: int) -> None:
    compare(board, seed)


def compare(board: str, seed: int) -> None:
    rnd = random.Random(seed)
    names = BOARDS[board]
    sources = [recorded.source(name) for name in names]
    memos = {name: Memo(baseline(name)) for name in names}
    ready = Streams()
    for _ in range(5):
        stream = altered(rnd.choice(sources), rnd)
        units = ready.ready(stream)
        for memo in memos.values():
            kept = memo.answer(units, partial(judge, memo))
            plain = replace(check(stream, memo.baseline), source={})
            assert kept == plain


def test_what_a_rule_reads_at_the_end_is_in_no_key() -> None:
    """With memory at other addresses the rings of devices are read at the stream's end."""
    source = recorded.source("q35-5.2")
    memo, ready = Memo(baseline("q35-5.2")), Streams()

    def moved(altered: int) -> Stream:
        """16 MiB stand above 4 GiB instead of below; a byte of a ring's is another."""
        elements: list[Element] = []
        for element in source.elements:
            if isinstance(element, Section) and element.body:
                body = bytearray(element.body)
                if element.idstr == "mc146818rtc":
                    body[0x35] -= 1
                    body[0x5C] += 1
                elif element.idstr.endswith("/virtio-gpu"):
                    body[altered] ^= 1
                element = replace(element, body=bytes(body))  # noqa: PLW2901
            elements.append(element)
        return replace(source, elements=tuple(elements))

    for altered in (363, 369):
        stream = moved(altered)
        kept = memo.answer(ready.ready(stream), partial(judge, memo))
        assert "memory-map" in {finding.rule for finding in kept.findings}
        assert kept == replace(check(stream, memo.baseline), source={})
