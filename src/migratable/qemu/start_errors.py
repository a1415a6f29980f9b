"""Errors of a program that does not start: its message, and remedies for the usual ones."""

from __future__ import annotations

import re
from collections.abc import Sequence

from migratable.facts.removed_options import INSTEAD, REMEDY, VALUE

_SHOWN = 20
# Warnings that say what enforce refuses.
_LACKS, _ENFORCED = "support requested feature: ", "Host doesn't support requested features"

_KVM = "look at the destination's processor, kernel (modprobe kvm) and the rights on /dev/kvm"
_REMEDIES = (
    (
        r"unsupported machine type|No machine type|invalid machine type|not a valid machine",
        "This program does not have the machine type (-machine help lists them). A guest keeps its "
        "type for its life: use a program that has it (an older release, the distribution's own "
        "for types such as pc-q35-rhel9.2.0 or pc-i440fx-bionic), not another type.",
    ),
    (
        r"unable to find CPU model 'x86-64-v\d",
        "That CPU model is Proxmox's own. Upstream's program wants its parts: -cpu qemu64,+aes,"
        "+pni,+popcnt,+sse4.1,+sse4.2,+ssse3 for x86-64-v2-AES; qm showcmd of a newer Proxmox "
        "prints them.",
    ),
    (
        r"unable to find CPU model|CPU model '[^']*' .*not|Unable to find CPU definition",
        "This program does not have the CPU model (-cpu help lists them): use a program that has "
        "it, or a model that all hosts have.",
    ),
    (
        _ENFORCED,
        "The processor of this host, or its KVM, lacks what the warnings name, and enforce makes "
        "that an error: use a CPU model that all hosts have, or take those features out of -cpu.",
    ),
    (
        r"is not a valid device model name",
        "This program was built without the device, or its package of modules is not installed "
        "(-device help lists what it has). The destination must have it: install the package, or "
        "take the device out of the VM's definition on both sides.",
    ),
    (
        r"^-(?:object|device|netdev|audiodev) \{.*(?:Parameter 'id' is missing|not a valid device)",
        "This release does not read JSON in that option yet (-object from 6.0, -device from 6.2): "
        "write it as key=value, as libvirt does for such a release.",
    ),
    (
        r"Invalid parameter 'vlan'",
        "Networks are joined by name now: write -nic tap,… or -netdev tap,id=N,… with "
        "-device MODEL,netdev=N.",
    ),
    (
        r"TCG cannot support more than 1 thread",
        "Threads of a core need KVM on this machine: write threads=1 (and more cores), or "
        "accel=kvm when the destination has it.",
    ),
    (
        r"Property '[^']*' not found|Property \S+ not found|has no property|Invalid parameter",
        "This release does not have the property (it came later or was dropped). Take it out of "
        "the VM's definition, or use a release that has it; the machine changes for the guest "
        "unless the property had its default.",
    ),
    (
        r"failed to initialize kvm|Could not access KVM|invalid accelerator kvm|requires KVM",
        f"The machine needs KVM and this machine does not have it: {_KVM}.",
    ),
    (
        r"cannot set up guest memory|Cannot allocate memory|cannot allocate memory",
        "The host cannot give the guest its memory: free memory or hugepages, or allow "
        "overcommitment.",
    ),
    (
        r"Duplicate ID|already in use|in use by|Duplicate",
        "Two things on the command line have the same name or place: give one another id or addr.",
    ),
    (
        r"chassis slot|slot \d+ function \d+ (?:not available|already)|no slot/function",
        "The device has no free place: give it an explicit bus and addr; root ports need chassis "
        "and slot numbers of their own.",
    ),
    (
        r"(?i)could not (?:find|load) .*(?:firmware|bios|PNOR|ROM)",
        "Install the package that holds the firmware for this machine on this host (or name its "
        "folder with -L); without it the program does not start.",
    ),
    (
        r"Could not open|No such file or directory|could not read|Failed to load",
        "A file that the machine needs is not here: copy it from the destination and name its "
        "place, or run this on the destination.",
    ),
    (
        r"requires pages|huge ?pages?|not a multiple of|must be a multiple|must be a power|"
        r"PAPR requires|must be between|exceeds|Invalid \w+_size|invalid CPU topology",
        _VALUE := "The value is one that this release does not take for this machine: correct the "
        "option on the destination.",
    ),
)


_GENERAL = (
    "The line names what this program does not accept: correct it on the destination, or use the "
    "release that the VM's definition was made for."
)
# A sentence that QEMU prints on a separate line after a warning.
_REMARK = re.compile(r"warning: |Please configure -smp options")


def not_started(how: str) -> str:
    """That it does not start, and how it ended."""
    way = f" ({how})" if how else ""
    return f"the destination's QEMU does not start{way}"


def start_message(how: str, lines: Sequence[str]) -> str:
    """Text of a :class:`~migratable.errors.DestinationStartError`.

    :param how: ``exit status 1``; empty when the program was only asked.
    :param lines: what it printed, without its name; remarks (``warning: ``) are counted only.
    """
    enforced = any(_ENFORCED in line for line in lines)
    errors = [line for line in lines if not _REMARK.match(line) or (enforced and _LACKS in line)]
    shown = errors[:_SHOWN] or list(lines[:_SHOWN])
    said = "\n  ".join(shown) or "it printed nothing"
    text = f"{not_started(how)}; its own words:\n  {said}"
    warnings = len(lines) - len(errors)
    if errors and warnings:
        text += f"\n  (and {warnings} warning{'s' if warnings > 1 else ''})"
    found = remedy(errors)
    return f"{text}\nWhat to do: {found}" if found else text


def remedy(lines: Sequence[str]) -> str:
    """What usually helps against the first of QEMU's *lines* that is known."""
    for line in lines:
        gone = re.search(r"(?:^|\s)--?([\w-]+): invalid option", line)
        if gone:
            instead = _instead(gone[1])
            return f"This release does not have the option -{gone[1]} (any more, or yet): " + (
                f"{instead}." if instead else "take it out, or use a release that has it."
            )
        for pattern, text in _REMEDIES:
            if re.search(pattern, line):
                return text
    for line in lines:
        if found := _of_the_catalogue(line):
            return found
        if re.search(r"[Pp]arameter|Invalid", line):
            return _VALUE
    return _GENERAL if lines else ""


def _of_the_catalogue(line: str) -> str:
    """What the catalogue of messages says to do about *line*, for a start; "" where nothing."""
    from migratable.messages.catalogue import Role  # noqa: PLC0415 -- only where a start fails
    from migratable.messages.recognise import recognise  # noqa: PLC0415
    from migratable.messages.setting import Setting, said  # noqa: PLC0415

    for match in recognise(line, tables=False):
        message = match.message
        now = match.text.now or message.here.get("now") or message.now
        if message.role is Role.CAUSE and now:
            text = said(now, Setting.STARTING)
            for name, value in match.params.items():
                text = text.replace(f"{{{name}}}", str(value))
            if "{" not in text:
                return text
    return ""


def _instead(name: str) -> str:
    if name not in INSTEAD:
        return REMEDY.get(name, "")
    option, value = INSTEAD[name]
    if name == "soundhw":
        return "write -audio driver=…,model=MODEL, or -device for the card with -audiodev"
    return f"write -{option} {value.format(VALUE.get(name, 'VALUE'))}"
