"""One rehearsal: start a destination inert, load, and record everything that it prints."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from migratable.commandline import CommandLine, parse
from migratable.commandline.inert.inert import InertCommandLine
from migratable.errors import CommandLineError, DestinationStartError, QemuError, StartFailure
from migratable.facts.targets import X86
from migratable.profile import probe_options
from migratable.qemu import stand_in
from migratable.qemu.hmp import ram_blocks
from migratable.qemu.load import Load, ask, load
from migratable.qemu.process import QemuProcess
from migratable.qemu.program import resolve
from migratable.qemu.start import inert_start
from migratable.qemu.start_errors import not_started
from migratable.rehearse import alive, rewrite
from migratable.rehearse.alive import Guest
from migratable.rehearse.guest_pages import keep
from migratable.rehearse.memory_map import MemoryMap, read_mtree
from migratable.releases import QemuVersion
from migratable.stream import Stream

#: Not the program's own refusal.
_NO_ANSWER = frozenset({StartFailure.NOT_RUN, StartFailure.ENDED_FROM_OUTSIDE})
_LAST_LINES = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Destination:
    """A destination to try.

    :ivar command_line: as :func:`migratable.commandline.parse` takes it.
    :ivar release: a lab release in the place of the line's program (``10.0``).
    :ivar name: for reports.
    """

    command_line: CommandLine | Sequence[str] | str
    release: str | None = None
    name: str = ""

    def line(self) -> CommandLine:
        """The command line, parsed.

        :raise CommandLineError: When it cannot be read.
        """
        if isinstance(self.command_line, CommandLine):
            return self.command_line
        return parse(self.command_line, need_program=self.release is None)

    def program(self) -> tuple[str, ...]:
        """Words that start its program.

        :raise CommandLineError: When it is not here (LabError: the lab does not have it).
        """
        return resolve(self.line(), release=self.release).command


@dataclass(frozen=True, slots=True, kw_only=True)
class Rehearsed:
    """What one destination did.

    :ivar load: None when it did not start.
    :ivar stderr: every line it printed, without the program's name.
    :ivar before: how many of them it had printed before it got the stream.
    :ivar facts: of the destination: ``qemu``, ``machine``, ``cpu`` …
    :ivar doubts: why a refusal may not be the real destination's, in words.
    :ivar start_status: what happened to a program that did not start.
    :ivar command_line: the destination's, as it was given.
    :ivar guest: what the guest did afterwards, when it was watched.
    :ivar whole: it got the stream with the contents of guest memory.
    """

    quiet: InertCommandLine
    stream: Stream
    load: Load | None
    stderr: tuple[str, ...]
    before: int = 0
    facts: dict[str, Any] = field(default_factory=dict)
    unchecked: tuple[str, ...] = ()
    doubts: tuple[str, ...] = ()
    start_status: str = ""
    command_line: tuple[str, ...] = ()
    whole: bool = False
    guest: Guest | None = None
    seconds: float = 0.0


def try_destination(
    stream: Stream,
    destination: Destination,
    *,
    timeout: float = 60.0,
    started: Any = None,
    loaded: Callable[[QemuProcess, InertCommandLine], None] | None = None,
    watch: float | None = None,
) -> Rehearsed:
    """Rehearse on one destination.

    QEMU lives in the calling thread and dies with it.

    :param timeout: seconds for everything together.
    :param watch: load guest memory too, let the guest run and watch it that many seconds.
    :param started: called with the :class:`QemuProcess` once it runs, so that another thread can
        stop it.
    :param loaded: called with it once it has loaded the stream, before it is ended.
    :raise CommandLineError: When the line cannot be read or made inert, or its program found.
    :raise QemuError: When the destination hangs, or is ended from outside.
    """
    begin = time.monotonic()
    line = destination.line()
    program = resolve(line, release=destination.release)
    prepared = rewrite.prepare(stream)
    sizes = {block.id: block.used_length for block in stream.ram_blocks}
    with inert_start(line, program=program, ram_sizes=sizes, strict=True, timeout=timeout) as start:
        if watch is not None:
            if start.inert.stand_in:
                raise CommandLineError(
                    "--alive: the command line asks for KVM, which this machine does not have "
                    f"({start.inert.why_not_kvm}); what a guest does under TCG says nothing about "
                    "KVM. Run this on the destination's host, or rehearse without --alive"
                )
            rewrite.need_ram(stream)
            start = replace(start, inert=alive.listening(start.inert))  # noqa: PLW2901 -- the same
        quiet, number = start.inert, start.release
        process = start.process(
            extra=["-incoming", "defer"], timeout=max(0.1, begin + timeout - time.monotonic())
        )
        try:
            probe_options.examine(program.command, line, timeout=timeout)
            with process as qemu:
                if started is not None:
                    started(qemu)
                if quiet.stand_in:
                    stand_in.starts(qemu, line)
                done = _load(qemu, prepared, quiet, deadline=begin + timeout, watch=watch)
                if loaded is not None and done.load is not None and done.load.completed:
                    loaded(qemu, quiet)
        except (DestinationStartError, probe_options.HostOptionError) as ended:
            error = ended if isinstance(ended, DestinationStartError) else ended.error
            done = _not_started(error, prepared.stream, quiet, number)
        except QemuError as error:
            raise _with_lines(error, process) from None
    return replace(
        done,
        # After the process has ended, so that nothing is missing; a first pass has no process.
        stderr=done.stderr if done.load is None else quiet.as_given(process.stderr_lines()),
        facts={**done.facts, "program": list(program.command)},
        command_line=tuple(line.argv),
        seconds=time.monotonic() - begin,
    )


def _not_started(
    error: DestinationStartError,
    stream: Stream,
    quiet: InertCommandLine,
    release: QemuVersion | None,
) -> Rehearsed:
    """What a start says that ended before anything was loaded.

    :raise QemuError: When it says nothing about the guest.
    """
    if error.kind in _NO_ANSWER:
        raise QemuError(str(error))
    if quiet.misses_kernel(error.stderr):
        raise QemuError(
            "no verdict: -kernel was left out, and this board does not start without: "
            f"{error.stderr[-1]}"
        )
    return Rehearsed(
        quiet=quiet,
        stream=stream,
        load=None,
        stderr=quiet.as_given(error.stderr),
        start_status=not_started(error.status),
        facts={"qemu": None if release is None else str(release)},
    )


def _load(
    qemu: QemuProcess,
    prepared: rewrite.Prepared,
    quiet: InertCommandLine,
    *,
    deadline: float,
    watch: float | None,
) -> Rehearsed:
    facts, memory = look(qemu, prepared.stream, stand_in=quiet.stand_in)
    sent, unchecked, doubts = _sent(prepared, quiet, facts, memory, whole=watch is not None)
    before = len(qemu.stderr_lines())
    done = load(qemu, sent, deadline=deadline)
    guest = None
    if watch is not None and done.completed:
        guest = alive.observe(qemu, quiet, watch)
    return Rehearsed(
        quiet=quiet,
        stream=sent,
        load=done,
        stderr=(),
        before=before,
        facts=facts,
        unchecked=(*prepared.unchecked, *unchecked),
        doubts=doubts,
        whole=watch is not None,
        guest=guest,
    )


def _with_lines(error: QemuError, process: QemuProcess) -> QemuError:
    """The error with the last lines that the destination printed."""
    lines = process.stderr_lines()[-_LAST_LINES:]
    said = "; it had printed:\n  " + "\n  ".join(line[:300] for line in lines) if lines else ""
    return QemuError(f"no verdict: {error}{said}")


def _sent(
    prepared: rewrite.Prepared,
    quiet: InertCommandLine,
    facts: dict[str, Any],
    memory: MemoryMap,
    *,
    whole: bool,
) -> tuple[Stream, tuple[str, ...], tuple[str, ...]]:
    """The stream that this destination gets, what it leaves unexamined, and doubts."""
    unchecked: tuple[str, ...] = ()
    stream = prepared.stream
    if stream.ram is None and memory.main_block is not None:
        size = facts.get("ram_blocks", {}).get(memory.main_block, 0)
        bare = rewrite.complete(stream, str(facts.get("machine", "")), (memory.main_block, size))
        stream, unchecked = bare.stream, bare.unchecked
    without = []
    clock = quiet.stand_in and quiet.kvmclock and facts["target"] in X86
    if clock and stream.device("kvmclock") is not None:
        without.append("kvmclock")
        unchecked += ("section 'kvmclock', which only a machine under KVM has",)
    if whole:
        return rewrite.without(stream, without), unchecked, ()
    kept = keep(stream, memory)
    damaged, more = rewrite.damaged_pages(stream)
    pages = [*kept.pages, *damaged]
    return rewrite.elide(rewrite.without(stream, without), pages), (*unchecked, *more), kept.doubts


def look(
    qemu: QemuProcess, stream: Stream, *, stand_in: bool = False
) -> tuple[dict[str, Any], MemoryMap]:
    """What the destination is, and where its memory is."""
    version = qemu.greeting.get("version", {})
    number = version.get("qemu", {})
    release = ".".join(str(number.get(part, "?")) for part in ("major", "minor", "micro"))
    machine = str(ask(lambda: _type(qemu, "/machine")) or "").removesuffix("-machine")
    cpus: Any = ask(lambda: qemu.qmp("query-cpus-fast")) or []
    cpu = str(_type(qemu, cpus[0]["qom-path"])) if cpus else ""
    target = str(qemu.qmp("query-target").get("arch", ""))
    blocks = {block.name: block.used for block in ram_blocks(qemu.hmp("info ramblock"))}
    facts: dict[str, Any] = {
        "qemu": release,
        "package": version.get("package") or None,
        "machine": machine,
        "cpu": cpu.removesuffix("-cpu").removesuffix(f"-{target}"),
        "cpus": len(cpus),
        "target": target,
        "accelerator": qemu.accelerator(),
        "stand_in_for_kvm": stand_in,
        "ram_blocks": blocks,
    }
    names = [block.id for block in stream.ram_blocks] or list(blocks)
    return facts, read_mtree(qemu.hmp("info mtree -f"), names)


def _type(qemu: QemuProcess, path: str) -> str:
    return str(qemu.qmp("qom-get", path=path, property="type"))
