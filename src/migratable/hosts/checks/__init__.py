"""What a host must have besides a QEMU that loads the guest: one file a check, as rules have it.

A check compares what was seen on both hosts (:mod:`migratable.hosts.looks`) with what the guest
needs (:mod:`migratable.hosts.needs`). Its page is its file's docstring. What could not be looked
at is never silently fine: :func:`compare` says it.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator

from migratable.hosts.checks import (
    capabilities,
    clock,
    confinement,
    cpu,
    devices,
    disks,
    firmware,
    kvm,
    libvirt,
    memory,
    networks,
    sockets,
    tpm,
    versions,
    way_back,
)
from migratable.hosts.checks.check import HostCheck, Pair
from migratable.verdict import Finding

CHECKS: tuple[HostCheck, ...] = (
    libvirt.CHECK,
    kvm.CHECK,
    cpu.CHECK,
    firmware.CHECK,
    disks.CHECK,
    networks.CHECK,
    memory.CHECK,
    devices.CHECK,
    sockets.CHECK,
    tpm.CHECK,
    capabilities.CHECK,
    confinement.CHECK,
    versions.CHECK,
    clock.CHECK,
    way_back.CHECK,
)
"""All of them, in the order in which they are shown."""


def compare(pair: Pair) -> tuple[tuple[Finding, ...], tuple[str, ...]]:
    """Run every check.

    :return: what was found, and what could not be looked at.
    """
    found: list[Finding] = []
    for check in CHECKS:
        found += check.check(pair)
    return tuple(found), tuple(dict.fromkeys([*_not_seen(pair), *pair.not_seen]))


def _not_seen(pair: Pair) -> Iterator[str]:
    if pair.needs.unread:
        yield f"the guest's requirements on a host ({pair.needs.unread})"
    for side, facts in (("source", pair.source), ("destination", pair.destination)):
        for text in facts["not_seen"]:
            yield f"{side}: {text}"


def page(check: HostCheck) -> str:
    """The page of a check, Markdown."""
    return sys.modules[check.check.__module__].__doc__ or ""


__all__ = ["CHECKS", "HostCheck", "Pair", "compare", "page"]
