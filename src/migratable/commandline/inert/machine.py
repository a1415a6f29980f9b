"""Inert forms of what makes the machine itself: type, CPU, firmware, memory, accelerator."""

from __future__ import annotations

import re
from collections.abc import Sequence

from migratable.commandline.inert.work import Work
from migratable.commandline.line import CommandLine, Option
from migratable.commandline.option import Fields, is_on, parse_size
from migratable.errors import CommandLineError
from migratable.facts.targets import X86
from migratable.printable import quoted
from migratable.regular_file import is_regular

_BIOS_SIZE = 256 << 10
THRIFTY_FROM = 1 << 30
"""Main memory from this size on gets a backend that takes no memory until it is used."""


def machine(work: Work, option: Option) -> list[Option]:
    """``-machine``: accelerator, files and Proxmox's suffix go; the rest stays."""
    fields = option.fields
    named = {key.replace("_", "-") for key, value in fields.items() if value}
    if named & {"memory-encryption", "confidential-guest-support"}:
        raise option.error(
            "the guest's memory is encrypted (SEV, TDX or secure execution): its state "
            "cannot be examined from outside, so there is no verdict"
        )
    name = fields.get("type") or ""
    if "+pve" in name:
        plain = name.partition("+pve")[0]
        fields = fields.set("type", plain)
        work.note(option, f"machine type {plain}; the suffix is known to Proxmox's QEMU alone")
        work.skip("whether a Proxmox stream carries the machine type's +pve suffix")
    gone = ["dumpdtb", "kernel", "initrd", "append", "dtb", "shim"]
    # QEMU itself refuses both at once.
    if work.accel != "kvm" and not any(True for _ in work.line.all("accel")):
        gone.append("accel")
    if is_on(fields.get("igd-passthru", fields.get("igd_passthru"))):
        gone += ["igd-passthru", "igd_passthru"]
        work.skip("igd-passthru: the host bridge takes registers from the host's graphics device")
    if firmware := fields.get("firmware"):
        fields = fields.set("firmware", _firmware(work, option, firmware))
    if fields.get("sgx-epc.0.memdev"):
        raise option.error("SGX memory needs the host's own; no verdict")
    if is_on(fields.get("cap-nested-hv")) and work.line.wants_kvm and work.accel != "kvm":
        gone.append("cap-nested-hv")
        work.skip("cap-nested-hv: only KVM has it, and the machine was started under TCG")
    if name == "microvm" and work.line.wants_kvm and work.accel != "kvm":
        fields = _microvm(work, option, fields)
    fields = fields.delete(*gone)
    return [] if fields.is_empty() else [option.with_fields(fields)]


def _microvm(work: Work, option: Option, fields: Fields) -> Fields:
    """``rtc=auto`` is off under KVM, whose guests have kvmclock (hw/i386/microvm.c)."""
    if (work.line.get("machine", "rtc") or "auto") != "auto":
        return fields
    work.note(option, "rtc=off, as rtc=auto is under KVM")
    return fields.set("rtc", "off")


def accel(work: Work, option: Option) -> list[Option]:
    """``-accel``: TCG's stays, with what may be wrong with its properties; under KVM all stay."""
    fields = option.fields
    if work.accel == "kvm":
        for key in _OF_THE_HOST:
            if key in fields:
                fields = fields.delete(key)
                work.note(option, f"{key} left out; it names a file or a socket of the host")
                work.skip(f"-accel kvm,{key}=…: the host's own file or socket")
        return [option.with_fields(fields)] if fields != option.fields else [option]
    return [option] if fields.get("accel") == work.accel == "tcg" else []


_OF_THE_HOST = ("device", "rapl", "rapl-helper-socket")
"""Properties of ``kvm-accel`` that name a file or a socket (accel/kvm/kvm-all.c)."""


def accelerator_option(work: Work, option: Option) -> list[Option]:
    """``-enable-kvm``, which stays under KVM, and beside ``-accel``: both at once QEMU refuses."""
    return [option] if work.accel == "kvm" or any(True for _ in work.line.all("accel")) else []


FOREIGN = frozenset({"hvf", "whpx", "nvmm", "mshv"})
"""Accelerators of macOS, Windows, NetBSD and Azure's hosts; TCG stands for them as for KVM."""
_HOST_ONLY = ("migratable", "host-phys-bits", "host-phys-bits-limit", "host-cache-info")


