"""Processes beside QEMU that take a part of the state: swtpm, helpers on D-Bus.

What they refuse is theirs; that they are asked is told.
"""

from __future__ import annotations

from collections.abc import Iterator

from migratable.check.devices import post_load
from migratable.check.events import BodyLoaded
from migratable.check.problem import Problem
from migratable.verdict import Severity


@post_load("tpm-emulator")
def tpm(at: BodyLoaded) -> Iterator[Problem]:
    """backends/tpm/tpm_emulator.c: tpm_emulator_post_load hands the state over."""
    kinds = ("permanent", "volatil", "savestate")
    if any(at.body.number(f"state_blobs.{kind}.size") for kind in kinds):
        yield _handed_over(
            "the TPM's state goes to the destination's swtpm, which was not tested",
            "swtpm refuses the state of a newer libtpms, and one that another process has locked.",
        )


@post_load("dbus-vmstate")
def bus(at: BodyLoaded) -> Iterator[Problem]:
    """backends/dbus-vmstate.c: dbus_vmstate_post_load finds each helper by its id."""
    count = int.from_bytes((at.body.data("data") or b"")[:4], "big")
    if count:
        yield _handed_over(
            f"the state of {count} helpers on D-Bus is in the stream; those of the destination "
            "were not tested",
            "Each must be on the bus under the same id and take its state.",
        )


def _handed_over(summary: str, explanation: str) -> Problem:
    return Problem(
        rule="external-state",
        refuses=False,
        severity=Severity.INFO,
        summary=summary,
        explanation=explanation,
    )
