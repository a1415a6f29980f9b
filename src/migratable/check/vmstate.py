"""``migration/vmstate.c`` over the destination's own tables.

Functions have the names that they have there, and all supported releases load alike; the tables
are those that :mod:`migratable.profile.memory` read from the paused destination. The ``get``
functions of field types are in :mod:`.vmstate_types`, what devices' own code refuses is in
:mod:`.devices`, and what a release prints on the way out of an error in :mod:`.stderr`.
"""

from __future__ import annotations

from dataclasses import dataclass

from migratable.check import devices, events, stderr
from migratable.check.array_fast import load_array_fast
from migratable.check.field_exists import depends_on_state, field_exists
from migratable.check.loader import Loader, Reading
from migratable.check.problem import RefusedError, UnexaminedError
from migratable.check.qemu_file import StreamEndError
from migratable.check.registry import ask_rules
from migratable.check.state import LoadedState
from migratable.check.vmdesc_cursor import VmdescCursor
from migratable.check.vmstate_flags import (
    VMS_ALLOC,
    VMS_ARRAY,
    VMS_ARRAY_OF_POINTER,
    VMS_ARRAY_OF_POINTER_AUTO_ALLOC,
    VMS_MULTIPLY,
    VMS_MULTIPLY_ELEMENTS,
    VMS_MUST_EXIST,
    VMS_POINTER,
    VMS_STRUCT,
    VMS_VARRAY_INT32,
    VMS_VBUFFER,
    VMS_VSTRUCT,
)
from migratable.check.vmstate_types import get
from migratable.profile.tables import VmField
from migratable.stream.vmdesc import VmsdBody

#: Limits of ours; no device of QEMU comes near them.
_MOST_ELEMENTS = 1 << 24
#: Bytes that every host has for a field that the loader allocates.
_MOST_ALLOCATED = 1 << 28
_DEEPEST = 64
#: ``'0'`` and ``'1'`` before an element of an array that the loader allocates.
_MARKERS = {0x30: False, 0x31: True}
#: The links that QEMU adds to a hook's error, by hook: with its errno, with its Error (``_errp``).
_HOOK_LINKS = {
    "pre_load": ("pre-load-hook", "pre-load-hook-error"),
    "post_load": ("post-load-hook", "post-load-hook-error"),
}


@dataclass(slots=True)
class VMStateLoader(Loader):
    """Loads one section of a source by the destination's tables."""

    def ask(self, event: object) -> None:
        """See :class:`.loader.Loader`."""
        for problem in ask_rules(event):
            if problem.refuses:
                raise RefusedError(problem, self.release)
            self.problems.append(problem)

    def unmodelled_field_exists(
        self, body: LoadedState, position: int, field: VmField, cursor: VmdescCursor
    ) -> bool:
        """Whether a field with an unmodelled test exists: as in the destination's own stream."""
        known = self.exists.get((body.index, position))
        if known is not None and body.version == body.vmsd.version:
            if cursor.known and cursor.has(position) != known:
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
        if cursor.known:
            sent = cursor.has(position)
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

    def record_size(self, body: LoadedState, field: VmField) -> None:
        """Nothing: only the destination's own sizes are kept."""

    def _hook(self, body: LoadedState, hook: str, event: object) -> None:
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
            link, error_link = _HOOK_LINKS[hook]
            if hook + "_errp" in vmsd.hooks:
                refused.link((error_link, words))
            else:
                refused.link((link, {**words, "ret": -refused.errno}))
            raise

    # -- migration/vmstate.c --------------------------------------------------------------------

    def vmstate_load_state(  # noqa: PLR0917 -- QEMU's parameters, and both sides' own bodies
        self,
        index: int,
        opaque: int,
        version_id: int,
        parent: LoadedState | None,
        description: VmsdBody | None,
        own: LoadedState | None = None,
    ) -> LoadedState:
        """See :class:`.loader.Loader`."""
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
                "pre_load",
                events.BodyEntered(
                    release=self.release,
                    body=body,
                    idstr=self.handler.idstr,
                    profile=self.profile,
                ),
            )
        self.depth += 1
        cursor = VmdescCursor(description, vmsd)
        for position, field in enumerate(vmsd.fields):
            if self.vmstate_field_exists(body, position, field, cursor):
                self.vmstate_load_field(body, position, field, cursor)
                continue
            body.missing.add(field.name)
            if field.flags & VMS_MUST_EXIST:
                self.ask(events.FieldMissing(release=self.release, body=body, field=field))
        self.vmstate_subsection_load(body, description)
        self.depth -= 1
        if not self.trusted and vmsd.has_own_code:
            self.note_unaudited(vmsd.name)
        if "post_load" in vmsd.hooks or "post_load_errp" in vmsd.hooks:
            self._hook(
                body,
                "post_load",
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
        self, body: LoadedState, position: int, field: VmField, cursor: VmdescCursor
    ) -> bool:
        """Whether a field is read: its test, or its version."""
        if not field.test:
            return field.version <= body.version
        told = field_exists(body, field, self.profile, self.memory, self.handler.idstr)
        return self.unmodelled_field_exists(body, position, field, cursor) if told is None else told

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
        self, body: LoadedState, position: int, field: VmField, cursor: VmdescCursor
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
        descriptions, self.stated = cursor.next_field(position, n_elems)
        self.elements = max(n_elems, 1)
        if self.stated is not None:
            self.record_size(body, field)
        if load_array_fast(self, body, field, n_elems):
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
                raise self.file_error(body, field) from None

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
            raise self.file_error(body, field) from None

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
