"""Make a command line inert: nothing of the host is opened, the guest sees the same machine.

Which option becomes what is listed in ``docs/reference/command-lines.md``; every replacement was
compared with the stream of a machine that had the real resources.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from migratable.commandline import readconfig, set_options
from migratable.commandline.inert import backend, block, device, guard, machine, netdev
from migratable.commandline.inert.work import Work
from migratable.commandline.kvm import has_kvmclock
from migratable.commandline.line import CommandLine, Option
from migratable.commandline.option import Fields
from migratable.errors import CommandLineError
from migratable.facts.options import OPTIONS, Part
from migratable.facts.targets import X86
from migratable.releases import QemuVersion

_DESCRIPTOR = re.compile(r"/proc/self/fd/\d+")
_NUMBER = re.compile(r"(?<![\w.])\d{4,18}(?![\w.])")
#: hw/m68k, hw/mips, hw/ppc: boards that start with a kernel, or firmware in its place.
_KERNEL = re.compile(r"(?i)\bkernel\b|could not (load|find) .*(rom|bios|firmware)")


@dataclass(frozen=True, slots=True, kw_only=True)
class InertCommandLine:
    """A command line that may be started anywhere.

    :ivar program: words that name the program, as the line had them.
    :ivar plain_argv: arguments after the program without a monitor, for a caller that adds one.
    :ivar notes: what was replaced by what, in words.
    :ivar unchecked: what so cannot be examined, in words.
    :ivar needs_netns: start it in a private user and network namespace (its taps are made there).
    :ivar qmp_path: where its QMP socket will be.
    :ivar files: private files to create first, with sizes; they hold zeros.
    :ivar reads: files and folders of the host that it will read, by their full names.
    :ivar helpers: commands to start first and to end with it (a stand-in TPM).
        Each makes the socket that is its last word.
    :ivar accelerator: that it is started under: ``kvm``, ``tcg`` or ``qtest``.
    :ivar why_not_kvm: why a line that asks for KVM is started under TCG, in words.
    :ivar kvm: did the line ask for KVM? Then an x86 machine of it has a section ``kvmclock``.
    :ivar kvmclock: will the real machine have that section?
    :ivar removed_devices: ids of ``-device`` options that were taken out.
    :ivar removed_drivers: ``(driver, option as the user wrote it)`` of those; the release may not
        have them.
    :ivar stays: host options that the release lacks are in it (*strict*), so it will not start.
    :ivar assumed_sizes: bytes that images got that are not here and whose size nothing says.
    :ivar assumed_blocks: RAM blocks whose size so is a guess, and why.
    :ivar assumed_sections: last parts of idstrs whose layout so is a guess, and why.
    :ivar stand_in_cpu: another CPU model stands in for ``-cpu host``.
    :ivar without_kernel: a ``-kernel`` was left out; some boards do not start without one.
    :ivar assumed_backends: last parts of idstrs whose backend is poorer than the real one, and why.
    :ivar given: ``(as it is here, as the user wrote it)`` of options that were replaced by one.
    """

    program: tuple[str, ...]
    plain_argv: list[str]
    qmp_path: Path
    notes: list[str] = field(default_factory=list)
    unchecked: list[str] = field(default_factory=list)
    needs_netns: bool = False
    files: Mapping[Path, int] = field(default_factory=dict)
    reads: tuple[str, ...] = ()
    helpers: tuple[tuple[str, ...], ...] = ()
    accelerator: str = "tcg"
    why_not_kvm: str = ""
    kvm: bool = False
    kvmclock: bool = False
    removed_devices: frozenset[str] = frozenset()
    removed_drivers: tuple[tuple[str, str], ...] = ()
    given: tuple[tuple[str, str], ...] = ()
    stays: bool = False
    assumed_sizes: frozenset[int] = frozenset()
    assumed_blocks: Mapping[str, str] = field(default_factory=dict)
    assumed_sections: Mapping[str, str] = field(default_factory=dict)
    without_kernel: bool = False
    stand_in_cpu: bool = False
    assumed_backends: Mapping[str, str] = field(default_factory=dict)

    @property
    def stand_in(self) -> bool:
        """Does another accelerator stand in for the KVM that the line asks for?"""
        return self.kvm and self.accelerator != "kvm"

    @property
    def argv(self) -> list[str]:
        """Arguments after the program; ``-S``, no display, one private QMP socket."""
        path = str(self.qmp_path).replace(",", ",,")
        return [*self.plain_argv, "-qmp", f"unix:{path},server=on,wait=off"]

    def assumed_size_in(self, lines: Iterable[str]) -> int | None:
        """A size that was made up for an image and that the program's words name."""
        numbers = {int(one) for text in lines for one in _NUMBER.findall(text)}
        return min(numbers & self.assumed_sizes, default=None)

    def misses_kernel(self, lines: Iterable[str]) -> bool:
        """Whether the program's words may be for the kernel that was left out."""
        return self.without_kernel and any(_KERNEL.search(text) for text in lines)

    def as_given(self, lines: Sequence[str]) -> tuple[str, ...]:
        """QEMU's lines with the user's own option where they name what was put in its place."""
        private = re.escape(str(self.qmp_path.parent).replace(",", ",,")) + r"/[\w.-]+"
        known = [(re.sub(private, "/proc/self/fd/", here), given) for here, given in self.given]
        found = list(lines)
        for number, text in enumerate(found):
            plain = _DESCRIPTOR.sub("/proc/self/fd/", text)
            for here, given in known:
                if plain.startswith(f"{here}: "):
                    rest = plain[len(here) + 2 :]
                    ours, theirs = _driver(here), _driver(given)
                    if ours and theirs:
                        rest = rest.replace(f"'{ours}'", f"'{theirs}'")
                    found[number] = f"{given}: {rest}"
                    break
        return tuple(found)


