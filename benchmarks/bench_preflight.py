"""Two hosts, one command: from connecting to the way back, on hosts that are network namespaces."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Iterator
from typing import Any

import pytest

from benchmarks import PROGRAM, Row, best, seconds
from migratable.errors import LabError
from migratable.lab import find
from tests.hosts.machines import Network, network

_GUEST = (
    *("-machine", "pc-q35-7.2", "-m", "4G", "-smp", "2", "-vga", "std"),
    *("-device", "virtio-net-pci,netdev=lan", "-netdev", "user,id=lan"),
    *("-device", "qemu-xhci", "-device", "virtio-rng-pci"),
)
_FLEET = 10
"""Guests of the fleet's row, on one host; two destinations."""


def rows() -> Iterator[Row]:
    """Measure; nothing where hosts cannot be made."""
    try:
        with network() as net:
            yield from _rows(net)
    except (pytest.skip.Exception, LabError) as error:
        yield Row(what="preflight", value=0.0, note=f"not measured: {error}")


def _rows(net: Network) -> Iterator[Row]:
    source, _, _ = net.host("bench-a"), net.host("bench-b"), net.host("bench-c")
    accelerator = "kvm" if os.access("/dev/kvm", os.W_OK) else "tcg"
    older = find("7.2", "x86_64").path
    source.guest(older, "web0", *_GUEST, accel=accelerator)
    program = ("--program", str(find("10.0", "x86_64").path))
    pauses: list[float] = []

    def one() -> float:
        found = _ask(net, "ssh://bench-a/web0", "--to", "bench-b", *program)
        pauses.append(found["guest"]["state"]["pause_ms"])
        return float(found["seconds"])

    start = (*PROGRAM, "profile", "--json", "--", *program[1:], *_GUEST)
    profiled = seconds(start, times=5)
    yield Row(what="profile of a q35 command line, on this host", value=profiled)
    single = best(one, 5)
    what = "preflight of that guest, there and back"
    yield Row(what=what, value=single, beside=profiled, most=12, note="starts six QEMUs")
    yield Row(what="  the guest's pause, the longest", value=max(pauses), unit="ms")
    for number in range(1, _FLEET):
        source.guest(older, f"web{number}", *_GUEST, accel=accelerator)
    found = _ask(net, "ssh://bench-a", "--to", "bench-b", "bench-c", *program)
    what = f"preflight of {_FLEET} guests × 2 hosts"
    yield Row(what=what, value=float(found["seconds"]), beside=2 * _FLEET * single, most=1)


def _ask(net: Network, *words: str) -> dict[str, Any]:
    began = time.perf_counter()
    done = subprocess.run(
        [*PROGRAM, "preflight", *words, "--yes", "--json"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=True,
        env={**os.environ, "MIGRATABLE_SSH": net.ssh},
    )
    return {**json.loads(done.stdout), "seconds": time.perf_counter() - began}
