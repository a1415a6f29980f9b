"""A boot sector that reads a virtio disk for ever, and counts on the serial port: ``F 001a``.

The code below, assembled (AT&T syntax, ``.code16``, at 0x7c00)::

    _start: cli; xor %ax,%ax; mov %ax,%ds; mov %ax,%es; mov %ax,%ss; mov $0x7c00,%sp; sti
            mov %dl,drive
    again:  incw count; mov count,%ax; and $63,%ax; mov %ax,sector
            mov $packet,%si; mov $0x42,%ah; mov drive,%dl; int $0x13
            mov $'E',%al; jc 1f; mov $'F',%al
    1:      call put; mov $' ',%al; call put
            mov count+1,%al; call hex; mov count,%al; call hex; mov $'\\n',%al; call put
            mov $3,%cx
    2:      push %cx; xor %ax,%ax; int $0x1a; mov %dx,%bx         # three ticks of the clock
    3:      hlt; push %bx; xor %ax,%ax; int $0x1a; pop %bx; cmp %dx,%bx; je 3b
            pop %cx; loop 2b; jmp again
    hex:    push %ax; shr $4,%al; call digit; pop %ax
    digit:  and $15,%al; add $'0',%al; cmp $'9',%al; jbe put; add $39,%al
    put:    push %dx; push %ax; mov $0x3fd,%dx
    4:      in %dx,%al; test $0x20,%al; jz 4b
            pop %ax; mov $0x3f8,%dx; out %al,%dx; pop %dx; ret
    packet: .byte 16,0; .word 1; .word 0x8000,0
    sector: .word 0,0,0,0
    count:  .word 0
    drive:  .byte 0
"""

from __future__ import annotations

DISK_SIZE = 4 << 20
_CODE = bytes.fromhex(
    "fa31c08ed88ec08ed0bc007cfb8816977cff06957ca1957c83e03fa38d7cbe857cb4428a16977ccd13b0457202b046"
    "e84200b020e83d00a0967ce82500a0957ce81f00b00ae82c00b903005131c0cd1a89d3f45331c0cd1a5b39d374f559"
    "e2ebebaf50c0e804e8010058240f04303c39760204275250bafd03eca82074fb58baf803ee5ac3100001000080000000"
    "00000000000000000000"
)

FORTH = (
    'hex 1000 alloc-mem constant buffer s" disk" open-dev constant disk0 0 begin 1+ '
    'dup 3f and 200 * 0 s" seek" disk0 $call-method drop '
    'buffer 200 s" read" disk0 $call-method drop ." F " dup . cr 100 ms again'
)
"""The same for SLOF, as its ``boot-command``."""


def disk() -> bytes:
    """A disk image that a PC boots from."""
    return (_CODE.ljust(510, b"\0") + b"\x55\xaa").ljust(DISK_SIZE, b"\0")
