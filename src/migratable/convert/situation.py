"""What a proposal may ask about a refusal and the destination that refuses."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import TypeAlias

from migratable.convert.model import StreamEdit
from migratable.errors import MigratableError, StreamError
from migratable.profile.model import Profile
from migratable.profile.tables import LoaderTables, MachineCapability, Vmsd
from migratable.stream import Section, Stream, read
from migratable.stream.fields import decode
from migratable.stream.wire_format import WHOLE
from migratable.verdict import Finding, Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class NoWay:
    """Why a proposal has no edit, in words for the user."""

    reason: str


Answer: TypeAlias = tuple[StreamEdit, ...] | NoWay
"""Edits that belong together (a version and the fields that go with it), or why there are none."""


@dataclass(slots=True, kw_only=True)
class Destination:
    """What a stream is converted for.

    :ivar judge: predicts whether it loads a stream.
    :ivar tables: its loader's tables, None for a model without a program.
    :ivar capabilities: of a pseries machine.
    :ivar own: the stream that it writes itself when it was just started.
    :ivar fresh: streams of machines that were just started, with their names: what is at its
        default looks like this.
    """

    judge: Callable[[Stream], Verdict]
    name: str = ""
    machine: str = ""
    release: tuple[int, int] = (0, 0)
    tables: LoaderTables | None = None
    capabilities: tuple[MachineCapability, ...] = ()
    own: Stream | None = None
    fresh: Callable[[], Iterable[tuple[str, Stream]]] = tuple
    _fresh: list[tuple[str, Stream]] | None = field(default=None, repr=False)

    def at_hand(self) -> list[tuple[str, Stream]]:
        """Streams of just started machines; read once."""
        if self._fresh is None:
            self._fresh = list(self.fresh())
        return self._fresh

    def described(self, name: str) -> Vmsd | None:
        """Give the destination's description of that name."""
        if self.tables is None:
            return None
        return next((vmsd for vmsd in self.tables.vmsds if vmsd.name == name), None)


@dataclass(kw_only=True)
class Situation:
    """A refusal, and the stream as it is by then."""

    stream: Stream
    finding: Finding
    destination: Destination

    @cached_property
    def section(self) -> Section | None:
        """The section that the finding is about."""
        for section in self.stream.sections:
            if (
                section.idstr == self.finding.device
                and section.kind in WHOLE
                and self.finding.instance_id in (None, section.instance_id)
            ):
                return section
        return None

    def fresh_with(self, name: str, data: bytes) -> str:
        """Name a just started machine whose stream has the subsection with these bytes."""
        for where, section in self._fresh():
            if data in subsections(section, name):
                return where
        return ""

    def fresh_field(self, body: str, field: str, data: bytes) -> str:
        """Name a just started machine whose stream has the field with these bytes.

        Only where every such machine says the same: then it is no setting of the machine.
        """
        first = ""
        for where, section in self._fresh():
            for value in fields(section, body, field):
                if value != data:
                    return ""
                first = first or where
        return first

    def _fresh(self) -> Iterator[tuple[str, Section]]:
        """Sections of devices of this kind in the streams of just started machines."""
        if self.section is None:
            return
        kind = self.section.idstr.rpartition("/")[2]
        for where, stream in self.destination.at_hand():
            for section in stream.devices:
                if section.idstr.rpartition("/")[2] == kind:
                    yield where, section


def fields(section: Section, body: str, name: str) -> Iterator[bytes]:
    """Bytes of a field in all bodies of that name; none when it cannot be decoded."""
    try:
        waiting = [decode(section)]
    except StreamError:
        return
    while waiting:
        one = waiting.pop()
        for item in one.fields:
            waiting += item.children
            if one.name == body and item.name == name:
                start = item.offset - (section.body_offset or 0)
                yield bytes(section.body[start : start + item.size])
        waiting += one.subsections


def subsections(section: Section, name: str) -> Iterator[bytes]:
    """Bodies of all subsections of that name in a section; none when it cannot be decoded."""
    try:
        body = decode(section)
    except StreamError:
        return
    for sub in body.all_subsections():
        if sub.name == name:
            start = sub.offset - (section.body_offset or 0)
            yield bytes(section.body[start : start + sub.size])


def streams_of(profiles: Iterable[tuple[str, Profile]]) -> Iterator[tuple[str, Stream]]:
    """The own streams of profiles, with names for the user."""
    for name, profile in profiles:
        if not profile.stream:
            continue
        try:
            stream = read(profile.stream)
        except MigratableError:
            continue
        version = profile.version
        yield f"{profile.machine} of QEMU {version.major}.{version.minor} ({name})", stream
