"""QEMU's lines as people see them."""

from __future__ import annotations

import io
from collections.abc import Callable

from rich.console import Console

from migratable.report import check_text, rehearsal_text
from migratable.report.hint_text import printed
from migratable.stream import read
from migratable.verdict import Basis, Outcome, Verdict
from tests.unit.stream import tiny

LINES = ("warning: deprecated", *["warning: no avx", "warning: no fma"] * 2)


def test_a_line_for_each_cpu_stands_once() -> None:
    assert printed(LINES) == [
        "warning: deprecated",
        "warning: no avx   (2 times)",
        "warning: no fma   (2 times)",
    ]
    assert printed(()) == []


def test_check_and_rehearse_say_it_so_and_json_has_all() -> None:
    verdict = Verdict(outcome=Outcome.LOADS, basis=Basis.REHEARSED, stderr=LINES)
    ways: tuple[Callable[[Console], None], ...] = (
        lambda console: check_text.show(verdict, name="a", to="b", console=console),
        lambda console: rehearsal_text.show("a", read(tiny.data()), [verdict], ["b"], console),
    )
    for show in ways:
        buffer = io.StringIO()
        show(Console(file=buffer, width=100))
        text = buffer.getvalue()
        assert text.count("no avx   (2 times)") == text.count("no avx") == 1
    assert verdict.to_json()["stderr"] == list(LINES)
