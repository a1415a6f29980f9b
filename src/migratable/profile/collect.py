"""Take a profile: start the destination's command line inert and paused, and read its facts."""

from __future__ import annotations

import datetime
import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from migratable.commandline import CommandLine, parse
from migratable.commandline.inert.inert import InertCommandLine
from migratable.commandline.kvm import Outlook, has_kvmclock
from migratable.errors import (
    DestinationStartError,
    MigratableError,
    QemuError,
    StartFailure,
    StreamError,
)
from migratable.facts.ppc import SPR_PVR
from migratable.facts.targets import X86
from migratable.profile import kvm, probe_options, self_test
from migratable.profile.host_kvm import HostKvm
from migratable.profile.model import Profile
from migratable.profile.tables import LoaderTables
from migratable.qemu import save, stand_in
from migratable.qemu.hmp import ram_blocks
from migratable.qemu.process import QemuProcess
from migratable.qemu.program import Program, resolve
from migratable.qemu.qmp import QmpError
from migratable.qemu.start import inert_start
from migratable.qemu.start_errors import not_started
from migratable.releases import QemuVersion

_NEEDS_KVM = re.compile(r"kernel|HyperV|Hyper-V|\bTCG\b|\bKVM\b", re.I)
_OPTION = re.compile(r"^-[a-z][\w-]* \S+: ")  # the user's own words, which may well name KVM


def collect(
    command: CommandLine | Sequence[str] | str,
    *,
    release: str | None = None,
    ram_sizes: Mapping[str, int] | None = None,
    timeout: float = 60.0,
    program: Sequence[str] | None = None,
    then: Callable[[QemuProcess], None] | None = None,
) -> Profile:
    """Take the profile of a destination.

    :param command: its QEMU command line, as :func:`~migratable.commandline.parse` takes.
    :param release: a lab release to use in the place of the line's program.
    :param ram_sizes: RAM block sizes of the stream that is to be checked; see
        :func:`~migratable.commandline.inert`.
    :param timeout: seconds for the start and for each step.
    :param program: words that start the program, in the place of the line's own.
    :param then: called with the started machine when its profile has been taken.
    :raise CommandLineError: When the line cannot be read, made inert, or its program found.
    :raise DestinationStartError: When the program does not start; with its own lines.
    :raise QemuError: When it hangs or dies.
    """
    line = (
        command
        if isinstance(command, CommandLine)
        else parse(command, need_program=release is None)
    )
    found = resolve(line, release=release) if program is None else Program(command=tuple(program))
    start = partial(_started, line, found, ram_sizes=ram_sizes, timeout=timeout, then=then)
    try:
        probe_options.examine(found.command, line, timeout=timeout)
        profile = start(strict=True)
    except probe_options.HostOptionError as refused:
        # The machine can still be described; the profile records that the option is refused.
        try:
            profile = replace(start(strict=False), refused=refused.error.stderr)
        except DestinationStartError as own:
            text = f"{refused.error}"
            if own.stderr[-1:] != refused.error.stderr[-1:]:
                text += "\nwith the host-side options removed:\n" + "\n".join(own.stderr)
            raise DestinationStartError(text, stderr=refused.error.stderr) from None
    take = partial(_started, program=found, ram_sizes=ram_sizes, timeout=timeout, strict=False)
    return _with_blocked_stream(profile, line, take)


_BLOCKERS = {
    "invtsc flag": ("invtsc", "off"),
    "'hv-passthrough' CPU flag": ("hv_passthrough", None),
}
"""What of ``-cpu`` keeps a machine under KVM from being saved (target/i386/kvm/kvm.c: blockers):
QEMU's reason, the flag, and its value for the same machine without the blocker."""


