"""Ports of a virtio serial controller."""

from __future__ import annotations

from collections.abc import Iterator

from migratable.commandline import CommandLine
from migratable.hints import devices
from migratable.hints.candidate import Candidate, Situation
from migratable.problem_facts import PortsFacts
from migratable.verdict import Finding


def numbered(situation: Situation, finding: Finding) -> Iterator[Candidate]:
    """``nr=`` of its ports as the guest has them, in the order of the line.

    Port 0 is kept for a console and always in the guest's map (hw/char/virtio-serial-bus.c:
    virtio_serial_device_realize).
    """
    ports_of_guest = finding.facts.ports if isinstance(finding.facts, PortsFacts) else ()
    wanted = [number for number in ports_of_guest if number]
    option, _ = devices.option_of(situation, finding.device or "")
    name = None if option is None else option.fields.get("id")
    ports = [
        (one, driver)
        for one, driver, _ in situation.line.devices()
        if driver in {"virtserialport", "virtconsole"}
        and ((one.fields.get("bus") or "").rpartition(".")[0] == name or "bus" not in one.fields)
    ]
    if len(ports) == len(wanted) + 1 and ports[0][1] == "virtconsole":
        del ports[0]  # on port 0
    given = {int(one.fields.get("nr") or 0) for one, _ in ports}
    if given < set(wanted) and option is not None:
        yield _added(name, sorted(set(wanted) - given))
    if not ports or len(ports) != len(wanted):
        return

    def edit(line: CommandLine) -> CommandLine:
        for (one, _), number in zip(ports, wanted, strict=True):
            line = line.replace(one, one.with_fields(one.fields.set("nr", str(number))))
        return line

    said = ", ".join(
        f"-device {one.fields.get('id') or driver}: nr={number}"
        for (one, driver), number in zip(ports, wanted, strict=True)
    )
    yield Candidate(action=said, edit=edit)


def _added(controller: str | None, numbers: list[int]) -> Candidate:
    """The ports that the guest has and the line has not."""
    bus = f"bus={controller}.0," if controller else ""
    every = [
        (f"null,id=at-port-{number}", f"virtserialport,{bus}nr={number},chardev=at-port-{number}")
        for number in numbers
    ]

    def edit(line: CommandLine) -> CommandLine:
        for chardev, device in every:
            line = line.append("chardev", chardev).append("device", device)
        return line

    said = " ".join(f"-chardev {chardev} -device {device}" for chardev, device in every)
    return Candidate(
        action=f"{said}; with name= as the guest's port has it, which no stream says", edit=edit
    )
