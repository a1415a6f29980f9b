"""The baseline of all replays: a destination's handlers, with the values of its own stream.

A destination writes its own stream when its profile is taken. Loading that first, with the tables
that it is to be loaded with, gives the values with which a source's are compared, tells which
optional fields the destination has, and shows where its tables are not understood.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property, reduce
from operator import or_
from typing import ClassVar

from migratable.check import command_line
from migratable.check.commands import Pages
from migratable.check.problem import RefusedError, UnexaminedError
from migratable.check.qemu_file import QemuFile, StreamEndError
from migratable.check.state import LoadedState, Memory
from migratable.check.vmdesc_cursor import VmdescCursor
from migratable.check.vmstate import VMStateLoader
from migratable.errors import MigratableError
from migratable.facts.code import code, is_known
from migratable.facts.sections import CPU
from migratable.profile.model import Profile
from migratable.profile.tables import Handler, LoaderTables, VmField
from migratable.stream import Stream, read
from migratable.stream.model import Section
from migratable.stream.wire_format import WHOLE


@dataclass(slots=True)
class BaselineSection:
    """Facts about a handler from the destination's own section.

    :ivar state: as it is before loading; None when it sends none, or it could not be followed.
    :ivar exists: whether it has a field, by (description, field) index.
    :ivar sizes: bytes of fields, by description and field name.
    :ivar unexamined: what could not be followed.
    """

    state: LoadedState | None = None
    exists: dict[tuple[int, int], bool] = field(default_factory=dict)
    sizes: dict[tuple[int, str], int] = field(default_factory=dict)
    consumed: int = 0
    size: int = 0
    unexamined: str = ""


class BaselineLoader(VMStateLoader):
    """Loads a destination's own section: refuses nothing, records everything."""

    __slots__ = ()
    is_baseline: ClassVar[bool] = True

    def ask(self, event: object) -> None:
        """Ask no rule: the destination loads its own stream."""

    def unmodelled_field_exists(
        self, body: LoadedState, position: int, field: VmField, cursor: VmdescCursor
    ) -> bool:
        """A field exists if the destination wrote it, then also for all sources."""
        if not cursor.known:
            return VMStateLoader.unmodelled_field_exists(self, body, position, field, cursor)
        exists = cursor.has(position)
        self.exists.setdefault((body.index, position), exists)
        return exists

    def record_size(self, body: LoadedState, field: VmField) -> None:
        """Keep the size of a field."""
        assert self.stated is not None
        self.sizes.setdefault((body.index, field.name), self.stated)

    def null_pointer(self, body: LoadedState, field: VmField) -> None:
        """The destination wrote the contents; the pointer was set later."""

    def unknown(self, reason: str) -> None:
        """There is nothing to compare with."""

    def not_examined(self, what: str) -> None:
        """The destination accepts its own value."""

    def local(self, _body: LoadedState, _name: str, sent: int) -> int | None:
        """The sent value is the destination's own."""
        return sent

    def local_size(self, _body: LoadedState, _field: VmField) -> int | None:
        """The size that is stated now."""
        return self.stated


