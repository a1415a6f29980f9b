"""``migration/vmstate.c`` over the destination's own tables.

Functions have the names that they have there, and all supported releases load alike; the tables
are those that :mod:`migratable.profile.memory` read from the paused destination. The ``get``
functions of field types are in :mod:`.vmstate_types`, what devices' own code refuses is in
:mod:`.devices`, and what a release prints on the way out of an error in :mod:`.stderr`.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import ClassVar

from migratable.check import devices, events, stderr
from migratable.check.field_exists import depends_on_state, field_exists
from migratable.check.guide import SIZED, Guide
from migratable.check.problem import (
    EINVAL,
    EIO,
    MessageRef,
    Problem,
    RefusedError,
    UnexaminedError,
)
from migratable.check.qemu_file import Reader, StreamEndError
from migratable.check.registry import look
from migratable.check.state import LoadedState, Memory
from migratable.check.vmstate_types import PLAIN, Reading, get
from migratable.facts import targets
from migratable.profile.model import Profile
from migratable.profile.tables import LOAD_HOOKS, Flag, Handler, LoaderTables, VmField
from migratable.stream.vmdesc import VmsdBody
from migratable.unchecked import Code, Unchecked

# Plain integers: operations on enum.IntFlag would take half of a replay's time.
VMS_ALLOC = int(Flag.ALLOC)
VMS_ARRAY = int(Flag.ARRAY)
VMS_ARRAY_OF_POINTER = int(Flag.ARRAY_OF_POINTER)
VMS_ARRAY_OF_POINTER_AUTO_ALLOC = int(Flag.ARRAY_OF_POINTER_AUTO_ALLOC)
VMS_MULTIPLY = int(Flag.MULTIPLY)
VMS_MULTIPLY_ELEMENTS = int(Flag.MULTIPLY_ELEMENTS)
VMS_MUST_EXIST = int(Flag.MUST_EXIST)
VMS_POINTER = int(Flag.POINTER)
VMS_STRUCT = int(Flag.STRUCT)
VMS_VARRAY_INT32 = int(Flag.VARRAY_INT32)
VMS_VBUFFER = int(Flag.VBUFFER)
VMS_VSTRUCT = int(Flag.VSTRUCT)
#: Limits of ours; no device of QEMU comes near them.
_MOST_ELEMENTS = 1 << 24
#: Bytes that every host has for a field that the loader allocates.
_MOST_ALLOCATED = 1 << 28
_DEEPEST = 64
#: Longer arrays of plain structures are passed over at once.
_FEW = 64
#: ``'0'`` and ``'1'`` before an element of an array that the loader allocates.
_MARKERS = {0x30: False, 0x31: True}


@dataclass(slots=True)
class VMStateLoader:
    """Loads one section of a source; one loader per section.

    :ivar f: the section's bytes.
    :ivar memory: the destination's words, shared by all sections of a stream.
    :ivar exists: whether the destination's own stream has a field, by (description, field) index.
    :ivar sizes: bytes of fields in the destination's own stream, by description and field name.
    :ivar problems: what rules said that does not refuse.
    :ivar trusted: whether all code that a description may have was read on this target.
    :ivar unexamined: what was not; the section was followed all the same.
    :ivar notes: where both sides do not read the same fields, for what follows from it.
    """

    tables: LoaderTables
    profile: Profile
    f: Reader
    memory: Memory
    handler: Handler
    exists: dict[tuple[int, int], bool] = dataclasses.field(default_factory=dict)
    sizes: dict[tuple[int, str], int] = dataclasses.field(default_factory=dict)
    problems: list[Problem] = dataclasses.field(default_factory=list)
    unchecked: list[Unchecked] = dataclasses.field(default_factory=list)
    trusted: bool = True
    unexamined: list[Unchecked] = dataclasses.field(default_factory=list)
    notes: list[str] = dataclasses.field(default_factory=list)
    depth: int = 0
    stated: int | None = None
    elements: int = 1
    is_baseline: ClassVar[bool] = False

    @property
    def release(self) -> tuple[int, int]:
        """The destination's."""
        return self.profile.version.release

    # -- what a destination's own stream does otherwise (:class:`.baseline.BaselineLoader`) ------

    def ask(self, event: object) -> None:
        """Ask the rules about an event.

        :raise RefusedError: when one of them refuses (warnings before it are kept).
        """
        for problem in look(event):
            if problem.refuses:
                raise RefusedError(problem, self.release)
            self.problems.append(problem)

    def untold(self, body: LoadedState, position: int, field: VmField, guide: Guide) -> bool:
        """Whether a field with an unmodelled test exists: as in the destination's own stream."""
        known = self.exists.get((body.index, position))
        if known is not None and body.version == body.vmsd.version:
            if guide.known and guide.has(position) != known:
                if depends_on_state(body, field):
                    raise UnexaminedError(
                        f"whether {body.vmsd.name}:{field.name} is read depends on the guest's "
                        "state"
                    )
                self.notes.append(
                    f"{body.vmsd.name}:{field.name} is {'read' if known else 'not read'} by the "
                    f"destination and was {'not sent' if known else 'sent'}"
                )
            return known
        if guide.known:
            sent = guide.has(position)
            if known is not None and sent != known:
                raise UnexaminedError(
                    f"whether {body.vmsd.name}:{field.name} is read of version {body.version}"
                )
            self.not_examined(
                f"whether {body.vmsd.name}:{field.name} is read was taken from the stream"
            )
            return sent
        if known is not None:
            return known
        raise UnexaminedError(f"whether {body.vmsd.name}:{field.name} is read is not known")

    def stating(self, body: LoadedState, field: VmField) -> None:
        """The bytes of a field are stated in the vmdesc (:attr:`stated`)."""

    def null_pointer(self, body: LoadedState, field: VmField) -> None:
        """A pointer that the load needs is null: the program aborts."""
        if self.profile.stand_in:
            text = f"{body.vmsd.name}:{field.name} may be there under KVM only"
            raise UnexaminedError(text, Code.KVM)
        raise RefusedError(
            Problem(
                rule="layout",
                summary=f"the pointer {body.vmsd.name}:{field.name} is NULL on the destination",
                explanation="The program aborts. The device was started with other options.",
                words=(stderr.pointer_assertion(self.release),),
                field=field.name,
                aborts=True,
            ),
            self.release,
        )

    def unknown(self, reason: str) -> None:
        """The destination's value for a comparison is not known."""
        raise UnexaminedError(reason)

    def not_examined(self, what: str) -> None:
        """The replay skipped something that the destination may check."""
        self.unchecked.append(Unchecked(what, Code.NOT_FOLLOWED))

    def local(self, body: LoadedState, name: str, _sent: int) -> int | None:
        """The destination's own value for data without an address in any table."""
        return None if body.own is None else body.own.number(name)

    def local_size(self, body: LoadedState, field: VmField) -> int | None:
        """Bytes of a field in the destination's own stream."""
        return self.sizes.get((body.index, field.name))

    def stated_size(self) -> int | None:
        """Bytes of an element of the current field, as the stream's vmdesc states them."""
        return None if self.stated is None else self.stated // self.elements

    def _examined(self, name: str) -> None:
        target = self.profile.target
        if not targets.examined(target, name):
            self.unexamined.append(Unchecked(targets.unexamined(target, name), Code.TARGET))

    # -- errors ---------------------------------------------------------------------------------

    def refuse(
        self, rule: str, summary: str, *words: MessageRef, errno: int = EINVAL
    ) -> RefusedError:
        """Make the error that stops the loader here."""
        return RefusedError(
            Problem(rule=rule, summary=summary, words=words, errno=errno), self.release
        )

    def _hook(self, body: LoadedState, link: str, event: object) -> None:
        """Ask about a hook; a refusal gets the link that QEMU adds to a hook's error."""
        vmsd = body.vmsd
        try:
            self.ask(event)
        except RefusedError as refused:
            words: dict[str, str | int] = {
                "vmsd": vmsd.name,
                "version": vmsd.version,
                "minimum": vmsd.minimum,
            }
            if link.replace("-hook", "").replace("-", "_") + "_errp" in vmsd.hooks:
                refused.link((f"{link}-error", words))
            else:
                refused.link((link, {**words, "ret": -refused.errno}))
            raise

    def _file_error(self, body: LoadedState, field: VmField) -> RefusedError:
        """The stream ended inside a field (``qemu_file_get_error``)."""
        refused = RefusedError(
            Problem(
                rule="stream-broken",
                summary=f"the stream ends inside {body.vmsd.name}:{field.name}",
                errno=EIO,
            ),
            self.release,
            ended=True,
        )
        refused.old(("field-error", {"vmsd": body.vmsd.name, "field": field.name}))
        refused.link(("state-stream-error", {"vmsd": body.vmsd.name, "errno": -EIO}))
        return refused

    # -- migration/vmstate.c --------------------------------------------------------------------

    def vmstate_load_state(  # noqa: PLR0917 -- vmstate_load_state has as many
        self,
        index: int,
        opaque: int,
        version_id: int,
        parent: LoadedState | None,
        description: VmsdBody | None,
        own: LoadedState | None = None,
    ) -> LoadedState:
        """Load one body.

        :param index: of its description.
        :param description: the same body as the stream's vmdesc has it, None without one.
        :param own: the same body as the destination itself sends it.
        :raise RefusedError: where QEMU returns an error.
        :raise UnexaminedError: where it cannot be followed.
        """
        vmsd = self.tables.vmsds[index]
        body = LoadedState(
            index=index,
            vmsd=vmsd,
            opaque=opaque,
            version=version_id,
            parent=parent,
            own=own,
            values=self.f.new_values(),
        )
        if not vmsd.name:
            raise UnexaminedError("a description that is only a stub on the destination")
        if self.depth > _DEEPEST:
            raise UnexaminedError(f"{vmsd.name} is nested too deeply")
        self.ask(events.BodyBegun(release=self.release, vmsd=vmsd, version=version_id))
        if version_id < vmsd.minimum and "load_old" in vmsd.hooks:
            raise UnexaminedError(
                f"{vmsd.name} version {version_id} is read by a hand-written loader"
            )
        if "pre_load" in vmsd.hooks or "pre_load_errp" in vmsd.hooks:
            devices.prepare(body, self.memory, self.profile)
            self._hook(
                body,
                "pre-load-hook",
                events.BodyEntered(
                    release=self.release,
                    body=body,
                    idstr=self.handler.idstr,
                    profile=self.profile,
                ),
            )
        self.depth += 1
        guide = Guide(description, vmsd)
        for position, field in enumerate(vmsd.fields):
            if self.vmstate_field_exists(body, position, field, guide):
                self.vmstate_load_field(body, position, field, guide)
                continue
            body.missing.add(field.name)
            if field.flags & VMS_MUST_EXIST:
                self.ask(events.FieldMissing(release=self.release, body=body, field=field))
        self.vmstate_subsection_load(body, description)
        self.depth -= 1
        if not self.trusted and vmsd.has_own_code:
            self._examined(vmsd.name)
        if "post_load" in vmsd.hooks or "post_load_errp" in vmsd.hooks:
            self._hook(
                body,
                "post-load-hook",
                events.BodyLoaded(
                    release=self.release,
                    body=body,
                    idstr=self.handler.idstr,
                    instance_id=self.handler.instance_id,
                    profile=self.profile,
                ),
            )
        return body

    def vmstate_field_exists(
        self, body: LoadedState, position: int, field: VmField, guide: Guide
    ) -> bool:
        """Whether a field is read: its test, or its version."""
        if not field.test:
            return field.version <= body.version
        told = field_exists(body, field, self.profile, self.memory, self.handler.idstr)
        return self.untold(body, position, field, guide) if told is None else told

    def vmstate_n_elems(self, body: LoadedState, field: VmField) -> int:
        """Number of a field's elements."""
        n_elems = 1
        if field.flags & VMS_ARRAY:
            n_elems = field.num
        elif field.counter is not None:
            offset, width = field.counter
            value = self.memory.get(body.opaque + offset, width)
            if value is None:
                raise UnexaminedError(f"the length of {body.vmsd.name}:{field.name} is not known")
            if field.flags & VMS_VARRAY_INT32 and value >> 31:
                value -= 1 << 32
            n_elems = value
        if field.flags & VMS_MULTIPLY_ELEMENTS:
            n_elems *= field.num
        return n_elems

    def vmstate_size(self, body: LoadedState, field: VmField) -> int:
        """Bytes of one element in memory."""
        if not field.flags & VMS_VBUFFER:
            return field.size
        size = self.memory.get(body.opaque + field.size_offset, 4)
        if size is None:
            raise UnexaminedError(f"the size of {body.vmsd.name}:{field.name} is not known")
        if size >> 31:
            raise UnexaminedError(f"{body.vmsd.name}:{field.name} has a negative size")
        return size * field.size if field.flags & VMS_MULTIPLY else size

    def vmstate_handle_alloc(self, pointer: int, field: VmField, size: int) -> None:
        """Allocate the target of a field's pointer."""
        if not (field.flags & VMS_POINTER and field.flags & VMS_ALLOC):
            return
        if not 0 <= size <= _MOST_ALLOCATED:
            raise UnexaminedError(f"{field.name} allocates {size} bytes")
        if size:
            self.memory.set(pointer, 8, self.memory.allocate(size))

    def vmstate_load_field(
        self, body: LoadedState, position: int, field: VmField, guide: Guide
    ) -> None:
        """Load all elements of a field: the loop inside ``vmstate_load_state``."""
        n_elems = self.vmstate_n_elems(body, field)
        size = self.vmstate_size(body, field)
        if n_elems > _MOST_ELEMENTS:
            raise UnexaminedError(f"{body.vmsd.name}:{field.name} has {n_elems} elements")
        first_elem = body.opaque + field.offset
        self.vmstate_handle_alloc(first_elem, field, size * n_elems)
        if field.flags & VMS_POINTER:
            pointer = self.memory.get(first_elem, 8)
            if pointer == 0 and n_elems and size:
                self.null_pointer(body, field)
            # Its target is not known: a separate object that nothing else has filled.
            first_elem = pointer or self.memory.allocate(size)
        descriptions, self.stated = guide.take(position, n_elems)
        self.elements = max(n_elems, 1)
        if self.stated is not None:
            self.stating(body, field)
        if self._at_once(body, field, n_elems):
            return
        own = body.own.children.get(field.name, ()) if body.own is not None else ()
        stride = field.stride if field.flags & VMS_ARRAY_OF_POINTER else size
        for i in range(n_elems):
            curr_elem = first_elem + stride * i
            if field.flags & VMS_ARRAY_OF_POINTER_AUTO_ALLOC:
                if not self.vmstate_ptr_marker_load(body, field):
                    continue
                curr_elem = self.memory.allocate(size)
            elif field.flags & VMS_ARRAY_OF_POINTER:
                known = self.memory.get(curr_elem, 8)
                if known is None:
                    raise UnexaminedError(
                        f"which elements of {body.vmsd.name}:{field.name} exist is not known"
                    )
                curr_elem = known
                if not curr_elem and stride:
                    self.get_nullptr(body, field)
                    continue
            try:
                if field.flags & (VMS_STRUCT | VMS_VSTRUCT):
                    if field.vmsd is None:
                        raise UnexaminedError(f"{body.vmsd.name}:{field.name} has no description")
                    child = self.vmstate_load_state(
                        field.vmsd,
                        curr_elem,
                        self.tables.vmsds[field.vmsd].version
                        if field.flags & VMS_STRUCT
                        else field.struct_version,
                        body,
                        descriptions[i] if i < len(descriptions) else None,
                        own[i] if i < len(own) else None,
                    )
                    body.children.setdefault(field.name, []).append(child)
                else:
                    self._get(Reading(self, body, field, curr_elem, size, descriptions))
            except RefusedError as refused:
                refused.old(("field-error", {"vmsd": body.vmsd.name, "field": field.name}))
                raise
            except StreamEndError:
                raise self._file_error(body, field) from None

    def _get(self, reading: Reading) -> None:
        """``field->info->get``, with the link that QEMU adds to its error."""
        field = reading.field
        try:
            get(reading)
        except RefusedError as refused:
            if not refused.ended and stderr.links_element(self.release, field.info):
                refused.link(
                    (
                        "element-error",
                        {"type": field.info, "field": field.name, "ret": -refused.errno},
                    )
                )
            raise

    def get_nullptr(self, body: LoadedState, field: VmField) -> None:
        """``vmstate_info_nullptr``: the byte for a missing element."""
        marker = self._get_byte(body, field)
        try:
            self.ask(
                events.ElementRead(release=self.release, vmsd=body.vmsd, field=field, marker=marker)
            )
        except RefusedError as refused:
            refused.old(("field-error", {"vmsd": body.vmsd.name, "field": field.name}))
            if stderr.links_element(self.release, "nullptr"):
                refused.link(
                    (
                        "element-error",
                        {"type": "nullptr", "field": field.name, "ret": -refused.errno},
                    )
                )
            raise

    def vmstate_ptr_marker_load(self, body: LoadedState, field: VmField) -> bool:
        """Whether an element follows in an array that the loader allocates."""
        marker = self._get_byte(body, field)
        if marker not in _MARKERS:
            raise self.refuse(
                "layout",
                f"{body.vmsd.name}:{field.name}: invalid pointer marker {marker:#04x}",
                ("pointer-marker", {"marker": marker}),
            )
        return _MARKERS[marker]

    def _get_byte(self, body: LoadedState, field: VmField) -> int:
        try:
            return self.f.get_be(1)
        except StreamEndError:
            raise self._file_error(body, field) from None

    # -- many elements at once ------------------------------------------------------------------

    def _at_once(self, body: LoadedState, field: VmField, n_elems: int) -> bool:
        """Read plain numbers, or many structures of them; False if each must be loaded alone."""
        if field.flags & VMS_ARRAY_OF_POINTER:
            return False
        if not field.flags & (VMS_STRUCT | VMS_VSTRUCT):
            width = PLAIN.get(field.info)
            if width is None:
                return False
            try:
                self._numbers(body, field, width, n_elems)
            except StreamEndError:
                raise self._file_error(body, field) from None
            return True
        if n_elems <= _FEW or not field.flags & VMS_STRUCT:
            return False
        width = self._plain_width(field.vmsd)
        if width is None:
            return False
        try:
            body.values[field.name] = self.f.get_stored(width * n_elems)
        except StreamEndError:
            raise self._file_error(body, field) from None
        return True

    def _numbers(self, body: LoadedState, field: VmField, width: int, n_elems: int) -> None:
        if n_elems == 1:
            value = int.from_bytes(self.f.get_stored(width), "big")
            body.values[field.name] = value
            if not field.flags & VMS_POINTER:
                self.memory.load(body.opaque + field.offset, width, value)
        elif n_elems > 1:
            body.values[field.name] = self.f.get_stored(width * n_elems)

    def _plain_width(self, index: int | None) -> int | None:
        """Bytes of a body of plain numbers only; None if it must be loaded field by field."""
        vmsd = None if index is None else self.tables.vmsds[index]
        if vmsd is None or vmsd.subsections or vmsd.hooks & LOAD_HOOKS:
            return None
        size = 0
        for field in vmsd.fields:
            plain = PLAIN.get(field.info)
            if field.info in SIZED and not field.flags & VMS_VBUFFER:
                plain = field.size
            if field.test or plain is None or field.version > vmsd.version:
                return None
            if field.counter is not None or field.flags & (VMS_POINTER | VMS_ARRAY_OF_POINTER):
                return None
            size += plain * (field.num if field.flags & VMS_ARRAY else 1)
        return size

    # -- subsections ----------------------------------------------------------------------------

    def vmstate_subsection_load(self, body: LoadedState, description: VmsdBody | None) -> None:
        """Load subsections as long as the next byte begins one of this body."""
        vmsd = body.vmsd
        own_name = vmsd.name.encode("ascii", "replace")
        while self.f.subsection_follows():
            head = self.f.peek_buffer(2)
            if len(head) < 2 or head[1] < len(own_name) + 1:
                return
            name = bytes(self.f.peek_buffer(head[1], 2))
            if len(name) != head[1] or not name.startswith(own_name):
                return
            idstr = name.split(b"\0")[0].decode("utf-8", "surrogateescape")
            index = self.vmstate_get_subsection(vmsd.subsections, idstr)
            self.ask(
                events.SubsectionMet(
                    release=self.release, parent=vmsd, name=idstr, known=index is not None
                )
            )
            if index is None:
                raise UnexaminedError(f"subsection {idstr} of the destination's own stream")
            self.f.skip(2 + head[1])
            version_id = self.f.get_be(4) & 0xFF
            described = () if description is None else description.subsections
            try:
                body.subsections[idstr] = self.vmstate_load_state(
                    index,
                    body.opaque,
                    version_id,
                    body,
                    next((sub for sub in described if sub.name == idstr), None),
                    body.own.subsections.get(idstr) if body.own is not None else None,
                )
            except RefusedError as refused:
                refused.link(
                    (
                        "subsection-failed",
                        {"subsection": idstr, "vmsd": vmsd.name, "ret": -refused.errno},
                    )
                )
                raise

    def vmstate_get_subsection(self, subsections: tuple[int, ...], idstr: str) -> int | None:
        """Index of the description of that name, None without one."""
        return next((sub for sub in subsections if self.tables.vmsds[sub].name == idstr), None)
