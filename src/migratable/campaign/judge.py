"""Predict what happened, and compare.

What real QEMU refused for is taken from its own lines by :mod:`migratable.messages`, as a person
with the log would. Up to 10.1 QEMU often prints no cause, only the device (``error while loading
state for instance 0x0 of device 'cpu'``): then its lines do not name a rule, and the rule that was
predicted counts as right when the predicted line is QEMU's.
"""

from __future__ import annotations

import enum
import gzip
import hashlib
import io
import re
import traceback
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from functools import cache
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from migratable.campaign.cache import Cache, Outcome, write_atomically
from migratable.campaign.case import Side
from migratable.errors import DestinationStartError, MigratableError

if TYPE_CHECKING:
    from migratable.profile.model import Profile
    from migratable.stream import Stream
    from migratable.verdict import Verdict

_NO_ERROR = re.compile(
    r"^(?:.*: )?(?:warning|info): |^Warning: |^\(process:\d+\)"
    # The second line of a warning, hw/i386/pc.c: pc_cmos_init_late.
    r"|^the one being picked for CMOS setup might not reflect your intent",
    re.IGNORECASE,
)
_START = "destination-start"


class Grade(enum.StrEnum):
    """How a prediction compares with what happened, worst first.

    ``WRONG_LOADS``: predicted to load, refused. ``FAILED``: our program failed.
    ``FALSE_REFUSAL``: predicted to be refused, loaded. ``RULE``: refused for another cause or
    device; ``LINE``: with another first line; ``LINES``: only the rest of what is printed differs.
    """

    WRONG_LOADS = "wrong-loads"
    FAILED = "failed"
    FALSE_REFUSAL = "false-refusal"
    UNKNOWN = "unknown"
    RULE = "rule"
    LINE = "line"
    LINES = "lines"
    AGREES = "agrees"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cause:
    """Why a load was refused.

    :ivar rule: empty when QEMU's lines name none.
    """

    rule: str = ""
    device: str = ""
    message: str = ""
    lines: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """A prediction beside what happened.

    :ivar real: ``loads``, ``refused`` (``no-start`` and ``crash`` too).
    :ivar predicted: ``loads``, ``refused``, ``unknown``, ``failed``.
    """

    key: str
    outcome: Outcome
    grade: Grade
    real: str
    predicted: str
    cause: Cause
    prediction: Cause
    notes: tuple[str, ...] = field(default=())

    def to_json(self) -> dict[str, Any]:
        """One object."""
        document = asdict(self)
        document["grade"] = str(self.grade)
        document["outcome"] = self.outcome.to_json()
        return document


def judge(outcome: Outcome, cache: Cache, stream: Stream | None = None) -> Judgement:
    """Predict *outcome* and compare.

    :param stream: the source's stream when the caller has it already.
    """
    real = "loads" if outcome.status == "loads" else "refused"
    cause = real_cause(outcome)
    try:
        verdict = predict(outcome, cache, stream)
    except Exception as error:  # noqa: BLE001 -- a crash of ours is a result of the campaign
        words = traceback.format_exc().splitlines()
        notes = (str(error),) if isinstance(error, MigratableError) else tuple(words[-12:])
        prediction = Cause(rule="(failed)", message=f"{type(error).__name__}: {error}"[:500])
        return Judgement(
            key=outcome.key,
            outcome=outcome,
            grade=Grade.FAILED,
            real=real,
            predicted="failed",
            cause=cause,
            prediction=prediction,
            notes=notes,
        )
    refusal = verdict.first_refusal
    prediction = Cause(
        rule="" if refusal is None else refusal.rule,
        device="" if refusal is None else refusal.device or "",
        message="" if refusal is None else refusal.message,
        lines=verdict.stderr if refusal is None else refusal.stderr,
    )
    return Judgement(
        key=outcome.key,
        outcome=outcome,
        grade=_grade(real, cause, str(verdict.outcome), prediction),
        real=real,
        predicted=str(verdict.outcome),
        cause=cause,
        prediction=prediction,
        notes=verdict.unchecked if str(verdict.outcome) == "unknown" else (),
    )


def _grade(real: str, cause: Cause, predicted: str, prediction: Cause) -> Grade:
    if predicted == "unknown":
        return Grade.UNKNOWN
    if predicted == "loads":
        return Grade.AGREES if real == "loads" else Grade.WRONG_LOADS
    if real == "loads":
        return Grade.FALSE_REFUSAL
    if not same_rule(cause, prediction) or not same_device(cause, prediction):
        return Grade.RULE
    if cause.message != prediction.message:
        return Grade.LINE
    if errors(cause.lines) != errors(prediction.lines):
        return Grade.LINES
    return Grade.AGREES