def cpu(work: Work, option: Option) -> list[Option]:
    """``-cpu`` of a line for KVM: ``host`` cannot be had without it, ``enforce`` would end TCG.

    What a line without KVM asks of TCG stays: there the real program ends as well.
    """
    fields = option.fields
    if work.accel == "kvm" or work.line.accelerator not in {"kvm", *FOREIGN}:
        return [option]
    gone = ["enforce", "check"]
    model = fields.get("model") or ""
    if model == "host":
        if work.architecture.startswith("ppc"):
            work.note(option, "left out: the machine's own model under TCG")
            work.host_cpu()
            return []
        fields = fields.set("model", "max")
        gone += _HOST_ONLY
        work.note(option, "-cpu max, as host needs KVM")
        work.host_cpu()
    fields = fields.delete(*gone)
    for key in ("phys-bits", "phys_bits"):
        if fields.get(key) not in {None, "40"}:
            fields = fields.delete(key)
            work.note(option, f"{key} left out; TCG has 40 alone")
    if work.older_than(8, 0):
        fields = fields.delete("hv-vpindex", "hv_vpindex")  # these ask KVM for it without KVM
    if any(key in fields for key in ("hv-passthrough", "hv_passthrough")):
        fields = fields.delete("hv-passthrough", "hv_passthrough")
        work.skip("hv-passthrough: the Hyper-V features are those of the destination's kernel")
    return [option.with_fields(fields)]


def smp(work: Work, option: Option) -> list[Option]:
    """``-smp``: before 8.1 TCG has no threads on pseries; cores in their place.

    CPU indices, and so the instances of the CPUs' sections, are the same; of hot-plug connectors
    (``spapr_drc``) there are more, among them all of the real machine's.
    """
    fields = option.fields
    threads = fields.get("threads") or "1"
    if (
        work.accel == "kvm"
        or not work.older_than(8, 1)
        or not work.line.wants_kvm
        or not (work.line.machine or "").startswith("pseries")
        or not threads.isdigit()
        or int(threads) < 2
    ):
        return [option]
    cores = fields.get("cores")
    fields = fields.set("threads", "1")
    if cores and cores.isdigit():
        fields = fields.set("cores", str(int(cores) * int(threads)))
    work.note(option, f"{threads} threads a core as cores; TCG has no threads in this release")
    work.skip("threads of a core: examined as cores, as TCG has none in this release")
    return [option.with_fields(fields)]


def stands_for(accel: str) -> str:
    """The name, for people, of an accelerator that stands in for another."""
    return "TCG" if accel == "tcg" else "qtest, as this program has no TCG"


def say_kvm(work: Work) -> None:
    """What a profile under TCG cannot tell of a machine that will run under KVM."""
    why = f", as {work.why_not_kvm}" if work.why_not_kvm else ""
    work.notes.append(f"accelerator kvm: {work.accel}{why}")
    clock = "TSC frequency, " if work.architecture in X86 else ""
    work.skip(
        "the destination's KVM: registers and features that its kernel refuses to set, "
        f"{clock}nested state (the machine was started under {stands_for(work.accel)}{why})"
    )


def say_foreign(work: Work) -> None:
    """What a profile under TCG cannot tell of a machine of another accelerator."""
    name = work.line.accelerator
    work.notes.append(f"accelerator {name}: {work.accel}")
    work.skip(f"the destination's {name}: the machine was started under {stands_for(work.accel)}")


def without_configuration(work: Work) -> bool:
    """Will the machine's stream have no configuration section?

    Machine types up to 2.3 (``migration.send-configuration=off``, ``hw_compat_2_3``) and those that
    ``-global`` says it of.
    """
    named = work.line.all("global")
    said = [
        option.value or ""
        for option in named
        if "migration.send-configuration=" in (option.value or "")
    ]
    if said:
        return not is_on(said[-1].partition("=")[2])
    version = work.machine_version
    return version is not None and version < (2, 4)


def bios(work: Work, option: Option) -> list[Option]:
    """``-bios``: its RAM block ``pc.bios`` has the file's size."""
    path = _firmware(work, option, option.value or "")
    return [Option(name="bios", value=path, index=option.index)]


