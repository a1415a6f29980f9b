"""What a destination says of what a source sends, line by line.

Source: ``vmstate_configuration`` and ``qemu_loadvm_section_start_full`` of migration/savevm.c,
``cpu_post_load`` of target/ppc/machine.c, ``spapr_post_load`` and ``spapr_caps_post_migration``;
blockers outside the capabilities measured between 4.1, 4.2, 5.2, 7.2, 10.0 and 11.1.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from migratable.facts import ppc
from migratable.pseries.build import Build, Machine
from migratable.pseries.start import Sent, Started

INVALID = "Invalid argument"
ADVICE = (
    "Make sure that your current VM setup matches your saved VM setup, "
    "including any hotplugged devices"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """How loading ends: None as ``rule`` means that it loads; ``lines`` may warn all the same.

    :ivar differing: capabilities whose level in the stream is not the destination's, each with
        whether it is higher; in the order of the first lines.
    """

    rule: str | None
    lines: tuple[str, ...]
    device: str | None = None
    subsection: str | None = None
    differing: tuple[tuple[str, bool], ...] = ()

    @property
    def higher(self) -> list[str]:
        """Capabilities that the source has at a higher level."""
        return [name for name, higher in self.differing if higher]

    @property
    def refused(self) -> bool:
        """Did the destination refuse the stream?"""
        return self.rule is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class Arriving:
    """What a destination's loader meets in a stream; None where the stream has no such section.

    :ivar machine: the machine type's name in the configuration, None without a configuration.
    :ivar ram: bytes of the block ``ppc_spapr.ram``.
    :ivar servers: interrupt servers for which ``spapr-xive`` has tables.
    :ivar xive_section: section id of ``spapr-xive``, which the newest releases print.
    :ivar cpus: processors; ``presenters``: sections ``icp/server`` and ``xive-tctx``.
    :ivar xive_first: ``xive-tctx`` comes before ``icp/server`` (up to 4.1).
    :ivar pvr: processor version register of the first processor; ``compat_pvr``: its mode or 0.
    :ivar sent: capability subsections.
    :ivar spapr: is there a ``spapr`` section at all?
    :ivar described: does vmdesc follow? Without it QEMU complains once everything is loaded.
    """

    machine: str | None
    has_xics: bool
    has_xive: bool
    ram: int | None = None
    servers: int | None = None
    xive_section: int = 0
    cpus: int | None = None
    presenters: int = 0
    xive_first: bool = False
    pvr: int | None = None
    compat_pvr: int = 0
    slb_version: int | None = None
    iommu_version: int | None = None
    sent: Sent = ()
    spapr: bool = True
    described: bool = True


def compare_levels(stream: Mapping[str, int], destination: Started) -> Loaded:
    """``spapr_caps_post_migration``: a line for each difference.

    :param stream: level by subsection (``spapr/cap/htm``), as the stream has them.

    A capability that is not in the stream, and one whose level equals the destination's *own
    default*, count as that default: the destination cannot know the source's.
    """
    build = destination.build
    version = destination.machine.version if destination.machine is not None else (0, 0)
    lines: list[str] = []
    differing: list[tuple[str, bool]] = []
    for place, cap in enumerate(build.capabilities):
        ours = destination.levels[place]
        theirs = stream.get(cap.subsection, destination.defaults[place])
        if theirs == ours or not cap.compared(version):
            continue
        if theirs > ours:
            lines.append(cap.higher_line(theirs, ours))
        else:
            lines.append(cap.lower_line(theirs, ours))
        differing.append((cap.name, theirs > ours))
    return Loaded(rule=None, lines=tuple(lines), differing=tuple(differing))


class Loader:
    """Loads what sources send; remembers comparisons, so that batches are fast."""

    def __init__(self) -> None:
        """Begin with nothing remembered."""
        self._compared: dict[tuple[object, ...], Loaded] = {}

    def load(self, source: Started, destination: Started) -> Loaded:
        """What *destination* says of the stream that *source* writes, at once after its start."""
        return self.arrive(leaving(source), destination)

    def arrive(self, stream: Arriving, destination: Started) -> Loaded:
        """What *destination* says of what it meets in *stream*."""
        blocked = before_spapr(stream, destination)
        if blocked is not None:
            return blocked
        last = () if stream.described else ("Expected vmdescription section, but got 0",)
        if not stream.spapr:
            return Loaded(rule=None, lines=last)
        return self.at_spapr(stream.sent, destination, last)

    def at_spapr(self, sent: Sent, destination: Started, last: tuple[str, ...] = ()) -> Loaded:
        """What *destination* says of a ``spapr`` section with these capabilities.

        :param last: lines that follow when everything is loaded.
        """
        build = destination.build
        unknown = next((name for name, _ in sent if name not in build.by_subsection), None)
        if unknown is not None:
            return unknown_subsection(build, unknown)
        compared = self._compare(sent, destination)
        if not compared.higher:
            return replace(compared, lines=compared.lines + last) if last else compared
        return replace(
            compared,
            rule="capability-higher",
            device="spapr",
            lines=compared.lines + post_load_failed(build, "spapr", 3, 1),
        )

    def _compare(self, sent: Sent, destination: Started) -> Loaded:
        machine = destination.machine
        assert machine is not None
        key = (
            destination.build, sent, destination.levels, destination.defaults, machine.version,
        )  # fmt: skip
        found = self._compared.get(key)
        if found is None:
            found = compare_levels(dict(sent), destination)
            if len(self._compared) > 65536:
                self._compared.clear()
            self._compared[key] = found
        return found


def load_failed(
    build: Build, errno: str, cause: str, *, chained: str | None = None
) -> tuple[str, ...]:
    """The last lines: two up to 10.1, one chain from 10.2 on. *cause* may be empty."""
    if build.has("chained_load_errors"):
        return (f"load of migration failed: {errno}: {chained if chained is not None else cause}",)
    return (*((cause,) if cause else ()), f"load of migration failed: {errno}")


def post_load_failed(
    build: Build, device: str, version: int, minimum: int, instance: int = 0
) -> tuple[str, ...]:
    """A device's ``post_load`` gave -EINVAL."""
    cause = f"error while loading state for instance 0x{instance:x} of device '{device}'"
    chained = (
        f"{cause}: post load hook failed for: {device}, version_id: {version}, "
        f"minimum_version: {minimum}, ret: -22"
    )
    return load_failed(build, INVALID, cause, chained=chained)


