"""What is changed in a stream, as data: edits, and the plan that they make.

A plan is written for one stream and can be carried out on a later one of the same VM: every change
names the bytes that it expects, and nothing is changed where others are found.
"""

from __future__ import annotations

import enum
import json
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from migratable.errors import PlanError
from migratable.members import MalformedError, members, most, named, read
from migratable.printable import quoted
from migratable.regular_file import open_regular

SCHEMA = "migratable.plan/1"
_U32 = most(0xFFFFFFFF)
_MOST_EDITS = 10_000
_MOST_BYTES = 64 << 20


class EditClass(enum.StrEnum):
    """The effect of an edit on the guest, smallest first.

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
    """The kind of change, and the part of the stream.

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
    """Replaced bytes.

    :ivar offset: of *old* in the body (configuration: behind its type byte 0x07) as the edits
        before this one left it; None: at the end.
    :ivar old: bytes that must be there; empty when bytes are inserted.
    :ivar new: bytes that take their place; equal to *old* when they are only looked at.
    :ivar name: of the field, for reports.
    """

    name: str = ""
    offset: int | None = field(default=None, metadata=_U32)
    old: bytes
    new: bytes

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

    section_id: int = field(metadata=_U32)
    version_id: int = field(metadata=_U32)
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
    edit_class: EditClass = field(metadata=named("class"))
    operation: Operation
    section: str | None
    instance_id: int = field(default=0, metadata=_U32)
    repeat: int = field(default=0, metadata=_U32)
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
        for change in sorted(self.changes, key=_by_offset):
            # Appended bytes are the last ones, after all earlier edits.
            offset = None if change.offset is None else change.offset + shift
            changes.append(replace(change, old=change.new, new=change.old, offset=offset))
            shift += len(change.new) - len(change.old)
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
        return members(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Edits in the order in which they are made.

    :ivar source: name of the source: a file, a domain.
    :ivar destination: name of the destination.
    """

    source: str = ""
    destination: str = ""
    edits: tuple[StreamEdit, ...]

    def inverse(self) -> Plan:
        """The plan that gives the original again."""
        return Plan(
            edits=tuple(edit.inverse() for edit in reversed(self.edits)),
            source=self.destination,
            destination=self.source,
        )

    def to_json(self) -> dict[str, Any]:
        """The contract ``migratable.plan/1``."""
        return {"schema": SCHEMA, **members(self)}

    @classmethod
    def from_json(cls, document: object, *, name: str = "the plan") -> Plan:
        """Read what :meth:`to_json` gave.

        :param name: of the file, for errors.
        :raise PlanError: when it is something else, with the place.
        """
        try:
            return _plan(document)
        except MalformedError as error:
            place = f" at {error.place}" if error.place else ""
            raise PlanError(
                f"{name}{place}: {error.message}; write a new plan with "
                "'migratable convert … --plan FILE'"
            ) from None

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


def _plan(document: object) -> Plan:
    schema = document.get("schema") if isinstance(document, dict) else SCHEMA
    if schema != SCHEMA:
        raise MalformedError("", f"schema {SCHEMA!r} expected, got {quoted(schema)}")
    plan = read(Plan, document)
    if len(plan.edits) > _MOST_EDITS:
        raise MalformedError("edits", f"more than {_MOST_EDITS} edits")
    seen: set[str] = set()
    for number, edit in enumerate(plan.edits):
        _see_consistent(edit, f"edits[{number}]")
        if edit.id in seen:
            raise MalformedError("edits", f"the id {quoted(edit.id)} occurs twice")
        seen.add(edit.id)
    return plan


def _see_consistent(edit: StreamEdit, where: str) -> None:
    """See that an operation has all that it needs."""
    whole = edit.operation in {Operation.DROP, Operation.ADD}
    if (edit.section is None) != (edit.operation is Operation.CONFIGURATION):
        raise MalformedError(where, "only edits of the configuration have no section")
    if whole and (edit.place is None or len(edit.changes) != 1):
        raise MalformedError(where, f"{edit.operation} needs its place and one change, the body")
    if not edit.changes:
        raise MalformedError(where, "an edit without changes")
    if edit.operation is Operation.HEADER:
        for change in edit.changes:
            if change.name not in {"idstr", "instance_id", "version_id"}:
                raise MalformedError(
                    where, f"{quoted(change.name)} is not a member of a section's header"
                )
            if change.name != "idstr" and (len(change.old), len(change.new)) != (4, 4):
                raise MalformedError(where, f"{change.name} has four bytes")


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
