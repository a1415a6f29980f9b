"""A QEMU command line of the pseries machine: what it asks for, or QEMU's own complaint.

QEMU looks at a command line in stages, and the stage decides which of several mistakes is
reported: the form of options, memory, machine type, machine properties, accelerator, the
deprecation warning, processor. The rest belongs to :mod:`migratable.pseries.start`.

Source: ``softmmu/vl.c`` (5.2), ``system/vl.c`` (10.0): qemu_init; measured on 5.2 to 11.1.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from migratable.errors import CommandLineError
from migratable.facts.ppc import CompatMode, CpuModel
from migratable.printable import quoted
from migratable.pseries.build import PREFIX, Build, IcMode, Machine
from migratable.pseries.topology import Topology, read_smp, topology
from migratable.pseries.values import (
    NotModelledError,
    StartFailed,
    dictionary_order,
    parse_bool,
    parse_level,
    parse_size,
    split_keyval,
    split_options,
)

MIB = 1 << 20
DEFAULT_RAM = 512 * MIB
ONE_CPU = Topology()

# Options that do not change the stream.
_INERT_FLAGS = frozenset({
    "S", "nodefaults", "no-user-config", "nographic", "no-reboot", "no-shutdown", "daemonize",
})  # fmt: skip
_INERT_WITH_VALUE = frozenset({
    "display", "serial", "monitor", "qmp", "mon", "chardev", "name", "vnc", "D", "d", "pidfile",
    "incoming", "msg", "sandbox", "runas", "boot", "L", "trace", "uuid", "parallel",
})  # fmt: skip
_WITH_VALUE = _INERT_WITH_VALUE | {"M", "machine", "cpu", "m", "smp", "accel", "vga"}

_INERT_BOOLS = frozenset({"graphics", "dump-guest-core", "mem-merge", "suppress-vmdesc"})
_INERT_TEXTS = frozenset({
    "kvm-type", "host-model", "host-serial", "append", "kernel", "initrd", "dtb", "dumpdtb",
    "dt-compatible", "phandle-start", "firmware",
})  # fmt: skip
# Known properties with an effect on the stream that this model does not have.
_NOT_MODELLED = frozenset({
    "vsmt", "usb", "nvdimm", "nvdimm-persistence", "hmat", "memory-encryption", "memory-backend",
    "modern-hotplug-events", "kernel-addr", "x-vof", "confidential-guest-support",
    "enforce-config-section",
    "igd-passthru", "iommu", "smp-cache", "memory", "boot", "aux-ram-share", "shim",
})  # fmt: skip
_RESIZE_HPT = frozenset({"default", "disabled", "enabled", "required"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What a command line asks for, every value read.

    :ivar levels: (place in the build's capabilities, level), by place; only what was given.
    :ivar lines: what QEMU has printed by then (the deprecation warning).
    """

    machine: Machine
    cpu: CpuModel
    cpu_features: tuple[tuple[str, str], ...] = ()
    limit: CompatMode | None = None
    ic_mode: IcMode
    irqchip: str = ""
    levels: tuple[tuple[int, int], ...] = ()
    ram: int = DEFAULT_RAM
    smp: Topology = ONE_CPU
    lines: tuple[str, ...] = ()


@dataclass(slots=True)
class _Given:
    """The options of a command line by kind, before anything is looked up."""

    machine: list[tuple[str, str]]
    first_machine: str = ""
    cpu: str | None = None
    memory: str | None = None
    smp: dict[str, str] | None = None
    accelerators: tuple[str, ...] = ()


def parse(build: Build, args: Sequence[str]) -> Options:
    """Read *args*, QEMU's arguments without the program's name.

    :raise StartFailed: When this build's QEMU would end with an error.
    :raise NotModelledError: When an option matters and the model does not know how.
    :raise CommandLineError: When *args* is no command line of a pseries machine.
    """
    given = _sort(build, args)
    modern = build.has("keyval_machine")
    if modern:
        ram = _memory(build, given.memory)
    machine = _machine(build, given)
    if not modern:
        ram = _memory(build, given.memory)
        smp = topology(build, machine, given.smp or {})
    properties = [(key, value) for key, value in given.machine if key not in ("type", "accel")]
    state = _Properties(build, machine)
    if modern:
        # a dictionary: the last value of a key counts
        last = dict(properties)
        try:
            smp = topology(build, machine, given.smp) if given.smp else ONE_CPU
            state.set_all(last.items())
        except StartFailed:
            _complain(build, machine, given.smp, last)
            raise
        state.lines = smp.warnings
    else:
        state.set_all(properties)
    lines = list(state.lines)
    try:
        lines += _accelerator(given)
        if machine.deprecated:
            lines.append(deprecation(machine))
        cpu, features = _cpu(build, machine, given.cpu)
    except StartFailed as failed:
        raise StartFailed(*lines, *failed.lines) from None
    return Options(
        machine=machine,
        cpu=cpu,
        cpu_features=features,
        limit=state.limit,
        ic_mode=state.ic_mode,
        irqchip=state.irqchip,
        levels=tuple(sorted(state.levels.items())),
        ram=ram,
        smp=smp,
        lines=tuple(lines),
    )


