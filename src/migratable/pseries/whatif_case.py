"""One case of a plan: a migration under a policy, its result, and the counts over many."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import NamedTuple

from migratable.members import HIDDEN
from migratable.pseries.build import PREFIX
from migratable.pseries.capability import parse_version
from migratable.pseries.load import Loaded

Values = tuple[str, ...]
"""Values of a run's options, in their order; "" is not given."""


class Result(NamedTuple):
    """What a destination says, and what that is compared with the time before the change.

    ``regression``: it loaded before and is refused now; ``justified``: it should not have loaded,
    the guest lost something. ``unsafe``: it loads although the guest loses something. ``plain``:
    it loads, nothing is said, and nothing is lost.
    """

    loaded: Loaded
    regression: bool
    unsafe: bool
    justified: bool = False
    plain: bool = False

    @property
    def verdict(self) -> str:
        """``loads`` or ``refused``."""
        return "refused" if self.loaded.refused else "loads"

    @property
    def stderr(self) -> tuple[str, ...]:
        """All that the destination says."""
        return self.loaded.lines

    @property
    def warns(self) -> bool:
        """Does it load with a warning?"""
        return self.verdict == "loads" and bool(self.stderr)


class Case(NamedTuple):
    """One migration under one policy."""

    policy: str
    source: str
    destination: str
    machine: str
    cpu: str
    source_values: Values
    destination_values: Values
    result: Result

    @property
    def between_equals(self) -> bool:
        """The same build and the same options on both sides."""
        return self.source == self.destination and self.source_values == self.destination_values

    @property
    def broken(self) -> bool:
        """Refused for no good reason: it loaded before, or both sides are the same."""
        result = self.result
        return (result.regression and not result.justified) or (
            result.verdict == "refused" and self.between_equals
        )

    @property
    def warns_falsely(self) -> bool:
        """A warning although both sides were started in the same way."""
        return self.result.warns and self.source_values == self.destination_values

    @property
    def size(self) -> tuple[int, int, tuple[int, int], Values, Values]:
        """Smaller is easier to understand: fewer options and differences, a newer machine type."""
        given = sum(map(bool, self.source_values)) + sum(map(bool, self.destination_values))
        differences = sum(
            a != b for a, b in zip(self.source_values, self.destination_values, strict=True)
        )
        major, minor = parse_version(self.machine.removeprefix(PREFIX))
        return (
            given, differences, (-major, -minor), self.source_values, self.destination_values,
        )  # fmt: skip


@dataclass(slots=True)
class Tally:
    """Counts over a policy's cases in one run."""

    cases: int = 0
    refused: int = 0
    regressions: int = 0
    justified: int = 0
    unsafe: int = 0
    warnings: int = 0
    false_warnings: int = 0
    between_equals: int = 0
    directions: Counter[tuple[str, str]] = field(default_factory=Counter, metadata=HIDDEN)

    def add(self, case: Case) -> None:
        """Count one case."""
        result = case.result
        self.cases += 1
        if result.plain:
            return
        self.refused += result.verdict == "refused"
        self.unsafe += result.unsafe
        if result.stderr:
            self.warnings += result.warns
            self.false_warnings += case.warns_falsely
        self.regressions += result.regression
        self.justified += result.justified
        if result.verdict == "refused" and case.broken:
            self.directions[case.source, case.destination] += 1
            self.between_equals += case.between_equals

    @property
    def parts(self) -> list[str]:
        """The policy's faults, one phrase each; a single phrase when there are none."""
        parts = []
        across = [f"{source} to {to}" for source, to in self.directions if source != to]
        if across:
            parts.append(f"breaks {', '.join(across)}")
        parts += [
            f"{source} refuses its own guests" for source, to in self.directions if source == to
        ]
        if self.unsafe:
            parts.append("loads guests that lose something")
        if not parts:
            parts.append("breaks nothing")
        if self.false_warnings:
            parts.append("prints false warnings")
        return parts

    @property
    def faulty(self) -> bool:
        """Does it break a migration, or load a guest that loses something?"""
        return bool(self.directions or self.unsafe)

    @property
    def verdict(self) -> str:
        """The policy in a few words."""
        return "; ".join(self.parts)
