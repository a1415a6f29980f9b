"""Make a plan's edits in a passing stream."""

from __future__ import annotations

from dataclasses import dataclass, replace

from migratable.convert.apply import apply_to_configuration, apply_to_stream, configuration_bytes
from migratable.convert.model import Operation, Plan, StreamEdit, not_accepted
from migratable.errors import ConvertError, RelayError
from migratable.stream import Stream
from migratable.stream import wire_format as layout
from migratable.stream.model import Section
from migratable.stream.wire_format import SectionKind
from migratable.stream.writer import element_chunks

_HEADER = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Edited:
    """A device state after its edits.

    :ivar stream: for the check.
    :ivar sections: the devices, as they are sent.
    :ivar rest: EOF and description.
    """

    stream: Stream
    sections: bytes
    rest: bytes


def usable(plan: Plan, accepted: tuple[str, ...]) -> None:
    """See that a plan can be carried out on the way.

    :raise RelayError: when it cannot, or has lossy edits that nobody accepted.
    """
    left = not_accepted(plan.edits, accepted)
    if left:
        raise RelayError(
            f"{left[0].id} is lossy ({left[0].risk or left[0].summary}); if that is all right: "
            + " ".join(f"--accept {edit.id}" for edit in left)
        )
    ram = next((edit for edit in plan.edits if edit.section == "ram"), None)
    if ram is not None:
        raise RelayError(f"{ram.id}: edits of RAM cannot be made on the way; convert a saved guest")


def edited_head(plan: Plan, head: bytes, first_element: int, stream: Stream) -> tuple[bytes, int]:
    """Give the head with the configuration's edits, and where its first element is then.

    :raise ConvertError: when it is not as the plan expects.
    """
    if all(edit.operation is not Operation.CONFIGURATION for edit in plan.edits):
        return head, first_element
    configuration = apply_to_configuration(plan, stream.configuration)
    start = head[:_HEADER]
    if configuration is not None:
        start += bytes([layout.CONFIGURATION]) + configuration_bytes(configuration)
    return start + head[first_element:], len(start)


def edited(plan: Plan, stream: Stream) -> Edited:
    """Give the device state with its edits.

    :param stream: the whole one, without RAM contents, its head edited already.
    :raise ConvertError: when it is not as the plan expects.
    """
    edits = [edit for edit in plan.edits if edit.operation is not Operation.CONFIGURATION]
    new = apply_to_stream(edits, stream)
    place = _end_of_ram(stream)
    if _end_of_ram(new) != place or any(
        element is not other
        for element, other in zip(new.elements[:place], stream.elements[:place], strict=True)
    ):
        raise ConvertError("the plan changes a section that has been sent before RAM already")
    out = [chunk for element in new.elements[place:] for chunk in element_chunks(element)]
    rest = bytes([layout.EOF])
    if new.vmdesc is not None:
        raw = new.vmdesc.raw
        rest += bytes([layout.VMDESCRIPTION]) + len(raw).to_bytes(4, "big") + bytes(raw)
    # The edited parts lack RAM, which the check needs.
    kept = replace(new, ram_statistics=stream.ram_statistics)
    return Edited(stream=kept, sections=b"".join(out), rest=rest)


def _end_of_ram(stream: Stream) -> int:
    """Index of the first element behind RAM."""
    places = [
        number
        for number, element in enumerate(stream.elements)
        if isinstance(element, Section) and element.kind is SectionKind.END
    ]
    if not places:
        raise ConvertError("the stream has no RAM")
    return places[-1] + 1


def shown(edits: tuple[StreamEdit, ...]) -> tuple[str, ...]:
    """A line for each edit."""
    return tuple(f"{edit.id} ({edit.edit_class}): {edit.summary}" for edit in edits)
