"""A profile made ready for replays: handlers by name, and the destination's own bodies."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from migratable.check.problem import RefusedError, UnexaminedError
from migratable.check.qemu_file import QemuFile, StreamEndError
from migratable.check.state import LoadedState, Memory
from migratable.check.vmstate import Loader
from migratable.errors import MigratableError
from migratable.facts.code import code, is_known
from migratable.profile.model import Profile
from migratable.profile.tables import Handler, LoaderTables
from migratable.stream import SectionKind, Stream, read
from migratable.stream.model import Section


@dataclass(slots=True)
class Own:
    """What the destination's own section tells about its handler.

    :ivar body: as it is before loading; None when it sends none, or it could not be followed.
    :ivar why: what could not be followed.
    """

    body: LoadedState | None = None
    exists: dict[tuple[int, int], bool] = field(default_factory=dict)
    sizes: dict[tuple[int, str], int] = field(default_factory=dict)
    consumed: int = 0
    size: int = 0
    why: str = ""


class Destination:
    """One profile; keep it for many streams, since its own bodies are decoded once."""

    def __init__(self, profile: Profile, tables: LoaderTables) -> None:
        """Index the handlers."""
        self.profile = profile
        self.tables = tables
        self.release = profile.version.release
        self._own: dict[tuple[str, int], Own] = {}
        self._novel: dict[int, tuple[str, ...]] = {}
        self._stream: Stream | None = None
        self._by_name: dict[str, list[Handler]] = {}
        self._compat: dict[str, list[int]] = {}
        self._position: dict[str, list[int]] = {}
        for position, handler in enumerate(tables.handlers):
            self._by_name.setdefault(handler.idstr, []).append(handler)
            self._position.setdefault(handler.idstr, []).append(position)
            if handler.compat is not None:
                self._compat.setdefault(handler.compat[0], []).append(position)

    def find(self, idstr: str, instance_id: int) -> Handler | None:
        """``migration/savevm.c: find_se``: the first in the list that answers to the name.

        A device with a path answers to its bare name too, so that old streams load; it can take
        another device's section that way (``vga``: a PCI VGA before a vmware-svga).
        """
        instance_id &= 0xFFFFFFFF
        found: list[int] = []
        for position in self._position.get(idstr, ()):
            handler = self.tables.handlers[position]
            if instance_id in {handler.instance_id & 0xFFFFFFFF, handler.alias_id & 0xFFFFFFFF}:
                found.append(position)
                break
        for position in self._compat.get(idstr, ()):
            handler = self.tables.handlers[position]
            instance = handler.compat[1] if handler.compat is not None else -1
            if idstr in handler.idstr and instance_id in {
                instance & 0xFFFFFFFF,
                handler.alias_id & 0xFFFFFFFF,
            }:
                found.append(position)
                break
        return self.tables.handlers[min(found)] if found else None

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

    def own(self, handler: Handler) -> Own:
        """Decode the destination's own section of a handler; kept."""
        key = (handler.idstr, handler.instance_id)
        found = self._own.get(key)
        if found is None:
            found = self._own[key] = self._decode(handler)
        return found

    def _section(self, handler: Handler) -> Section | None:
        if self.stream is None:
            return None
        for section in self.stream.sections:
            if (
                section.kind in {SectionKind.FULL, SectionKind.START}
                and section.idstr == handler.idstr
                and section.instance_id & 0xFFFFFFFF == handler.instance_id & 0xFFFFFFFF
            ):
                return section
        return None

    def _decode(self, handler: Handler) -> Own:
        own = Own()
        try:
            section = self._section(handler)
        except MigratableError as error:
            own.why = str(error)
            return own
        if section is None or handler.vmsd is None:
            return own
        loader = Loader(
            tables=self.tables,
            profile=self.profile,
            release=self.release,
            wire=QemuFile(section.body),
            memory=Memory(self.tables.words),
            handler=handler,
            exists=own.exists,
            sizes=own.sizes,
            own=True,
        )
        own.size = len(section.body)
        description = section.description
        try:
            own.body = loader.state(
                handler.vmsd,
                handler.opaque,
                section.version_id,
                None,
                None if description is None else description.body,
            )
        except (RefusedError, UnexaminedError) as stopped:
            own.why = str(stopped)
        except StreamEndError:
            own.why = "the section is shorter than its tables"
        own.consumed = loader.wire.pos
        if not own.why and own.consumed != own.size:
            own.why = (
                "the destination's own section is not understood: its tables take "
                f"{own.consumed} of {own.size} bytes"
            )
        return own

    @property
    def code_known(self) -> bool:
        """Whether the program is a build whose code was gone through."""
        return is_known(self.tables.build_id, self.tables.digests)

    def novelties(self, handler: Handler) -> tuple[str, ...]:
        """Code behind a handler's tables that no known build near to the release has; kept.

        Hooks, tests and validators: what they do is not known.
        """
        if self.tables.build_id is None or self.code_known or handler.vmsd is None:
            return ()
        found = self._novel.get(handler.vmsd)
        if found is None:
            roots = [handler.vmsd]
            live = self.tables.virtio.get(handler.idstr)
            if live is not None:
                roots += [*live.vmsds.values(), *self.tables.extra.values()]
            known = code()
            found = self._novel[handler.vmsd] = tuple(
                text
                for index in self._reachable(roots)
                for text in known.novelties(
                    self.tables.vmsds[index].name,
                    self.tables.vmsds[index].hooks,
                    self.tables.vmsds[index].fields,
                    self.release,
                )
            )
        return found

    def _reachable(self, roots: list[int]) -> list[int]:
        """Descriptions that these lead to, themselves included."""
        found: dict[int, None] = {}
        waiting = list(roots)
        while waiting:
            index = waiting.pop()
            if index in found:
                continue
            found[index] = None
            vmsd = self.tables.vmsds[index]
            waiting += [item.vmsd for item in vmsd.fields if item.vmsd is not None]
            waiting += vmsd.subsections
        return sorted(found)

    def not_understood(self) -> tuple[str, ...]:
        """Replay the destination's own stream; the sections that its own tables do not take whole.

        A build whose code reads something else than its tables as they were understood (a layout
        read wrongly, a type that reuses another's name) shows here, before any source is judged.
        """
        return tuple(
            f"{handler.idstr}: {own.why}"
            for handler in self.tables.handlers
            if handler.vmsd is not None and (own := self.own(handler)).why
        )
