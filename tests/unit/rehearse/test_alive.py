"""How a guest is judged from what was seen of it, and where its console is put."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from migratable.commandline.inert.inert import InertCommandLine
from migratable.rehearse.alive import VCpu, judge, listening

AWAKE = VCpu(index=0, wakes=900, busy=0.2, asleep=0.0)
ASLEEP = VCpu(index=1, wakes=2, busy=0.0, asleep=9.5)
LOST = replace(ASLEEP, overdue=True)


@pytest.mark.parametrize(
    ("vcpus", "text", "events", "status", "state"),
    [
        ([AWAKE], "C 5\nC 6\n", [], "running", "runs"),
        ([AWAKE], "", [], "running", "runs"),
        ([AWAKE, ASLEEP], "C 5\n", [], "running", "runs"),
        ([ASLEEP, ASLEEP], "", [], "running", "stands-still"),
        ([LOST], "", [], "running", "stands-still"),
        ([AWAKE, LOST], "C 5\n", [], "running", "stuck"),
        ([AWAKE], "[ 1.2] watchdog: CPU 1 Hard LOCKUP\n", [], "running", "stuck"),
        ([AWAKE], "watchdog: BUG: soft lockup - CPU#0 stuck\n", [], "running", "stuck"),
        ([AWAKE], "Kernel panic - not syncing: x\n", [], "running", "crashed"),
        ([AWAKE], "", ["RESUME", "GUEST_PANICKED"], "guest-panicked", "crashed"),
        ([AWAKE], "", ["RESET"], "running", "crashed"),
        ([AWAKE], "", ["STOP"], "io-error", "unknown"),
    ],
)
def test_judgement(
    vcpus: list[VCpu], text: str, events: list[str], status: str, state: str
) -> None:
    found, reasons = judge(vcpus, text, events, status, 10.0)
    assert found == state
    assert all(reasons)
    assert reasons


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        (
            ["-serial", "null"],
            [
                "-serial",
                "chardev:migratable-console0",
                "-chardev",
                "ringbuf,id=migratable-console0,size=65536",
            ],
        ),
        (
            ["-chardev", "null,id=con", "-serial", "chardev:con"],
            ["-chardev", "ringbuf,id=con,size=65536", "-serial", "chardev:con"],
        ),
        (["-nodefaults"], ["-nodefaults"]),
        (
            ["-m", "1"],
            [
                "-m",
                "1",
                "-chardev",
                "ringbuf,id=migratable-console,size=65536",
                "-serial",
                "chardev:migratable-console",
            ],
        ),
        (["-serial", "none"], ["-serial", "none"]),
    ],
)
def test_consoles_are_kept_in_memory(words: list[str], wanted: list[str]) -> None:
    quiet = InertCommandLine(program=("qemu",), plain_argv=words, qmp_path=Path("/x"))
    assert listening(quiet).plain_argv == wanted
