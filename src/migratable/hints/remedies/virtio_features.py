"""Features of virtio that the guest's driver uses: turned on at the destination."""

from __future__ import annotations

from collections.abc import Iterator

from migratable.commandline import CommandLine
from migratable.facts import virtio
from migratable.hints import devices, network, pci_placement, property_probe
from migratable.hints.candidate import Candidate, Situation
from migratable.problem_facts import VirtioFeaturesFacts
from migratable.verdict import Finding, Side

_INVERTED = {"disable-modern": "off"}


def candidates(situation: Situation, finding: Finding) -> Iterator[Candidate]:
    """``OPTION=on`` for all bits that are missing, then single properties, then the backend."""
    facts, idstr = finding.facts, finding.device or ""
    if not isinstance(facts, VirtioFeaturesFacts):
        return
    found = list(dict.fromkeys(virtio.options(facts.kind, facts.missing)))
    option, driver = devices.option_of(situation, idstr)
    if found and driver:
        values = {name: _INVERTED.get(name, "on") for name in found}
        if option is not None:

            def edit(line: CommandLine) -> CommandLine:
                fields = option.fields
                for key, value in values.items():
                    fields = fields.set(key, value)
                return line.replace(option, option.with_fields(fields))

            name = option.fields.get("id") or driver
            said = ",".join(f"{key}={value}" for key, value in values.items())
            yield Candidate(action=f"-device {name}: {said}", edit=edit)
        else:

            def everywhere(line: CommandLine) -> CommandLine:
                for key, value in values.items():
                    line = line.with_global(driver, key, value)
                return line

            yield Candidate(
                action=" ".join(f"-global {driver}.{k}={v}" for k, v in values.items()),
                edit=everywhere,
            )
    yield from property_probe.properties(situation, idstr)
    yield from devices.dropped(situation, idstr)
    yield from pci_placement.exchanged(situation, idstr)
    if facts.kind == "virtio-net" and virtio.has_offload(facts.kind, facts.missing):
        netdev = None if option is None else option.fields.get("netdev")
        if netdev is not None:
            yield network.with_tap(netdev, "offloads need vnet_hdr")
    yield Candidate(
        action=f"turn {facts.names} off at the source's device and restart the guest, or unload "
        "its driver there while it is moved",
        side=Side.SOURCE,
        needs_guest_restart=True,
    )
