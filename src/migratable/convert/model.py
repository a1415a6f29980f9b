"""What is changed in a stream, as data: edits, and the plan that they make.

A plan is written for one stream and can be carried out on a later one of the same VM: every change
names the bytes that it expects, and nothing is changed where others are found.
"""

from __future__ import annotations

import enum
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NoReturn

from migratable.errors import PlanError
from migratable.printable import quoted
from migratable.regular_file import open_regular

SCHEMA = "migratable.plan/1"
_MOST_EDITS = 10_000
_MOST_BYTES = 64 << 20


class EditClass(enum.StrEnum):
    """What an edit means to the guest, smallest first.

    ``LOSSLESS``: what is dropped or added says what the destination assumes without it.
    ``EQUIVALENT``: another form of the same state.
    ``LOSSY``: the guest may notice; only made when the user accepts it by its id.
    """

    LOSSLESS = "lossless"
    EQUIVALENT = "equivalent"
    LOSSY = "lossy"

    @property
    def rank(self) -> int:
        """0 is the smallest."""
        return tuple(EditClass).index(self)


class Operation(enum.StrEnum):
    """What is done to which part of the stream.

    ``BODY``: bytes inside a section's body. ``HEADER``: a section's idstr, instance id or version.
    ``DROP``, ``ADD``: a whole section. ``CONFIGURATION``: bytes of the configuration section.
    """

    BODY = "body"
    HEADER = "header"
    DROP = "drop-section"
    ADD = "add-section"
    CONFIGURATION = "configuration"


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """Bytes that are replaced.

    :ivar offset: of *old* in the body (configuration: behind its type byte 0x07) as the edits
        before this one left it; None: at the end.
    :ivar old: bytes that must be there; empty when bytes are inserted.
    :ivar new: bytes that take their place; equal to *old* when they are only looked at.
    :ivar name: of the field, for reports.
    """

    old: bytes
    new: bytes
    offset: int | None = None
    name: str = ""

    @property
    def only_looks(self) -> bool:
        """Whether nothing is changed here, only compared."""
        return self.old == self.new


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Header and place of a section that is dropped or added.

    :ivar after: idstr, instance id and number among equals of the section before it; None: before
        all device sections.
    """

    section_id: int
    version_id: int
    footer: bool = True
    after: tuple[str, int, int] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamEdit:
    """One edit.

    :ivar id: unique in its plan and the same whenever the same edit is found again; what
        ``--accept`` takes: ``unknown-section:0000:00:05.0/virtio-rng``.
    :ivar kind: of the proposal that made it, whose page says more (``virtio-queue-size``).
    :ivar section: idstr, None for the configuration section.
    :ivar repeat: how many sections of that idstr and instance id come before it (7.2 and before
        send ``slirp`` once for each user-mode netdev).
    :ivar path: subsection and field names, outermost first.
    :ivar changes: of HEADER one each, named ``idstr``, ``instance_id`` or ``version_id``; of DROP
        and ADD one, the whole body.
    :ivar place: of DROP and ADD, else None.
    :ivar described: vmdesc JSON of what is dropped or added, empty when there is none.
    :ivar summary: the edit in words.
    :ivar why: why it is safe.
    :ivar risk: what the guest may notice, empty unless lossy.
    :ivar rule: id of the rule whose finding it answers.
    """

    id: str
    kind: str
    edit_class: EditClass
    operation: Operation
    section: str | None
    instance_id: int = 0
    repeat: int = 0
    path: tuple[str, ...] = ()
    changes: tuple[Change, ...] = ()
    place: Place | None = None
    described: str = field(default="", repr=False)
    summary: str = ""
    why: str = ""
    risk: str = ""
    rule: str = ""

    def inverse(self) -> StreamEdit:
        """The edit that takes this one back."""
        shift = 0
        changes: list[Change] = []
        for one in sorted(self.changes, key=_by_offset):
            # Appended bytes are the last ones, wherever the end is then.
            offset = None if one.offset is None else one.offset + shift
            changes.append(replace(one, old=one.new, new=one.old, offset=offset))
            shift += len(one.new) - len(one.old)
        swapped = {Operation.DROP: Operation.ADD, Operation.ADD: Operation.DROP}
        edit = replace(
            self,
            operation=swapped.get(self.operation, self.operation),
            changes=tuple(changes),
        )
        if self.operation is Operation.HEADER:
            for one in self.changes:
                if one.name == "idstr":
                    edit = replace(edit, section=_text(one.new))
                elif one.name == "instance_id":
                    edit = replace(edit, instance_id=int.from_bytes(one.new, "big"))
        return edit

    def to_json(self) -> dict[str, Any]:
        """As a plan and ``migratable.convert/1`` have it; bytes in hexadecimal."""
        return {
            "id": self.id,
            "kind": self.kind,
            "class": str(self.edit_class),
            "operation": str(self.operation),
            "section": self.section,
            "instance_id": self.instance_id,
            "repeat": self.repeat,
            "path": list(self.path),
            "changes": [
                {
                    "name": one.name,
                    "offset": one.offset,
                    "old": one.old.hex(),
                    "new": one.new.hex(),
                }
                for one in self.changes
            ],
            "place": None
            if self.place is None
            else {
                "section_id": self.place.section_id,
                "version_id": self.place.version_id,
                "footer": self.place.footer,
                "after": None if self.place.after is None else list(self.place.after),
            },
            "described": self.described,
            "summary": self.summary,
            "why": self.why,
            "risk": self.risk,
            "rule": self.rule,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Edits in the order in which they are carried out.

    :ivar source: name of the source: a file, a domain.
    :ivar destination: name of the destination.
    """

    edits: tuple[StreamEdit, ...] = ()
    source: str = ""
    destination: str = ""

    def inverse(self) -> Plan:
        """The plan that gives the original again."""
        return Plan(
            edits=tuple(edit.inverse() for edit in reversed(self.edits)),
            source=self.destination,
            destination=self.source,
        )

    def to_json(self) -> dict[str, Any]:
        """The contract ``migratable.plan/1``."""
        return {
            "schema": SCHEMA,
            "source": self.source,
            "destination": self.destination,
            "edits": [edit.to_json() for edit in self.edits],
        }

    @classmethod
    def from_json(cls, document: object, *, name: str = "the plan") -> Plan:
        """Read what :meth:`to_json` gave.

        :param name: of the file, for errors.
        :raise PlanError: when it is something else, with the place.
        """
        reader = _Reader(name)
        top = reader.members(document, "")
        if top.get("schema") != SCHEMA:
            reader.fail("", f"schema {SCHEMA!r} expected, got {quoted(top.get('schema'))}")
        edits = reader.items(top.get("edits"), "edits")
        if len(edits) > _MOST_EDITS:
            reader.fail("edits", f"more than {_MOST_EDITS} edits")
        plan = cls(
            edits=tuple(reader.edit(one, f"edits[{number}]") for number, one in enumerate(edits)),
            source=reader.text(top.get("source", ""), "source"),
            destination=reader.text(top.get("destination", ""), "destination"),
        )
        seen: set[str] = set()
        for edit in plan.edits:
            if edit.id in seen:
                reader.fail("edits", f"the id {quoted(edit.id)} comes twice")
            seen.add(edit.id)
        return plan

    @classmethod
    def load(cls, path: Path) -> Plan:
        """Read a plan's file.

        :raise PlanError: when it cannot be read, or is no plan.
        """
        try:
            with open_regular(path) as file:
                text = file.read(_MOST_BYTES + 1)
        except OSError as error:
            raise PlanError(f"{path} cannot be read: {error.strerror}") from None
        return cls.loads(text, name=str(path))

    @classmethod
    def loads(cls, text: str | bytes, *, name: str = "the plan") -> Plan:
        """Read a plan's JSON text.

        :raise PlanError: when it is no JSON or no plan.
        """
        if len(text) > _MOST_BYTES:
            raise PlanError(f"{name}: more than {_MOST_BYTES >> 20} MiB; no plan is that large")
        try:
            document = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise PlanError(f"{name} is not JSON: {error}") from None
        return cls.from_json(document, name=name)


