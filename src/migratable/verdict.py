"""The answer: a verdict with its findings, the same from prediction, model and rehearsal.

The JSON of :meth:`Verdict.to_json` is a contract (``migratable.verdict/1``): members are added,
never renamed or removed.
"""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from migratable.members import ASIDE, HIDDEN, SPARSE, members, named
from migratable.problem_facts import Facts
from migratable.unchecked import code_of

SCHEMA = "migratable.verdict/1"


class Outcome(enum.StrEnum):
    """Will the destination load the stream?"""

    LOADS = "loads"
    REFUSED = "refused"
    UNKNOWN = "unknown"

    @property
    def exit_status(self) -> int:
        """As diff has it: 0 loads, 1 refused, 3 unknown (2 is a failure of the tool)."""
        return {Outcome.LOADS: 0, Outcome.REFUSED: 1, Outcome.UNKNOWN: 3}[self]


class Basis(enum.StrEnum):
    """Where a verdict comes from."""

    PREDICTED = "predicted"
    REHEARSED = "rehearsed"


class Severity(enum.StrEnum):
    """What a finding does to the migration, gravest first.

    ``ENDANGERS``: QEMU loads it and the guest may break later.
    ``LATENT``: it loads now and may not after the guest has done something.
    """

    REFUSES = "refuses"
    ENDANGERS = "endangers"
    WARNS = "warns"
    LATENT = "latent"
    INFO = "info"


class Side(enum.StrEnum):
    """On which host a remedy is applied."""

    SOURCE = "source"
    DESTINATION = "destination"


@dataclass(frozen=True, slots=True, kw_only=True)
class Hint:
    """A remedy. ``verified`` says by what it was tried, None when it was not.

    :ivar changes: how the machine is then another one than the guest's, empty when it is not.
    :ivar comes_back: does the source load the guest again afterwards? None: not known.
    :ivar way_back: why it does not come back, or why that is not known; empty when not asked.
    """

    action: str
    command: str | None = None
    side: Side = Side.DESTINATION
    needs_guest_restart: bool = False
    verified: Basis | None = None
    changes: str = field(default="", metadata=SPARSE)
    comes_back: bool | None = field(default=None, metadata=ASIDE)
    way_back: str = field(default="", metadata=ASIDE)

    def to_json(self) -> dict[str, Any]:
        """The hint as the JSON contract has it."""
        asked = self.comes_back is not None or self.way_back
        back = {"comes_back": self.comes_back, "way_back": self.way_back}
        return {**members(self), **(back if asked else {})}


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that a rule found, with its evidence and place in the stream.

    :ivar device: idstr of the section (``0000:00:01.0/virtio-net``), None for the whole stream.
    :ivar stderr: the lines QEMU prints for this finding alone, in the destination's wording,
        without the program's name. Empty when QEMU says nothing.
    :ivar facts: the rule's own values, for hints; not part of the contract.
    :ivar aborts: the program ends at once: nothing follows its own words.
    """

    rule: str
    severity: Severity
    device: str | None = None
    instance_id: int | None = None
    subsection: str | None = None
    field: str | None = None
    summary: str
    explanation: str = ""
    stderr: tuple[str, ...] = ()
    hints: tuple[Hint, ...] = ()
    facts: Facts | None = dataclasses.field(default=None, compare=False, metadata=HIDDEN)
    aborts: bool = dataclasses.field(default=False, compare=False, metadata=HIDDEN)

    def to_json(self) -> dict[str, Any]:
        """The finding as the JSON contract has it."""
        return members(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """The first cause that stops QEMU, and everything that QEMU prints on the way.

    :ivar message: first *error* line (warnings apart), without the program's name.
    :ivar stderr: every line, warnings too, in order.
    :ivar unless: what comes before it in the stream and was not examined: QEMU may stop there
        first, with other words.
    """

    rule: str
    device: str | None = None
    instance_id: int | None = None
    message: str
    stderr: tuple[str, ...] = ()
    unless: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """The refusal as the JSON contract has it."""
        return members(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """Will it load, on what basis, and everything that was found.

    :ivar source: plain facts for reports: file, machine, QEMU release when known, sections, RAM.
    :ivar destination: plain facts: QEMU version, machine, CPU, accelerator.
    :ivar stderr: every line that the destination prints, also when it loads (warnings).
    :ivar unchecked: what was not examined (:class:`~migratable.unchecked.Unchecked`).
    :ivar project: what a project file changed in the findings, and why.
    :ivar final: False for a prediction about a build whose code is not known: its tables were
        read, and the code behind them may refuse what they take. A rehearsal makes it final.
    :ivar back: the source's answer to the state that the destination would hold; None: not asked,
        or :attr:`no_back` says why there is none.
    :ivar disagreement: how a prediction of the same pair differed, in words; the verdict is then
        the rehearsal's.
    """

    outcome: Outcome = field(metadata=named("verdict"))
    basis: Basis
    source: Mapping[str, Any] = field(default_factory=dict)
    destination: Mapping[str, Any] = field(default_factory=dict)
    first_refusal: Refusal | None = None
    findings: tuple[Finding, ...] = ()
    unchecked: tuple[str, ...] = ()
    stderr: tuple[str, ...] = ()
    project: tuple[str, ...] = ()
    final: bool = True
    disagreement: tuple[str, ...] = ()
    back: Verdict | None = field(default=None, metadata=ASIDE)
    no_back: str = field(default="", metadata=ASIDE)

    @property
    def refusals(self) -> list[Finding]:
        """The findings that refuse, in the stream's order."""
        return [finding for finding in self.findings if finding.severity is Severity.REFUSES]

    def to_json(self) -> dict[str, Any]:
        """One object for a program, stable from release to release."""
        back = None if self.back is None else self.back.to_json()
        return {
            "schema": SCHEMA,
            **members(self),
            "unchecked_codes": [str(code_of(text)) for text in self.unchecked],
            **({"back": back, "no_back": self.no_back or None} if back or self.no_back else {}),
        }
