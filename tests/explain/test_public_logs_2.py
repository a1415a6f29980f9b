"""Further public logs: status, rule, side at fault, and the line that matters."""

from __future__ import annotations

import io
import tomllib
from pathlib import Path
from typing import Any

import pytest

from migratable.explain.story import explain

FAILURES: list[dict[str, Any]] = tomllib.loads(
    (Path(__file__).parent / "public_logs_2.toml").read_text(encoding="utf-8")
)["failure"]


@pytest.mark.parametrize("failure", FAILURES, ids=[item["name"] for item in FAILURES])
def test_explained(failure: dict[str, Any]) -> None:
    report = explain(io.BytesIO(failure["log"].encode()))
    assert len(report.explanations) == failure.get("number", 1)
    found = report.explanations[0]
    assert failure["line"] in found.line
    assert (str(found.status), found.rule, str(found.side)) == (
        failure["status"],
        failure["rule"],
        failure["side"],
    )
    assert found.now or found.cases


def test_an_unknown_cause_that_holds_a_common_word_is_shown() -> None:
    """It stands before the place where it failed, although a token of the prefilter hits it."""
    log = (
        b"qemu-system-x86_64: frobnicating the widget failed: Cannot allocate memory\n"
        b"qemu-system-x86_64: error while loading state for instance 0x0 of device 'widget'\n"
        b"qemu-system-x86_64: load of migration failed: Cannot allocate memory\n"
    )
    found = explain(io.BytesIO(log)).explanations[0]
    assert str(found.status) == "unknown"
    assert "frobnicating" in found.line
    assert any("no memory" in text for text in found.details)


def test_what_closes_a_wrapper_is_no_part_of_a_name() -> None:
    log = (
        b"virError(Message='operation failed: guest CPU doesn't match specification: "
        b"missing features: erms,fsrm')\n"
    )
    assert "erms,fsrm." in explain(io.BytesIO(log)).explanations[0].meaning


def test_noise_after_a_good_migration_is_no_failure() -> None:
    """kubevirt#2567: virt-launcher asks libvirt about a guest that has just left."""
    log = (
        b'{"component":"virt-launcher","level":"error","msg":"failed to get domain job info",'
        b'"reason":"virError(Code=55, Domain=20, Message=\'Requested operation is not valid: '
        b"domain is not running')\"}\n"
    )
    assert not explain(io.BytesIO(log)).explanations


def test_first_letter_small_or_capital() -> None:
    for word in (b"network", b"Network"):
        log = b"error: internal error: " + word + b" 'default' is not active\n"
        assert explain(io.BytesIO(log)).explanations[0].message == "libvirt-network-inactive"


def test_a_case_is_no_wider_than_its_evidence() -> None:
    """A message that several faults share brings no sure case without a sign of one of them."""
    log = (
        b"qemu-system-x86_64: AHCI: Failed to start FIS receive engine: "
        b"bad FIS receive buffer address\n"
        b"qemu-system-x86_64: load of migration failed: Operation not permitted\n"
    )
    sure = {case.id for case in explain(io.BytesIO(log)).explanations[0].cases
            if case.certainty != "possible"}  # fmt: skip
    assert not sure
    host = b"nova ERROR [host trusty-7] Live Migration failure: Unsafe migration: no shared disk\n"
    cases = explain(io.BytesIO(host)).explanations[0].cases
    assert "trusty-machine" not in {case.id for case in cases}


@pytest.mark.parametrize(
    ("error", "words"),
    [("Invalid argument", "loader refused"), ("Operation not permitted", "nothing to do with")],
)
def test_the_closing_line_alone_is_unknown_and_says_where_to_look(error: str, words: str) -> None:
    log = f"2024-01-18T00:16:31.582169Z qemu-kvm: load of migration failed: {error}\n"
    found = explain(io.BytesIO(log.encode())).explanations[0]
    assert (str(found.status), str(found.side)) == ("unknown", "cannot tell")
    assert "destination's QEMU log" in found.now
    assert any(words in text for text in found.details)


def test_what_keeps_qemu_from_starting_is_said_by_its_errno() -> None:
    log = (
        b"error: internal error: qemu unexpectedly closed the monitor: qemu-system-x86_64: -device "
        b'{"driver":"new-device","host":"0000:0c:00.0"}: device 0000:0c:00.0: no way to '
        b"/dev/new/17: Permission denied\n"
    )
    found = explain(io.BytesIO(log)).explanations[0]
    assert (found.rule, str(found.side)) == ("destination-start", "destination")
    assert any("lacks the right" in text for text in found.details)


def test_only_the_making_of_an_image_belongs_to_a_migration() -> None:
    log = (
        b"error: internal error: Child process (/usr/bin/qemu-img snapshot -c s1 /x.qcow2) "
        b"unexpected exit status 1: qemu-img: Could not create snapshot\n"
    )
    (found,) = explain(io.BytesIO(log)).explanations
    assert (found.message, str(found.side)) == ("libvirt-child", "cannot tell")
