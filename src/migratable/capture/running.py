"""Save the device state of a running VM, which runs on.

First questions that only read; then, when that was confirmed, the one command that pauses the VM
for some milliseconds. Its memory is read only for the tables of a virtual IOMMU, while it runs on.
"""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from migratable.capture.assemble import device_state, full_stream
from migratable.capture.copy import Copy, copy_of
from migratable.capture.facts import MachineFacts, machine_facts
from migratable.capture.guard import SAVE, Standing, examine
from migratable.capture.kept import Kept, put
from migratable.capture.loader_pages import loader_pages
from migratable.capture.model import Confirm, Source
from migratable.capture.monitor import (
    Exchange,
    FolderExchange,
    Monitor,
    SocketMonitor,
    hmp,
    keeps_descriptors,
)
from migratable.errors import CaptureError, NoCopyError
from migratable.printable import quoted
from migratable.qemu.hmp import ram_blocks
from migratable.qemu.qmp import QmpError
from migratable.rehearse.memory_map import read_mtree
from migratable.stream import read, write
from migratable.stream.ram import RamBlock

if TYPE_CHECKING:
    from migratable.profile.model import Profile

SAVE_SECONDS = 120.0
_PIECE = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class Captured:
    """What a capture brought.

    :ivar data: the stream's bytes.
    :ivar pause: seconds for which the guest stood still, by QEMU's own clock; 0.0 when it was not
        running, None when that could not be measured (then at most :attr:`command_seconds`).
    :ivar command_seconds: how long the command took that pauses.
    :ivar profile: what else is known of the machine.
    :ivar unchecked: what is missing in the stream, in words.
    :ivar domain_xml: libvirt's description; empty without libvirt.
    :ivar undescribed: sections whose fields have no names in the stream, and why.
    """

    data: bytes = field(repr=False)
    pause: float | None
    command_seconds: float
    standing: Standing
    profile: Profile
    unchecked: tuple[str, ...] = ()
    domain_xml: str = field(default="", repr=False)
    undescribed: tuple[str, ...] = ()

    def facts(self) -> dict[str, object]:
        """For reports."""
        return {
            "release": str(self.standing.version),
            "machine": self.standing.machine,
            "guest": self.standing.guest_name,
            "status": self.standing.status,
            "pause_ms": None if self.pause is None else round(self.pause * 1000, 3),
            "command_ms": round(self.command_seconds * 1000, 3),
            "unchecked": list(self.unchecked),
            "undescribed": list(self.undescribed),
            "command_line_kept": bool(self.profile.command_line),
        }

    def source(self, name: str) -> Source:
        """The same as a source."""
        facts = {"kind": name.partition(":")[0], **self.facts()}
        if self.domain_xml:
            from migratable import redact  # noqa: PLC0415 -- libvirt only

            facts["domain_xml"] = redact.domain_xml(self.domain_xml)
        return Source(name=name, stream=read(self.data), profile=self.profile, facts=facts)


def capture_live(text: str, *, confirm: Confirm | None = None, untried: bool = False) -> Captured:
    """Capture ``qmp:SOCKET`` or ``libvirt:DOMAIN``; raises as :func:`capture_socket`."""
    kind, _, rest = text.partition(":")
    if not rest:
        what = "a domain's name" if kind == "libvirt" else "the path of a QMP socket"
        raise CaptureError(f"{quoted(text)} names no VM; give {what} after the colon")
    if kind == "libvirt":
        return capture_domain(rest, confirm=confirm, untried=untried)
    return capture_socket(Path(rest), confirm=confirm, untried=untried)


def capture_socket(
    path: Path, *, confirm: Confirm | None = None, untried: bool = False
) -> Captured:
    """Capture the VM whose QMP socket this is.

    :param confirm: asked before the VM is paused; without it nothing is.
    :param untried: capture it too when no copy of it can be started here to save itself first.
    :raise CaptureError: When the VM cannot be captured, or it was not confirmed.
    :raise QemuError: When its monitor does not answer.
    """
    monitor = SocketMonitor(path)
    with contextlib.closing(monitor):
        return capture(monitor, confirm=confirm, untried=untried)


def capture_domain(
    domain: str, *, confirm: Confirm | None = None, untried: bool = False
) -> Captured:
    """Capture a VM of libvirt by its domain's name; raises as :func:`capture_socket`."""
    from migratable.capture.libvirt import LibvirtMonitor  # noqa: PLC0415 -- often unused

    with contextlib.closing(LibvirtMonitor(domain)) as monitor:
        return capture(monitor, confirm=confirm, untried=untried, domain_xml=monitor.domain_xml())


