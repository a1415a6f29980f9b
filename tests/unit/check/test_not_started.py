"""The verdict for a destination that ends at its start."""

from __future__ import annotations

from migratable.check import check, not_started
from migratable.check.verdict import source_facts
from migratable.stream.edit import make_stream
from migratable.verdict import Outcome
from tests import recorded
from tests.unit.check.bodies import profile


def test_the_first_error_is_the_message() -> None:
    verdict = not_started(("warning: old", "-device x: 'x' is not a valid device model name"))
    assert verdict.outcome is Outcome.REFUSED
    assert verdict.first_refusal is not None
    assert verdict.first_refusal.message.startswith("-device x: ")


def test_a_profile_that_was_refused_takes_no_stream() -> None:
    verdict = check(make_stream("pc-q35-10.0", []), profile(refused=("no such machine",)))
    assert verdict.outcome is Outcome.REFUSED
    assert verdict.first_refusal is not None
    assert verdict.first_refusal.message == "no such machine"
    assert verdict.source["machine"] == "pc-q35-10.0"
    assert verdict.destination["qemu"] == "10.0.13"


def test_who_says_nothing_has_no_line() -> None:
    """As a program that a signal ended."""
    verdict = not_started(())
    assert verdict.first_refusal is not None
    assert verdict.first_refusal.message == ""
    assert "it printed nothing" in verdict.findings[0].summary


def test_who_asks_for_kvm_may_start_there() -> None:
    verdict = not_started(("one", "two"), only_kvm=True)
    assert verdict.outcome is Outcome.UNKNOWN
    assert verdict.unchecked == ("the destination asks for KVM and does not start under TCG: two",)
    silent = not_started((), only_kvm=True, destination={"qemu": "10.0"})
    assert silent.unchecked[0].endswith("it printed nothing")
    assert silent.destination == {"qemu": "10.0"}
    assert not_started(("one",), doubt="the image is absent").unchecked == ("the image is absent",)
    assert not_started((), doubt="x").destination == {}
    assert not_started(()).destination == {}
    assert not_started((), destination={"a": 1}).destination == {"a": 1}


def test_a_profile_without_tables_tells_nothing() -> None:
    verdict = check(make_stream("pc-q35-10.0", []), profile())
    assert verdict.outcome is Outcome.UNKNOWN
    assert "the profile has no loader's tables (they were not read)" in verdict.unchecked[0]
    some = check(make_stream("pc-q35-10.0", []), profile(unchecked=("no debug symbols",)))
    assert "(no debug symbols)" in some.unchecked[0]


def test_what_a_report_says_of_a_source() -> None:
    """Sections of ram come in several parts and are one."""
    stream = recorded.source("q35-10.0")
    facts = source_facts(stream)
    assert facts["machine"] == stream.machine == "pc-q35-5.2"
    names = [(one.idstr, one.instance_id) for one in stream.sections]
    assert facts["sections"] == len(set(names)) < len(names)
    assert facts["ram_bytes"] == sum(block.used_length for block in stream.ram_blocks)
    stated = not_started((), stream=stream, source={"machine": "named"}).source
    assert (stated["machine"], stated["sections"]) == ("named", facts["sections"])