def same_rule(cause: Cause, prediction: Cause) -> bool:
    """Do QEMU's lines name the predicted rule, or is it at least QEMU's line?"""
    rule = _ALIKE.get(cause.rule, cause.rule)
    return prediction.rule == rule or (prediction.message == cause.message and cause.rule in _BROAD)


# One cause with two names: explain distinguishes ROM files from other blocks.
_ALIKE = {"option-rom": "ram-block-size"}
# What knowledge calls a refusal whose lines leave the cause open; check, which knows, names it.
_BROAD = frozenset(
    {"", "(crash)", "post-load", "layout", "section-footer", "field-validation", "field-equal"}
)


def same_device(cause: Cause, prediction: Cause) -> bool:
    """Is it the device that QEMU names, when it names one?"""
    return not cause.device or cause.device == prediction.device


def errors(lines: Sequence[str]) -> tuple[str, ...]:
    """Lines that are no warnings."""
    return tuple(line for line in lines if not _NO_ERROR.search(line))


def real_cause(outcome: Outcome) -> Cause:
    """Rule, device and first error line of a real refusal, from QEMU's own lines."""
    if outcome.status == "loads":
        return Cause(lines=outcome.lines)
    if outcome.status == "no-start":
        found = errors(outcome.start)
        return Cause(rule=_START, message=found[0] if found else "", lines=outcome.start)
    found = errors(outcome.lines)
    rule, device = _explained(outcome.lines)
    return Cause(
        rule=f"({outcome.status})" if outcome.status != "refused" else rule,
        device=device,
        message=found[0] if found else "",
        lines=(*outcome.start, *outcome.lines),
    )


def _explained(lines: Sequence[str]) -> tuple[str, str]:
    from migratable.explain.story import explain  # noqa: PLC0415
    from migratable.messages.catalogue import Role, message  # noqa: PLC0415 -- slow to load

    text = "".join(f"qemu-system-x: {line}\n" for line in errors(lines))
    found = explain(io.BytesIO(text.encode())).explanations
    if not found:
        return "", ""
    explanation = found[0]
    named = explanation.message is not None and message(explanation.message).role is Role.CAUSE
    return (explanation.rule or "") if named else "", explanation.device or ""


# Prediction


def predict(outcome: Outcome, cache: Cache, stream: Stream | None = None) -> Verdict:
    """The verdict of ``migratable check`` for this pair.

    :raise MigratableError: when the program fails.
    """
    from migratable.check import check  # noqa: PLC0415 -- judging only

    stream = stream or stream_of(outcome.source, cache)
    try:
        profile = profile_of(outcome.destination, cache, stream)
    except DestinationStartError as error:
        return _not_started(error)
    return check(stream, profile)


def _not_started(error: DestinationStartError) -> Verdict:
    from migratable.verdict import Basis, Outcome, Refusal, Verdict  # noqa: PLC0415

    found = errors(error.stderr)
    refusal = Refusal(rule=_START, message=found[0] if found else "", stderr=error.stderr)
    return Verdict(outcome=Outcome.REFUSED, basis=Basis.PREDICTED, first_refusal=refusal)


def stream_of(side: Side, cache: Cache) -> Stream:
    """A source's stream from the cache."""
    from migratable.stream import read  # noqa: PLC0415 -- judging only

    return read(gzip.decompress(cache.stream_path(side).read_bytes()))


def profile_of(side: Side, cache: Cache, stream: Stream) -> Profile:
    """A destination's profile, from the cache when the same code has taken it before."""
    from migratable.profile.collect import collect  # noqa: PLC0415 -- judging only
    from migratable.profile.model import Profile  # noqa: PLC0415

    sizes = {block.id: block.used_length for block in stream.ram_blocks}
    where = repr((side.release, side.arch, side.argv, sorted(sizes.items())))
    name = hashlib.sha256(where.encode()).hexdigest()[:24]
    path = cache.profile_path(f"{_code()}-{name}")
    if path.is_file():
        return Profile.loads(gzip.decompress(path.read_bytes()))
    line = [f"lab:{side.release}/{side.arch}", *side.argv]
    profile = collect(line, ram_sizes=sizes)
    write_atomically(path, gzip.compress(profile.dumps().encode(), 1, mtime=0))
    return profile


@cache
def _code() -> str:
    """Hash of the code that takes profiles."""
    digest = hashlib.sha256()
    for package in ("profile", "qemu", "commandline"):
        root = Path(str(resources.files(f"migratable.{package}")))
        for path in sorted(root.rglob("*.py")):
            digest.update(path.read_bytes())
    return digest.hexdigest()[:8]