def _complain(
    build: Build, machine: Machine, smp: dict[str, str] | None, properties: dict[str, str]
) -> None:
    """Fail as QEMU does: the hash of a property's name decides which comes first.

    ``-smp`` is a property of the machine, too; its warning comes in the same order.
    """
    keys = [*properties, *(["smp"] if smp else [])]
    state = _Properties(build, machine)
    warnings: tuple[str, ...] = ()
    for key in dictionary_order(keys):
        try:
            if key == "smp" and smp:
                warnings = topology(build, machine, smp).warnings
            else:
                state.set(key, properties[key])
        except StartFailed as failed:
            raise StartFailed(*warnings, *failed.lines) from None


def deprecation(machine: Machine) -> str:
    """The warning that a deprecated machine type prints first (``MACHINE_VER_DEPRECATION_MSG``)."""
    return (
        f"warning: Machine type '{machine.name}' is deprecated: machines more than 3 years old "
        "are subject to deletion after 6 years"
    )


def _sort(build: Build, args: Sequence[str]) -> _Given:
    given = _Given(machine=[])
    words = iter(args)
    for word in words:
        if not word.startswith("-"):
            raise CommandLineError(
                f"{quoted(word)} is not an option: give QEMU's arguments without the program's "
                "name and without disk images"
            )
        option = word.lstrip("-")
        if option in _INERT_FLAGS:
            continue
        if option == "enable-kvm":
            raise NotModelledError("-enable-kvm: the model is of TCG, not of KVM")
        if option not in _WITH_VALUE:
            raise NotModelledError(f"{word}: devices and other options are not part of the model")
        value = next(words, None)
        if value is None:
            raise CommandLineError(f"{word} needs a value")
        if option in ("M", "machine"):
            given.machine += _machine_pairs(build, word, value)
            given.first_machine = given.first_machine or f"{word} {value}"
        elif option == "cpu":
            given.cpu = value
        elif option == "m":
            given.memory = value
        elif option == "smp":
            given.smp = {**(given.smp or {}), **read_smp(build, value)}
        elif option == "accel":
            _note_accelerator(given, value.split(",")[0], f"-accel {value}: ")
        elif option == "vga" and value != "none":
            raise NotModelledError(f"-vga {value}: devices are not part of the model")
    return given


def _machine_pairs(build: Build, word: str, text: str) -> list[tuple[str, str]]:
    modern = build.has("keyval_machine")
    pairs: list[tuple[str, str]] = []
    options = split_keyval(word, text) if modern else split_options(text)
    for index, (key, value) in enumerate(options):
        if value is not None:
            pairs.append(("kernel-irqchip" if key == "kernel_irqchip" else key, value))
        elif not key:
            continue  # nothing, or a comma at the end
        elif index == 0:
            pairs.append(("type", key))
        else:
            off = key.startswith("no")
            pairs.append((key[2:] if off else key, "off" if off else "on"))
    return pairs


def _machine(build: Build, given: _Given) -> Machine:
    pairs = given.machine
    name = next((value for key, value in reversed(pairs) if key == "type"), PREFIX.rstrip("-"))
    if name == PREFIX.rstrip("-"):
        return build.newest()
    machine = build.machines.get(name)
    if machine is not None:
        return machine
    if not name.startswith(PREFIX) and not name.lower().startswith("pseries"):
        raise NotModelledError(f"machine type {quoted(name)}: only pseries machines are modelled")
    if build.has("quoted_unsupported_machine"):
        line = f'unsupported machine type: "{name}"'
    elif build.has("keyval_machine"):
        line = "unsupported machine type"
    else:
        line = f"{given.first_machine}: unsupported machine type"
    raise StartFailed(line, "Use -machine help to list supported machines")


