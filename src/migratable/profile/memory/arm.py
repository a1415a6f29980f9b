"""Which coprocessor and system registers an Arm processor holds constant.

``cpu_post_load`` fails where a register does not read back as it came, and a constant one
(``ARM_CP_CONST``, or one without a field) never does but with its own value. Which these are is in
``ARMCPU.cp_regs``, a ``GHashTable`` of ``ARMCPRegInfo`` (target/arm/cpregs.h, cpu.h up to 5.2)::

    GHashTable *cp_regs;  uint64_t *cpreg_indexes, *cpreg_values;  int32_t cpreg_array_len;
    uint64_t *cpreg_vmstate_indexes;                        <- the description has this one's offset

    ARMCPRegInfo { const char *name; uint8_t cp, crn, crm, opc0, opc1, opc2; int state, type; … }

The bit of ``ARM_CP_CONST`` differs by release, so it is taken from registers that are nothing else.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from migratable.profile.memory.process import ProcessMemory
from migratable.profile.tables import Handler, Vmsd

_CP_REGS_BEFORE = 32
_TYPE = 20
#: Registers whose type is ``ARM_CP_CONST`` and nothing else (target/arm/helper.c, id_registers).
_ALWAYS_CONSTANT = ("ID_ISAR0", "ID_ISAR1", "TCMTR")
_MOST_REGISTERS = 1 << 14
#: ``GHashTable``: sizes and counts, then keys, hashes, values; ``size`` is an int or a gsize.
_TABLES = ("iiIIIIQQQ", "QiIIIIxxxxQQQ")
_UNUSED = 2  # hashes below are of unused slots


def constants(
    memory: ProcessMemory, handlers: Sequence[Handler], vmsds: Sequence[Vmsd]
) -> dict[int, tuple[int, ...]]:
    """Numbers (as ``cpreg_vmstate_indexes`` has them) of the constants of each processor."""
    found: dict[int, tuple[int, ...]] = {}
    for handler in handlers:
        if handler.idstr != "cpu" or handler.vmsd is None:
            continue
        for item in vmsds[handler.vmsd].fields:
            if item.name == "cpreg_vmstate_indexes":
                table = memory.word(handler.opaque + item.offset - _CP_REGS_BEFORE)
                registers = dict(_registers(memory, table or 0))
                found[handler.instance_id] = _constant(memory, registers)
    return {instance: numbers for instance, numbers in found.items() if numbers}


def _registers(memory: ProcessMemory, table: int) -> Iterator[tuple[int, int]]:
    """Key and address of each register's description."""
    for form in _TABLES:
        head = memory.unpack(form, table) if table else None
        if head is None:
            continue
        size, modulus, mask, nodes, occupied, big, keys, hashes, values = head
        plain = 0 < nodes <= occupied <= size <= _MOST_REGISTERS and mask == size - 1
        if not plain or not 0 < modulus <= size or not all(map(memory.region, (keys, hashes))):
            continue
        used = memory.unpack(f"{size}I", hashes)
        named = memory.unpack(f"{size}{'Q' if big & 1 else 'I'}", keys)
        places = memory.unpack(f"{size}Q", values)
        if used is None or named is None or places is None:
            continue
        for mark, key, place in zip(used, named, places, strict=True):
            if mark >= _UNUSED:
                # Up to 5.2 the key is a pointer to the number (g_int_hash).
                number = memory.word(key, 4) if big & 1 else key
                if number is not None:
                    yield number, place
        return


def _constant(memory: ProcessMemory, registers: Mapping[int, int]) -> tuple[int, ...]:
    kinds: dict[int, int] = {}
    places: dict[str, list[int]] = {}
    for number, place in registers.items():
        name = memory.string(memory.word(place) or 0)
        kind = memory.word(place + _TYPE, 4)
        if name is None or kind is None:
            return ()
        kinds[number] = kind
        if name in _ALWAYS_CONSTANT and kind and not kind & (kind - 1):
            places.setdefault(name, []).append(place)
    bits = {memory.word(place + _TYPE, 4) for some in places.values() for place in some}
    bit = bits.pop() if len(bits) == 1 else None
    if bit is None:
        return ()
    field = _field_offset(memory, places)
    return tuple(
        sorted(
            _index(number)
            for number, kind in kinds.items()
            if kind & bit or (not kind and field and memory.word(registers[number] + field) == 0)
        )
    )


def _field_offset(memory: ProcessMemory, places: Mapping[str, Sequence[int]]) -> int | None:
    """Where ``fieldoffset`` is: behind ``resetvalue``, in which two ID registers differ.

    A register without a field gives what a function computes (L2CTLR: from the number of
    processors), and keeps nothing that is written to it; those whose functions store elsewhere have
    ARM_CP_IO (PMEVCNTR) or ARM_CP_FPU (FPCR).
    """
    one, other = places.get("ID_ISAR0", ()), places.get("ID_ISAR1", ())
    for offset in range(_TYPE + 12, _TYPE + 60, 8):
        values = {memory.word(place + offset) for place in one}
        others = {memory.word(place + offset) for place in other}
        if len(values) == len(others) == 1 and values != others and 0 not in values | others:
            return offset + 8
    return None


_AA64, _WIDE = 1 << 28, 1 << 15


def _index(number: int) -> int:
    """``target/arm/cpregs.h: cpreg_to_kvm_id``: KVM's number of a register of the hash table."""
    if number & _AA64:
        return (number & ~_AA64) | 0x6030_0000_0000_0000
    if number & _WIDE:
        return (number & ~_WIDE) | 0x4030_0000_0000_0000
    return number | 0x4020_0000_0000_0000
