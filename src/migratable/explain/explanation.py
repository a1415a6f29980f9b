"""What is said about a failure, and about a whole log: what the reports show."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from migratable.explain.also import Also
from migratable.explain.cases import Case
from migratable.explain.grouping import Failure, Line
from migratable.explain.operation import Operation
from migratable.messages.catalogue import Fault, origins

SCHEMA = "migratable.explain/1"


class Status(enum.StrEnum):
    """How much could be said.

    ``WARNING``: the lines are only warnings; nothing failed because of them.
    ``SYMPTOM``: the log only says that something failed; the cause stands in another log.
    """

    EXPLAINED = "explained"
    WARNING = "warning"
    SYMPTOM = "symptom"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """One failed migration, explained as far as it can be.

    :ivar line: the line that matters, as its program wrote it.
    :ivar number: its place in the input, counted from 1.
    :ivar count: how often the same failure occurs.
    :ivar verify: which command of migratable shows the cause again, "" for none.
    :ivar proof: that command, ready to run; "" without a log that holds the command line.
    :ivar programs: log, QEMU's version and machine type, for each of several logs.
    :ivar both: the log holds both sides' lines, and each only speaks of the other's end.
    :ivar operation: what was being done, as far as the log says.
    :ivar details: decoded numbers and names, one sentence each.
    :ivar origin: where the text stands, when the message's own origins do not say it.
    :ivar side_shown: the log shows the side; else *side* is that of a migration.
    :ivar also: what is refused in other lines of the failure.
    :ivar likely: the line is not known as a whole; the cause is that of the words it ends in.
    """

    status: Status
    line: str
    number: int
    last: int
    count: int
    message: str | None
    rule: str | None
    side: Fault
    meaning: str
    side_shown: bool = True
    likely: bool = False
    details: tuple[str, ...] = ()
    cases: tuple[Case, ...] = ()
    references: tuple[str, ...] = ()
    now: str = ""
    prevent: str = ""
    verify: str = ""
    proof: str = ""
    device: str | None = None
    instance_id: int | None = None
    errno: str | None = None
    qemu_version: str = ""
    machine: str = ""
    lines: tuple[Line, ...] = ()
    unknown: tuple[Line, ...] = ()
    programs: tuple[tuple[str, str, str], ...] = ()
    log: str = ""
    operation: Operation = Operation.UNKNOWN
    both: bool = False
    origin: tuple[str, ...] = ()
    also: tuple[Also, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """The explanation as the JSON contract has it."""
        return {
            "status": str(self.status),
            "line": self.line,
            "line_number": self.number,
            "last_line_number": self.last,
            "count": self.count,
            "message": self.message,
            "origin": list(self.origin) or origins().get(self.message or "", {}).get("origin", []),
            "rule": self.rule,
            "side": str(self.side),
            "side_shown": self.side_shown,
            "likely": self.likely,
            "operation": str(self.operation) or None,
            "meaning": self.meaning,
            "details": list(self.details),
            "known_cases": [case.to_json() for case in self.cases],
            "references": list(self.references),
            "do_now": self.now,
            "do_for_ever": self.prevent,
            "proof": self.proof,
            "device": self.device,
            "instance_id": self.instance_id,
            "errno": self.errno,
            "qemu_version": self.qemu_version or None,
            "machine": self.machine or None,
            "logs": [
                {"log": log, "qemu_version": version or None, "machine": machine or None}
                for log, version, machine in self.programs
            ],
            "lines": [line_json(line) for line in self.lines],
            "unknown_lines": [line_json(line) for line in self.unknown],
            "also": [item.to_json() for item in self.also],
        }


def line_json(line: Line) -> dict[str, Any]:
    """A line with its place, as the JSON contract has it."""
    return {
        **({"log": line.log} if line.log else {}),
        "line_number": line.number,
        "text": line.text,
        "messages": [match.message.id for match in line.matches],
    }


def of_failure(failure: Failure, line: Line, unknown: Sequence[Line]) -> Explanation:
    """What a log itself tells of a failure: *line*, which matters, and nothing of its meaning."""
    return Explanation(
        status=Status.UNKNOWN,
        line=line.text,
        number=line.number,
        last=failure.last,
        count=failure.count,
        message=None,
        rule=None,
        side=Fault.CANNOT_TELL,
        meaning="",
        qemu_version=failure.qemu_version,
        machine=failure.machine,
        lines=tuple(failure.lines),
        unknown=tuple(unknown),
        programs=tuple(failure.programs),
        log=line.log,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """Everything that a log says about failed migrations.

    :ivar suspicious: lines of a small input that look like errors and that nothing recognised.
    """

    explanations: tuple[Explanation, ...]
    suspicious: tuple[Line, ...]
    lines: int
    bytes: int

    @property
    def exit_status(self) -> int:
        """0: all explained (or nothing found); 3: something is unknown.

        A line of QEMU that looks like an error and is not known may be the cause. Another
        program's may when it stands before what was explained; behind it, it tells the outcome.
        """
        unknown = any(item.status is Status.UNKNOWN for item in self.explanations)
        unknown |= any(line.qemu for item in self.explanations for line in item.unknown)
        told = min(
            (item.number for item in self.explanations if item.status is Status.EXPLAINED),
            default=self.lines + 1,
        )
        unknown |= any(line.qemu or line.number < told for line in self.suspicious)
        return 3 if unknown else 0

    def to_json(self) -> dict[str, Any]:
        """One object for a program (schema ``migratable.explain/1``)."""
        return {
            "schema": SCHEMA,
            "input": {"lines": self.lines, "bytes": self.bytes},
            "failures": [item.to_json() for item in self.explanations],
            "unknown_lines": [line_json(line) for line in self.suspicious],
        }
