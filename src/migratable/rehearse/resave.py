"""Save the state that a destination holds after a load."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from migratable.commandline.inert.inert import InertCommandLine
from migratable.errors import QemuError, StreamError
from migratable.qemu import save
from migratable.qemu.process import QemuProcess
from migratable.qemu.qmp import QmpError
from migratable.stream import Section, SectionKind, Stream, VmDevice, VmField, VmsdBody
from migratable.stream.edit import append_section, free_section_id, map_sections
from migratable.units import some

_NAMED = 6


@dataclass(slots=True)
class Resave:
    """Give it to :func:`~migratable.rehearse.destination.try_destination` as ``loaded``.

    :ivar data: the stream, empty when nothing was loaded or it could not be saved.
    :ivar why: why it could not be saved, or empty.
    :ivar blocked: the program itself refuses to save it; :attr:`why` are its words.
    """

    data: bytes = field(default=b"", repr=False)
    why: str = ""
    blocked: bool = False

    def __call__(self, qemu: QemuProcess, quiet: InertCommandLine) -> None:
        """Save the loaded machine again, as a profile's own stream is taken."""
        shared = any(path.name.startswith("memory") for path in quiet.files)
        try:
            self.data = save.plain(save.take(qemu, ignore_shared=shared))
        except QmpError as error:
            self.why, self.blocked = error.description, True
        except (QemuError, StreamError) as error:
            self.why = str(error)


def resaved(stream: Stream, own: Stream) -> tuple[Stream, tuple[str, ...]]:
    """What a machine would send on that has loaded *stream*, by form *own*.

    :param own: what the same machine sends at power-on.
    :return: the stream, and what was assumed.
    """
    twins = {
        (device.idstr, device.instance_id): device
        for device in stream.devices
        if device.kind is SectionKind.FULL
    }
    reset: list[str] = []

    def carried(section: Section) -> Section:
        if section.kind is not SectionKind.FULL:
            return section
        twin = twins.pop((section.idstr, section.instance_id), None)
        if twin is None:
            return section
        if not _same_form(section, twin):
            reset.append(section.name)
            return section
        return replace(section, body=twin.body, description=twin.description)

    out = map_sections(own, carried)
    for twin in twins.values():  # loaded, so the machine knows it, and has it to send
        out = append_section(out, replace(twin, section_id=free_section_id(out)))
    assumed = ["device state with the same format is sent on unchanged"]
    if reset:
        assumed.append(
            f"power-on state of {some(reset, _NAMED)}, whose format differs on this host: the "
            "guest's values are lost"
        )
    if twins:
        names = [twin.name for twin in twins.values()]
        assumed.append(
            f"{some(names, _NAMED)}, which the machine does not send at power-on, is sent on"
        )
    return out, tuple(assumed)


def _same_form(section: Section, other: Section) -> bool:
    if section.version_id != other.version_id:
        return False
    first, second = section.description, other.description
    if first is None or second is None:
        return first is second and len(section.body) == len(other.body)
    return _form(first) == _form(second)


def _form(device: VmDevice) -> object:
    """Fields and their nested versions; subsections and lengths change as a guest runs."""
    body = device.body
    return None if body is None else _body_form(body)


def _body_form(body: VmsdBody) -> object:
    return (body.version, tuple(_field_form(one) for one in body.fields))


def _field_form(one: VmField) -> object:
    return (one.name, one.type, None if one.struct is None else _body_form(one.struct))
