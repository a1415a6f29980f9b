"""The grammar of a migration stream, as constants.

::

    stream        = header [configuration] element* EOF [vmdesc] [padding]
    header        = u32 "QEVM", u32 3
    configuration = 0x07, u32 length, machine name, subsection*
    element       = section | command
    section       = 0x01|0x04 (START|FULL), u32 section_id, counted idstr, u32 instance_id,
                    u32 version_id, body, [footer]
                  | 0x02|0x03 (PART|END), u32 section_id, body, [footer]
    footer        = 0x7e, u32 section_id
    command       = 0x08, u16 number, u16 length, payload
    subsection    = 0x05, counted name, u32 version, body          (only inside bodies)
    vmdesc        = 0x06, u32 length, JSON
    counted       = u8 length, bytes

Every integer is big-endian. The length of a section's body is not on the wire; see
:mod:`migratable.stream.reader` for how it is found. Source: QEMU ``migration/savevm.c``,
``qemu_savevm_state_*`` and ``qemu_loadvm_state_main``; the same from 4.1 to 11.1.
"""

from __future__ import annotations

import enum

MAGIC = 0x5145564D
"""``QEVM``; QEMU_VM_FILE_MAGIC."""
VERSION = 3
"""QEMU_VM_FILE_VERSION; 2 was the last before, refused since long."""

EOF = 0x00
SECTION_START = 0x01
SECTION_PART = 0x02
SECTION_END = 0x03
SECTION_FULL = 0x04
SUBSECTION = 0x05
VMDESCRIPTION = 0x06
CONFIGURATION = 0x07
COMMAND = 0x08
SECTION_FOOTER = 0x7E

MAX_ELEMENTS = 100_000
"""Sections and commands kept one by one; more can only be RAM rounds, which are then merged."""
MAX_VMDESC = 16 << 20
"""Bytes of vmdesc JSON that are read; real ones have 0.05 to 3 MB."""
MAX_VMDESC_VALUES = 800_000
"""Members and elements in it, so that small JSON cannot become large objects."""
MAX_NESTING = 64
"""Depth of nested structs and subsections; QEMU's own stay under 10."""


class SectionKind(enum.IntEnum):
    """The kind of a section: whole, or the start, a part or the end of an iterated one."""

    START = SECTION_START
    PART = SECTION_PART
    END = SECTION_END
    FULL = SECTION_FULL


WHOLE = frozenset({SectionKind.START, SectionKind.FULL})
"""Kinds of sections that have a name, an instance id and a version id."""


def footer(section_id: int) -> bytes:
    """A section's footer (``migration/savevm.c: save_section_footer``)."""
    return bytes([SECTION_FOOTER]) + section_id.to_bytes(4, "big")


class CommandKind(enum.IntEnum):
    """Numbers of ``enum qemu_vm_cmd`` (``migration/savevm.c``)."""

    INVALID = 0
    OPEN_RETURN_PATH = 1
    PING = 2
    POSTCOPY_ADVISE = 3
    POSTCOPY_LISTEN = 4
    POSTCOPY_RUN = 5
    POSTCOPY_RAM_DISCARD = 6
    PACKAGED = 7
    ENABLE_COLO = 8
    POSTCOPY_RESUME = 9
    RECV_BITMAP = 10
    SWITCHOVER_START = 11


class RamFlag(enum.IntFlag):
    """Low bits of a RAM record's u64 (``RAM_SAVE_FLAG_*``, ``migration/ram.c``)."""

    FULL = 0x01
    ZERO = 0x02
    MEM_SIZE = 0x04
    PAGE = 0x08
    EOS = 0x10
    CONTINUE = 0x20
    XBZRLE = 0x40
    HOOK = 0x80
    COMPRESS_PAGE = 0x100
    MULTIFD_FLUSH = 0x200