def _firmware(work: Work, option: Option, name: str) -> str:
    if "/" not in name or is_regular(name):  # a bare name is looked for in QEMU's own folders
        return name
    size = work.ram_sizes.get("pc.bios")
    said = "size taken from the incoming stream"
    if size is None:
        size = firmware_size(name) or _BIOS_SIZE
        said = "size assumed"
    work.note(option, f"{size} bytes of zeros, {said}, as {name} is not on this machine")
    work.skip(
        f"size of the firmware {name}: the file is not on this machine ({said}: {size} bytes)"
    )
    return str(work.private_file("bios", size)).replace(",", ",,")


def firmware_size(name: str) -> int | None:
    """Bytes of a firmware image by its name: the usual OVMF builds; None for others."""
    base = name.rpartition("/")[2].lower()
    if "vars" in base:
        return 540672 if "4m" in base or "secboot" in base else 131072
    if "code" in base:
        return 3653632 if "4m" in base or "secboot" in base else 1966080
    return None


def option_rom(work: Work, option: Option) -> list[Option]:
    """``-option-rom``: kept when the file is here, else zeros."""
    fields = option.fields
    name = fields.get("romfile") or ""
    if "/" not in name or is_regular(name):
        return [option]
    path = work.private_file(f"optionrom{len(work.files)}", 64 << 10)
    work.note(option, "64 KiB of zeros, as the file is not on this machine")
    return [option.with_fields(fields.set("romfile", str(path)))]


def nographic(work: Work, option: Option) -> list[Option]:
    """``-nographic`` is ``-display none`` and the machine property ``graphics=off``.

    The property is added at the end, so that QEMU's messages name the user's own ``-machine``.
    """
    work.graphics_off = True
    return []


def boot(work: Work, option: Option) -> list[Option]:
    """``-boot``: without the splash picture."""
    fields = option.fields.delete("splash", "splash-time")
    return [] if fields.is_empty() else [option.with_fields(fields)]


def fw_cfg(work: Work, option: Option) -> list[Option]:
    """``-fw_cfg``: contents from files and secrets are not in a stream."""
    fields = option.fields
    if fields.get("file") is None and fields.get("gen_id") is None:
        return [option]
    work.note(option, "string=x; its content is not in a stream")
    return [option.with_fields(fields.delete("file", "gen_id").set("string", "x"))]


def smbios(work: Work, option: Option) -> list[Option]:
    """``-smbios``: tables from files go, the rest stays."""
    fields = option.fields
    if fields.get("file") is not None:
        work.note(option, "left out; the tables come with the guest's memory")
        return []
    if fields.get("path") is not None:
        fields = fields.delete("path").set("value", "x")
        return [option.with_fields(fields)]
    return [option]


def acpitable(work: Work, option: Option) -> list[Option]:
    """``-acpitable``: the tables come with the guest's memory."""
    work.note(option, "left out; the table comes with the guest's memory")
    return []


def icount(work: Work, option: Option) -> list[Option]:
    """``-icount``: without recording and replaying."""
    fields = option.fields.delete("rr", "rrfile", "rrsnapshot")
    return [option.with_fields(fields)] if not fields.is_empty() else []


def global_(work: Work, option: Option) -> list[Option]:
    """``-global``: ``migration.*`` stays, since it changes what is sent and checked."""
    return [option]


def default_net(work: Work, options: list[Option]) -> list[Option]:
    """Keep QEMU from making its default NIC when only host ends of ``-net`` were left out."""
    before = any(True for _ in work.line.all("net"))
    after = any(option.name in {"net", "nic", "netdev"} for option in options)
    if before and not after:
        return [*options, Option(name="net", value="none")]
    return options


_MAIN_RAM = {
    "x86_64": "pc.ram",
    "i386": "pc.ram",
    "ppc64": "ppc_spapr.ram",
    "microvm": "microvm.ram",
}
"""The machine classes' ``default_ram_id``, by target, or by machine type where that has its own.

Others are asked of the program (:mod:`migratable.qemu.machines`).
"""
_NO_MAIN_RAM = frozenset({"none", "isapc"})


def needs_main_ram(line: CommandLine) -> bool:
    """Is the main memory big, and its block's name not known without the program?"""
    work = Work.of(line)
    size = memory_size(line.options)
    return size is not None and size >= THRIFTY_FROM and _main_ram(work) is None


