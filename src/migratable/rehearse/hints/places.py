"""Give the destination's PCI devices the places that they have in the guest; add what is missing.

PCI addresses are counted in the order of the command line: one device more or less, or another
order, moves all that follow. The guest's addresses are in the names of its sections.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from migratable.profile.commandline import CommandLine, Option
from migratable.rehearse.hints import backends, edits, knobs
from migratable.rehearse.hints.candidate import Candidate, Situation
from migratable.rehearse.hints.guest import Guest, PciDevice
from migratable.rehearse.hints.tree import Node, Tree
from migratable.stream import read


@dataclass(slots=True)
class Plan:
    """What must be done.

    :ivar moves: a ``-device`` and the path that it must have.
    :ivar missing: devices of the guest that the destination has nowhere.
    :ivar surplus: options of devices that stand in the way.
    :ivar fixed: devices in the wrong place that no ``-device`` made.
    :ivar nodes: the destination's device for each path of the guest's.
    """

    moves: list[tuple[Option, PciDevice]] = field(default_factory=list)
    missing: list[PciDevice] = field(default_factory=list)
    surplus: list[Option] = field(default_factory=list)
    fixed: list[Node] = field(default_factory=list)
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
        buses = [] if bridge is None else [one for one in bridge.buses if "PCI" in one.kind.upper()]
        return buses[0].name if buses else None


def plan(at: Situation) -> Plan:
    """Compare the guest's PCI devices with the destination's."""
    out = Plan()
    here = at.tree.pci()
    local = _local(at)
    free = dict(here)
    missing: list[PciDevice] = []
    for path, device in at.guest.pci.items():
        node = free.get(path)
        if node is not None and _same(device, node, local.get(path)):
            out.nodes[path] = free.pop(path)
        else:
            missing.append(device)
    for device in missing:
        match = next(
            (path for path, node in free.items() if _same(device, node, local.get(path))), None
        )
        if match is None:
            out.missing.append(device)
            continue
        node = out.nodes[device.path] = free.pop(match)
        option = at.tree.option(at.line, node, at.parts.aliases)
        if option is None:
            out.fixed.append(node)
            out.missing.append(device)
        else:
            out.moves.append((option, device))
    wanted = {device.path for _, device in out.moves} | {one.path for one in out.missing}
    slots = {path.rpartition(".")[0] for path in wanted}
    for path, node in free.items():
        if path in wanted or path.rpartition(".")[0] in slots:
            option = at.tree.option(at.line, node, at.parts.aliases)
            if option is not None:
                out.surplus.append(option)
            else:
                out.fixed.append(node)
    return out


def _local(at: Situation) -> dict[str, PciDevice]:
    """The destination's own PCI devices by its own stream."""
    if at.profile is None or not at.profile.stream:
        return {}
    return Guest.of(read(at.profile.stream)).pci


def _same(device: PciDevice, node: Node, local: PciDevice | None) -> bool:
    """The same kind of device?"""
    if device.pci_id and node.pci_id and device.pci_id != node.pci_id:
        return False
    if local is None:
        return bool(device.pci_id)
    return device.names == local.names or (
        not device.names and set(device.blocks) == set(local.blocks)
    )


def arranged(at: Situation, idstr: str) -> Iterator[Candidate]:
    """What gives a section's place on PCI the device that the guest has there."""
    yield from exchanged(at, idstr)
    yield from knobs.own_devices(at)
    yield from displays(at)
    yield from moves(at)


_VGA = {
    "VGA": "std",
    "cirrus-vga": "cirrus",
    "vmware-svga": "vmware",
    "qxl-vga": "qxl",
    "virtio-vga": "virtio",
}


def displays(at: Situation) -> Iterator[Candidate]:
    """``-vga`` for a display of the guest's that the destination lacks."""
    given = any(True for _ in at.line.all("vga"))
    if not given and not any(True for _ in at.line.all("nodefaults")):
        return
    for device in plan(at).missing:
        if device.register(0x0A, 2) != _CLASS_VGA:
            continue
        if given:
            yield from knobs.without(at, "vga")
        for driver in drivers(at, device):
            if driver in _VGA and _VGA[driver] != at.line.get("vga", "type"):
                kind = _VGA[driver]
                yield Candidate(
                    action=f"-vga {kind}",
                    edit=lambda line, kind=kind: edits.with_option(line, "vga", kind),  # type: ignore[misc]
                )
        return


