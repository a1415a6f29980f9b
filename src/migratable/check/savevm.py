"""``migration/savevm.c: qemu_loadvm_state`` over a stream and a destination's tables.

Functions have the names that they have there. QEMU stops at the first cause; the replay notes it
and goes on with the next section, whose place in the stream is known, so that all causes are
found. What it cannot follow it says.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial

from migratable.check import audit, command_line, devices, events, stderr, undelimited, way_back
from migratable.check import ram as ram_records
from migratable.check.baseline import Baseline
from migratable.check.commands import Commands, by_place
from migratable.check.findings import finding_of, finding_of_error
from migratable.check.following import following_bytes
from migratable.check.problem import EIO, MessageRef, Problem, RefusedError, UnexaminedError
from migratable.check.qemu_file import StreamEndError, footer_of
from migratable.check.registry import look
from migratable.check.state import LoadedState
from migratable.check.tracker import SectionOutcome, Tracker, Untracked
from migratable.check.vmstate import VMStateLoader
from migratable.facts import targets
from migratable.profile.model import Profile
from migratable.profile.tables import Handler
from migratable.releases import MachineType
from migratable.stream.model import Command, Section, Span, Stream
from migratable.stream.wire_format import WHOLE, SectionKind
from migratable.unchecked import Code, Unchecked
from migratable.verdict import Finding, Severity

_FOOTER_SIZE = 5
_RAM = "ram"


@dataclass(slots=True)
class Replay:
    """The replay of one stream on one destination.

    :ivar origin: the source's profile, for what it could send later; None when it is not known.
    :ivar findings: in the order of the stream.
    :ivar refusal: the first finding that stops QEMU.
    :ivar stderr: the lines that the destination prints up to there.
    :ivar undecided: reasons for which no prediction is possible up to there, or to the end.
    :ivar unexamined: everything that could not be followed, also after the refusal.
    :ivar unchecked: parts that were not examined and are not decisive.
    """

    stream: Stream
    baseline: Baseline
    origin: Profile | None = None
    tracker: Tracker | None = None
    findings: list[Finding] = field(default_factory=list)
    refusal: Finding | None = None
    stderr: list[str] = field(default_factory=list)
    undecided: list[Unchecked] = field(default_factory=list)
    unexamined: list[Unchecked] = field(default_factory=list)
    unchecked: list[Unchecked] = field(default_factory=list)
    _sections: tuple[Section, ...] = ()
    _kept: list[LoadedState] = field(default_factory=list)
    _kept_before: int = 0
    _met: Commands = field(default_factory=Commands)

    @property
    def release(self) -> tuple[int, int]:
        """The destination's."""
        return self.baseline.release

    # -- what is found --------------------------------------------------------------------------

    def note(self, finding: Finding) -> None:
        """Keep a finding; the first that refuses is the refusal."""
        self.findings.append(finding)
        if self.refusal is None:
            self.stderr.extend(finding.stderr)
            if finding.severity is Severity.REFUSES:
                self.refusal = finding
                self._kept_before = len(self._kept)

    def cannot(self, text: str, code: Code = Code.NOT_FOLLOWED) -> None:
        """Keep a reason for which the verdict cannot be ``loads``."""
        reason = Unchecked(text, code)
        self.unexamined.append(reason)
        if self.refusal is None:
            self.undecided.append(reason)

    def take(self, outcome: SectionOutcome) -> None:
        """Keep the outcome of a section."""
        for finding in outcome.findings:
            self.note(finding)
        for reason in outcome.unexamined:
            self.cannot(reason)
        self.unchecked.extend(outcome.unchecked)
        if outcome.state is not None:
            self._kept.append(outcome.state)

    def _ask(
        self,
        event: object,
        *,
        device: str | None = None,
        instance_id: int | None = None,
        links: tuple[MessageRef, ...] = (),
    ) -> bool:
        """Ask the rules about an event of the main loop; whether one refuses."""
        refused = False
        for problem in look(event):
            self.note(finding_of(problem, self.release, device, instance_id, links))
            refused |= problem.refuses
            for reason in problem.unexamined:
                self.cannot(reason)
        return refused

    # -- migration/savevm.c ---------------------------------------------------------------------

    def qemu_loadvm_state(self) -> Replay:
        """Load the whole stream."""
        self._sections = self.stream.sections
        self._load_begun()
        self.qemu_loadvm_state_header()
        if self._another_family():
            text = "everything after the machine-type check: the machine families differ"
            self.unchecked.append(Unchecked(text, Code.OTHER_MACHINE))
            return self
        if self.tracker is None:
            self.tracker = Untracked(self.baseline)
        whole = self.qemu_loadvm_state_main(self.tracker)
        self.cpu_synchronize_all_post_init()
        if whole:
            self._ask(
                events.StreamLoaded(
                    release=self.release,
                    profile=self.baseline.profile,
                    sections=self.tracker.shown(self._sections),
                    cpus=tuple(self._kept),
                    own_cpu=self._own_cpu(),
                    origin=self.origin,
                    handlers=tuple(self.baseline.names),
                    more="" if self.refusal or self.undecided else self._more(),
                )
            )
        return self

    def _more(self) -> str:
        """Devices of the destination that a loaded stream lacks."""
        return way_back.names(way_back.more_than(self.baseline, self._sections, self.origin))

    def _load_begun(self) -> None:
        tables = self.baseline.tables
        blocked = tuple(
            se.idstr
            for se in tables.handlers
            if se.vmsd is not None and tables.vmsds[se.vmsd].unmigratable
        )
        self._ask(
            events.LoadBegun(
                release=self.release,
                unmigratable=blocked,
                no_stream=self.baseline.profile.no_stream,
            )
        )

    def qemu_loadvm_state_header(self) -> None:
        """The configuration section (``vmstate_configuration``)."""
        profile = self.baseline.profile
        own = self.baseline.stream
        expected = (
            command_line.configured(profile) if own is None else own.configuration is not None
        )
        received = self.stream.configuration
        self._ask(
            events.ConfigurationRead(
                release=self.release,
                configuration=received,
                machine=profile.machine,
                expected=expected,
                next_byte=self._first_byte(),
                uuid=command_line.uuid(profile),
                page_bits=None if own is None else own.page_size.bit_length() - 1,
                sends_page_bits=own is not None
                and own.configuration is not None
                and own.configuration.target_page_bits is not None,
            ),
            links=stderr.configuration_links(self.release, read=expected and received is not None),
        )

    def _first_byte(self) -> int:
        for element in self.stream.elements:
            return 8 if isinstance(element, Command) else int(getattr(element, "kind", 1))
        return 0

    def _another_family(self) -> bool:
        """Whether the machine is of another family: then all sections differ and say nothing."""
        received, local = self.stream.machine or "", self.baseline.profile.machine
        differs = any(finding.rule == "machine-type" for finding in self.findings)
        return differs and MachineType.parse(received).family != MachineType.parse(local).family

    def qemu_loadvm_state_main(self, tracker: Tracker) -> bool:
        """Load section after section; False if the sides disagree about footers."""
        ram = self._place_of_ram()
        commands = by_place(self.stream)
        foreign = audit.accelerator(self.baseline.profile)
        for reason in foreign:
            self.cannot(reason)
        seen: Counter[tuple[str, int | None]] = Counter()
        names = self.baseline.names
        for number, section in enumerate(self._sections):
            for command in commands.get(number, ()):
                self.loadvm_process_command(command)
            se = self.baseline.find_se(section.idstr, section.instance_id)
            if section.kind in WHOLE and se is not None:
                # A handler with tables loads once; some handlers share a name and instance id. One
                # without may load the sections of all of its name, which sources number alike.
                tables = se.vmsd is not None
                key = (se.idstr, se.instance_id if tables else None)
                seen[key] += 1
                alike = self.baseline.handlers_like(se) if tables else len(names[se.idstr])
                if seen[key] > alike:
                    self.cannot(f"{section.idstr}: duplicate section")
            elif se is not None and se.vmsd is not None:
                # QEMU would load a section with tables again; no source sends such in parts.
                self.cannot(f"{section.idstr}: further data after its section")
            if number == ram:  # behind sections that are sent before it (early_setup)
                self.ram_block_list(section)
            if not foreign and section.kind in WHOLE:
                following = partial(following_bytes, self.stream, self._sections, number)
                load = partial(self.qemu_loadvm_section_start_full, section, tracker, following)
                self.take(tracker.outcome(section, load))
            if number == 0 and not self._footers_agree(section):
                return False
        for command in commands.get(len(self._sections), ()):
            self.loadvm_process_command(command)
        for element in self.stream.elements:
            if isinstance(element, Span) and element.undelimited:
                undelimited.load(self, bytes(element.data), tracker)
        for reason in audit.whole(self.baseline.profile):
            self.cannot(reason)
        return True

    def cpu_synchronize_all_post_init(self) -> None:
        """Hand the processors' registers to the accelerator, after a failed load too."""
        failed = self.refusal
        ended = failed is not None and (not self._kept_before or failed.aborts)
        if not self._kept or ended:
            return
        event = events.RegistersPut(
            release=self.release,
            profile=self.baseline.profile,
            cpu=self._kept[0],
            own_cpu=self._own_cpu(),
        )
        if self._ask(event) and failed is not None:
            said = (self.stderr, failed.stderr, self.findings[-1].stderr)
            self.stderr, instead = stderr.abort_after(*said, self.release)
            self.refusal = self.findings[-1] if instead else failed

    def loadvm_process_command(self, command: Command) -> None:
        """Handle a command: check its number and length, and its place in the order."""
        event = events.CommandMet(
            release=self.release, kind=command.kind, length=len(command.payload)
        )
        if self._ask(event):
            return
        try:
            for problem in self._met.judge(command, self.baseline.pages):
                self.note(finding_of(problem, self.release, None, None))
        except UnexaminedError as error:
            self.cannot(error.reason)

    def _place_of_ram(self) -> int | None:
        numbers = (number for number, one in enumerate(self._sections) if one.idstr == _RAM)
        return next(numbers, None)

    def ram_block_list(self, start: Section) -> None:
        """``migration/ram.c: parse_ramblocks``."""
        profile = self.baseline.profile
        for block in self.stream.ram_blocks:
            local = profile.ram_blocks.get(block.id)
            assumed = profile.assumed_blocks.get(block.id)
            if assumed and local is not None and local[0] != block.used_length:
                self.cannot(
                    f"RAM block {block.id!r} has {block.used_length} bytes in the stream; the "
                    f"destination's size is not known: {assumed}",
                    Code.ASSUMED,
                )
                continue
            self._ask(
                events.RamBlockRead(
                    release=self.release,
                    block=block,
                    local=local,
                    page_size=self.stream.page_size,
                    local_page_size=None
                    if self.baseline.pages.host is None
                    else profile.block_page_sizes.get(block.id),
                ),
                device=_RAM,
                instance_id=0,
                links=stderr.ram_links(self.release, _RAM, start.version_id),
            )
        self.ram_load(start)

    def ram_load(self, start: Section) -> None:
        """``migration/ram.c: ram_load``: the records of guest memory, without their contents."""
        if ram_records.too_many(self.stream):
            text = "the records of guest memory (more than 1 GiB of them)"
            self.unchecked.append(Unchecked(text, Code.RAM_CONTENTS))
            return
        blocks = self.baseline.profile.ram_blocks
        links = stderr.part_links(self.release, _RAM, start.section_id, start.version_id)
        try:
            for problem in ram_records.examine(self.stream, start.version_id, blocks, self.release):
                self.note(finding_of(problem, self.release, _RAM, 0, links))
        except UnexaminedError as error:
            self.cannot(error.reason)

    def qemu_loadvm_section_start_full(
        self, section: Section, tracker: Tracker, following: Callable[[], bytes]
    ) -> SectionOutcome:
        """Find a section's handler, load its body, and check its footer."""
        idstr, instance_id = section.idstr, section.instance_id
        se = self.baseline.find_se(idstr, instance_id)
        findings = [
            finding_of(problem, self.release, idstr, instance_id)
            for problem in look(
                events.SectionFound(
                    release=self.release,
                    idstr=idstr,
                    instance_id=instance_id,
                    version=section.version_id,
                    handler=se,
                    near=tuple(self._near(section)),
                )
            )
        ]
        if se is None or any(finding.severity is Severity.REFUSES for finding in findings):
            return SectionOutcome(findings=tuple(findings))
        if se.vmsd is None:
            return self._old_style(section, findings)
        assumed = self.baseline.profile.assumed_sections.get(se.idstr.rpartition("/")[2])
        if assumed:
            reason = Unchecked(f"{se.idstr}: {assumed}", Code.ASSUMED)
            return SectionOutcome(findings=tuple(findings), unexamined=(reason,))
        own = self.baseline.section(se)
        if own.unexamined:
            reason = Unchecked(own.unexamined, Code.NOT_FOLLOWED)
            return self._not_understood(section, se, reason, findings)
        loader = VMStateLoader(
            tables=self.baseline.tables,
            profile=self.baseline.profile,
            f=tracker.open(section, footer_of(section), following),
            memory=tracker.memory,
            handler=se,
            exists=own.exists,
            sizes=own.sizes,
            trusted=targets.wholly(self.baseline.profile.target),
        )
        state: LoadedState | None = None
        consumed: int | None = None
        stopped: UnexaminedError | None = None
        refused: RefusedError | None = None
        links = stderr.device_links(idstr, instance_id)
        try:
            state = self.vmstate_load(loader, section, own.state)
            links = stderr.footer_links(section.section_id)
            self.check_section_footer(loader, section)
            consumed = loader.f.pos
        except RefusedError as error:
            poorer = self.baseline.profile.assumed_backends.get(se.idstr.rpartition("/")[2])
            if error.problem.of_backend and poorer:
                stopped = UnexaminedError(poorer, Code.ASSUMED)
            else:
                refused = error
        except UnexaminedError as reason:
            stopped = reason
        except StreamEndError:
            refused = RefusedError(
                Problem(rule="stream-broken", summary=f"the stream ends inside {idstr}", errno=EIO),
                self.release,
            )
        if stopped is None:
            findings.extend(
                finding_of(problem, self.release, idstr, instance_id) for problem in loader.problems
            )
        if refused is not None:
            findings.append(finding_of_error(refused, links, idstr, instance_id))
        reasons: list[Unchecked] = []
        novel = self.baseline.novelties(se)
        if novel:
            text = f"code that no known build has ({'; '.join(novel[:3])})"
            reasons.append(Unchecked(text, Code.BUILD))
        reasons += dict.fromkeys(loader.unexamined)
        if stopped is not None:
            reasons.append(stopped.reason)
        return SectionOutcome(
            findings=tuple(findings),
            unexamined=tuple(reason.of(idstr) for reason in reasons),
            unchecked=tuple(loader.unchecked),
            consumed=consumed,
            state=state if idstr in events.KEPT else None,
        )

    def _not_understood(
        self, section: Section, se: Handler, reason: Unchecked, findings: list[Finding]
    ) -> SectionOutcome:
        """The baseline's own section could not be followed; its version can be judged."""
        assert se.vmsd is not None
        event = events.BodyBegun(
            release=self.release,
            vmsd=self.baseline.tables.vmsds[se.vmsd],
            version=section.version_id,
        )
        links = stderr.device_links(section.idstr, section.instance_id)
        findings.extend(
            finding_of(problem, self.release, section.idstr, section.instance_id, links)
            for problem in look(event)
        )
        refuses = any(finding.severity is Severity.REFUSES for finding in findings)
        return SectionOutcome(
            findings=tuple(findings),
            unexamined=() if refuses else (reason.of(se.idstr),),
        )

    def vmstate_load(
        self, loader: VMStateLoader, section: Section, own: LoadedState | None
    ) -> LoadedState:
        """Load a section's body; raises as :meth:`.vmstate.VMStateLoader.vmstate_load_state`."""
        se, description = loader.handler, section.description
        assert se.vmsd is not None
        return loader.vmstate_load_state(
            se.vmsd,
            se.opaque,
            section.version_id,
            None,
            None if description is None else description.body,
            own,
        )

    def check_section_footer(self, loader: VMStateLoader, section: Section) -> None:
        """Read a section's footer where its tables end.

        :raise RefusedError: when there is none, or another section's.
        """
        if not self.baseline.has_footers:
            return
        head = bytes(loader.f.peek_buffer(_FOOTER_SIZE))
        event = events.FooterRead(
            release=self.release,
            idstr=loader.handler.idstr,
            section_id=section.section_id,
            mark=head[0] if head else None,
            read_id=int.from_bytes(head[1:], "big") if len(head) == _FOOTER_SIZE else None,
            consumed=loader.f.pos,
            size=len(section.body),
            detail="; ".join(loader.notes),
        )
        for problem in look(event):
            raise RefusedError(problem, self.release)

    def _footers_agree(self, section: Section) -> bool:
        """Whether both sides have footers or neither; known after the first section."""
        wanted = self.baseline.has_footers
        if section.footer == wanted:
            return True
        self._ask(
            events.FooterRead(
                release=self.release,
                idstr=section.idstr,
                section_id=section.section_id,
                mark=int(SectionKind.FULL),  # as if the next section began there
                read_id=None,
                consumed=len(section.body),
                size=len(section.body),
                detail="The source sends no footers (migration.send-section-footer=off).",
                wanted=wanted,
            ),
            device=section.idstr if wanted else None,
            instance_id=section.instance_id if wanted else None,
            links=stderr.footer_links(section.section_id) if wanted else (),
        )
        text = "everything after a footer mismatch in the first section"
        self.unchecked.append(Unchecked(text, Code.OTHER_MACHINE))
        return False

    def _old_style(self, section: Section, findings: list[Finding]) -> SectionOutcome:
        """``vmstate_load`` of a handler without tables: its ``load_state`` in the device module."""
        unexamined: list[Unchecked] = []
        load = devices.old_loader(section.idstr)
        if load is not None:
            try:
                findings.extend(self.qemu_loadvm_section_part_end(section, load))
            except UnexaminedError as error:
                unexamined.append(error.reason.of(section.idstr))
        elif section.idstr != _RAM:
            text = f"{section.idstr}: its contents (no VMStateDescription)"
            unexamined.append(Unchecked(text, Code.NOT_FOLLOWED))
        return SectionOutcome(
            findings=tuple(findings),
            unexamined=tuple(unexamined),
            self_contained=load is None,
        )

    def qemu_loadvm_section_part_end(
        self, start: Section, load: devices.OldLoader
    ) -> Iterator[Finding]:
        """Load a section that comes in several parts: its start and its later parts.

        A loader keeps what the start said, so that all of them are loaded in one go.

        :raise UnexaminedError: where they cannot be followed.
        """
        kinds = {SectionKind.PART, SectionKind.END}
        parts = (
            section
            for section in self._sections
            if section.kind in kinds and section.section_id == start.section_id
        )
        links = stderr.part_links(self.release, start.idstr, start.section_id, start.version_id)
        for problem in load(start, parts, self.baseline.profile):
            yield finding_of(problem, self.release, start.idstr, start.instance_id, links)

    # -- for rules ------------------------------------------------------------------------------

    def _own_cpu(self) -> LoadedState | None:
        for idstr in events.KEPT:
            for se in self.baseline.names.get(idstr, ()):
                return self.baseline.section(se).state
        return None

    def _near(self, section: Section) -> Iterator[str]:
        """The destination's handlers of the same kind."""
        kind = section.idstr.rpartition("/")[2]
        for idstr, handlers in self.baseline.names.items():
            if idstr.rpartition("/")[2] == kind:
                yield from (f"'{idstr}' {se.instance_id}" for se in handlers)
