"""Types of fields (``VMStateInfo``) by their names, and their bytes on the wire.

Source: ``migration/vmstate-types.c``, ``target/*/machine.c`` and the files that are named; 4.1 to
11.1. Types that need code of their own are in :mod:`migratable.check.vmstate_types` and
:mod:`migratable.check.devices`.
"""

from __future__ import annotations

from collections.abc import Mapping

#: Types whose elements are plain numbers: width on the wire in bytes.
PLAIN: Mapping[str, int] = {
    "bool": 1,
    "int8": 1,
    "uint8": 1,
    "int16": 2,
    "uint16": 2,
    "int32": 4,
    "uint32": 4,
    "int64": 8,
    "uint64": 8,
    "float64": 8,
    "CPU_Double_U": 8,
    "timer": 8,
    "fpr": 8,
    "vsr": 8,
    "slbe": 16,
}

#: Types of fixed size that no loader looks into.
FIXED: Mapping[str, int] = {
    "avr": 16,
    "cpu/altivec/vscr": 4,
    "cpu/fpscr": 4,
    "cpu/fpsr": 4,
    "cpu/fpcr": 4,
    "fpscr": 4,  # target/arm/machine.c: get_fpscr; 0 leaves fpcr and fpsr to a subsection
    "fpcr": 8,
    "fpsr": 8,
    "pstate64": 8,
    "cpsr": 4,
    "powered_off": 1,
    "css_devid": 4,
}

#: Registers of processors of targets that nothing is said to load of (target/mips, target/hppa):
#: they are skipped by the size that the stream states, for what follows.
SKIPPED = frozenset({"tlb_entry", "tlb entry", "psw"})

#: Types that are compared with the value that the destination holds, and their width in bytes
#: (migration/vmstate-types.c: ``get_int32_equal`` …).
COMPARED: Mapping[str, int] = {
    "int32 equal": 4,
    "uint32 equal": 4,
    "int64 equal": 8,
    "uint64 equal": 8,
    "uint8 equal": 1,
    "uint16 equal": 2,
    "int32 le": 4,
}

#: Numbers that are narrower on the wire than in memory: both widths in bytes.
WIDENED: Mapping[str, tuple[int, int]] = {
    "uint16_from_uint8": (1, 2),  # hw/nvram/eeprom93xx.c
    "int32_as_uint16": (2, 4),  # hw/rtc/twl92230.c
}

#: Bytes on the wire of a tree's key that has a description, by description and field of the tree:
#: the description stands behind the value's in memory, where no pointer leads to.
TREE_KEYS: Mapping[tuple[str, str], int] = {
    ("domain", "mappings"): 16,  # hw/virtio/virtio-iommu.c: VMSTATE_INTERVAL
}
