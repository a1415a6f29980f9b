"""Backtraces of gdb and systemd-coredump: which device, and what it was doing.

A frame's name is the function's in QEMU's source. The outermost frames say what was going on
(loading, saving, starting), those inside say in which device, the innermost how it ended.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from migratable.explain.grouping import Failure, Line
from migratable.messages.catalogue import Message, message
from migratable.messages.recognise import Match

_FRAME = re.compile(
    r"^[>\s]*(?:[A-Z][a-z]{2} +\d+ [\d:]+ [^:]{0,80}: *)?#(?P<depth>\d{1,3}) +"
    r"(?:0x[0-9a-f]+ +(?:in +)?)?(?P<name>[A-Za-z_][\w.@]*)"
)
_SIGNAL = re.compile(
    r"SIG(?:SEGV|ABRT|BUS|ILL)|[Ss]egmentation fault|Aborted|received signal|"
    r"terminated with signal|core ?dump"
)
# Threads of gdb; what stands in front of the first frames is one thread too.
_THREAD = re.compile(r"^[>\s]*Thread \d+ ")
_ENDS = frozenset(
    {"abort", "raise", "__assert_fail", "__assert_fail_base", "g_assertion_message_expr",
     "g_assertion_message", "g_abort", "error_handle_fatal", "__GI_abort", "__GI_raise",
     "__pthread_kill_implementation", "__pthread_kill_internal", "g_log_default_handler"}
)  # fmt: skip
_WAITS = re.compile(
    r"recvmsg|recv|read|__libc_read|p?poll|__ppoll|__GI_ppoll|futex\w*|syscall|__futex\w*|"
    r"__lll_lock_wait\w*|pthread_cond_\w+|__pthread_cond_wait|sem_wait|do_futex_wait\S*|"
    r"epoll_wait|nanosleep|__?GI___\w+|pthread_mutex_lock|accept4?|connect|write|sendmsg"
)
_PHASES = (
    (r"qemu_loadvm|process_incoming_migration|vmstate_load|load_snapshot|loadvm_",
     "loading the stream", "destination"),
    (r"qemu_savevm|vmstate_save|migration_thread|save_snapshot|migration_completion|"
     r"bdrv_inactivate_all|multifd_send|ram_save", "saving the guest's state", "source"),
    (r"vhost_user_set_log_base|vhost_dev_set_log|vhost_migration_log|memory_global_dirty_log_start|"
     r"vhost_log_global_start", "switching on the log of dirty pages", "source"),
    (r"^qemu_init$|qmp_x_exit_preconfig|qdev_device_add|machine_run_board_init|_realizefn?$",
     "starting", "destination"),
)  # fmt: skip
_DEVICES = (
    (r"^vfio_user", "a device behind vfio-user",
     "the server of the device and QEMU's vfio-user code"),
    (r"^vfio_", "a passed-through (vfio) device", "the device's host driver (its migration "
     "support) and QEMU's vfio code"),
    (r"^vhost_user_|^vhost_backend|^vu_", "a vhost-user backend (virtiofsd, DPDK, SPDK, vRouter, "
     "swtpm-like helpers)", "the backend: its log, and whether it knows migration (dirty log)"),
    (r"^vhost_vdpa", "a vDPA device", "the device's host driver"),
    (r"^vhost_", "vhost", "the host's vhost module and QEMU's vhost code"),
    (r"^virtio_gpu|^virgl_", "virtio-gpu", "the display device"),
    (r"^virtio_(?:net|blk|scsi|balloon|serial|console|mem|pmem|rng|input|crypto|iommu|pci)",
     "a virtio device ({0})", "that device"),
    (r"^virtio_", "a virtio device", "that device"),
    (r"^qxl_|^red_|^spice_", "the SPICE display", "the display: spice-server's version"),
    (r"^vnc_", "the VNC display", "the display"),
    (r"^(?:usb_|xhci_|ehci_|uhci_|ohci_|usbredir)", "USB", "the USB devices"),
    (r"^(?:ahci_|ide_)", "the IDE or AHCI disk controller", "that controller"),
    (r"^nvme_", "the NVMe device", "that device"),
    (r"^(?:tpm_|swtpm)", "the TPM", "swtpm on that host"),
    (r"^(?:multifd_)", "a multifd channel", "multifd: try without it"),
    (r"^(?:postcopy_)", "postcopy", "postcopy: try without it"),
    (r"^(?:rdma_|qemu_rdma)", "RDMA", "RDMA: migrate over TCP"),
    (r"^(?:qio_channel_tls|gnutls_)", "TLS", "TLS"),
    (r"^(?:nbd_|mirror_|blockdev_)", "the copy of a disk (NBD, mirror)", "the block jobs"),
    (r"^(?:bdrv_|blk_|qcow2_|raw_|luring_|laio_)", "the disks (block layer)", "the storage"),
    (r"^(?:kvm_)", "KVM", "the host's kernel and CPU"),
    (r"^(?:spapr_|xive_|ics_|icp_)", "the pseries machine", "the machine type"),
    (r"^(?:ram_|qemu_ram)", "the guest's memory", "the guest's memory"),
)  # fmt: skip
NEAR = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Backtrace:
    """A thread's frames.

    :ivar first, last: its lines in the input, counted from 1.
    :ivar names: functions, the innermost first.
    :ivar died: the program ended there (abort, a signal); else it was waiting.
    """

    first: int
    last: int
    names: tuple[str, ...]
    died: bool

    @property
    def function(self) -> str:
        """The function of QEMU's own that tells most.

        Where it died the innermost that names a device, where it waits the outermost of those;
        else QEMU's innermost.
        """
        found = self._device()
        if found is not None and self.died:
            return found[0]
        if found is not None:
            prefix = re.match(r"[a-z]+_(?:user_)?", found[0])
            last = found[0]
            for name in self.names[self.names.index(found[0]) :]:
                if prefix is None or not name.startswith(prefix[0]):
                    break
                last = name
            return last
        own = [name for name in self.names if not (name in _ENDS or _WAITS.fullmatch(name))]
        own = [name for name in own if not name.startswith(("__mem", "mem", "str", "__str", "g_"))]
        return own[0] if own else self.names[0]

    def _device(self) -> tuple[str, str, str] | None:
        for name in self.names:
            for pattern, what, look in _DEVICES:
                found = re.match(pattern, name)
                if found:
                    return name, what.format(found[0]), look
        return None

    @property
    def phase(self) -> tuple[str, str] | None:
        """What was going on, and on which side; None when no frame tells."""
        text = "\n".join(self.names)
        return next(
            ((words, side) for pattern, words, side in _PHASES if re.search(pattern, text, re.M)),
            None,
        )

    @property
    def telling(self) -> bool:
        """Does it belong to a failure? A thread that waits for work is no news."""
        return self.died or (self.phase is not None and self._device() is not None)

    def parameters(self) -> dict[str, str | int]:
        """Of the messages ``backtrace-died`` and ``backtrace-waits``."""
        device = self._device()
        phase = self.phase
        return {
            "function": self.function,
            "what": device[1] if device else "QEMU's own code",
            "look": device[2] if device else "that function",
            "phase": phase[0] if phase else "running",
            "side": phase[1] if phase else "",
        }


def backtraces(data: bytes) -> Iterator[Backtrace]:
    """The threads of all backtraces in a log, those that tell something.

    gdb breaks frames over lines; what does not begin with ``#N`` belongs to the frame before.
    """
    names: list[str] = []
    first = last = signal = 0

    def closed() -> Iterator[Backtrace]:
        if len(names) >= 3:
            died = any(name in _ENDS for name in names[:8]) or (
                (bool(signal) and first - signal <= 40) or not _WAITS.fullmatch(names[0])
            )
            found = Backtrace(first=first, last=last, names=tuple(names), died=died)
            if found.telling:
                yield found

    for number, raw in enumerate(data.split(b"\n"), 1):
        text = raw[:400].decode("utf-8", "replace")
        if _SIGNAL.search(text):
            signal = number
        frame = _FRAME.match(text)
        if frame is None:
            if names and (number - last > 6 or _THREAD.match(text)):
                yield from closed()
                names = []
            continue
        if names and int(frame["depth"]) == 0:
            yield from closed()
            names = []
        if not names:
            first = number
        names.append(frame["name"].split(".")[0].split("@")[0])
        last = number
    yield from closed()


def attached(data: bytes, failures: list[Failure]) -> None:
    """Put backtraces to the failures beside them; those that stand alone become failures."""
    if b"#1 " not in data and b"#1\t" not in data:
        return
    lines = data.split(b"\n")
    for trace in _first_of_each(backtraces(data)):
        name = "backtrace-died" if trace.died else "backtrace-waits"
        text = lines[trace.first - 1].decode("utf-8", "replace").strip()
        at = next(
            (
                number
                for number in range(trace.first, trace.last + 1)
                if trace.function.encode() in lines[number - 1]
            ),
            trace.first,
        )
        text = lines[at - 1].decode("utf-8", "replace").strip()
        line = Line(number=at, text=text, matches=(_match(message(name), trace, text),))
        near = [
            failure
            for failure in failures
            if failure.first - NEAR <= trace.last and trace.first - NEAR <= failure.last
        ]
        if near:
            near[0].lines.append(line)
            near[0].last = max(near[0].last, trace.last)
        else:
            failures.append(Failure(stream="", first=trace.first, last=trace.last, lines=[line]))


def _first_of_each(found: Iterator[Backtrace]) -> list[Backtrace]:
    """One of each kind; threads that died before those that wait."""
    kept: dict[tuple[str, bool], Backtrace] = {}
    for trace in found:
        kept.setdefault((trace.function, trace.died), trace)
    died = [trace for trace in kept.values() if trace.died]
    return died[:1] or list(kept.values())[:1]


def _match(kind: Message, trace: Backtrace, text: str) -> Match:
    return Match(
        message=kind, text=kind.texts[0], params=dict(trace.parameters()), start=0, end=len(text)
    )
