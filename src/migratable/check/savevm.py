"""``migration/savevm.c: qemu_loadvm_state`` over a stream and a destination's tables.

Functions have the names that they have there. QEMU stops at the first cause; the replay notes it
and goes on with the next section, whose place in the stream is known, so that all causes are
found. What it cannot follow it says.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from errno import EIO
from functools import partial

from migratable.check import (
    audit,
    command_line,
    devices,
    events,
    ram,
    stderr,
    undelimited,
    way_back,
)
from migratable.check.commands import Commands, by_place
from migratable.check.findings import finding_of, finding_of_error
from migratable.check.following import following_bytes
from migratable.check.problem import Problem, RefusedError, UnexaminedError
from migratable.check.qemu_file import StreamEndError, footer_of
from migratable.check.record import Record
from migratable.check.registry import ask_rules
from migratable.check.state import LoadedState
from migratable.check.tracker import SectionOutcome, Tracker, Untracked
from migratable.check.vmstate import VMStateLoader
from migratable.facts import targets
from migratable.profile.tables import Handler
from migratable.releases import MachineType
from migratable.stream.model import Command, Section, Span
from migratable.stream.wire_format import WHOLE, SectionKind
from migratable.unchecked import Code, Unchecked
from migratable.verdict import Finding, Severity

_FOOTER_SIZE = 5


@dataclass(slots=True)
class Replay(Record):
    """The replay of one stream on one destination."""

    _sections: tuple[Section, ...] = ()
    _met: Commands = field(default_factory=Commands)

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
            self.ask(
                events.StreamLoaded(
                    release=self.release,
                    profile=self.baseline.profile,
                    sections=self.tracker.shown(self._sections),
                    cpus=tuple(self.kept),
                    own_cpu=self.baseline.own_cpu,
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
        self.ask(
            events.LoadBegun(
                release=self.release,
                unmigratable=self.baseline.unmigratable,
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
        self.ask(
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
        first_ram = self._place_of_ram()
        commands = by_place(self.stream)
        foreign = audit.accelerator(self.baseline.profile)
        for reason in foreign:
            self.add_unexamined(reason)
        load_section = partial(self.qemu_loadvm_section_start_full, tracker=tracker)
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
                    self.add_unexamined(f"{section.idstr}: duplicate section")
            elif se is not None and se.vmsd is not None:
                # QEMU would load a section with tables again; no source sends such in parts.
                self.add_unexamined(f"{section.idstr}: further data after its section")
            if number == first_ram:  # behind sections that are sent before it (early_setup)
                ram.parse_ramblocks(self, section)
                ram.ram_load(self, section)
            if not foreign and section.kind in WHOLE:
                following = partial(following_bytes, self.stream, self._sections, number)
                load = partial(load_section, section, following=following)
                self.add_outcome(tracker.outcome(section, load))
            if number == 0 and not self._footers_agree(section):
                return False
        for command in commands.get(len(self._sections), ()):
            self.loadvm_process_command(command)
        for element in self.stream.elements:
            if isinstance(element, Span) and element.undelimited:
                undelimited.load(self, bytes(element.data), load_section)
        for reason in audit.whole(self.baseline.profile):
            self.add_unexamined(reason)
        return True

    def cpu_synchronize_all_post_init(self) -> None:
        """Hand the processors' registers to the accelerator, after a failed load too."""
        failed = self.refusal
        ended = failed is not None and (not self.kept_before or failed.aborts)
        if not self.kept or ended:
            return
        event = events.RegistersPut(
            release=self.release,
            profile=self.baseline.profile,
            cpu=self.kept[0],
            own_cpu=self.baseline.own_cpu,
        )
        if self.ask(event) and failed is not None:
            said = (self.stderr, failed.stderr, self.findings[-1].stderr)
            self.stderr, instead = stderr.abort_after(*said, self.release)
            self.refusal = self.findings[-1] if instead else failed

    def loadvm_process_command(self, command: Command) -> None:
        """Handle a command: check its number and length, and its place in the order."""
        event = events.CommandMet(
            release=self.release, kind=command.kind, length=len(command.payload)
        )
        if self.ask(event):
            return
        try:
            for problem in self._met.judge(command, self.baseline.pages):
                self.note(finding_of(problem, self.release, None, None))
        except UnexaminedError as error:
            self.add_unexamined(error.reason)

    def _place_of_ram(self) -> int | None:
        numbers = (number for number, one in enumerate(self._sections) if one.idstr == ram.IDSTR)
        return next(numbers, None)

    def qemu_loadvm_section_start_full(
        self, section: Section, tracker: Tracker, following: Callable[[], bytes] = bytes
    ) -> SectionOutcome:
        """Find a section's handler and load its body.

        :param following: the bytes behind the section, for a loader that reads too far.
        """
        idstr, instance_id = section.idstr, section.instance_id
        se = self.baseline.find_se(idstr, instance_id)
        findings = [
            finding_of(problem, self.release, idstr, instance_id)
            for problem in ask_rules(
                events.SectionFound(
                    release=self.release,
                    idstr=idstr,
                    instance_id=instance_id,
                    version=section.version_id,
                    handler=se,
                    near=tuple(self.baseline.near(idstr)),
                )
            )
        ]
        if se is None or any(finding.severity is Severity.REFUSES for finding in findings):
            return SectionOutcome(findings=tuple(findings))
        outcome = self.vmstate_load(section, se, tracker, following)
        return replace(outcome, findings=(*findings, *outcome.findings))

    def vmstate_load(
        self, section: Section, se: Handler, tracker: Tracker, following: Callable[[], bytes]
    ) -> SectionOutcome:
        """Load a body: by ``load_state`` (old style), or by the handler's description.

        The footer is read where the tables end (:meth:`check_section_footer`).
        """
        if se.vmsd is None:
            return self.load_state(section)
        idstr, instance_id = section.idstr, section.instance_id
        assumed = self.baseline.profile.assumed_sections.get(se.idstr.rpartition("/")[2])
        if assumed:
            reason = Unchecked(f"{se.idstr}: {assumed}", Code.ASSUMED)
            return SectionOutcome(unexamined=(reason,))
        own = self.baseline.section(se)
        if own.unexamined:
            reason = Unchecked(own.unexamined, Code.NOT_FOLLOWED)
            return self._not_understood(section, se, reason)
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
        findings: list[Finding] = []
        state: LoadedState | None = None
        consumed: int | None = None
        stopped: UnexaminedError | None = None
        refused: RefusedError | None = None
        links = stderr.device_links(idstr, instance_id)
        try:
            state = loader.vmstate_load_state(
                se.vmsd,
                se.opaque,
                section.version_id,
                None,
                None if section.description is None else section.description.body,
                own.state,
            )
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

    def _not_understood(self, section: Section, se: Handler, reason: Unchecked) -> SectionOutcome:
        """The baseline's own section could not be followed; its version can be judged."""
        assert se.vmsd is not None
        event = events.BodyBegun(
            release=self.release,
            vmsd=self.baseline.tables.vmsds[se.vmsd],
            version=section.version_id,
        )
        links = stderr.device_links(section.idstr, section.instance_id)
        findings = tuple(
            finding_of(problem, self.release, section.idstr, section.instance_id, links)
            for problem in ask_rules(event)
        )
        refuses = any(finding.severity is Severity.REFUSES for finding in findings)
        return SectionOutcome(
            findings=findings,
            unexamined=() if refuses else (reason.of(se.idstr),),
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
        for problem in ask_rules(event):
            raise RefusedError(problem, self.release)

    def _footers_agree(self, section: Section) -> bool:
        """Whether both sides have footers or neither; known after the first section."""
        wanted = self.baseline.has_footers
        if section.footer == wanted:
            return True
        self.ask(
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

    def load_state(self, section: Section) -> SectionOutcome:
        """A handler of the old style, without tables: its ``load_state`` in the device module."""
        findings: list[Finding] = []
        unexamined: list[Unchecked] = []
        load = devices.old_loader(section.idstr)
        if load is not None:
            try:
                findings.extend(self.qemu_loadvm_section_part_end(section, load))
            except UnexaminedError as error:
                unexamined.append(error.reason.of(section.idstr))
        elif section.idstr != ram.IDSTR:
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
