"""Remedies that the command line in the log fulfils already."""

from __future__ import annotations

import pytest

from migratable.explain.fulfilled import still_open
from migratable.explain.grouping import Failure
from migratable.explain.operation import Operation

LINE = (
    "/usr/bin/qemu-system-x86_64 -machine pc-q35-6.2,kernel_irqchip=split -cpu EPYC,-vmx,pmu=off "
    '-device {"driver":"virtio-net-pci","vectors":0} -m 1G'
)
REMEDY = "Take the counters out (-cpu MODEL,pmu=off). Or start it elsewhere."


def _open(now: str, which: Operation, command: str = LINE) -> tuple[str, str]:
    failure = Failure(stream="", first=1, last=1, command=command)
    found = still_open(now, failure, which)
    return found.now, found.said


def test_one_side_of_a_migration_keeps_the_remedy() -> None:
    now, said = _open(REMEDY, Operation.MIGRATION)
    assert now == REMEDY
    assert "pmu=off already: compare the other side's" in said


def test_a_start_is_not_asked_for_what_it_has() -> None:
    now, said = _open(REMEDY, Operation.START)
    assert now == "Or start it elsewhere."
    assert "pmu=off already, so that is not what is missing" in said


@pytest.mark.parametrize(
    "now",
    [
        "Set vmx=off.",  # -vmx
        "Set kernel-irqchip=split.",  # QEMU takes _ for -
        "Give the card vectors=0.",  # in JSON
    ],
)
def test_forms_of_a_setting(now: str) -> None:
    assert _open(now, Operation.START)[1]


@pytest.mark.parametrize(
    ("now", "command"),
    [
        ("Set pmu=on.", LINE),
        ("Set <pmu state='off'/>, x=1.", LINE),
        ("Set pmu=off.", ""),
        ("Set pmu=off.", "qemu-system-x86_64 -device 'x"),
        ("Free memory.", LINE),
    ],
)
def test_what_is_not_set_stays(now: str, command: str) -> None:
    assert _open(now, Operation.START, command) == (now, "")


def test_another_way_in_the_sentence_keeps_it() -> None:
    now = "Set pmu=off, or move the guest."
    assert _open(now, Operation.START)[0] == now
