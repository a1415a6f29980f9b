"""A destination as a value: everything that a prediction needs, in one file to mail.

JSON (``migratable.profile/1``): one object whose binary members are zlib-compressed and
base64-encoded. Members are added, never renamed; a reader takes files of its own schema number.
"""

from __future__ import annotations

import base64
import binascii
import json
import math
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from migratable.errors import ProfileError
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
    :ivar assumed_blocks: RAM blocks whose size is a guess, as an image is not here, and why.
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
    host_kvm: HostKvm | None = field(default=None, repr=False)
    command_line: tuple[str, ...] = ()
    inert: tuple[str, ...] = ()
    stderr: tuple[str, ...] = ()
    refused: tuple[str, ...] = ()
    assumed_blocks: Mapping[str, str] = field(default_factory=dict)
    assumed_sections: Mapping[str, str] = field(default_factory=dict)
    assumed_backends: Mapping[str, str] = field(default_factory=dict)
    refuses_itself: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    unchecked: tuple[str, ...] = ()
    taken: str = ""

    @property
    def stand_in(self) -> bool:
        """Was it taken under TCG in the place of the KVM that the command line asks for?"""
        return self.wants_kvm and self.accelerator != "kvm"

    def to_json(self) -> dict[str, Any]:
        """One object for a file."""
        return {
            "schema": SCHEMA,
            "version": {
                "number": f"{self.version.major}.{self.version.minor}.{self.version.micro}",
                "package": self.version.package,
            },
            "machine": self.machine,
            "target": self.target,
            "program": list(self.program),
            "cpu_model": self.cpu_model,
            "pvr": self.pvr,
            "stream": _packed(zlib.compress(self.stream, 6)) if self.stream else None,
            "no_stream": self.no_stream,
            "suppress_vmdesc": self.suppress_vmdesc,
            "ram_blocks": [[name, *sizes] for name, sizes in self.ram_blocks.items()],
            "block_page_sizes": dict(self.block_page_sizes),
            "cpu_features": [dict(word) for word in self.cpu_features],
            "loader": None if self.loader is None else self.loader.to_json(),
            "kernel": self.kernel,
            "accelerator": self.accelerator,
            "wants_kvm": self.wants_kvm,
            "kvmclock": self.kvmclock,
            "kvm_decides": list(self.kvm_decides),
            **({} if self.host_kvm is None else {"host_kvm": self.host_kvm.to_json()}),
            "command_line": list(self.command_line),
            "inert": list(self.inert),
            "stderr": list(self.stderr),
            "refused": list(self.refused),
            **({"assumed_blocks": dict(self.assumed_blocks)} if self.assumed_blocks else {}),
            **({"assumed_sections": dict(self.assumed_sections)} if self.assumed_sections else {}),
            **({"assumed_backends": dict(self.assumed_backends)} if self.assumed_backends else {}),
            **({"refuses_itself": list(self.refuses_itself)} if self.refuses_itself else {}),
            "notes": list(self.notes),
            "unchecked": list(self.unchecked),
            "taken": self.taken,
            # Were never read; a program may expect the members.
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
        take = _Reader(document, origin)
        number = take.mapping("version")
        try:
            version = QemuVersion.parse(str(number.get("number", "")))
        except ValueError as error:
            raise ProfileError(f"{origin}: version: {error}") from None
        stream = take.binary("stream")
        loader = take.optional_mapping("loader")
        return cls(
            version=QemuVersion(
                version.major, version.minor, version.micro, str(number.get("package", ""))
            ),
            machine=take.text("machine"),
            target=take.text("target"),
            program=take.texts("program"),
            cpu_model=take.text("cpu_model"),
            pvr=take.optional_integer("pvr"),
            stream=_inflate(stream, _STREAM_LIMIT, f"{origin}: stream") if stream else b"",
            no_stream=take.text("no_stream"),
            suppress_vmdesc=take.boolean("suppress_vmdesc"),
            ram_blocks=take.blocks("ram_blocks"),
            block_page_sizes=take.integers("block_page_sizes"),
            cpu_features=take.mappings("cpu_features"),
            loader=None if loader is None else LoaderTables.from_json(loader),
            kernel=take.text("kernel"),
            accelerator=take.text("accelerator"),
            wants_kvm=take.boolean("wants_kvm"),
            kvmclock=take.boolean("kvmclock"),
            kvm_decides=take.texts("kvm_decides"),
            host_kvm=None
            if document.get("host_kvm") is None
            else HostKvm.from_json(document["host_kvm"], origin=origin),
            command_line=take.texts("command_line"),
            inert=take.texts("inert"),
            stderr=take.texts("stderr"),
            refused=take.texts("refused"),
            assumed_blocks=take.text_mapping("assumed_blocks"),
            assumed_sections=take.text_mapping("assumed_sections"),
            assumed_backends=take.text_mapping("assumed_backends"),
            refuses_itself=take.texts("refuses_itself"),
            notes=take.texts("notes"),
            unchecked=take.texts("unchecked"),
            taken=take.text("taken"),
        )


def _count_values(text: str | bytes, origin: str) -> None:
    if isinstance(text, bytes):
        count = text.count(b",") + text.count(b"[") + text.count(b"{")
    else:
        count = text.count(",") + text.count("[") + text.count("{")
    if count > _MOST_VALUES:
        raise ProfileError(f"{origin}: {count} values, more than {_MOST_VALUES}, are no profile")


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is no JSON number")


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


class _Reader:
    """Members of a document by type; a missing one has its type's empty value."""

    def __init__(self, document: Mapping[str, Any], origin: str) -> None:
        self._document = document
        self._origin = origin

    def _error(self, name: str, expected: str) -> ProfileError:
        return ProfileError(f"{self._origin}: {name}: expected {expected}")

    def text(self, name: str) -> str:
        value = self._document.get(name, "")
        if not isinstance(value, str):
            raise self._error(name, "a string")
        return value

    def boolean(self, name: str) -> bool:
        value = self._document.get(name, False)
        if not isinstance(value, bool):
            raise self._error(name, "true or false")
        return value

    def optional_integer(self, name: str) -> int | None:
        value = self._document.get(name)
        if value is not None and not _is_integer(value):
            raise self._error(name, "a number or null")
        return value

    def list(self, name: str) -> list[Any]:
        value = self._document.get(name, [])
        if not isinstance(value, list):
            raise self._error(name, "a list")
        return value

    def texts(self, name: str) -> tuple[str, ...]:
        values = self.list(name)
        for place, value in enumerate(values):
            if not isinstance(value, str):
                raise self._error(f"{name}[{place}]", "a string")
        return tuple(values)

    def mapping(self, name: str) -> dict[str, Any]:
        value = self._document.get(name, {})
        if not isinstance(value, dict):
            raise self._error(name, "an object")
        return value

    def optional_mapping(self, name: str) -> dict[str, Any] | None:
        return None if self._document.get(name) is None else self.mapping(name)

    def mappings(self, name: str) -> tuple[dict[str, Any], ...]:
        values = self.list(name)
        for place, value in enumerate(values):
            if not isinstance(value, dict):
                raise self._error(f"{name}[{place}]", "an object")
        return tuple(values)

    def text_mapping(self, name: str) -> dict[str, str]:
        found = self.mapping(name)
        for key, value in found.items():
            if not isinstance(value, str):
                raise self._error(f"{name}.{key}", "text")
        return found

    def integers(self, name: str) -> dict[str, int]:
        found = self.mapping(name)
        for key, value in found.items():
            if not _is_integer(value):
                raise self._error(f"{name}.{key}", "a number")
        return found

    def blocks(self, name: str) -> dict[str, tuple[int, int]]:
        out: dict[str, tuple[int, int]] = {}
        for place, value in enumerate(self.list(name)):
            if (
                not isinstance(value, list)
                or len(value) != 3
                or not isinstance(value[0], str)
                or not all(_is_integer(size) and 0 <= size < 1 << 64 for size in value[1:])
            ):
                raise self._error(f"{name}[{place}]", "[name, used bytes, maximum bytes]")
            out[value[0]] = (value[1], value[2])
        return out

    def binary(self, name: str) -> bytes:
        value = self._document.get(name)
        if value is None:
            return b""
        if not isinstance(value, str):
            raise self._error(name, "base64 text")
        try:
            return base64.b64decode(value, validate=True)
        except (binascii.Error, ValueError) as error:
            raise ProfileError(f"{self._origin}: {name}: not base64 ({error})") from None


def _is_integer(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and math.isfinite(value)
