"""Matrices from rehearsals instead of predictions.

Which pairs are equal is decided as for predictions (:mod:`migratable.check.cache`): one of them is
rehearsed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from migratable import paths
from migratable.check import check
from migratable.errors import MigratableError, QemuError
from migratable.fleet.distribute import Job, distribute
from migratable.fleet.results import Result, Results
from migratable.profile.at_hand import AtHand, at_hand
from migratable.rehearse.disagreement import named
from migratable.rehearse.rewrite import prepare
from migratable.stream import Stream, write
from migratable.stream.edit import elide_ram
from migratable.stream.model import Span, flatten
from migratable.unchecked import Code, Unchecked
from migratable.verdict import Basis, Outcome, Verdict

if TYPE_CHECKING:
    from migratable.fleet.entities import Progress
    from migratable.fleet.pairs import Check
    from migratable.profile.model import Profile

T = TypeVar("T")

_WHOLE = 8 << 20
"""Bytes of RAM records up to which a stream is sent to the workers as it is."""


def default_file() -> Path:
    """Where results are kept when the user names no file."""
    return paths.data() / "rehearsals.sqlite"


def rehearsed(
    ask: Callable[[Check, Progress | None], T],
    results: Path,
    *,
    scheduler: str | None = None,
    workers: int | None = None,
    resume: bool = False,
    timeout: float = 60.0,
    progress: Progress | None = None,
) -> T:
    """Rehearse what *ask* would have checked.

    :param ask: called twice with something in the place of ``check``: to see what is to be
        rehearsed, and to get its answers.
    :param results: SQLite file in which results are kept as they come.
    :param scheduler: address of a Dask scheduler; None: processes here, *workers* of them.
    :param resume: do not repeat what *results* has already.
    :raise ServiceError: as :func:`~migratable.fleet.distribute.distribute`.
    :raise PlanError: when *results* cannot be used.
    """
    plan = _Plan(timeout=timeout)
    ask(plan.ask, progress)
    with Results(results) as store:
        plan.done = distribute(
            plan.jobs,
            store,
            scheduler=scheduler,
            workers=workers,
            resume=resume,
            progress=progress,
        )
    return ask(plan.answer, progress)


@dataclass(slots=True)
class _Plan:
    """Pairs to jobs, and later results to pairs.

    Streams and profiles are recognised by their identity, for which they are kept; jobs by what is
    in them, so that streams and profiles that were read anew find their results.
    """

    timeout: float
    done: dict[str, Result] = field(default_factory=dict)
    _programs: dict[int, tuple[Profile, AtHand]] = field(default_factory=dict)
    _identities: dict[tuple[str, ...], str] = field(default_factory=dict)
    _streams: dict[int, tuple[Stream, bytes, tuple[str, ...]]] = field(default_factory=dict)
    _jobs: dict[str, Job] = field(default_factory=dict)

    @property
    def jobs(self) -> Sequence[Job]:
        """What is to be done."""
        return tuple(self._jobs.values())

    def ask(self, stream: Stream, profile: Profile) -> Verdict:
        """In the place of a check: note what must be rehearsed."""
        job = self._job(stream, profile)
        if job is not None:
            self._jobs[job.key] = job
        return Verdict(outcome=Outcome.UNKNOWN, basis=Basis.REHEARSED)

    def answer(self, stream: Stream, profile: Profile) -> Verdict:
        """In the place of a check: the result.

        :raise QemuError: when there is none, with the reason.
        """
        job = self._job(stream, profile)
        if job is None:
            raise QemuError(f"cannot be rehearsed: {self._at_hand(profile).why}")
        result = self.done.get(job.key)
        if result is None:
            raise QemuError("not rehearsed: the machine was started again meanwhile; use --resume")
        if result.verdict is None:
            raise QemuError(f"the rehearsal failed: {result.failure}")
        verdict = result.verdict
        sent = (Unchecked(text, Code.REHEARSAL) for text in self._sent(stream)[2])
        unchecked = (*verdict.unchecked, *sent)
        verdict = replace(verdict, unchecked=tuple(dict.fromkeys(unchecked)))
        return _named(verdict, stream, profile)

    def _job(self, stream: Stream, profile: Profile) -> Job | None:
        line = self._at_hand(profile).line
        if line is None:
            return None
        return Job(
            stream=self._sent(stream)[1],
            words=tuple(line.argv),
            program=self._identity(line.program),
            timeout=self.timeout,
        )

    def _at_hand(self, profile: Profile) -> AtHand:
        if id(profile) not in self._programs:
            self._programs[id(profile)] = (profile, at_hand(profile))
        return self._programs[id(profile)][1]

    def _identity(self, program: tuple[str, ...]) -> str:
        from migratable.qemu.program_facts import identity  # noqa: PLC0415

        if program not in self._identities:
            self._identities[program] = identity(program)
        return self._identities[program]

    def _sent(self, stream: Stream) -> tuple[Stream, bytes, tuple[str, ...]]:
        if id(stream) not in self._streams:
            self._streams[id(stream)] = (stream, *portable(stream))
        return self._streams[id(stream)]


def _named(verdict: Verdict, stream: Stream, profile: Profile) -> Verdict:
    """A refusal by the cause that the prediction has for the same line of QEMU's."""
    if verdict.outcome is not Outcome.REFUSED:
        return verdict
    try:
        return named(verdict, check(stream, profile))
    except MigratableError:  # the rehearsal's own words stay
        return verdict


def portable(stream: Stream) -> tuple[bytes, tuple[str, ...]]:
    """A stream as bytes to be sent elsewhere, without large RAM contents.

    :return: the bytes, and what is so not examined, in words.
    """
    contents = sum(len(span.data) for span in flatten(stream.elements) if isinstance(span, Span))
    if contents <= _WHOLE:
        return write(stream), ()
    prepared = prepare(stream)
    return write(elide_ram(prepared.stream)), prepared.unchecked
