"""Equal sections are loaded once.

While one section is loaded, :mod:`.read_tracking` notes every byte that decided something: read by
a rule or a hook, as a count, a flag or a version. Most bytes of a device's state are only stored. A
section whose deciding bytes are those of an earlier one gets its outcome, whatever else is in it;
guests that differ in registers, clocks and addresses alone are equal here.

This is sound because loading a section is a function of what it reads: the same deciding bytes
lead along the same path. What one section leaves in the destination's memory for another is noted
with both.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from migratable.check.baseline import Baseline
from migratable.check.cache.prepared_stream import Ready, Unit
from migratable.check.cache.read_tracking import (
    EXACTLY,
    NONZERO,
    SUBSECTION,
    Address,
    Part,
    Place,
    StaleError,
    TrackedFile,
    TrackedMemory,
    shown,
)
from migratable.check.events import KEPT
from migratable.check.qemu_file import Reader
from migratable.check.registry import rules
from migratable.check.savevm import Replay
from migratable.check.tracker import SectionOutcome
from migratable.profile.model import Profile
from migratable.stream.model import Section, Span
from migratable.stream.wire_format import WHOLE

_IS_FIVE = bytes(byte == 5 for byte in range(256))
_MOST_ENTRIES = 200_000
"""Of one destination; more than real fleets have shapes, and a bound for hostile ones."""


@dataclass(frozen=True, slots=True)
class Entry:
    """Outcome of one section, with the values that it reads and leaves.

    :ivar needs: words of memory that another section may have left, and their values.
    :ivar leaves: words that it sets: a value, or the bytes of its body that are the value.
    :ivar section_id: where messages may name it; None when it makes no difference.
    """

    number: int
    outcome: SectionOutcome
    needs: dict[Address, int | None]
    leaves: dict[Address, int | Place]
    section_id: int | None = None


class _Pattern:
    """Entries whose deciding bytes have the same offsets."""

    __slots__ = ("_asked", "_masked", "_nonzero", "_places", "entries", "parts")

    def __init__(self, parts: tuple[Part, ...]) -> None:
        self.parts = parts
        self.entries: dict[tuple[bytes, ...], list[Entry]] = {}
        self._places = [slice(first, end) for first, end, how in parts if how == EXACTLY]
        self._nonzero = [
            (slice(first, end), bytes(end - first)) for first, end, how in parts if how == NONZERO
        ]
        self._asked = [first for first, _, how in parts if how == SUBSECTION]
        self._masked = [(slice(first, end), how) for first, end, how in parts if how > 0]

    def key(self, body: bytes) -> tuple[bytes, ...]:
        """The bytes of a body that decide."""
        return (
            b"".join([body[place] for place in self._places]),
            bytes([body[place] != zeros for place, zeros in self._nonzero]),
            bytes([body[place] for place in self._asked]).translate(_IS_FIVE),
            *[
                (int.from_bytes(body[place], "little") & mask).to_bytes(len(body[place]), "little")
                for place, mask in self._masked
            ],
        )


class Memo:
    """Results for one destination."""

    def __init__(self, baseline: Baseline) -> None:
        """Begin with nothing."""
        self.baseline = baseline
        self.made = 0
        self._patterns: dict[tuple[object, ...], list[_Pattern]] = {}
        self._left_by: dict[Address, tuple[object, ...]] = {}
        self._needed_by: dict[Address, tuple[object, ...]] = {}
        self._shared: set[Address] = set()
        self._answers: dict[tuple[object, ...], Any] = {}
        self._seen_at_end: set[str] = set()

    def answer(
        self,
        ready: Ready,
        make: Callable[[Replay], Any],
        *,
        origin: Profile | None = None,
        origin_key: bytes = b"",
    ) -> Any:
        """Answer for a stream, from what is known or from a replay of what is not.

        :param make: an answer from a replay; it must depend on nothing else of the stream.
        :param origin: the source's profile, and :param origin_key: what makes two of them one.
        """
        if any(
            isinstance(element, Span) and element.undelimited for element in ready.stream.elements
        ):
            return make(Replay(ready.stream, self.baseline, origin).qemu_loadvm_state())
        entries = self._all_known(ready)
        if entries is not None:
            known = self._answers.get(self._key(ready, origin_key, entries))
            if known is not None:
                return known
        try:
            tracked, replay = self._replay(ready, origin)
        except StaleError:
            # A rule at the end read more of a state than before: track that section again.
            for unit in ready.units:
                if unit.section.idstr in KEPT:
                    self._patterns.pop(unit.head, None)
            tracked, replay = self._replay(ready, origin)
        tracked.keep()
        answer = make(replay)
        if not tracked.seen_at_end <= self._seen_at_end:
            self._seen_at_end |= tracked.seen_at_end
            self._answers.clear()  # their keys do not say what turned out to be looked at
        deep = any(rules()[finding.rule].reads_on for finding in replay.findings)
        if tracked.whole and not deep and len(self._answers) < _MOST_ENTRIES:
            key = self._key(ready, origin_key, [entry for entry, _ in tracked.past])
            self._answers[key] = answer
        return answer

    def _replay(self, ready: Ready, origin: Profile | None) -> tuple[_Tracked, Replay]:
        tracked = _Tracked(ready, self)
        replay = Replay(ready.stream, self.baseline, origin, tracked)
        return tracked, replay.qemu_loadvm_state()

    def _key(self, ready: Ready, origin_key: bytes, entries: list[Entry]) -> tuple[object, ...]:
        numbers = tuple([entry.number for entry in entries])
        return (ready.around, origin_key, numbers, ready.ends(self._seen_at_end))

    def _all_known(self, ready: Ready) -> list[Entry] | None:
        past: list[tuple[Entry, bytes]] = []
        for unit in ready.units:
            entry = self.find(unit, past)
            if entry is None:
                return None
            past.append((entry, unit.body))
        return [entry for entry, _ in past]

    def find(self, unit: Unit, past: list[tuple[Entry, bytes]]) -> Entry | None:
        """The entry of an equal section; None when there was none."""
        for pattern in self._patterns.get(unit.head, ()):
            for entry in pattern.entries.get(pattern.key(unit.body), ()):
                if entry.section_id not in {None, unit.section.section_id}:
                    continue
                if self._shared.isdisjoint(entry.needs) or all(
                    self.outer(address, past) == entry.needs[address]
                    for address in self._shared.intersection(entry.needs)
                ):
                    return entry
        return None

    def outer(self, address: Address, past: list[tuple[Entry, bytes]]) -> int | None:
        """The value of a word after the earlier sections."""
        for entry, body in reversed(past):
            left = entry.leaves.get(address)
            if left is not None:
                if isinstance(left, int):
                    return left
                value = int.from_bytes(body[left[0] : left[1]], "big")
                return value & ((1 << 8 * address[1]) - 1)
        return self.baseline.tables.words.get(address)

    def keep(self, unit: Unit, parts: tuple[Part, ...], entry: Entry) -> None:
        """Remember an outcome."""
        if self.made >= _MOST_ENTRIES:
            return
        patterns = self._patterns.setdefault(unit.head, [])
        pattern = next((pattern for pattern in patterns if pattern.parts == parts), None)
        if pattern is None:
            pattern = _Pattern(parts)
            patterns.append(pattern)
        pattern.entries.setdefault(pattern.key(unit.body), []).append(entry)
        # A value that one section leaves and another reads makes the two dependent.
        who = (unit.section.idstr, unit.section.instance_id)
        for address in entry.leaves:
            if self._left_by.setdefault(address, who) != who:
                self._left_by[address] = ()
            if self._needed_by.get(address, who) != who:
                self._shared.add(address)
        for address in entry.needs:
            if self._needed_by.setdefault(address, who) != who:
                self._needed_by[address] = ()
            if self._left_by.get(address, who) != who:
                self._shared.add(address)


class _Tracked:
    """Looks sections up before they are loaded, and tracks those that are.

    It is the replay's :class:`migratable.check.tracker.Tracker`.

    :ivar past: entries of the sections so far, with their bodies.
    :ivar whole: every section has an entry that is kept.
    :ivar seen_at_end: names of sections into which rules looked at the stream's end.
    """

    def __init__(self, ready: Ready, memo: Memo) -> None:
        self._memo = memo
        self._units = iter(ready.units)
        self.past: list[tuple[Entry, bytes]] = []
        self.whole = True
        self._file: TrackedFile | None = None
        self._news: list[tuple[Unit, Entry, TrackedFile | None]] = []
        self.memory = TrackedMemory(memo.baseline.tables.words, self.outer)
        self.seen_at_end: set[str] = set()

    def outer(self, address: Address) -> int | None:
        """The value of a word of memory before the current section."""
        return self._memo.outer(address, self.past)

    def shown(self, sections: Sequence[Section]) -> Sequence[Section]:
        """Sections that record when a rule reads their bodies."""
        return tuple(shown(section, self._look) for section in sections)

    def _look(self, section: Section) -> None:
        if section.kind in WHOLE:
            self.seen_at_end.add(section.idstr)
        else:
            self.whole = False

    def open(self, section: Section, footer: bytes, following: Callable[[], bytes]) -> Reader:
        """The bytes of a section, tracked."""
        self._file = self.memory.file = TrackedFile(section.body, footer, following)
        return self._file

    def outcome(self, section: Section, load: Callable[[], SectionOutcome]) -> SectionOutcome:
        """The outcome of an equal section, or of loading this one."""
        unit = next(self._units)
        assert unit.section is section
        known = self._memo.find(unit, self.past)
        if known is not None:
            self.past.append((known, unit.body))
            return known.outcome
        self._file = None
        self.memory.begin(section)
        outcome = load()
        self._memo.made += 1
        entry = Entry(
            number=self._memo.made,
            outcome=outcome,
            needs=self.memory.needs,
            leaves=self.memory.leaves,
            section_id=section.section_id if outcome.findings else None,
        )
        self.past.append((entry, unit.body))
        self._news.append((unit, entry, self._file))
        return outcome

    def keep(self) -> None:
        """Remember what was loaded. At the end, since rules there look at sections again."""
        for unit, entry, file in self._news:
            if not entry.outcome.self_contained or (file is not None and file.went_beyond):
                self.whole = False
            elif file is None:
                self._memo.keep(unit, (), entry)
            else:
                parts = file.parts()
                file.known = [place for *place, how in parts if how == EXACTLY]
                self._memo.keep(unit, parts, entry)
