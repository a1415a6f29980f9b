"""Facts about a host's KVM in a profile, to compare two hosts without access to either.

Read from ``/dev/kvm`` with questions that only read; for the rate of the time-stamp counter and the
size of an XSAVE area a VM with one vCPU is made and closed, which runs nothing. Structures:
``struct kvm_cpuid2``, ``kvm_msr_list``, ``kvm_msrs`` of Linux' uapi (little-endian hosts: x86).
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import platform
import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from migratable.errors import ProfileError
from migratable.facts.kvm import EXTENSIONS
from migratable.members import SPARSE, MalformedError, members, most
from migratable.members import read as read_members

_DEVICE = "/dev/kvm"
_CREATE_VM = 0xAE01
_CHECK_EXTENSION = 0xAE03
_CREATE_VCPU = 0xAE41
_GET_TSC_KHZ = 0xAEA3
_GET_MSR_INDEX_LIST = 0xC004AE02
_GET_MSR_FEATURE_INDEX_LIST = 0xC004AE0A
_GET_SUPPORTED_CPUID = 0xC008AE05
_GET_SUPPORTED_HV_CPUID = 0xC008AEC1
_GET_MSRS = 0xC008AE88
_ENTRIES = 256
_U64 = most((1 << 64) - 1)
_X86 = frozenset({"x86_64", "i686"})


@dataclass(frozen=True, slots=True, kw_only=True)
class CpuModel:
    """A CPU model of the program on this host.

    :ivar unavailable: features of it that the host lacks, as the program names them.
    :ivar features: of a model that has all of its own: what a guest of it sees.
    :ivar alias_of: versioned model that the name means with the profile's machine type.
    """

    unavailable: tuple[str, ...] = field(default=(), metadata=SPARSE)
    features: tuple[str, ...] = field(default=(), metadata=SPARSE)
    alias_of: str = field(default="", metadata=SPARSE)


@dataclass(frozen=True, slots=True, kw_only=True)
class HostKvm:
    """The facts.

    :ivar kernel: its release.
    :ivar machine: the host's architecture, as ``uname -m`` says.
    :ivar extensions: :data:`~migratable.facts.kvm.EXTENSIONS` by name; 0 is "no".
    :ivar cpuid: rows ``(function, index, flags, eax, ebx, ecx, edx)`` of KVM_GET_SUPPORTED_CPUID.
    :ivar hyperv_cpuid: the same of KVM_GET_SUPPORTED_HV_CPUID.
    :ivar msrs: numbers of MSRs that are saved and restored.
    :ivar feature_msrs: MSRs that describe the processor, with their values.
    :ivar tsc_khz: rate of the time-stamp counter; 0 when it is not known.
    :ivar xsave_bytes: size of a vCPU's XSAVE area; 0 when it is not known.
    :ivar models: CPU models of the program that the profile is of; empty when it was not asked.
    """

    kernel: str = ""
    machine: str = ""
    extensions: Mapping[str, int] = field(default_factory=dict, metadata=_U64)
    cpuid: tuple[tuple[int, ...], ...] = field(default=(), repr=False, metadata=_U64)
    hyperv_cpuid: tuple[tuple[int, ...], ...] = field(default=(), repr=False, metadata=_U64)
    msrs: tuple[int, ...] = field(default=(), repr=False, metadata=_U64)
    feature_msrs: Mapping[int, int] = field(default_factory=dict, repr=False, metadata=_U64)
    tsc_khz: int = field(default=0, metadata=_U64)
    xsave_bytes: int = field(default=0, metadata=_U64)
    models: Mapping[str, CpuModel] = field(default_factory=dict, repr=False)

    @property
    def feature_words(self) -> tuple[Mapping[str, Any], ...]:
        """CPUID in the form of QOM's ``feature-words``."""
        out = []
        for function, index, flags, *registers in self.cpuid:
            for name, value in zip(("EAX", "EBX", "ECX", "EDX"), registers, strict=True):
                word: dict[str, Any] = {
                    "cpuid-input-eax": function,
                    "cpuid-register": name,
                    "features": value,
                }
                if flags & 1:  # KVM_CPUID_FLAG_SIGNIFCANT_INDEX
                    word["cpuid-input-ecx"] = index
                out.append(word)
        return tuple(out)

    @property
    def scales_tsc(self) -> bool:
        """Can a guest's counter run at another rate than the host's?"""
        return bool(self.extensions.get("TSC_CONTROL"))

    def to_json(self) -> dict[str, Any]:
        """One object for a profile's file."""
        return members(self)

    @classmethod
    def from_json(cls, document: object, *, origin: str = "profile") -> HostKvm:
        """Read :meth:`to_json`'s object.

        :raise ProfileError: When a member is missing or has another type; with the place.
        """
        try:
            host = read_members(cls, document, whole=True)
        except MalformedError as error:
            raise ProfileError(f"{origin}: host_kvm: damaged ({error}); take it again") from None
        if any(len(row) != 7 for row in host.cpuid + host.hyperv_cpuid):
            raise ProfileError(f"{origin}: host_kvm: damaged: a row of CPUID has seven numbers")
        return host


