"""The lines of one failed migration: where it begins, and where it ends.

A failure ends at its closing line, at a new start of QEMU, at a gap in time, and where libvirt or a
manager refused before QEMU was started and QEMU's own lines follow.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from migratable.explain.ends import ends
from migratable.explain.logs import Piece, seconds
from migratable.messages.catalogue import Fault, Role
from migratable.messages.recognise import Match, recognise

NEAR = 400
# In inputs of more bytes a general text needs a word about virtual machines beside it.
STRICT = 64 << 10
MAX_LINES = 60
# Lines behind the closing one in which a program's crash is still the same failure's.
CLOSE = 10
# Lines of one failure that are further apart belong to two: QEMU prints the cause, its place and
# the closing line at once, managers give up within this time.
GAP_SECONDS = 300.0

_QEMU_VERSION = re.compile(
    r"qemu version: ?(\d+\.\d+(?:\.\d+)?)|QEMU emulator version (\d+\.\d+\S*)|"
    r"\bQEMU (\d+\.\d+\.\d+) monitor - type"
)
# What QEMU also prints and what has nothing to do with a failure.
HARMLESS = re.compile(
    r"terminating on signal|is deprecated|warning: |char device redirected|"
    r"TCG doesn't support requested feature|(?:^|[:\]>] ?)info: |-name guest=|"
    r"QEMU waiting for connection|"
    r"qxl_send_events|spice-server|VNC server running|falling back to|"
    r"ignored (?:rd|wr)msr|unhandled (?:rd|wr)msr|monitor - type 'help'|"
    # Perl's warnings name their place as its errors do
    r"Use of uninitialized value|isn't numeric in |masks earlier declaration|"
    r"kvm: already loaded the other module|"
    r"stopping swtpm instance|Unable to remove /sys/fs/cgroup/|"
    # nova, Proxmox, KubeVirt and libvirtd, whatever becomes of the migration
    r"Received unexpected event|can be safely ignored|conntrack state migration not supported|"
    r"failed to get domain (?:job info|metadata)|"
    # LXD and Incus, at each start of an instance that may be moved
    r"Unable to use virtio-fs for (?:device|config drive), using 9p as a fallback|"
    r" warning : \w+:\d+ : |error : qemuDomainAgentAvailable:|QEMU guest agent is not connected"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A line of the log that belongs to a failure.

    :ivar number: line in the input, counted from 1.
    :ivar text: what its program wrote, without JSON or escapes around it.
    :ivar stream: what tells one process's lines from another's in a mixed log.
    :ivar log: name of the log, "" when there is only one.
    """

    number: int
    text: str
    time: str = ""
    qemu: bool = False
    stream: str = ""
    log: str = ""
    matches: tuple[Match, ...] = ()


@dataclass(slots=True, kw_only=True)
class Failure:
    """The lines of one failed migration (or of several with the same cause).

    :ivar command: QEMU's command line before it, as it stands in the log; "" when there is none.
    :ivar around: the lines around it that say what was being done.
    :ivar programs: log, QEMU's version and machine type of each log, when there are several.
    :ivar sides: the side of each of several logs, as far as they tell.
    """

    stream: str
    lines: list[Line] = field(default_factory=list)
    unrecognised: list[Line] = field(default_factory=list)
    closed: bool = False
    count: int = 1
    first: int = 0
    last: int = 0
    qemu_version: str = ""
    machine: str = ""
    guest: str = ""
    command: str = ""
    around: bytes = b""
    programs: list[tuple[str, str, str]] = field(default_factory=list)
    sides: dict[str, Fault] = field(default_factory=dict)

    def has(self, *roles: Role) -> bool:
        """Is there a message of one of these roles?"""
        return any(match.message.role in roles for line in self.lines for match in line.matches)

    @property
    def text_around(self) -> str:
        """The text of the lines around it."""
        return self.around.decode("utf-8", "replace")

    @property
    def of_several_logs(self) -> bool:
        """Do the lines stand in more than one log?"""
        return len({line.log for line in self.lines}) > 1

    @property
    def matches(self) -> list[tuple[Line, Match]]:
        """All messages with their lines, in order."""
        return [(line, match) for line in self.lines for match in line.matches]


