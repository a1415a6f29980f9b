"""Inert forms of disks: every node is a null block device of the same name.

A disk's size is seldom in a stream: where the device makes a RAM block of it (flash) or a table as
long (an SD card's write-protect groups). It is kept where the line or the image says it; where
nothing does, what depends on it is noted as assumed and has no verdict.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from migratable.commandline.inert.machine import firmware_size
from migratable.commandline.inert.work import DISK_SIZE, FLOPPY_SIZE, Work
from migratable.commandline.line import Option, global_of
from migratable.commandline.option import Fields, is_on, parse_size
from migratable.errors import CommandLineError
from migratable.regular_file import is_regular, open_regular, size_of

_NVRAM_SIZE = 64 << 10
_VIRT_FLASH = {"aarch64": 64 << 20, "arm": 64 << 20, "riscv64": 32 << 20, "riscv32": 32 << 20}
"""Bytes of each flash of the machines ``virt``: half of their ``VIRT_FLASH`` region."""
_FIRMWARE_SIZES = (2 << 20, 4 << 20)
"""Bytes of a whole OVMF build, code and variable store together."""
_CARDS = frozenset({"sd-card", "sd-card-spi", "emmc"})
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


# Nodes and drives that need a certain size


def special_sizes(work: Work) -> dict[str, int]:
    """Node or drive ids whose size the guest's stream shows: flash, floppies, NVRAM."""
    line = work.line
    sizes: dict[str, int] = {}
    for unit in (0, 1):
        node = line.get("machine", f"pflash{unit}")
        if node:
            sizes[node] = _flash_size(work, unit, _node_file(work, node), node)
    for option, driver, _ in line.devices():
        fields = option.fields
        drive = fields.get("drive")
        if drive and driver == "floppy":
            sizes[drive] = FLOPPY_SIZE
        elif drive and driver == "spapr-nvram":
            sizes[drive] = _known(_node_file(work, drive)) or _NVRAM_SIZE
        elif drive and driver in _CARDS:
            sizes[drive] = _card_size(work, _node_file(work, drive), drive)
        for key in ("driveA", "driveB"):
            if driver == "isa-fdc" and (drive := fields.get(key)):
                sizes[drive] = FLOPPY_SIZE
    for option in line.all("global"):
        driver, prop, value = global_of(option)
        if driver in {"isa-fdc", "floppy"} and prop in {"driveA", "driveB", "drive"}:
            sizes[value] = FLOPPY_SIZE
        elif driver == "spapr-nvram" and prop == "drive":
            sizes[value] = _known(_node_file(work, value)) or _NVRAM_SIZE
        elif driver == "cfi.pflash01" and prop == "drive":
            sizes[value] = _flash_size(work, 0, _node_file(work, value), value)
    return sizes


def _flash_size(work: Work, unit: int, image: tuple[str, str, int | None], name: str) -> int:
    """Bytes of flash *unit*: file, incoming stream, machine, the other flash, its name; says which.

    The last is a guess: what depends on it is noted as assumed.
    """
    found = _known(image)
    if found is not None:
        return found
    label = image[0] or name
    blocks = [
        size for block, size in work.ram_sizes.items() if block.rpartition(".")[2] == f"flash{unit}"
    ]
    family = (work.line.machine or "").partition("-")[0]
    if len(blocks) == 1:
        size, how = blocks[0], "taken from the incoming stream"
    elif family == "virt" and (fixed := _VIRT_FLASH.get(work.architecture)) is not None:
        size, how = fixed, "the only size that the machine takes"
    else:
        size, how = _rest_of_firmware(work, unit), "the rest of a whole build beside the code"
        if not size:
            size, how = firmware_size(label) or 0, "assumed from its name"
        if not size:
            size, how = (131072 if unit else 1966080), "assumed"
        work.assumed_sizes.add(size)
        work.assumed_blocks[f"system.flash{unit}"] = (
            f"flash {unit} ({label} is not on this machine)"
        )
    work.skip(f"size of flash {unit} ({label} is not on this machine): {size} bytes, {how}")
    return size


def _rest_of_firmware(work: Work, unit: int) -> int:
    """Bytes of the variable store beside the code image; 0 when that does not tell."""
    if unit != 1:
        return 0
    image = _flash_image(work, 0)
    code = _known(image) or work.ram_sizes.get("system.flash0") or firmware_size(image[0])
    whole = next((size for size in _FIRMWARE_SIZES if code is not None and code < size), None)
    return 0 if whole is None or code is None else whole - code


