"""The interface between a replay and its input, so that a cache can observe the reads."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from migratable.check.baseline import Baseline
from migratable.check.qemu_file import QemuFile, Reader
from migratable.check.state import LoadedState, Memory
from migratable.stream.model import Section
from migratable.unchecked import Unchecked
from migratable.verdict import Finding


@dataclass(frozen=True, slots=True, kw_only=True)
class SectionOutcome:
    """What loading one section gave.

    :ivar findings: in the order in which they were made.
    :ivar unexamined: why it could not be followed; a verdict cannot be ``loads`` then.
    :ivar unchecked: what was not examined and is not decisive.
    :ivar consumed: bytes of its body that the destination reads; None when it stopped in it.
    :ivar state: what was loaded, of sections that rules look at at the stream's end.
    :ivar self_contained: it depends on the section's own bytes alone.
    """

    findings: tuple[Finding, ...] = ()
    unexamined: tuple[Unchecked, ...] = ()
    unchecked: tuple[Unchecked, ...] = ()
    consumed: int | None = None
    state: LoadedState | None = None
    self_contained: bool = True


class Tracker(Protocol):
    """What stands between a replay and what it reads (:mod:`migratable.check.cache` tracks it)."""

    @property
    def memory(self) -> Memory:
        """The destination's words, shared by all sections."""

    def open(self, section: Section, footer: bytes, following: Callable[[], bytes]) -> Reader:
        """The bytes of a section."""

    def outcome(self, section: Section, load: Callable[[], SectionOutcome]) -> SectionOutcome:
        """What loading a section gives: *load* it, or know it."""

    def shown(self, sections: Sequence[Section]) -> Sequence[Section]:
        """The sections as rules at the stream's end see them."""


class Untracked:
    """Reads and loads; see :class:`Tracker`."""

    def __init__(self, baseline: Baseline) -> None:
        """Begin with the destination's own memory."""
        self.memory = Memory(baseline.tables.words)

    def open(self, section: Section, footer: bytes, following: Callable[[], bytes]) -> Reader:
        """See :class:`Tracker`."""
        return QemuFile(section.body, footer, following)

    def outcome(self, _section: Section, load: Callable[[], SectionOutcome]) -> SectionOutcome:
        """See :class:`Tracker`."""
        return load()

    def shown(self, sections: Sequence[Section]) -> Sequence[Section]:
        """See :class:`Tracker`."""
        return sections