# Texts that other programs print as well; in a long log they count only beside QEMU or migration.
_GENERIC_GROUPS = frozenset(
    {
        "start", "protocol", "source", "libvirt", "managers", "channels", "blockers", "internals",
        "start_more", "qmp", "guest_agent", "libvirt_guests",
        "around", "refusals", "admission", "libvirt_errors", "libvirt_definitions",
        "libvirt_hosts", "libvirt_operations", "manager_setup", "proxmox_storage", "kubevirt",
        "openstack_api", "ovirt", "other_managers", "incus", "local_vms", "manager_words",
        "xapi", "openstack_states", "proxmox_moves", "ovirt_moves", "ovirt_engine", "vdsm_codes",
        "openstack", "openstack_moves", "manager_moves", "cloudstack_moves", "harvester", "crashes",
        "copies", "kubevirt_disks", "tls", "storage_tools",
    }
)  # fmt: skip
ABOUT_VMS = re.compile(
    r"qemu|kvm|libvirt|migrat|virt-|kubevirt|\bVMI?\b|\bdomain\b|guest|instance|\bnova\b|vdsm|ovirt"
    r"|\bpve|TASK ERROR|vm-\d+-|\bqm\w*\[|incus|\blxd\b|cloudstack|harvester|ganeti",
    re.IGNORECASE,
)


_MIGRATION = re.compile(r"migrat|virsh|libvirtError|LibvirtException|virError", re.IGNORECASE)


def _only_a_class(matches: list[Match]) -> bool:
    """Is nothing known but an error of libvirt's as its log holds many of?"""
    of_libvirt = ("admission", "libvirt_errors")
    return all(m.message.group in of_libvirt and m.message.rank < 0 for m in matches)


# libvirtd's own log; KubeVirt asks it about every guest all the time.
_ASKED_ALWAYS = re.compile(r" error : \w+:\d+ : |\b(?:libvirtd|virtqemud)\[\d+\]: ")


# QEMU's warn_report(), libvirt's VIR_WARN(): the program goes on, whatever the same words mean as
# an error. Not so where it warns of the reason before it refuses (certificates, a job that waits).
_WARNS = re.compile(
    r"(?:qemu-system-[\w-]+|qemu-kvm|\bkvm|\bqemu|\bQEMU)(?:\[\d+\])?: warning: |"
    r": warning : (?!virNetTLS|\w+ObjBeginJob)\w+:\d+ : |"
    r"^warning: (?=tap: open vhost)"
)


def _as_said(matches: list[Match], text: str) -> list[Match]:
    """*matches* as warnings where the line is one."""
    warns = _WARNS.search(text)
    if warns is None:
        return matches
    return [
        replace(match, message=replace(match.message, role=Role.WARNING))
        if match.start >= warns.end() and match.message.role in (Role.CAUSE, Role.SYMPTOM)
        else match
        for match in matches
    ]


_KUBEVIRT_ASKS = re.compile(
    r"virError\(Code=55, Domain=\d+, Message='Requested operation is not valid: "
    r"(?:domain is not running|transient domains do not have)"
)


def routine(matches: list[Match], text: str) -> bool:
    """Is it what libvirt answers a question about a guest that is off, and logs each time?"""
    if _KUBEVIRT_ASKS.match(text):
        return True
    if any(match.message.id != "op-not-running" for match in matches):
        return False
    return _ASKED_ALWAYS.search(text) is not None and "igrat" not in text


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
    guest: str = ""
    command: str = ""
    around: bytes = b""

    def add(self, number: int, piece: Piece, before: list[Line]) -> Iterator[Failure]:
        """Take one line; *before* are the lines in front of it that nothing recognised."""
        version = _QEMU_VERSION.search(piece.text)
        if version:
            self.version = version[1] or version[2] or version[3]
        matches = _as_said(recognise(piece.text), piece.text)
        roles = {match.message.role for match in matches}
        if roles <= {Role.CONTEXT}:
            return
        weak = all(match.message.rank <= -2 for match in matches)
        if weak and not piece.qemu and not any(ends(match) for match in matches):
            return
        if routine(matches, piece.text):
            return
        line = Line(
            number=number,
            text=piece.text,
            time=piece.time,
            qemu=piece.qemu,
            stream=piece.stream,
            matches=tuple(match for match in matches if match.message.role != Role.CONTEXT),
        )
        yield from self._expire(number, line)
        if (
            self.strict
            and not piece.qemu
            and all(match.message.group in _GENERIC_GROUPS for match in matches)
            and not ABOUT_VMS.search(piece.text)
        ):
            return
        alone = self.strict and self.recent_open(number) is None
        if alone and _only_a_class(matches) and not _MIGRATION.search(piece.text):
            return
        failure = self._failure_for(piece.stream, line, roles)
        if failure is None:
            failure = Failure(
                stream=piece.stream,
                first=number,
                qemu_version=self.version,
                machine=self.machine,
                guest=self.guest,
                command=self.command,
                around=self.around,
            )
            for old in list(self.open.values()):
                if old.stream == piece.stream:
                    yield self._finish(old)
            self.open[piece.stream] = failure
        for earlier in before:
            if earlier.matches and earlier.qemu:
                failure.lines.append(earlier)
            elif earlier.qemu and not HARMLESS.search(earlier.text):
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
            if candidate and (
                _repeats(candidate, line)
                or not candidate.has(*TELLING)
                or _only_warned(candidate)
                or _ended(candidate, line)
                or _goes_on(candidate, line)
            ):
                return candidate
            return None
        if not failure.closed or _repeats(failure, line) or _echoes(failure, line):
            return failure
        if _ended(failure, line):
            return failure
        return None

    def recent_open(self, number: int) -> Failure | None:
        """The failure that was written to last, when it is near and not finished."""
        recent = self.recent
        if recent is not None and number - recent.last <= NEAR and recent in self.open.values():
            return recent
        return None

    def new_start(self) -> Iterator[Failure]:
        """QEMU is started, or an attempt begins: a failure that is told has ended."""
        for old in list(self.open.values()):
            if not old.stream and old.has(Role.CAUSE, Role.WHERE, Role.CLOSING):
                yield self._finish(old)

    def _expire(self, number: int, line: Line) -> Iterator[Failure]:
        for old in list(self.open.values()):
            if (
                number - old.last > NEAR
                or _apart(old.lines[-1], line)
                or (line.stream == old.stream and _refused_before(old) and _loads(line))
            ):
                yield self._finish(old)

    def _finish(self, failure: Failure) -> Failure:
        del self.open[failure.stream]
        return failure

    def finish(self) -> Iterator[Failure]:
        """At the end of the input: what is still open."""
        for failure in list(self.open.values()):
            yield self._finish(failure)


