"""``matrix --and-back``: does each VM that a host loads come back to its present host?

The source of a VM is what its ``source`` says of itself (a capture, a profile), the machine that
its command line started, or the profile that the fleet file names as ``back-to``. Equal pairs are
asked once, as for the way there (:mod:`.matrix`).
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Hashable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from migratable.errors import MigratableError
from migratable.fleet.cells import Answer, Answers
from migratable.fleet.destinations import words_key
from migratable.fleet.entities import Destination, Guest, Progress
from migratable.fleet.matrix import Matrix
from migratable.fleet.pairs import Pairs
from migratable.fleet.resolve import Resolved, shapes
from migratable.rehearse import way_back
from migratable.rehearse.way_back import Home
from migratable.verdict import Outcome, Verdict

if TYPE_CHECKING:
    from migratable.profile.model import Profile
    from migratable.stream import Stream

NO_SOURCE = (
    "the VM does not say how it was started: give it back-to, a profile of its machine, or capture "
    "it anew"
)


class _Question(NamedTuple):
    """One VM and one destination that stand for all equal ones, and their answer so far."""

    guest: int
    destination: int
    answer: int


@dataclass(slots=True)
class Homes:
    """The sources of a fleet's VMs, each started once.

    :ivar timeout: seconds for a program to start.
    """

    timeout: float
    _known: dict[Hashable, Home | str] = field(default_factory=dict)

    def of(self, guest: Guest) -> Home | str:
        """The VM's source, or why there is none."""
        key = self.key(guest)
        if key not in self._known:
            try:
                self._known[key] = self._made(guest)
            except MigratableError as error:
                self._known[key] = str(error)
        return self._known[key]

    @staticmethod
    def key(guest: Guest) -> Hashable:
        """What makes the sources of two VMs one: neither is started again for another name."""
        if guest.vm.back_to:
            return (guest.vm.back_to,)
        profile = guest.profile
        if profile is None:
            return None
        blocks = () if guest.stream is None else guest.stream.ram_blocks
        sizes = tuple((block.id, block.used_length) for block in blocks)
        loader = None if profile.loader is None else id(profile)
        return (str(profile.version), words_key(profile.command_line), sizes, loader)

    def _made(self, guest: Guest) -> Home | str:
        from migratable.profile.bundled import find  # noqa: PLC0415 -- looks into folders

        sizes = {}
        if guest.stream is not None:
            sizes = {block.id: block.used_length for block in guest.stream.ram_blocks}
        if guest.vm.back_to:
            profile = find(guest.vm.back_to)
        elif guest.profile is not None:
            profile = guest.profile
        else:
            return NO_SOURCE
        return Home.of(profile, ram_sizes=sizes, timeout=self.timeout)


def with_way_back(
    matrix: Matrix,
    resolved: Resolved,
    homes: Homes,
    *,
    workers: int = 2,
    progress: Progress | None = None,
) -> Matrix:
    """Give the matrix with the source's answer in the verdict of every pair that loads.

    :param workers: QEMU programs that run at the same time.
    :raise MigratableError: never; what cannot be tried says why.
    """
    pairs = Pairs(resolved.destinations)
    keys = shapes(resolved.guests)
    width = len(matrix.hosts)
    asked: dict[Hashable, _Question] = {}
    rows: dict[Hashable, list[Hashable]] = {}
    of_rows: list[Hashable] = []
    for number, guest in enumerate(resolved.guests):
        cells = matrix.row(number)
        choice = resolved.choice[number * width : (number + 1) * width]
        own = (keys[number], homes.key(guest) if keys[number] is not None else None)
        row_key: Hashable = (own, choice.tobytes(), cells.tobytes())
        of_rows.append(row_key)
        if row_key in rows:
            continue
        rows[row_key] = []
        for at, answer in zip(choice, cells, strict=True):
            key: Hashable = None
            verdict = matrix.answers[answer].verdict
            if verdict is not None and verdict.outcome is Outcome.LOADS:
                key = (own, pairs.kinds[at], answer)
                asked.setdefault(key, _Question(number, at, answer))
            rows[row_key].append(key)
    jobs: dict[Hashable, Callable[[], Verdict | str]] = {
        key: partial(
            _tried,
            resolved.guests[one.guest].stream,
            resolved.destinations[one.destination],
            homes.of(resolved.guests[one.guest]),
            homes.timeout,
        )
        for key, one in asked.items()
    }
    found = {
        key: _answer(matrix.answers[asked[key].answer], back)
        for key, back in _done(jobs, workers, progress)
    }
    answers = Answers()
    new: dict[Hashable, array[int]] = {}
    out = array("I")
    for number, row_key in enumerate(of_rows):
        if row_key not in new:
            cells = matrix.row(number)
            new[row_key] = array(
                "I",
                (
                    answers.add(matrix.answers[answer] if key is None else found[key])
                    for answer, key in zip(cells, rows[row_key], strict=True)
                ),
            )
        out.extend(new[row_key])
    return replace(matrix, answers=tuple(answers.found), cells=out, and_back=True)


def _done(
    jobs: Mapping[Hashable, Callable[[], Verdict | str]], workers: int, progress: Progress | None
) -> Iterator[tuple[Hashable, Verdict | str]]:
    """Answers as they come; a QEMU lives and ends in the thread that started it."""
    with ThreadPoolExecutor(workers) as pool:
        futures = {pool.submit(job): key for key, job in jobs.items()}
        for number, future in enumerate(as_completed(futures), 1):
            if progress is not None:
                progress("way back", number, len(futures))
            yield futures[future], future.result()


def _tried(
    stream: Stream | None, destination: Destination, home: Home | str, timeout: float
) -> Verdict | str:
    """The source's answer to what the destination then holds, or why there is none."""
    if isinstance(home, str):
        return home
    if stream is None or destination.profile is None:
        return "the destination has no profile"
    try:
        return _back(stream, destination.profile, home, timeout)
    except MigratableError as error:
        return str(error)


def _back(stream: Stream, profile: Profile, home: Home, timeout: float) -> Verdict | str:
    from migratable.profile.at_hand import at_hand  # noqa: PLC0415 -- starts programs

    line = at_hand(profile).line
    if line is None:
        return way_back.guessed(stream, profile, home)
    seen, again = way_back.there(stream, line, timeout=timeout)
    if seen.outcome is Outcome.LOADS:
        return way_back.back(again, home, timeout=timeout)
    why = seen.first_refusal.message if seen.first_refusal else "; ".join(seen.unchecked[:1])
    return f"the rehearsal on the destination does not load the guest: {why}"


def _answer(answer: Answer, found: Verdict | str) -> Answer:
    assert answer.verdict is not None
    if isinstance(found, str):
        return replace(answer, verdict=replace(answer.verdict, no_back=found))
    plain = replace(found, source={}, destination={})
    return replace(answer, verdict=replace(answer.verdict, back=plain))
