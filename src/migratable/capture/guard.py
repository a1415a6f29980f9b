"""May this VM be paused briefly? Checked with commands that only read.

``xen-save-devices-state`` stops the VM, drains and flushes its disks, writes, and lets it go on.
That must not meet a migration, a job or a dump, and there are run states out of which QEMU would
not come back by itself: from ``suspended`` (9.0 and later) it would stay in ``save-vm``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from migratable.capture.monitor import Monitor
from migratable.errors import CaptureError
from migratable.printable import quoted
from migratable.qemu.qmp import QmpError
from migratable.releases import QemuVersion

SAVE = "xen-save-devices-state"
_RESTING = {"none", "completed", "failed", "cancelled"}
_STATES = {
    "running",
    "paused",
    "prelaunch",
    "io-error",
    "watchdog",
    "debug",
    "guest-panicked",
    "shutdown",
}
_TRIED = {"x86_64", "i386", "ppc64"}
_TRANSPORT = ("x-ignore-shared", "mapped-ram")
"""Capabilities that a migration announces in its stream, and a capture does not."""
# Types whose vmsd says so, 4.1 to 5.2, and all of vfio and vhost-user, of which many do.
_UNMIGRATABLE = re.compile(
    r"nvme|rocker|amd-iommu|vfio-.*|vhost-user-.*|virtio-crypto.*|virtio-input-host.*"
    r"|usb-(?:audio|wacom-tablet|serial|braille|mtp|net|uas|bt-dongle)|zpci|x-terminal3270"
    r"|next-kbd|.*-(?:m68k|sh4|superh|xtensa|unicore32)-cpu"
)
_REMEDIES = {
    "inmigrate": "it waits for an incoming migration; capture the source of that",
    "postmigrate": "its state went to another host; capture the VM there",
    "finish-migrate": "it is being migrated; wait for the end",
    "save-vm": "it is being saved; wait for the end",
    "restore-vm": "a snapshot is being loaded; wait for the end",
    "suspended": "its guest sleeps, and QEMU would not put it back to sleep; wake it up first "
    "(system_wakeup), or save it to a file",
    "preconfig": "it is not configured yet; x-exit-preconfig first",
    "colo": "it is one half of a COLO pair; capture is not possible",
    "internal-error": "QEMU reports an internal error; its state is not reliable",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """How a VM stands before it is captured.

    :ivar status: its run state, ``running``, ``paused`` …
    :ivar unchecked: what could not be found out with this release.
    """

    version: QemuVersion
    status: str
    machine: str
    target: str
    guest_name: str = ""
    capabilities: Mapping[str, bool] = field(default_factory=dict)
    unchecked: tuple[str, ...] = ()

    @property
    def running(self) -> bool:
        """Does the guest run, so that saving it means a pause?"""
        return self.status == "running"


def examine(monitor: Monitor) -> Standing:
    """See whether the VM can be captured without harm; only reads.

    :raise CaptureError: When not, with what is in the way and what to do.
    :raise QemuError: When the VM does not answer.
    """
    version = _version(monitor)
    status = str(monitor.execute("query-status").get("status", "unknown"))
    if status not in _STATES:
        why = _REMEDIES.get(status, "it cannot be captured in this state")
        raise CaptureError(f"{monitor.name}: the VM is in state {quoted(status)}: {why}")
    unchecked = _migration(monitor, version)
    _jobs(monitor)
    _dump(monitor)
    commands = monitor.execute("query-commands")
    if not any(command.get("name") == SAVE for command in commands):
        raise CaptureError(f"{monitor.name}: this QEMU has no command {SAVE}; save it to a file")
    machine = str(monitor.execute("qom-get", {"path": "/machine", "property": "type"}))
    target = str(monitor.execute("query-target").get("arch", ""))
    if target not in _TRIED:
        unchecked.append(f"captures of {target} were never tried beside full migrations")
    capabilities = {
        str(one["capability"]): bool(one["state"])
        for one in monitor.execute("query-migrate-capabilities")
    }
    unchecked += [
        f"capability {name}, which both sides must have on"
        for name in _TRANSPORT
        if capabilities.get(name)
    ]
    return Standing(
        version=version,
        status=status,
        machine=machine.removesuffix("-machine"),
        target=target,
        guest_name=str((monitor.execute("query-name") or {}).get("name", "")),
        capabilities=capabilities,
        unchecked=tuple(unchecked),
    )


def _version(monitor: Monitor) -> QemuVersion:
    found = monitor.execute("query-version")
    try:
        return QemuVersion.of_qmp(found)
    except ValueError:
        raise CaptureError(f"{monitor.name}: query-version answers {str(found)[:100]}") from None


def _migration(monitor: Monitor, version: QemuVersion) -> list[str]:
    found = monitor.execute("query-migrate")
    status = str(found.get("status", "none"))
    if status not in _RESTING:
        raise CaptureError(
            f"{monitor.name}: a migration is in progress (status {quoted(status)}); wait for its "
            "end, or cancel it (migrate_cancel)"
        )
    reasons = found.get("blocked-reasons") or ()
    if reasons:
        raise CaptureError(
            f"{monitor.name}: this VM cannot be migrated anywhere now; its QEMU refuses:\n  "
            + "\n  ".join(map(str, reasons))
        )
    if version.release < (6, 0):
        _devices(monitor, version)
        return [f"QEMU {version} cannot report migration blockers of this VM"]
    return []


def _devices(monitor: Monitor, version: QemuVersion) -> None:
    """Look for devices that would *crash* QEMU: before 6.0 it does not name them itself.

    Their state has no fields (``unmigratable``), which ``vmstate_save_state_v`` does not expect;
    a migration is refused before it comes there, ``xen-save-devices-state`` is not.
    """
    if version.release < (4, 1):
        raise CaptureError(
            f"{monitor.name}: QEMU {version} does not tell which devices it cannot save, and "
            "would crash on one; save the VM to a file instead"
        )
    for path in ("/machine/peripheral", "/machine/peripheral-anon", "/machine/unattached"):
        for one in monitor.execute("qom-list", {"path": path}):
            kind = str(one.get("type", "")).removeprefix("child<").removesuffix(">")
            if _UNMIGRATABLE.fullmatch(kind):
                raise CaptureError(
                    f"{monitor.name}: this VM cannot be migrated: its device {quoted(kind)} "
                    f"({path}/{one.get('name')}) cannot be saved; unplug it first"
                )


def _jobs(monitor: Monitor) -> None:
    found: list[Mapping[str, Any]] = []
    for command in ("query-jobs", "query-block-jobs"):
        found += monitor.execute(command) or ()
    for job in found:
        if job.get("status") in {"concluded", "null"}:
            continue
        kind = job.get("type", "block")
        name = job.get("id", job.get("device", ""))
        raise CaptureError(
            f"{monitor.name}: a job is in progress: {kind} {quoted(name)} "
            f"({job.get('status', 'active')}); "
            "wait for its end, or cancel it (job-cancel)"
        )


def _dump(monitor: Monitor) -> None:
    try:
        found = monitor.execute("query-dump")
    except QmpError:
        return  # a target that cannot dump
    if found.get("status") == "active":
        raise CaptureError(f"{monitor.name}: guest memory is being dumped; wait for the end")