def _with_blocked_stream(
    profile: Profile, line: CommandLine, take: Callable[[CommandLine], Profile]
) -> Profile:
    """Take the stream of the same machine without the CPU flag that blocks saving alone.

    As a destination such a machine takes streams; its own, which it does not give, is what they
    are compared with. That it gives none stays in ``no_stream``.
    """
    found = next((edit for text, edit in _BLOCKERS.items() if text in profile.no_stream), None)
    if found is None:
        return profile
    name, value = found
    try:
        other = take(line.with_cpu(**{name: value}))
    except MigratableError:
        return profile
    return replace(
        profile,
        stream=other.stream,
        notes=(*profile.notes, f"own stream: without {name}, which blocks saving"),
        unchecked=tuple(
            text for text in profile.unchecked if text != _no_stream(profile.no_stream)
        ),
    )


def _started(
    line: CommandLine,
    program: Program,
    *,
    ram_sizes: Mapping[str, int] | None,
    timeout: float,
    strict: bool,
    then: Callable[[QemuProcess], None] | None = None,
) -> Profile:
    """Start it inert, and collect.

    :raise probe_options.HostOptionError: When it does not start, and lacks host options that
        the command line has.
    """
    with inert_start(line, program=program, ram_sizes=ram_sizes, strict=strict) as prepared:
        quiet = prepared.inert
        try:
            with prepared.process(timeout=timeout) as qemu:
                _drivers_exist(qemu, quiet)
                profile = _Facts(qemu, quiet).profile(line, program)
                if lacking := qemu.confinement.missing:
                    note = f"not confined by: {'; '.join(lacking)}"
                    profile = replace(profile, notes=(*profile.notes, note))
                if then is not None:
                    then(qemu)
            return self_test.tried(prepared, profile, timeout=timeout)
        except DestinationStartError as ended:
            error = _as_given(ended, quiet)
            if quiet.stays:
                raise probe_options.HostOptionError(error) from None
            error = _with_doubt(error, quiet)
            if not may_start_under_kvm(quiet, ended.stderr):  # not in the user's own words
                raise error from None
            raise DestinationStartError(
                f"{error}\n(the machine was started under a stand-in; under KVM, for which the "
                "command line asks, it may start)",
                stderr=error.stderr,
                kind=StartFailure.ONLY_KVM,
                status=error.status,
            ) from None


def _with_doubt(error: DestinationStartError, quiet: InertCommandLine) -> DestinationStartError:
    """An error that names a size which a stand-in was given without knowing better."""
    found = quiet.assumed_size_in(error.stderr)
    doubt = ""
    if quiet.accelerator == "tcg" and any(_NO_TCG.search(text) for text in error.stderr):
        doubt = (
            "this program has no TCG, and under what it has it cannot be started here: "
            f"{error.stderr[-1]}"
        )
    elif any(_NO_MEMORY.search(text) for text in error.stderr):
        doubt = f"this machine has too little memory for it: {error.stderr[-1]}"
    elif quiet.misses_kernel(error.stderr):
        doubt = f"-kernel was left out, and this board does not start without: {error.stderr[-1]}"
    elif found is not None:
        doubt = (
            f"an image is not on this machine, and the program does not take the {found} bytes "
            f"that were put in its place: {error.stderr[-1]}"
        )
    if not doubt:
        return error
    return DestinationStartError(
        f"{error}\n({doubt})", stderr=error.stderr, status=error.status, doubt=doubt
    )


_NO_TCG = re.compile(r"invalid accelerator tcg|No accelerator found")
_NO_MEMORY = re.compile(r"annot set up guest memory|Cannot allocate memory")


def may_start_under_kvm(quiet: InertCommandLine, stderr: Sequence[str]) -> bool:
    """Whether it may be for TCG alone that the program did not start, with these last words."""
    said = (_OPTION.sub("", line) for line in stderr if not line.startswith("warning: "))
    return quiet.stand_in and any(_NEEDS_KVM.search(text) for text in said)


