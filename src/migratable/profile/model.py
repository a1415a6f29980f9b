"""A destination as a value: everything that a prediction needs, in one file.

JSON (``migratable.profile/1``): one object whose binary members are zlib-compressed and
base64-encoded. Members are added, never renamed; a reader takes files of its own schema number.
"""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from migratable.errors import ProfileError
from migratable.members import SPARSE, MalformedError, members, read
from migratable.printable import quoted
from migratable.profile.host_kvm import HostKvm
from migratable.profile.tables import LoaderTables
from migratable.releases import QemuVersion

SCHEMA = "migratable.profile/1"
_STREAM_LIMIT = 256 << 20
_FILE_LIMIT = 256 << 20
_MOST_VALUES = 4_000_000
"""JSON values of a profile; real ones have some ten thousand, and each takes 60 bytes or more."""


@dataclass(frozen=True, kw_only=True)
class Profile:
    """What a destination is.

    Not slotted: one member is computed when it is first asked for.

    :ivar program: words that started the program.
    :ivar version: release with the distribution's package.
    :ivar machine: the machine type's canonical name, ``pc-q35-10.0``.
    :ivar cpu_model: CPU type without the target's suffix, ``power9_v2.2``, ``qemu64``.
    :ivar pvr: processor version register on ppc64, else None.
    :ivar stream: the machine's own stream without RAM contents; empty when it refuses to save
        itself (then :attr:`no_stream` says why).
    :ivar suppress_vmdesc: the machine's own streams have no vmdesc and it expects none
        (``-machine suppress-vmdesc=on``, types of 2.2 and before); :attr:`stream` has one all the
        same.
    :ivar ram_blocks: block name to (used, maximum) bytes, in the destination's order.
    :ivar block_page_sizes: block name to the page size of its backing, bytes.
    :ivar cpu_features: x86: CPUID words that the guest sees, as ``query feature-words`` has them.
    :ivar loader: the loader's own tables, None when they were not read.
    :ivar kernel: release of the host's kernel on which the profile was taken.
    :ivar accelerator: under which it was taken.
    :ivar wants_kvm: did the command line ask for KVM?
    :ivar kvmclock: was the section ``kvmclock`` added, which a machine under TCG has not?
    :ivar kvm_decides: what only the destination's KVM tells and may be decisive, in words; of a
        profile that was taken under TCG in the place of KVM.
    :ivar host_kvm: what the host's KVM can do; None unless it was taken under KVM.
    :ivar command_line: the user's words.
    :ivar inert: the words that were started.
    :ivar stderr: what the program printed at its start, without its name.
    :ivar refused: what the program printed when it refused the line as it is for an option of the
        host's side that it lacks; the profile is of the machine without it.
    :ivar assumed_blocks: RAM blocks whose size is a guess (their image is absent), and why.
    :ivar assumed_sections: last parts of idstrs whose layout is a guess for the same, and why.
    :ivar assumed_backends: last parts of idstrs whose backend is poorer than the real one, and why;
        what is refused for the backend is then not known.
    :ivar refuses_itself: what the program printed when it refused to load :attr:`stream`; tried on
        targets whose code was not read wholly.
    :ivar notes: what was replaced by what.
    :ivar unchecked: what so was not examined.
    :ivar taken: when, UTC, ISO 8601.
    """

    version: QemuVersion
    machine: str
    target: str = ""
    program: tuple[str, ...] = ()
    cpu_model: str = ""
    pvr: int | None = None
    stream: bytes = field(default=b"", repr=False)
    no_stream: str = ""
    suppress_vmdesc: bool = False
    ram_blocks: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    block_page_sizes: Mapping[str, int] = field(default_factory=dict)
    cpu_features: tuple[Mapping[str, Any], ...] = field(default=(), repr=False)
    loader: LoaderTables | None = field(default=None, repr=False)
    kernel: str = ""
    accelerator: str = "tcg"
    wants_kvm: bool = False
    kvmclock: bool = False
    kvm_decides: tuple[str, ...] = ()
    host_kvm: HostKvm | None = field(default=None, repr=False, metadata=SPARSE)
    command_line: tuple[str, ...] = ()
    inert: tuple[str, ...] = ()
    stderr: tuple[str, ...] = ()
    refused: tuple[str, ...] = ()
    assumed_blocks: Mapping[str, str] = field(default_factory=dict, metadata=SPARSE)
    assumed_sections: Mapping[str, str] = field(default_factory=dict, metadata=SPARSE)
    assumed_backends: Mapping[str, str] = field(default_factory=dict, metadata=SPARSE)
    refuses_itself: tuple[str, ...] = field(default=(), metadata=SPARSE)
    notes: tuple[str, ...] = ()
    unchecked: tuple[str, ...] = ()
    taken: str = ""

    @property
    def stand_in(self) -> bool:
        """Was it taken under TCG in the place of the KVM that the command line asks for?"""
        return self.wants_kvm and self.accelerator != "kvm"

    def to_json(self) -> dict[str, Any]:
        """One object for a file."""
        version = self.version
        return {
            "schema": SCHEMA,
            **members(self),
            "version": {
                "number": f"{version.major}.{version.minor}.{version.micro}",
                "package": version.package,
            },
            "stream": _packed(zlib.compress(self.stream, 6)) if self.stream else None,
            "ram_blocks": [[name, *sizes] for name, sizes in self.ram_blocks.items()],
            # Never read by migratable, but another program may expect these members.
            "compat_properties": None,
            "pci_devices": [],
            "virtio": {},
            "vmstate": None,
        }

    def dumps(self) -> str:
        """JSON text of :meth:`to_json`, one line."""
        return json.dumps(self.to_json(), separators=(",", ":"))

    @classmethod
    def loads(cls, text: str | bytes, *, origin: str = "profile") -> Profile:
        """Read :meth:`dumps`' text.

        :param origin: where the text is from, for messages.
        :raise ProfileError: When it is no profile, of another schema, or damaged; with the place.
        """
        if len(text) > _FILE_LIMIT:
            raise ProfileError(f"{origin}: {len(text)} bytes are too many for a profile")
        _count_values(text, origin)
        try:
            document = json.loads(text, parse_constant=_no_constant)
        except (ValueError, RecursionError) as error:
            raise ProfileError(f"{origin}: not JSON: {error}") from None
        return cls.from_json(document, origin=origin)

    @classmethod
    def from_json(cls, document: object, *, origin: str = "profile") -> Profile:
        """Read :meth:`to_json`'s object; raises as :meth:`loads` does."""
        if not isinstance(document, dict) or "schema" not in document:
            raise ProfileError(f"{origin}: no profile (it has no member 'schema')")
        schema = document["schema"]
        if schema != SCHEMA:
            raise ProfileError(
                f"{origin}: schema {quoted(schema)}; this program reads {SCHEMA!r}. "
                "Take the profile again, or use the program that wrote it"
            )
        try:
            return read(cls, document, **_in_forms_of_their_own(document, origin))
        except MalformedError as error:
            raise ProfileError(f"{origin}: {error}") from None


