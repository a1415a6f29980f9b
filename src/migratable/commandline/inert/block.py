"""Inert forms of disks: every node is a null block device of the same name.

A disk's size is seldom in a stream: where the device makes a RAM block of it (flash) or a table as
long (an SD card's write-protect groups). It is kept where the line or the image says it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from migratable.commandline.inert.machine import firmware_size
from migratable.commandline.inert.work import DISK_SIZE, FLOPPY_SIZE, Work
from migratable.commandline.line import CommandLine, Option, global_of
from migratable.commandline.option import Fields, is_on, parse_size
from migratable.errors import CommandLineError
from migratable.regular_file import is_regular, open_regular, size_of

_NVRAM_SIZE = 64 << 10
_KEPT_DRIVE_KEYS = [
    "if",
    "id",
    "media",
    "index",
    "bus",
    "unit",
    "readonly",
    "read-only",
    "werror",
    "rerror",
    "cyls",
    "heads",
    "secs",
    "trans",
    "cache",
    "node-name",
    "serial",
]


# Which nodes and drives need a certain size


def special_sizes(work: Work) -> dict[str, int]:
    """Node or drive ids whose size the guest's stream shows: flash, floppies, NVRAM."""
    line = work.line
    sizes: dict[str, int] = {}
    for unit in (0, 1):
        node = line.get("machine", f"pflash{unit}")
        if node:
            sizes[node] = _flash_size(work, unit, _node_file(line, node), node)
    for option, driver, _ in line.devices():
        fields = option.fields
        drive = fields.get("drive")
        if drive and driver == "floppy":
            sizes[drive] = FLOPPY_SIZE
        elif drive and driver == "spapr-nvram":
            sizes[drive] = _NVRAM_SIZE
        for key in ("driveA", "driveB"):
            if driver == "isa-fdc" and (drive := fields.get(key)):
                sizes[drive] = FLOPPY_SIZE
    for option in line.all("global"):
        driver, prop, value = global_of(option)
        if driver in {"isa-fdc", "floppy"} and prop in {"driveA", "driveB", "drive"}:
            sizes[value] = FLOPPY_SIZE
        elif driver == "spapr-nvram" and prop == "drive":
            sizes[value] = _NVRAM_SIZE
        elif driver == "cfi.pflash01" and prop == "drive":
            sizes[value] = _flash_size(work, 0, _node_file(line, value), value)
    return sizes


def _flash_size(work: Work, unit: int, image: tuple[str, str, int | None], name: str) -> int:
    """Bytes of flash *unit*: file, then incoming stream, then its name; says which."""
    path, form, said = image
    if said:
        return said
    found = image_size(path, form)
    if found is not None:
        return found
    label = path or name
    size = work.ram_sizes.get(f"system.flash{unit}")
    if size is not None:
        how = "taken from the incoming stream"
    else:
        size = firmware_size(label)
        how = "assumed from its name"
        if size is None:
            size, how = (131072 if unit else 1966080), "assumed"
    work.skip(f"size of flash {unit} ({label} is not here): {size} bytes, {how}")
    return size


