"""Move PCI devices of the destination to their addresses in the guest; add missing ones.

PCI addresses are counted in the order of the command line: one device more or less, or another
order, moves all that follow. The guest's addresses are in the names of its sections.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field

from migratable.commandline import CommandLine, Option
from migratable.hints import line_edits, machine_options, missing_devices
from migratable.hints.candidate import Candidate, Situation
from migratable.hints.guest import Guest, PciDevice, slot_of
from migratable.hints.qtree import Node, Tree
from migratable.stream import read


@dataclass(slots=True)
class Plan:
    """What must be done.

    :ivar moves: a ``-device`` and the path that it must have.
    :ivar missing: devices of the guest that the destination has nowhere.
    :ivar surplus: options of devices that stand in the way.
    :ivar fixed: devices in the wrong place that no ``-device`` made.
    :ivar aside: devices in the way of which a stream says nothing, and a slot for each: the guest
        may have them.
    :ivar nodes: the destination's device for each path of the guest's.
    """

    moves: list[tuple[Option, PciDevice]] = field(default_factory=list)
    missing: list[PciDevice] = field(default_factory=list)
    surplus: list[Option] = field(default_factory=list)
    fixed: list[Node] = field(default_factory=list)
    aside: list[tuple[Option, str]] = field(default_factory=list)
    nodes: dict[str, Node] = field(default_factory=dict)

    def bus_at(self, tree: Tree, path: str) -> str | None:
        """Name of the bus for a path of the guest's, once all are moved."""
        parent, _, slot = path.rpartition(":")
        if "." not in slot:
            return None
        root = tree.root_buses().get(parent)
        if root is not None:
            return root
        bridge = self.nodes.get(parent)
        buses = [] if bridge is None else [bus for bus in bridge.buses if "PCI" in bus.kind.upper()]
        return buses[0].name if buses else None


def plan(situation: Situation) -> Plan:
    """Compare the guest's PCI devices with the destination's."""
    out = Plan()
    here = situation.tree.pci()
    local = _local(situation)
    free = dict(here)
    lacking: list[PciDevice] = []
    for path, device in situation.guest.pci.items():
        node = free.get(path)
        if node is not None and _same(device, node, local.get(path)):
            out.nodes[path] = free.pop(path)
        else:
            lacking.append(device)
    for device in lacking:
        match = next(
            (path for path, node in free.items() if _same(device, node, local.get(path))), None
        )
        if match is None:
            out.missing.append(device)
            continue
        node = out.nodes[device.path] = free.pop(match)
        option = situation.tree.option(situation.line, node, situation.parts.aliases)
        if option is None:
            out.fixed.append(node)
            out.missing.append(device)
        else:
            out.moves.append((option, device))
    wanted = {device.path for _, device in out.moves} | {one.path for one in out.missing}
    slots = {path.rpartition(".")[0] for path in wanted}
    left = [path for path in here if path not in free and path not in out.nodes]
    for path, node in free.items():
        if path in wanted or path.rpartition(".")[0] in slots:
            option = situation.tree.option(situation.line, node, situation.parts.aliases)
            if option is None:
                out.fixed.append(node)
            elif path in local or (place := _free_place(path, left, wanted, here)) is None:
                out.surplus.append(option)
            else:
                left = [one for one in left if one != place]
                out.aside.append((option, place))
    if out.fixed:  # one of QEMU's own devices less, and its others move up: none of those either
        for node in free.values():
            own = node.driver in DEFAULT and all(one is not node for one in out.fixed)
            if own and situation.tree.option(situation.line, node, situation.parts.aliases) is None:
                out.fixed.append(node)
    return out


def _free_place(
    path: str, left: Sequence[str], wanted: Collection[str], here: Collection[str]
) -> str | None:
    """A slot on the same bus: one that a moved device leaves, else one that nobody has."""
    bus = path.rpartition(":")[0]
    unused = (f"{bus}:{slot:02x}.0" for slot in range(1, 32))
    taken = set(wanted) | (set(here) - set(left))
    return next(
        (
            one
            for one in (*left, *unused)
            if one.rpartition(":")[0] == bus and one.endswith(".0") and one not in taken
        ),
        None,
    )


def _local(situation: Situation) -> dict[str, PciDevice]:
    """The destination's own PCI devices by its own stream."""
    if situation.profile is None or not situation.profile.stream:
        return {}
    return Guest.of(read(situation.profile.stream)).pci


