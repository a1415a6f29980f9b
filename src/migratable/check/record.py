"""What a replay has found: findings in the order of the stream, the refusal, what is not known."""

from __future__ import annotations

from dataclasses import dataclass, field

from migratable.check.baseline import Baseline
from migratable.check.findings import finding_of
from migratable.check.problem import MessageRef
from migratable.check.registry import ask_rules
from migratable.check.state import LoadedState
from migratable.check.tracker import SectionOutcome, Tracker
from migratable.profile.model import Profile
from migratable.stream.model import Stream
from migratable.unchecked import Code, Unchecked
from migratable.verdict import Finding, Severity


@dataclass(slots=True)
class Record:
    """What the replay of one stream on one destination has found so far.

    :ivar origin: the source's profile, for what it could send later; None when it is not known.
    :ivar findings: in the order of the stream.
    :ivar refusal: the first finding that stops QEMU.
    :ivar stderr: the lines that the destination prints up to there.
    :ivar undecided: reasons for which no prediction is possible up to there, or to the end.
    :ivar unexamined: everything that could not be followed, also after the refusal.
    :ivar unchecked: parts that were not examined and are not decisive.
    :ivar kept: bodies that rules ask for at the stream's end, and how many of them came before the
        refusal.
    """

    stream: Stream
    baseline: Baseline
    origin: Profile | None = None
    tracker: Tracker | None = None
    findings: list[Finding] = field(default_factory=list)
    refusal: Finding | None = None
    stderr: list[str] = field(default_factory=list)
    undecided: list[Unchecked] = field(default_factory=list)
    unexamined: list[Unchecked] = field(default_factory=list)
    unchecked: list[Unchecked] = field(default_factory=list)
    kept: list[LoadedState] = field(default_factory=list)
    kept_before: int = 0

    @property
    def release(self) -> tuple[int, int]:
        """The destination's."""
        return self.baseline.release

    def note(self, finding: Finding) -> None:
        """Keep a finding; the first that refuses is the refusal."""
        self.findings.append(finding)
        if self.refusal is None:
            self.stderr.extend(finding.stderr)
            if finding.severity is Severity.REFUSES:
                self.refusal = finding
                self.kept_before = len(self.kept)

    def add_unexamined(self, text: str, code: Code = Code.NOT_FOLLOWED) -> None:
        """Keep a reason for which the verdict cannot be ``loads``."""
        reason = Unchecked(text, code)
        self.unexamined.append(reason)
        if self.refusal is None:
            self.undecided.append(reason)

    def add_outcome(self, outcome: SectionOutcome) -> None:
        """Keep the outcome of a section."""
        for finding in outcome.findings:
            self.note(finding)
        for reason in outcome.unexamined:
            self.add_unexamined(reason)
        self.unchecked.extend(outcome.unchecked)
        if outcome.state is not None:
            self.kept.append(outcome.state)

    def ask(
        self,
        event: object,
        *,
        device: str | None = None,
        instance_id: int | None = None,
        links: tuple[MessageRef, ...] = (),
    ) -> bool:
        """Ask the rules about an event of the main loop; whether one refuses."""
        refused = False
        for problem in ask_rules(event):
            self.note(finding_of(problem, self.release, device, instance_id, links))
            refused |= problem.refuses
            for reason in problem.unexamined:
                self.add_unexamined(reason)
        return refused
