"""Backtraces of gdb and systemd-coredump: which device, and what it was doing.

A frame's name is the function's in QEMU's source. The outermost frames say what was going on
(loading, saving, starting), those inside say in which device, the innermost how it ended.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

from migratable.explain.grouping import Failure, Line
from migratable.messages.catalogue import Message, Role, message
from migratable.messages.recognise import Match

_FRAME = re.compile(
    r"^[>\s]*(?:[A-Z][a-z]{2} +\d+ [\d:]+ [^:]{0,80}: *)?#(?P<depth>\d{1,3}) +"
    r"(?:0x[0-9a-f]+ +)?(?:in +)?(?P<name>\?\?|(?!in )[A-Za-z_][\w.@]*)"
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
    r"ioctl|sem_timedwait|sigtimedwait|futex_wait|epoll_wait|nanosleep|__?GI___\w+|pthread_mutex_lock|accept4?|connect|write|sendmsg|"
    r"(?:__)?pthread_(?:join|rwlock_\w+|timedjoin_np)|___?pthread_\w+|__clock_nanosleep|epoll_pwait|select|io_getevents"
)
# A bottom half, timer or handler is called by whichever loop runs just then: who called that loop
# is another matter.
_LOOP = re.compile(
    r"aio_bh_(?:call|poll)|aio_dispatch\w*|timerlist_run_timers|coroutine_trampoline|"
    r"g_main_(?:context_)?dispatch"
)
_LIBRARY = re.compile(r"(?:\bfrom |\(|\bat |\(in )/\S{1,300}\.so(?:[\d.]*)\b")
# What says that a program ended, and what says that it hangs, near frames that show neither.
_CRASHED = re.compile(
    rb"\bSIG(?:SEGV|ABRT|BUS|FPE|ILL|TRAP)\b|[Ss]egmentation|[Ss]egfault|[Cc]ore ?dump|"
    rb"[Aa]ssert|\b[Aa]bort|[Cc]rash|Sanitizer|[Ii]nvalid (?:read|write) of|double free|"
    rb"corrupt|signal \d|dumped core|[Tt]erminated|floating point|\bnull ?(?:pointer|deref)|\bNULL "
)
_HANGS = re.compile(
    rb"dead-?lock|\bh[au]ngs?\b|hanging|\bstuck\b|\bfr[eo]e?zen?\b|infinite|endless"
)
_MIGRATES = "migrating"
_PHASES = (
    (r"qemu_loadvm|process_incoming_migration|vmstate_load|load_snapshot|loadvm_",
     "loading the stream", "destination"),
    (r"qemu_savevm|vmstate_save|migration_thread|save_snapshot|migration_completion|"
     r"bdrv_inactivate_all|multifd_send|ram_save", "saving the guest's state", "source"),
    (r"vhost_user_set_log_base|vhost_dev_set_log|vhost_migration_log|memory_global_dirty_log_start|"
     r"vhost_log_global_start", "switching on the log of dirty pages", "source"),
    (r"^qemu_init$|qmp_x_exit_preconfig|qdev_device_add|machine_run_board_init|_realizefn?$",
     "starting", "destination"),
    (r"^qemuMigration(?:Src|Perform|Begin|Confirm)|MigratePerform", "sending a guest", "source"),
    (r"^qemuMigration(?:Dst|Prepare|Finish)", "taking a guest", "destination"),
    (r"^(?:qemu_)?rdma_|^multifd_|^postcopy_", _MIGRATES, ""),
    (r"_reset(?:_hold|_enter|_exit)?$|^qemu_system_reset", "resetting the guest", ""),
    (r"^(?:mirror_|block_job|job_co_entry|stream_run|commit_run|backup_run)", "running a block job",
     ""),
    (r"^(?:memory_region_dispatch_|access_with_adjusted|flatview_(?:read|write))",
     "handling an access of the guest to a device", ""),
    (r"^[qh]mp_\w+", "carrying out a command of its monitor", ""),
    (r"^(?:gui_update|dpy_refresh|vnc_refresh)", "drawing the guest's display", ""),
    (r"^(?:code_gen_buffer|cpu_exec|cpu_tb_exec)", "running the guest's code (TCG)", ""),
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
    (r"^migrate_", "the migration's own code", "what the migration did (cancelled, failed, TLS)"),
)  # fmt: skip
NEAR = 60
# What only carries: the C library, QEMU's loops and coroutines, streams, properties, the list of
# sections, KVM's system call. Who called it, or what it was called with, says more.
_CARRIES = re.compile(
    r"\?\?|_\w*|fuzzer|(?:mem|str)(?:cpy|cmp|set|move|len|dup|chr)\w*|(?:m|c|re)alloc|free|exit|abort|raise|"
    r"error_\w+|g_\w+|ioctl|kvm_\w*ioctl|(?:kvm_)?vcpu_thread\w*|kvm_cpu_exec|qemu_(?:put|get|peek)_\w+|"
    r"vmstate_(?:load|save|size)\w*|qemu_(?:loadvm|savevm|save_device_state)\w*|savevm_\w+|loadvm_\w+|"
    r"(?:get|put)_(?:u?int\d+|buffer|bool|be\d+|unused_buffer|array|tmp|gtree|qlist|qtailq)\w*|"
    r"process_(?:queued|incoming)\w*|migration_\w+|coroutine_\w+|qemu_co(?:routine)?_\w+|"
    r"aio_\w+|main_loop\w*|os_host_main\w*|qemu_main_loop|qemu_default_main|main|start_thread|"
    r"clone\d*|qemu_thread_start|timerlist?_\w+|qemu_(?:clock_)?run_\w+|object_\w+|property_\w+|"
    r"device_set_realized|qdev_\w+|qbus_\w+|bus_\w+|resettable_\w+|device_(?:cold_)?reset\w*|"
    r"memory_region_\w+|address_space_\w+|flatview_\w+|access_with_\w+|cpu_exec\w*|tcg_\w+|"
    r"q[mh]p_\w+|hmp_\w+|monitor_\w+|handle_[hq]mp\w*|notifier_\w+|qio_channel_(?!tls)\w*|"
    r"qemu_system_\w+|qemu_init|qemu_bh_\w+|vm_(?:start|stop|state)\w*|do_vm_stop|"
    r"job_co_entry|blk_\w*co_\w+entry|do_run_on_cpu|run_on_cpu|async_\w+"
)
_LIBVIRT = re.compile(
    r"vir[A-Z]\w+|remote[A-Z]\w+|qemu(?:Migration|Process|Monitor|Domain)[A-Z]\w*"
)
_STATE = re.compile(r"<vmstate_(?P<name>\w+)>")
# A function of a device or machine by the step that it is for.
_STEPS = (
    (re.compile(r"_?post_load\w*$"), "after its state was read"),
    (re.compile(r"_?pre_load\w*$"), "before its state was read"),
    (re.compile(r"_?pre_save\w*$"), "before its state was written"),
    (re.compile(r"_load(?:_state|_setup|_old|_device)?$"), "while its state was read"),
    (re.compile(r"_save(?:_state|_setup|_iterate|_complete)?$"), "while its state was written"),
    (re.compile(r"_reset(?:_hold|_enter|_exit)?$"), "at its reset"),
    (re.compile(r"_(?:un)?realize(?:fn)?$"), "while it was set up"),
)
_PLACE = re.compile(
    r"(?:^|[/ ])(?P<path>(?:hw|target|block|net|ui|audio|backends|chardev|migration|accel|softmmu|"
    r"system|util|io|nbd|tcg|qom|dump|replay|fsdev|ebpf|crypto)/[\w./-]{1,120}\.[ch])"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """A function of a thread's stack, with its arguments and its place as gdb writes them."""

    name: str
    text: str = ""

    @property
    def path(self) -> str:
        """Where QEMU's source has it; "" when that is not shown."""
        found = _PLACE.search(self.text.rpartition(" at ")[2]) if " at " in self.text else None
        return found["path"] if found else ""

    @property
    def null(self) -> str:
        """The first argument, where that is a null pointer; "" otherwise."""
        found = re.match(r"[^(]*\(\s*(?P<name>\w+)=0x0\b", self.text)
        return found["name"] if found else ""

    @property
    def state(self) -> str:
        """The state that it was called for: the name of a VMStateDescription; ""."""
        found = _STATE.search(self.text)
        return found["name"] if found else ""

    @property
    def carries(self) -> bool:
        """Does it say nothing about what failed?"""
        return self.name in _ENDS or bool(
            _WAITS.fullmatch(self.name)
            or _CARRIES.fullmatch(self.name)
            or _LIBRARY.search(self.text)
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Backtrace:
    """A thread's frames.

    :ivar first, last: its lines in the input, counted from 1.
    :ivar frames: functions, the innermost first.
    :ivar died: the program ended there (abort, a signal); else it was waiting.
    """

    first: int
    last: int
    frames: tuple[Frame, ...]
    died: bool

    @property
    def names(self) -> tuple[str, ...]:
        """The functions' names, the innermost first."""
        return tuple(frame.name for frame in self.frames)

    @property
    def function(self) -> str:
        """The function of QEMU's own that tells most.

        Where it died the innermost of a device or a subsystem, where it waits the outermost of
        those; else QEMU's innermost.
        """
        found = self._device()
        if found is not None and not self.died:
            prefix = re.match(r"[a-z]+_(?:user_)?", found[0])
            last = found[0]
            for name in self.names[self.names.index(found[0]) :]:
                if prefix is None or not name.startswith(prefix[0]):
                    break
                last = name
            return last
        if found is not None:
            return found[0]
        own = [frame.name for frame in self.frames if not frame.carries]
        if own:
            return own[0]
        rest = [
            frame.name
            for frame in self.frames
            if not (frame.name in _ENDS or _WAITS.fullmatch(frame.name))
            and not frame.name.startswith(("__mem", "mem", "str", "__str", "g_"))
            and not _LIBRARY.search(frame.text)
        ]
        return rest[0] if rest else self.names[0]

    def _device(self) -> tuple[str, str, str] | None:
        """The function that belongs to a device or subsystem, what that is, and where to look."""
        called = self._called()
        for last in (False, True):  # KVM's system call is what others call
            for frame in called:
                if frame.carries != last:
                    continue
                if frame.state:
                    what = f"the device whose state is {frame.state} (vmstate_{frame.state})"
                    return frame.name, what, "that device"
                for pattern, what, look in _DEVICES:
                    found = re.match(pattern, frame.name)
                    if found:
                        return frame.name, what.format(found[0]), look
                place = re.match(r"(hw|target)/([\w-]+)", frame.path)
                if place is not None and place[1] == "hw":
                    return frame.name, f"the device or machine of {frame.path}", "that device"
                if place is not None:
                    what = f"the virtual CPU ({frame.path})"
                    return frame.name, what, "the CPU model and the accelerator (KVM or TCG)"
        return None

    def _called(self) -> tuple[Frame, ...]:
        """The frames up to the loop that called them, where it ended in QEMU's own among those."""
        loops = (at for at, frame in enumerate(self.frames) if _LOOP.fullmatch(frame.name))
        inner = self.frames[: next(loops, 0)]
        return inner if self.died and any(not frame.carries for frame in inner) else self.frames

    def state(self) -> str:
        """The state that was being saved or loaded: the innermost vmsd argument; ""."""
        return next((frame.state for frame in self.frames if frame.state), "")

    def said(self) -> list[str]:
        """What else the frames tell, one sentence each."""
        sentences = []
        inner = next(
            (frame for frame in self.frames if frame.null and frame.name not in _ENDS), None
        )
        first = [frame for frame in self.frames if not frame.name.startswith(("__", "mem", "str"))]
        if self.died and inner is not None and inner in first[:2]:
            kvm = inner.name.startswith("kvm_")
            sentences.append(
                f"{inner.name}() was called with a null pointer ({inner.null}=0x0): "
                + (
                    "KVM is not in use in this QEMU (it runs with TCG), and code that needs KVM "
                    "was called all the same."
                    if kvm
                    else "what it works on is not there in this QEMU."
                )
            )
        own = next((frame.name for frame in self.frames if not frame.carries), "")
        if self.died and own and own != self.function:
            sentences.append(f"The innermost function of QEMU's is {own}().")
        for frame in self.frames:
            step = next((words for end, words in _STEPS if end.search(frame.name)), "")
            if step and not frame.carries:
                place = f" ({frame.path})" if frame.path else ""
                sentences.append(f"It stood in {frame.name}(){place}, which runs {step}.")
                break
        return sentences

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
        phase = self.phase
        migrates = phase is not None and (bool(phase[1]) or phase[0] == _MIGRATES)
        return self.died or (migrates and self._device() is not None)

    @property
    def empty(self) -> bool:
        """Does no frame tell more than how it ended?"""
        return all(frame.carries for frame in self.frames) and self._device() is None

    def _until(self, option: str, look: str) -> str:
        """What helps before a corrected QEMU is there."""
        if option:
            return (
                f"Until then start the guest without -device {option} (both sides alike), or "
                "unplug it before"
            )
        if self._who() != "QEMU":
            return "The guests run on meanwhile; start the daemon again"
        if self._without_kvm():
            return "Until then use KVM on that host (-accel kvm), or another machine type"
        return f"Where it is a device, the guest moves without it: look at {look}"

    def _who(self) -> str:
        """The program: libvirt's functions are written in another way than QEMU's."""
        of_libvirt = sum(bool(_LIBVIRT.match(name)) for name in self.names)
        return "libvirtd" if 2 * of_libvirt >= len(self.names) - 3 and of_libvirt else "QEMU"

    def _without_kvm(self) -> bool:
        return any(frame.null and frame.name.startswith("kvm_") for frame in self.frames[:2])

    def parameters(self, options: list[str]) -> dict[str, str | int]:
        """Of the messages ``backtrace-died`` and ``backtrace-waits``.

        :param options: the devices of the command line beside it.
        """
        device = self._device()
        phase = self.phase
        state = self.state()
        what = device[1] if device else f"{self._who()}'s own code"
        look = device[2] if device else "that function"
        if self.died and state and device and f"vmstate_{state}" not in what:
            what = f"{what} (state {state})"
        option = _option(options, (state, self.function)) if self.died else ""
        function = self.function
        if function.startswith("vmstate_") and state:
            function = f"vmstate_{state}"
        elif self.died:
            function = f"{function}()"
        return {
            "who": self._who(),
            "function": function,
            "what": what,
            "look": look,
            "until": self._until(option, look),
            "more": " ".join(self.said()),
            "tells": int(device is not None),
            "phase": phase[0] if phase else "running",
            "side": phase[1] if phase else "",
        }


def backtraces(data: bytes) -> Iterator[Backtrace]:
    """The threads of all backtraces in a log, those that tell something.

    gdb breaks frames over lines; what does not begin with ``#N`` belongs to the frame before.
    """
    frames: list[Frame] = []
    first = last = 0
    hangs = _HANGS.search(data) is not None and not _CRASHED.search(data)

    def closed() -> Iterator[Backtrace]:
        if len(frames) >= 3:
            ends = any(frame.name in _ENDS for frame in frames[:8])
            died = ends or not (_WAITS.fullmatch(frames[0].name) or hangs)
            found = Backtrace(first=first, last=last, frames=tuple(frames), died=died)
            if found.telling:
                yield found

    for number, raw in enumerate(data.split(b"\n"), 1):
        text = raw[:400].decode("utf-8", "replace")
        frame = _FRAME.match(text)
        if frame is None:
            if frames and (number - last > 6 or _THREAD.match(text)):
                yield from closed()
                frames = []
            elif frames and number - last <= 6:
                whole = f"{frames[-1].text} {text.strip()}"
                frames[-1] = replace(frames[-1], text=whole[:_LONGEST])
            continue
        if frames and int(frame["depth"]) == 0:
            yield from closed()
            frames = []
        if not frames:
            first = number
        name = frame["name"].split(".")[0].split("@")[0]
        frames.append(Frame(name=name, text=text[frame.start("name") :].strip()))
        last = number
    yield from closed()


_LONGEST = 2000
_DEVICE = re.compile(rb"-device[ =]'?(?:\{\"driver\": ?\")?(?P<name>[a-zA-Z][\w.-]{2,60})")


def _option(options: list[str], names: tuple[str, ...]) -> str:
    """The device of the command line that a state or function is of; ""."""
    bare = [re.sub(r"[\W_]|device|state|^vmstate", "", name.lower()) for name in names if name]
    for option in options:
        own = re.sub(r"[\W_]", "", option.lower())
        if len(own) > 4 and any(own in name or (len(name) > 6 and name in own) for name in bare):
            return option
    return ""


def attached(data: bytes, failures: list[Failure]) -> None:
    """Put backtraces to the failures beside them; those that stand alone become failures."""
    if b"#1 " not in data and b"#1\t" not in data:
        return
    lines = data.split(b"\n")
    options = [found["name"].decode() for found in _DEVICE.finditer(data)]
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
        line = Line(number=at, text=text, matches=(_match(message(name), trace, options, text),))
        near = [
            failure
            for failure in failures
            if failure.first - NEAR <= trace.last and trace.first - NEAR <= failure.last
        ]
        if near and trace.empty and any(_has_reason(one) for one in near):
            continue  # an assertion above names the function already
        if near:
            near[0].lines.append(line)
            near[0].last = max(near[0].last, trace.last)
        else:
            failures.append(Failure(stream="", first=trace.first, last=trace.last, lines=[line]))


def _has_reason(failure: Failure) -> bool:
    """Do a failure's lines hold a reason of QEMU's own?"""
    return any(
        match.message.program == "QEMU" and match.message.role is Role.CAUSE
        for _, match in failure.matches
    )


def _first_of_each(found: Iterator[Backtrace]) -> list[Backtrace]:
    """One of each kind; threads that died before those that wait."""
    kept: dict[tuple[str, bool], Backtrace] = {}
    for trace in found:
        kept.setdefault((trace.function, trace.died), trace)
    died = [trace for trace in kept.values() if trace.died]
    died.sort(key=lambda trace: not any(name in _ENDS for name in trace.names))
    return died[:1] or list(kept.values())[:1]


def _match(kind: Message, trace: Backtrace, options: list[str], text: str) -> Match:
    params = trace.parameters(options)
    return Match(message=kind, text=kind.texts[0], params=params, start=0, end=len(text))
