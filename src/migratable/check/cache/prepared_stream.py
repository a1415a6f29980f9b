"""Streams made ready: taken apart once, to be looked up on many destinations."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

from migratable.check.devices.pc_memory import CLOCK, pc_memory
from migratable.errors import StreamError
from migratable.stream.model import Section, Stream
from migratable.stream.vmdesc import VmsdBody
from migratable.stream.wire_format import WHOLE


@dataclass(frozen=True, slots=True)
class Unit:
    """A section of a stream, ready to be looked up.

    :ivar head: all of it but the body.
    """

    section: Section
    head: tuple[object, ...]
    body: bytes


@dataclass(frozen=True, slots=True)
class Ready:
    """A stream, ready to be looked up on many destinations.

    :ivar around: key of what is not in sections with a state.
    """

    stream: Stream
    units: tuple[Unit, ...]
    around: bytes
    _ends: dict[int, object] = field(default_factory=dict, compare=False)

    def ends(self, names: set[str]) -> tuple[object, ...]:
        """What rules at the stream's end see of the sections of these names."""
        out = []
        for number, unit in enumerate(self.units):
            if unit.section.idstr in names:
                if number not in self._ends:
                    self._ends[number] = _end_view(unit)
                out.append(self._ends[number])
        return tuple(out)


def _end_view(unit: Unit) -> object:
    """What those rules see of a section.

    Of a virtio device it is what its driver agreed to, of a PC's clock where the memory is: rings'
    indices or the time are nothing to them. Of other sections it is all bytes.
    """
    from migratable.stream.non_vmstate import virtio_of  # noqa: PLC0415 -- only for such devices

    body = unit.body
    if unit.section.idstr == CLOCK:
        return pc_memory([unit.section])
    named = (b"virtio/ringsize" in body, b"/packed_virt" in body)
    try:
        virtio = virtio_of(unit.section)
    except StreamError:
        return ("malformed", *named)
    if virtio is None:
        return body
    queues = tuple((queue.num, queue.num_default) for queue in virtio.queues)
    return (*named, virtio.guest_features, tuple(virtio.subsections), queues)


class Streams:
    """Makes streams ready; descriptions that are equal are recognised by their text."""

    def __init__(self) -> None:
        """Begin without any."""
        self._described: dict[bytes, dict[int, int]] = {}
        self._bodies: dict[VmsdBody, int] = {}

    def ready(self, stream: Stream) -> Ready:
        """Take a stream apart; its views are copied, each section once."""
        described = self._numbers(stream)
        units = tuple(
            Unit(
                section=section,
                head=(
                    section.kind,
                    section.idstr,
                    section.instance_id,
                    section.version_id,
                    section.footer,
                    len(section.body),
                    described.get(number, 0),
                ),
                body=bytes(section.body),
            )
            for number, section in enumerate(stream.sections)
            if section.kind in WHOLE
        )
        return Ready(stream=stream, units=units, around=around(stream))

    def _numbers(self, stream: Stream) -> dict[int, int]:
        """For each section with a description a number, the same for equal descriptions."""
        raw = b"" if stream.vmdesc is None else stream.vmdesc.raw
        heads = [(section.kind, section.idstr, section.instance_id) for section in stream.sections]
        key = hashlib.blake2b(raw + repr(heads).encode("utf-8", "surrogateescape")).digest()
        described = self._described.get(key)
        if described is None:
            described = self._described[key] = {
                number: self._bodies.setdefault(section.description.body, len(self._bodies) + 1)
                for number, section in enumerate(stream.sections)
                if section.description is not None
            }
        return described


def around(stream: Stream) -> bytes:
    """Key of what a prediction sees outside of sections with a state."""
    digest = hashlib.blake2b(digest_size=20)
    first = stream.elements[0] if stream.elements else None
    seen = (
        stream.version,
        stream.eof,
        stream.page_size,
        None if stream.configuration is None else _configuration(stream),
        stream.ram,
        None if stream.ram_statistics is None else stream.ram_statistics.faults,
        (type(first).__name__, getattr(first, "kind", None)),
        [(command.kind, bytes(command.payload)) for command in stream.commands],
        stream.vmdesc is None,
        [
            (section.kind, section.idstr, section.instance_id, section.version_id, section.footer)
            for section in stream.sections
            if section.kind in WHOLE
        ],
    )
    digest.update(repr(seen).encode("utf-8", "surrogateescape"))
    return digest.digest()


def _configuration(stream: Stream) -> object:
    configuration = stream.configuration
    assert configuration is not None
    return (
        configuration.machine,
        [(sub.name, sub.version, bytes(sub.body)) for sub in configuration.subsections],
    )