def capture(
    monitor: Monitor,
    *,
    confirm: Confirm | None = None,
    untried: bool = False,
    domain_xml: str = "",
) -> Captured:
    """Capture over any :class:`~migratable.capture.monitor.Monitor`; see :func:`capture_socket`."""
    with _answers_of(monitor):
        standing = examine(monitor)
        blocks = {
            block.name: (block.used, block.maximum)
            for block in ram_blocks(hmp(monitor, "info ramblock"))
        }
        memory = read_mtree(hmp(monitor, "info mtree -f"), blocks)
        machine = machine_facts(monitor, standing)
        profile = _profile(machine, standing, blocks)
    copy, why = _copy(monitor, standing, blocks, untried=untried)
    _ask(monitor, standing, confirm, why=why)
    with _answers_of(monitor):
        raw, pause, seconds = _save(monitor, standing)
    state = device_state(raw)
    announced = [RamBlock(id=name, used_length=used) for name, (used, _) in blocks.items()]
    with _answers_of(monitor), contextlib.closing(_Memory(monitor, standing)) as reader:
        kept = loader_pages(state, announced, memory, reader.read)
    stream = full_stream(
        state,
        machine=standing.machine,
        status=standing.status,
        blocks=announced,
        pages=kept.pages,
        uuid=machine.uuid if standing.capabilities.get("validate-uuid") else None,
        early_first=standing.version.release > (10, 2),
    )
    doubts = [*standing.unchecked, *kept.doubts, *([why] if why else ())]
    undescribed: tuple[str, ...] = ()
    if copy is not None:
        from migratable.check.describe import describe  # noqa: PLC0415 -- the whole engine

        described = describe(stream, copy.profile)
        stream = described.stream
        undescribed = tuple(
            f"{section.idstr}: {reason}" for section, reason in described.undescribed
        )
        profile = replace(profile, command_line=copy.profile.command_line)
        if copy.unlike:
            doubts.append(
                "hot-plugged devices are not in the copy that made the trial save: "
                f"{', '.join(copy.unlike)}"
            )
    of_vm = Kept(
        profile=profile,
        guest=standing.guest_name,
        status=standing.status,
        domain_xml=domain_xml,
    )
    data = write(put(stream, of_vm))
    read(data)  # what we made must be readable
    return Captured(
        data=data,
        pause=pause,
        command_seconds=seconds,
        standing=standing,
        profile=replace(
            profile,
            stream=data,
            loader=None if copy is None else copy.profile.loader,
        ),
        unchecked=tuple(doubts),
        domain_xml=domain_xml,
        undescribed=undescribed,
    )


@contextlib.contextmanager
def _answers_of(monitor: Monitor) -> Iterator[None]:
    """Whoever serves a socket may answer anything: what no QEMU does is an error with its name.

    :raise CaptureError: in the place of what our code makes of such an answer.
    """
    try:
        yield
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        raise CaptureError(
            f"{monitor.name}: its monitor gives an unexpected answer "
            f"({type(error).__name__}: {error})"
        ) from error


def _profile(
    machine: MachineFacts, standing: Standing, blocks: dict[str, tuple[int, int]]
) -> Profile:
    """What the VM says of its machine, read again as a file of somebody else is."""
    from migratable.profile.model import Profile  # noqa: PLC0415 -- json and zlib

    document = machine.profile(standing, b"", blocks).to_json()
    return Profile.from_json(document, origin="the VM's monitor")


def _copy(
    monitor: Monitor,
    standing: Standing,
    blocks: dict[str, tuple[int, int]],
    *,
    untried: bool,
) -> tuple[Copy | None, str]:
    """A copy of the VM that has saved itself; without one what so is not known.

    :raise CaptureError: When it did not survive, or there is none and that is not accepted.
    """
    try:
        return copy_of(monitor, standing, blocks), ""
    except NoCopyError as error:
        if not untried:
            raise CaptureError(
                f"{monitor.name}: no trial save in a copy is possible: {error}. --untried "
                "captures the VM without it; if QEMU crashes, the VM ends"
            ) from None
        return None, f"whether QEMU can save this VM (no trial save in a copy: {error})"