class _Properties:
    """The machine's properties while they are set one after the other."""

    def __init__(self, build: Build, machine: Machine) -> None:
        self.build = build
        self.machine = machine
        self.levels: dict[int, int] = {}
        self.limit: CompatMode | None = None
        self.ic_mode: IcMode = machine.ic_mode
        self.irqchip = ""
        self.lines: tuple[str, ...] = ()

    def set_all(self, properties: Iterable[tuple[str, str]]) -> None:
        """Properties in this order."""
        for key, value in properties:
            self.set(key, value)

    def set(self, key: str, value: str) -> None:
        """One property, as ``object_property_set`` does it."""
        build = self.build
        place = build.by_property.get(key)
        if place is not None:
            self.levels[place[0]] = parse_level(build, place[1], value)
        elif key == "ic-mode":
            self._set_ic_mode(value)
        elif key == "max-cpu-compat":
            if value and value not in build.modes:
                raise StartFailed(f'Invalid compatibility mode "{value}"')
            self.limit = build.modes[value] if value else None
        elif key == "kernel-irqchip":
            self.irqchip = value
        elif key in _INERT_BOOLS:
            parse_bool(build, key, value)
        elif key == "usb" and not parse_bool(build, key, value):
            pass
        elif key == "resize-hpt":
            if value not in _RESIZE_HPT:
                raise StartFailed('Bad value for "resize-hpt" property')
        elif key in _NOT_MODELLED or key == "usb":
            raise NotModelledError(f"-machine {key}={value}: not part of the model")
        elif key not in _INERT_TEXTS:
            owner = f"{self.machine.name}-machine" if build.has("class_in_property_error") else ""
            raise StartFailed(f"Property '{owner}.{key}' not found")

    def _set_ic_mode(self, value: str) -> None:
        if self.machine.ic_mode == "legacy":
            raise StartFailed("This machine only uses the legacy XICS backend, don't pass ic-mode")
        if value == "xics":
            self.ic_mode = "xics"
        elif value == "xive":
            self.ic_mode = "xive"
        elif value == "dual":
            self.ic_mode = "dual"
        else:
            raise StartFailed('Bad value for "ic-mode" property')
        for index, cap in enumerate(self.build.capabilities):
            alias = cap.given_by.get("ic-mode")
            if alias is not None:
                self.levels[index] = alias[value]


def _note_accelerator(given: _Given, name: str, place: str) -> None:
    if name == "kvm":
        raise NotModelledError("accelerator kvm: the model is of TCG")
    if name != "tcg":
        given.accelerators += (f"{place}invalid accelerator {name}",)


def _accelerator(given: _Given) -> tuple[str, ...]:
    """``configure_accelerators``: what it prints when it finds one that works."""
    if given.accelerators:
        raise StartFailed(*given.accelerators)
    wanted = next((value for key, value in reversed(given.machine) if key == "accel"), "tcg")
    names = wanted.split(":")
    if "kvm" in names:
        raise NotModelledError("accelerator kvm: the model is of TCG")
    invalid = tuple(f"invalid accelerator {name}" for name in names if name != "tcg")
    if "tcg" not in names:
        raise StartFailed(*invalid)
    return (*invalid, "falling back to tcg") if invalid else ()


def _memory(build: Build, text: str | None) -> int:
    if text is None:
        return DEFAULT_RAM
    head, _, rest = text.partition(",")
    if rest or ("=" in head and not head.startswith("size=")):
        raise NotModelledError(f"-m {text}: hotplug memory is not part of the model")
    try:
        size = parse_size(build, "size", head.removeprefix("size="), unit=20)
    except StartFailed as failed:
        raise StartFailed(f"-m {text}: {failed.lines[0]}", *failed.lines[1:]) from None
    return size or DEFAULT_RAM


def _cpu(
    build: Build, machine: Machine, text: str | None
) -> tuple[CpuModel, tuple[tuple[str, str], ...]]:
    name, *rest = (machine.default_cpu if text is None else text).split(",")
    if not name:
        raise StartFailed("-cpu option cannot be empty")
    model = find_cpu(build, machine, name)
    if model is None:
        raise StartFailed(f"unable to find CPU model '{name}'")
    features = []
    for part in filter(None, rest):
        key, equals, value = part.partition("=")
        if not equals:
            raise StartFailed(f"Expected key=value format, found {part}.")
        if key == "compat" and build.release <= (5, 2):
            raise NotModelledError(f"-cpu {text}: use the machine property max-cpu-compat")
        if key.startswith("pre-") and build.release < (8, 1):
            raise NotModelledError(f"-cpu {text}: {key} is not part of the model")
        features.append((key, value))
    if model.name not in build.models:
        raise StartFailed("Unable to find sPAPR CPU Core definition")
    return model, tuple(features)


def find_cpu(build: Build, machine: Machine, name: str) -> CpuModel | None:
    """``ppc_cpu_class_by_name``: by PVR, alias or name, in any case; None when there is none.

    A model that has no core type on pseries comes back with a name that is not in
    ``build.models``.
    """
    hexadecimal = name[2:] if name[:2] in ("0x", "0X") else name
    if len(hexadecimal) == 8:
        try:
            pvr = int(hexadecimal, 16)
        except ValueError:
            pass
        else:
            return next((model for model in build.models.values() if model.pvr == pvr), None)
    if name == "max" and build.has("cpu_max_is_default"):
        name = machine.default_cpu
    lowered = name.lower()
    lowered = build.aliases.get(lowered, lowered)
    if lowered in build.models:
        return build.models[lowered]
    if lowered in build.other_models or (lowered == "max" and not build.has("cpu_max_is_default")):
        family = next(iter(build.models.values())).family
        return CpuModel(name=f"no-core:{lowered}", pvr=0, family=family)
    return None
