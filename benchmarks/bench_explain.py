"""How fast `migratable explain` reads: a log of noise with failed migrations in it, one core.

The noise is libvirt's debug log, KubeVirt's JSON lines, sshd, systemd and the kernel.
"""

from __future__ import annotations

import hashlib
import random
import resource
from collections.abc import Iterator
from typing import BinaryIO, cast

from benchmarks import Row
from migratable.explain.story import explain

SIZE = 1 << 30
NOISE = [
    "2026-11-23 19:58:12.{n:03}+0000: 1234: debug : virEventPollDispatchHandles:480 : "
    "EVENT_POLL_DISPATCH_HANDLE: watch={n} events=1",
    "2026-11-23 19:58:12.{n:03}+0000: 1234: info : qemuMonitorIOWrite:423 : QEMU_MONITOR_IO_WRITE: "
    'mon=0x7f2b buf={{"execute":"query-migrate","id":"libvirt-{n}"}}',
    "Nov 23 19:58:12 host sshd[{n}]: Failed password for invalid user admin from 10.0.0.1",
    "Nov 23 19:58:12 host systemd[1]: Started Session {n} of user root.",
    'Nov 23 19:58:12 host kernel: [{n}.123] audit: type=1400 apparmor="ALLOWED" name="/dev/x"',
    '{{"component":"virt-handler","level":"info","msg":"Processing event default/vm-{n}",'
    '"pos":"vm.go:1234","timestamp":"2026-11-23T19:58:12.1Z"}}',
    "I1123 19:58:12.123456       1 reconciler.go:{n}] operationExecutor.VerifyController started",
]
FAILURE = """\
2026-11-23T19:58:12.000000Z qemu-kvm: Missing section footer for 0000:00:01.3/piix4_pm
2026-11-23T19:58:12.000100Z qemu-kvm: load of migration failed: Invalid argument
2026-11-23 19:58:12.000+0000: shutting down, reason=failed
"""


def block(rng: random.Random) -> bytes:
    lines = [rng.choice(NOISE).format(n=rng.randrange(1000)) for _ in range(40_000)]
    lines[20_000] += "\n" + FAILURE
    return "\n".join(lines).encode() + b"\n"


class Endless:
    """A file of *size* bytes that is never stored."""

    def __init__(self, size: int) -> None:
        self.left = size
        rng = random.Random(7)
        self.blocks = [block(rng) for _ in range(4)]
        self.source = self.stream()
        self.rest = b""

    def stream(self) -> Iterator[bytes]:
        """The data, block by block."""
        number = 0
        while self.left > 0:
            data = self.blocks[number % 4][: self.left]
            self.left -= len(data)
            number += 1
            yield data

    def read(self, size: int) -> bytes:
        """As a file's."""
        while len(self.rest) < size:
            try:
                self.rest += next(self.source)
            except StopIteration:
                break
        data, self.rest = self.rest[:size], self.rest[size:]
        return data


def rows() -> Iterator[Row]:
    """Seconds of CPU for a gigabyte beside its SHA-256, and the peak of memory beside 64 MiB's."""
    lines, _, small = _explained(64 << 20)
    digest, begin = hashlib.sha256(), _cpu()
    for data in Endless(SIZE).stream():
        digest.update(data)
    hashed = _cpu() - begin
    yield Row(what="sha256 of 1 GiB of log, CPU time", value=hashed)
    lines, cpu, memory = _explained(SIZE)
    yield Row(
        what="explain: 1 GiB of log, CPU time",
        value=cpu,
        beside=hashed,
        most=20,
        note=f"{lines:,} lines of mixed noise, a failure every 4 MiB",
    )
    yield Row(what="explain: peak memory, 64 MiB of log", value=small, unit="MB")
    yield Row(what="  1 GiB of log", value=memory, unit="MB", beside=small, most=1.5)


def _explained(size: int) -> tuple[int, float, float]:
    """Lines, seconds of CPU, and peak of this process's memory in MB until now."""
    log = Endless(size)
    begin = _cpu()
    found = explain(cast("BinaryIO", log))
    cpu = _cpu() - begin
    if [item.rule for item in found.explanations] != ["section-footer"]:
        raise RuntimeError("the failure in the log was not found")
    return found.lines, cpu, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime
