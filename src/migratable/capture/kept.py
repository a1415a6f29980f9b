"""Facts about the VM that a capture keeps inside the stream, beside the state.

It is one more member, ``migratable``, of the JSON object that ends a stream (the vmdesc). QEMU
reads that trailer and looks at none of it (``migration/savevm.c: qemu_loadvm_state``, 5.2 to 11.1),
and readers of vmdesc pass over members that they do not know. So the file is a plain stream to
everybody else.

::

    "migratable": {"schema": "migratable.captured/1", "release", "package", "machine", "target",
                   "kvm": bool, "cpu_model", "cpu_features": […], "guest", "status", "taken",
                   "command_line": [word…], "domain_xml"}

Secrets were taken out when it was written (:mod:`migratable.redact`). The command
line's first word is the program's bare name: nothing of a file is ever run.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from migratable.errors import StreamError
from migratable.members import MalformedError, members, read
from migratable.releases import QemuVersion
from migratable.stream import Stream, vmdesc

if TYPE_CHECKING:
    from migratable.profile.model import Profile

SCHEMA = "migratable.captured/1"
_PROGRAM = re.compile(r"qemu-system-[a-z0-9_]+|qemu-kvm|kvm")
_MOST_WORDS = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """What is known of the VM that a stream was captured from."""

    profile: Profile
    guest: str = ""
    status: str = ""
    domain_xml: str = ""

    def facts(self) -> dict[str, object]:
        """For reports."""
        found: dict[str, object] = {
            "captured": self.profile.taken,
            "release": str(self.profile.version),
            "guest": self.guest,
            "status": self.status,
        }
        if self.domain_xml:
            found["domain_xml"] = self.domain_xml
        return found


def put(stream: Stream, kept: Kept) -> Stream:
    """Give the stream with *kept* in its trailer, without secrets."""
    if stream.vmdesc is None:
        return stream
    profile = kept.profile
    from migratable import redact  # noqa: PLC0415 -- who reads needs none of it

    argv = list(redact.words(profile.command_line))
    if argv:
        argv[0] = argv[0].rpartition("/")[2]
    document = _Captured(
        release=f"{profile.version.major}.{profile.version.minor}.{profile.version.micro}",
        package=profile.version.package,
        machine=profile.machine,
        target=profile.target,
        kvm=profile.wants_kvm,
        cpu_model=profile.cpu_model,
        cpu_features=profile.cpu_features,
        guest=kept.guest,
        status=kept.status,
        taken=profile.taken,
        command_line=tuple(argv),
        domain_xml=redact.domain_xml(kept.domain_xml),
    )
    description = replace(stream.vmdesc, extra={"migratable": members(document)})
    return replace(stream, vmdesc=replace(description, raw=vmdesc.dump(description)))


def kept_in(stream: Stream) -> Kept | None:
    """What a stream's trailer keeps of its VM; None in streams of others, or of another schema.

    :raise StreamError: when the member is there and damaged.
    """
    found = None if stream.vmdesc is None else stream.vmdesc.extra.get("migratable")
    if not isinstance(found, dict) or found.get("schema") != SCHEMA:
        return None
    try:
        return _kept(read(_Captured, found))
    except MalformedError as error:
        offset = None if stream.vmdesc is None else stream.vmdesc.offset
        place = f"vmdesc.migratable.{error.place}"
        raise StreamError(error.message, offset=offset, path=place) from None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Captured:
    """The object."""

    schema: str = SCHEMA
    release: str
    package: str = ""
    machine: str = ""
    target: str = ""
    kvm: bool = False
    cpu_model: str = ""
    cpu_features: tuple[Mapping[str, Any], ...] = ()
    guest: str = ""
    status: str = ""
    taken: str = ""
    command_line: tuple[str, ...] = ()
    domain_xml: str = ""


def _kept(captured: _Captured) -> Kept:
    from migratable.profile.model import Profile  # noqa: PLC0415 -- captures only

    argv = captured.command_line
    if len(argv) > _MOST_WORDS or any("\0" in word for word in argv):
        raise MalformedError("command_line", f"at most {_MOST_WORDS} words expected")
    if argv and not _PROGRAM.fullmatch(argv[0]):
        argv = argv[1:] if argv[0].startswith("-") else ()
    try:
        version = QemuVersion.parse(captured.release)
    except ValueError as error:
        raise MalformedError("release", str(error)) from None
    return Kept(
        profile=Profile(
            version=replace(version, package=captured.package),
            machine=captured.machine,
            target=captured.target,
            cpu_model=captured.cpu_model,
            cpu_features=captured.cpu_features,
            accelerator="kvm" if captured.kvm else "tcg",
            wants_kvm=captured.kvm,
            command_line=argv,
            notes=("taken from a running VM",),
            taken=captured.taken,
        ),
        guest=captured.guest,
        status=captured.status,
        domain_xml=captured.domain_xml,
    )