def _drivers_exist(qemu: QemuProcess, quiet: InertCommandLine) -> None:
    """Devices that were left out are at least among those that the program knows.

    :raise DestinationStartError: When one is not, as ``qdev_device_add`` says it.
    """
    for driver, given in quiet.removed_drivers:
        try:
            qemu.qmp("device-list-properties", typename=driver)
        except QmpError as error:
            if error.kind == "DeviceNotFound":
                said = f"{given}: '{driver}' is not a valid device model name"
                raise DestinationStartError(
                    f"{not_started('')}; its own words:\n  {said}",
                    stderr=(*qemu.stderr_lines(), said),
                ) from None


def _as_given(error: DestinationStartError, quiet: InertCommandLine) -> DestinationStartError:
    """Name the user's own option where QEMU names what was put in its place."""
    message = str(error)
    lines = quiet.as_given(error.stderr)
    for said, shown in zip(error.stderr, lines, strict=True):
        message = message.replace(said, shown)
    return DestinationStartError(message, stderr=lines, kind=error.kind, status=error.status)


class _Facts:
    """Questions to one running machine."""

    def __init__(self, qemu: QemuProcess, quiet: InertCommandLine) -> None:
        self._qemu = qemu
        self._quiet = quiet
        self._unchecked = list(quiet.unchecked)

    def profile(self, line: CommandLine, program: Program) -> Profile:
        qemu = self._qemu
        version = self._version()
        accelerator = qemu.accelerator()
        machine = self._type("/machine").removesuffix("-machine")
        target = str(qemu.qmp("query-target").get("arch", ""))
        cpu_type, cpu_path = self._cpu()
        features = self._features(cpu_path) if target in X86 else ()
        blocks, page_sizes = self._blocks()
        known = stand_in.ask(qemu, line) if self._quiet.stand_in else Outlook()
        clock = self._quiet.stand_in and has_kvmclock(line, machine, version.release)
        clock = clock and target in X86
        loader = self._loader(machine if clock else "")
        lines = qemu.stderr_lines()
        host = self._host_kvm(program, machine, target) if accelerator == "kvm" else None
        suppressed = self._suppressed()
        stream, no_stream = self._stream()
        if clock and stream:
            stream = kvm.stream_with_kvmclock(stream, machine)
        suffix = re.compile(rf"-({re.escape(target)}-cpu|[a-z0-9_]+-cpu)$")
        return Profile(
            version=version,
            machine=machine,
            target=target,
            program=program.command,
            cpu_model=suffix.sub("", cpu_type),
            pvr=(_pvr(stream) or _live_pvr(loader)) if target in {"ppc64", "ppc"} else None,
            stream=stream,
            no_stream=no_stream,
            suppress_vmdesc=suppressed,
            ram_blocks=blocks,
            block_page_sizes=page_sizes,
            cpu_features=features,
            loader=loader,
            kernel=os.uname().release,
            accelerator=accelerator,
            wants_kvm=self._quiet.stand_in or accelerator == "kvm",
            kvmclock=clock,
            kvm_decides=known.decides,
            host_kvm=host,
            command_line=tuple(line.argv),
            inert=tuple(self._quiet.plain_argv),
            stderr=lines,
            refused=known.refused,
            assumed_blocks=self._quiet.assumed_blocks,
            assumed_sections=self._quiet.assumed_sections,
            assumed_backends=self._quiet.assumed_backends,
            notes=tuple(self._quiet.notes),
            unchecked=tuple(dict.fromkeys(self._unchecked)),
            taken=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        )

    def _host_kvm(self, program: Program, machine: str, target: str) -> HostKvm | None:
        from migratable.profile import cpu_models, host_kvm  # noqa: PLC0415 -- KVM only

        host = host_kvm.read()
        if host is None or target not in X86:
            return host
        known = cpu_models.models(self._qemu, host, command=program.command, machine=machine)
        return replace(host, models=known)

    def _ask(self, command: str, /, **arguments: Any) -> Any:
        """Ask what not every program can answer; None then."""
        try:
            return self._qemu.qmp(command, **arguments)
        except QmpError:
            return None

    def _type(self, path: str) -> str:
        return str(self._qemu.qmp("qom-get", path=path, property="type"))

    def _version(self) -> QemuVersion:
        found = self._qemu.greeting.get("version", {})
        try:
            return QemuVersion.of_qmp(found)
        except ValueError:
            raise QemuError(f"QMP greeting without a version: {str(found)[:100]}") from None

    def _cpu(self) -> tuple[str, str]:
        cpus = self._ask("query-cpus-fast") or []
        if not cpus:
            return "", ""
        path = str(cpus[0].get("qom-path", ""))
        return self._type(path), path

    def _features(self, path: str) -> tuple[Mapping[str, Any], ...]:
        words = self._ask("qom-get", path=path, property="feature-words") if path else None
        return tuple(words or ())

    def _blocks(self) -> tuple[dict[str, tuple[int, int]], dict[str, int]]:
        found = list(ram_blocks(self._qemu.hmp("info ramblock")))
        sizes = {block.name: (block.used, block.maximum) for block in found}
        return sizes, {block.name: block.page_size for block in found}

    def _loader(self, clock_of: str = "") -> LoaderTables | None:
        from migratable.profile.memory import introspect  # noqa: PLC0415 -- for live programs only

        try:
            names = self._capabilities()
            if not clock_of:
                return introspect(self._qemu.pid, capabilities=names)
            tables = introspect(self._qemu.pid, also=(kvm.KVMCLOCK,), capabilities=names)
            return kvm.with_kvmclock(tables, clock_of)
        except MigratableError as error:
            self._unchecked.append(f"the loader's own tables: {error}")
            return None

    def _capabilities(self) -> tuple[str, ...]:
        """Names of the capabilities of a pseries machine."""
        found = self._ask("qom-list", path="/machine") or ()
        names = (str(member.get("name", "")) for member in found)
        return tuple(name.removeprefix("cap-") for name in names if name.startswith("cap-"))

    def _suppressed(self) -> bool:
        """Turn vmdesc on, which the profile needs; whether the machine has it off."""
        if self._ask("qom-get", path="/machine", property="suppress-vmdesc") is not True:
            return False
        self._ask("qom-set", path="/machine", property="suppress-vmdesc", value=False)
        return True

    def _stream(self) -> tuple[bytes, str]:
        memory_files = any(path.name.startswith("memory") for path in self._quiet.files)
        try:
            return save.plain(save.take(self._qemu, ignore_shared=memory_files)), ""
        except QmpError as error:
            reason = error.description
        except (QemuError, StreamError) as error:
            reason = str(error)
        self._unchecked.append(_no_stream(reason))
        return b"", reason


def _no_stream(reason: str) -> str:
    return f"the destination's own stream: {reason}"


def _live_pvr(loader: LoaderTables | None) -> int | None:
    """The same from memory, for a machine that could not write its stream."""
    for handler in () if loader is None else loader.handlers:
        if handler.idstr == "cpu" and handler.vmsd is not None and loader is not None:
            for item in loader.vmsds[handler.vmsd].fields:
                if item.name == "env.spr":
                    at = handler.opaque + item.offset + SPR_PVR * item.size
                    return loader.words.get((at, item.size))
    return None


def _pvr(stream: bytes) -> int | None:
    """Processor version register of the first CPU (``env.spr``)."""
    if not stream:
        return None
    from migratable.stream import read  # noqa: PLC0415 -- ppc64 only
    from migratable.stream.fields import decode  # noqa: PLC0415

    section = read(stream).device("cpu")
    if section is None:
        return None
    registers = decode(section).value("env.spr")
    if isinstance(registers, tuple) and len(registers) > SPR_PVR:
        return registers[SPR_PVR]
    return None
