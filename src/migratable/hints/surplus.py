"""Remove devices that the stream lacks: with them the guest could not come back."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from migratable.commandline import CommandLine
from migratable.hints import boards, devices, line_edits, machine_options, pci_placement
from migratable.hints.candidate import Candidate, Situation
from migratable.hints.guest import place
from migratable.hints.remedies.unknown_section import BUILT_IN
from migratable.profile.tables import Handler

_CPUS = frozenset({"cpu_common", "cpu", "apic", "icp/server", "xive-tctx", "spapr_cpu"})
_GLOBALS = {"kvm-tpr-opt": ("apic-common", "vapic", "off")}
"""Switches of devices that are no machine's (``hw/intc/apic_common.c: apic_common_realize``)."""
_PORTS = {"serial": "serial", "parallel_isa": "parallel"}


def candidates(situation: Situation, handler: Handler) -> Iterator[Candidate]:
    """Ways to a machine without the device of a section that the stream lacks."""
    idstr = handler.idstr
    name = idstr.rpartition("/")[2]
    if name == "apic" and not situation.guest.count("apic") and situation.line.cpu is not None:
        yield Candidate(action="-cpu …,-apic", edit=_without_apic)
    if name in _CPUS:
        yield from machine_options.smp(situation)
        return
    where = place(idstr)
    if where is not None:
        yield from _on_pci(situation, ":".join((where[0], *where[1])), where[2], name)
        return
    for key, value in (*BUILT_IN.get(name, ()), *boards.SWITCHES.get(name, ())):
        if situation.line.get("machine", key) is not None:
            yield line_edits.machine(key, None)
        if value == "on":
            yield line_edits.machine(key, "off")
    drivers = set(situation.parts.drivers(name))
    for option, driver, _ in situation.line.devices():
        if situation.parts.aliases.get(driver, driver) in {*drivers, name}:
            yield devices.surplus(situation, option)
    if name in _GLOBALS:
        driver, key, value = _GLOBALS[name]
        yield Candidate(
            action=f"-global {driver}.{key}={value}",
            edit=lambda line: line.with_global(driver, key, value),
        )
    if not any(True for _ in situation.line.all("nodefaults")):
        yield line_edits.appended("nodefaults")  # first: empty drives of QEMU's own go with it
    if name in _PORTS:
        yield _none(_PORTS[name])


def _on_pci(situation: Situation, path: str, inner: str, name: str) -> Iterator[Candidate]:
    node = situation.tree.pci().get(path)
    if node is None:
        return
    if inner:
        for below in node.below():
            option = situation.tree.option(situation.line, below, situation.parts.aliases)
            if option is not None and (
                name == situation.parts.sections.get(below.driver) or name == below.driver
            ):
                yield devices.surplus(situation, option)
        return
    option = situation.tree.option(situation.line, node, situation.parts.aliases)
    if option is not None:
        yield devices.surplus(situation, option)
        return
    kind = pci_placement.DEFAULT.get(node.driver)
    if kind is not None:
        yield Candidate(
            action="without -usb" if kind == "usb" else f"-{kind} none",
            edit=lambda line: machine_options.no_default(line, kind),
        )
    for key, value in BUILT_IN.get(name, ()):
        if value == "on":
            yield line_edits.machine(key, "off")


def _without_apic(line: CommandLine) -> CommandLine:
    option = next(line.all("cpu"))
    return line.replace(option, replace(option, value=f"{option.value},-apic"))


def _none(name: str) -> Candidate:
    def edit(line: CommandLine) -> CommandLine:
        return line_edits.with_option(line, name, "none")

    return Candidate(action=f"-{name} none", edit=edit)
