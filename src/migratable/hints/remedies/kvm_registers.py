"""Registers that KVM does not take: the processor's feature that they belong to."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from migratable.commandline import CommandLine
from migratable.hints import cpus
from migratable.hints.candidate import Candidate, Situation
from migratable.verdict import Finding

_FEATURES = ("x2apic", "mce", "kvm-asyncpf-int", "kvm-asyncpf")


def candidates(situation: Situation, finding: Finding) -> Iterator[Candidate]:
    """``-cpu`` without what the line sets, then with each feature that has such registers."""
    del finding
    yield from cpus.without_features(situation)
    if situation.line.cpu is None:
        return
    for feature in _FEATURES:

        def edit(line: CommandLine, feature: str = feature) -> CommandLine:
            option = list(line.all("cpu"))[-1]
            return line.replace(option, replace(option, value=f"{option.value},{feature}=on"))

        yield Candidate(action=f"-cpu …,{feature}=on", edit=edit)
