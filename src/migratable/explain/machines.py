"""Which QEMU has a machine type: what its name says."""

from __future__ import annotations

import re
from dataclasses import dataclass

from migratable.facts.machine_types import ALIASES, OLDEST_KEPT, UBUNTU

_NAME = re.compile(
    r"(?P<family>pc-i440fx|pc-q35|pc|pseries|virt|s390-ccw-virtio|microvm)-(?P<version>[\w.]+)"
    r"(?P<patched>\+pve\d+)?(?P<suffix>-[\w.-]+)?"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Needed:
    """What a machine type needs.

    :ivar said: what its name says; :ivar now: what helps where it is lacking.
    """

    said: str
    now: str


def needs(name: str) -> Needed | None:
    """Which QEMU has the machine type *name*; None when the name does not tell."""
    if name in ALIASES:
        return Needed(
            said=f"{name} is an alias: it means another machine in every release.",
            now=f"Write the versioned name into the guest's definition ({name} is an alias): "
            "query-machines or -machine help of the host on which the guest runs has it.",
        )
    found = _NAME.fullmatch(name)
    if found is None:
        return None
    version = found["version"]
    if version in UBUNTU:
        ubuntu, qemu = UBUNTU[version]
        return Needed(
            said=f"{name} is a machine type of Ubuntu {ubuntu} (QEMU {qemu}); other "
            "distributions' QEMU does not have it.",
            now=f"Use Ubuntu's QEMU of {ubuntu} or later there ({qemu} or later). Elsewhere the "
            f"guest can only be stopped and started with an upstream type "
            f"({found['family']}-{qemu} is the nearest) in its definition.",
        )
    if version.startswith(("rhel", "el")):
        major = re.match(r"(?:rhel|el)(\d+)(?:\.(\d+))?", version)
        which = ".".join(part for part in (major.groups() if major else ()) if part)
        return Needed(
            said=f"{name} is a machine type of RHEL {which} and its rebuilds (CentOS Stream, "
            "Rocky, AlmaLinux, oVirt); upstream QEMU does not have it.",
            now=f"Use qemu-kvm of RHEL {which} or later (or a rebuild) there; a later major "
            "release keeps only some of the older types (-machine help lists them). Elsewhere the "
            "guest can only be stopped and started with a type of that host.",
        )
    number = re.fullmatch(r"(\d+)\.(\d+)", version)
    if number is None:
        return None
    if found["patched"]:
        return Needed(
            said=f"{name} is a machine type of Proxmox VE's QEMU (+pve: its own changes).",
            now=f"Update the target node: its pve-qemu-kvm must be {version} or later; outside "
            f"Proxmox the nearest is {found['family']}-{version}, after a stop.",
        )
    old = (int(number[1]), int(number[2])) < OLDEST_KEPT
    gone = (
        " Releases about six years newer than a type no longer have it."
        if not old
        else " Types as old as this are no longer in recent releases either."
    )
    suffix = " (with the suffix of a distribution)" if found["suffix"] else ""
    return Needed(
        said=f"{name} came with QEMU {version}{suffix}.{gone}",
        now=f"A QEMU of {version} or later is needed there"
        + (
            ", and one that still has the type: -machine help lists them."
            if old
            else f": update it, or start the program that is {version} (another QEMU in the path, "
            "or a package that overwrote it)."
        )
        + " Otherwise stop the guest and start it with a type that {moving: both hosts have|this "
        "host has}.",
    )
