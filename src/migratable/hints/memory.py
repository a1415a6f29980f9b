"""Edits of a machine's memory."""

from __future__ import annotations

from migratable.commandline import CommandLine, Option, parse_size
from migratable.stream import Stream

_MAIN = (
    *("pc.ram", "ppc_spapr.ram", "mach-virt.ram", "s390.ram", "riscv_virt_board.ram"),
    *("loongarch.ram", "microvm.ram", "ram"),
)


def is_main(block: str) -> bool:
    """Is it the main memory by its own name?"""
    return block in _MAIN


def text(size: int) -> str:
    """Bytes as an option has them: ``512M``."""
    for unit, shift in (("G", 30), ("M", 20), ("K", 10)):
        if size and not size % (1 << shift):
            return f"{size >> shift}{unit}"
    return str(size)


def total(stream: Stream) -> int:
    """Main memory of the guest, bytes: the block of that name, else all that could be its parts."""
    sizes = {block.id: block.used_length for block in stream.ram_blocks}
    for name in _MAIN:
        if name in sizes:
            return sizes[name]
    return sum(
        size
        for name, size in sizes.items()
        if "/" not in name.removeprefix("/objects/")
        and not name.startswith(("pc.", "system.", "vga", "vmsvga"))
    )


def backend(line: CommandLine, name: str) -> Option | None:
    """The ``-object`` of a memory backend."""
    return next(
        (
            option
            for option in line.all("object")
            if option.fields.get("id") == name
            and (option.fields.get("qom-type") or "").startswith("memory-backend")
        ),
        None,
    )


def with_backend_size(line: CommandLine, name: str, size: int) -> CommandLine:
    """A backend with another size."""
    option = backend(line, name)
    if option is None:
        return line
    return line.replace(option, option.with_fields(option.fields.set("size", text(size))))


def main_size(line: CommandLine, stream: Stream) -> int:
    """Bytes of the guest's main memory: of the backends that the line has for it, else all."""
    named = [line.get("machine", "memory-backend")]
    used = [
        one
        for one in (*named, *(option.fields.get("memdev") for option in line.all("numa")))
        if one
    ]
    sizes = {block.id: block.used_length for block in stream.ram_blocks}
    if used and all(one in sizes for one in used):
        return sum(sizes[one] for one in used)
    return total(stream)


def with_total(line: CommandLine, stream: Stream) -> CommandLine:
    """``-m`` as large as the guest's main memory."""
    size = main_size(line, stream)
    main = line.get("machine", "memory-backend")
    options = list(line.all("m"))
    if not size:  # a stream without RAM
        return line
    if not options:
        return line.append("m", text(size))
    option = options[-1]
    fields = option.fields.set("size", text(size))
    limit = fields.get("maxmem")
    if limit is not None and parse_size(limit, unit="M") < size:
        fields = fields.delete("maxmem", "slots")
    line = line.replace(option, option.with_fields(fields))
    return line if main is None else with_backend_size(line, main, size)


def with_slots(line: CommandLine, stream: Stream, slots: int = 4) -> CommandLine:
    """``-m`` with room for memory modules."""
    options = list(line.all("m"))
    option = options[-1] if options else Option(name="m", value=text(total(stream)))
    if not options:
        line = line.append("m", option.value)
        option = next(line.all("m"))
    fields = option.fields
    if "maxmem" in fields:
        fields = fields.set("slots", str(slots))
    else:
        size = parse_size(fields.get("size") or "128", unit="M")
        modules = sum(block.used_length for block in stream.ram_blocks)
        fields = fields.set("slots", str(slots)).set("maxmem", text(_round(size + modules)))
    return line.replace(option, option.with_fields(fields))


def without_slots(line: CommandLine, stream: Stream) -> CommandLine:
    """``-m`` without them, and no modules that the guest has not."""
    known = {block.id.removeprefix("/objects/") for block in stream.ram_blocks}
    for option, driver, _ in list(line.devices()):
        if driver in {"pc-dimm", "nvdimm"} and option.fields.get("memdev") not in known:
            line = line.replace(option)
    for option in list(line.all("m")):
        fields = option.fields.delete("slots", "maxmem")
        line = line.replace(option, option.with_fields(fields))
    return line


def _round(size: int) -> int:
    """Up to a whole power of two, as maxmem is mostly given."""
    return 1 << (size - 1).bit_length()


def plain(line: CommandLine) -> CommandLine:
    """Main memory without a backend of the user's."""
    names = [line.get("machine", "memory-backend")]
    line = line.with_machine("memory-backend", None)
    for option in list(line.all("numa")):
        name = option.fields.get("memdev")
        if name is not None:
            names.append(name)
            line = line.replace(option)
    for name in names:
        option = None if name is None else backend(line, name)  # type: ignore[assignment]
        if option is not None:
            line = line.replace(option)
    return line