def _flash_image(work: Work, unit: int) -> tuple[str, str, int | None]:
    node = work.line.get("machine", f"pflash{unit}")
    if node:
        return _node_file(work, node)
    drives = [one for one in work.line.all("drive") if one.fields.get("if") == "pflash"]
    for number, option in enumerate(drives):
        at = option.fields.get("unit") or option.fields.get("index") or str(number)
        if at == str(unit):
            return _drive_file(option.fields)
    images = [one.value or "" for one in work.line.all("pflash")]
    return (images[unit], "", None) if unit < len(images) else ("", "", None)


def _card_size(work: Work, image: tuple[str, str, int | None], name: str) -> int:
    """Bytes of an SD card, of which its state has a table as long (``sd_reset``)."""
    found = _known(image)
    if found is not None:
        return found
    label = image[0] or name
    why = f"the size of its image is not known ({label} is not on this machine)"
    for card in _CARDS:
        work.assumed_sections[card] = why
    work.assumed_sizes.add(DISK_SIZE)
    work.skip(f"SD card {name}: {why}")
    return DISK_SIZE


def _known(image: tuple[str, str, int | None]) -> int | None:
    """Bytes as the line or the image says, None when neither does."""
    path, form, said = image
    return said or image_size(path, form)


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


def _node_file(work: Work, node: str) -> tuple[str, str, int | None]:
    """File name, format and said size at the bottom of a node's chain (also of a drive's)."""
    if work.nodes is None:
        work.nodes = {
            str(found.get("node-name")): found
            for option in work.line.all("blockdev")
            for found in _nodes(_document(option))
        }
        for option in work.line.all("drive"):
            fields = option.fields
            for name in (fields.get("id"), fields.get("node-name")):
                work.drives.setdefault(name or "", fields)
    if node in work.drives:
        return _drive_file(work.drives[node])
    return _bottom(node, work.nodes, "", None)


_FORMS = frozenset({"raw", "qcow2", "qcow"})


def _bottom(
    at: Any, nodes: Mapping[str, dict[str, Any]], form: str, said: int | None
) -> tuple[str, str, int | None]:
    """File name, format and said size at the end of a chain of nodes."""
    seen: set[str] = set()
    for _ in range(50):
        if not isinstance(at, (str, dict)):
            break
        if isinstance(at, str):
            if at in seen or at not in nodes:
                break
            seen.add(at)
            at = nodes[at]
        driver = str(at.get("driver", ""))
        form = form or (driver if driver in _FORMS else "")
        if at.get("size") is not None and said is None:
            said = parse_size(str(at["size"]))
        if driver in _NULL:
            return "", form, said or DISK_SIZE
        if "filename" in at:
            return str(at["filename"]), form, said
        at = at.get("file")
    return "", form, said


def _size(work: Work, image: tuple[str, str, int | None]) -> int:
    """Bytes of a disk as the line or its image says, else the size that all stand-ins have."""
    found = _known(image)
    if found is None:
        work.assumed_sizes.add(DISK_SIZE)
    return found or DISK_SIZE


_NULL = "null-co", "null-aio"


def _drive_file(fields: Fields) -> tuple[str, str, int | None]:
    """File name, format and said size of a ``-drive``, in whatever layer of it they are."""
    name, form, size = "", fields.get("format") or fields.get("driver") or "", None
    for key, value in fields.items():
        layers, _, last = key.rpartition(".")
        if layers and set(layers.split(".")) != {"file"}:
            continue
        if last == "size" and size is None:
            size = parse_size(value)
        elif last in {"filename", "file"} and value:
            name = value
        elif last == "driver" and value in _NULL and size is None:
            name, size = "", _said_size(fields) or DISK_SIZE
    if name.startswith("json:"):
        try:
            document = json.loads(name.removeprefix("json:"))
        except (ValueError, RecursionError):
            return "", form, size
        return _bottom(document, {}, form if form in _FORMS else "", size)
    return name, form, size


def _said_size(fields: Fields) -> int | None:
    said = [value for key, value in fields.items() if key.rpartition(".")[2] == "size"]
    return parse_size(said[0]) if said else None


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
            "size": work.node_sizes.get(name) or _size(work, _node_file(work, name)),
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
    size = work.node_sizes.get(name) or 0
    if interface == "floppy":
        size = FLOPPY_SIZE
    elif interface == "sd":
        size = _card_size(work, _drive_file(fields), name or "of -drive if=sd")
    elif interface in {"pflash", "mtd"}:
        unit = fields.get("unit") or fields.get("index")
        number = int(unit) if unit and unit.isdigit() else work.flash_drives
        work.flash_drives = number + 1
        size = _flash_size(work, number, _drive_file(fields), name)
    elif not size:
        size = _size(work, _drive_file(fields))
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