TELLING = (Role.CAUSE, Role.WHERE, Role.WARNING, Role.CLOSING)


def _apart(before: Line, after: Line) -> bool:
    """Are two lines too far apart in time to belong to one failure?"""
    # A manager's task names the year, the journal beside it does not.
    year = next((time[:4] for time in (before.time, after.time) if time[:1].isdigit()), "2000")
    first, second = seconds(before.time, year), seconds(after.time, year)
    if first is None or second is None or first[1] != second[1]:
        return False  # of different clocks, or without a time
    return abs(second[0] - first[0]) > GAP_SECONDS


# What libvirt and the managers refuse for before a QEMU is started on the destination.
_BEFORE_THE_START = frozenset({"cpu-features", "management", "storage", "configuration"})


def _refused_before(failure: Failure) -> bool:
    """Did libvirt or a manager refuse, and has QEMU said nothing?"""
    causes = [m.message for _, m in failure.matches if m.message.role is Role.CAUSE and not ends(m)]
    return (
        bool(causes)
        and not any(line.qemu for line in failure.lines)
        and all(
            cause.program not in ("QEMU", "derived") and cause.rule in _BEFORE_THE_START
            for cause in causes
        )
    )


def _loads(line: Line) -> bool:
    """Is this a line of a QEMU that has read a part of the stream?"""
    return line.qemu and any(
        match.message.program == "QEMU" and match.message.of_the_load for match in line.matches
    )


def _echoes(failure: Failure, line: Line) -> bool:
    """Is the line, right behind the closing one, another general word of the same rule?"""
    own = {match.message.rule for _, match in failure.matches}
    news = [match.message for match in line.matches if match.message.role in TELLING]
    return line.number - failure.last <= 2 and all(
        message.rank < 0 and message.rule in own for message in news
    )


def _only_warned(failure: Failure) -> bool:
    """Has it failed, and is nothing known of the cause but a warning before it?"""
    told = failure.has(Role.CAUSE, Role.WHERE, Role.CLOSING)
    return failure.has(Role.SYMPTOM) and not told


def _goes_on(failure: Failure, line: Line) -> bool:
    """Has the line's program spoken in a failure that another's lines began?"""
    return (
        not failure.closed
        and bool(line.stream)
        and any(one.stream == line.stream for one in failure.lines)
    )


def _ended(failure: Failure, line: Line) -> bool:
    """Is the line, close behind the closing one, the end of a program or of its host's disk?"""
    return any(ends(match) for match in line.matches) and line.number - failure.last <= CLOSE


def _repeats(failure: Failure, line: Line) -> bool:
    """Does the line only say again what the failure already holds?"""
    known = {(match.message.id, tuple(match.params.items())) for _, match in failure.matches}
    news = [match for match in line.matches if match.message.role in TELLING]
    return all((match.message.id, tuple(match.params.items())) in known for match in news)
