"""What is said when a program does not start."""

from __future__ import annotations

import pytest

from migratable.qemu.start_errors import remedy, start_message


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ("-no-hpet: invalid option", "hpet=off"),
        ("-realtime: invalid option", "mem-lock"),
        ("--frobnicate: invalid option", "take it out"),
        ('unsupported machine type: "pc-i440fx-2.1"', "machine type"),
        ("-device x: 'qxl-vga' is not a valid device model name", "install the package"),
        ("-device virtio-blk-pci,scsi=off: Property 'virtio-blk-pci.scsi' not found", "property"),
        ("Could not load bios image 'x.rom'", "firmware"),
        ("could not find firmware/kernel file 'u-boot.e500'", "firmware"),
        ("-net nic,vlan=0: Invalid parameter 'vlan'", "netdev"),
        ("CPU model 'host' requires KVM or HVF", "KVM"),
        ('-object {"id": "a", "qom-type": "b"}: Parameter \'id\' is missing', "JSON"),
        ("System Management Mode not supported by this hypervisor.", "KVM has SMM"),
        ("error: failed to set MSR 0x10a to 0xc000069", "outer hypervisor"),
        ("kernel doesn't allow setting HyperV VP_INDEX", "Linux 4.13"),
        ("Host doesn't support requested features", "enforce"),
        ("Parameter 'x' expects a number", "The value is one"),
        ("something new", "correct it"),
    ],
)
def test_remedy(line: str, text: str) -> None:
    assert text in remedy([line])


def test_nothing_said_gives_no_remedy() -> None:
    assert remedy([]) == ""
    assert start_message("exit status 1", []).endswith("it printed nothing")


def test_the_reason_stands_before_the_warnings() -> None:
    lines = [f"warning: TCG doesn't support feature {n}" for n in range(40)] + ["-m 1: too small"]
    said = start_message("exit status 1", lines)
    assert said.splitlines()[1] == "  -m 1: too small"
    assert "(and 40 warnings)" in said
    only = start_message("exit status 1", lines[:3])
    assert "feature 2" in only


def test_what_enforce_refuses_is_named() -> None:
    lacks = "warning: host doesn't support requested feature: CPUID.01H:ECX.aes [bit 25]"
    lines = [lacks, "warning: other", "Host doesn't support requested features"]
    said = start_message("exit status 1", lines)
    assert lacks in said
    assert "(and 1 warning)" in said
    assert lacks not in start_message("exit status 1", [lacks, "-m 1: too small"])
