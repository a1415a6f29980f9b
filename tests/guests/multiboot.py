"""A multiboot kernel that uses what KVM offers a guest, and counts: ``F 0000001a``.

kvmclock, steal time, PV EOI, asynchronous page faults by interrupt and no halt polling where KVM
offers them; x2APIC with a TSC deadline timer where the CPU has both, else the APIC's periodic
timer; the PIT at 100 Hz behind the 8259; Q35's CPU hot-plug switched to its modern registers. A
line on the serial port comes every 16 ticks of the APIC's timer: ``F`` when the PIT has ticked
since the last one, ``T`` when it stands still. Under TCG it runs too, with what is there. It needs
no ``iret``, which KVM's emulator does not know in protected mode: interrupts come at one place.

:data:`SOURCE` is its source (AT&T syntax), :data:`CODE` the same assembled::

    gcc -m32 -c kvm.S -o kvm.o
    ld -m elf_i386 -Ttext 0x100000 -e _start --oformat binary kvm.o -o kvm.bin
"""

from __future__ import annotations

from pathlib import Path

CODE = bytes.fromhex(
    """
02b0ad1b00000100fe4f51e400001000000010008003100040131100440010000000000000000000ffff0000009a
cf00ffff00000092cf00170020001000ff0140011100fabc401311000f011538001000ea58001000080066b81000
8ed88ec08ed0bf40021100b811031000e84a020000bfc0021100b820031000e83b020000bfc8021100b84d031000
e82c020000bf38031100b85c031000e81d0200000f011d3e001000b011e620e6a0b020e621b028e6a1b004e621b0
02e6a1b001e621e6a1b0fee621b0ffe6a1b034e643b09ce640b02ee64066bad80c31c0eeb8010000400fa2a30401
1100b8010000000fa2890d08011100f7050401110008000000741ab9004d564bb84000110031d20f30b9014d564b
b8010011000f30f7050401110020000000740eb9034d564bb88100110031d20f30f7050401110040000000740eb9
044d564bb80101110031d20f30f7050401110000400000741ab9064d564bb83100000031d20f30b9024d564bb8c9
0011000f30f7050401110000100000740bb9054d564b31c031d20f30b91b0000000f320d000800000f30f7050801
11000000200074660d000400000f30b90f080000b83f01000031d20f30b935080000b8000700000f30f705080111
00000000017413b932080000b8300004000f30e8ee000000eb58b93e080000b8030000000f30b932080000b83000
02000f30b938080000b8688909000f30eb32c705f000e0fe3f010000c7055003e0fe00070000c705e003e0fe0300
0000c7052003e0fe30000200c7058003e0fe68890900fbf4ebfcbc40131100a10c011100c1e8043b051401110074
e7a3140111008b1d10011100b0463b1d180111007502b054891d18011100e831000000b020e82a0000008b1d1401
1100b908000000c1c30488d8240f04303c3976020427e80b000000e2eab00ae802000000eb945066bafd03eca820
74fb5866baf803eec366890766c74702080066c74704008ec1e81066894706c30f3105002d310183d200b9e00600
000f30c30fba3500011100007222f7050801110000002000740cb90b08000031c031d20f30c3c705b000e0fe0000
0000c3ff0510011100b020e620e922ffffffff050c011100f70508011100000000017411f7050801110000002000
7405e88fffffffe89cffffffe9f5feffffc705c400110000000000e888ffffffe9e1feffffeb1d8db42600000000
8db426000000008db426000000008db4260000000090
"""
)

