"""Find where RAM ends in a stream that is arriving, without a copy of it.

A source writes (``migration/savevm.c: qemu_savevm_state_header``, ``_setup``, ``_iterate``,
``_complete_precopy``; 4.1 to 11.1)::

    header, configuration, commands, START of every iterated handler     the head; kept
    PART*, END of every iterated handler                                 RAM; passes
    FULL of every device, EOF, vmdesc                                    device state; held

and from 8.1 on some FULL sections in the head (``early_setup``). Device bodies have no lengths:
those in the head end at the first footer that something plausible follows.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field

from migratable.relay.arriving import ArrivingCursor
from migratable.stream import iterable
from migratable.stream import wire_format as layout
from migratable.stream.ram import RamStart, read_start
from migratable.stream.ram_walker import RamWalker
from migratable.stream.reader_backward import plausible_element
from migratable.stream.section_header import read_header, read_part_header
from migratable.stream.wire_format import CommandKind, footer

_MOST_STARTS = 1000
_MOST_CAPABILITIES = 1000
_AHEAD = 300
"""Bytes behind a possible end that are looked at: a section's header with its name."""
_POSTCOPY = "postcopy-ram is on: its device state travels in a package, while the guest runs on"
_UNSUPPORTED = {
    CommandKind.POSTCOPY_ADVISE: _POSTCOPY,
    CommandKind.POSTCOPY_LISTEN: _POSTCOPY,
    CommandKind.POSTCOPY_RUN: _POSTCOPY,
    CommandKind.POSTCOPY_RAM_DISCARD: _POSTCOPY,
    CommandKind.POSTCOPY_RESUME: "it resumes a postcopy migration",
    CommandKind.RECV_BITMAP: "it resumes a postcopy migration",
    CommandKind.PACKAGED: _POSTCOPY,
    CommandKind.ENABLE_COLO: "x-colo is on: source and destination run side by side",
}
MULTIFD = "multifd is on: RAM travels over several connections"


class UnsupportedError(Exception):
    """A kind of migration that cannot be relayed."""


@dataclass(slots=True, kw_only=True)
class _Start:
    idstr: str
    walk: Callable[[ArrivingCursor], object]