# -- reading ------------------------------------------------------------------------------------


def read() -> HostKvm | None:
    """Facts of the host that this runs on; about 2 ms. None when /dev/kvm cannot be opened."""
    try:
        device = os.open(_DEVICE, os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        machine = platform.machine()
        x86 = machine in _X86
        msrs = _list(device, _GET_MSR_INDEX_LIST) if x86 else ()
        features = _list(device, _GET_MSR_FEATURE_INDEX_LIST) if x86 else ()
        tsc, xsave = _of_a_vcpu(device) if x86 else (0, 0)
        return HostKvm(
            kernel=os.uname().release,
            machine=machine,
            extensions={name: _extension(device, number) for name, number in EXTENSIONS.items()},
            cpuid=_cpuid(device, _GET_SUPPORTED_CPUID) if x86 else (),
            hyperv_cpuid=_cpuid(device, _GET_SUPPORTED_HV_CPUID) if x86 else (),
            msrs=msrs,
            feature_msrs=_values(device, features),
            tsc_khz=tsc,
            xsave_bytes=xsave,
        )
    finally:
        os.close(device)


def _extension(file: int, number: int) -> int:
    try:
        return max(0, int(fcntl.ioctl(file, _CHECK_EXTENSION, number)))
    except OSError:
        return 0


def _cpuid(device: int, request: int) -> tuple[tuple[int, ...], ...]:
    """``struct kvm_cpuid2``: a count, padding, entries of ten 32-bit words."""
    data = bytearray(struct.pack("<II", _ENTRIES, 0) + bytes(40 * _ENTRIES))
    try:
        fcntl.ioctl(device, request, data)
    except OSError:
        return ()
    (count,) = struct.unpack_from("<I", data)
    rows = struct.iter_unpack("<7I12x", data[8 : 8 + 40 * min(count, _ENTRIES)])
    return tuple(tuple(int(one) for one in row) for row in rows)


def _list(device: int, request: int) -> tuple[int, ...]:
    """``struct kvm_msr_list``: the kernel says how many when there is too little room."""
    probe = bytearray(struct.pack("<I", 0))
    try:
        fcntl.ioctl(device, request, probe)
    except OSError as error:
        if error.errno != errno.E2BIG:
            return ()
    (count,) = struct.unpack("<I", probe)
    data = bytearray(struct.pack("<I", count) + bytes(4 * count))
    try:
        fcntl.ioctl(device, request, data)
    except OSError:
        return ()
    return tuple(sorted(int(one) for (one,) in struct.iter_unpack("<I", data[4:])))


def _values(device: int, numbers: Iterable[int]) -> dict[int, int]:
    """``struct kvm_msrs``, one at a time: reading stops at the first that cannot be had."""
    found = {}
    for number in numbers:
        data = bytearray(struct.pack("<IIIIQ", 1, 0, number, 0, 0))
        with contextlib.suppress(OSError):
            if fcntl.ioctl(device, _GET_MSRS, data) == 1:
                found[number] = int(struct.unpack_from("<Q", data, 16)[0])
    return found


def _of_a_vcpu(device: int) -> tuple[int, int]:
    """Rate of the counter in kHz and bytes of the XSAVE area, 0 for what is not to be had."""
    try:
        vm = int(fcntl.ioctl(device, _CREATE_VM, 0))
    except OSError:
        return 0, 0
    try:
        xsave = _extension(vm, EXTENSIONS["XSAVE2"])
        vcpu = int(fcntl.ioctl(vm, _CREATE_VCPU, 0))
        try:
            return max(0, int(fcntl.ioctl(vcpu, _GET_TSC_KHZ, 0))), xsave
        finally:
            os.close(vcpu)
    except OSError:
        return 0, 0
    finally:
        os.close(vm)
