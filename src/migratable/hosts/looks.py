"""Facts about this host; only reads, and of a disk only its first bytes."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import stat
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from migratable.errors import HostError, MigratableError
from migratable.hosts.guests import virsh

_MAGIC = (
    (b"QFI\xfb", "qcow2"),
    (b"KDMV", "vmdk"),
    (b"vhdxfile", "vhdx"),
    (b"QED\0", "qed"),
    (b"LUKS\xba\xbe", "luks"),
)


def look(needs: Mapping[str, Any]) -> dict[str, Any]:
    """Everything, by name; what cannot be looked at has a text in ``not_seen``."""
    not_seen: list[str] = []
    return {
        "time": time.time(),
        "kernel": os.uname().release,
        "machine": os.uname().machine,
        "root": os.geteuid() == 0,
        "cpu": _cpu(),
        "kvm": _kvm(),
        "memory": _memory(),
        "files": {path: _file(path) for path, _, _ in needs.get("disks", ())},
        "bridges": {name: Path("/sys/class/net", name).exists() for name in needs["bridges"]},
        "networks": _networks(needs, not_seen),
        "sockets": {path: Path(path).is_socket() for path in needs["sockets"]},
        "libvirt": _libvirt(needs, not_seen),
        "confinement": _confinement(),
        "swtpm": _version("swtpm") if needs["tpm"] else "",
        "capabilities": _capabilities(str(needs.get("program", "")), not_seen),
        "not_seen": not_seen,
    }


def _cpu() -> dict[str, Any]:
    found: dict[str, Any] = {"model": "", "flags": [], "count": os.cpu_count()}
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            name, _, value = (part.strip() for part in line.partition(":"))
            if name in {"model name", "cpu"} and not found["model"]:
                found["model"] = value
            elif name in {"flags", "Features"} and not found["flags"]:
                found["flags"] = sorted(value.split())
            elif name == "vendor_id":
                found["vendor"] = value
    return found


def _kvm() -> dict[str, Any]:
    device = Path("/dev/kvm")
    found: dict[str, Any] = {"there": device.exists(), "why": "", "nested": ""}
    try:
        os.close(os.open(device, os.O_RDWR | os.O_CLOEXEC))
    except OSError as error:
        found["why"] = error.strerror
    found["clocksource"] = _text("/sys/devices/system/clocksource/clocksource0/current_clocksource")
    for name in ("kvm_intel", "kvm_amd"):
        found["nested"] = found["nested"] or _text(f"/sys/module/{name}/parameters/nested")
    return found


def _memory() -> dict[str, Any]:
    values = dict.fromkeys(("MemTotal", "MemAvailable"), 0)
    for line in _text("/proc/meminfo").splitlines():
        name, _, rest = line.partition(":")
        if name in values:
            values[name] = int(rest.split()[0]) * 1024
    pages: dict[str, int] = {}
    with contextlib.suppress(OSError):
        for folder in Path("/sys/kernel/mm/hugepages").iterdir():
            size = folder.name.removeprefix("hugepages-").removesuffix("kB")
            pages[size] = int(_text(str(folder / "free_hugepages")) or 0)
    return {
        "total": values["MemTotal"],
        "available": values["MemAvailable"],
        "free_hugepages": pages,
    }


def _file(path: str) -> dict[str, Any]:
    found: dict[str, Any] = {"there": False, "why": "", "kind": "", "size": None, "format": ""}
    try:
        status = Path(path).stat()
    except OSError as error:
        found["why"] = error.strerror
        return found
    found["there"] = True
    found["id"] = [status.st_dev, status.st_ino]
    found["mtime"] = int(status.st_mtime)
    if stat.S_ISREG(status.st_mode):
        found.update(kind="file", size=status.st_size)
        found["file_system"] = _file_system(path)
    elif stat.S_ISBLK(status.st_mode):
        found.update(kind="block device")
    else:
        found.update(kind="other")
        return found
    try:
        # FIFOs are excluded above; O_NONBLOCK in case the path is replaced meanwhile.
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        found["why"] = error.strerror
        return found
    try:
        if found["kind"] == "block device":
            found["size"] = os.lseek(descriptor, 0, os.SEEK_END)
        head = os.pread(descriptor, 64, 0)
        found["format"] = next((name for magic, name in _MAGIC if head.startswith(magic)), "raw")
        if found["format"] == "qcow2":
            found["virtual_size"] = int.from_bytes(head[24:32], "big")
    except OSError as error:
        found["why"] = error.strerror
    finally:
        os.close(descriptor)
    return found


def _file_system(path: str) -> str:
    """Type of the file system that holds *path* (``nfs4``, ``ext4``)."""
    best, kind = "", ""
    real = os.path.realpath(path)
    for line in _text("/proc/self/mounts").splitlines():
        words = line.split()
        if len(words) < 3:
            continue
        place = words[1].replace("\\040", " ")
        if (real + "/").startswith(place.rstrip("/") + "/") and len(place) >= len(best):
            best, kind = place, words[2]
    return kind


def _networks(needs: Mapping[str, Any], not_seen: list[str]) -> dict[str, bool]:
    if not needs["networks"]:
        return {}
    try:
        active = virsh(str(needs.get("uri", "")), "net-list", "--name").split()
    except HostError as error:
        not_seen.append(f"networks of libvirt: {error}")
        return {}
    return {name: name in active for name in needs["networks"]}


def _libvirt(needs: Mapping[str, Any], not_seen: list[str]) -> str:
    """Its release, empty without one."""
    if not needs["libvirt"]:
        return ""
    try:
        text = virsh(str(needs.get("uri", "")), "version", "--daemon")
        match = re.search(r"daemon: (\d+\.\d+\.\d+)", text)
    except HostError:  # it also wants to say the release of a QEMU in PATH
        match = None
    version = match[1] if match else _version("libvirtd") or _version("virtqemud")
    if not version:
        not_seen.append("libvirt's release")
    return version


def _confinement() -> dict[str, str]:
    enforce = _text("/sys/fs/selinux/enforce").strip()
    apparmor = _text("/sys/module/apparmor/parameters/enabled").strip()
    return {
        "selinux": {"1": "enforcing", "0": "permissive"}.get(enforce, "off"),
        "apparmor": "on" if apparmor == "Y" else "off",
    }


def _version(program: str) -> str:
    path = shutil.which(program)
    if path is None:
        return ""
    try:
        done = subprocess.run(
            [path, "--version"], capture_output=True, text=True, timeout=10, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    match = re.search(r"\d+\.\d+(\.\d+)?", done.stdout + done.stderr)
    return match[0] if match else ""


def _capabilities(program: str, not_seen: list[str]) -> list[str] | None:
    """Migration capabilities that a program knows; None when it was not asked."""
    if not program:
        return None
    from migratable.commandline import parse  # noqa: PLC0415
    from migratable.qemu.start import inert_start  # noqa: PLC0415

    try:
        line = parse([program, "-machine", "none", "-nodefaults"])
        with inert_start(line) as start, start.process(timeout=15.0) as qemu:
            return [str(one["capability"]) for one in qemu.qmp("query-migrate-capabilities")]
    except MigratableError as error:
        not_seen.append(f"migration capabilities of {program}: {error}")
        return None


def _text(path: str) -> str:
    try:
        return Path(path).read_text(errors="replace").strip()
    except OSError:
        return ""
