"""What a person and a program are told at the end."""

from __future__ import annotations

import json

from click.testing import CliRunner

from migratable.cli import cli
from migratable.relay.result import Guest, Reason, Result, Times
from migratable.report.relay_text import lines


def test_a_migration() -> None:
    times = Times(accepted=1.0, held=3.0, whole=3.01, checked=3.03, loaded=3.035, committed=3.036)
    result = Result(
        reason=Reason.MIGRATED,
        message="the guest is the destination's",
        guest=Guest.DESTINATION,
        return_path=True,
        bytes=2_000_000_000,
        seconds=2.0,
        rounds=7,
        device_bytes=1234,
        times=times,
    )
    assert list(lines(result)) == [
        "MIGRATED    the guest is the destination's",
        "            the guest is on the destination",
        "            2,000.0 MB in 2.0 s (1,000 MB/s), 7 rounds; device state 1,234 bytes",
        "            checked in 20.0 ms, loaded in 5.0 ms, handed over in 1.0 ms",
    ]
    made = result.to_json()
    assert made["schema"] == "migratable.relay/1"
    assert made["times"] == {
        "received_ms": 10.0,
        "check_ms": 20.0,
        "load_ms": 5.0,
        "handover_ms": 1.0,
    }
    assert json.loads(json.dumps(made)) == made


def test_what_others_said_is_escaped() -> None:
    result = Result(reason=Reason.STREAM, message="a \x1b[31mname", guest=Guest.SOURCE)
    assert "\x1b" not in "".join(lines(result))


def test_one_that_stands_still_is_said_once() -> None:
    result = Result(reason=Reason.REFUSED, message="…: `cont`", guest=Guest.SOURCE_STOPPED)
    assert list(lines(result)) == ["ABORTED     …: `cont`"]


def test_wrong_usage() -> None:
    for words, says in (
        (["--listen", "tcp:a:1", "--to", "tcp:b:1"], "one destination is needed"),
        (["--to", "tcp:b:1", "--profile", "q35-10.0"], "--listen"),
        (
            ["--listen", "tcp:a:1", "--to", "tcp:b:1", "--profile", "x", "--release", "10.0"],
            "--release needs",
        ),
        (
            ["--listen", "tcp:a:1", "--to", "tcp:b:1", "--profile", "x", "--accept", "y"],
            "--accept needs",
        ),
    ):
        done = CliRunner().invoke(cli, ["relay", *words])
        assert done.exit_code == 2
        assert says in done.output