def moves(at: Situation) -> Iterator[Candidate]:
    """Candidates that set the guest's addresses, with what is missing added."""
    found = plan(at)
    if not (found.moves or found.missing or found.surplus or found.fixed):
        return
    ways = [list(_ways(at, device, found.bus_at(at.tree, device.path))) for device in found.missing]
    if found.moves:
        yield Candidate(action=_said(found, ()), edit=lambda line: _moved(at, line, found))
    # every missing device in its most likely form, then other forms of one after another
    first = [one[0] for one in ways if one]
    if first:
        yield _all(at, found, first)
    for number, one in enumerate(ways):
        for way in one[1:]:
            chosen = [*first]
            at_index = sum(1 for other in ways[:number] if other)
            chosen[at_index] = way
            yield _all(at, found, chosen)


def _all(at: Situation, found: Plan, adds: list[Add]) -> Candidate:
    def edit(line: CommandLine) -> CommandLine:
        line = _moved(at, line, found)
        for add in adds:
            line = add.apply(line)
        return line

    return Candidate(action=_said(found, adds), edit=edit)


def _said(found: Plan, adds: tuple[Add, ...] | list[Add]) -> str:
    parts = [
        f"-device {option.fields.get('id') or option.fields.get('driver')} at addr={_addr(device)}"
        for option, device in found.moves
    ]
    parts += [f"without -device {one.fields.get('driver')}" for one in found.surplus]
    kinds = {_DEFAULT[one.driver] for one in found.fixed if one.driver in _DEFAULT}
    parts += [f"-{kind} none" for kind in sorted(kinds)]
    parts += [add.text for add in adds]
    return ", ".join(parts)


_DEFAULT = {
    **dict.fromkeys(
        ("VGA", "cirrus-vga", "vmware-svga", "virtio-vga", "qxl-vga", "ati-vga"), "vga"
    ),
    **dict.fromkeys(("e1000", "e1000e", "rtl8139", "virtio-net-pci", "spapr-vlan"), "nic"),
}
"""What QEMU adds by itself, or by an option that is no -device."""


def _addr(device: PciDevice) -> str:
    slot, _, function = device.chain[-1].partition(".")
    return f"{int(slot, 16):#x}" if function == "0" else f"{int(slot, 16):#x}.{function}"


def _moved(at: Situation, line: CommandLine, found: Plan) -> CommandLine:
    for option in found.surplus:
        line = line.replace(option)
    for kind in sorted({_DEFAULT[one.driver] for one in found.fixed if one.driver in _DEFAULT}):
        line = knobs.no_default(line, kind)
    for option, device in found.moves:
        new = option.fields
        bus = found.bus_at(at.tree, device.path)
        if bus is not None and (len(device.chain) > 1 or new.get("bus") not in {None, bus}):
            new = new.set("bus", bus)
        new = new.set("addr", _addr(device))
        if device.register(0x0E, 1) & 0x80 and device.chain[-1].endswith(".0"):
            new = new.set("multifunction", "on")
        line = line.replace(option, option.with_fields(new))
    return line


# What is missing


@dataclass(frozen=True, slots=True)
class Add:
    """A device to add: its backends first."""

    options: tuple[tuple[str, str], ...]
    remove: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """Its options as they are written."""
        return " ".join(f"-{name} {value}" for name, value in self.options)

    def apply(self, line: CommandLine) -> CommandLine:
        """Add it at the end."""
        for name, value in self.options:
            line = line.append(name, value)
        return line


def drivers(at: Situation, device: PciDevice) -> list[str]:
    """Drivers that could be the device, likeliest first."""
    parts = at.parts
    roms = [name.removesuffix(".rom") for name in device.blocks if name.endswith(".rom")]
    found = [name for name in roms if parts.buses.get(name) == "PCI"]
    for name in device.names:
        if name.startswith("virtio-"):
            found += _virtio(device, parts.virtio(name))
        found += [one for one in parts.drivers(name) if parts.buses.get(one) == "PCI"]
    if not found and not device.names and device.blocks:
        found += parts.silent_displays
    if not device.names:  # without a section: bochs-display, VGA of other kinds have RAM blocks
        stems = {name.rpartition("-vram")[0] or name.partition(".")[0] for name in device.blocks}
        found += [one for one in stems if parts.buses.get(one) == "PCI"]
    known = _BY_ID.get(device.pci_id)
    found = [one for one in dict.fromkeys(found) if parts.buses.get(one) == "PCI"]
    if known is not None:
        exact = [one for one in known if one in found]
        if exact:
            return exact
        named = [one for one in known if parts.buses.get(one) == "PCI"]
        return named + found
    return found