def _ask(monitor: Monitor, standing: Standing, confirm: Confirm | None, *, why: str = "") -> None:
    what = standing.guest_name or monitor.name
    if standing.running:
        words = (
            f"Pause VM {what!r} (QEMU {standing.version}, {standing.machine}) for some "
            "milliseconds, until its device state is written and its disks are flushed?"
        )
    else:
        words = f"Write out the device state of VM {what!r}, which is {standing.status}?"
    if why:
        words += f" (not known: {why}; if it crashes, the VM ends)"
    if confirm is None:
        raise CaptureError(
            f"{monitor.name}: capturing pauses this VM for some milliseconds; add --yes"
        )
    if not confirm(words):
        raise CaptureError(f"{monitor.name}: not confirmed; the VM was not touched")


def _save(monitor: Monitor, standing: Standing) -> tuple[bytes, float | None, float]:
    """The device state, the guest's pause and the command's duration in seconds."""
    if keeps_descriptors(standing.version.release, running=standing.running):
        with contextlib.closing(FolderExchange()) as folder:
            try:
                return _save_to(monitor, standing, folder)
            except QmpError:
                pass  # it does not see the folder
    with contextlib.closing(Exchange(monitor)) as file:
        try:
            return _save_to(monitor, standing, file)
        except QmpError as error:
            raise CaptureError(
                f"{monitor.name}: {error.description}; the VM was not changed"
            ) from None


def _save_to(
    monitor: Monitor, standing: Standing, file: Exchange | FolderExchange
) -> tuple[bytes, float | None, float]:
    monitor.events()
    begin = time.monotonic()
    # live=false: disks of a VM that does not run stay active and locked.
    monitor.execute(SAVE, {"filename": file.path, "live": False}, timeout=SAVE_SECONDS)
    seconds = time.monotonic() - begin
    after = str(monitor.execute("query-status").get("status", "unknown"))
    events = monitor.events() if standing.running else []
    if after != standing.status:
        raise CaptureError(
            f"{monitor.name}: the VM was {standing.status} and is {quoted(after)} after saving its "
            "device state; check it"
        )
    return file.read(), pause_of(events) if standing.running else 0.0, seconds


def pause_of(events: list[dict[str, Any]]) -> float | None:
    """Seconds from STOP to RESUME; None without both."""
    times: dict[str, int] = {
        str(event["event"]): event["timestamp"]["seconds"] * 1_000_000
        + event["timestamp"]["microseconds"]
        for event in events
        if event.get("event") in {"STOP", "RESUME"}
    }
    if len(times) < 2:
        return None
    return max(0, times["RESUME"] - times["STOP"]) / 1e6


class _Memory:
    """Reads guest memory: through a file, or as text when QEMU opens none."""

    def __init__(self, monitor: Monitor, standing: Standing) -> None:
        self._monitor = monitor
        self._keeps = keeps_descriptors(standing.version.release, running=standing.running)
        self._file: Exchange | FolderExchange | None = None
        self._as_text = False

    def read(self, address: int, size: int) -> bytes:
        """Bytes at a guest-physical address."""
        if self._file is None:
            self._file = FolderExchange() if self._keeps else Exchange(self._monitor)
        if not self._as_text:
            arguments = {"val": address, "size": size, "filename": self._file.plain_path}
            try:
                self._monitor.execute("pmemsave", arguments)
                data = self._file.read()
                if len(data) == size:
                    return data
            except (QmpError, CaptureError):
                pass
            self._as_text = True  # no /proc there, or a policy in the way
        # In small pieces: a long one would hold up the VM's own I/O.
        return b"".join(
            memory_of_text(hmp(self._monitor, f"xp /{_PIECE}xb {at:#x}"), _PIECE)
            for at in range(address, address + size, _PIECE)
        )[:size]

    def close(self) -> None:
        """Take the file back."""
        if self._file is not None:
            self._file.close()


def memory_of_text(text: str, size: int) -> bytes:
    """Bytes as ``xp`` prints them: ``ADDRESS: 0x00 0x01 …`` in each line.

    :raise CaptureError: When they are not *size* bytes.
    """
    data = bytes(
        int(word, 16)
        for line in text.splitlines()
        for word in line.partition(":")[2].split()
        if re.fullmatch(r"0x[0-9a-f]{2}", word)
    )
    if len(data) != size:
        raise CaptureError(f"guest memory cannot be read: {quoted(text.strip()[:100])}")
    return data