def _same(device: PciDevice, node: Node, local: PciDevice | None) -> bool:
    """The same kind of device?"""
    if device.pci_id and node.pci_id and device.pci_id != node.pci_id:
        return False
    if local is None:
        return bool(device.pci_id)
    return device.names == local.names or (
        not device.names and set(device.blocks) == set(local.blocks)
    )


def arranged(situation: Situation, idstr: str) -> Iterator[Candidate]:
    """What gives a section's place on PCI the device that the guest has there."""
    yield from exchanged(situation, idstr)
    yield from machine_options.own_devices(situation)
    yield from displays(situation)
    yield from moves(situation)


_BASE_CLASS = 0x0B
_VGA = {
    "VGA": "std",
    "cirrus-vga": "cirrus",
    "vmware-svga": "vmware",
    "qxl-vga": "qxl",
    "virtio-vga": "virtio",
}


def displays(situation: Situation) -> Iterator[Candidate]:
    """``-vga`` for a display of the guest's that the destination lacks."""
    given = any(True for _ in situation.line.all("vga"))
    for device in plan(situation).missing:
        is_vga = device.register(0x0A, 2) == missing_devices.CLASS_VGA
        if not is_vga and (device.config or "vga.vram" not in device.blocks):
            continue
        if given:
            yield from machine_options.without(situation, "vga")
        for driver in missing_devices.drivers(situation, device):
            if driver in _VGA and _VGA[driver] != situation.line.get("vga", "type"):
                kind = _VGA[driver]
                yield Candidate(
                    action=f"-vga {kind}",
                    edit=lambda line, kind=kind: line_edits.with_option(line, "vga", kind),  # type: ignore[misc]
                )
        return


def moves(situation: Situation) -> Iterator[Candidate]:
    """Candidates that set the guest's addresses, with what is missing added."""
    found = plan(situation)
    yield from _replaced(situation, found)
    if not (found.moves or found.missing or found.surplus or found.fixed or found.aside):
        return
    ways = [
        list(missing_devices.ways(situation, device, found.bus_at(situation.tree, device.path)))
        for device in found.missing
    ]
    kinds = {DEFAULT.get(node.driver) for node in found.fixed}
    if kinds & {"vga", "nic"} and not any(True for _ in situation.line.all("nodefaults")):
        yield line_edits.appended("nodefaults")  # drives that leave no trace in a stream go too
    if found.moves or found.surplus or found.fixed or found.aside:
        yield Candidate(action=_said(found, ()), edit=lambda line: _moved(situation, line, found))
    if found.moves and not (found.surplus or found.fixed or found.aside):
        # one that stays where it is may stand on the line before those that move, and move up
        yield Candidate(
            action=_said(found, ()),
            edit=lambda line: _moved(situation, _pinned(situation, line, found), found),
        )
    # every missing device in its most likely form, then other forms of one after another
    first = [way[0] for way in ways if way]
    if first:
        yield _all(situation, found, first)
    for number, one in enumerate(ways):
        for way in one[1:]:
            chosen = [*first]
            at_index = sum(1 for other in ways[:number] if other)
            chosen[at_index] = way
            yield _all(situation, found, chosen)


def _replaced(situation: Situation, found: Plan) -> Iterator[Candidate]:
    """A device of the guest's kind at another place and of another driver: both set.

    Its proxy has another PCI id (``virtio-balloon-pci-non-transitional``); of some kinds a machine
    takes only one, so that the guest's cannot be added beside it.
    """
    used = {id(node) for node in found.nodes.values()}
    local = _local(situation)
    for device in found.missing:
        for path, node in situation.tree.pci().items():
            own = local.get(path)
            if id(node) in used or own is None or not device.names or own.names != device.names:
                continue
            option = situation.tree.option(situation.line, node, situation.parts.aliases)
            if option is None:
                continue
            for driver in missing_devices.drivers(situation, device):
                if driver == node.driver:
                    continue
                fields = option.fields.set("driver", driver).set("addr", device.addr)
                which = option.fields.get("id") or node.driver
                said = f"-device {driver} for {which}, at addr={device.addr}"
                yield line_edits.changed(option, fields, said)


def _all(situation: Situation, found: Plan, adds: list[missing_devices.Add]) -> Candidate:
    def edit(line: CommandLine) -> CommandLine:
        line = _moved(situation, line, found)
        for add in adds:
            line = add.apply(line)
        return line

    return Candidate(action=_said(found, adds), edit=edit)


