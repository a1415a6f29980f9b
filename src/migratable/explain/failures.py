"""Putting the lines of a log together into failed migrations.

QEMU prints the cause first and ``load of migration failed`` last (from 10.2 on all of it in that
line); libvirt and the managers repeat it, wrapped, or only say that something failed. One log may
hold many failures, and the same one many times. Memory is bounded: failures with the same cause
are counted, not kept.
"""

from __future__ import annotations

import gzip
import re
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import BinaryIO

from migratable.explain.joining import joined
from migratable.explain.logs import PROGRAM, Piece, clean, pieces, without_prefix
from migratable.messages.anchors import FULLY_SEARCHED, prefilter
from migratable.messages.catalogue import Role
from migratable.messages.recognise import Match, recognise

CHUNK = 4 << 20
OVERLAP = 64 << 10
LOOK_BACK = 12
NEAR = 400
SMALL = 512 << 10
STRICT = 64 << 10
MAX_LINES = 60
MAX_FAILURES = 2000

_QEMU_VERSION = re.compile(
    r"qemu version: ?(\d+\.\d+(?:\.\d+)?)|QEMU emulator version (\d+\.\d+\S*)"
)
_MACHINE = re.compile(rb"(?:-machine|-M)[ =,'\"]+(?:type=)?([A-Za-z][\w.+-]*)")
_ERROR_WORDS = re.compile(
    r"\b(?:error|fail|failed|failure|unable|cannot|can't|couldn't|invalid|unsupported|refus\w*|"
    r"mismatch|missing|unknown|abort\w*|assert\w*|not supported|incompatible)\b",
    re.IGNORECASE,
)
# What QEMU also prints and what has nothing to do with a failure.
_HARMLESS = re.compile(
    r"terminating on signal|is deprecated|warning: |char device redirected|"
    r"TCG doesn't support requested feature|info: |-name guest=|QEMU waiting for connection|"
    r"qxl_send_events|spice-server|VNC server running"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A line of the log that belongs to a failure.

    :ivar number: line in the input, counted from 1.
    :ivar text: what its program wrote, without JSON or escapes around it.
    """

    number: int
    text: str
    time: str = ""
    qemu: bool = False
    matches: tuple[Match, ...] = ()


@dataclass(slots=True, kw_only=True)
class Failure:
    """The lines of one failed migration (or of several with the same cause)."""

    stream: str
    lines: list[Line] = field(default_factory=list)
    unrecognised: list[Line] = field(default_factory=list)
    closed: bool = False
    count: int = 1
    first: int = 0
    last: int = 0
    qemu_version: str = ""
    machine: str = ""

    def has(self, *roles: Role) -> bool:
        """Is there a message of one of these roles?"""
        return any(match.message.role in roles for line in self.lines for match in line.matches)

    @property
    def matches(self) -> list[tuple[Line, Match]]:
        """All messages with their lines, in order."""
        return [(line, match) for line in self.lines for match in line.matches]


# Texts that other programs print as well; in a long log they count only beside QEMU or migration.
_GENERIC_GROUPS = frozenset(
    {
        "start", "protocol", "source", "libvirt", "managers", "channels", "blockers", "internals",
        "around", "refusals",
    }
)  # fmt: skip
_ABOUT_VMS = re.compile(r"qemu|kvm|libvirt|migrat|virt-|\bVM\b|\bdomain\b|guest", re.IGNORECASE)


@dataclass(slots=True)
class Grouper:
    """Consumes recognised lines and yields failures when they are complete.

    :ivar strict: in long logs, generic texts need a word about virtual machines beside them.
    """

    strict: bool = False

    open: dict[str, Failure] = field(default_factory=dict)
    recent: Failure | None = None
    version: str = ""
    machine: str = ""

    def add(self, number: int, piece: Piece, before: list[Line]) -> Iterator[Failure]:
        """Take one line; *before* are the lines in front of it that nothing recognised."""
        version = _QEMU_VERSION.search(piece.text)
        if version:
            self.version = version[1] or version[2]
        matches = recognise(piece.text)
        roles = {match.message.role for match in matches}
        if roles <= {Role.CONTEXT}:
            return
        if all(match.message.rank <= -2 for match in matches) and not piece.qemu:
            return
        line = Line(
            number=number,
            text=piece.text,
            time=piece.time,
            qemu=piece.qemu,
            matches=tuple(match for match in matches if match.message.role != Role.CONTEXT),
        )
        yield from self._expire(number)
        if (
            self.strict
            and not piece.qemu
            and all(match.message.group in _GENERIC_GROUPS for match in matches)
            and not _ABOUT_VMS.search(piece.text)
        ):
            return
        failure = self._failure_for(piece.stream, line, roles)
        if failure is None:
            failure = Failure(
                stream=piece.stream, first=number, qemu_version=self.version, machine=self.machine
            )
            for old in list(self.open.values()):
                if old.stream == piece.stream:
                    yield self._finish(old)
            self.open[piece.stream] = failure
        for earlier in before:
            if earlier.matches and earlier.qemu:
                failure.lines.append(earlier)
            elif earlier.qemu and not _HARMLESS.search(earlier.text):
                failure.unrecognised.append(earlier)
        if len(failure.lines) < MAX_LINES:
            failure.lines.append(line)
        failure.last = number
        # A chain (10.2 on) that ends in a colon was broken there; the rest of it follows.
        goes_on = piece.text.endswith(":")
        failure.closed = failure.closed or (Role.CLOSING in roles and not goes_on)
        self.recent = failure

    def _failure_for(self, stream: str, line: Line, roles: set[Role]) -> Failure | None:
        failure = self.open.get(stream)
        news = roles & {Role.CAUSE, Role.WHERE, Role.WARNING}
        if roles <= {Role.SYMPTOM, Role.CONTEXT} and not news:
            return failure or self.recent_open(line.number)
        if failure is None:
            candidate = self.recent_open(line.number)
            if candidate and (_repeats(candidate, line) or not candidate.has(*_TELLING)):
                return candidate
            return None
        if not failure.closed or _repeats(failure, line):
            return failure
        return None

    def recent_open(self, number: int) -> Failure | None:
        """The failure that was written to last, when it is near and not finished."""
        recent = self.recent
        if recent is not None and number - recent.last <= NEAR and recent in self.open.values():
            return recent
        return None

    def _expire(self, number: int) -> Iterator[Failure]:
        for old in list(self.open.values()):
            if number - old.last > NEAR:
                yield self._finish(old)

    def _finish(self, failure: Failure) -> Failure:
        del self.open[failure.stream]
        return failure

    def finish(self) -> Iterator[Failure]:
        """At the end of the input: what is still open."""
        for failure in list(self.open.values()):
            yield self._finish(failure)


_TELLING = (Role.CAUSE, Role.WHERE, Role.WARNING, Role.CLOSING)


def _repeats(failure: Failure, line: Line) -> bool:
    """Does the line only say again what the failure already holds?"""
    known = {(match.message.id, tuple(match.params.items())) for _, match in failure.matches}
    news = [match for match in line.matches if match.message.role in _TELLING]
    return all((match.message.id, tuple(match.params.items())) in known for match in news)


@dataclass(slots=True)
class Scan:
    """What a pass over an input found.

    :ivar suspicious: lines of a small input that look like errors and that nothing recognised.
    """

    failures: list[Failure] = field(default_factory=list)
    suspicious: list[Line] = field(default_factory=list)
    lines: int = 0
    bytes: int = 0


def opened(stream: BinaryIO) -> BinaryIO:
    """*stream*, unpacked when it is gzip (the first two bytes tell)."""
    peek = getattr(stream, "peek", None)
    head = peek(2)[:2] if peek else b""
    if head == b"\x1f\x8b":
        return gzip.GzipFile(fileobj=stream)  # type: ignore[return-value]
    return stream


def scan(stream: BinaryIO) -> Scan:
    """Read a log to its end and find the failed migrations in it.

    Memory does not grow with the input.

    :raise OSError: reading or unpacking failed.
    """
    result = Scan()
    grouper = Grouper()
    seen: dict[tuple[object, ...], Failure] = {}
    source = opened(stream)
    tail, tail_number, kept = b"", 1, b""
    finished = False
    small: list[bytes] | None = []
    while not finished:
        data = source.read(CHUNK)
        result.bytes += len(data)
        finished = not data
        buffer = tail + data
        if not finished:
            cut = buffer.rfind(b"\n") + 1
            if cut == 0 and len(buffer) < 2 * CHUNK:
                tail = buffer
                continue
            cut = cut or len(buffer)
            buffer, tail = buffer[:cut], buffer[cut:]
        if small is not None:
            small.append(buffer)
            if result.bytes > SMALL:
                small = None
        grouper.strict = result.bytes > STRICT
        for failure in _search(kept, buffer, tail_number, grouper, result.bytes):
            _keep(failure, seen, result)
        tail_number += buffer.count(b"\n")
        kept = buffer[-OVERLAP:]
    result.lines = tail_number - 1 + (1 if tail else 0)
    for failure in grouper.finish():
        _keep(failure, seen, result)
    if small is not None:
        result.suspicious = _attached(_suspicious(b"".join(small), result), result.failures)
    return result


def _attached(suspicious: list[Line], failures: list[Failure]) -> list[Line]:
    """Give QEMU's lines right behind a failure without cause to it; the others are returned."""
    left = []
    for line in suspicious:
        for failure in failures:
            open_end = not failure.has(Role.CAUSE, Role.SYMPTOM, Role.CLOSING)
            if line.qemu and open_end and 0 < line.number - failure.last <= 2:
                failure.unrecognised.append(line)
                failure.last = line.number
                break
        else:
            left.append(line)
    return left


def _search(
    kept: bytes, buffer: bytes, first_number: int, grouper: Grouper, done: int
) -> Iterator[Failure]:
    number, counted, last_taken = first_number, 0, -1
    spans = prefilter().spans(buffer, fully=done <= FULLY_SEARCHED)
    if not spans:
        return
    whole = kept + buffer
    shift = len(kept)
    for start, end in spans:
        if start <= last_taken:
            continue
        number += buffer.count(b"\n", counted, start)
        counted = start
        machine = whole.rfind(b"-machine ", max(0, shift + start - OVERLAP), shift + start)
        if machine >= 0:
            named = _MACHINE.match(whole, machine)
            grouper.machine = named[1].decode() if named else grouper.machine
        found = joined(buffer, start, end)
        if not any(recognise(piece.text) for piece in found):
            # Not told apart by the anchor alone: it may be the cause that stands before a hit.
            continue
        before = _before(whole, shift + start, number, max(last_taken, -1) + shift)
        for piece in found:
            yield from grouper.add(number, piece, before)
            before = []
        last_taken = end


def _before(whole: bytes, position: int, number: int, not_before: int) -> list[Line]:
    """The lines in front of a hit that were no hits themselves, oldest first."""
    lines: deque[Line] = deque()
    end = position - 1
    for back in range(1, LOOK_BACK + 1):
        if end <= not_before or end <= 0:
            break
        start = whole.rfind(b"\n", 0, end) + 1
        raw = whole[start:end]
        # A line that a mail has broken holds no anchor perhaps; joined it may be known.
        broken = PROGRAM.search(clean(raw)) is not None
        for piece in reversed(joined(whole, start, end) if broken else list(pieces(raw))):
            matches = tuple(recognise(piece.text)) if piece.qemu else ()
            lines.appendleft(
                Line(
                    number=number - back,
                    text=piece.text,
                    time=piece.time,
                    qemu=piece.qemu,
                    matches=matches,
                )
            )
        end = start - 1
    return list(lines)


def _keep(failure: Failure, seen: dict[tuple[object, ...], Failure], result: Scan) -> None:
    """Add a failure, or count it when its like is known."""
    if all(
        match.message.role is Role.WARNING and match.message.group == "start"
        for _, match in failure.matches
    ):
        # A start-up's remarks alone are no failed migration.
        return
    signature: tuple[tuple[object, ...], tuple[str, ...]] = (
        tuple(
            dict.fromkeys(
                (match.message.id, tuple(match.params.items()))
                for _, match in failure.matches
                if match.message.role in _TELLING
            )
        ),
        tuple(dict.fromkeys(without_prefix(line.text) for line in failure.unrecognised[-3:]))
        if not failure.has(Role.CAUSE)
        else (),
    )
    if not signature[0]:
        signature = (
            ("symptom", *sorted({match.message.id for _, match in failure.matches})),
            signature[1],
        )
        if not failure.matches:
            return
    known = seen.get(signature)
    if known is not None:
        times = {line.time for line in known.lines if line.time}
        if not times & {line.time for line in failure.lines if line.time}:
            known.count += failure.count
        known.last = failure.last
        return
    if len(seen) >= MAX_FAILURES:
        return
    seen[signature] = failure
    result.failures.append(failure)


def _suspicious(data: bytes, result: Scan) -> list[Line]:
    """Lines of a small input that look like errors and belong to no failure."""
    taken = {line.number for failure in result.failures for line in failure.lines}
    taken |= {line.number for failure in result.failures for line in failure.unrecognised}
    found: list[Line] = []
    for number, raw in enumerate(data.split(b"\n"), 1):
        if number in taken or len(found) >= 50:
            continue
        for piece in pieces(raw):
            if _HARMLESS.search(piece.text) or recognise(piece.text):
                continue
            words = without_prefix(piece.text)
            if (piece.qemu and len(words) > 3) or _ERROR_WORDS.search(words):
                found.append(Line(number=number, text=piece.text, time=piece.time, qemu=piece.qemu))
                break
    return found
