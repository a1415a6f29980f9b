"""A started machine: its capabilities, what it printed, and what it would send.

Source: ``spapr_machine_init``, ``spapr_irq_check``, ``spapr_caps_init``, ``spapr_caps_apply``,
``default_caps_with_cpu`` and the ``needed`` functions of ``SPAPR_CAP_MIG_STATE``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from migratable.facts.ppc import CompatMode, CpuModel
from migratable.pseries.build import Build, IcMode, Machine
from migratable.pseries.capability import SendContext, sent_when_changed
from migratable.pseries.commandline import MIB, Options, parse
from migratable.pseries.values import NotModelledError, StartFailed

SLOF_RMA = 128 * MIB
MEMORY_UNIT = 256 * MIB

Sent = tuple[tuple[str, int], ...]
"""(subsection, level) in the order of the wire."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Started:
    """A machine after start, or the lines with which it ended.

    Tuples of levels go by place in ``build.capabilities``.

    :ivar stderr: what QEMU prints, without the program's name.
    :ivar runs: False when QEMU ended; then only ``build`` and ``stderr`` mean anything.
    :ivar given: places that the command line set.
    :ivar cas_pvr: the compat PVR in force after reset (``max-cpu-compat``), 0 without.
    :ivar servers: interrupt servers (``spapr_max_server_number``), the size of XIVE's tables.
    """

    build: Build
    stderr: tuple[str, ...]
    runs: bool = False
    machine: Machine | None = None
    cpu: CpuModel | None = None
    limit: CompatMode | None = None
    ic_mode: IcMode = "legacy"
    levels: tuple[int, ...] = ()
    defaults: tuple[int, ...] = ()
    given: frozenset[int] = frozenset()
    sent: Sent = ()
    cas_pvr: int = 0
    ram: int = 0
    cpus: int = 1
    maxcpus: int = 1
    threads: int = 1
    servers: int = 1

    @property
    def has_xics(self) -> bool:
        """Has the machine an ``ics`` section?"""
        return self.ic_mode != "xive"

    @property
    def has_xive(self) -> bool:
        """Has the machine ``xive-source`` and ``spapr-xive`` sections?"""
        return self.ic_mode in ("xive", "dual")


@dataclass(frozen=True, slots=True)
class Reason:
    """Why a default is what it is, in words."""

    level: int
    why: str


def default_reason(
    build: Build, place: int, machine: Machine, model: CpuModel, limit: CompatMode | None
) -> Reason:
    """The default of one capability (``default_caps_with_cpu``) and where it comes from."""
    cap = build.capabilities[place]
    level = cap.class_default(machine.short, machine.version)
    if cap.lost is not None and level and not build.can_run(cap.lost, model, limit):
        within = f" within max-cpu-compat={limit.name}" if limit is not None else ""
        return Reason(0, f"{model.name}{within} cannot run compat mode {cap.lost}")
    return Reason(level, f"class of {machine.name}")