def unknown_section(build: Build, device: str, instance: int) -> Loaded:
    """The stream has a section for which the destination has no device."""
    what = f"section or instance '{device}' {instance}. {ADVICE}"
    return Loaded(
        rule="unknown-section",
        device=device,
        lines=load_failed(build, INVALID, f"Unknown savevm {what}", chained=f"Unknown {what}"),
    )


def unknown_subsection(build: Build, name: str) -> Loaded:
    """The ``spapr`` section has a subsection that the destination does not know."""
    cause = "error while loading state for instance 0x0 of device 'spapr'"
    if build.has("chained_load_errors"):
        lines = load_failed(
            build, INVALID, f"{cause}: VM subsection '{name}' in 'spapr' does not exist"
        )
    else:
        lines = (cause, "load of migration failed: No such file or directory")
    return Loaded(rule="unknown-subsection", device="spapr", lines=lines)


def pvr_matches(destination: Build, pvr: int, ours: int, family: str) -> bool:
    """``pvr_match`` of target/ppc: may a processor of *pvr* become one of *ours*?"""
    return ppc.pvr_match(
        pvr,
        ours,
        family,
        exact=destination.has("exact_pvr_match"),
        by_revision=destination.has("pvr_match_by_revision"),
    )


def has_configuration(machine: Machine) -> bool:
    """``migration.send-configuration``, and section footers: off for 2.3 and older (hw_compat_2_3).

    A destination of these machine types expects neither.
    """
    return machine.version > (2, 3)


def leaving(source: Started) -> Arriving:
    """What *source* sends, as a destination will meet it."""
    assert source.machine is not None
    assert source.cpu is not None
    return Arriving(
        machine=source.machine.name if has_configuration(source.machine) else None,
        ram=source.ram,
        has_xics=source.has_xics,
        has_xive=source.has_xive,
        servers=source.servers,
        # every registered handler has an id, also the ones that write nothing
        xive_section=4 + source.has_xics + (not source.build.has("no_block_migration")),
        cpus=source.cpus,
        pvr=source.cpu.pvr,
        compat_pvr=source.cas_pvr,
        slb_version=2 if source.build.has("slb_version_2") else 1,
        iommu_version=3 if source.build.has("iommu_version_3") else 2,
        sent=source.sent,
    )


def before_spapr(stream: Arriving, destination: Started) -> Loaded | None:
    """Everything that ends loading before the ``spapr`` section, in the order of the wire."""
    build = destination.build
    assert destination.machine is not None
    ours, theirs = destination.machine.name, stream.machine
    if (theirs is not None) != has_configuration(destination.machine):
        return _configuration_differs(build, theirs)
    if theirs is not None and not ours.startswith(theirs):
        return _other_machine(build, theirs, ours)
    if stream.ram is not None and stream.ram != destination.ram:
        return _other_ram(build, stream.ram, destination.ram)
    if stream.has_xics and not destination.has_xics:
        return unknown_section(build, "ics", 0)
    if stream.has_xive:
        if not destination.has_xive:
            return unknown_section(build, "xive-source", 0)
        if stream.servers != destination.servers:
            return _footer_missing(build, "spapr-xive", stream.xive_section)
    cpu = _cpu_blocked(stream, destination)
    if cpu is not None:
        return cpu
    if stream.iommu_version == 3 and not build.has("iommu_version_3"):
        return Loaded(
            rule="section-version",
            device="spapr_iommu",
            lines=(
                "savevm: unsupported version 3 for 'spapr_iommu' v2",
                f"load of migration failed: {INVALID}",
            ),
        )
    return None