def _in_forms_of_their_own(document: Mapping[str, Any], origin: str) -> dict[str, Any]:
    """Members of a profile that are not in the object as they are in the class."""
    loader, host = document.get("loader"), document.get("host_kvm")
    return {
        "version": _version(document.get("version")),
        "stream": _stream(document.get("stream"), origin),
        "ram_blocks": _blocks(document.get("ram_blocks", [])),
        "loader": None if loader is None else LoaderTables.from_json(loader),
        "host_kvm": None if host is None else HostKvm.from_json(host, origin=origin),
    }


def _version(value: object) -> QemuVersion:
    if not isinstance(value, dict):
        raise MalformedError("version", "object expected")
    try:
        number = QemuVersion.parse(str(value.get("number", "")))
    except ValueError as error:
        raise MalformedError("version", str(error)) from None
    return replace(number, package=str(value.get("package", "")))


def _blocks(value: object) -> dict[str, tuple[int, int]]:
    if not isinstance(value, list):
        raise MalformedError("ram_blocks", "list expected")
    out: dict[str, tuple[int, int]] = {}
    for place, row in enumerate(value):
        if (
            not isinstance(row, list)
            or len(row) != 3
            or not isinstance(row[0], str)
            or not all(type(size) is int and 0 <= size < 1 << 64 for size in row[1:])
        ):
            raise MalformedError(
                f"ram_blocks[{place}]", "[name, used bytes, maximum bytes] expected"
            )
        out[row[0]] = (row[1], row[2])
    return out


def _stream(value: object, origin: str) -> bytes:
    if value is None:
        return b""
    if not isinstance(value, str):
        raise MalformedError("stream", "base64 text expected")
    try:
        data = base64.b64decode(value, validate=True)
    except ValueError as error:  # binascii.Error is one
        raise MalformedError("stream", f"not base64 ({error})") from None
    return _inflate(data, _STREAM_LIMIT, f"{origin}: stream") if data else b""


def _count_values(text: str | bytes, origin: str) -> None:
    if isinstance(text, bytes):
        count = text.count(b",") + text.count(b"[") + text.count(b"{")
    else:
        count = text.count(",") + text.count("[") + text.count("{")
    if count > _MOST_VALUES:
        raise ProfileError(f"{origin}: {count} values, more than {_MOST_VALUES}, are not a profile")


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is not a JSON number")


def _packed(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def _inflate(data: bytes, limit: int, place: str) -> bytes:
    machine = zlib.decompressobj()
    try:
        out = machine.decompress(data, limit)
    except zlib.error as error:
        raise ProfileError(f"{place}: damaged ({error})") from None
    if not machine.eof:
        why = f"more than {limit} bytes" if machine.unconsumed_tail else "cut short"
        raise ProfileError(f"{place}: damaged: {why}")
    return out