@dataclass(slots=True, kw_only=True)
class Parser:
    """Reads one stream up to its device state.

    :ivar page_size: of the target, when the stream does not say.
    :ivar at_first: called before the first element is read, with whether the source opens a return
        path; the header and configuration have been handed on.
    :ivar at_ram: called before the first round: the head is whole.
    :ivar footers: whether sections have footers; None until the first ended.
    :ivar rounds: PART and END sections.
    """

    cursor: ArrivingCursor
    page_size: int
    at_first: Callable[[bool], None]
    at_ram: Callable[[], None]
    capabilities: tuple[str, ...] = ()
    ram: RamStart | None = None
    ram_id: int = 0
    walker: RamWalker | None = None
    footers: bool | None = None
    rounds: int = 0
    _starts: dict[int, _Start] = field(default_factory=dict)

    def run(self) -> None:
        """Read up to the first byte of device state, which is left unread.

        :raise UnsupportedError: for what cannot be relayed, before RAM has moved.
        :raise StreamError: for what no source sends.
        :raise SourceEndedError: when the connection ends first.
        """
        self._header()
        first, rounds = True, False
        ended = 0
        while True:
            kind = self.cursor.peek()
            if first:
                self.cursor.flush()
                self.at_first(self._opens_return_path(kind))
                first = False
            if kind in (layout.SECTION_PART, layout.SECTION_END):
                if not rounds:
                    self.cursor.flush()
                    self.at_ram()
                    rounds = True
                ended += kind == layout.SECTION_END
                self._part()
            elif kind == layout.COMMAND:
                self._command()
            elif kind == layout.EOF or (kind == layout.SECTION_FULL and ended):
                if ended < len(self._starts):
                    left = len(self._starts) - ended
                    raise self.cursor.error(f"device state begins before {left} sections ended")
                return
            elif kind == layout.SECTION_FULL:
                self._early()
            elif kind == layout.SECTION_START:
                self._start()
            else:
                raise self.cursor.error(f"unknown section type {kind:#x}")

    def _opens_return_path(self, kind: int) -> bool:
        if kind != layout.COMMAND:
            return False
        pos = self.cursor.need(3)
        self.cursor.pos = pos
        number = bytes(self.cursor.data[pos + 1 : pos + 3])
        return int.from_bytes(number, "big") == CommandKind.OPEN_RETURN_PATH

    def _header(self) -> None:
        cursor = self.cursor
        with cursor.within("header"):
            if (magic := cursor.u32()) != layout.MAGIC:
                raise cursor.error(f"no migration stream: it begins with {magic:#010x}")
            if (version := cursor.u32()) != layout.VERSION:
                raise cursor.error(f"stream version {version}, 3 expected")
        if cursor.peek() != layout.CONFIGURATION:
            return
        with cursor.within("configuration"):
            cursor.skip(1)
            length = cursor.u32()
            if length > 1024:
                raise cursor.error(f"machine type name of {length} bytes")
            cursor.skip(length)
            for _ in range(layout.MAX_NESTING):
                if cursor.peek() != layout.SUBSECTION:
                    return
                self._configuration_subsection()
            raise cursor.error("too many subsections")

    def _configuration_subsection(self) -> None:
        cursor = self.cursor
        cursor.skip(1)
        name = cursor.counted()
        cursor.skip(4)
        if name == "configuration/target-page-bits":
            bits = cursor.u32()
            if not 10 <= bits <= 30:
                raise cursor.error(f"target pages of {bits} bits")
            self.page_size = 1 << bits
        elif name == "configuration/capabilities":
            count = cursor.u32()
            if count > _MOST_CAPABILITIES:
                raise cursor.error(f"{count} capabilities")
            self.capabilities = tuple(cursor.counted() for _ in range(count))
            if "mapped-ram" in self.capabilities:
                raise UnsupportedError("mapped-ram is on, which is for files")
        elif name == "configuration/uuid":
            cursor.skip(16)
        else:
            raise cursor.error(f"the unknown subsection {name!r}, whose end cannot be found")

    def _start(self) -> None:
        cursor = self.cursor
        header = read_header(cursor)
        section_id, idstr, instance_id = header.section_id, header.idstr, header.instance_id
        if len(self._starts) >= _MOST_STARTS:
            raise cursor.error(f"more than {_MOST_STARTS} iterated sections")
        with cursor.within(f"section {idstr!r} {instance_id}"):
            if idstr == "ram":
                self._ram_start(section_id)
            else:
                self._other_start(section_id, idstr)
            self._footer(section_id)

    def _other_start(self, section_id: int, idstr: str) -> None:
        walk, walk_start = iterable.walker(idstr), iterable.start_walker(idstr)
        if walk is None or walk_start is None or idstr.endswith("/vfio"):
            what = "a VFIO device's state" if idstr.endswith("/vfio") else f"{idstr!r}"
            raise UnsupportedError(f"the stream does not show where {what} ends")
        walk_start(self.cursor)
        self._starts[section_id] = _Start(idstr=idstr, walk=walk)

    def _ram_start(self, section_id: int) -> None:
        """Read the block list again and again until it is whole: it is looked at ahead."""
        cursor = self.cursor
        gpa = "x-ignore-shared" in self.capabilities
        self.ram = read_start(cursor, gpa=gpa)
        self.ram_id = section_id
        if self.ram.multifd_flush:
            raise UnsupportedError(MULTIFD)
        self.walker = RamWalker(self.page_size, blocks=self.ram.blocks)
        self._starts[section_id] = _Start(idstr="ram", walk=self.walker.section)

    def _part(self) -> None:
        cursor = self.cursor
        kind, section_id, start = read_part_header(cursor, self._starts)
        with cursor.within(f"section {start.idstr!r} {kind.name}"):
            start.walk(cursor)
            self._footer(section_id)
        self.rounds += 1

    def _footer(self, section_id: int) -> None:
        cursor = self.cursor
        if self.footers is None:
            self.footers = cursor.peek() == layout.SECTION_FOOTER
        if not self.footers:
            return
        if (found := cursor.u8()) != layout.SECTION_FOOTER:
            raise cursor.error(f"section footer expected, got byte {found:#x}")
        if (found := cursor.u32()) != section_id:
            raise cursor.error(f"section footer has id {found}, its section {section_id}")

    def _command(self) -> None:
        cursor = self.cursor
        with cursor.within("command"):
            cursor.skip(1)
            kind, length = cursor.u16(), cursor.u16()
            try:
                reason = _UNSUPPORTED.get(CommandKind(kind))
            except ValueError:
                raise UnsupportedError(f"the command {kind:#x} is not known") from None
            if reason is not None:
                raise UnsupportedError(reason)
            cursor.skip(length)

    def _early(self) -> None:
        """A device that is sent before RAM: it ends at its footer."""
        cursor = self.cursor
        header = read_header(cursor)
        section_id, idstr, instance_id = header.section_id, header.idstr, header.instance_id
        if self.footers is False:
            raise UnsupportedError(f"the stream does not show where {idstr!r} ends")
        wanted = re.compile(re.escape(footer(section_id)))
        with cursor.within(f"section {idstr!r} {instance_id}"):
            at = 0
            while True:
                match = wanted.search(cursor.data, cursor.pos + at, cursor.end)
                if match is None:
                    at = max(0, cursor.end - cursor.pos - 4)
                    cursor.more()
                elif match.end() + _AHEAD > cursor.end:
                    at = match.start() - cursor.pos
                    cursor.more()
                elif plausible_element(cursor.data, match.end(), cursor.end, self._starts):
                    cursor.pos = match.end()
                    self.footers = True
                    return
                else:
                    at = match.start() + 1 - cursor.pos
