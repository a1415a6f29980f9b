"""The tree that ``migratable inspect`` shows to a person."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from migratable.cli._tree import Tree, escape
from migratable.errors import StreamError
from migratable.facts.virtio import names
from migratable.stream import RamBlock, Section, Span, Stream, VmsdBody
from migratable.stream.decoded import Body, Field, Value
from migratable.stream.fields import decode
from migratable.stream.iterable import read_htab_start
from migratable.stream.model import flatten
from migratable.stream.non_vmstate import virtio_of
from migratable.stream.summary import collapse, count_parts, mapped_pages, spapr_capabilities
from migratable.stream.virtio import Virtio
from migratable.stream.wire_format import SectionKind
from migratable.units import size

_T = TypeVar("_T")
_SHOWN_BYTES = 32
_SHOWN_NUMBERS = 16
_SHOWN_ELEMENTS = 24


def label(section: Section) -> str:
    """Name a section: ``timer 0``, ``spapr_iommu 0x80000000``."""
    instance = section.instance_id
    return f"{section.idstr} {instance if instance < 1 << 16 else hex(instance)}"


def overview(stream: Stream, path: str, length: int, *, container: str) -> Tree:
    """Show the whole stream: configuration, RAM, commands, sections with their subsections."""
    around = "" if container == "raw" else f" in {container}"
    tree = Tree(f"[bold]{escape(path)}[/]  migration stream{around}, {length:,} bytes")
    _facts(tree, stream)
    _configuration(tree, stream)
    _ram(tree, stream)
    capabilities = spapr_capabilities(stream)
    if capabilities:
        sent = ", ".join(f"{name}={value}" for name, value in capabilities.items())
        tree.add(f"[cyan]pseries capabilities sent[/]  {sent}")
    if stream.commands:
        runs = _runs([command.name for command in stream.commands])
        told = ", ".join(name if count == 1 else f"{count} x {name}" for name, count in runs)
        tree.add(f"[cyan]commands[/]  {told}")
    _sections(tree, stream)
    vmdesc = stream.vmdesc
    if vmdesc is None and stream.vmdesc_error:
        why = escape(stream.vmdesc_error)
        tree.add(f"[yellow]vmdesc is damaged[/], but loaders ignore it: {why}")
    elif vmdesc is None:
        tree.add(
            "[yellow]no vmdesc[/]: fields have no names; section ends were found by their footers"
        )
    else:
        tree.add(f"[cyan]vmdesc[/]  {size(len(vmdesc.raw))}, {len(vmdesc.devices)} devices")
    if len(stream.trailer):
        tree.add(f"[cyan]padding[/]  {size(len(stream.trailer))}")
    return tree


def _facts(tree: Tree, stream: Stream) -> None:
    if "was_running" in stream.facts:
        state = "running" if stream.facts["was_running"] else "paused"
        tree.add(f"[cyan]libvirt[/]  guest was {state} when saved")
    if "snapshot" in stream.facts:
        tree.add(f"[cyan]snapshot[/]  {escape(str(stream.facts['snapshot']))}")


def _configuration(tree: Tree, stream: Stream) -> None:
    configuration = stream.configuration
    if configuration is None:
        tree.add(
            "[yellow]no configuration section[/]: the source's machine type is not in the stream"
        )
        return
    parts = [
        f"machine [bold]{escape(configuration.machine)}[/]",
        f"page size {size(stream.page_size)}",
    ]
    if configuration.capabilities:
        parts.append("migration capabilities " + escape(", ".join(configuration.capabilities)))
    if configuration.uuid is not None:
        parts.append(f"uuid {configuration.uuid}")
    tree.add("[cyan]configuration[/]  " + ", ".join(parts))


def _ram(tree: Tree, stream: Stream) -> None:
    if stream.ram is None:
        tree.add("[cyan]RAM[/]  no ram section")
        return
    unwalked = sum(
        len(span.data)
        for span in flatten(stream.elements)
        if isinstance(span, Span) and not span.walked
    )
    state = f", {size(unwalked)} of page records (count them: --ram)" if unwalked else ""
    blocks = stream.ram.blocks
    branch = tree.add(
        f"[cyan]RAM[/]  {size(stream.ram.total)} in {_plural(len(blocks), 'block')}{state}"
    )
    width = max(len(block.id) for block in blocks) if blocks else 0
    for block in blocks:
        branch.add(_block(stream, block, width))


def _block(stream: Stream, block: RamBlock, width: int) -> str:
    text = f"{escape(block.id):{width}}  {size(block.used_length):>10}"
    if block.page_size is not None:
        text += f"  page size {size(block.page_size)}"
    if block.gpa is not None:
        text += f"  at {block.gpa:#x}"
    if block.mapped is not None:
        pages = mapped_pages(stream, block)
        return text + f"  {pages['normal']:,} pages stored, {pages['zero']:,} zero (mapped-ram)"
    statistics = stream.ram_statistics
    if statistics is None:
        return text
    count = statistics.blocks.get(block.id)
    if count is None:
        return f"{text}  [dim]no page sent[/]"
    text += f"  {_plural(count.normal, 'page')}, {count.zero:,} zero"
    text += f", {count.xbzrle:,} xbzrle" if count.xbzrle else ""
    text += f", {count.compressed:,} compressed" if count.compressed else ""
    return f"{text}, {size(count.bytes)}"


def _sections(tree: Tree, stream: Stream) -> None:
    devices = stream.devices
    total = sum(len(device.body) for device in devices)
    starts = [section for section in stream.sections if section.kind is SectionKind.START]
    branch = tree.add(
        f"[cyan]sections[/]  {_plural(len(devices), 'device')}, {size(total)} of state; "
        f"{len(starts)} iterated"
    )
    shown = [*starts, *devices]
    width = min(48, max((len(label(one)) for one in shown), default=0))
    parts = count_parts(stream)
    for one in sorted(shown, key=lambda section: section.offset or 0):
        leaf = branch.add(_section_line(one, width, parts))
        if one.kind is SectionKind.FULL:
            _notes(leaf, one)


def _section_line(section: Section, width: int, parts: Mapping[int, tuple[int, int]]) -> str:
    name = label(section)
    text = f"[bold]{escape(f'{name:{width}}')}[/]  version {section.version_id:<3}"
    if section.kind is SectionKind.FULL:
        return f"{text} {size(len(section.body)):>10}"
    count, _ = parts.get(section.section_id, (0, 0))
    text += f" iterated, {_plural(count, 'part')}"
    if section.idstr == "spapr/htab":
        shift = read_htab_start(section.cursor())
        text += ", no hash table" if shift is None else f", hash table of {size(1 << shift)}"
    return text


def _notes(leaf: Tree, section: Section) -> None:
    """Subsections, and of a virtio device what its driver agreed to."""
    try:
        virtio = virtio_of(section)
        subsections = [*_subsections(section), *_blob_subsections(virtio)]
    except StreamError as error:
        leaf.add(f"[red]{escape(str(error))}[/]")
        return
    if virtio is not None:
        kind = section.idstr.rpartition("/")[2]
        queues = ", ".join(
            f"{number} x {size_}" for size_, number in _runs([queue.num for queue in virtio.queues])
        )
        leaf.add(f"[dim]queues[/] {queues or 'none'}")
        agreed = ", ".join(names(kind, virtio.guest_features))
        leaf.add(f"[dim]guest features[/] {agreed or 'none yet (no driver)'}")
    if subsections:
        leaf.add(f"[dim]subsections[/] {escape(', '.join(subsections))}")


def _subsections(section: Section) -> list[str]:
    """Names of all subsections, from the description alone; each name once."""
    names_: dict[str, None] = {}

    def collect(body: VmsdBody) -> None:
        for field in body.fields:
            for inner in (field.struct, *field.elements):
                if inner is not None:
                    collect(inner)
        for sub in body.subsections:
            names_[sub.name] = None
            collect(sub)

    if section.description is not None:
        collect(section.description.body)
    return list(names_)


def _blob_subsections(virtio: Virtio | None) -> list[str]:
    return [] if virtio is None else [sub.name for sub in virtio.body.all_subsections()]


def _runs(values: Sequence[_T]) -> list[tuple[_T, int]]:
    out: list[tuple[_T, int]] = []
    for value in values:
        if out and out[-1][0] == value:
            out[-1] = (value, out[-1][1] + 1)
        else:
            out.append((value, 1))
    return out


def section_tree(section: Section, *, full: bool) -> Tree:
    """One section with all its fields."""
    head = f"[bold]{escape(label(section))}[/]  version {section.version_id}"
    tree = Tree(f"{head}, {len(section.body):,} bytes at {section.body_offset}")
    body = decode(section)
    if section.description is None and section.kind is SectionKind.FULL:
        tree.add("[yellow]no description of this section[/]")
    _body(tree, body, full=full, kind=section.idstr.rpartition("/")[2])
    return tree


def _body(tree: Tree, body: Body, *, full: bool, kind: str) -> None:
    for field in body.fields:
        _field(tree, field, full=full, kind=kind)
    for sub in body.subsections:
        branch = tree.add(f"[magenta]subsection[/] {escape(sub.name)}  version {sub.version}")
        _body(branch, sub, full=full, kind=kind)
    if body.rest is not None:
        tree.add(f"[yellow]{len(body.rest)} bytes that vmdesc does not describe[/]")


def _field(tree: Tree, field: Field, *, full: bool, kind: str) -> None:
    name = escape(field.name)
    if not field.children:
        text = value_text(field.value, full=full)
        if field.name == "guest_features" and isinstance(field.value, int):
            text += f"  [dim]{', '.join(names(kind, field.value))}[/]"
        tree.add(f"{name} [dim]{escape(field.type)}[/] = {text}")
        return
    if len(field.children) == 1:
        branch = tree.add(f"{name} [dim]{escape(field.children[0].name or field.type)}[/]")
        _body(branch, field.children[0], full=full, kind=kind)
        return
    branch = tree.add(f"{name} [dim]{escape(field.type)}, {len(field.children)} elements[/]")
    runs: list[tuple[Body, int]] = (
        [(child, 1) for child in field.children] if full else collapse(field.children)
    )
    at = 0
    for number, (child, count) in enumerate(runs):
        if number == _SHOWN_ELEMENTS and not full:
            branch.add(f"[dim]{len(field.children) - at} more (all of them: --all)[/]")
            break
        label = f"[{at}]" if count == 1 else f"[{at}..{at + count - 1}] all equal"
        _body(branch.add(escape(label)), child, full=full, kind=kind)
        at += count


def value_text(value: Value, *, full: bool = False) -> str:
    """Write a value on one line."""
    if value is None:
        return "[dim]nothing[/]"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int):
        return str(value) if -10 < value < 10 else f"{value} ({value:#x})"
    if isinstance(value, tuple):
        if len(value) > 1 and len(set(value)) == 1:
            return f"{len(value)} times {value[0]}"
        shown = value if full else value[:_SHOWN_NUMBERS]
        more = f" … {len(value) - len(shown)} more" if len(shown) < len(value) else ""
        # No markup, because it begins with a digit.
        return "[" + ", ".join(f"{one:#x}" for one in shown) + more + "]"
    return _bytes_text(value, full=full)


def _bytes_text(value: memoryview, *, full: bool) -> str:
    data = bytes(value[:_SHOWN_BYTES]) if not full else bytes(value)
    if not len(value):
        return "[dim]no bytes[/]"
    printable = bytes(value[:256]).rstrip(b"\0")
    if len(printable) > 2 and all(32 <= byte < 127 for byte in printable):
        return escape(f'"{printable.decode()}"')
    if not any(value[: 1 << 20]):
        return f"{len(value)} zero bytes"
    more = f" … {len(value):,} bytes" if len(data) < len(value) else ""
    return data.hex(" ", -4) + more


def channel(path: str, found: Any) -> Tree:
    """Show a multifd RAM channel."""
    tree = Tree(f"[bold]{escape(path)}[/]  multifd RAM channel {found.id} of VM {found.uuid}")
    tree.add(
        f"{_plural(found.packets, 'packet')}, {found.syncs} of them sync, "
        f"compression {found.compression}"
    )
    for name, block in found.blocks.items():
        tree.add(
            f"{escape(name)}  {block.normal:,} pages, {block.zero:,} zero, {size(block.bytes)}"
        )
    tree.add("[yellow]the state of the devices is in the main channel[/]")
    return tree


def _plural(count: int, noun: str) -> str:
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"
