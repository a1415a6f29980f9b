"""The program of the other width: 32 bits for a 64-bit guest, or the reverse."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from migratable.commandline import CommandLine
from migratable.errors import MigratableError
from migratable.hints.candidate import Candidate, Situation
from migratable.qemu.ownership import changeable
from migratable.qemu.program import resolve

_OTHER = {
    "x86_64": "i386",
    "ppc64": "ppc",
    "aarch64": "arm",
    "riscv64": "riscv32",
}
"""``target_ulong`` is another type in each (``configs/targets``), so that sections of a CPU have
another length."""
OTHER = {**_OTHER, **{narrow: wide for wide, narrow in _OTHER.items()}}


def candidates(situation: Situation) -> Iterator[Candidate]:
    """The same command line for the sibling in the program's folder, else in the lab."""
    target = "" if situation.profile is None else situation.profile.target
    other = OTHER.get(target)
    if other is None:
        return
    name = f"qemu-system-{other}"
    said = f"{name} in the place of qemu-system-{target}: the guest's program is of that width"
    old = situation.line.program[-1] if situation.line.program else ""
    base = old.rpartition("/")[2]
    if base != f"qemu-system-{target}":  # kvm, qemu-kvm, or a starter: no sibling to name
        yield Candidate(action=said)
        return
    program = (*situation.line.program[:-1], old.removesuffix(base) + name)

    def edit(line: CommandLine) -> CommandLine:
        return replace(line, program=program)

    try:
        found = resolve(edit(situation.line), release=situation.release).command
    except MigratableError:
        yield Candidate(action=said)
        return
    # The user has not named this file, so nobody else may be able to write it.
    if found[0].rpartition("/")[2] == name and not changeable(found[0]):
        yield Candidate(action=said, edit=edit, sole=True)
