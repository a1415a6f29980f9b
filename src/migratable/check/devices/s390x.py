"""s390x: handlers of the old style, whose loaders are no tables (TCG's side of them).

::

    s390-skeys:              (u64 address|2, u64 count, count keys)*, u64 1
    s390-storage_attributes: in each section (u64 address|2, u64 count, bytes | u64 8)*, u64 1
    todclock:                u8 1, u8 high, u64 low | u8 0

Under TCG setting keys fails beyond the end of memory alone, and attributes are dropped.
Source: hw/s390x/s390-skeys.c, s390-stattrib.c, tod.c; the same in 5.2, 7.2 and 10.0.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from migratable.check.devices import loads_old
from migratable.check.problem import Problem, UnexaminedError
from migratable.errors import StreamError
from migratable.profile.model import Profile
from migratable.stream.cursor import Cursor
from migratable.stream.model import Section

_EOS, _DATA, _ERROR, _DONE = 1, 2, 4, 8
_PAGE = 4096


@loads_old("s390-skeys", "s390-storage_attributes", "todclock")
def load(start: Section, parts: Iterable[Section], profile: Profile) -> Iterator[Problem]:
    """See that the destination takes all that the sections have; it says nothing of what not."""
    memory = sum(used for used, _ in profile.ram_blocks.values())
    for section in (start, *parts):
        examine(start.idstr, bytes(section.body), memory, footer=section.footer)
    yield from ()


def examine(idstr: str, body: bytes, memory: int, *, footer: bool) -> None:
    """See that the loader of *idstr* reads all of *body* and takes it.

    :param memory: bytes of the destination's memory.
    :param footer: the section has a footer, so that *body* is all of it and no more.
    :raise UnexaminedError: where it refuses, or reads another number of bytes.
    """
    cursor = Cursor(body)
    try:
        if idstr == "todclock":
            _clock(cursor)
        else:
            _pages(cursor, memory, attributes=idstr == "s390-storage_attributes")
    except StreamError:
        raise UnexaminedError("its contents are cut short") from None
    if footer and cursor.peek() is not None:
        raise UnexaminedError("further data after its contents")


def _clock(cursor: Cursor) -> None:
    if cursor.u8():  # S390_TOD_CLOCK_VALUE_PRESENT
        cursor.skip(1 + 8)


def _pages(cursor: Cursor, memory: int, *, attributes: bool) -> None:
    while True:
        address = cursor.u64()
        flag = address % _PAGE
        if flag == _EOS:
            return
        if flag == _DONE and attributes:
            continue
        if flag != _DATA:
            raise UnexaminedError(f"storage keys or attributes with the mark {flag:#x}")
        count = cursor.u64()
        if address // _PAGE + count > memory // _PAGE and not attributes:
            raise UnexaminedError("storage keys for more memory than the destination has")
        cursor.skip(count)
