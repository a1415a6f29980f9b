"""The model at both ends of a stream: what it writes, and what it says of one that it reads.

A loader checks no completeness: a stream of header, configuration, interrupt controllers and the
``spapr`` section is enough for real QEMU to judge the model by, and the other way round.

Source: ``vmstate_spapr`` (hw/ppc/spapr.c), ``vmstate_ics``, ``vmstate_icp_server``
(hw/intc/xics.c), ``vmstate_xive_source``, ``vmstate_xive_tctx`` (hw/intc/xive.c),
``vmstate_spapr_xive`` (hw/intc/spapr_xive.c); the same layout in 4.1 to 11.1.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from migratable.errors import CommandLineError, StreamError
from migratable.facts.ppc import SPR_PVR
from migratable.printable import quoted
from migratable.pseries.load import Arriving, Loaded, Loader, has_configuration
from migratable.pseries.start import Started
from migratable.pseries.wire_description import description
from migratable.stream import Section, SectionKind, Stream, read, write
from migratable.stream.fields import Body, decode
from migratable.stream.model import Configuration
from migratable.stream.vmdesc import parse as parse_description

XIVE_ENDS_PER_SERVER = 8
_END_SIZE = 32
_TCTX_SIZE = 64


def build_stream(started: Started) -> Stream:
    """The stream that *started* would send, reduced to what the model knows.

    :raise CommandLineError: When the machine does not run.
    """
    machine = started.machine
    if not started.runs or machine is None:
        raise CommandLineError("there is nothing to save: " + "; ".join(started.stderr))
    made = list(_sections(started))
    vmdesc = parse_description(description(started, made))
    sections = [
        Section(
            kind=SectionKind.FULL,
            section_id=number,
            idstr=name,
            instance_id=instance,
            version_id=version,
            body=body,
            description=device,
            footer=has_configuration(machine),
        )
        for number, ((name, instance, version, body), device) in enumerate(
            zip(made, vmdesc.devices, strict=True), 1
        )
    ]
    return Stream(
        configuration=Configuration(machine=machine.name) if has_configuration(machine) else None,
        elements=tuple(sections),
        vmdesc=vmdesc,
    )


def save(started: Started) -> bytes:
    """:func:`build_stream` as bytes."""
    return write(build_stream(started))


def _sections(started: Started) -> Iterator[tuple[str, int, int, bytes]]:
    machine = started.machine
    assert machine is not None
    irqs = 0x400 if machine.version <= (3, 0) else 0x1000
    if started.has_xics:
        # server, priority, saved_priority, status, flags: an interrupt that was never set up
        yield "ics", 0, 1, _u32(irqs) + (_u32(0) + b"\xff\xff\0\0") * irqs
    if started.has_xive:
        sources = irqs + 0x1000  # SPAPR_IRQ_NR_IPIS
        ends = started.servers * XIVE_ENDS_PER_SERVER
        yield "xive-source", 0, 1, _u32(sources) + b"\x01" * sources  # PQ = off
        yield "spapr-xive", 0, 1, _u32(sources) + bytes(8 * sources) + bytes(_END_SIZE * ends)
    icp = ("icp/server", 1, _u32(0) + b"\xff\xff")
    tctx = ("xive-tctx", 1, bytes(_TCTX_SIZE))
    presenters = [icp] if started.has_xics else []
    if started.has_xive:
        # spapr_irq_cpu_intc_create: XIVE first up to 4.1
        presenters.insert(0 if started.build.release <= (4, 1) else len(presenters), tctx)
    for cpu in range(started.cpus):
        for name, version, body in presenters:
            yield name, cpu, version, body
    timebase = bytes(16)  # guest_timebase, time_of_the_day_ns
    yield "spapr", 0, 3, timebase + b"".join(_subsection(*one) for one in started.sent)


def _subsection(name: str, level: int) -> bytes:
    raw = name.encode("ascii")
    return b"\x05" + bytes([len(raw)]) + raw + _u32(1) + bytes([level])


def _u32(value: int) -> bytes:
    return value.to_bytes(4, "big")


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a destination says of a stream.

    :ivar unexamined: names of sections that the model does not know and passed over.
    """

    loaded: Loaded
    unexamined: tuple[str, ...] = ()

    @property
    def verdict(self) -> str:
        """``loads`` or ``refused``."""
        return "refused" if self.loaded.refused else "loads"


_KNOWN = frozenset({
    "ram", "spapr/htab", "timer", "ics", "icp/server", "xive-source", "spapr-xive", "xive-tctx",
    "cpu_common", "cpu", "spapr_cpu", "spapr/rtc", "spapr_iommu", "spapr_pci", "PCIBUS", "spapr",
    "globalstate",
})  # fmt: skip


