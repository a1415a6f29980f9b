"""Find the property of a device by trying many at once.

One machine is started with a copy of the device for each thing to try (a property flipped, dropped,
or set to a number that the stream shows), and a stream with the guest's section once for each copy
is checked against it: which copies take it is known after one start.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from migratable.commandline import CommandLine, Fields, Option
from migratable.errors import StreamError
from migratable.hints import devices, inventory
from migratable.hints.candidate import Candidate, Situation
from migratable.hints.guest import Guest, PciDevice
from migratable.hints.qtree import Node
from migratable.stream import SectionKind, Stream, read, virtio
from migratable.stream.edit import with_elements
from migratable.stream.fields import decode
from migratable.stream.model import Section
from migratable.verdict import Finding

_AT_ONCE = 26
_ROUNDS = 3
_FIRST_SLOT = 3
_SKIPPED_TEXT = """addr romfile romsize rombar multifunction failover_pair_id acpi-index busnr
    bootindex mac netdev drive iothread ioeventfd serial share-rw write-cache rerror werror
    account-invalid account-failed backend_defaults chassis slot port host_mtu speed duplex
    audiodev debug x-txtimer tx x-txburst request-merging report-discard-granularity use-
    started use-disabled-flag logical_block_size physical_block_size lcyls lheads lsecs"""
_SKIPPED = frozenset(_SKIPPED_TEXT.split())
_KEEPS = ("machine", "cpu", "M", "m", "global", "accel", "smp")
_TRANSPORT = re.compile(
    r"msi|msix|vectors|disable-|x-|ats|aer|page-per-vq|modern|migrate|power_|hotplug|extended|"
    r"shpc|intrs|slots|p2|p3|streams|num|queue|port|mq|use_|class|old|init|flr|mitigation|autoneg"
)
_FAILED = re.compile(r"id=probe(\d+)")
_MSIX = 0x11

Change = tuple[tuple[str, str | None], ...]


@dataclass(frozen=True, slots=True)
class _Copy:
    change: Change
    path: str = ""


def properties(situation: Situation, idstr: str) -> Iterator[Candidate]:
    """Candidates that set properties of the device of a section, tried beforehand."""
    device, node = situation.guest.at(idstr), devices.node_of(situation, idstr)
    section = next((s for (name, _), s in situation.guest.sections.items() if name == idstr), None)
    if device is None or node is None or section is None or situation.profile is None:
        return
    option, driver = devices.option_of(situation, idstr)
    given = {} if option is None else dict(option.fields.items())
    every = _properties(situation, node)
    changes = list(_changes(every, device, section, given, _growth(situation, section)))
    found: list[Change] = []
    nearer: list[Change] = []
    for number in range(_ROUNDS):
        batch = changes[number * _AT_ONCE : (number + 1) * _AT_ONCE]
        if not batch:
            break
        good, better = _try(situation, section, node, option, batch)
        found += good
        nearer += better
        if found:
            break
    if not found and len(nearer) > 1:
        pairs = [(*a, *b) for a, b in itertools.combinations(nearer[:7], 2) if a[0][0] != b[0][0]]
        whole = tuple(dict(pair for one in reversed(nearer) for pair in one).items())
        found, _ = _try(situation, section, node, option, [whole, *pairs][:_AT_ONCE])
    for change in [*found, *nearer][:6]:
        yield _candidate(situation, option, driver, change)


def _candidate(
    situation: Situation, option: Option | None, driver: str, change: Change
) -> Candidate:
    said = ",".join(f"{key}={value}" if value is not None else f"no {key}" for key, value in change)
    if option is None:

        def everywhere(line: CommandLine) -> CommandLine:
            for key, value in change:
                line = line.with_global(driver, key, value)
            return line

        return Candidate(action=f"-global {driver}.{said}", edit=everywhere)
    name = option.fields.get("id") or driver

    def edit(line: CommandLine) -> CommandLine:
        fields = option.fields
        for key, value in change:
            fields = fields.delete(key) if value is None else fields.set(key, value)
        return line.replace(option, option.with_fields(fields))

    return Candidate(action=f"-device {name}: {said}", edit=edit)


# What to try


def _changes(
    every: Mapping[str, str],
    device: PciDevice,
    section: Section,
    given: Mapping[str, str],
    growth: Sequence[int],
) -> Iterator[Change]:
    seen: set[Change] = set()

    def new(*pairs: tuple[str, str | None]) -> Iterator[Change]:
        if pairs not in seen:
            seen.add(pairs)
            yield pairs

    for key, number in (("slot", device.slot_number), ("port", device.port_number)):
        if number is not None and key in every:
            yield from new((key, str(number)))
    own = [key for key in given if key not in devices.STRUCTURE]
    for key in own:
        yield from new((key, None))
    if len(own) > 1:
        yield from new(*((key, None) for key in own))
    numbers = list(_numbers(device, section))
    flips: list[Change] = []
    for key, value in every.items():
        if key in _SKIPPED:
            continue
        for other in _others(key, value, numbers, growth):
            flips += new((key, other))
    flips.sort(key=lambda flip: _TRANSPORT.match(flip[0][0]) is None)
    yield from flips


def _properties(situation: Situation, node: Node) -> dict[str, str]:
    """Properties of the device and of what it is made of, as ``info qtree`` prints values."""
    every = dict(node.props)
    for bus in node.buses:
        if bus.kind.startswith("virtio"):
            for one in bus.nodes:
                every.update({k: v for k, v in one.props.items() if k not in every})
    for key, (kind, default) in inventory.properties_of(situation.command, node.driver).items():
        if kind == "bool":
            every.setdefault(key, "true" if default in {"on", "true"} else "false")
        elif kind == "OnOffAuto":
            every.setdefault(key, f'"{default.strip(chr(34)) or "auto"}"')
        elif kind.startswith(("uint", "int")) and default.isdigit():
            every.setdefault(key, default)
    return every


def _others(key: str, value: str, numbers: Sequence[int], growth: Sequence[int]) -> Iterator[str]:
    text = value.strip('"')
    if text in {"true", "false"}:
        yield "off" if text == "true" else "on"
    elif text in {"on", "off", "auto"} and value.startswith('"'):
        yield from (one for one in ("on", "off", "auto") if one != text)
    elif value[:1].isdigit() and re.search(
        r"queue|vectors|ports|intrs|slots|timers|size|^p\d", key
    ):
        now = int(value.partition(" ")[0])
        grown = [now + one for one in growth if now + one > 0]
        yield from (str(one) for one in dict.fromkeys([*grown, *numbers]) if one != now)


def _growth(situation: Situation, section: Section) -> list[int]:
    """By how much tables of the guest's device are longer than those of the destination's."""
    if situation.profile is None or not situation.profile.stream:
        return []
    local = Guest.of(read(situation.profile.stream)).sections.get(
        (section.idstr, section.instance_id)
    )
    if local is None:
        return []
    here, there = _lengths(local), _lengths(section)
    found = {there[name] - here[name] for name in here.keys() & there.keys()}
    return sorted(found - {0})


def _lengths(section: Section) -> dict[tuple[str, ...], int]:
    try:
        return {path: len(item.children) for path, item in decode(section).walk()}
    except StreamError:
        return {}


def _numbers(device: PciDevice, section: Section) -> Iterator[int]:
    """Numbers that the stream shows: MSI-X vectors, queues, their sizes."""
    found: list[int] = []
    at = device.capability(_MSIX)
    if at is not None:
        found.append((device.register(at + 2, 2) & 0x7FF) + 1)
    else:
        found.append(0)
    if device.names and device.names[0].startswith("virtio"):
        try:
            state = virtio.parse(section.body, idstr=section.idstr)
        except Exception:  # noqa: BLE001 -- only a source of guesses
            state = None
        if state is not None:
            used = [queue for queue in state.queues if queue.num]
            found += [len(used), len(used) // 2, len(used) - 2, len(used) - 1]
            found += [queue.num for queue in used]
    found += [1, 2, 4, 8]
    yield from (one for one in dict.fromkeys(found) if one >= 0)


# Trying


def _try(
    situation: Situation, section: Section, node: Node, option: Option | None, changes: list[Change]
) -> tuple[list[Change], list[Change]]:
    """Changes with which the section loads, and those that changed what refuses it."""
    copies = [_Copy(()), *(_Copy(change) for change in changes)]
    for _ in range(4):
        line, placed = _line(situation, node, option, copies)
        stream = _stream(situation, section, [copy.path for copy in placed])
        answer = situation.probe(line, stream)
        if answer is None:
            return [], []
        verdict, profile = answer
        if profile is not None:
            return _sorted(verdict.findings, placed)
        failed = {int(one) for text in verdict.stderr for one in _FAILED.findall(text)}
        if not failed or 0 in failed:
            return [], []
        copies = [copy for number, copy in enumerate(copies) if number not in failed]
    return [], []


def _sorted(
    findings: Sequence[Finding], placed: Sequence[_Copy]
) -> tuple[list[Change], list[Change]]:
    wrong: dict[str, str] = {}
    for finding in findings:
        if finding.severity == "refuses" and finding.device is not None:
            for copy in placed:
                if finding.device.startswith(copy.path + "/"):
                    wrong.setdefault(copy.path, _signature(finding, copy.path))
    base = wrong.get(placed[0].path)
    good = [copy.change for copy in placed[1:] if copy.path not in wrong]
    near = [copy.change for copy in placed[1:] if copy.path in wrong and wrong[copy.path] != base]
    return good, near


def _signature(finding: Finding, path: str) -> str:
    said = f"{finding.rule} {finding.summary} {finding.explanation}"
    return said.replace(path, "")


def _line(
    situation: Situation, node: Node, option: Option | None, copies: Sequence[_Copy]
) -> tuple[CommandLine, list[_Copy]]:
    """The machine with a copy of the device in each slot."""
    options = [option for option in situation.line.options if option.name in _KEEPS]
    for one in list(options):
        if one.name == "machine":
            fields = one.fields.delete("memory-backend", "pflash0", "pflash1", "usb", "firmware")
            options[options.index(one)] = one.with_fields(fields)
    line = replace(situation.line, options=tuple(options)).append("nodefaults")
    root = next(iter(situation.tree.root_buses().items()), ("0000:00", ""))
    port = node.bus.parent if node.bus is not None else None
    behind = port.driver if port is not None and port.pci_id else ""
    placed: list[_Copy] = []
    base = option.fields if option is not None else Fields.of(node.driver, option="device")
    base = base.delete("bus", "addr", "id", "multifunction")
    for number, copy in enumerate(copies):
        slot = _FIRST_SLOT + number
        fields = base
        line, fields = _backends(line, fields, number)
        for key, value in copy.change:
            fields = fields.delete(key) if value is None else fields.set(key, value)
        path = f"{root[0]}:{slot:02x}.0"
        if behind:
            bridge = f"{behind},id=port{number},addr={slot:#x}"
            if "bridge" not in behind or behind == "pci-bridge":
                bridge += f",chassis={number + 1}"
            if "bridge" not in behind:
                bridge += f",slot={number + 1}"
            line = line.append("device", bridge)
            inside = "01.0" if behind == "pci-bridge" else "00.0"
            fields = fields.set("bus", f"port{number}").set("addr", f"{int(inside[:2], 16):#x}")
            path = f"{path}:{inside}"
        else:
            fields = fields.set("addr", f"{slot:#x}")
        fields = fields.set("id", f"probe{number}")
        ported = "root-port" in node.driver or node.driver == "ioh3420"
        if ported or any(key in fields for key in ("chassis", "slot")):
            slot_number = fields.get("slot", "0") or "0"  # it is in the configuration space
            fields = fields.set("chassis", str(number + 1)).set("slot", slot_number)
        elif node.driver == "pci-bridge":
            fields = fields.set("chassis_nr", str(number + 1))
        line = line.append("device", fields.text())
        placed.append(replace(copy, path=path))
    return line, placed


def _backends(line: CommandLine, fields: Fields, number: int) -> tuple[CommandLine, Fields]:
    """A backend of its own for each copy."""
    name = f"back{number}"
    if "netdev" in fields:
        line = line.append("netdev", f"user,id={name}")
        fields = fields.set("netdev", name)
    if "drive" in fields:
        line = line.append("drive", f"if=none,id={name},driver=null-co,size=64M")
        fields = fields.set("drive", name)
    for key in ("chardev", "chardev1", "chardev2"):
        if key in fields:
            line = line.append("chardev", f"null,id={name}{key}")
            fields = fields.set(key, f"{name}{key}")
    if "rng" in fields:
        line = line.append("object", f"rng-builtin,id={name}")
        fields = fields.set("rng", name)
    if "fsdev" in fields:
        line = line.append("fsdev", f"local,id={name},path=/tmp,security_model=none")
        fields = fields.set("fsdev", name)
    return line, fields.delete("iothread", "audiodev")


def _stream(situation: Situation, section: Section, paths: Sequence[str]) -> Stream:
    """The section once at each path, and nothing else."""
    name = section.idstr.rpartition("/")[2]
    sections = tuple(
        replace(section, idstr=f"{path}/{name}", section_id=100 + number, kind=SectionKind.FULL)
        for number, path in enumerate(paths)
    )
    stream = with_elements(situation.stream, sections)
    if stream.configuration is None or situation.profile is None:
        return stream
    return replace(
        stream, configuration=replace(stream.configuration, machine=situation.profile.machine)
    )
