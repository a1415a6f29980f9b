"""The destination's devices on their buses, as ``info qtree`` prints them, with PCI paths."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from migratable.commandline import CommandLine, Option
from migratable.errors import MigratableError
from migratable.qemu.start import inert_start

_DEVICE = re.compile(r'dev: (?P<type>[^,]+), id "(?P<id>[^"]*)"')
_PCI_ID = re.compile(r"pci id (?P<id>[0-9a-f]{4}:[0-9a-f]{4}) \(sub (?P<sub>[0-9a-f:]+)\)")
_BASE_BUID = 0x800000020000000
"""SPAPR_PCI_BASE_BUID of hw/ppc/spapr_pci.c."""
_PROPERTY = re.compile(r"(?P<name>[A-Za-z0-9_.-]+) = (?P<value>.*)")


@dataclass(slots=True)
class Bus:
    """A bus and what sits on it."""

    name: str
    parent: Node | None
    kind: str = ""
    nodes: list[Node] = field(default_factory=list)


@dataclass(slots=True)
class Node:
    """A device.

    :ivar identity: its ``id=``, empty without one.
    :ivar props: properties as printed.
    :ivar pci_id: ``1af4:1000``, empty when it is no PCI device.
    """

    driver: str
    identity: str
    bus: Bus | None
    props: dict[str, str] = field(default_factory=dict)
    buses: list[Bus] = field(default_factory=list)
    pci_id: str = ""

    def prop(self, name: str) -> str:
        """A property without quotes and explanation: ``2 (0x2)`` is ``2``."""
        text = self.props.get(name, "")
        return text.strip('"') if text.startswith('"') else text.partition(" ")[0]

    def below(self) -> Iterator[Node]:
        """All devices under it."""
        for bus in self.buses:
            for node in bus.nodes:
                yield node
                yield from node.below()


@dataclass(slots=True)
class Tree:
    """All devices, oldest first on each bus."""

    root: list[Bus] = field(default_factory=list)

    def nodes(self) -> Iterator[Node]:
        """All devices."""
        for bus in self.root:
            for node in bus.nodes:
                yield node
                yield from node.below()

    def path(self, node: Node) -> str:
        """PCI path as in idstrs, empty for another device."""
        slots: list[str] = []
        at: Node | None = node
        while at is not None and at.pci_id:
            slots.append(at.prop("addr"))
            at = None if at.bus is None else at.bus.parent
        if not slots or at is None or not all(slots):
            return ""
        return ":".join((_root_path(at), *reversed(slots)))

    def pci(self) -> dict[str, Node]:
        """PCI devices by path."""
        return {path: node for node in self.nodes() if (path := self.path(node))}

    def root_buses(self) -> dict[str, str]:
        """PCI root buses: path to bus name (``0000:00`` to ``pcie.0``)."""
        found: dict[str, str] = {}
        for node in self.nodes():
            for bus in node.buses:
                if not node.pci_id and bus.kind in {"PCI", "PCIE", "pxb-pcie-bus", "pxb-bus"}:
                    found.setdefault(_root_path(node), bus.name)
        return found

    def bus_at(self, path: str) -> str | None:
        """Name of the bus on which a device of that path sits."""
        parent, _, slot = path.rpartition(":")
        if "." not in slot:
            return None
        root = self.root_buses().get(parent)
        if root is not None:
            return root
        bridge = self.pci().get(parent)
        return None if bridge is None or not bridge.buses else bridge.buses[0].name

    def option(self, line: CommandLine, node: Node, drivers: dict[str, str]) -> Option | None:
        """The ``-device`` that made a device, None for one that the machine has by itself.

        :param drivers: type by alias.
        """
        options = [
            (option, drivers.get(name, name), known) for option, name, known in line.devices()
        ]
        if node.identity:
            return next((option for option, _, known in options if known == node.identity), None)
        alike = [one for one in self.nodes() if one.driver == node.driver and not one.identity]
        made = [option for option, driver, known in options if driver == node.driver and not known]
        at = next(n for n, one in enumerate(alike) if one is node) - (len(alike) - len(made))
        return made[at] if 0 <= at < len(made) else None


def _root_path(host: Node) -> str:
    if host.driver == "spapr-pci-host-bridge":  # hw/ppc/spapr_pci.c: spapr_phb_root_bus_path
        return f"pci@{_BASE_BUID + int(host.prop('index') or '0'):x}"
    number = re.search(r"[.:]?([0-9a-f]{2})$", host.identity) if "pxb" in host.driver else None
    return f"0000:{number[1]}" if number else "0000:00"


def parse(text: str) -> Tree:
    """Read what ``info qtree`` printed (softmmu/qdev-monitor.c: qbus_print; two blanks a level)."""
    tree = Tree()
    stack: list[tuple[int, Bus | Node]] = []
    for line in text.splitlines():
        depth = len(line) - len(line.lstrip())
        words = line.strip()
        if words.startswith("bus: "):
            _pop(stack, depth)
            above = stack[-1][1] if stack else None
            bus = Bus(words[5:], above if isinstance(above, Node) else None)
            (above.buses if isinstance(above, Node) else tree.root).append(bus)
            stack.append((depth, bus))
        elif match := _DEVICE.fullmatch(words):
            _pop(stack, depth)
            above = stack[-1][1] if stack else None
            node = Node(match["type"], match["id"], above if isinstance(above, Bus) else None)
            if isinstance(above, Bus):
                above.nodes.insert(0, node)  # the newest is printed first
            stack.append((depth, node))
        elif stack:
            _detail(stack, depth, words)
    return tree


def _pop(stack: list[tuple[int, Bus | Node]], depth: int) -> None:
    while stack and stack[-1][0] >= depth:
        stack.pop()


def _detail(stack: list[tuple[int, Bus | Node]], depth: int, words: str) -> None:
    while stack and stack[-1][0] >= depth:
        stack.pop()
    if not stack:
        return
    above = stack[-1][1]
    if isinstance(above, Bus):
        if words.startswith("type "):
            above.kind = words[5:]
    elif match := _PCI_ID.search(words):
        above.pci_id = match["id"]
    elif match := _PROPERTY.fullmatch(words):
        above.props.setdefault(match["name"], match["value"])


def tree_of(line: CommandLine, *, release: str | None = None, timeout: float = 10.0) -> Tree:
    """Start the destination inert and ask it; empty when it does not start."""
    try:
        with (
            inert_start(line, release=release) as start,
            start.process(timeout=timeout) as qemu,
        ):
            return parse(qemu.hmp("info qtree"))
    except MigratableError:
        return Tree()
