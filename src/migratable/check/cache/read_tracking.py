"""Tracks what one section's loading reads: which bytes decide, and what passes between sections.

The loader is given a :class:`TrackedFile` and a :class:`TrackedMemory`. How it reads says what the
bytes are for (:class:`migratable.check.qemu_file.Reader`): bytes that it looks at decide, bytes
that it only stores do not until a rule, a hook, a count or a test asks for the value.
"""

from __future__ import annotations

import dataclasses
import zlib
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from migratable.check.qemu_file import QemuFile
from migratable.check.state import Memory
from migratable.stream.cursor import Buffer
from migratable.stream.model import Section

Address: TypeAlias = tuple[int, int]
"""A word of the destination's memory: where, and how many bytes it has."""
Place: TypeAlias = tuple[int, int]
"""Bytes of a section's body: first, and the first behind."""
Part: TypeAlias = tuple[int, int, int]
"""Bytes that decided, and how: exactly, under a mask of bits, or by one of the questions below."""

EXACTLY = 0
NONZERO = -1
SUBSECTION = -2
"""Whether a subsection begins there: the byte 5. Asked behind every body, and mostly answered by
the first byte of whatever comes next."""
_ALLOCATED = 1 << 60


class _Shown(Section):
    """A section that tells when its body is looked into."""

    __slots__ = ("_real", "_tell")
    _real: Section
    _tell: Callable[[Section], None]

    @property
    def body(self) -> Buffer:
        """The bytes, noted as looked at."""
        self._tell(self._real)
        return self._real.body


_MEMBERS = tuple(field.name for field in dataclasses.fields(Section) if field.name != "body")


def shown(section: Section, tell: Callable[[Section], None]) -> Section:
    """A section with which *tell* is called when its body is looked into."""
    made = object.__new__(_Shown)
    for member in _MEMBERS:
        object.__setattr__(made, member, getattr(section, member))
    object.__setattr__(made, "_real", section)
    object.__setattr__(made, "_tell", tell)
    return made


class StaleError(Exception):
    """A rule at the stream's end asks for bytes that the section was not found by."""


class TrackedFile:
    """Notes which bytes are looked at (a :class:`migratable.check.qemu_file.Reader`).

    :ivar last: place of what was read last.
    :ivar known: places whose bytes are the same in every stream with this section's entry; None
        as long as the section is being loaded.
    """

    __slots__ = ("_asked", "_file", "_seen", "known", "last", "pos", "size")

    def __init__(
        self, body: Buffer, footer: bytes = b"", following: Callable[[], bytes] | None = None
    ) -> None:
        """Start at the body's first byte, with nothing seen."""
        self._file = QemuFile(body, footer, following)
        self.size = self._file.size
        self.pos = 0
        self.known: list[list[int]] | None = None
        self._seen: list[Place] = []
        self._asked: list[Part] = []
        self.last: Place = (0, 0)

    @property
    def went_beyond(self) -> bool:
        """Whether contents from behind the body were read, which are not in its key."""
        return self.pos > self.size or self._file.reads_on

    def see(self, place: Place) -> None:
        """Note that these bytes decide.

        :raise StaleError: of a section whose deciding bytes have been fixed without these.
        """
        if self.known is None:
            self._seen.append(place)
        elif place[1] > place[0] and not any(
            first <= place[0] and place[1] <= end for first, end in self.known
        ):
            raise StaleError

    def parts(self) -> tuple[Part, ...]:
        """The bytes that decided, those that did exactly in order and without overlaps."""
        out: list[Part] = []
        for first, end in sorted((first, min(end, self.size)) for first, end in self._seen):
            if end <= first:
                continue
            if out and first <= out[-1][1]:
                out[-1] = (out[-1][0], max(out[-1][1], end), EXACTLY)
            else:
                out.append((first, end, EXACTLY))
        return (*out, *sorted({part for part in self._asked if part[1] <= self.size}))

    def get_stored(self, count: int) -> memoryview:
        """Read bytes that do not decide by themselves."""
        view = self._file.get_stored(count)
        self.last = (self.pos, self._file.pos)
        self.pos = self._file.pos
        return view

    def get_buffer(self, count: int) -> memoryview:
        """Read bytes, which decide."""
        view = self.get_stored(count)
        self._seen.append(self.last)
        return view

    def get_be(self, width: int) -> int:
        """Read a number, which decides."""
        return int.from_bytes(self.get_buffer(width), "big")

    def get_nonzero(self, count: int) -> bool:
        """Read bytes of which only that decides whether one is not 0."""
        data = self.get_stored(count)
        self._asked.append((*self.last, NONZERO))
        return any(data)

    def skip(self, count: int) -> None:
        """Read bytes that decide nothing."""
        self._file.skip(count)
        self.pos = self._file.pos

    def peek_buffer(self, count: int, offset: int = 0) -> memoryview:
        """Look at bytes, which decide."""
        view = self._file.peek_buffer(count, offset)
        first = self.pos + offset
        self._seen.append((first, first + len(view)))
        return view

    def subsection_follows(self) -> bool:
        """Whether the next byte says that a subsection follows; only that decides."""
        self._asked.append((self.pos, self.pos + 1, SUBSECTION))
        return self._file.subsection_follows()

    def compared_under(self, mask: Callable[[], int]) -> None:
        """What was read last decided only under a mask."""
        if self._seen and self._seen[-1] == self.last:
            self._seen.pop()
            bits = mask()
            if bits:
                self._asked.append((*self.last, bits))

    def new_values(self) -> dict[str, Any]:
        """Values that decide when they are asked for."""
        return TrackedValues(self)