def _driver(text: str) -> str | None:
    """The driver of a ``-device`` option as QEMU's errors show it."""
    name, _, value = text.partition(" ")
    try:
        return Fields.parse(value, option="device").get("driver") if name == "-device" else None
    except CommandLineError:
        return None


Handler = Callable[[Work, Option], list[Option]]

_HANDLERS: dict[str, Handler] = {
    "machine": machine.machine,
    "accel": machine.accel,
    "cpu": machine.cpu,
    "smp": machine.smp,
    "bios": machine.bios,
    "option-rom": machine.option_rom,
    "nographic": machine.nographic,
    "boot": machine.boot,
    "fw_cfg": machine.fw_cfg,
    "smbios": machine.smbios,
    "acpitable": machine.acpitable,
    "icount": machine.icount,
    "enable-kvm": machine.accelerator_option,
    "global": machine.global_,
    "drive": block.drive,
    "blockdev": block.blockdev,
    **dict.fromkeys(
        ("hda", "hdb", "hdc", "hdd", "cdrom", "fda", "fdb", "sd", "mtdblock", "pflash"),
        block.image,
    ),
    "netdev": netdev.netdev,
    "nic": netdev.nic,
    "net": netdev.net,
    "chardev": backend.chardev,
    "serial": backend.character,
    "parallel": backend.character,
    "debugcon": backend.character,
    "virtioconsole": backend.character,
    "audiodev": backend.audiodev,
    "audio": backend.audiodev,
    "tpmdev": backend.tpmdev,
    "fsdev": backend.fsdev,
    "virtfs": backend.fsdev,
    "object": backend.object_,
    "device": device.device,
    "usbdevice": device.usbdevice,
}


