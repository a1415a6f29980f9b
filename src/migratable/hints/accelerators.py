"""The accelerator: a guest of KVM has devices that a machine under TCG lacks."""

from __future__ import annotations

from migratable.commandline import CommandLine
from migratable.hints import machine_options
from migratable.hints.candidate import Candidate

_NAMES = ("accel", "enable-kvm", "no-kvm")


def kvm() -> Candidate:
    """``-accel kvm`` in the place of what the line has."""

    def edit(line: CommandLine) -> CommandLine:
        for name in _NAMES:
            line = machine_options.drop(line, name)
        return line.with_machine("accel", None).append("accel", "kvm")

    return Candidate(action="-accel kvm", edit=edit, sole=True)
