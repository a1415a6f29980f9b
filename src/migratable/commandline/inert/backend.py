"""Inert forms of backends: character devices, sound, TPM, shared folders, ``-object``."""

from __future__ import annotations

import sys
from pathlib import Path

from migratable.commandline.inert.machine import thrifty_backend
from migratable.commandline.inert.work import Work
from migratable.commandline.line import Option
from migratable.commandline.option import Fields
from migratable.facts.properties import OBJECTS_DROPPED, OBJECTS_REFUSED

_TPM = Path(__file__).with_name("tpm_stand_in.py")
_OBJECT_SINCE = {
    "cryptodev-backend-lkcf": (8, 0),
    "iommufd": (9, 0),
    "memory-backend-epc": (6, 2),
    "memory-backend-shm": (9, 1),
    "monitor-": (11, 1),
    "qtest": (6, 0),
    "sev-snp-guest": (9, 1),
    "tdx-guest": (10, 1),
    "thread-context": (7, 2),
    "x-remote-object": (6, 0),
    "x-vfio-user-server": (7, 1),
}
"""Types (``qapi/qom.json``) that an older release refuses, which a stand-in would hide."""
_CHARDEV_SINCE = {"dbus": (7, 0), "hub": (10, 0), "qemu-vdagent": (6, 1)}
_CHARDEV_BEFORE = {"parport": (8, 0), "tty": (8, 0)}
"""Character backends of some releases alone (``qapi/char.json``, removed aliases)."""
_AUDIO_SINCE = {"dbus": (7, 0), "pipewire": (8, 1), "sndio": (7, 2)}


def object_(work: Work, option: Option) -> list[Option]:
    """``-object``."""
    fields = option.fields
    kind = fields.get("qom-type") or ""
    name = fields.get("id") or ""
    since = next((_OBJECT_SINCE[one] for one in _OBJECT_SINCE if kind.startswith(one)), None)
    if since is not None and work.lacks(*since):
        return [option]  # it refuses that itself
    if kind == "memory-backend-epc":
        raise option.error("SGX memory needs the host's own; no verdict")
    if kind in OBJECTS_REFUSED:
        raise option.error(
            f"{kind}: the guest's memory is encrypted; its state cannot be examined from outside, "
            "so there is no verdict"
        )
    if kind.startswith("memory-backend-"):
        return thrifty_backend(work, option, fields)
    if kind == "dbus-vmstate":
        work.skip("dbus-vmstate: helpers of the destination take part in loading its section")
        work.note(option, "left out")
        return []
    if kind in OBJECTS_DROPPED:
        return []
    if kind in {"rng-random", "rng-egd"}:
        work.note(option, "rng-builtin")
        if fields.json is not None:
            return [option.with_fields(Fields(json={"qom-type": "rng-builtin", "id": name}))]
        return [option.with_fields(Fields.of("rng-builtin", option="object", id=name))]
    if kind.startswith("cryptodev-") and kind != "cryptodev-backend-builtin":
        work.note(option, "cryptodev-backend-builtin")
        work.skip(f"object {name}: what its {kind} backend offers")
        new = Fields.of("cryptodev-backend-builtin", option="object", id=name)
        if queues := fields.get("queues"):
            new = new.set("queues", queues)
        return [option.with_fields(new)]
    return [option]


def chardev(work: Work, option: Option) -> list[Option]:
    """``-chardev``: a null device, as unconnected as a listening socket."""
    fields = option.fields
    if fields.get("backend") == "null" and fields.get("logfile") is None:
        return [option]
    if "reconnect-ms" in fields and work.lacks(9, 2):
        return [option]
    since = _CHARDEV_SINCE.get(fields.get("backend") or "")
    before = _CHARDEV_BEFORE.get(fields.get("backend") or "")
    if since is not None and work.lacks(*since):
        return [option]
    if work.lacks(before=before):
        return [option]
    new = Fields.of("null", option="chardev", id=fields.get("id") or "")
    if (mux := fields.get("mux")) is not None:  # several users of one device need it
        new = new.set("mux", mux)
    return [option.with_fields(new)]


def character(work: Work, option: Option) -> list[Option]:
    """``-serial``, ``-parallel``, ``-debugcon``: the same device on a null backend."""
    value = option.value or ""
    if value in {"none", "null"} or value.startswith("chardev:"):
        return [option]
    if option.name == "serial" and value.startswith("mon:chardev:"):
        return [Option(name="serial", value=value[len("mon:") :], index=option.index)]
    return [Option(name=option.name, value="null", index=option.index)]


def audiodev(work: Work, option: Option) -> list[Option]:
    """``-audiodev``, ``-audio``: driver ``none``."""
    fields = option.fields
    since = _AUDIO_SINCE.get(fields.get("driver") or "")
    if since is not None and work.lacks(*since):
        return [option]
    kept: dict[str, str] = {}
    for key in ("id", "model", "timer-period"):
        if (value := fields.get(key)) is not None:
            kept[key] = value
    if option.name == "audio" and fields.get("driver") in {None, "none"} and "model" not in kept:
        return [option]
    return [option.with_fields(Fields.of("none", option=option.name, **kept))]


def fsdev(work: Work, option: Option) -> list[Option]:
    """``-fsdev``, ``-virtfs``: a synthetic folder."""
    fields = option.fields
    kept = {key: value for key in ("id", "mount_tag") if (value := fields.get(key)) is not None}
    work.note(option, "an empty synthetic folder")
    return [option.with_fields(Fields.of("synth", option=option.name, **kept))]


def tpmdev(work: Work, option: Option) -> list[Option]:
    """``-tpmdev``: a stand-in that has a TPM 2.0's protocol and nothing behind it."""
    fields = option.fields
    name = fields.get("id") or ""
    if fields.get("type") == "passthrough":
        work.skip(f"tpmdev {name}: the host's own TPM is passed through; it does not migrate")
    socket = work.private_dir / f"tpm{len(work.helpers)}"
    work.helpers.append([sys.executable, "-I", "-S", str(_TPM), str(socket)])
    chardev_id = f"migratable-{name}"
    work.note(option, "a stand-in TPM 2.0 without contents")
    work.skip(f"tpmdev {name}: lengths and contents of the TPM's own blobs")
    chardev = Fields.of("socket", option="chardev", id=chardev_id, path=str(socket))
    return [
        Option(name="chardev", value=chardev.text(), index=option.index),
        option.with_fields(Fields.of("emulator", option="tpmdev", id=name, chardev=chardev_id)),
    ]