def _configuration_differs(build: Build, theirs: str | None) -> Loaded:
    """Machine types up to 2.3 have no configuration section, later ones need it."""
    missing, unknown = "Configuration section missing", "Unknown savevm section type 7"
    line = missing if theirs is None else unknown
    return Loaded(
        rule="machine-type", device="configuration", lines=load_failed(build, INVALID, line)
    )


def _other_machine(build: Build, theirs: str, ours: str) -> Loaded:
    cause = f"Machine type received is '{theirs}' and local is '{ours}'"
    hook = "post load hook failed for: configuration, version_id: 1, minimum_version: 0"
    return Loaded(
        rule="machine-type",
        device="configuration",
        lines=load_failed(build, INVALID, cause, chained=f"{hook}: {cause}"),
    )


def _other_ram(build: Build, theirs: int, ours: int) -> Loaded:
    """``ram_load_precopy``: the block cannot be resized."""
    cause = "error while loading state for instance 0x0 of device 'ram'"
    chained = f"{cause}: Failed to load vmstate version_id: 4, ret: -22"
    return Loaded(
        rule="ram-block-size",
        device="ram",
        lines=(
            f"Size mismatch: ppc_spapr.ram: 0x{theirs:x} != 0x{ours:x}: {INVALID}",
            *load_failed(build, INVALID, cause, chained=chained),
        ),
    )


def _footer_missing(build: Build, device: str, section_id: int) -> Loaded:
    """The destination reads more or fewer bytes than were sent (another number of servers)."""
    line = f"Missing section footer for {device}"
    chained = f"Section footer error, section_id: {section_id}"
    lines = load_failed(build, INVALID, line, chained=chained)
    if build.has("chained_load_errors"):
        lines = (line, *lines)
    return Loaded(rule="section-footer", device=device, lines=lines)


def _cpu_blocked(stream: Arriving, destination: Started) -> Loaded | None:
    build = destination.build
    assert destination.cpu is not None
    if stream.slb_version == 2 and not build.has("slb_version_2"):
        return Loaded(
            rule="version-too-new",
            device="cpu",
            subsection="cpu/slb",
            lines=(
                "cpu/slb: incoming version_id 2 is too new for local version_id 1",
                "error while loading state for instance 0x0 of device 'cpu'",
                f"load of migration failed: {INVALID}",
            ),
        )
    if stream.pvr is not None:
        blocked = _cpu_post_load(stream.pvr, stream.compat_pvr, destination)
        if blocked is not None:
            return blocked
    if stream.cpus is not None and stream.cpus > destination.cpus:
        return unknown_section(build, "cpu_common", destination.cpus)
    if stream.presenters and stream.cpus is None:
        # a stream without processors, as the model writes them
        kinds = stream.has_xics + stream.has_xive
        assert destination.machine is not None
        places = destination.cpus
        if destination.machine.version <= (2, 9):
            # pre_2_10_vmstate_register_dummy_icp: placeholders take icp/server of absent CPUs
            places = max(places, destination.servers)
        if kinds and stream.presenters // kinds > places:
            first_xive = stream.has_xive and (not stream.has_xics or stream.xive_first)
            return unknown_section(build, "xive-tctx" if first_xive else "icp/server", places)
    return None


def _cpu_post_load(pvr: int, compat_pvr: int, destination: Started) -> Loaded | None:
    """``cpu_post_load``: compat mode, or the same model."""
    build, cpu = destination.build, destination.cpu
    assert cpu is not None
    # cpu/compat carries the source's mode; without it the destination keeps its own
    mode_pvr = compat_pvr or destination.cas_pvr
    if not mode_pvr:
        if pvr_matches(build, pvr, cpu.pvr, cpu.family.name):
            return None
        return Loaded(rule="cpu-identity", device="cpu", lines=post_load_failed(build, "cpu", 5, 5))
    mode = next((mode for mode in build.modes.values() if mode.pvr == mode_pvr), None)
    if mode is None:
        line = f"Unknown compatibility PVR 0x{mode_pvr:08x}"
    elif build.can_run(mode.name, cpu, None):
        return None
    else:
        line = f"Compatibility PVR 0x{mode_pvr:08x} not valid for CPU"
    return Loaded(
        rule="cpu-identity",
        device="cpu",
        subsection="cpu/compat",
        lines=(line, *post_load_failed(build, "cpu", 5, 5)),
    )