#: PCI ids by which drivers whose sections have one name are told apart (their sources' class_init).
_BY_ID: dict[str, tuple[str, ...]] = {
    "8086:2934": ("ich9-usb-uhci1",),
    "8086:2935": ("ich9-usb-uhci2",),
    "8086:2936": ("ich9-usb-uhci3",),
    "8086:2937": ("ich9-usb-uhci4",),
    "8086:2938": ("ich9-usb-uhci5",),
    "8086:2939": ("ich9-usb-uhci6",),
    "8086:7020": ("piix3-usb-uhci",),
    "8086:7112": ("piix4-usb-uhci",),
    "8086:24cd": ("usb-ehci",),
    "8086:293a": ("ich9-usb-ehci1",),
    "8086:293c": ("ich9-usb-ehci2",),
    "1b36:000d": ("qemu-xhci",),
    "1033:0194": ("nec-usb-xhci",),
    "8086:100e": ("e1000",),
    "8086:100f": ("e1000-82545em",),
    "8086:1008": ("e1000-82544gc",),
    "8086:2668": ("intel-hda",),
    "8086:293e": ("ich9-intel-hda",),
    "1234:1111": ("VGA", "secondary-vga", "bochs-display"),
    "1b36:0002": ("pci-serial",),
    "1b36:0003": ("pci-serial-2x",),
    "1b36:0004": ("pci-serial-4x",),
    "1000:0012": ("lsi53c895a",),
    "1000:0001": ("lsi53c810",),
}
_BASE_CLASS = 0x0B
_CLASS_VGA, _CLASS_KEYBOARD, _CLASS_MOUSE, _CLASS_INPUT = 0x0300, 0x0900, 0x0902, 0x0980


def _virtio(device: PciDevice, names: list[str]) -> list[str]:
    """Order the proxies by PCI id and class: modern ids are 0x1040 and up."""
    number = device.register(2, 2)
    kind = device.register(0x0A, 2)
    plain = [one for one in names if one.endswith("-pci") or one == "virtio-vga"]
    if kind == _CLASS_VGA:
        plain = [one for one in plain if "vga" in one] or plain
    elif kind == 0x0380:
        plain = [one for one in plain if "vga" not in one] or plain
    if kind == _CLASS_KEYBOARD:
        plain = [one for one in plain if "keyboard" in one]
    elif kind == _CLASS_MOUSE:
        plain = [one for one in plain if "mouse" in one]
    elif kind == _CLASS_INPUT:
        plain = [one for one in plain if "keyboard" not in one and "mouse" not in one]
    other = "-non-transitional" if number >= 0x1040 else "-transitional"
    suffixed = [one for one in names if one.endswith("-pci" + other)]
    return plain + suffixed


def _ways(at: Situation, device: PciDevice, bus: str | None) -> Iterator[Add]:
    for driver in drivers(at, device):
        props = [driver, f"id={_name(at, device)}"]
        if bus is not None:
            props.append(f"bus={bus}")
        props.append(f"addr={_addr(device)}")
        if device.register(0x0E, 1) & 0x80 and device.chain[-1].endswith(".0"):
            props.append("multifunction=on")
        for before, more in backends.of(at, device, driver):
            yield Add((*before, ("device", ",".join([*props, *more]))))


def _name(at: Situation, device: PciDevice) -> str:
    taken = {known for _, _, known in at.line.devices()}
    base = "at-" + "-".join(one.replace(".", "-") for one in device.chain)
    name, number = base, 1
    while name in taken:
        name, number = f"{base}-{number}", number + 1
    return name


def exchanged(at: Situation, idstr: str) -> Iterator[Candidate]:
    """Another driver for the ``-device`` at the guest's place, its backends kept.

    Drivers that PCI does not tell apart (a virtio keyboard and a tablet) are other devices to the
    guest: where the line's own fits, only its variants (``-non-transitional``) are tried.
    """
    device = at.guest.at(idstr)
    if device is None:
        return
    node = at.tree.pci().get(device.path)
    option = None if node is None else at.tree.option(at.line, node, at.parts.aliases)
    if option is None or node is None:
        return
    local = _local(at).get(device.path)
    if local is not None and local.register(_BASE_CLASS, 1) != device.register(_BASE_CLASS, 1):
        return  # another kind of device: its properties and backends are of no use
    fitting = drivers(at, device)
    for driver in fitting:
        variant = _stem(driver) == _stem(node.driver)
        if driver != node.driver and (variant or node.driver not in fitting):
            said = f"-device {driver} for {option.fields.get('id') or node.driver}"
            yield edits.changed(option, option.fields.set("driver", driver), said)


def _stem(driver: str) -> str:
    return driver.removesuffix("-non-transitional").removesuffix("-transitional")