def _said(found: Plan, adds: tuple[missing_devices.Add, ...] | list[missing_devices.Add]) -> str:
    parts = [
        f"-device {option.fields.get('id') or option.fields.get('driver')} at addr={device.addr}"
        for option, device in found.moves
    ]
    parts += [
        f"-device {option.fields.get('id') or option.fields.get('driver')} at addr={slot_of(path)}"
        for option, path in found.aside
    ]
    parts += [f"without -device {option.fields.get('driver')}" for option in found.surplus]
    kinds = {DEFAULT[node.driver] for node in found.fixed if node.driver in DEFAULT}
    parts += [
        "without -usb and its devices" if kind == "usb" else f"-{kind} none"
        for kind in sorted(kinds)
    ]
    parts += [add.text for add in adds]
    return ", ".join(parts)


DEFAULT = {
    **dict.fromkeys(
        ("VGA", "cirrus-vga", "vmware-svga", "virtio-vga", "qxl-vga", "ati-vga"), "vga"
    ),
    **dict.fromkeys(("nec-usb-xhci", "pci-ohci", "piix3-usb-uhci"), "usb"),
    **dict.fromkeys(("e1000", "e1000e", "rtl8139", "virtio-net-pci", "spapr-vlan"), "nic"),
}
"""What QEMU adds by itself, or by an option that is no -device."""


def _moved(situation: Situation, line: CommandLine, found: Plan) -> CommandLine:
    for option in found.surplus:
        if any(one is option for one in line.options):
            line = line_edits.without_device(line, option)
    for option, path in found.aside:
        if any(one is option for one in line.options):
            line = line.replace(
                option, option.with_fields(option.fields.set("addr", slot_of(path)))
            )
    if found.surplus or found.fixed or found.aside:  # without them others would move up
        line = _pinned(situation, line, found)
    for node in (one for one in found.fixed if one.driver in DEFAULT):
        for below in node.below():
            on_it = situation.tree.option(situation.line, below, situation.parts.aliases)
            if on_it is not None and any(option is on_it for option in line.options):
                line = line.replace(on_it)
        line = machine_options.no_default(line, DEFAULT[node.driver])
    for option, device in found.moves:
        if all(one is not option for one in line.options):
            continue
        new = option.fields
        bus = found.bus_at(situation.tree, device.path)
        if bus is not None and (len(device.chain) > 1 or new.get("bus") not in {None, bus}):
            new = new.set("bus", bus)
        new = new.set("addr", device.addr)
        if device.register(0x0E, 1) & 0x80 and device.chain[-1].endswith(".0"):
            new = new.set("multifunction", "on")
        line = line.replace(option, option.with_fields(new))
    return line


def _pinned(situation: Situation, line: CommandLine, found: Plan) -> CommandLine:
    """Devices that are where the guest has them, held there."""
    moved = [option for option, _ in found.moves]
    for path, node in found.nodes.items():
        option = situation.tree.option(situation.line, node, situation.parts.aliases)
        if option is None or any(option is one for one in moved) or "addr" in option.fields:
            continue
        if any(one is option for one in line.options):
            fields = option.fields.set("addr", situation.guest.pci[path].addr)
            line = line.replace(option, option.with_fields(fields))
    return line


def exchanged(situation: Situation, idstr: str) -> Iterator[Candidate]:
    """Another driver for the ``-device`` at the guest's place, its backends kept.

    Drivers that PCI does not tell apart (a virtio keyboard and a tablet) are other devices to the
    guest: where the line's own fits, only its variants (``-non-transitional``) are tried.
    """
    device = situation.guest.at(idstr)
    if device is None:
        return
    node = situation.tree.pci().get(device.path)
    option = (
        None
        if node is None
        else situation.tree.option(situation.line, node, situation.parts.aliases)
    )
    if option is None or node is None:
        return
    if all(one is not device for one in plan(situation).missing):
        return  # it is elsewhere on the line
    local = _local(situation).get(device.path)
    if local is not None and local.register(_BASE_CLASS, 1) != device.register(_BASE_CLASS, 1):
        return  # another kind of device: its properties and backends are of no use
    fitting = missing_devices.drivers(situation, device)
    for driver in fitting:
        variant = _stem(driver) == _stem(node.driver)
        if driver != node.driver and (variant or node.driver not in fitting):
            said = f"-device {driver} for {option.fields.get('id') or node.driver}"
            yield line_edits.changed(option, option.fields.set("driver", driver), said)


def _stem(driver: str) -> str:
    return driver.removesuffix("-non-transitional").removesuffix("-transitional")
