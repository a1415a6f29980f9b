"""The last look at a command line that was made inert: only what is known to be harmless passes.

The handlers replace what they know; what they hand on is held against :mod:`migratable.facts`
here, so that an option, a form or a property that a handler overlooked cannot reach the host.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from migratable.commandline.inert.work import Work
from migratable.commandline.line import Option, global_of
from migratable.commandline.option import JSON_OPTIONS, Fields
from migratable.facts.options import OPTIONS, Part
from migratable.facts.properties import NUMBERS, OBJECTS_KEPT, TEXT, Text
from migratable.regular_file import is_regular

_WORDS = re.compile(r"[\w.,:=+@-]*")
_MOST_IN_A_FOLDER = 10_000
_MOST_MEMBERS = 2_000


def passes(work: Work, option: Option) -> list[Option]:
    """Give the option as QEMU may have it, or none.

    :raise CommandLineError: When a form of it is not known to be harmless.
    """
    row = OPTIONS.get(option.name)
    if row is None or row.part in {Part.DROP, Part.SILENT, Part.EXPAND, Part.REFUSE}:
        raise option.error("this option cannot be passed to an inert QEMU")
    if not row.argument:
        return [Option(name=option.name, index=option.index, spelled=option.spelled)]
    value = option.value or ""
    if "\0" in value:
        raise option.error("a NUL character in a value")
    if value.lstrip().startswith("{") and option.name not in JSON_OPTIONS:
        raise option.error("this option has no JSON form")
    check = _CHECKS.get(option.name)
    if check is not None:
        made = check(work, option)
        for one in made:
            _reads_alike(work, one)
        return made
    if not _WORDS.fullmatch(value):
        raise option.error("its value is not a plain word")
    return [option]


_JSON_SINCE = {"netdev": (7, 2), "device": (6, 2), "object": (6, 0), "compat": (6, 0)}
"""Older releases read the JSON form of an option as a plain one (``optarg[0] == '{'``)."""
_KEY = re.compile(r"[A-Za-z][\w.-]*")


def _reads_alike(work: Work, option: Option) -> None:
    """Refuse a JSON form that an old release would read as a plain form with members.

    ``{"type":"x,type=tap,script=/x"}`` is one odd type to us, and a script to such a release.
    """
    since = _JSON_SINCE.get(option.name)
    value = option.value or ""
    if since is None or not value.startswith("{"):
        return
    if work.release is not None and not work.older_than(*since):
        return
    members = Fields.plain(value, option=option.name).pairs[1:]
    if any(_KEY.fullmatch(key) for key, _ in members):
        raise option.error("a comma within a text of a JSON form, which old releases take apart")


def same(work: Work, option: Option) -> list[Option]:
    """What a handler made from the ground up, or text for the guest: nothing is looked for."""
    return [option]


def _leaf(key: str) -> str:
    """The property that a key of any depth sets: ``boot.splash``, ``socket.path``.

    ``-machine`` takes ``memory_encryption`` for ``memory-encryption`` (``keyval_dashify``).
    """
    parts = [part for part in key.split(".") if not part.isdigit()]
    for name in (key, *reversed(parts), key.replace("_", "-")):
        if TEXT.get(name) in {Text.FILE, Text.HOST}:
            return name
    return key


def _kind(key: str, value: str | None, driver: str) -> Text | None:
    if value is None and key.startswith("no") and key not in TEXT:
        key = key[2:]  # a flag: nopcap is pcap=off
    name = _leaf(key)
    return None if name in NUMBERS.get(driver, ()) else TEXT.get(name)


def _members(fields: Fields) -> Iterator[tuple[str, str | None]]:
    if fields.json is None:
        yield from fields.pairs
    else:
        yield from fields.items()


def properties(work: Work, option: Option) -> list[Option]:
    """Members of ``-device``, ``-machine``, ``-object``, ``-accel``, ``-cpu`` and the like.

    :raise CommandLineError: When a member cannot be taken out (it is inside a list).
    """
    fields = option.fields
    if sum(1 for _ in _members(fields)) > _MOST_MEMBERS:
        raise option.error(f"more than {_MOST_MEMBERS} members")
    driver = fields.get("driver") or fields.get("qom-type") or fields.get("type") or ""
    name = fields.get("id") or driver
    for key, value in list(_members(fields)):
        kind = _kind(key, value, driver)
        if kind is Text.HOST and not _unused(driver, key, value):
            fields = fields.delete(key)
            work.note(option, f"{key} left out: it names a host resource")
        elif kind is Text.FILE:
            fields = _file(work, option, fields, key, value or "")
        elif _is_strange(kind, value):
            fields = fields.set(key, "x")
            work.note(option, f"{key}=x: a text property unknown to migratable")
            work.skip(f"{name}: property {key}, which is unknown to migratable")
    for key, value in _members(fields):
        kind = _kind(key, value, driver)
        host = kind is Text.HOST and not _unused(driver, key, value)
        if host or _is_strange(kind, value):
            raise option.error(f"{key} names a host resource")
    if fields.json is not None:
        # Written out again, so that QEMU reads exactly what we parsed.
        fields = Fields(json=fields.json, spaced=fields.spaced)
    return [] if fields.is_empty() else [option.with_fields(fields)]


def _unused(driver: str, key: str, value: str | None) -> bool:
    """The folder of ``usb-mtp`` is not looked at before a guest asks; a relative one is refused."""
    return driver == "usb-mtp" and key == "rootdir" and (value == "/" or (value or "")[:1] != "/")


def _is_strange(kind: Text | None, value: str | None) -> bool:
    """May an unknown property's value name a file? Paths of QOM links look like that, too."""
    plain = value is None or "/" not in value or value.startswith(("/objects/", "/machine/"))
    return kind is None and not plain