class Starter:
    """Starts machines of one build; remembers what it worked out, so that batches are fast."""

    def __init__(self, build: Build) -> None:
        """Begin with nothing remembered."""
        self.build = build
        self._started: dict[tuple[str, ...], Started] = {}
        self._bases: dict[tuple[str, str, str], tuple[tuple[int, ...], frozenset[str]]] = {}
        self._applied: dict[
            tuple[tuple[int, ...], frozenset[str]], tuple[tuple[str, ...], bool]
        ] = {}
        self._sent: dict[tuple[object, ...], Sent] = {}
        self._hooked = frozenset(
            place
            for place, cap in enumerate(build.capabilities)
            if cap.sent is not sent_when_changed
        )

    def start(self, args: Sequence[str]) -> Started:
        """The machine that *args* describe.

        :raise NotModelledError: When an option matters and the model does not know how.
        :raise CommandLineError: When *args* is no command line of a pseries machine.
        """
        key = tuple(args)
        found = self._started.get(key)
        if found is None:
            try:
                found = self.boot(parse(self.build, args))
            except StartFailed as failed:
                found = Started(build=self.build, stderr=failed.lines)
            if len(self._started) > 65536:
                self._started.clear()
            self._started[key] = found
        return found

    def boot(self, options: Options) -> Started:
        """``spapr_machine_init`` and the first reset.

        :raise StartFailed: When QEMU ends in it.
        """
        build = self.build
        defaults, base = self._base(options)
        levels = list(defaults)
        for place, level in options.levels:
            levels[place] = level
        has = base | {"one-thread"} if options.smp.threads == 1 else base
        nested = build.by_property.get("cap-nested-hv")
        if nested is None or not levels[nested[0]]:
            has |= {"no-nested-hv"}
        ic_mode = self._checked(options, has)
        lines, fine = self.apply(tuple(levels), has)
        lines = options.lines + lines
        limit = options.limit
        if fine and limit is not None and not build.can_run(limit.name, options.cpu, None):
            lines += (f"Compatibility PVR 0x{limit.pvr:08x} not valid for CPU",)
            fine = False
        if not fine:
            return Started(build=build, stderr=lines)
        given = frozenset(place for place, _ in options.levels)
        return Started(
            build=build,
            stderr=lines,
            runs=True,
            machine=options.machine,
            cpu=options.cpu,
            limit=limit,
            ic_mode=ic_mode,
            levels=tuple(levels),
            defaults=defaults,
            given=given,
            sent=self.sent(options.machine, tuple(levels), defaults, given),
            cas_pvr=0 if limit is None else limit.pvr,
            ram=options.ram,
            cpus=options.smp.cpus,
            maxcpus=options.smp.maxcpus,
            threads=options.smp.threads,
            servers=_servers(options),
        )

    def _base(self, options: Options) -> tuple[tuple[int, ...], frozenset[str]]:
        limit = options.limit
        key = (options.machine.name, options.cpu.name, limit.name if limit else "")
        found = self._bases.get(key)
        if found is None:
            build = self.build
            defaults = tuple(
                default_reason(build, place, options.machine, options.cpu, limit).level
                for place in range(len(build.capabilities))
            )
            modes = (
                f"mode-{mode}" for mode in build.modes if build.can_run(mode, options.cpu, limit)
            )
            found = defaults, options.cpu.family.features.union(modes)
            self._bases[key] = found
        return found

    def _checked(self, options: Options, has: frozenset[str]) -> IcMode:
        """What ``spapr_machine_init`` refuses before the capabilities; the mode in force."""
        build, lines = self.build, options.lines
        if options.ram < SLOF_RMA:
            if not build.has("hint_lines"):
                raise NotModelledError("memory below 128 MiB: text not known before 5.2")
            raise StartFailed(
                *lines,
                "pSeries SLOF firmware requires >= 80ldMiB guest RMA (Real Mode Area memory)",
            )
        self._check_threads(options, has)
        if options.irqchip and not build.has("irqchip_under_tcg"):
            text = {
                "on": "kernel_irqchip requested but only available with KVM",
                "split": "kernel_irqchip split mode not supported on pseries",
            }.get(options.irqchip)
            if text is not None:
                raise StartFailed(*lines, text)
        mode = options.ic_mode
        vsx = build.by_property.get("cap-vsx")
        if (
            vsx is not None
            and (vsx[0], 1) in options.levels
            and options.cpu.family.name == "POWER5P"
        ):
            # cap_vsx_apply asserts Altivec, which POWER5+ has not: the process aborts
            raise NotModelledError("cap-vsx=on on POWER5+: QEMU aborts with a failed assertion")
        if "mode-power9" not in has:
            if mode == "dual":
                mode = "xics"
            elif mode == "xive":
                raise StartFailed(*lines, "XIVE-only machines require a POWER9 CPU")
        if options.ram % MEMORY_UNIT:
            raise StartFailed(*lines, f"Memory size 0x{options.ram:x} is not aligned to 256 MiB")
        if options.cpu_features:
            key, value = options.cpu_features[0]
            owner = f"{options.cpu.name}-powerpc64-cpu"
            known = f"{owner}.{key}" if build.has("class_in_property_error") else f".{key}"
            raise StartFailed(
                *lines,
                f"can't apply global {owner}.{key}={value}: Property '{known}' not found",
            )
        return mode

    def _check_threads(self, options: Options, has: frozenset[str]) -> None:
        """``spapr_set_vsmt_mode`` under TCG."""
        threads, lines = options.smp.threads, options.lines
        if threads == 1:
            return
        if not self.build.has("smt_under_tcg"):
            raise StartFailed(
                *lines, "TCG cannot support more than 1 thread/core on a pseries machine"
            )
        if "mode-power8" not in has:
            raise StartFailed(*lines, "TCG only supports SMT on POWER8 or newer CPUs")
        if threads > 8:
            raise StartFailed(
                *lines, "TCG cannot support more than 8 threads/core on a pseries machine"
            )
        if threads & (threads - 1):
            raise StartFailed(
                *lines,
                f"Cannot support {threads} threads/core on a pseries machine because it must be "
                "a power of 2",
            )
        for what, count in (("smp_cpus", options.smp.cpus), ("max_cpus", options.smp.maxcpus)):
            if count % threads:
                raise StartFailed(
                    *lines, f"{what} ({count}) must be multiple of threads ({threads})"
                )

    def apply(self, levels: tuple[int, ...], has: frozenset[str]) -> tuple[tuple[str, ...], bool]:
        """``spapr_caps_apply``: the lines, and whether QEMU goes on."""
        key = (levels, has)
        found = self._applied.get(key)
        if found is None:
            found = self._applied[key] = self._apply(levels, has)
        return found

    def _apply(self, levels: tuple[int, ...], has: frozenset[str]) -> tuple[tuple[str, ...], bool]:
        lines: list[str] = []
        for cap, level in zip(self.build.capabilities, levels, strict=True):
            for check in cap.checks:
                if not check.fires(level, has):
                    continue
                if check.error:
                    lines.append(check.error)
                    if check.hint:
                        lines.append(check.hint)
                    return tuple(lines), False
                value = cap.value_name(level)
                lines.append(f"warning: {check.warning.format(value=value)}")
        return tuple(lines), True

    def sent(
        self,
        machine: Machine,
        levels: tuple[int, ...],
        defaults: tuple[int, ...],
        given: frozenset[int],
    ) -> Sent:
        """The capability subsections that this source sends, by index."""
        key = (machine.name, levels, defaults, given)
        found = self._sent.get(key)
        if found is None:
            # `changed` can only hold for what was given; other rules are asked every time
            asked = sorted(given | self._hooked)
            found = self._sent[key] = tuple(
                (self.build.capabilities[place].subsection, levels[place])
                for place in asked
                if self._is_sent(place, machine, levels[place], defaults[place], place in given)
            )
        return found

    def _is_sent(self, place: int, machine: Machine, level: int, default: int, given: bool) -> bool:
        cap = self.build.capabilities[place]
        if not cap.subsection:
            return False
        return cap.sent(
            SendContext(given=given, level=level, default=default, machine=machine.version)
        )


def _servers(options: Options) -> int:
    """``spapr_max_server_number``: DIV_ROUND_UP(maxcpus * vsmt, threads)."""
    threads = options.smp.threads
    vsmt = threads if options.machine.version >= (4, 2) else max(8, threads)
    return -(-options.smp.maxcpus * vsmt // threads)
