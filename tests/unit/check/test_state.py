"""Loaded bodies, the events of refusal that unwind, and the lines that come of them."""

from __future__ import annotations

import pytest

from migratable.check import stderr
from migratable.check.findings import finding_of
from migratable.check.problem import MessageRef, Problem, RefusedError, UnexaminedError
from migratable.check.state import Memory
from migratable.verdict import Severity
from tests.unit.check.bodies import body

# bodies


def test_numbers_and_bytes_of_a_body() -> None:
    state = body("d", {"n": 0x80, "z": 0, "b": b"\0\1\0\2"}, own={"n": 5})
    assert (state.number("n"), state.number("z"), state.number("b"), state.number("x")) == (
        *(0x80, 0),
        *(None, None),
    )
    assert (state.signed("n", 1), state.signed("n", 2), state.signed("z", 1)) == (-0x80, 0x80, 0)
    assert state.signed("x", 1) is None
    assert (state.numbers("b", 2), state.numbers("b", 4)) == ((1, 2), (0x10002,))
    assert state.numbers("n", 2) is None
    assert (state.data("b"), state.data("n")) == (b"\0\1\0\2", None)
    assert (state.owned("n"), state.owned("z")) == (5, None)
    assert body("d").owned("n") is None


def test_bodies_below_a_body() -> None:
    leaf, other = body("leaf"), body("other")
    state = body("d", children={"s": [body("s", children={"t": [leaf, other]})], "e": []})
    assert state.child("s", "t") is leaf
    assert (state.child("s", "x"), state.child("x", "t"), state.child("e")) == (None, None, None)


def test_words_are_as_wide_as_they_are() -> None:
    memory = Memory({(8, 1): 1})
    memory.set(8, 1, 0x1FF)
    memory.set(16, 8, -1)
    assert (memory.get(8, 1), memory.get(16, 8)) == (0xFF, (1 << 64) - 1)
    assert (memory.was(8, 1), memory.was(16, 8)) == (1, None)


@pytest.mark.parametrize(
    ("size", "step"), [(1, 0x10000), (0x10000, 0x10000), (0x10001, 0x20000), (0, 0)]
)
def test_allocated_memory_is_in_units_of_64_kib(size: int, step: int) -> None:
    memory = Memory({})
    first = memory.allocate(size)
    assert first == 1 << 60
    assert memory.allocate(1) == first + step


# lines

FOOTER: MessageRef = ("footer-missing", {"device": "timer"})
DEVICE: MessageRef = ("device-error", {"device": "timer", "instance_id": 0})
NEWER: MessageRef = ("unknown-section-type", {"type": 9})
PROBLEM = Problem(rule="section-footer", summary="s", words=(FOOTER,))


def lines(release: tuple[int, int], problem: Problem = PROBLEM, *outer: MessageRef) -> list[str]:
    return stderr.of_refusal(RefusedError(problem, release), outer, release)


def test_a_refusal_up_to_10_1_is_a_line_of_each_function() -> None:
    assert lines((10, 1), PROBLEM, DEVICE) == [
        "Missing section footer for timer",
        "error while loading state for instance 0x0 of device 'timer'",
        "load of migration failed: Invalid argument",
    ]


def test_a_refusal_from_10_2_on_is_a_chain() -> None:
    chained = Problem(rule="layout", summary="s", words=(NEWER,))
    said = "error while loading state for instance 0x0 of device 'timer'"
    assert lines((10, 2), chained, DEVICE) == [
        f"load of migration failed: Invalid argument: {said}: Unknown section type 9"
    ]
    assert lines((10, 2), PROBLEM, DEVICE) == [
        "Missing section footer for timer",  # which old code reports itself
        f"load of migration failed: Invalid argument: {said}",
    ]


def test_what_old_code_reports_is_a_line_before_the_chain() -> None:
    refused = RefusedError(Problem(rule="layout", summary="s", words=(NEWER,)), (10, 2))
    refused.link(DEVICE)
    refused.report()
    refused.report()  # nothing is left to report
    assert stderr.of_refusal(refused, (), (10, 2)) == [
        "error while loading state for instance 0x0 of device 'timer': Unknown section type 9",
        "load of migration failed: Invalid argument",
    ]


