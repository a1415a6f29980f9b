"""The verdict for a destination that ends at its start."""

from __future__ import annotations

from migratable.check import not_started
from migratable.verdict import Outcome


def test_the_first_error_is_the_message() -> None:
    verdict = not_started(("warning: old", "-device x: 'x' is not a valid device model name"))
    assert verdict.outcome is Outcome.REFUSED
    assert verdict.first_refusal is not None
    assert verdict.first_refusal.message.startswith("-device x: ")


def test_who_says_nothing_has_no_line() -> None:
    """As a program that a signal ended."""
    verdict = not_started(())
    assert verdict.first_refusal is not None
    assert verdict.first_refusal.message == ""
    assert "it said nothing" in verdict.findings[0].summary
