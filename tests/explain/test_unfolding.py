"""Folded values of YAML."""

from __future__ import annotations

import pytest

from migratable.explain.unfolding import unfolded


@pytest.mark.parametrize(
    ("folded", "whole"),
    [
        (b"  reason: 'a\n    b''s\n    c'\n  x: 1", b"  reason: 'a b''s c'\n\n\n  x: 1"),
        (b'- message: "a\n    b\n    c"\nx: 1', b'- message: "a b c"\n\n\nx: 1'),
        (
            b"message: plain words\n  that go on\nother: 1",
            b"message: plain words that go on\n\nother: 1",
        ),
        (b"failureReason: one\n  key: 1", b"failureReason: one\n  key: 1"),
        (b"msg: 'never closed\n  x\n  y", b"msg: 'never closed\n  x\n  y"),
        (b"error: one line\nnext line", b"error: one line\nnext line"),
        (b"message: 'closed'\n    deeper", b"message: 'closed'\n    deeper"),
    ],
)
def test_a_value_on_its_first_line(folded: bytes, whole: bytes) -> None:
    assert unfolded(folded) == whole
    assert unfolded(folded).count(b"\n") == folded.count(b"\n")
