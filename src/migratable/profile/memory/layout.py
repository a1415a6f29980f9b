"""Where the members of QEMU's tables are, found by probing one that every machine has."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from migratable.errors import ProfileError
from migratable.profile.memory.probe import FieldLayout, Layout, Probe
from migratable.profile.memory.process import ProcessMemory

#: ``SaveStateEntry`` (migration/savevm.c), unchanged from 2.11 to 11.1 on 64-bit hosts: two link
#: pointers, idstr, six 32-bit integers, then pointers.
IDSTR = 16
IDSTR_SIZE = 256
NUMBERS = IDSTR + IDSTR_SIZE

#: A machine has some tens to some hundreds of handlers; more is a sign of a wrong list.
MOST_HANDLERS = 100_000


@dataclass(frozen=True, slots=True)
class Entry:
    """The bare members of one ``SaveStateEntry``."""

    idstr: str
    instance_id: int
    alias_id: int
    version: int
    ops: int
    vmsd: int
    opaque: int
    compat: int


_MEMBERS = (
    "offset size start num num_offset size_offset info flags vmsd version struct_version test"
)
FIELD_LAYOUTS: tuple[FieldLayout, ...] = (
    # 3.1 to 10.2 (include/migration/vmstate.h)
    FieldLayout(104, "QQQQQi4xQQQI4xQiiQ", ("name", "err_hint", *_MEMBERS.split())),
    # without err_hint: up to 3.0 (struct_version is padding in 2.11), and 11.0
    FieldLayout(96, "QQQQi4xQQQI4xQiiQ", ("name", *_MEMBERS.split())),
    # 11.1 and later: offsets of counters are 32 bits, their width is beside them (PCIBUS irq_count:
    # 0x8e8, 4; hpet timer: 0x591, 1; sdhci fifo_buffer's size: 0xda0, 4).
    FieldLayout(
        96,
        "QQQIB3xIB3xQi4xQI4xQiiQ",
        (
            "name",
            "offset",
            "size",
            "size_offset",
            "size_width",
            "num_offset",
            "num_width",
            "start",
            "num",
            "info",
            "flags",
            "vmsd",
            "version",
            "struct_version",
            "test",
        ),
    ),
)


def _hooks(first: int, *names: str) -> tuple[tuple[str, int], ...]:
    return tuple((name, first + 8 * index) for index, name in enumerate(names))


#: include/migration/vmstate.h by release.
LAYOUTS: tuple[Layout, ...] = (
    # 2.11 to 3.0
    Layout(
        fields=72,
        subsections=80,
        hooks=_hooks(32, "load_old", "pre_load", "post_load", "pre_save", "needed"),
        minimum_old=20,
    ),
    # 3.1 to 4.1
    Layout(
        fields=80,
        subsections=88,
        hooks=_hooks(32, "load_old", "pre_load", "post_load", "pre_save", "post_save", "needed"),
        minimum_old=20,
    ),
    # 4.2 to 7.1
    Layout(
        fields=88,
        subsections=96,
        hooks=_hooks(
            32, "load_old", "pre_load", "post_load", "pre_save", "post_save", "needed", "unplug"
        ),
        minimum_old=20,
    ),
    # 7.2 to 10.1
    Layout(
        fields=72,
        subsections=80,
        hooks=_hooks(24, "pre_load", "post_load", "pre_save", "post_save", "needed", "unplug"),
    ),
    # 10.2 and later: each hook in a form with errp too
    Layout(
        fields=96,
        subsections=104,
        hooks=_hooks(
            24,
            "pre_load",
            "pre_load_errp",
            "post_load",
            "post_load_errp",
            "pre_save",
            "pre_save_errp",
            "post_save",
            "needed",
            "unplug",
        ),
    ),
)


def find_handlers(memory: ProcessMemory) -> tuple[Entry, ...]:
    """Return all handlers in list order.

    :raise ProfileError: when no list of handlers is in the process.
    """
    needle = b"timer" + b"\0" * (IDSTR_SIZE - 5)
    heap = sorted((r for r in memory.regions if r.is_heap), key=lambda r: r.name != "[heap]")
    for address in memory.search(needle, iter(heap)):
        entries = _follow(memory, address - IDSTR)
        if entries is not None:
            return entries
    raise ProfileError("the destination's list of migration handlers was not found in its memory")


def _entry(memory: ProcessMemory, address: int) -> Entry | None:
    name = memory.read(address + IDSTR, IDSTR_SIZE)
    numbers = memory.unpack("IiiiiiQQQQ", address + NUMBERS)
    if name is None or numbers is None:
        return None
    text, _, padding = name.partition(b"\0")
    if not text or not all(0x20 <= byte < 0x7F for byte in text) or padding.strip(b"\0"):
        return None
    instance_id, alias_id, version, _, _, _, ops, vmsd, opaque, compat = numbers
    if bool(ops) == bool(vmsd):  # a handler has the one or the other
        return None
    return Entry(
        idstr=text.decode("ascii"),
        instance_id=instance_id,
        alias_id=alias_id,
        version=version,
        ops=ops,
        vmsd=vmsd,
        opaque=opaque,
        compat=compat,
    )


def _follow(memory: ProcessMemory, anywhere: int) -> tuple[Entry, ...] | None:
    """Walk a QTAILQ: back to its head through ``tql_prev``, then forward through the entries."""
    if _entry(memory, anywhere) is None:
        return None
    first = anywhere
    for _ in range(MOST_HANDLERS):
        previous = memory.word(first + 8)
        if previous is None or _entry(memory, previous) is None:
            break
        first = previous
    entries: list[Entry] = []
    at = first
    while at and len(entries) < MOST_HANDLERS:
        entry = _entry(memory, at)
        following = memory.word(at)
        if entry is None or following is None:
            return None
        entries.append(entry)
        at = following
    return tuple(entries) if len(entries) > 1 else None


def find_layout(memory: ProcessMemory, entries: Sequence[Entry]) -> Layout:
    """Return the one layout under which the tables of all handlers make sense.

    :raise ProfileError: when none does, or several do: then nothing is guessed.
    """
    addresses = list(dict.fromkeys(entry.vmsd for entry in entries if entry.vmsd))
    fitting = [
        replace(layout, field=field)
        for layout in LAYOUTS
        for field in FIELD_LAYOUTS
        if Probe(memory, replace(layout, field=field)).fits(addresses)
    ]
    if len(fitting) == 1:
        return fitting[0]
    why = "in a way that is not known yet" if not fitting else "in a way that is not clear"
    raise ProfileError(
        f"this QEMU lays out its VMStateDescription {why} "
        "(migratable/profile/memory/layout.py is the place to add it); `migratable rehearse` works"
    )