def image_size(path: str, form: str = "") -> int | None:
    """Virtual size in bytes of a raw or qcow2 image that is at hand; None when it is not.

    Of a regular file the first 32 bytes are read; of a block device the size is asked of the
    kernel; nothing else is opened.
    """
    if not path or "://" in path:
        return None
    length = size_of(path)
    if not length:
        return None
    if is_regular(path):
        try:
            with open_regular(path) as stream:
                head = stream.read(32)
        except OSError:
            return None
        if head[:4] == b"QFI\xfb" and form in {"", "qcow2", "qcow"} and len(head) >= 32:
            return int.from_bytes(head[24:32], "big")
    return -(-length // 512) * 512


def _node_file(line: CommandLine, node: str) -> tuple[str, str, int | None]:
    """File name, format and said size at the bottom of a node's chain (also of a drive's)."""
    nodes: dict[str, dict[str, Any]] = {}
    for option in line.all("blockdev"):
        for found in _nodes(_document(option)):
            nodes[str(found.get("node-name"))] = found
    for option in line.all("drive"):
        fields = option.fields
        if node in {fields.get("id"), fields.get("node-name")}:
            return _drive_file(fields)
    seen: set[str] = set()
    form = ""
    said: int | None = None
    at: Any = node
    while isinstance(at, (str, dict)):
        if isinstance(at, str):
            if at in seen or at not in nodes:
                break
            seen.add(at)
            at = nodes[at]
        driver = str(at.get("driver", ""))
        form = form or (driver if driver in {"raw", "qcow2", "qcow"} else "")
        if at.get("size") is not None and said is None:
            said = parse_size(str(at["size"]))
        if "filename" in at:
            return str(at["filename"]), form, said
        at = at.get("file")
    return "", form, said


def _size(image: tuple[str, str, int | None]) -> int:
    """Bytes of a disk as the line or its image says, else the size that all stand-ins have."""
    path, form, said = image
    return said or image_size(path, form) or DISK_SIZE


def _drive_file(fields: Fields) -> tuple[str, str, int | None]:
    size = fields.get("size")
    name = fields.get("file") or fields.get("file.filename") or ""
    form = fields.get("format") or fields.get("driver") or ""
    return name, form, parse_size(size) if size else None


# -blockdev


def _document(option: Option) -> dict[str, Any]:
    """The node tree of a ``-blockdev``, dotted keys nested."""
    fields = option.fields
    if fields.json is not None:
        return fields.json
    document: dict[str, Any] = {}
    for key, value in fields.items():
        at = document
        *path, last = key.split(".")
        for part in path:
            inner = at.setdefault(part, {})
            if not isinstance(inner, dict):
                inner = at[part] = {}
            at = inner
        at[last] = value
    return document


def _nodes(document: Any, depth: int = 0) -> Iterator[dict[str, Any]]:
    """All nodes with a name in the tree, children first."""
    if depth > 50:
        raise CommandLineError("-blockdev: nodes nested more than 50 deep")
    if isinstance(document, dict):
        for member in document.values():
            yield from _nodes(member, depth + 1)
        if document.get("node-name"):
            yield document
    elif isinstance(document, list):
        for member in document:
            yield from _nodes(member, depth + 1)


def _true(value: object) -> bool:
    return value is True or (isinstance(value, str) and is_on(value))


def blockdev(work: Work, option: Option) -> list[Option]:
    """``-blockdev``: one null node for each named node of the tree."""
    document = _document(option)
    out = []
    for node in _nodes(document):
        name = str(node["node-name"])
        null: dict[str, Any] = {
            "driver": "null-co",
            "node-name": name,
            "size": work.node_sizes.get(name) or _size(_node_file(work.line, name)),
            "read-zeroes": True,
        }
        if _true(node.get("read-only")) and not _true(node.get("auto-read-only")):
            null["read-only"] = True
        text = json.dumps(null, separators=(",", ":"))
        out.append(Option(name="blockdev", value=text, index=option.index))
    if not out:
        raise option.error("no node has a node-name")
    return out


# -drive and its short forms


def drive(work: Work, option: Option) -> list[Option]:
    """``-drive``: the same drive on a null block device; an empty drive stays empty."""
    fields = option.fields
    interface = fields.get("if") or ""
    has_medium = any(
        key in fields for key in ("file", "driver", "file.driver", "file.filename", "filename")
    ) and (fields.get("file") != "" or "driver" in fields)
    kept = [pair for pair in fields.pairs if pair[0] in _KEPT_DRIVE_KEYS]
    if not has_medium:
        return [option.with_fields(Fields(pairs=tuple(kept)))]
    name = fields.get("id") or fields.get("node-name") or ""
    size = work.node_sizes.get(name) or _size(_drive_file(fields))
    if interface == "floppy":
        size = FLOPPY_SIZE
    elif interface in {"pflash", "mtd"}:
        unit = fields.get("unit") or fields.get("index")
        number = int(unit) if unit and unit.isdigit() else work.flash_drives
        work.flash_drives = number + 1
        size = _flash_size(work, number, _drive_file(fields), name)
    kept += [("driver", "null-co"), ("size", str(size)), ("read-zeroes", "on")]
    return [option.with_fields(Fields(pairs=tuple(kept)))]


_SHORT_FORMS = {
    "hda": "index=0,media=disk",
    "hdb": "index=1,media=disk",
    "hdc": "index=2,media=disk",
    "hdd": "index=3,media=disk",
    "cdrom": "index=2,media=cdrom",
    "fda": "if=floppy,index=0",
    "fdb": "if=floppy,index=1",
    "sd": "if=sd",
    "mtdblock": "if=mtd",
    "pflash": "if=pflash",
}


def image(work: Work, option: Option) -> list[Option]:
    """``-hda`` and the like, and a bare image name: the ``-drive`` that QEMU makes of it."""
    text = _SHORT_FORMS[option.name]
    file = (option.value or "").replace(",", ",,")
    as_drive = Option(name="drive", value=f"{text},file={file}", index=option.index)
    return drive(work, as_drive)
