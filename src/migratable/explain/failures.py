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

from migratable.explain.backtrace import attached as backtraces_attached
from migratable.explain.ends import ENDED
from migratable.explain.grouping import HARMLESS, STRICT, TELLING, Failure, Grouper, Line
from migratable.explain.joining import joined
from migratable.explain.logs import PROGRAM, clean, pieces, without_prefix
from migratable.explain.unfolding import unfolded
from migratable.explain.unrecognised import (
    SEARCHED,
    SMALL,
    attached,
    of_snippet,
    suspicious,
    told_by_quotation,
)
from migratable.messages import libvirt_errors, qemu_errors
from migratable.messages.anchors import FULLY_SEARCHED, prefilter
from migratable.messages.catalogue import Role
from migratable.messages.recognise import recognise

CHUNK = 4 << 20
OVERLAP = 64 << 10
LOOK_BACK = 12
MAX_FAILURES = 2000
COMMAND = 16 << 10
# Bytes before a failure that say what was being done; a log as small as WHOLE is read as one.
AROUND = 1500
WHOLE = 16 << 10
_PROGRAMS = (b"qemu-system-", b"qemu-kvm", b"/kvm ", b"/qemu ")

_MACHINE = re.compile(rb"(?:-machine|-M)[ =,'\"]+(?:type=)?([A-Za-z][\w.+-]*)")
_GUEST = re.compile(rb"-name '?(?:guest=)?([\w.-]+)")
# A program that starts, or an attempt that begins: what stands before it has ended.
_NEW_START = re.compile(
    rb"(?m): starting up libvirt version|: initiating migration|\bstarting migration of VM \d"
    rb"|^[ \t]*(?:[^\s$#]{0,60}[$#] )?(?:sudo )?[^\s'\"]{0,200}"
    rb"(?:qemu-system-[a-z0-9_]+|qemu-kvm) +-\w"
)
_GAP = 256 << 10
_OF_LIBVIRT = re.compile(
    rb"(?m)^.*(?:\berror: |\berror : \w+:\d+ : |libvirtError: |LibvirtException: |"
    rb"Call to vir\w+ failed: |[Ee]rror (?:starting|creating libvirt|defining libvirt) domain: |"
    rb"\bERROR {2,6}\w|Unable to complete install|\binternal error |operation failed: |"
    rb"invalid argument: |by the connection driver: |device not found: |resource busy: ).*$"
)
_OF_QEMU = re.compile(
    rb"(?m)^.*(?:qemu-system-[a-z0-9_]+|qemu-kvm|\bkvm|\bQEMU)(?:\[\d+\])?: .*$|"
    rb"^.*(?:QEMU command '|[Qq][Mm][Pp] command '|closed the monitor|connecting to monitor: |"
    rb"[\"']desc[\"']: ).*$"
)
# So many lines of libvirt's are looked at with their neighbours, which may be the rest of them.
JOINED = 200


@dataclass(slots=True)
class Scan:
    """What a pass over an input found.

    :ivar suspicious: lines that look like errors, that nothing recognised, and that belong to no
        failure; of the first :data:`~migratable.explain.unrecognised.SMALL` bytes all, up to
        :data:`~migratable.explain.unrecognised.SEARCHED` those of QEMU.
    :ivar text: an input of less than :data:`WHOLE` bytes, by which its program is told.
    :ivar weak: lines of a small input without an error's word, where nothing else is found in it.
    """

    failures: list[Failure] = field(default_factory=list)
    suspicious: list[Line] = field(default_factory=list)
    weak: list[Line] = field(default_factory=list)
    text: str = ""
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
    begin: list[bytes] | None = []
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
        if result.bytes <= SMALL:
            buffer = unfolded(buffer)
        if begin is not None:
            begin.append(buffer)
            if result.bytes > SEARCHED:
                begin = None
        grouper.strict = result.bytes > STRICT
        for failure in _search(kept, buffer, tail_number, grouper, result.bytes):
            _keep(failure, seen, result)
        tail_number += buffer.count(b"\n")
        kept = buffer[-OVERLAP:]
    result.lines = tail_number - 1 + (1 if tail else 0)
    for failure in grouper.finish():
        _keep(failure, seen, result)
    if begin is not None:
        data = b"".join(begin)
        if len(data) <= SMALL:
            backtraces_attached(data, result.failures)
        found = told_by_quotation(suspicious(data, result.failures), result.failures)
        result.suspicious = attached(found, result.failures)
        if not result.failures and not result.suspicious:
            result.weak = of_snippet(data)
        if len(data) <= WHOLE:
            result.text = clean(data)
            result.failures = _without_ends(result.failures)
            if len(result.failures) == 1:
                result.failures[0].around = data
    return result


def _without_ends(failures: list[Failure]) -> list[Failure]:
    """*failures* of a small log without those that are nothing but a guest's end.

    virsh's error stands before the guest's log, which only says that it was shut down.
    """
    told = [
        one
        for one in failures
        if any(m.message.role is Role.CAUSE and m.message.id not in _ENDS for _, m in one.matches)
    ]
    if any(one.closed for one in told):
        failures = [one for one in failures if one in told or not _quotes_a_load(one)]
    crashed = any(match.message.id in _CRASHES for one in told for _, match in one.matches)
    ends = _ENDS | _MONITOR if crashed else _ENDS
    return [
        one
        for one in failures
        if not told
        or one.unrecognised
        or any(match.message.id not in ends for _, match in one.matches)
    ]


