"""Choose the accelerator of a start: the command line's own, if this machine has it.

A line that asks for KVM is started under KVM when /dev/kvm can be used, so that the kernel's part
of the answer is the real one. Else TCG stands in, or qtest where
the program has no TCG, and why is said.
"""

from __future__ import annotations

import fcntl
import os
import platform
from dataclasses import dataclass, replace

from migratable.commandline import CommandLine
from migratable.commandline.line import target_of
from migratable.qemu.program import has_tcg

DEVICE = "/dev/kvm"
_GET_API_VERSION = 0xAE00
_CREATE_VM = 0xAE01
_STABLE_API = 12
_TARGETS = {
    "x86_64": {"x86_64", "i386"},
    "i686": {"i386"},
    "aarch64": {"aarch64", "arm"},
    "ppc64le": {"ppc64", "ppc"},
    "ppc64": {"ppc64", "ppc"},
    "s390x": {"s390x"},
    "riscv64": {"riscv64"},
    "loongarch64": {"loongarch64"},
}
"""Host's machine name to the targets that its KVM can run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Accelerator:
    """What a line is started under.

    :ivar name: ``kvm``, ``tcg``, or ``qtest`` for a program that has no TCG.
    :ivar why: why it is not the line's own, in words; empty when it is.
    """

    name: str
    why: str = ""


def choose(line: CommandLine, program: tuple[str, ...] = ()) -> Accelerator:
    """The accelerator for *line* on this machine; about a millisecond.

    :param program: words that start its program, when it was found.
    """
    if not line.wants_kvm:
        return Accelerator(name="tcg")
    target = target_of(replace(line, program=program)) if program else ""
    target = target or target_of(line) or "x86_64"
    if not runs_here(target):
        why = f"this host ({platform.machine()}) has no KVM for {target}"
    else:
        why = missing()
    if not why:
        return Accelerator(name="kvm")
    return Accelerator(name="tcg" if not program or has_tcg(program) else "qtest", why=why)


def runs_here(target: str) -> bool:
    """Could a KVM of this host's architecture run that target?"""
    machine = platform.machine()
    return target in _TARGETS.get(machine, {machine})


def missing() -> str:
    """Why KVM cannot be used here; empty when it can (a VM without vCPUs is made and closed)."""
    try:
        device = os.open(DEVICE, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return f"there is no {DEVICE} here"
    except OSError as error:
        return f"{DEVICE} cannot be opened: {error.strerror}"
    try:
        version = fcntl.ioctl(device, _GET_API_VERSION, 0)
        if version != _STABLE_API:
            return f"{DEVICE} has the unknown version {version}"
        os.close(fcntl.ioctl(device, _CREATE_VM, 0))
    except OSError as error:
        return f"{DEVICE} makes no VM: {error.strerror}"
    finally:
        os.close(device)
    return ""