def inert(
    command_line: CommandLine,
    *,
    release: QemuVersion | None,
    private_dir: Path,
    ram_sizes: Mapping[str, int] | None = None,
    accel: str = "tcg",
    why_not_kvm: str = "",
    netns: bool = True,
    save_memory: bool = True,
    main_ram: str | None = None,
    strict: bool = False,
) -> InertCommandLine:
    """Replace everything of the host in *command_line*, and keep the guest-visible machine.

    Nothing is created: :class:`~migratable.qemu.process.QemuProcess` does that.

    :param release: the program's release when it is known; some replacements depend on it.
    :param private_dir: folder for the QMP socket and stand-in files.
    :param ram_sizes: RAM block names to bytes in the stream that will be loaded: sizes of flash
        and ROM files that are not here are taken from it.
    :param accel: ``kvm`` leaves a line that asks for KVM its own accelerator options; ``tcg`` puts
        TCG in the place of every accelerator; ``qtest``, which runs no guest code, stands in where
        the program has no TCG.
    :param why_not_kvm: why a line that asks for KVM gets TCG, in words.
    :param netns: may taps be made in a private namespace? Else they become hub ports.
    :param save_memory: back main memory of 1 GiB and more so that it takes none until it is used,
        and so that a migration leaves it out when asked to (capability ``x-ignore-shared``).
    :param main_ram: name of the main RAM block where only the program knows it.
    :param strict: options of the host's side (backends, their members) that the release lacks stay,
        so that it refuses them as it will refuse the line itself; else they are replaced like all.
    :raise CommandLineError: When an option is malformed or its file is needed and not here, or the
        guest's memory is encrypted.
    """
    line = set_options.fold(readconfig.expand(command_line))
    work = Work(
        line=line,
        release=release,
        private_dir=private_dir,
        ram_sizes=dict(ram_sizes or {}),
        accel=accel,
        why_not_kvm=why_not_kvm,
        netns=netns,
        save_memory=save_memory,
        main_ram=main_ram,
        strict=strict,
    )
    if machine.without_configuration(work):
        # Its stream would not say that its block list contains addresses (x-ignore-shared).
        work.save_memory = False
    _refuse_xen(line)
    work.node_sizes = block.special_sizes(work)
    options, given = _replaced(work)
    argv = [word for option in options for word in option.words]
    if accel != "kvm" or not line.named_accelerators:
        argv += ["-accel", accel]
    argv += ["-S", "-display", "none"]
    kvm = line.wants_kvm
    if kvm and accel != "kvm":
        machine.say_kvm(work)
    if line.accelerator in machine.FOREIGN:
        machine.say_foreign(work)
    return InertCommandLine(
        program=line.program,
        plain_argv=argv,
        qmp_path=private_dir / "qmp",
        notes=work.notes,
        unchecked=work.unchecked,
        needs_netns=work.needs_netns,
        files=work.files,
        reads=tuple(sorted(work.reads)),
        helpers=tuple(tuple(helper) for helper in work.helpers),
        accelerator=accel,
        why_not_kvm=why_not_kvm,
        kvm=kvm,
        kvmclock=kvm
        and work.architecture in {*X86, ""}  # a name that does not tell: the program will
        and has_kvmclock(line, line.machine or "", None if release is None else release.release),
        removed_devices=frozenset(work.removed_devices),
        removed_drivers=tuple(work.removed_drivers),
        given=tuple(given),
        stays=work.stays,
        assumed_sizes=frozenset(work.assumed_sizes),
        assumed_blocks=work.assumed_blocks,
        assumed_sections=work.assumed_sections,
        without_kernel=line.get("machine", "kernel") is not None
        or any(True for _ in line.all("kernel")),
        stand_in_cpu=work.stand_in_cpu,
        assumed_backends=work.assumed_backends,
    )


def _refuse_xen(line: CommandLine) -> None:
    refused = (
        OPTIONS[option.name].part is Part.REFUSE
        for option in line.options
        if option.name in OPTIONS
    )
    of_xen = "xen" in line.accelerators or (line.machine or "").startswith("xen")
    if of_xen or any(refused):
        raise CommandLineError(
            "a Xen guest (-xen…, accel=xen, xenfv) cannot be started outside Xen; no verdict"
        )


def _replaced(work: Work) -> tuple[list[Option], list[tuple[str, str]]]:
    """The options to start with; and words of those with the user's own that they stand for."""
    options: list[Option] = []
    given = []
    for option in work.line.options:
        made = _one(work, option)
        if len(made) == 1 and (option.file or made[0].words != option.words):
            given.append((" ".join(made[0].words), option.file or " ".join(option.words)))
        options += made
    options = machine.default_net(work, options)
    if work.save_memory:
        options = machine.thrifty_memory(work, options)
    if work.graphics_off:
        options.append(Option(name="machine", value="graphics=off"))
    return options, given


_PC_ONLY = frozenset(["acpitable", "win2k-hack"])
"""Options that go, but that only programs for PCs know (``arch_mask`` in ``qemu-options.hx``)."""


def _one(work: Work, option: Option) -> list[Option]:
    """What stands for an option: nothing that has not passed the guard."""
    if option.name in _PC_ONLY and work.architecture.startswith("ppc"):
        # QEMU itself refuses this before it reads the value.
        return [replace(option, value=None if option.value is None else "sig=NONE")]
    row = OPTIONS.get(option.name)
    if row is None:
        work.note(option, "left out; an option unknown to migratable")
        work.skip(f"option -{option.name}, which is unknown to migratable")
        return []
    if row.part in {Part.DROP, Part.SILENT}:
        if option.name in {"kernel", "initrd", "dtb"}:
            work.note(option, "left out; its content comes with the guest's memory")
        elif option.name in {"mem-path", "mem-prealloc"}:
            work.note(option, "left out; ordinary memory instead")
        elif option.name.startswith("semihosting"):
            work.note(option, "left out; the guest would call the host")
        return []
    handler = _HANDLERS.get(option.name)
    made = [option] if handler is None else handler(work, option)
    return [passed for one in made for passed in guard.passes(work, one)]


__all__ = ["InertCommandLine", "inert"]