class Baseline:
    """A profile that is prepared for replays.

    Keep it for many streams: each of the destination's own sections is loaded once.
    """

    def __init__(self, profile: Profile, tables: LoaderTables) -> None:
        """Index the handlers."""
        self.profile = profile
        self.tables = tables
        self.release = profile.version.release
        self._sections: dict[tuple[str, int], BaselineSection] = {}
        self._novel: dict[int, tuple[str, ...]] = {}
        self._stream: Stream | None = None
        self._by_name: dict[str, list[Handler]] = {}
        self._compat: dict[str, list[tuple[int, int]]] = {}
        self._position: dict[str, list[int]] = {}
        for position, handler in enumerate(tables.handlers):
            self._by_name.setdefault(handler.idstr, []).append(handler)
            self._position.setdefault(handler.idstr, []).append(position)
            if handler.compat is not None:
                name, compat_instance_id = handler.compat
                self._compat.setdefault(name, []).append((position, compat_instance_id))

    def find_se(self, idstr: str, instance_id: int) -> Handler | None:
        """``migration/savevm.c: find_se``: the first in the list that answers to the name.

        A device with a path answers to its bare name too, so that old streams load; it can take
        another device's section that way (``vga``: a PCI VGA before a vmware-svga).
        """
        instance_id &= 0xFFFFFFFF
        positions: list[int] = []
        for position in self._position.get(idstr, ()):
            se = self.tables.handlers[position]
            if instance_id in {se.instance_id & 0xFFFFFFFF, se.alias_id & 0xFFFFFFFF}:
                positions.append(position)
                break
        for position, compat_instance_id in self._compat.get(idstr, ()):
            se = self.tables.handlers[position]
            if idstr in se.idstr and instance_id in {
                compat_instance_id & 0xFFFFFFFF,
                se.alias_id & 0xFFFFFFFF,
            }:
                positions.append(position)
                break
        return self.tables.handlers[min(positions)] if positions else None

    def handlers_like(self, handler: Handler) -> int:
        """The number of handlers with this name and instance id, including this one."""
        named = self._by_name.get(handler.idstr, ())
        return sum(one.instance_id == handler.instance_id for one in named)

    def near(self, idstr: str) -> Iterator[str]:
        """Handlers of the same kind of device, with their instance ids."""
        kind = idstr.rpartition("/")[2]
        for name, handlers in self._by_name.items():
            if name.rpartition("/")[2] == kind:
                yield from (f"'{name}' {se.instance_id}" for se in handlers)

    @property
    def unmigratable(self) -> tuple[str, ...]:
        """Handlers for which the destination cannot migrate (``vmsd->unmigratable``)."""
        tables = self.tables
        return tuple(
            se.idstr
            for se in tables.handlers
            if se.vmsd is not None and tables.vmsds[se.vmsd].unmigratable
        )

    @property
    def own_cpu(self) -> LoadedState | None:
        """The state of the destination's own first CPU; None where it is not known."""
        return next((self.section(se).state for se in self._by_name.get(CPU, ())), None)

    @property
    def names(self) -> Mapping[str, list[Handler]]:
        """Handlers by idstr."""
        return self._by_name

    @property
    def stream(self) -> Stream | None:
        """The destination's own stream, None when it refuses to write one."""
        if self._stream is None and self.profile.stream:
            self._stream = read(self.profile.stream)
        return self._stream

    @cached_property
    def has_footers(self) -> bool:
        """Whether it reads a footer after each section (``migration.send-section-footer``)."""
        own = self.stream
        return own is None or not own.sections or own.sections[0].footer

    @cached_property
    def pages(self) -> Pages:
        """Sizes of the destination's pages, as far as they are known."""
        sizes = self.profile.block_page_sizes.values()
        known = sizes and not command_line.memory_in_files(self.profile)
        own = self.stream
        return Pages(
            host=reduce(or_, sizes) if known else None,
            target=None if own is None else own.page_size,
        )

    def section(self, handler: Handler) -> BaselineSection:
        """The destination's own section of a handler; cached."""
        key = (handler.idstr, handler.instance_id)
        known = self._sections.get(key)
        if known is None:
            known = self._sections[key] = self._load(handler)
        return known

    def _own_section(self, handler: Handler) -> Section | None:
        if self.stream is None:
            return None
        for section in self.stream.sections:
            if (
                section.kind in WHOLE
                and section.idstr == handler.idstr
                and section.instance_id & 0xFFFFFFFF == handler.instance_id & 0xFFFFFFFF
            ):
                return section
        return None

    def _load(self, handler: Handler) -> BaselineSection:
        own = BaselineSection()
        try:
            section = self._own_section(handler)
        except MigratableError as error:
            own.unexamined = str(error)
            return own
        if section is None or handler.vmsd is None:
            return own
        loader = BaselineLoader(
            tables=self.tables,
            profile=self.profile,
            f=QemuFile(section.body),
            memory=Memory(self.tables.words),
            handler=handler,
            exists=own.exists,
            sizes=own.sizes,
        )
        own.size = len(section.body)
        description = section.description
        try:
            own.state = loader.vmstate_load_state(
                handler.vmsd,
                handler.opaque,
                section.version_id,
                None,
                None if description is None else description.body,
            )
        except UnexaminedError as stopped:
            own.unexamined = stopped.reason
        except RefusedError as stopped:
            own.unexamined = str(stopped)
        except StreamEndError:
            own.unexamined = "the section is shorter than its tables"
        own.consumed = loader.f.pos
        if not own.unexamined and own.consumed != own.size:
            own.unexamined = (
                "the destination's own section is not understood: its tables take "
                f"{own.consumed} of {own.size} bytes"
            )
        return own

    @property
    def code_known(self) -> bool:
        """Whether the program is a known build, whose code was read."""
        return is_known(self.tables.build_id, self.tables.digests)

    def novelties(self, handler: Handler) -> tuple[str, ...]:
        """Code of a handler's tables that no known build near the release has; cached.

        Hooks, tests and validators: what they do is not known.
        """
        if self.tables.build_id is None or self.code_known or handler.vmsd is None:
            return ()
        novel = self._novel.get(handler.vmsd)
        if novel is None:
            roots = [handler.vmsd]
            live = self.tables.virtio.get(handler.idstr)
            if live is not None:
                roots += [*live.vmsds.values(), *self.tables.extra.values()]
            known = code()
            novel = self._novel[handler.vmsd] = tuple(
                text
                for index in self._reachable(roots)
                for text in known.novelties(
                    self.tables.vmsds[index].name,
                    self.tables.vmsds[index].hooks,
                    self.tables.vmsds[index].fields,
                    self.release,
                )
            )
        return novel

    def _reachable(self, roots: list[int]) -> list[int]:
        """All descriptions that these refer to, including themselves."""
        reached: dict[int, None] = {}
        waiting = list(roots)
        while waiting:
            index = waiting.pop()
            if index in reached:
                continue
            reached[index] = None
            vmsd = self.tables.vmsds[index]
            waiting += [item.vmsd for item in vmsd.fields if item.vmsd is not None]
            waiting += vmsd.subsections
        return sorted(reached)

    def not_understood(self) -> tuple[str, ...]:
        """Load the destination's own stream; return sections that its tables do not read in full.

        A build whose code reads something else than its tables as they were understood (a layout
        read wrongly, a type that reuses another's name) shows here, before any source is judged.
        """
        return tuple(
            f"{handler.idstr}: {own.unexamined}"
            for handler in self.tables.handlers
            if handler.vmsd is not None and (own := self.section(handler)).unexamined
        )
