"""What a capture keeps of its VM beside the state, inside the stream.

It is one more member, ``migratable``, of the JSON object that ends a stream (the vmdesc). QEMU
reads that trailer and looks at none of it (``migration/savevm.c: qemu_loadvm_state``, 5.2 to 11.1),
and readers of vmdesc pass over members that they do not know. So the file is a plain stream to
everybody else.

::

    "migratable": {"schema": "migratable.captured/1", "release", "package", "machine", "target",
                   "kvm": bool, "cpu_model", "cpu_features": […], "guest", "status", "taken",
                   "command_line": [word…], "domain_xml"}

Secrets were taken out when it was written (:mod:`.redact`). The command line's first word is the
program's bare name: nothing of a file is ever run.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from migratable.errors import StreamError
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
    from migratable.commandline import redact  # noqa: PLC0415 -- who reads needs none of it

    argv = list(redact.words(profile.command_line))
    if argv:
        argv[0] = argv[0].rpartition("/")[2]
    document = {
        "schema": SCHEMA,
        "release": f"{profile.version.major}.{profile.version.minor}.{profile.version.micro}",
        "package": profile.version.package,
        "machine": profile.machine,
        "target": profile.target,
        "kvm": profile.wants_kvm,
        "cpu_model": profile.cpu_model,
        "cpu_features": [dict(word) for word in profile.cpu_features],
        "guest": kept.guest,
        "status": kept.status,
        "taken": profile.taken,
        "command_line": argv,
        "domain_xml": redact.domain_xml(kept.domain_xml),
    }
    found = replace(stream.vmdesc, extra={"migratable": document})
    return replace(stream, vmdesc=replace(found, raw=vmdesc.dump(found)))


def kept_in(stream: Stream) -> Kept | None:
    """What a stream's trailer keeps of its VM; None in streams of others, or of another schema.

    :raise StreamError: when the member is there and damaged.
    """
    found = None if stream.vmdesc is None else stream.vmdesc.extra.get("migratable")
    if not isinstance(found, dict) or found.get("schema") != SCHEMA:
        return None
    from migratable.profile.model import Profile  # noqa: PLC0415 -- captures only

    take = _Reader(found, stream.vmdesc.offset if stream.vmdesc is not None else None)
    try:
        version = QemuVersion.parse(take.text("release"))
    except ValueError as error:
        raise take.error("release", str(error)) from None
    argv = take.texts("command_line")
    if argv and not _PROGRAM.fullmatch(argv[0]):
        argv = argv[1:] if argv[0].startswith("-") else ()
    kvm = found.get("kvm") is True
    return Kept(
        profile=Profile(
            version=QemuVersion(version.major, version.minor, version.micro, take.text("package")),
            machine=take.text("machine"),
            target=take.text("target"),
            cpu_model=take.text("cpu_model"),
            cpu_features=take.mappings("cpu_features"),
            accelerator="kvm" if kvm else "tcg",
            wants_kvm=kvm,
            command_line=argv,
            notes=("taken from a running VM",),
            taken=take.text("taken"),
        ),
        guest=take.text("guest"),
        status=take.text("status"),
        domain_xml=take.text("domain_xml"),
    )


class _Reader:
    """Takes members out of the document; a wrong type is an error with its place."""

    def __init__(self, document: Mapping[str, Any], offset: int | None) -> None:
        self._document = document
        self._offset = offset

    def error(self, name: str, why: str) -> StreamError:
        return StreamError(why, offset=self._offset, path=f"vmdesc.migratable.{name}")

    def text(self, name: str) -> str:
        value = self._document.get(name, "")
        if not isinstance(value, str):
            raise self.error(name, f"text expected, got {type(value).__name__}")
        return value

    def _list(self, name: str) -> list[Any]:
        value = self._document.get(name, [])
        if not isinstance(value, list) or len(value) > _MOST_WORDS:
            raise self.error(name, f"list of at most {_MOST_WORDS} expected")
        return value

    def texts(self, name: str) -> tuple[str, ...]:
        found = self._list(name)
        if not all(isinstance(one, str) and "\0" not in one for one in found):
            raise self.error(name, "words expected")
        return tuple(found)

    def mappings(self, name: str) -> tuple[Mapping[str, Any], ...]:
        found = self._list(name)
        if not all(isinstance(one, dict) for one in found):
            raise self.error(name, "objects expected")
        return tuple(found)
