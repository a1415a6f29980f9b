"""A whole conversion: search, write, prove; the file gets its name only when it is proven."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from migratable.convert import write
from migratable.convert.apply import apply_to_stream
from migratable.convert.model import Plan, StreamEdit, not_accepted
from migratable.convert.search import Found, Stuck, search
from migratable.convert.situation import Destination
from migratable.errors import ConvertError
from migratable.rehearse import Destination as Program
from migratable.rehearse import rehearse
from migratable.stream import Stream, read
from migratable.verdict import Outcome, Verdict

SCHEMA = "migratable.convert/1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """By what a converted stream is proven.

    :ivar program: the destination's command line, and the lab release that stands in for it.
    :ivar watch: let the guest run that many seconds, None when it is only loaded.
    """

    program: Program
    timeout: float = 60.0
    watch: float | None = None

    def of(self, stream: Stream) -> Verdict:
        """What the real program says."""
        return rehearse(
            stream,
            self.program.command_line,
            release=self.program.release,
            timeout=self.timeout,
            watch=self.watch,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Converted:
    """What became of it.

    :ivar verdict: of what was written or would have been; its basis says how it is known.
    :ivar before: the verdict on the stream as it was; None when a given plan was carried out.
    :ivar written: whether the file is there.
    :ivar already: it loads as it is, and was copied.
    """

    plan: Plan
    verdict: Verdict
    before: Verdict | None = None
    written: bool = False
    already: bool = False
    stuck: tuple[Stuck, ...] = ()
    needed: tuple[StreamEdit, ...] = ()

    @property
    def exit_status(self) -> int:
        """0 converted, 1 no way, 3 unknown."""
        if self.written:
            return 0
        return 3 if self.verdict.outcome is Outcome.UNKNOWN and not self.needed else 1

    def to_json(self, *, out: str) -> dict[str, Any]:
        """The contract ``migratable.convert/1``."""
        return {
            "schema": SCHEMA,
            "converted": self.written,
            "already_loads": self.already,
            "out": out if self.written else None,
            "verdict": self.verdict.to_json(),
            "before": None if self.before is None else self.before.to_json(),
            "plan": self.plan.to_json(),
            "needed": [edit.id for edit in self.needed],
            "stuck": [
                {
                    "rule": stuck.finding.rule,
                    "device": stuck.finding.device,
                    "instance_id": stuck.finding.instance_id,
                    "summary": stuck.finding.summary,
                    "reasons": list(stuck.reasons),
                }
                for stuck in self.stuck
            ],
        }


def convert(
    source: Path,
    out: Path,
    destination: Destination,
    *,
    proof: Proof | None,
    accept: Iterable[str] = (),
    force: bool = False,
    progress: Callable[[str], None] = lambda _: None,
) -> Converted:
    """Find the edits, write, prove, and keep the file when it loads.

    :param proof: None: the prediction has to do.
    :raise StreamError: when the source is malformed.
    :raise ConvertError: when the result cannot be written.
    :raise QemuError: when the destination's program hangs.
    """
    original = read(source)
    write.can_write(original.container, str(source))
    with write.output(out, source=source, force=force) as file:
        found = search(original, destination, accept=accept, source=str(source), progress=progress)
        hopeless = found.stuck or found.needed or found.verdict.outcome is Outcome.REFUSED
        if hopeless:
            return _result(found, found.verdict)
        done = _written(found.plan, original, source, file, proof, found.verdict, progress)
        if done.outcome is not Outcome.LOADS or guest_stops(done):
            return _result(found, done)
        file.keep(force=force)
        return _result(found, done, written=True)


def carry_out(
    plan: Plan,
    source: Path,
    out: Path,
    *,
    proof: Proof | None,
    judge: Callable[[Stream], Verdict],
    accept: Iterable[str] = (),
    force: bool = False,
    progress: Callable[[str], None] = lambda _: None,
) -> Converted:
    """Carry out a plan that was made before (or its inverse); prove it as :func:`convert` does.

    :raise ConvertError: when the stream is not the one that the plan is for, and as there.
    """
    original = read(source)
    write.can_write(original.container, str(source))
    needed = not_accepted(plan.edits, accept)
    with write.output(out, source=source, force=force) as file:
        predicted = judge(apply_to_stream(plan, original))
        if needed:
            return Converted(plan=plan, verdict=predicted, needed=needed)
        verdict = _written(plan, original, source, file, proof, predicted, progress)
        written = verdict.outcome is Outcome.LOADS and not guest_stops(verdict)
        if written:
            file.keep(force=force)
        return Converted(plan=plan, verdict=verdict, written=written)


def guest_stops(verdict: Verdict) -> tuple[str, ...]:
    """Why the guest did not go on when it was watched; empty when it did or was not watched."""
    guest = verdict.destination.get("guest")
    if not isinstance(guest, dict) or guest.get("state") == "runs":
        return ()
    return tuple(map(str, guest.get("reasons") or (guest.get("state"),)))


def _written(  # noqa: PLR0917 -- what is written, from where, to where
    plan: Plan,
    original: Stream,
    source: Path,
    file: write.Output,
    proof: Proof | None,
    predicted: Verdict,
    progress: Callable[[str], None],
) -> Verdict:
    """Write the file and prove what is in it."""
    progress("writing")
    try:
        if plan.edits:
            write.write(apply_to_stream(plan, original), original, source, file)
        else:
            write.copy(source, file)
    except OSError as error:
        raise ConvertError(f"writing failed: {error.strerror or error}") from None
    if proof is None:
        return predicted
    progress("rehearsing")
    return proof.of(read(file.readable))


def _result(found: Found, verdict: Verdict, *, written: bool = False) -> Converted:
    return Converted(
        plan=found.plan,
        before=found.before,
        verdict=verdict,
        written=written,
        already=written and not found.plan.edits,
        stuck=found.stuck,
        needed=found.needed,
    )


__all__ = ["Converted", "Proof", "carry_out", "convert"]
