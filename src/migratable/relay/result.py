"""The result of a relayed migration: for a person, a program, and the shell."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from typing import Any

from migratable.convert.model import StreamEdit
from migratable.verdict import Verdict

SCHEMA = "migratable.relay/1"


class Reason(enum.StrEnum):
    """The reason for the end."""

    MIGRATED = "migrated"
    REFUSED = "refused"
    DESTINATION_REFUSED = "destination-refused"
    UNKNOWN = "unknown"
    UNSUPPORTED = "unsupported"
    STREAM = "stream"
    SOURCE_ENDED = "source-ended"
    DESTINATION_ENDED = "destination-ended"
    UNREACHABLE = "unreachable"
    INTERRUPTED = "interrupted"
    PLAN = "plan"
    NO_RETURN_PATH = "no-return-path"

    @property
    def exit_status(self) -> int:
        """0 migrated, 1 refused and aborted, 3 unknown and aborted, 2 a failure."""
        return {
            Reason.MIGRATED: 0,
            Reason.REFUSED: 1,
            Reason.DESTINATION_REFUSED: 1,
            Reason.UNKNOWN: 3,
        }.get(self, 2)


class Guest(enum.StrEnum):
    """Where the guest is afterwards, as far as the relay can know it."""

    DESTINATION = "destination"
    SOURCE = "source"
    SOURCE_STOPPED = "source-stopped"
    NOWHERE_SEEN = "unknown"


@dataclass(slots=True, kw_only=True)
class Times:
    """Moments of ``time.monotonic()``; 0.0 for those that did not come.

    :ivar accepted: the source's connection.
    :ivar held: the first byte of device state.
    :ivar whole: the last byte of the stream.
    :ivar checked: the verdict.
    :ivar loaded: the destination has said that it loaded every section.
    :ivar committed: the stream's end is on its way.
    :ivar ended: the last message of the destination.
    """

    accepted: float = 0.0
    held: float = 0.0
    whole: float = 0.0
    checked: float = 0.0
    loaded: float = 0.0
    committed: float = 0.0
    ended: float = 0.0

    def to_json(self) -> dict[str, float]:
        """Milliseconds of the steps after RAM, of those that were taken."""
        steps = ("held", "whole", "checked", "loaded", "committed", "ended")
        names = ("received_ms", "check_ms", "load_ms", "handover_ms", "start_ms")
        found: dict[str, float] = {}
        for index, name in enumerate(names):
            first, second = getattr(self, steps[index]), getattr(self, steps[index + 1])
            if first and second:
                found[name] = round(1000 * (second - first), 3)
        return found


@dataclass(slots=True, kw_only=True)
class Result:
    """The end of one migration through the relay.

    :ivar message: one sentence, and what to do.
    :ivar return_path: whether the source has one; None when no stream came.
    :ivar bytes: that came from the source.
    :ivar rounds: sections of RAM.
    :ivar device_bytes: of the device state, with its description.
    :ivar edits: what the plan has changed.
    """

    reason: Reason
    message: str
    guest: Guest = Guest.NOWHERE_SEEN
    verdict: Verdict | None = None
    return_path: bool | None = None
    bytes: int = 0
    seconds: float = 0.0
    rounds: int = 0
    device_bytes: int = 0
    times: Times = field(default_factory=Times)
    edits: tuple[StreamEdit, ...] = ()

    @property
    def exit_status(self) -> int:
        """Of the program."""
        return self.reason.exit_status

    def to_json(self) -> dict[str, Any]:
        """One object, as docs/reference/json.md has it."""
        return {
            "schema": SCHEMA,
            "reason": str(self.reason),
            "message": self.message,
            "guest": str(self.guest),
            "return_path": self.return_path,
            "bytes": self.bytes,
            "seconds": round(self.seconds, 3),
            "ram_rounds": self.rounds,
            "device_bytes": self.device_bytes,
            "times": self.times.to_json(),
            "edits": [edit.to_json() for edit in self.edits],
            "verdict": None if self.verdict is None else self.verdict.to_json(),
        }