class TrackedValues(dict[str, Any]):
    """Values of a body's fields; one that is asked for decides."""

    __slots__ = ("_file", "_places")

    def __init__(self, file: TrackedFile) -> None:
        super().__init__()
        self._file = file
        self._places: dict[str, Place] = {}

    def __setitem__(self, name: str, value: Any) -> None:
        super().__setitem__(name, value)
        self._places[name] = self._file.last

    def _see(self, name: str) -> None:
        place = self._places.get(name)
        if place is not None:
            self._file.see(place)

    def __getitem__(self, name: str) -> Any:
        self._see(name)
        return super().__getitem__(name)

    def get(self, name: str, default: Any = None) -> Any:
        """A value, which decides."""
        self._see(name)
        return super().get(name, default)

    def values(self) -> Any:
        """All values; all decide."""
        for name in self._places:
            self._see(name)
        return super().values()

    def items(self) -> Any:
        """All names and values; all decide."""
        for name in self._places:
            self._see(name)
        return super().items()


class TrackedMemory(Memory):
    """The destination's words as one section finds and leaves them.

    :ivar needs: words that it asked for, as other sections left them.
    :ivar leaves: words that it sets: a value, or the bytes of its body that are the value.
    """

    __slots__ = ("_outer", "_own", "file", "leaves", "needs")

    def __init__(
        self, words: Mapping[Address, int], outer: Callable[[Address], int | None]
    ) -> None:
        super().__init__(words)
        self._outer = outer
        self._own: dict[Address, int] = {}
        self.leaves: dict[Address, int | Place] = {}
        self.needs: dict[Address, int | None] = {}
        self.file: TrackedFile | None = None

    def begin(self, section: Section) -> None:
        """Begin a section; what it allocates depends on nothing but its name."""
        name = f"{section.idstr} {section.instance_id}".encode("utf-8", "surrogateescape")
        self._next = _ALLOCATED + (zlib.crc32(name) << 64)
        self._own = {}
        self.leaves = {}
        self.needs = {}
        self.file = None

    def get(self, address: int, width: int) -> int | None:
        """A word: bytes of this section, which so decide, or what another left."""
        key = (address, width)
        left = self.leaves.get(key)
        if left is not None:
            if not isinstance(left, int) and self.file is not None:
                self.file.see(left)
            return self._own[key]
        if key not in self.needs:
            self.needs[key] = self._outer(key)
        return self.needs[key]

    def set(self, address: int, width: int, value: int) -> None:
        """Note a value that this section leaves there."""
        key = (address, width)
        self._own[key] = self.leaves[key] = value & ((1 << 8 * width) - 1)

    def load(self, address: int, width: int, value: int) -> None:
        """Note that this section leaves there what it read last."""
        self.set(address, width, value)
        if self.file is not None:
            self.leaves[address, width] = self.file.last
