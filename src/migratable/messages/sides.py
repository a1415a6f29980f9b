"""Which side's program can print a message, from the functions that hold its text.

``origins.toml`` names them: QEMU's loader, its threads of the source, libvirt's qemuMigrationSrc…
and qemuMigrationDst…. A text that stands in both, or in code that every start, command and query
runs, is printed on any host, and says nothing about a side.
"""

from __future__ import annotations

import re
from functools import cache

from migratable.messages.catalogue import Fault, Message, origins

_SAVES = re.compile(
    r"(?:^|_)(?:pre_|post_)?save(?:_|$)|_send(?:_|$)|send_thread|savevm_|source_return|migrate_fd|"
    r"migration_(?:thread|completion|switchover|iteration)|bg_migration|start_outgoing|"
    r"MigrationSrc|Migrat(?:e|ion)(?:Perform|Begin|Confirm)|outgoing"
)
_LOADS = re.compile(
    r"(?:^|_)(?:pre_|post_)?load(?:_|$)|loadvm|incoming|_recv(?:_|$)|ram_block_from_stream|"
    r"MigrationDst|Migrat(?:e|ion)(?:Prepare|Finish)"
)
# Words by which a text itself names the side.
_NAMES = re.compile(
    r"\b(?:destination|dest|target|source|remote|incoming|outgoing|migrat\w*)\b", re.IGNORECASE
)


@cache
def _functions(message_id: str) -> tuple[str, ...]:
    found = origins().get(message_id, {}).get("origin", [])
    return tuple(
        name
        for origin in found
        if ": " in origin
        for name in origin.rpartition(": ")[2].split(", ")
    )


def printed_on(message: Message) -> Fault | None:
    """The only side that can print *message*: it saves or it loads; None where any host can."""
    if message.of_the_load:
        return Fault.DESTINATION
    functions = _functions(message.id)
    for side, pattern in ((Fault.SOURCE, _SAVES), (Fault.DESTINATION, _LOADS)):
        if functions and all(pattern.search(name) for name in functions):
            return side
    return None


def printed_on_both(message: Message) -> bool:
    """Is *message* printed by code of the source and by code of the destination?"""
    functions = _functions(message.id)
    return all(any(side.search(name) for name in functions) for side in (_SAVES, _LOADS))


def tells_side(message: Message, words: str) -> bool:
    """Do a message, or the *words* of its line, show a side without the rest of the log?"""
    return printed_on(message) is not None or _NAMES.search(words) is not None