class _Reader:
    """Checks types; every error names the place in the document."""

    def __init__(self, name: str) -> None:
        self._name = name

    def fail(self, where: str, message: str) -> NoReturn:
        place = f" at {where}" if where else ""
        raise PlanError(
            f"{self._name}{place}: {message}; write the plan anew with "
            "'migratable convert … --plan FILE'"
        )

    def members(self, value: object, where: str) -> Mapping[str, Any]:
        if not isinstance(value, dict):
            self.fail(where, f"object expected, got {type(value).__name__}")
        return value

    def items(self, value: object, where: str) -> Sequence[Any]:
        if not isinstance(value, list):
            self.fail(where, f"list expected, got {type(value).__name__}")
        return value

    def text(self, value: object, where: str) -> str:
        if not isinstance(value, str):
            self.fail(where, f"string expected, got {type(value).__name__}")
        return value

    def number(self, value: object, where: str) -> int:
        if type(value) is not int or not 0 <= value < 1 << 32:
            self.fail(where, f"number from 0 to 2^32 - 1 expected, got {quoted(value)}")
        return value

    def data(self, value: object, where: str) -> bytes:
        try:
            return bytes.fromhex(self.text(value, where))
        except ValueError:
            self.fail(where, "hexadecimal bytes expected")

    def edit(self, value: object, where: str) -> StreamEdit:
        one = self.members(value, where)
        try:
            edit_class = EditClass(self.text(one.get("class"), f"{where}.class"))
            operation = Operation(self.text(one.get("operation"), f"{where}.operation"))
        except ValueError as error:
            self.fail(where, str(error))
        section = one.get("section")
        edit = StreamEdit(
            id=self.text(one.get("id"), f"{where}.id"),
            kind=self.text(one.get("kind"), f"{where}.kind"),
            edit_class=edit_class,
            operation=operation,
            section=None if section is None else self.text(section, f"{where}.section"),
            instance_id=self.number(one.get("instance_id", 0), f"{where}.instance_id"),
            repeat=self.number(one.get("repeat", 0), f"{where}.repeat"),
            path=tuple(
                self.text(name, f"{where}.path")
                for name in self.items(one.get("path", []), f"{where}.path")
            ),
            changes=tuple(
                self.change(change, f"{where}.changes[{number}]")
                for number, change in enumerate(
                    self.items(one.get("changes", []), f"{where}.changes")
                )
            ),
            place=self.place(one.get("place"), f"{where}.place"),
            **{
                name: self.text(one.get(name, ""), f"{where}.{name}")
                for name in ("described", "summary", "why", "risk", "rule")
            },
        )
        self._consistent(edit, where)
        return edit

    def change(self, value: object, where: str) -> Change:
        one = self.members(value, where)
        offset = one.get("offset")
        return Change(
            old=self.data(one.get("old"), f"{where}.old"),
            new=self.data(one.get("new"), f"{where}.new"),
            offset=None if offset is None else self.number(offset, f"{where}.offset"),
            name=self.text(one.get("name", ""), f"{where}.name"),
        )

    def place(self, value: object, where: str) -> Place | None:
        if value is None:
            return None
        one = self.members(value, where)
        after = one.get("after")
        before: tuple[str, int, int] | None = None
        if after is not None:
            both = self.items(after, f"{where}.after")
            if len(both) != 3:
                self.fail(f"{where}.after", "idstr, instance id and a number expected")
            before = (
                self.text(both[0], f"{where}.after"),
                self.number(both[1], f"{where}.after"),
                self.number(both[2], f"{where}.after"),
            )
        return Place(
            section_id=self.number(one.get("section_id"), f"{where}.section_id"),
            version_id=self.number(one.get("version_id"), f"{where}.version_id"),
            footer=one.get("footer") is not False,
            after=before,
        )

    def _consistent(self, edit: StreamEdit, where: str) -> None:
        """See that an operation has all that it needs."""
        whole = edit.operation in {Operation.DROP, Operation.ADD}
        if (edit.section is None) != (edit.operation is Operation.CONFIGURATION):
            self.fail(where, "only edits of the configuration have no section")
        if whole and (edit.place is None or len(edit.changes) != 1):
            self.fail(where, f"{edit.operation} needs its place and one change, the body")
        if not edit.changes:
            self.fail(where, "an edit without changes")
        if edit.operation is Operation.HEADER:
            for one in edit.changes:
                if one.name not in {"idstr", "instance_id", "version_id"}:
                    self.fail(where, f"{quoted(one.name)} is no member of a section's header")
                if one.name != "idstr" and (len(one.old), len(one.new)) != (4, 4):
                    self.fail(where, f"{one.name} has four bytes")


def _by_offset(change: Change) -> tuple[bool, int]:
    return change.offset is None, change.offset or 0


def _text(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")


def not_accepted(edits: Iterable[StreamEdit], ids: Iterable[str]) -> tuple[StreamEdit, ...]:
    """Give the lossy edits that nobody accepted by id."""
    taken = set(ids)
    return tuple(
        edit for edit in edits if edit.edit_class is EditClass.LOSSY and edit.id not in taken
    )
