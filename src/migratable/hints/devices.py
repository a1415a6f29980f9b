"""Edits of the device to which a section or RAM block belongs."""

from __future__ import annotations

from collections.abc import Iterator

from migratable.commandline import Option
from migratable.commandline.line import global_of
from migratable.hints import line_edits
from migratable.hints.candidate import Candidate, Situation
from migratable.hints.qtree import Node
from migratable.problem_facts import PropertiesFacts
from migratable.verdict import Finding

#: Members that say what a device is and where, not how it behaves.
_STRUCTURE = """driver id bus addr netdev drive chardev memdev rng fsdev mount_tag audiodev
    cryptodev iothread port unit scsi-id lun channel nr bmc reg index chassis slot bootindex
    mac socket-id core-id thread-id node"""
STRUCTURE = frozenset(_STRUCTURE.split())


def node_of(situation: Situation, idstr: str) -> Node | None:
    """The destination's device of a section or block: at its PCI path, else below it."""
    device = situation.guest.at(idstr)
    return None if device is None else situation.tree.pci().get(device.path)


def option_of(situation: Situation, idstr: str) -> tuple[Option | None, str]:
    """Its ``-device``, None when the machine has it by itself; and its driver."""
    node = node_of(situation, idstr)
    if node is None:
        return None, ""
    return situation.tree.option(situation.line, node, situation.parts.aliases), node.driver


def with_property(
    situation: Situation, idstr: str, key: str, value: str | None
) -> Iterator[Candidate]:
    """Set a property of the device that a section or block belongs to."""
    option, driver = option_of(situation, idstr)
    if not driver:
        return
    node = node_of(situation, idstr)
    if node is not None and value is not None and not _has(node, key):
        return
    yield set_on(situation, option, driver, key, value)


def asked(situation: Situation, finding: Finding) -> Iterator[Candidate]:
    """Properties of which the rule knows what they have to be (:class:`PropertiesFacts`)."""
    option, driver = option_of(situation, finding.device or "")
    if not driver or not isinstance(finding.facts, PropertiesFacts):
        return
    for key, value in finding.facts.properties.items():
        yield set_on(situation, option, driver, key, value)


def _has(node: Node, key: str) -> bool:
    return key in node.props or any(key in one.props for bus in node.buses for one in bus.nodes)


def set_on(
    situation: Situation, option: Option | None, driver: str, key: str, value: str | None
) -> Candidate:
    """Set (None: drop) a property on a ``-device``, or globally for one that has none."""
    if option is not None:
        name = option.fields.get("id") or driver
        said = f"{key}={value}" if value is not None else f"no {key}="
        return Candidate(
            action=f"-device {name}: {said}",
            edit=lambda line: line.with_device(option, key, value),
        )
    return Candidate(
        action=f"-global {driver}.{key}={value}"
        if value is not None
        else f"no -global {driver}.{key}",
        edit=lambda line: line.with_global(driver, key, value),
    )


def without(situation: Situation, idstr: str, key: str) -> Iterator[Candidate]:
    """Drop a property that the line sets, on the device or globally."""
    option, driver = option_of(situation, idstr)
    if option is not None and key in option.fields:
        yield set_on(situation, option, driver, key, None)
    for one in situation.line.all("global"):
        owner, name, value = global_of(one)
        if name == key:
            yield line_edits.removed(one, f"-global {owner}.{name}={value}")


def dropped(situation: Situation, idstr: str) -> Iterator[Candidate]:
    """Drop what the line sets on the device: each property, then all of them."""
    option, driver = option_of(situation, idstr)
    if option is not None:
        yield from _dropped(situation, option, driver)
    yield from dropped_globals(situation, idstr)


def dropped_of_kind(situation: Situation, idstr: str) -> Iterator[Candidate]:
    """The same for a section that names no place: on every device of its kind."""
    name = idstr.rpartition("/")[2]
    drivers = set(situation.parts.drivers(name))
    for option, driver, _ in situation.line.devices():
        kind = situation.parts.aliases.get(driver, driver)
        if kind in drivers or kind.startswith(name.replace("_", "-")):
            yield from _dropped(situation, option, driver)


def _dropped(situation: Situation, option: Option, driver: str) -> Iterator[Candidate]:
    keys = [key for key, _ in option.fields.items() if key not in STRUCTURE]
    for key in keys:
        yield set_on(situation, option, driver, key, None)
    if len(keys) > 1:
        name = option.fields.get("id") or driver
        said = f"-device {name}: no {', '.join(keys)}"
        yield line_edits.changed(option, option.fields.delete(*keys), said)


def dropped_globals(situation: Situation, idstr: str) -> Iterator[Candidate]:
    """Drop each ``-global``: first those of the device's own driver."""
    _, driver = option_of(situation, idstr)
    stem = driver.removesuffix("-pci").removesuffix("-transitional")
    options = [(global_of(one), one) for one in situation.line.all("global")]
    options = [option for option in options if option[0][0] != "migration"]
    options.sort(key=lambda option: not (stem and option[0][0].startswith(stem)))
    for (owner, name, value), option in options:
        yield line_edits.removed(option, f"-global {owner}.{name}={value}")


def behind(situation: Situation, idstr: str) -> Iterator[Candidate]:
    """Without what sits on the buses of a bridge or port and is not in the guest."""
    node = node_of(situation, idstr)
    for bus in () if node is None else node.buses:
        for one in bus.nodes:
            path = situation.tree.path(one)
            option = situation.tree.option(situation.line, one, situation.parts.aliases)
            if path and path not in situation.guest.pci and option is not None:
                yield surplus(situation, option)


def surplus(situation: Situation, option: Option) -> Candidate:
    """Take a ``-device`` out."""
    fields = option.fields
    name = fields.get("id") or fields.get("driver") or ""
    said = f"{fields.get('driver')},id={name}" if fields.get("id") else name
    return Candidate(
        action=f"without -device {said}", edit=lambda line: line_edits.without_device(line, option)
    )