def _file(work: Work, option: Option, fields: Fields, key: str, value: str) -> Fields:
    inert_name = reads(work, value)
    if inert_name is not None:
        return fields if inert_name == value else fields.set(key, inert_name)
    name = fields.get("id") or fields.get("driver") or f"-{option.name}"
    work.note(option, f"{key} left out: {value} is not a regular file on this machine")
    work.skip(f"{name}: {key}, as {value} is not a regular file on this machine")
    return fields.delete(key)


def reads(work: Work, name: str) -> str | None:
    """The name with which QEMU may read a file; None when it must not.

    A bare name that is not here is looked for in QEMU's own folders; an empty one is none.
    """
    if not name or _is_private(work, name):
        return name
    if is_regular(name):
        full = os.path.abspath(name)  # noqa: PTH100 -- links stay as they are
        work.reads.add(full)
        return full
    return None if "/" in name or os.path.lexists(name) else name


def _is_private(work: Work, name: str) -> bool:
    return Path(name) in work.files


_ACCELERATORS = frozenset({"kvm", "tcg", "hvf", "whpx", "nvmm", "mshv"})


def _accelerator(work: Work, option: Option) -> list[Option]:
    """``-accel`` and ``-machine accel=``: those that talk to nobody but the host's kernel."""
    fields = option.fields
    for kind in (fields.get("accel") or "").split(":"):
        if kind and kind not in _ACCELERATORS:
            raise option.error(f"accelerator {kind}: no verdict for such a guest")
    return properties(work, option)


def _object(work: Work, option: Option) -> list[Option]:
    fields = option.fields
    kind = fields.get("qom-type") or ""
    if kind == "memory-backend-file" and _is_private(work, fields.get("mem-path") or ""):
        return [option]
    if kind in OBJECTS_KEPT or kind.startswith("memory-backend-"):
        return properties(work, option)
    # Unknown, or of another release: without members, so that the program refuses its type.
    return [_bare(option, "qom-type")]


def _bare(option: Option, first: str, more: tuple[str, ...] = ()) -> Option:
    """An option with its type, its id, and members that only its own release knows."""
    fields = option.fields
    kept: dict[str, Any] = {}
    for key in (first, "id", *more):
        value = fields.get(key)
        if value is not None and (key == first or "/" not in value):
            kept[key] = value
    if fields.json is not None:
        return option.with_fields(Fields(json=kept, spaced=fields.spaced))
    head = kept.pop(first, "")
    return option.with_fields(Fields.of(head, option=option.name, **kept))


def _chardev(work: Work, option: Option) -> list[Option]:
    fields = option.fields
    ours = any(fields.get("path") == helper[-1] for helper in work.helpers)
    if fields.get("backend") == "null" or ours:
        if set(dict(fields.items())) <= {"backend", "id", "mux", *(("path",) if ours else ())}:
            return [option]
        raise option.error("this character device cannot be passed to an inert QEMU")
    return [_bare(option, "backend", ("reconnect-ms",))]


_USER = [
    *("id", "net", "host", "hostname", "dns", "dnssearch", "dhcpstart", "domainname", "restrict"),
    *("ipv4", "ipv6", "ipv6-net", "ipv6-host", "ipv6-prefix", "ipv6-prefixlen", "ipv6-dns"),
    "tftp-server-name",
]
_NETDEV_MEMBERS = {
    "user": frozenset(_USER),
    "hubport": frozenset({"id", "hubid", "netdev"}),
    "tap": frozenset({"id", "ifname", "script", "downscript", "queues", "vnet_hdr"}),
    "nic": frozenset({"id", "netdev"}),
    "none": frozenset({"id"}),
}
NIC_MEMBERS = frozenset({"model", "mac", "macaddr", "addr", "vectors", "id", "name"})


def _netdev(work: Work, option: Option) -> list[Option]:
    fields = option.fields
    kind = fields.get("type") or ""
    allowed = _NETDEV_MEMBERS.get(kind)
    if allowed is None:
        return [_bare(option, "type")]
    if option.name in {"nic", "net"}:
        allowed = allowed | NIC_MEMBERS
    members = dict(fields.items())
    for key in members:
        if key != "type" and key.split(".")[0] not in allowed:
            fields = fields.delete(key)
            work.note(option, f"{key} left out")
    if kind == "tap" and not (
        members.get("script") == "no"
        and members.get("downscript") == "no"
        and re.fullmatch(r"mig\d+", members.get("ifname") or "")
    ):
        raise option.error("this tap cannot be passed to an inert QEMU")
    if kind == "user" and members.get("restrict") != "on":
        raise option.error("this user network cannot be passed to an inert QEMU")
    return [option.with_fields(fields)]


