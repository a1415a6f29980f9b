"""Does the guest run on after the load? Watched from outside, without knowledge of the guest.

QEMU reports ``completed`` also for guests that then stand still: pseries Linux on 11.1 sleeps for
ever after any load, on 10.0 one of two vCPUs does, a program that used AVX dies on 5.2. What tells
these apart is seen only when the guest runs:

* console: what the guest prints on its serial lines (kept in memory, the last 64 KiB of each),
* each vCPU's thread: does it wake up, and does it do any work (``/proc/PID/task/TID/schedstat``),
* pseries: a decrementer far below zero in a vCPU that sleeps: its interrupt was never delivered,
* QEMU's events: panic, reset, shutdown, internal error.
"""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from migratable.commandline.inert.inert import InertCommandLine
from migratable.errors import QemuError
from migratable.qemu.process import QemuProcess
from migratable.qemu.qmp import QmpClosedError, QmpError

_CONSOLE_SIZE = 65536
_CRASH = re.compile(
    r"Kernel panic|Oops[: ]|\bBUG: (?!soft lockup)|Attempted to kill init|"
    r"Unable to handle kernel|unhandled signal|segfault at|trap invalid opcode"
)
_LOCKUP = re.compile(
    r"Hard LOCKUP|detected hard LOCKUP|soft lockup|self-detected stall|detected stalls|"
    r"blocked for more than"
)
_FATAL_EVENTS = {
    "GUEST_PANICKED": "the guest's kernel panicked",
    "GUEST_CRASHLOADED": "the guest's kernel crashed",
    "SHUTDOWN": "the guest shut down",
    "RESET": "the guest was reset",
}
_SAMPLE = 0.5
_EXPIRED = 1 << 24  # timebase ticks; pseries has 512 million of them a second


@dataclass(frozen=True, slots=True, kw_only=True)
class VCpu:
    """One vCPU over the time of watching.

    :ivar wakes: how often its thread was scheduled.
    :ivar busy: part of the time that its thread ran, 0 to 1.
    :ivar asleep: seconds, up to the end of watching, in which it never woke.
    :ivar overdue: pseries: the decrementer ran below zero and no interrupt came.
    """

    index: int
    wakes: int
    busy: float
    asleep: float
    overdue: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Guest:
    """What the guest did.

    :ivar state: ``runs``, ``stands-still``, ``stuck`` (some vCPUs only), ``crashed``, ``unknown``.
    :ivar reasons: why, in words.
    :ivar console: the last lines that it printed.
    """

    state: str
    reasons: tuple[str, ...]
    seconds: float
    vcpus: tuple[VCpu, ...] = ()
    console: tuple[str, ...] = ()
    console_bytes: int = 0
    events: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """For the verdict's ``destination``."""
        return {
            "state": self.state,
            "reasons": list(self.reasons),
            "seconds": round(self.seconds, 1),
            "vcpus": [
                {
                    "index": vcpu.index,
                    "wakes": vcpu.wakes,
                    "busy": round(vcpu.busy, 3),
                    "asleep_seconds": round(vcpu.asleep, 1),
                    "decrementer_overdue": vcpu.overdue,
                }
                for vcpu in self.vcpus
            ],
            "console": list(self.console),
            "console_bytes": self.console_bytes,
            "events": list(self.events),
        }


def listening(quiet: InertCommandLine) -> InertCommandLine:
    """The same command line with memory buffers behind its serial lines, so that they can be read.

    The kind of character device does not show in a stream (null, file, ringbuf: all the same).
    """
    words: list[str] = []
    serial = False
    count = 0
    extra: list[str] = []
    argv = quiet.plain_argv
    for number, word in enumerate(argv):
        before = argv[number - 1] if number else ""
        if before in {"-serial", "--serial"}:
            serial = True
            if word == "null":
                name = f"migratable-console{count}"
                count += 1
                extra += ["-chardev", f"ringbuf,id={name},size={_CONSOLE_SIZE}"]
                words.append(f"chardev:{name}")
                continue
        if before in {"-chardev", "--chardev"} and word.startswith("null,id="):
            word = word.replace("null,", "ringbuf,", 1) + f",size={_CONSOLE_SIZE}"  # noqa: PLW2901 -- the same word
        words.append(word)
    if not serial and "-nodefaults" not in words:
        extra += ["-chardev", f"ringbuf,id=migratable-console,size={_CONSOLE_SIZE}"]
        extra += ["-serial", "chardev:migratable-console"]
    return replace(quiet, plain_argv=[*words, *extra])


@dataclass(slots=True)
class _Thread:
    index: int
    tid: int
    path: str
    first: tuple[int, int] = (0, 0)
    last: tuple[int, int] = (0, 0)
    changed: float = 0.0


@dataclass(slots=True)
class _Watch:
    qemu: QemuProcess
    threads: list[_Thread] = field(default_factory=list)
    consoles: list[str] = field(default_factory=list)
    text: str = ""
    size: int = 0

    def schedule(self, thread: _Thread) -> tuple[int, int]:
        """Nanoseconds on a processor, and how often it was put there."""
        path = Path(f"/proc/{self.qemu.pid}/task/{thread.tid}/schedstat")
        try:
            spent, _, times = path.read_text(encoding="ascii").split()
        except (OSError, ValueError):
            return 0, 0
        return int(spent), int(times)

    def read_consoles(self) -> None:
        for name in self.consoles:
            try:
                data = self.qemu.qmp("ringbuf-read", device=name, size=_CONSOLE_SIZE)
            except QmpError:
                continue
            self.size += len(str(data))
            self.text = (self.text + str(data))[-4 * _CONSOLE_SIZE :]