def test_errno_is_what_the_outermost_function_returns() -> None:
    problem = Problem(rule="layout", summary="s", errno=2)
    assert lines((10, 1), problem, DEVICE)[-1].endswith("No such file or directory")
    assert "No such file or directory" in lines((10, 2), problem, DEVICE)[-1]
    assert "Invalid argument" in lines((11, 0), problem, DEVICE)[-1]
    assert "No such file or directory" in lines((11, 0), problem)[-1]


def test_nothing_follows_an_assertion() -> None:
    words = stderr.pointer_assertion((7, 2))
    problem = Problem(rule="layout", summary="s", words=(words,), aborts=True)
    assert lines((7, 2), problem, DEVICE) == [
        "../../migration/vmstate.c:118: vmstate_load_state: Assertion "
        "`first_elem || !n_elems || !size' failed."
    ]
    assert stderr.pointer_assertion((10, 0))[1]["line"] == 172
    assert stderr.pointer_assertion((5, 2))[1] == {"file": "../../migration/vmstate.c", "line": 124}


def test_a_line_without_its_end_runs_into_the_next() -> None:
    problem = Problem(rule="layout", summary="s", words=(FOOTER,), unended="!")
    assert lines((10, 1), problem)[0] == (
        "Missing section footer for timer!load of migration failed: Invalid argument"
    )
    assert len(lines((10, 1), problem, DEVICE)) == 2
    alone = Problem(rule="layout", summary="s", unended="!")
    assert lines((10, 1), alone) == ["load of migration failed: Invalid argument"]


@pytest.mark.parametrize(
    ("release", "names"),
    [((10, 1), ["section-error"]), ((10, 2), ["vmstate-load-failed"])],
)
def test_links_of_parts(release: tuple[int, int], names: list[str]) -> None:
    found = stderr.part_links(release, "ram", 3, 4)
    assert [name for name, _ in found] == names
    words = {"section_id": 3, "device": "ram"} if release < (10, 2) else {"version": 4, "ret": -22}
    assert found[0][1] == words


def test_links_of_the_main_loop() -> None:
    assert stderr.configuration_links((11, 0), read=False) == ()
    assert stderr.configuration_links((10, 2), read=True) == ()
    (link,) = stderr.configuration_links((11, 0), read=True)
    words = {"vmsd": "configuration", "version": 1, "minimum": 0}
    assert link == ("post-load-hook-error", words)
    assert stderr.ram_links((10, 1), "ram", 4) == (
        ("device-error", {"device": "ram", "instance_id": 0}),
    )
    assert stderr.ram_links((10, 2), "ram", 4)[0] == (
        "vmstate-load-failed",
        {"version": 4, "ret": -22},
    )
    assert stderr.footer_links(7) == (("footer-chain", {"section_id": 7}),)
    assert stderr.reports_body((10, 2))
    assert not stderr.reports_body((11, 0))


def test_an_abort_before_the_failure_is_said() -> None:
    printed, failed, abort = ["w", "a", "failed"], ["a", "failed"], ["Assertion"]
    assert stderr.abort_after(printed, failed, abort, (10, 1)) == (["w", "a", "Assertion"], False)
    assert stderr.abort_after(printed, failed, abort, (10, 2)) == (["w", "Assertion"], True)


# findings


def test_a_finding_of_a_problem() -> None:
    grave = finding_of(PROBLEM, (10, 1), "timer", 3, (DEVICE,))
    assert (grave.severity, grave.device, grave.instance_id) == (Severity.REFUSES, "timer", 3)
    assert len(grave.stderr) == 3
    assert not grave.aborts
    warning = Problem(
        rule="no-way-back", summary="s", refuses=False, words=(FOOTER,), device="cpu", aborts=True
    )
    mild = finding_of(warning, (10, 1), None, None)
    assert mild.severity is not Severity.REFUSES
    assert (mild.device, mild.stderr) == ("cpu", ("Missing section footer for timer",))
    assert mild.aborts
    chosen = Problem(rule="no-way-back", summary="s", refuses=False, severity="info")
    assert finding_of(chosen, (10, 1), "x", None).severity is Severity.INFO


def test_an_error_says_what_is_the_matter() -> None:
    assert str(RefusedError(PROBLEM, (10, 0))) == "s"
    assert str(UnexaminedError("because")) == "because"


@pytest.mark.parametrize(("value", "width", "signed"), [(0x40, 1, 0x40), (0xFF, 1, -1)])
def test_two_complement(value: int, width: int, signed: int) -> None:
    assert body("d", {"n": value}).signed("n", width) == signed
