"""A filter of system calls: what no inert QEMU needs is refused (``EPERM``), whoever asks."""

from __future__ import annotations

import ctypes
import os
import struct
import sys

from migratable.qemu.confine import kernel

_AUDIT = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7, "riscv64": 0xC00000F3}
_AUDIT |= {"ppc64le": 0xC0000015, "ppc64": 0x80000015, "s390x": 0x80000016}
# Numbers by name; riscv64 has the generic ones, as aarch64 (arch/*/include/uapi/asm/unistd*.h).
_X86_64 = """connect 42 listen 50 ptrace 101 process_vm_readv 310 process_vm_writev 311 mount 165
    umount2 166 pivot_root 155 chroot 161 unshare 272 setns 308 bpf 321 perf_event_open 298
    add_key 248 request_key 249 keyctl 250 open_by_handle_at 304 init_module 175
    finit_module 313 delete_module 176 kexec_load 246 reboot 169 swapon 167 swapoff 168 acct 163
    settimeofday 164 clock_settime 227 kill 62 sethostname 170 personality 135"""
_GENERIC = """connect 203 listen 201 ptrace 117 process_vm_readv 270 process_vm_writev 271 mount 40
    umount2 39 pivot_root 41 chroot 51 unshare 97 setns 268 bpf 280 perf_event_open 241
    add_key 217 request_key 218 keyctl 219 open_by_handle_at 265 init_module 105
    finit_module 273 delete_module 106 kexec_load 104 reboot 142 swapon 224 swapoff 225 acct 89
    settimeofday 170 clock_settime 112 kill 129 sethostname 161 personality 92"""
_PPC64 = """connect 328 listen 329 ptrace 26 process_vm_readv 351 process_vm_writev 352 mount 21
    umount2 52 pivot_root 203 chroot 61 unshare 282 setns 350 bpf 361 perf_event_open 319
    add_key 269 request_key 270 keyctl 271 open_by_handle_at 346 init_module 128
    finit_module 353 delete_module 129 kexec_load 268 reboot 88 swapon 87 swapoff 115 acct 51
    settimeofday 79 clock_settime 245 kill 37 sethostname 74 personality 136"""
_S390X = """connect 362 listen 363 ptrace 26 process_vm_readv 340 process_vm_writev 341 mount 21
    umount2 52 pivot_root 217 chroot 61 unshare 303 setns 339 bpf 351 perf_event_open 331
    add_key 278 request_key 279 keyctl 280 open_by_handle_at 336 init_module 128
    finit_module 344 delete_module 129 kexec_load 277 reboot 88 swapon 87 swapoff 115 acct 51
    settimeofday 79 clock_settime 259 kill 37 sethostname 74 personality 136"""
_EVERYWHERE = """io_uring_setup 425 pidfd_send_signal 424 open_tree 428 move_mount 429 fsopen 430
    fsconfig 431 fsmount 432 fspick 433 pidfd_open 434 pidfd_getfd 438 mount_setattr 442"""
_TABLES = {"x86_64": _X86_64, "aarch64": _GENERIC, "riscv64": _GENERIC, "s390x": _S390X}
_TABLES |= {"ppc64le": _PPC64, "ppc64": _PPC64}

_LOAD, _JEQ, _JGE, _RET = 0x20, 0x15, 0x35, 0x06
_ALLOW, _REFUSE = 0x7FFF0000, 0x00050001  # SECCOMP_RET_ERRNO with EPERM
_PR_SET_SECCOMP, _MODE_FILTER = 22, 2
_X32 = 0x40000000


def numbers(machine: str) -> dict[str, int]:
    """System calls that are refused, by name; empty for an architecture that is not known."""
    words = f"{_TABLES[machine]} {_EVERYWHERE}".split() if machine in _TABLES else []
    return {name: int(number) for name, number in zip(words[::2], words[1::2], strict=True)}


def program(machine: str, *, signals: bool = False) -> bytes:
    """The filter (``struct sock_filter``); calls of a foreign architecture are all refused.

    :param signals: see :func:`apply`.
    """
    refused = sorted(
        number for name, number in numbers(machine).items() if name != "kill" or not signals
    )
    code = [
        (_LOAD, 0, 0, 4),
        (_JEQ, 1, 0, _AUDIT[machine]),
        (_RET, 0, 0, _REFUSE),
        (_LOAD, 0, 0, 0),
    ]
    if machine == "x86_64":
        code += [(_JGE, 0, 1, _X32), (_RET, 0, 0, _REFUSE)]
    for index, number in enumerate(refused):
        code.append((_JEQ, len(refused) - index, 0, number))
    code += [(_RET, 0, 0, _ALLOW), (_RET, 0, 0, _REFUSE)]
    return b"".join(struct.pack("=HBBI", *one) for one in code)


def apply(*, signals: bool = False) -> None:
    """Put the filter over this process and all that it becomes.

    :param signals: it may send them: in a namespace of its own there is nobody else.
    :raise OSError: When the kernel or the architecture has none.
    """
    machine = os.uname().machine
    if machine == "ppc64" and sys.byteorder == "little":
        machine = "ppc64le"
    if machine not in _TABLES:
        raise OSError(38, f"no filter for {machine}")
    code = program(machine, signals=signals)
    buffer = ctypes.create_string_buffer(code, len(code))

    class Program(ctypes.Structure):
        _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_void_p))

    head = Program(len(code) // 8, ctypes.addressof(buffer))
    call = kernel.libc.prctl(_PR_SET_SECCOMP, _MODE_FILTER, ctypes.byref(head), 0, 0)
    kernel.check(call, "seccomp")
