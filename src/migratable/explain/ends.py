"""Messages that tell how a program, a disk or a host ended."""

from __future__ import annotations

from migratable.messages.recognise import Match

_GROUP = "crashes"
# QEMU itself ended; the others of the group speak of its host.
ENDED = frozenset(
    {
        "crash-memory", "crash-memory-bare", "crash-division", "crash-instruction", "crash-bus",
        "crash-abort", "crash-abort-bare", "crash-sanitizer", "crash-trap", "crash-core",
        "kernel-segfault", "qemu-crashed", "oom-killed", "oom-host", "oom-cgroup",
    }
)  # fmt: skip


def ends(match: Match) -> bool:
    """Does *match* tell how a program, a disk or a host ended?"""
    return match.message.group == _GROUP or match.message.id in ENDED
