"""QEMU's VMState loader over the destination's own tables.

This is ``migration/vmstate.c: vmstate_load_state`` and ``vmstate_subsection_load`` (4.1 to 11.1,
whose shape never changed) with the tables that :mod:`migratable.profile.memory` read from the
paused destination. What a field's ``get`` function does is in :mod:`.infos`; virtio's blob is in
:mod:`.virtio`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from migratable.check import devices, events
from migratable.check import field_exists as existence
from migratable.check.guide import SIZED, Guide
from migratable.check.problem import (
    EIO,
    MessageRef,
    Problem,
    RefusedError,
    UnexaminedError,
)
from migratable.check.qemu_file import QemuFile, StreamEndError
from migratable.check.registry import look
from migratable.check.state import LoadedState, Memory
from migratable.facts import targets
from migratable.profile.model import Profile
from migratable.profile.tables import LOAD_HOOKS, Flag, Handler, LoaderTables, VmField
from migratable.stream.vmdesc import VmsdBody

# Plain integers: operations on enum.IntFlag would take half of a replay's time.
_ALLOC = int(Flag.ALLOC)
_ARRAY = int(Flag.ARRAY)
_ARRAY_OF_POINTER = int(Flag.ARRAY_OF_POINTER)
_AUTO_ALLOC = int(Flag.ARRAY_OF_POINTER_AUTO_ALLOC)
_MULTIPLY = int(Flag.MULTIPLY)
_MULTIPLY_ELEMENTS = int(Flag.MULTIPLY_ELEMENTS)
_MUST_EXIST = int(Flag.MUST_EXIST)
_POINTER = int(Flag.POINTER)
_STRUCT = int(Flag.STRUCT)
_VARRAY_INT32 = int(Flag.VARRAY_INT32)
_VBUFFER = int(Flag.VBUFFER)
_VSTRUCT = int(Flag.VSTRUCT)
_MOST_ELEMENTS = 1 << 24
#: Bytes that every host has for a field that the loader allocates.
_MOST_ALLOCATED = 1 << 28
#: Where ``assert(first_elem || !n_elems || !size)`` stands in Debian's builds (11.1: not measured).
_ASSERTION = {
    (5, 2): ("../../migration/vmstate.c", 124),
    (7, 2): ("../../migration/vmstate.c", 118),
}
_LAST_ASSERTION = ("migration/vmstate.c", 172)
_DEEPEST = 64
#: Longer arrays of plain structures are passed over at once.
_FEW = 64
_SUBSECTION = 0x05
#: ``'0'`` and ``'1'`` before an element of an array that the loader allocates.
_MARKERS = {0x30: False, 0x31: True}

Get = Callable[["Loader", LoadedState, VmField, int, int], None]


@dataclass(slots=True)
class Loader:
    """Loads one section; made anew for each.

    :ivar wire: the section's bytes.
    :ivar memory: the destination's words, shared by all sections of a stream.
    :ivar exists: whether the destination's own stream has a field, by (description, field) index.
    :ivar sizes: bytes of fields in the destination's own stream, by description and field name.
    :ivar follow: body descriptions of the stream itself, used where nothing else tells.
    :ivar problems: what rules said that does not refuse.
    :ivar trusted: whether all code that a description may have was read on this target.
    :ivar unexamined: what was not; the section was followed all the same.
    """

    tables: LoaderTables
    profile: Profile
    release: tuple[int, int]
    wire: QemuFile
    memory: Memory
    handler: Handler
    exists: dict[tuple[int, int], bool] = field(default_factory=dict)
    sizes: dict[tuple[int, str], int] = field(default_factory=dict)
    own: bool = False
    own_body: LoadedState | None = None
    problems: list[Problem] = field(default_factory=list)
    unchecked: list[str] = field(default_factory=list)
    trusted: bool = True
    unexamined: list[str] = field(default_factory=list)
    depth: int = 0
    trail: list[str] = field(default_factory=list)
    _stated: int | None = None
    _elements: int = 1

    # -- words and errors -----------------------------------------------------------------------

    def show(self, point: object) -> None:
        """Show a point to its rules.

        :raise RefusedError: when one of them refuses (warnings before it are kept).
        """
        if self.own:
            return
        for problem in look(point):
            if problem.refuses:
                raise RefusedError(problem, self.release)
            self.problems.append(problem)

    def refuse(self, rule: str, summary: str, *words: MessageRef, errno: int = 22) -> RefusedError:
        """Make the error that stops the loader here."""
        return RefusedError(
            Problem(rule=rule, summary=summary, words=words, errno=errno), self.release
        )

    # -- bodies ---------------------------------------------------------------------------------

    def state(  # noqa: PLR0917 -- vmstate_load_state has as many
        self,
        index: int,
        opaque: int,
        version: int,
        parent: LoadedState | None,
        description: VmsdBody | None,
        own: LoadedState | None = None,
    ) -> LoadedState:
        """Load one body: ``vmstate_load_state``.

        :param description: the same body as the stream's vmdesc has it, None without one.
        :raise RefusedError: where QEMU returns an error.
        :raise UnexaminedError: where it cannot be followed.
        """
        vmsd = self.tables.vmsds[index]
        body = LoadedState(
            index=index, vmsd=vmsd, opaque=opaque, version=version, parent=parent, own=own
        )
        self.begun(body)
        if not vmsd.name:
            raise UnexaminedError("a description that the destination has as a stub alone")
        if self.depth > _DEEPEST:
            raise UnexaminedError(f"{vmsd.name} is nested too deeply")
        self.show(events.BodyBegun(release=self.release, vmsd=vmsd, version=version))
        if version < vmsd.minimum and "load_old" in vmsd.hooks:
            raise UnexaminedError(f"{vmsd.name} version {version} is read by a hand-written loader")
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
        for position, item in enumerate(vmsd.fields):
            self._field(body, position, item, guide)
        self._subsections(body, description)
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

    def _examined(self, name: str) -> None:
        target = self.profile.target
        if not targets.examined(target, name):
            self.unexamined.append(targets.unexamined(target, name))

    def begun(self, body: LoadedState) -> None:
        """A body is about to be loaded; for those who watch what is read of it."""

    def _hook(self, body: LoadedState, link: str, point: object) -> None:
        """Show a hook's point; a refusal gets the link that 10.2 and later put around it."""
        vmsd = body.vmsd
        try:
            self.show(point)
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

    # -- fields ---------------------------------------------------------------------------------

    def _exists(self, body: LoadedState, position: int, item: VmField, guide: Guide) -> bool:
        if not item.test:
            return item.version <= body.version
        if item.info == "pci config":
            masks = self.tables.pci.get(self.handler.idstr)
            if masks is not None:  # hw/pci/pci.c: migrate_is_pcie, migrate_is_not_pcie
                return item.size == len(masks.config)
        told = existence.told(body, item, self.profile, self.memory)
        if told is not None:
            return told
        if self.own and guide.known:
            found = guide.has(position)
            self.exists.setdefault((body.index, position), found)
            return found
        known = self.exists.get((body.index, position))
        if known is not None and body.version == body.vmsd.version:
            if guide.known and guide.has(position) != known:
                self._differs(body, item, here=known)
            return known
        if item.flags & _MUST_EXIST:
            return True  # what is not modelled is not judged
        if guide.known:
            self.unchecked.append(
                f"whether {body.vmsd.name}:{item.name} is read was taken from the stream"
            )
            return guide.has(position)
        if known is not None:
            return known
        raise UnexaminedError(f"whether {body.vmsd.name}:{item.name} is read is not known")

    def _differs(self, body: LoadedState, item: VmField, *, here: bool) -> None:
        if existence.is_state(body, item):
            raise UnexaminedError(
                f"whether {body.vmsd.name}:{item.name} is read depends on the guest's state"
            )
        self.trail.append(
            f"{body.vmsd.name}:{item.name} is {'read' if here else 'not read'} by the destination "
            f"and was {'not sent' if here else 'sent'}"
        )

    def _count(self, body: LoadedState, item: VmField) -> int:
        count = 1
        if item.flags & _ARRAY:
            count = item.num
        elif item.counter is not None:
            offset, width = item.counter
            value = self.memory.get(body.opaque + offset, width)
            if value is None:
                raise UnexaminedError(f"the length of {body.vmsd.name}:{item.name} is not known")
            if item.flags & _VARRAY_INT32 and value >> 31:
                value -= 1 << 32
            count = value
        if item.flags & _MULTIPLY_ELEMENTS:
            count *= item.num
        return count

    def _size(self, body: LoadedState, item: VmField) -> int:
        if not item.flags & _VBUFFER:
            return item.size
        size = self.memory.get(body.opaque + item.size_offset, 4)
        if size is None:
            raise UnexaminedError(f"the size of {body.vmsd.name}:{item.name} is not known")
        if size >> 31:
            raise UnexaminedError(f"{body.vmsd.name}:{item.name} has a negative size")
        return size * item.size if item.flags & _MULTIPLY else size

    def _field(self, body: LoadedState, position: int, item: VmField, guide: Guide) -> None:
        if not self._exists(body, position, item, guide):
            body.missing.add(item.name)
            if item.flags & _MUST_EXIST:
                self.show(events.FieldMissing(release=self.release, body=body, field=item))
            return
        count = self._count(body, item)
        size = self._size(body, item)
        if count > _MOST_ELEMENTS:
            raise UnexaminedError(f"{body.vmsd.name}:{item.name} has {count} elements")
        first = body.opaque + item.offset
        if item.flags & _POINTER:
            if item.flags & _ALLOC and not 0 <= size * count <= _MOST_ALLOCATED:
                raise UnexaminedError(
                    f"{body.vmsd.name}:{item.name} wants {size * count} bytes of the host's memory"
                )
            if item.flags & _ALLOC and size * count:
                self.memory.set(first, 8, self.memory.allocate(size * count))
            first = self._pointer(body, item, first, size * count)
        descriptions, self._stated = guide.take(position, count)
        self._elements = max(count, 1)
        if self.own and self._stated is not None:
            self.sizes.setdefault((body.index, item.name), self._stated)
        structs = item.flags & (_STRUCT | _VSTRUCT)
        if not structs and not item.flags & _ARRAY_OF_POINTER and self._bulk(body, item, count):
            return
        if count > _FEW and structs & _STRUCT and not item.flags & _ARRAY_OF_POINTER:
            width = self._simple(item.vmsd)
            if width is not None:
                try:
                    body.values[item.name] = self.wire.view(width * count)
                except StreamEndError:
                    raise self._short(body, item) from None
                return
        own = body.own.children.get(item.name, ()) if body.own is not None else ()
        stride = item.stride if item.flags & _ARRAY_OF_POINTER else size
        for number in range(count):
            element = first + stride * number
            if item.flags & _AUTO_ALLOC:
                if not self._marked(body, item):
                    continue
                element = self.memory.allocate(size)
            elif item.flags & _ARRAY_OF_POINTER:
                pointer = self.memory.get(element, 8)
                if pointer is None:
                    raise UnexaminedError(
                        f"which elements of {body.vmsd.name}:{item.name} exist is not known"
                    )
                element = pointer
                if not element and stride:
                    self._null(body, item)
                    continue
            try:
                if structs:
                    inner = self.tables.vmsds[item.vmsd] if item.vmsd is not None else None
                    if item.vmsd is None or inner is None:
                        raise UnexaminedError(f"{body.vmsd.name}:{item.name} has no description")
                    child = self.state(
                        item.vmsd,
                        element,
                        inner.version if structs & _STRUCT else item.struct_version,
                        body,
                        descriptions[number] if number < len(descriptions) else None,
                        own[number] if number < len(own) else None,
                    )
                    body.children.setdefault(item.name, []).append(child)
                else:
                    self.element(body, item, element, size, descriptions)
            except RefusedError as refused:
                refused.old(("field-error", {"vmsd": body.vmsd.name, "field": item.name}))
                raise
            except StreamEndError:
                raise self._short(body, item) from None

    def _simple(self, index: int | None) -> int | None:
        """Bytes of a body of plain numbers alone, None when it has to be looked at."""
        vmsd = None if index is None else self.tables.vmsds[index]
        if vmsd is None or vmsd.subsections or vmsd.hooks & LOAD_HOOKS:
            return None
        size = 0
        for item in vmsd.fields:
            plain = PLAIN.get(item.info)
            if item.info in SIZED and not item.flags & _VBUFFER:
                plain = item.size
            if item.test or plain is None or item.version > vmsd.version:
                return None
            if item.counter is not None or item.flags & (_POINTER | _ARRAY_OF_POINTER):
                return None
            size += plain * (item.num if item.flags & _ARRAY else 1)
        return size

    def _pointer(self, body: LoadedState, item: VmField, at: int, needed: int) -> int:
        """Follow a pointer of the destination; the program aborts when it must not be null.

        :raise RefusedError: when nothing is there and something is to be loaded.
        """
        found = self.memory.get(at, 8)
        if found == 0 and needed > 0 and not self.own:
            if self.profile.stand_in:
                raise UnexaminedError(f"{body.vmsd.name}:{item.name} may be there under KVM only")
            file, line = _ASSERTION.get(self.release, _LAST_ASSERTION)
            raise RefusedError(
                Problem(
                    rule="layout",
                    summary=f"nothing is there to load {body.vmsd.name}:{item.name} into",
                    explanation="The program aborts. The device was started with other options.",
                    words=(("pointer-assertion", {"file": file, "line": line}),),
                    field=item.name,
                    facts={"aborts": True},
                ),
                self.release,
            )
        return found or 0

    def _bulk(self, body: LoadedState, item: VmField, count: int) -> bool:
        """Read plain numbers at once; False when each element has to be looked at."""
        width = PLAIN.get(item.info)
        if width is None:
            return False
        try:
            if count == 1:
                value = self.wire.unsigned(width)
                body.values[item.name] = value
                if not item.flags & _POINTER:
                    self.memory.set(body.opaque + item.offset, _stored(item, width), value)
            elif count > 0:
                body.values[item.name] = self.wire.view(width * count)
        except StreamEndError:
            raise self._short(body, item) from None
        return True

    def element(
        self,
        body: LoadedState,
        item: VmField,
        element: int,
        size: int,
        descriptions: tuple[VmsdBody, ...],
    ) -> None:
        """Read one element with its type's ``get`` function."""
        from migratable.check.vmstate_types import Reading, get  # noqa: PLC0415 -- it needs this module

        try:
            get(Reading(self, body, item, element, size, descriptions))
        except RefusedError as refused:
            # 11.0: what is said for itself is handed on without a link around it
            bare = self.release >= (11, 0) and (
                item.info == "tmp" or item.info.endswith((" equal", " le"))
            )
            if not bare and not refused.problem.facts.get("ended"):
                refused.link(
                    (
                        "element-error",
                        {"type": item.info, "field": item.name, "ret": -refused.errno},
                    )
                )
            raise

    def stated_size(self, body: LoadedState, item: VmField) -> int | None:
        """Bytes of an element of the field that is being read, as the stream itself states them."""
        return None if self._stated is None else self._stated // self._elements

    def own_size(self, body: LoadedState, item: VmField) -> int | None:
        """Bytes of the field in the destination's own stream."""
        return self._stated if self.own else self.sizes.get((body.index, item.name))

    def _null(self, body: LoadedState, item: VmField) -> None:
        try:
            marker = self.wire.unsigned(1)
        except StreamEndError:
            raise self._short(body, item) from None
        try:
            self.show(
                events.ElementRead(release=self.release, vmsd=body.vmsd, field=item, marker=marker)
            )
        except RefusedError as refused:
            refused.old(("field-error", {"vmsd": body.vmsd.name, "field": item.name}))
            if self.release < (11, 0):
                refused.link(
                    (
                        "element-error",
                        {"type": "nullptr", "field": item.name, "ret": -refused.errno},
                    )
                )
            raise

    def _marked(self, body: LoadedState, item: VmField) -> bool:
        """``vmstate_ptr_marker_load`` of 11.1: whether an element follows."""
        try:
            marker = self.wire.unsigned(1)
        except StreamEndError:
            raise self._short(body, item) from None
        if marker not in _MARKERS:
            raise self.refuse(
                "layout",
                f"{body.vmsd.name}:{item.name}: {marker} stands where an element is announced",
                ("pointer-marker", {"marker": marker}),
            )
        return _MARKERS[marker]

    def _short(self, body: LoadedState, item: VmField) -> RefusedError:
        """The stream ended inside a field (``qemu_file_get_error``)."""
        refused = RefusedError(
            Problem(
                rule="stream-broken",
                summary=f"the stream ends inside {body.vmsd.name}:{item.name}",
                errno=EIO,
                facts={"ended": True},
            ),
            self.release,
        )
        refused.old(("field-error", {"vmsd": body.vmsd.name, "field": item.name}))
        refused.link(("state-stream-error", {"vmsd": body.vmsd.name, "errno": -EIO}))
        return refused

    # -- subsections ----------------------------------------------------------------------------

    def _subsections(self, body: LoadedState, description: VmsdBody | None) -> None:
        """``vmstate_subsection_load``: as long as the next byte says that one follows."""
        vmsd = body.vmsd
        own_name = vmsd.name.encode("ascii", "replace")
        while True:
            head = self.wire.peek(2)
            if len(head) < 2 or head[0] != _SUBSECTION or head[1] < len(own_name) + 1:
                return
            name = bytes(self.wire.peek(head[1], 2))
            if len(name) != head[1] or not name.startswith(own_name):
                return
            text = name.split(b"\0")[0].decode("utf-8", "surrogateescape")
            index = next(
                (sub for sub in vmsd.subsections if self.tables.vmsds[sub].name == text), None
            )
            self.show(
                events.SubsectionMet(
                    release=self.release, parent=vmsd, name=text, known=index is not None
                )
            )
            if index is None:
                raise UnexaminedError(f"subsection {text} of the destination's own stream")
            self.wire.skip(2 + head[1])
            version = self.wire.unsigned(4) & 0xFF
            inner = (
                next((sub for sub in description.subsections if sub.name == text), None)
                if description is not None
                else None
            )
            try:
                body.subsections[text] = self.state(
                    index,
                    body.opaque,
                    version,
                    body,
                    inner,
                    body.own.subsections.get(text) if body.own is not None else None,
                )
            except RefusedError as refused:
                refused.link(
                    (
                        "subsection-failed",
                        {"subsection": text, "vmsd": vmsd.name, "ret": -refused.errno},
                    )
                )
                raise


def _stored(item: VmField, width: int) -> int:
    """Width in memory of a number: ``int32`` types are stored as they come."""
    return item.size if item.size in {1, 2, 4, 8} and item.info == "bool" else width


#: Types whose elements are plain numbers: width on the wire in bytes.
PLAIN: dict[str, int] = {
    "bool": 1,
    "int8": 1,
    "uint8": 1,
    "int16": 2,
    "uint16": 2,
    "int32": 4,
    "uint32": 4,
    "int64": 8,
    "uint64": 8,
    "float64": 8,
    "CPU_Double_U": 8,
    "timer": 8,
    "fpr": 8,
    "vsr": 8,
    "slbe": 16,
}
