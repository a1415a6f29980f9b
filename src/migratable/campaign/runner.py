"""Save on the source, load on the destination: what real QEMU does."""

from __future__ import annotations

import gzip
import shlex
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from migratable.campaign.cache import Cache, Outcome
from migratable.campaign.case import Group, Side
from migratable.campaign.process import Qemu
from migratable.errors import LabError, QemuError
from migratable.lab import find
from migratable.qemu.qmp import QmpError

_TIMEOUT = 60.0
_ABNORMAL = 128  # a shell's status for a signal; Popen's is negative


def run(group: Group, cache: Cache, *, cached_only: bool = False) -> list[Outcome]:
    """Outcomes of a group's pairs, from the cache or from now; none when it cannot be saved.

    :raise LabError: when a release is not there.
    """
    found: list[Outcome] = []
    missing: list[Side] = []
    for destination in group.destinations:
        known = cache.outcome(group.source, destination)
        if known is not None:
            found.append(known)
        else:
            missing.append(destination)
    if not missing or cached_only:
        return found
    with tempfile.TemporaryDirectory(prefix="migratable-campaign-") as folder:
        path = Path(folder) / "stream"
        source = cache.source(group.source)
        if source is None:
            source, stream = save(group.source, path)
            cache.put_source(group.source, source, stream)
        elif source["status"] == "saved":
            path.write_bytes(gzip.decompress(cache.stream_path(group.source).read_bytes()))
        if source["status"] == "saved":
            for destination in missing:
                outcome = load(group.label, group.source, destination, path)
                cache.put_outcome(outcome)
                found.append(outcome)
    return found


def save(side: Side, path: Path) -> tuple[dict[str, Any], bytes | None]:
    """Save a machine into *path*; what became of it, and its stream."""
    waiting = [] if side.run else ["-S"]
    try:
        with Qemu(_command(side), [*side.argv, *waiting], timeout=_TIMEOUT) as qemu:
            if not qemu.running:
                return {"status": "no-start", "lines": qemu.lines()}, None
            try:
                if side.run:
                    time.sleep(side.run)
                    qemu.qmp("stop")
                qemu.qmp("migrate-set-parameters", max_bandwidth=1 << 40)
                qemu.qmp("migrate", uri=f"exec:cat >{shlex.quote(str(path))}")
            except QmpError as error:
                return {"status": "blocked", "lines": [error.description]}, None
            status = qemu.settled(_TIMEOUT)
            lines = qemu.lines()
            if status != "completed":
                return {"status": f"save-{status}", "lines": lines}, None
    except QemuError as error:
        return {"status": "hangs", "lines": [str(error)]}, None
    return {"status": "saved", "lines": lines}, path.read_bytes()


def load(label: str, source: Side, destination: Side, path: Path) -> Outcome:
    """Load *path* on the destination."""
    arguments = [*destination.argv, "-S", "-incoming", "defer"]
    start: list[str] = []
    lines: list[str] = []
    exit_status: int | None = None
    try:
        with Qemu(_command(destination), arguments, timeout=_TIMEOUT) as qemu:
            start = qemu.lines()
            if not qemu.running:
                status, exit_status = "no-start", qemu.status
            else:
                qemu.qmp("migrate-incoming", uri=f"exec:cat {shlex.quote(str(path))}")
                status = _verdict(qemu, qemu.settled(_TIMEOUT))
                exit_status = qemu.status
                lines = qemu.lines()[len(start) :]
    except QemuError as error:
        status, lines = "hangs", [*lines, str(error)]
    return Outcome(
        label=label,
        source=source,
        destination=destination,
        status=status,
        start=tuple(start),
        lines=tuple(lines),
        exit_status=exit_status,
    )


def _verdict(qemu: Qemu, settled: str) -> str:
    if settled == "completed":
        return "loads"
    if settled == "hangs":
        return "hangs"
    status = qemu.wait(10.0)
    abnormal = status is not None and (status < 0 or status >= _ABNORMAL)
    return "crash" if abnormal else "refused"


def _command(side: Side) -> Sequence[str]:
    try:
        return find(side.release, side.arch).command
    except LabError as error:
        raise LabError(f"the campaign needs QEMU {side.release} ({side.arch}): {error}") from error