def load(stream: Stream | bytes, destination: Started) -> Outcome:
    """What *destination* says of a real stream or of one that a model wrote.

    :raise CommandLineError: When the destination does not run.
    :raise StreamError: When *stream* is no stream of a pseries machine.
    """
    if not destination.runs:
        raise CommandLineError("the destination does not start: " + "; ".join(destination.stderr))
    parsed = stream if isinstance(stream, Stream) else read(stream)
    unexamined = tuple(
        dict.fromkeys(
            section.idstr
            for section in parsed.devices
            if section.idstr not in _KNOWN and not section.idstr.endswith("/spapr_nvram")
        )
    )
    return Outcome(loaded=Loader().arrive(arriving(parsed), destination), unexamined=unexamined)


def arriving(stream: Stream) -> Arriving:
    """What a pseries destination's loader will meet in *stream*.

    :raise StreamError: When a capability's level is missing, or no section is of this machine.
    """
    if stream.device("spapr", 0) is None and not any(
        device.idstr in ("ics", "spapr-xive", "icp/server", "spapr_cpu")
        for device in stream.devices
    ):
        raise StreamError("the stream has no section of a pseries machine")
    pvr: int | None = None
    compat = 0
    slb: int | None = None
    cpu = stream.device("cpu", 0)
    if cpu is not None and cpu.description is not None:
        body = decode(cpu)
        pvr = _pvr(body)
        for sub in body.subsections:
            if sub.name == "cpu/slb":
                slb = sub.version
            elif sub.name == "cpu/compat":
                compat = next((int(f.value) for f in sub.fields if isinstance(f.value, int)), 0)
    iommu = stream.device("spapr_iommu")
    spapr = stream.device("spapr", 0)
    xive = stream.device("spapr-xive", 0)
    block = next((block for block in stream.ram_blocks if block.id == "ppc_spapr.ram"), None)
    return Arriving(
        machine=stream.machine,
        ram=None if block is None else block.used_length,
        has_xics=stream.device("ics", 0) is not None,
        has_xive=stream.device("xive-source", 0) is not None,
        servers=None if xive is None else _servers(xive),
        xive_section=0 if xive is None else xive.section_id,
        cpus=sum(1 for device in stream.devices if device.idstr == "cpu") or None,
        presenters=sum(
            1 for device in stream.devices if device.idstr in ("icp/server", "xive-tctx")
        ),
        xive_first=_xive_first(stream),
        pvr=pvr,
        compat_pvr=compat,
        slb_version=slb,
        iommu_version=None if iommu is None else iommu.version_id,
        sent=() if spapr is None else _capabilities(spapr),
        spapr=spapr is not None,
        described=stream.vmdesc is not None,
    )


def _xive_first(stream: Stream) -> bool:
    names = [
        device.idstr for device in stream.devices if device.idstr in ("icp/server", "xive-tctx")
    ]
    return names[:1] == ["xive-tctx"]


def _pvr(body: Body) -> int | None:
    """The processor version register of ``env.spr``."""
    for field in body.fields:
        if field.name == "env.spr" and isinstance(field.value, tuple):
            return field.value[SPR_PVR]
    return None


def _servers(xive: Section) -> int:
    data = bytes(xive.body[:4])
    irqs = int.from_bytes(data, "big")
    return (len(xive.body) - 4 - 8 * irqs) // (XIVE_ENDS_PER_SERVER * _END_SIZE)


def _capabilities(spapr: Section) -> tuple[tuple[str, int], ...]:
    """Capability subsections of a ``spapr`` section, with or without a description."""
    if spapr.description is not None:
        found = []
        for sub in decode(spapr).subsections:
            if sub.name.startswith("spapr/cap/"):
                value = next((f.value for f in sub.fields), None)
                if not isinstance(value, int):
                    raise StreamError(f"{sub.name} has no level", path=spapr.name)
                found.append((sub.name, value))
        return tuple(found)
    return _scan(bytes(spapr.body[16:]), spapr)


def _scan(data: bytes, spapr: Section) -> tuple[tuple[str, int], ...]:
    """Without vmdesc: the stream is one of ours, capabilities only."""
    found = []
    at = 0
    while at < len(data):
        size = data[at + 1] if at + 1 < len(data) else 0
        end = at + 2 + size + 5
        if data[at] != 5 or end > len(data):
            raise StreamError("a subsection that only a description could explain", path=spapr.name)
        name = data[at + 2 : at + 2 + size].decode("utf-8", "surrogateescape")
        if not name.startswith("spapr/cap/"):
            raise StreamError(
                f"{quoted(name)}: its length is not known without a description", path=spapr.name
            )
        found.append((name, data[end - 1]))
        at = end
    return tuple(found)