def observe(qemu: QemuProcess, quiet: InertCommandLine, seconds: float) -> Guest:
    """Let the loaded guest run for some seconds and say what it did.

    :raise QemuError: When QEMU hangs.
    """
    watch = _Watch(qemu)
    watch.consoles = _ringbufs(quiet.plain_argv)
    start = time.monotonic()
    events: list[str] = []
    try:
        watch.threads = [
            _Thread(
                index=int(cpu["cpu-index"]),
                tid=qemu.thread(int(cpu["thread-id"])),
                path=cpu["qom-path"],
            )
            for cpu in qemu.qmp("query-cpus-fast")
        ]
        for thread in watch.threads:
            thread.first = thread.last = watch.schedule(thread)
            thread.changed = start
        qemu.monitor.events.clear()
        qemu.qmp("cont")
        while time.monotonic() - start < seconds:
            time.sleep(_SAMPLE)
            now = time.monotonic()
            for thread in watch.threads:
                sample = watch.schedule(thread)
                if sample[1] != thread.last[1] or sample[0] - thread.last[0] > 1_000_000:
                    thread.changed = now
                thread.last = sample
            watch.read_consoles()
            events = [str(event.get("event")) for event in qemu.monitor.events]
            if any(name in _FATAL_EVENTS for name in events):
                break
        status = str(qemu.qmp("query-status").get("status"))
        overdue = {thread.index: _overdue(qemu, thread.index) for thread in watch.threads}
    except QmpClosedError:
        code = qemu.wait(5.0)
        return Guest(
            state="crashed",
            reasons=(f"QEMU itself ended while the guest ran (exit status {code})",),
            seconds=time.monotonic() - start,
            console=_tail(watch.text),
            console_bytes=watch.size,
        )
    end = time.monotonic()
    vcpus = tuple(
        VCpu(
            index=thread.index,
            wakes=thread.last[1] - thread.first[1],
            busy=(thread.last[0] - thread.first[0]) / 1e9 / max(end - start, 0.001),
            asleep=end - thread.changed,
            overdue=overdue[thread.index],
        )
        for thread in watch.threads
    )
    state, reasons = judge(vcpus, watch.text, events, status, end - start)
    return Guest(
        state=state,
        reasons=tuple(reasons),
        seconds=end - start,
        vcpus=vcpus,
        console=_tail(watch.text),
        console_bytes=watch.size,
        events=tuple(dict.fromkeys(events)),
    )


def judge(
    vcpus: Sequence[VCpu], text: str, events: Sequence[str], status: str, seconds: float
) -> tuple[str, list[str]]:
    """The guest's state (see :class:`Guest`) and the reasons for it, in words."""
    fatal = [_FATAL_EVENTS[name] for name in events if name in _FATAL_EVENTS]
    if fatal:
        return "crashed", list(dict.fromkeys(fatal))
    for pattern, state in ((_CRASH, "crashed"), (_LOCKUP, "stuck")):
        if match := pattern.search(text):
            line = next(one for one in text.splitlines() if match[0] in one)
            return state, [f"its console shows: {line.strip()[:200]}"]
    if status not in {"running", "suspended"}:
        return "unknown", [f"QEMU's run state is {status!r}, so the guest does not run"]
    still = [vcpu for vcpu in vcpus if vcpu.asleep > seconds * 0.5]
    overdue = [vcpu for vcpu in vcpus if vcpu.overdue]
    printed = "it printed nothing" if not text.strip() else "it printed to its console"
    if still and len(still) == len(vcpus):
        why = [f"no vCPU woke in the last {min(vcpu.asleep for vcpu in still):.0f} s; {printed}"]
        if overdue:
            why.append("its decrementer ran below zero and the interrupt was never delivered")
        return "stands-still", why
    if overdue:
        names = ", ".join(str(vcpu.index) for vcpu in overdue)
        return "stuck", [
            f"vCPU {names} sleeps with its decrementer below zero: the interrupt never came"
        ]
    if still:
        names = ", ".join(str(vcpu.index) for vcpu in still)
        return "runs", [f"{printed}; vCPU {names} slept all the time, as idle vCPUs may"]
    return "runs", [f"all vCPUs work; {printed}"]


def _overdue(qemu: QemuProcess, index: int) -> bool:
    """pseries: a halted vCPU whose decrementer expired long ago (``info registers``: DECR)."""
    try:
        text = str(
            qemu.qmp("human-monitor-command", command_line="info registers", **{"cpu-index": index})
        )
    except QmpError:
        return False
    match = re.search(r"\bDECR (\d+)", text)
    if match is None:
        return False
    value = int(match[1])
    bits = 64 if value >> 32 else 32  # large decrementer or not; printed without sign
    return bool(value >> bits - 1) and (1 << bits) - value > _EXPIRED


def _ringbufs(argv: Sequence[str]) -> list[str]:
    return [
        match[1] for word in argv if (match := re.match(r"ringbuf,id=([^,]+)", word)) is not None
    ]


def _tail(text: str) -> tuple[str, ...]:
    lines = [line.rstrip() for line in text.splitlines() if line.strip()]
    return tuple(lines[-12:])


__all__ = ["Guest", "QemuError", "VCpu", "listening", "observe"]