SOURCE = r"""
# A multiboot kernel (flat, at 1 MiB) that uses what KVM offers a guest and counts.
        .code32
        .globl  _start
        .set    BASE, 0x100000
        .set    FLAGS, 0x10000
start:
        .long   0x1BADB002, FLAGS, -(0x1BADB002 + FLAGS)
        .long   BASE, BASE, BASE + edata - start, BASE + bss_end - start, BASE + _start - start
gdt:    .quad   0, 0x00CF9A000000FFFF, 0x00CF92000000FFFF
gdtr:   .word   23
        .long   gdt
idtr:   .word   0x3F * 8 + 7
        .long   idt
_start: cli
        mov     $stack_top, %esp
        lgdt    gdtr
        ljmp    $8, $1f
1:      mov     $16, %ax
        mov     %ax, %ds
        mov     %ax, %es
        mov     %ax, %ss
        mov     $idt + 0x20*8, %edi     # PIT: IRQ 0 at vector 0x20
        mov     $on_pit, %eax
        call    gate
        mov     $idt + 0x30*8, %edi     # the APIC's timer
        mov     $on_timer, %eax
        call    gate
        mov     $idt + 0x31*8, %edi     # asynchronous page faults: page ready
        mov     $on_ready, %eax
        call    gate
        mov     $idt + 0x3F*8, %edi     # spurious
        mov     $on_spurious, %eax
        call    gate
        lidt    idtr
        mov     $0x11, %al              # both 8259: vectors from 0x20 and 0x28, IRQ 0 alone open
        out     %al, $0x20
        out     %al, $0xA0
        mov     $0x20, %al
        out     %al, $0x21
        mov     $0x28, %al
        out     %al, $0xA1
        mov     $4, %al
        out     %al, $0x21
        mov     $2, %al
        out     %al, $0xA1
        mov     $1, %al
        out     %al, $0x21
        out     %al, $0xA1
        mov     $0xFE, %al
        out     %al, $0x21
        mov     $0xFF, %al
        out     %al, $0xA1
        mov     $0x34, %al              # PIT: channel 0, rate generator, 100 Hz
        out     %al, $0x43
        mov     $0x9C, %al
        out     %al, $0x40
        mov     $0x2E, %al
        out     %al, $0x40
        mov     $0x0CD8, %dx            # CPU hot-plug of Q35: to the modern registers
        xor     %eax, %eax
        out     %al, %dx
        mov     $0x40000001, %eax       # what does KVM offer?
        cpuid
        mov     %eax, offered
        mov     $1, %eax
        cpuid
        mov     %ecx, leaf1
        testl   $1<<3, offered
        jz      1f
        mov     $0x4B564D00, %ecx       # wall clock, then kvmclock
        mov     $wall, %eax
        xor     %edx, %edx
        wrmsr
        mov     $0x4B564D01, %ecx
        mov     $clock + 1, %eax
        wrmsr
1:      testl   $1<<5, offered
        jz      1f
        mov     $0x4B564D03, %ecx       # steal time
        mov     $steal + 1, %eax
        xor     %edx, %edx
        wrmsr
1:      testl   $1<<6, offered
        jz      1f
        mov     $0x4B564D04, %ecx       # PV EOI
        mov     $eoi + 1, %eax
        xor     %edx, %edx
        wrmsr
1:      testl   $1<<14, offered
        jz      1f
        mov     $0x4B564D06, %ecx       # asynchronous page faults by interrupt
        mov     $0x31, %eax
        xor     %edx, %edx
        wrmsr
        mov     $0x4B564D02, %ecx
        mov     $fault + 9, %eax
        wrmsr
1:      testl   $1<<12, offered
        jz      1f
        mov     $0x4B564D05, %ecx       # do not poll in the host
        xor     %eax, %eax
        xor     %edx, %edx
        wrmsr
1:      mov     $0x1B, %ecx             # x2APIC
        rdmsr
        or      $0x800, %eax
        wrmsr
        testl   $1<<21, leaf1
        jz      3f
        or      $0x400, %eax
        wrmsr
        mov     $0x80F, %ecx            # spurious vector, APIC on
        mov     $0x13F, %eax
        xor     %edx, %edx
        wrmsr
        mov     $0x835, %ecx            # LINT0: ExtINT
        mov     $0x700, %eax
        wrmsr
        testl   $1<<24, leaf1
        jz      2f
        mov     $0x832, %ecx            # timer: TSC deadline
        mov     $0x40030, %eax
        wrmsr
        call    deadline
        jmp     4f
2:      mov     $0x83E, %ecx            # divide by 16
        mov     $3, %eax
        wrmsr
        mov     $0x832, %ecx            # periodic
        mov     $0x20030, %eax
        wrmsr
        mov     $0x838, %ecx
        mov     $625000, %eax
        wrmsr
        jmp     4f
3:      movl    $0x13F, 0xFEE000F0      # the same without x2APIC
        movl    $0x700, 0xFEE00350
        movl    $3, 0xFEE003E0
        movl    $0x20030, 0xFEE00320
        movl    $625000, 0xFEE00380
4:
loop:   sti                             # the only place where an interrupt can come
        hlt
        jmp     loop
after:  mov     $stack_top, %esp        # no iret: KVM's emulator knows none in protected mode
        mov     timers, %eax
        shr     $4, %eax
        cmp     shown, %eax
        je      loop
        mov     %eax, shown
        mov     pits, %ebx              # F: both clocks have gone on; T: the PIT has stopped
        mov     $'F', %al
        cmp     last_pit, %ebx
        jne     1f
        mov     $'T', %al
1:      mov     %ebx, last_pit
        call    put
        mov     $' ', %al
        call    put
        mov     shown, %ebx
        mov     $8, %ecx
2:      rol     $4, %ebx
        mov     %bl, %al
        and     $15, %al
        add     $'0', %al
        cmp     $'9', %al
        jbe     3f
        add     $39, %al
3:      call    put
        loop    2b
        mov     $'\n', %al
        call    put
        jmp     loop
put:    push    %eax
        mov     $0x3FD, %dx
1:      in      %dx, %al
        test    $0x20, %al
        jz      1b
        pop     %eax
        mov     $0x3F8, %dx
        out     %al, %dx
        ret
gate:   mov     %ax, (%edi)
        movw    $8, 2(%edi)
        movw    $0x8E00, 4(%edi)
        shr     $16, %eax
        mov     %ax, 6(%edi)
        ret
deadline:
        rdtsc
        add     $20000000, %eax
        adc     $0, %edx
        mov     $0x6E0, %ecx
        wrmsr
        ret
done:   btrl    $0, eoi                 # PV EOI: the host has noted that none is needed
        jc      2f
        testl   $1<<21, leaf1
        jz      1f
        mov     $0x80B, %ecx
        xor     %eax, %eax
        xor     %edx, %edx
        wrmsr
        ret
1:      movl    $0, 0xFEE000B0
2:      ret
on_pit: incl    pits
        mov     $0x20, %al
        out     %al, $0x20
        jmp     after
on_timer:
        incl    timers
        testl   $1<<24, leaf1
        jz      1f
        testl   $1<<21, leaf1
        jz      1f
        call    deadline
1:      call    done
        jmp     after
on_ready:
        movl    $0, fault + 4
        call    done
on_spurious:
        jmp     after
        .align  64
edata:
        .struct 0x110000
clock:  .skip   64
wall:   .skip   64
steal:  .skip   64
fault:  .skip   64
eoi:    .skip   4
offered: .skip  4
leaf1:  .skip   4
timers: .skip   4
pits:   .skip   4
shown:  .skip   4
last_pit: .skip 4
        .skip   36
idt:    .skip   0x40 * 8
        .skip   4096
stack_top:
bss_end:
"""


def kernel(folder: Path) -> Path:
    """Write it into a folder, for ``-kernel``."""
    path = folder / "kvm.bin"
    path.write_bytes(CODE)
    return path