def _main_ram(work: Work) -> str | None:
    family = (work.line.machine or "").partition("+")[0]
    if family in _NO_MAIN_RAM:
        return None
    name = _MAIN_RAM.get(family) or _MAIN_RAM.get(work.architecture)
    if name == "ppc_spapr.ram" and family and not family.startswith("pseries"):
        return work.main_ram
    return name or work.main_ram


def thrifty_memory(work: Work, options: list[Option]) -> list[Option]:
    """Back big main memory by a sparse private file: it takes no memory until it is used.

    The block's name is the machine's own (``default_ram_id``), so the RAM block list is the same.
    A shared named file is also what ``x-ignore-shared`` leaves out of a migration in all releases
    (``migrate_ram_is_ignored``: since 8.1 no other shared memory).
    """
    size = memory_size(options)
    name = _main_ram(work)
    plain = not any(
        (option.name == "numa" and "memdev" in option.fields)
        or (option.name == "machine" and "memory-backend" in option.fields)
        for option in options
    )
    if size is None or size < THRIFTY_FROM or name is None or not plain:
        return options
    path = str(work.private_file(f"memory{len(work.files)}", size)).replace(",", ",,")
    text = f"memory-backend-file,id={name},size={size},mem-path={path},share=on"
    if (work.machine_version or (99, 0)) <= (3, 1):  # its compat property would name it /objects/…
        text += ",x-use-canonical-path-for-ramblock-id=off"
    return [
        *options,
        Option(name="object", value=text),
        Option(name="machine", value=f"memory-backend={name}"),
    ]


def memory_size(options: Sequence[Option]) -> int | None:
    """Bytes of ``-m``, None when the line does not say or not plainly."""
    size = None
    for option in options:
        if option.name == "m":
            text = option.fields.get("size")
            if text is not None:
                try:
                    size = parse_size(text, unit="M")
                except CommandLineError:
                    return None
    return size


_BACKEND_SINCE = {
    "offset": (8, 1),
    "prealloc-context": (7, 2),
    "prealloc-threads": (5, 0),
    "readonly": (6, 0),
    "reserve": (6, 1),
    "rom": (8, 2),
}
"""Properties of memory backends (``qapi/qom.json``) that an older release refuses."""


def thrifty_backend(work: Work, option: Option, fields: Fields) -> list[Option]:
    """Keep block name and size: a sparse private file (big) or ordinary memory (small)."""
    if any(key in fields and work.lacks(*since) for key, since in _BACKEND_SINCE.items()):
        return [option]  # it refuses that itself, before it opens anything
    kind = fields.get("qom-type") or ""
    named_by_path = kind in {"memory-backend-file", "memory-backend-memfd"}
    key = "x-use-canonical-path-for-ramblock-id"
    old = (work.machine_version or (99, 0)) <= (3, 1)
    path_named = is_on(fields.get(key)) if key in fields else named_by_path and old
    size_text = fields.get("size") or "0"
    size = int(size_text) if size_text.isdigit() else parse_size(size_text)
    big = size >= THRIFTY_FROM and work.save_memory
    new = "memory-backend-file" if big else "memory-backend-ram"
    if kind == new == "memory-backend-ram":
        cleaned = fields.delete("prealloc", "prealloc-threads", "host-nodes", "policy", "reserve")
        cleaned = cleaned.delete("prealloc-context", "share")
        return [option.with_fields(cleaned)]
    identity = fields.get("id") or ""
    if kind != "memory-backend-ram":
        work.note(option, f"{new} of the same name and size")
    members = {"id": identity, "size": str(size)}
    if big:
        members["mem-path"] = str(work.private_file(f"memory{len(work.files)}", size))
        members["share"] = "on"
    if old or key in fields:
        members[key] = "on" if path_named else "off"
    if re.search(r"[^\w.-]", identity):
        raise option.error(f"id {quoted(identity)} is not an identifier")
    if fields.json is not None:
        document: dict[str, object] = {"qom-type": new, **members, "size": size}
        if big:
            document["share"] = True
        if key in members:
            document[key] = path_named
        return [option.with_fields(Fields(json=document))]
    return [option.with_fields(Fields.of(new, option="object", **members))]
