"""What tells how a program, a disk or a host ended, and how a migration did."""

from __future__ import annotations

import re
from collections.abc import Sequence

from migratable.messages.recognise import Match

# What Proxmox, libvirt, nova, oVirt, KubeVirt and QEMU's monitor write at the end of a migration.
_DONE = re.compile(
    r"migration finished successfully|^TASK OK|migration status: completed|reason=migrated|"
    r"Migrating instance to \S+ finished successfully|Migration operation has completed|"
    r"[Ll]ive migration (?:succeeded|completed)|Migration completed \(VM|MigrationSucceeded|"
    r"live migration to \S+ succeeded|VM Migrat\w+ \(?Success|"
    r"\bMigration: \[100 ?%\]|^Migration status: completed"
)
_NOT_DONE = re.compile(
    r"TASK ERROR|migration (?:aborted|problems|finished with problems)|reason=(?:failed|crashed)|"
    r"[Mm]igration (?:\w+ )?fail|[Ff]ailed to migrat|[Mm]igrate failure|[Rr]oll(?:ing|ed)? ?back|"
    r"MigrationFailed|load of migration failed|error: |core dumped"
)
_GROUP = "crashes"
# QEMU itself ended; the others of the group speak of its host.
ENDED = frozenset(
    {
        "crash-memory", "crash-memory-bare", "crash-division", "crash-instruction", "crash-bus",
        "crash-abort", "crash-abort-bare", "crash-sanitizer", "crash-trap", "crash-core",
        "kernel-segfault", "qemu-crashed", "oom-killed", "oom-host", "oom-cgroup",
        "oom-cpu",
    }
)  # fmt: skip


def completed(lines: Sequence[str], number: int, *, away: bool = False) -> str:
    """The line by which a migration ends well behind line *number*; "" where it does not.

    Nothing may stand between that tells of a failed migration.

    :param away: line *number* says that a guest is not there: also before it.
    """
    before = completed([*reversed(lines[: number - 1])], 1) if away else ""
    if before:
        return before
    for line in lines[number - 1 :]:
        if _NOT_DONE.search(line):
            return ""
        if _DONE.search(line):
            return line.strip()
    return ""


def ends(match: Match) -> bool:
    """Does *match* tell how a program, a disk or a host ended?"""
    return match.message.group == _GROUP or match.message.id in ENDED