def _quotes_a_load(failure: Failure) -> bool:
    """Is it a manager's quotation of a load that failed, whose own log stands below?"""
    return (
        not failure.unrecognised
        and not failure.has(Role.CAUSE, Role.WHERE, Role.WARNING)
        and all(
            match.message.id == "load-failed" and not match.params.get("more")
            for _, match in failure.matches
            if match.message.role is Role.CLOSING
        )
        and any(match.message.role is Role.CLOSING for _, match in failure.matches)
        and not any(line.stream or line.text.startswith(("qemu", "kvm")) for line in failure.lines)
    )


# What libvirt writes into a guest's log when a start is given up.
_ENDS = frozenset({"libvirt-shutdown-failed", "more-handshake", "crash-abort", "crash-abort-bare"})
# What libvirt says of a QEMU that is gone; beside its crash that follows.
_MONITOR = frozenset(
    {
        "libvirt-monitor-closed",
        "libvirt-monitor-closed-8",
        "libvirt-monitor-eof",
        "libvirt-monitor-read",
    }
)
# QEMU ended itself.
_CRASHES = frozenset({"qemu-assertion", "option-assertion", "backtrace-died", *ENDED})


def _search(
    kept: bytes, buffer: bytes, first_number: int, grouper: Grouper, done: int
) -> Iterator[Failure]:
    number, counted, last_taken, looked = first_number, 0, -1, 0
    spans = prefilter().spans(buffer, fully=done <= FULLY_SEARCHED)
    if done <= SMALL:
        spans = sorted({*spans, *_of_libvirt(buffer), *_of_qemu(buffer)})
    if not spans:
        return
    whole = kept + buffer
    shift = len(kept)
    for start, end in spans:
        if start <= last_taken:
            continue
        number += buffer.count(b"\n", counted, start)
        counted = start
        if _NEW_START.search(buffer, max(looked, start - _GAP), min(end, start + OVERLAP)):
            yield from grouper.new_start()
        looked = end
        _command(whole, shift + start, grouper)
        found = joined(buffer, start, end)
        if not any(recognise(piece.text) for piece in found):
            # Not told apart by the anchor alone: it may be the cause that stands before a hit.
            continue
        before = _before(whole, shift + start, number, max(last_taken, -1) + shift)
        grouper.around = whole[max(0, shift + start - AROUND) : shift + start]
        for piece in found:
            yield from grouper.add(number, piece, before)
            before = []
        last_taken = end


def _command(whole: bytes, position: int, grouper: Grouper) -> None:
    """Machine type, guest and command line that stand last before *position*."""
    first = max(0, position - OVERLAP)
    machine = max(whole.rfind(option, first, position) for option in (b"-machine ", b" -M "))
    if machine < 0:
        return
    named = _MACHINE.match(whole, machine) or _MACHINE.match(whole, machine + 1)
    if named is None or named[1] == b"help":
        return
    grouper.machine = named[1].decode()
    guest = _GUEST.search(whole, max(0, machine - 500), machine)
    grouper.guest = guest[1].decode("utf-8", "replace") if guest else ""
    begin = max(whole.rfind(name, max(0, machine - 4096), machine) for name in _PROGRAMS)
    if begin >= 0:
        grouper.command = whole[begin : min(position, begin + COMMAND)].decode("utf-8", "replace")


def _of_libvirt(buffer: bytes) -> list[tuple[int, int]]:
    """Lines of a small input that may hold an error of libvirt's without an entry of its own.

    In a large one they count only where they stand beside what is searched for in every input:
    libvirtd's log is full of errors that belong to no operation on a guest.
    """
    lines = [hit.span() for hit in _OF_LIBVIRT.finditer(buffer)]
    if len(lines) <= JOINED:
        return lines
    return [
        span
        for span in lines
        if any(libvirt_errors.find(piece.text) for piece in pieces(buffer[slice(*span)]))
    ]


def _of_qemu(buffer: bytes) -> list[tuple[int, int]]:
    """Lines of a small input that hold an error of QEMU's without an entry of its own."""
    return [
        hit.span()
        for hit in _OF_QEMU.finditer(buffer)
        if not HARMLESS.search(clean(hit[0]))
        and any(qemu_errors.find(piece.text) for piece in pieces(hit[0]))
    ]


def _before(whole: bytes, position: int, number: int, not_before: int) -> list[Line]:
    """The lines in front of a hit that were no hits themselves, oldest first."""
    lines: deque[Line] = deque()
    end = position - 1
    for back in range(1, LOOK_BACK + 1):
        if end <= not_before or end <= 0:
            break
        start = whole.rfind(b"\n", 0, end) + 1
        raw = whole[start:end]
        if _NEW_START.search(raw):
            break
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
    if (
        all(
            match.message.role is Role.WARNING
            and match.message.group in ("start", qemu_errors.GROUP)
            for _, match in failure.matches
        )
        and not failure.unrecognised
    ):
        # A start-up's remarks alone are no failed migration.
        return
    signature: tuple[tuple[object, ...], tuple[str, ...]] = (
        tuple(
            dict.fromkeys(
                (match.message.id, tuple(match.params.items()))
                for _, match in failure.matches
                if match.message.role in TELLING
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
