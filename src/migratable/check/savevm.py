"""``migration/savevm.c: qemu_loadvm_state`` over a stream and a destination's tables.

QEMU stops at the first cause; the replay notes it and goes on with the next section, whose place
in the stream is known, so that all causes are found. What it cannot follow it says.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import ClassVar

from migratable.check import audit, command_line, events, old_style
from migratable.check import ram as ram_records
from migratable.check.baseline import Destination
from migratable.check.commands import Commands
from migratable.check.devices.spapr import hash_table
from migratable.check.memory_map import of_profile, pc_memory, rings_agree
from migratable.check.problem import (
    CHAINED,
    EIO,
    MessageRef,
    Problem,
    RefusedError,
    UnexaminedError,
)
from migratable.check.qemu_file import MOST_AHEAD, QemuFile, StreamEndError, whole
from migratable.check.registry import look
from migratable.check.state import LoadedState, Memory
from migratable.check.stderr import of_refusal, said
from migratable.check.vmstate import Loader
from migratable.errors import StreamError
from migratable.facts import targets
from migratable.profile.model import Profile
from migratable.profile.tables import Handler
from migratable.stream.cursor import Cursor
from migratable.stream.model import Command, Section, Span, Stream, flatten
from migratable.stream.wire_format import SectionKind

_MOST_SECTIONS = 1 << 12
#: Type, number and length of the name of a section, and what names are made of.
_HEADER = re.compile(rb"\x04(?P<id>\x00\x00..)(?P<length>[\x03-\xff])", re.DOTALL)
_IDSTR = re.compile(rb"[A-Za-z0-9][\w@:./+ -]*", re.ASCII)
_CLOSING = "load of migration failed"
_VERSION = re.compile(r"-?\d+\.\d.*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A problem with its place and the lines that it alone would give."""

    problem: Problem
    device: str | None = None
    instance_id: int | None = None
    lines: tuple[str, ...] = ()
    order: int = 0


