"""Adapt a profile taken under TCG to KVM: the section ``kvmclock``.

Its description is the program's own, found in its memory by name as virtio's are; a machine under
TCG registers no handler for it. What else differs is in the command line
(:mod:`migratable.commandline.kvm`): microvm's clock, which is left out when the line is made inert.
"""

from __future__ import annotations

from dataclasses import replace

from migratable.commandline.kvm import says_reliable
from migratable.profile.tables import Handler, LoaderTables
from migratable.stream import read, write
from migratable.stream.edit import free_section_id, full_section, with_elements
from migratable.stream.model import Section
from migratable.stream.vmdesc import VmDevice, VmField, VmsdBody

KVMCLOCK = "kvmclock"
_NO_OBJECT = 0x1000
"""An address at which no object of a process is."""
_BEFORE = frozenset({"timer", "cpu_common", "cpu", "apic", "kvm-tpr-opt", "slirp"})
"""Handlers that come before the clock's, which is made right after the CPUs; microvm's after the
interrupt controllers (hw/i386/microvm.c: microvm_devices_init)."""


def with_kvmclock(tables: LoaderTables, machine: str) -> LoaderTables:
    """Add the handler; unchanged when the program has no such description."""
    index = tables.extra.get(KVMCLOCK)
    if index is None or any(handler.idstr == KVMCLOCK for handler in tables.handlers):
        return tables
    at = _place([handler.idstr for handler in tables.handlers], machine)
    clock = Handler(
        idstr=KVMCLOCK,
        instance_id=0,
        alias_id=-1,
        version=tables.vmsds[index].version,
        vmsd=index,
        opaque=_NO_OBJECT,
    )
    return replace(tables, handlers=(*tables.handlers[:at], clock, *tables.handlers[at:]))


def _place(names: list[str], machine: str) -> int:
    before = _BEFORE | {"ioapic"} if machine == "microvm" else _BEFORE
    return max((index + 1 for index, name in enumerate(names) if name in before), default=0)


def stream_with_kvmclock(data: bytes, machine: str) -> bytes:
    """Add the section to the machine's own stream, as a clock that never ran writes it."""
    stream = read(data)
    if stream.device(KVMCLOCK) is not None:
        return data
    number = free_section_id(stream)
    body = bytes(8)
    subsections: tuple[VmsdBody, ...] = ()
    if says_reliable(machine):
        name = b"kvmclock/clock_is_reliable"
        body += b"\x05" + bytes([len(name)]) + name + (1).to_bytes(4, "big") + b"\x01"
        flag = VmField(name="clock_is_reliable", type="bool", size=1)
        subsections = (VmsdBody(name=name.decode(), version=1, fields=(flag,)),)
    clock = VmField(name="clock", type="uint64", size=8)
    described = VmDevice(
        idstr=KVMCLOCK,
        instance_id=0,
        body=VmsdBody(name=KVMCLOCK, version=1, fields=(clock,), subsections=subsections),
    )
    section = full_section(KVMCLOCK, 0, 1, body, section_id=number, description=described)
    # Machine types up to 2.3 send no footers (hw_compat_2_3).
    section = replace(section, footer=all(section.footer for section in stream.sections))
    elements = list(stream.elements)
    names = [element.idstr if isinstance(element, Section) else "" for element in elements]
    elements.insert(_place(names, machine), section)
    return write(with_elements(stream, elements))
