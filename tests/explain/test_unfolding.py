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


@pytest.mark.parametrize(
    ("broken", "whole"),
    [
        (
            b"> >   qemu-system-aarch64: write 0x603000000013c020(0x0100010011111111) to\n"
            b"> > kvm failed\n> >   qemu-system-aarch64: next",
            b"> >   qemu-system-aarch64: write 0x603000000013c020(0x0100010011111111) to kvm failed"
            b"\n\n> >   qemu-system-aarch64: next",
        ),
        # A flowed mail that is not quoted.
        (
            b"qemu-system-x86_64: /data/zyy/git/test/qemu/target/i386/kvm.c:1833: \n"
            b"kvm_put_msrs: \nAssertion `ret == 1' failed.\nAborted",
            b"qemu-system-x86_64: /data/zyy/git/test/qemu/target/i386/kvm.c:1833: kvm_put_msrs: "
            b"Assertion `ret == 1' failed.\n\n\nAborted",
        ),
        # Short, of another depth, or of a log: lines of their own.
        (b"> qemu-kvm: Bad config\n> and so on", b"> qemu-kvm: Bad config\n> and so on"),
        (b"> qemu-kvm: " + b"x" * 60 + b"\n>> and", b"> qemu-kvm: " + b"x" * 60 + b"\n>> and"),
        (b"qemu-kvm: " + b"x" * 62 + b"\nand", b"qemu-kvm: " + b"x" * 62 + b"\nand"),
    ],
)
def test_a_line_that_a_mail_broke(broken: bytes, whole: bytes) -> None:
    assert unfolded(broken) == whole


def test_what_a_test_expected_and_found() -> None:
    broken = b"Can not find the expected patterns 'a\n  b|c\n  d' in output 'error: x\n  y'\nz"
    whole = b"Can not find the expected patterns 'a b|c d' in output 'error: x y'\n\n\n\nz"
    assert unfolded(broken) == whole
    assert unfolded(b"not the expected patterns 'a\nb\nc") == b"not the expected patterns 'a\nb\nc"