@dataclass(slots=True)
class Replay:
    """The replay of one stream on one destination.

    :ivar origin: the source's profile, for what it could send later; None when it is not known.
    :ivar found: problems in the order of the stream.
    :ivar unexamined: ``(order, reason)`` of what could not be followed; a verdict cannot be
        ``loads`` then.
    :ivar unchecked: what was not examined and is not decisive.
    :ivar fields: number of fields that were read.
    """

    stream: Stream
    destination: Destination
    origin: Profile | None = None
    found: list[Found] = field(default_factory=list)
    unexamined: list[tuple[int, str]] = field(default_factory=list)
    unchecked: list[str] = field(default_factory=list)
    sections: int = 0
    _order: int = 0
    _sections: tuple[Section, ...] = ()
    _cpus: list[LoadedState] = field(default_factory=list)
    _met: Commands = field(default_factory=Commands)
    LOADER: ClassVar[type[Loader]] = Loader

    def run(self) -> Replay:
        """Replay all of it."""
        self._sections = self.stream.sections
        self._before()
        self._configuration()
        if self._another_family():
            self.unchecked.append("everything behind the machine type, which is of another family")
            return self
        memory = self._memory()
        ram = self._place_of_ram()
        commands = self._commands()
        foreign = audit.accelerator(self.destination.profile)
        for reason in foreign:
            self._cannot(reason)
        for number, section in enumerate(self._sections):
            self._order = 10 + number
            for command in commands.get(number, ()):
                self._command(command)
            if number == ram:  # behind what is set up early (virtio-mem, from 11.0 on)
                self._ram(10 + number)
            if not foreign and section.kind in {SectionKind.START, SectionKind.FULL}:
                self._order = 10 + number
                self._section(number, section, memory)
            if number == 0 and not self._footers_agree(section):
                return self
        self._order = 10 + len(self._sections)
        for element in self.stream.elements:
            if isinstance(element, Span) and element.undelimited:
                self._undelimited(bytes(element.data), memory)
        self._order += 1
        for reason in audit.whole(self.destination.profile):
            self._cannot(reason)
        self._registers_put()
        self._show(
            events.StreamLoaded(
                release=self.release,
                profile=self.destination.profile,
                sections=self._sections,
                cpus=tuple(self._cpus),
                own_cpu=self._own_cpu(),
                origin=self.origin,
            )
        )
        self._rings_elsewhere()
        return self

    def _registers_put(self) -> None:
        """Hand the processors' registers to the accelerator, after a failed load too.

        ``qemu_loadvm_state: cpu_synchronize_all_post_init``. An abort there follows what was
        printed; from 10.2 on, where the cause is reported by the caller, it comes before that.
        """
        failed = next((one for one in self.found if one.problem.refuses), None)
        first = next((n for n, one in enumerate(self._sections) if one.idstr == "cpu"), None)
        if not self._cpus or first is None:
            return
        if failed is not None and (
            failed.order <= 10 + first or failed.problem.facts.get("aborts")
        ):
            return
        known = len(self.found)
        point = events.RegistersPut(
            release=self.release,
            profile=self.destination.profile,
            cpu=self._cpus[0],
            own_cpu=self._own_cpu(),
        )
        if not self._show(point) or failed is None:
            return
        abort = self.found[known]
        at = self.found.index(failed)
        if self.release >= CHAINED:
            self.found.insert(at, replace(self.found.pop(known), order=failed.order))
        else:
            lines = tuple(one for one in failed.lines if not one.startswith(_CLOSING))
            self.found[at] = replace(failed, lines=(*lines, *abort.lines))

    def _commands(self) -> dict[int, list[Command]]:
        """Commands by the number of sections before them."""
        found: dict[int, list[Command]] = {}
        sections = 0
        for element in flatten(self.stream.elements):
            if isinstance(element, Section):
                sections += 1
            elif isinstance(element, Command):
                found.setdefault(sections, []).append(element)
        return found

    def _command(self, command: Command) -> None:
        point = events.CommandMet(
            release=self.release, kind=command.kind, length=len(command.payload)
        )
        if self._show(point):
            return
        try:
            for problem in self._met.judge(command):
                self._refused(RefusedError(problem, self.release), (), None, None)
        except UnexaminedError as reason:
            self._cannot(str(reason))

    def _rings_elsewhere(self) -> None:
        """Devices look into memory that the destination has elsewhere.

        Up to 6.x virtio_load refuses by what stands where a ring was; later it goes on. AHCI's
        buffers are judged by its hook, unless an IOMMU may translate their addresses.
        """
        if all(found.problem.rule != "memory-map" for found in self.found):
            return
        there, here = pc_memory(self._sections), of_profile(self.destination.profile)
        translated = any("iommu" in name.lower() for name in self.destination.names)
        for section in self._sections:
            virtio = "/virtio-" in section.idstr and self.release < (7, 0)
            if virtio and not rings_agree(section, there, here):
                self._cannot(f"{section.idstr}: its rings, whose memory is elsewhere here")
            elif section.idstr.endswith("ahci") and translated:
                self._cannot(f"{section.idstr}: its buffers, whose memory is elsewhere here")

    def _footers_agree(self, section: Section) -> bool:
        """Whether both sides have footers or neither; behind the first section it shows."""
        own = self.destination.stream
        wanted = own is None or not own.sections or own.sections[0].footer
        if section.footer == wanted:
            return True
        following = self._sections[1].kind if len(self._sections) > 1 else 0
        self._show(
            events.FooterRead(
                release=self.release,
                idstr=section.idstr,
                section_id=section.section_id,
                mark=int(following),
                read_id=None,
                consumed=len(section.body),
                size=len(section.body),
                detail="The source sends no footers (migration.send-section-footer=off).",
                wanted=wanted,
            ),
            device=section.idstr if wanted else None,
            instance_id=section.instance_id if wanted else None,
            outer=(("footer-chain", {"section_id": section.section_id}),) if wanted else (),
        )
        self.unchecked.append("everything behind the first section, whose footer does not fit")
        return False

    def _another_family(self) -> bool:
        """Whether the machine is quite another one: then no section would fit, and none tells."""
        received, local = self.stream.machine, self.destination.profile.machine
        if not received or not any(one.problem.rule == "machine-type" for one in self.found):
            return False
        return _VERSION.sub("", received) != _VERSION.sub("", local)

    def _own_cpu(self) -> LoadedState | None:
        first = next(iter(self.destination.names.get("cpu", ())), None)
        return None if first is None else self.destination.own(first).body

    def _memory(self) -> Memory:
        """The destination's words; with :meth:`_wire` and LOADER what those replace who watch."""
        return Memory(self.destination.tables.words)

    def _wire(self, section: Section, more: Callable[[], bytes]) -> QemuFile:
        """The bytes of a section."""
        return QemuFile(section.body, more)

    @property
    def release(self) -> tuple[int, int]:
        """The destination's."""
        return self.destination.release

    def _show(
        self,
        point: object,
        *,
        device: str | None = None,
        instance_id: int | None = None,
        outer: tuple[MessageRef, ...] = (),
    ) -> bool:
        """Show a point of the main loop to its rules; whether one refuses."""
        refused = False
        for problem in look(point):
            if problem.refuses:
                error = RefusedError(problem, self.release)
                self._refused(error, outer, device, instance_id)
                refused = True
            else:
                self._note(problem, device, instance_id)
        return refused

    def _note(self, problem: Problem, device: str | None, instance_id: int | None) -> None:
        self.found.append(
            Found(
                problem=problem,
                device=device,
                instance_id=instance_id,
                lines=tuple(said(words, self.release) for words in problem.words),
                order=self._order,
            )
        )

    def _refused(
        self,
        error: RefusedError,
        outer: tuple[MessageRef, ...],
        device: str | None,
        instance_id: int | None,
    ) -> None:
        self.found.append(
            Found(
                problem=error.problem,
                device=device,
                instance_id=instance_id,
                lines=tuple(of_refusal(error, outer, self.release)),
                order=self._order,
            )
        )

    def _cannot(self, reason: str) -> None:
        self.unexamined.append((self._order, reason))

    # -- before the sections --------------------------------------------------------------------

    def _before(self) -> None:
        tables, profile = self.destination.tables, self.destination.profile
        blocked = tuple(
            handler.idstr
            for handler in tables.handlers
            if handler.vmsd is not None and tables.vmsds[handler.vmsd].unmigratable
        )
        self._show(
            events.Destination(
                release=self.release, unmigratable=blocked, no_stream=profile.no_stream
            )
        )

    def _configuration(self) -> None:
        self._order = 1
        profile = self.destination.profile
        own = self.destination.stream
        expected = (
            command_line.configured(profile) if own is None else own.configuration is not None
        )
        outer: tuple[MessageRef, ...] = ()
        if self.release >= (11, 0) and expected and self.stream.configuration is not None:
            outer = (
                (
                    "post-load-hook-error",
                    {"vmsd": "configuration", "version": 1, "minimum": 0},
                ),
            )
        self._show(
            events.ConfigurationRead(
                release=self.release,
                configuration=self.stream.configuration,
                machine=profile.machine,
                expected=expected,
                next_byte=self._first_byte(),
                uuid=command_line.uuid(profile),
                page_bits=None if own is None else own.page_size.bit_length() - 1,
            ),
            outer=outer,
        )

    def _first_byte(self) -> int:
        for element in self.stream.elements:
            return 8 if isinstance(element, Command) else int(getattr(element, "kind", 1))
        return 0

    # -- RAM ------------------------------------------------------------------------------------

    def _place_of_ram(self) -> int:
        return next(
            (
                number
                for number, section in enumerate(self._sections)
                if section.idstr == "ram" and section.kind is SectionKind.START
            ),
            0,
        )

    def _ram(self, order: int) -> None:
        self._order = order
        profile = self.destination.profile
        version = next((s.version_id for s in self._sections if s.idstr == "ram"), 4)
        outer: tuple[MessageRef, ...] = (("device-error", {"device": "ram", "instance_id": 0}),)
        if self.release >= (10, 2):
            outer = (("vmstate-load-failed", {"version": version, "ret": -22}), *outer)
        for block in self.stream.ram_blocks:
            local = profile.ram_blocks.get(block.id)
            assumed = profile.assumed_blocks.get(block.id)
            if assumed and local is not None and local[0] != block.used_length:
                self._cannot(
                    f"RAM block {block.id!r} has {block.used_length} bytes in the stream; the "
                    f"destination's size is not known: {assumed}"
                )
                continue
            self._show(
                events.RamBlockRead(
                    release=self.release,
                    block=block,
                    local=profile.ram_blocks.get(block.id),
                    page_size=self.stream.page_size,
                    local_page_size=profile.block_page_sizes.get(block.id),
                ),
                device="ram",
                instance_id=0,
                outer=outer,
            )
        self._ram_records(version)

    def _ram_records(self, version: int) -> None:
        start = next((one for one in self._sections if one.idstr == "ram"), None)
        if start is None:
            return
        if ram_records.too_many(self.stream):
            self.unchecked.append("the records of guest memory (more than 1 GiB of them)")
            return
        blocks = self.destination.profile.ram_blocks
        try:
            for problem in ram_records.examine(self.stream, version, blocks, self.release):
                error = RefusedError(problem, self.release)
                self._refused(error, self._in_part(start), "ram", 0)
        except UnexaminedError as reason:
            self._cannot(str(reason))

    def _in_part(self, start: Section) -> tuple[MessageRef, ...]:
        """What is said around the error of a PART or END section."""
        if self.release >= CHAINED:
            return (("vmstate-load-failed", {"version": start.version_id, "ret": -22}),)
        return (("section-error", {"section_id": start.section_id, "device": start.idstr}),)

    # -- sections -------------------------------------------------------------------------------

    def _section(self, number: int, section: Section, memory: Memory) -> None:
        self._load(section, memory, lambda: self._after(number))

    def _load(self, section: Section, memory: Memory, more: Callable[[], bytes]) -> int | None:
        """Load one section; the bytes of its body, None when the loader stops in it."""
        self.sections += 1
        handler = self.destination.find(section.idstr, section.instance_id)
        place = {"device": section.idstr, "instance_id": section.instance_id}
        if self._show(
            events.SectionFound(
                release=self.release,
                idstr=section.idstr,
                instance_id=section.instance_id,
                version=section.version_id,
                handler=handler,
                near=tuple(self._near(section)),
            ),
            device=section.idstr,
            instance_id=section.instance_id,
        ):
            return None
        if handler is None:  # the rules have said so
            return None
        if handler.vmsd is None:
            self._old_style(section, handler)
            return None
        assumed = self.destination.profile.assumed_sections.get(handler.idstr.rpartition("/")[2])
        if assumed:
            self._cannot(f"{handler.idstr}: {assumed}")
            return None
        own = self.destination.own(handler)
        if own.why:
            if not self._show(
                events.BodyBegun(
                    release=self.release,
                    vmsd=self.destination.tables.vmsds[handler.vmsd],
                    version=section.version_id,
                ),
                outer=(("device-error", place),),  # type: ignore[arg-type]
                **place,  # type: ignore[arg-type]
            ):
                self._cannot(f"{handler.idstr}: {own.why}")
            return None
        novel = self.destination.novelties(handler)
        if novel:
            self._cannot(f"{handler.idstr}: code that no known build has ({'; '.join(novel[:3])})")
        loader = self.LOADER(
            tables=self.destination.tables,
            profile=self.destination.profile,
            release=self.release,
            wire=self._wire(section, more),
            memory=memory,
            handler=handler,
            exists=own.exists,
            sizes=own.sizes,
            own_body=own.body,
            trusted=targets.wholly(self.destination.profile.target),
        )
        description = section.description
        try:
            body = loader.state(
                handler.vmsd,
                handler.opaque,
                section.version_id,
                None,
                None if description is None else description.body,
                own.body,
            )
            if section.idstr == "cpu":
                self._cpus.append(body)
            self._footer(section, loader)
        except RefusedError as refused:
            for problem in loader.problems:
                self._note(problem, section.idstr, section.instance_id)
            self._refused(refused, self._outer(section, refused), **place)  # type: ignore[arg-type]
        except UnexaminedError as reason:
            self._cannot(f"{section.idstr}: {reason}")
        except StreamEndError:
            ended = RefusedError(
                Problem(
                    rule="stream-broken",
                    summary=f"the stream ends inside {section.idstr}",
                    errno=EIO,
                ),
                self.release,
            )
            self._refused(ended, self._outer(section, ended), **place)  # type: ignore[arg-type]
        else:
            for problem in loader.problems:
                self._note(problem, section.idstr, section.instance_id)
            return loader.wire.pos
        finally:
            self.unchecked.extend(loader.unchecked)
            for name in dict.fromkeys(loader.unexamined):
                self._cannot(f"{section.idstr}: {name}")
        return None

    def _next_header(self, section: Section, data: bytes, begin: int) -> int | None:
        """Bytes of a section of old style (slirp): up to what can only be the next one's header."""
        handler = self.destination.find(section.idstr, section.instance_id)
        if handler is None or handler.vmsd is not None:
            return None
        for found in _HEADER.finditer(data, begin):
            name = data[found.end() : found.end() + found["length"][0]]
            number = int.from_bytes(found["id"], "big")
            later = 0 < number - section.section_id < _MOST_SECTIONS
            if later and len(name) == found["length"][0] and _IDSTR.fullmatch(name):
                return found.start() - begin
        self._cannot(f"{section.idstr}: where its section ends")
        return None

    def _undelimited(self, data: bytes, memory: Memory) -> None:
        """Load the rest of a stream whose sections have no ends but those of the tables."""
        cursor = Cursor(data)
        try:
            while cursor.peek() in {SectionKind.START, SectionKind.FULL}:
                self._order += 1
                kind = SectionKind(cursor.u8())
                section = Section(
                    kind=kind,
                    section_id=cursor.u32(),
                    idstr=cursor.counted(),
                    instance_id=cursor.u32(),
                    version_id=cursor.u32(),
                    body=data[cursor.pos :],
                    footer=False,
                )
                consumed = self._load(section, memory, lambda: b"")
                if consumed is None:
                    consumed = self._next_header(section, data, cursor.pos)
                if consumed is None:
                    return
                cursor.skip(consumed)
        except StreamError as error:
            self._cannot(str(error))
            return
        if cursor.peek() not in {0, None}:
            refused = RefusedError(
                Problem(
                    rule="layout",
                    summary="the destination's tables end where the stream's sections do not",
                    words=(("unknown-section-type", {"type": cursor.peek() or 0}),),
                ),
                self.release,
            )
            self._refused(refused, (), None, None)

    def _outer(self, section: Section, refused: RefusedError) -> tuple[MessageRef, ...]:
        if refused.problem.rule in {"section-footer"} or refused.problem.facts.get("footer"):
            return (("footer-chain", {"section_id": section.section_id}),)
        return (("device-error", {"device": section.idstr, "instance_id": section.instance_id}),)

    def _old_style(self, section: Section, handler: Handler) -> None:
        if section.idstr == "spapr/htab" and section.kind is SectionKind.START:
            self._hash_table(section)
        elif section.idstr != "ram" or section.kind is not SectionKind.START:
            try:
                old_style.examine(section, self._parts(section), self.destination.profile)
            except UnexaminedError as reason:
                self._cannot(str(reason))

    def _parts(self, start: Section) -> Iterator[Section]:
        kinds = {SectionKind.PART, SectionKind.END}
        for section in self._sections:
            if section.kind in kinds and section.section_id == start.section_id:
                yield section

    def _hash_table(self, start: Section) -> None:
        try:
            for _, problem in hash_table(start, self._parts(start)):
                error = RefusedError(problem, self.release)
                self._refused(error, self._in_part(start), start.idstr, start.instance_id)
        except UnexaminedError as reason:
            self._cannot(f"{start.idstr}: {reason}")

    def _footer(self, section: Section, loader: Loader) -> None:
        own = self.destination.stream
        if own is not None and own.sections and not own.sections[0].footer:
            return
        head = bytes(loader.wire.peek(5))
        point = events.FooterRead(
            release=self.release,
            idstr=loader.handler.idstr,
            section_id=section.section_id,
            mark=head[0] if head else None,
            read_id=int.from_bytes(head[1:5], "big") if len(head) == 5 else None,
            consumed=loader.wire.pos,
            size=len(section.body),
            detail="; ".join(loader.trail),
        )
        for problem in look(point):
            raise RefusedError(problem, self.release)

    def _after(self, number: int) -> bytes:
        """The bytes behind a section: its footer and the sections that follow."""
        return b"".join(self._pieces(number))

    def _pieces(self, number: int) -> Iterator[bytes]:
        section = self._sections[number]
        if section.footer:
            yield b"\x7e" + section.section_id.to_bytes(4, "big")
        size = 0
        for following in self._sections[number + 1 :]:
            data = whole(following)
            yield data
            size += len(data)
            if size > MOST_AHEAD:
                return
        if self.stream.eof:
            yield b"\x00"
        if self.stream.vmdesc is not None:
            yield b"\x06" + len(self.stream.vmdesc.raw).to_bytes(4, "big") + self.stream.vmdesc.raw

    def _near(self, section: Section) -> Iterator[str]:
        """Handlers of the same kind that the destination does have."""
        kind = section.idstr.rpartition("/")[2]
        for idstr, handlers in self.destination.names.items():
            if idstr.rpartition("/")[2] == kind:
                yield from (f"'{idstr}' {handler.instance_id}" for handler in handlers)