def _block(work: Work, option: Option) -> list[Option]:
    """``-drive`` and ``-blockdev``: null devices, and drives without a medium."""
    fields = option.fields
    members = dict(fields.items())
    driver = members.get("driver")
    named = any(key in members for key in ("file", "filename", "file.filename", "json"))
    if not named and (driver == "null-co" or (option.name == "drive" and driver is None)):
        return [option]
    raise option.error("this block device cannot be passed to an inert QEMU")


def _audio(work: Work, option: Option) -> list[Option]:
    if option.fields.get("driver") in {None, "none"}:
        return [option]
    return [_bare(option, "driver", ("model",))]


def _fsdev(work: Work, option: Option) -> list[Option]:
    if option.fields.get("fsdriver") != "synth":
        raise option.error("this folder cannot be passed to an inert QEMU")
    return [option]


def _tpmdev(work: Work, option: Option) -> list[Option]:
    if option.fields.get("type") != "emulator":
        raise option.error("this TPM cannot be passed to an inert QEMU")
    return [option]


def _character(work: Work, option: Option) -> list[Option]:
    if re.fullmatch(r"none|null|chardev:[^:,]*", option.value or ""):
        return [option]
    raise option.error("this character device cannot be passed to an inert QEMU")


def _global(work: Work, option: Option) -> list[Option]:
    driver, name, value = global_of(option)
    kind = _kind(name, value, driver)
    if kind is Text.HOST:
        work.note(option, "left out: it names a host resource")
        return []
    if kind is Text.FILE:
        inert_name = reads(work, value)
        if inert_name is None:
            work.note(option, "left out: not a regular file on this machine")
            work.skip(f"-global {driver}.{name}: {value} is not a regular file on this machine")
            return []
        value = inert_name
    elif _is_strange(kind, value):
        work.note(option, "left out: a text property unknown to migratable")
        work.skip(f"-global {driver}.{name}, which is unknown to migratable")
        return []
    else:
        return [option]
    return [Option(name="global", value=f"{driver}.{name}={value}", index=option.index)]


def _files(work: Work, option: Option) -> list[Option]:
    """``-bios`` and ``-option-rom``."""
    value = option.value or ""
    key = {"option-rom": "romfile"}.get(option.name)
    name = value if key is None else option.fields.get(key) or ""
    inert_name = name if _is_private(work, name.replace(",,", ",")) else reads(work, name)
    if inert_name is None:
        raise option.error(f"{name} is not a regular file")
    if key is None:
        return [option if inert_name == value else _with(option, inert_name)]
    return [option.with_fields(option.fields.set(key, inert_name))]


def _usbdevice(work: Work, option: Option) -> list[Option]:
    """Devices of the host are known before 5.0 alone: only a program known to be newer gets one."""
    value = option.value or ""
    if not _WORDS.fullmatch(value):
        raise option.error("its value is not a plain word")
    newer = work.release is not None and not work.older_than(5, 0)
    return [option if newer else _with(option, value.partition(":")[0])]


def _with(option: Option, value: str) -> Option:
    return Option(name=option.name, value=value, index=option.index, spelled=option.spelled)


def _folder(work: Work, option: Option) -> list[Option]:
    """``-L``: a folder in which there are files and folders only."""
    value = option.value or ""
    if value == "help" or not Path(value).is_dir():
        return [option]
    with os.scandir(value) as entries:
        for number, entry in enumerate(entries):
            if number >= _MOST_IN_A_FOLDER:
                raise option.error("a folder with too many files")
            if not (entry.is_file() or entry.is_dir() or not Path(entry.path).exists()):
                raise option.error(f"{entry.name} in it is neither a file nor a folder")
    full = os.path.abspath(value)  # noqa: PTH100 -- links stay as they are
    work.reads.add(full)
    return [_with(option, full)]


_CHECKS: dict[str, Callable[[Work, Option], list[Option]]] = {
    **dict.fromkeys(
        ("device", "cpu", "smp", "m", "numa", "boot", "rtc", "icount"),
        properties,
    ),
    **dict.fromkeys(("action", "compat", "watchdog-action"), properties),
    **dict.fromkeys(("machine", "accel"), _accelerator),
    # Handlers made these, or their text is the guest's.
    **dict.fromkeys(("fw_cfg", "smbios", "prom-env", "uuid"), same),
    "object": _object,
    "chardev": _chardev,
    **dict.fromkeys(("serial", "parallel", "debugcon", "virtioconsole"), _character),
    **dict.fromkeys(("netdev", "nic", "net"), _netdev),
    **dict.fromkeys(("drive", "blockdev"), _block),
    **dict.fromkeys(("audiodev", "audio"), _audio),
    **dict.fromkeys(("fsdev", "virtfs"), _fsdev),
    "tpmdev": _tpmdev,
    "global": _global,
    **dict.fromkeys(("bios", "option-rom"), _files),
    "usbdevice": _usbdevice,
    "L": _folder,
}
