"""Remedies of Arm's, s390x's and RISC-V's boards."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from migratable.commandline import parse
from migratable.hints import boards, ccw
from migratable.hints.candidate import Situation


def situation(text: str, **more: Any) -> Situation:
    return cast("Situation", SimpleNamespace(line=parse(f"qemu {text}"), **more))


@pytest.mark.parametrize(
    ("text", "name", "actions"),
    [
        ("-M virt", "arm_gicv3", ["-machine gic-version=3"]),
        (
            "-M virt,gic-version=2",
            "arm_gicv3",
            ["-machine without gic-version=", "-machine gic-version=3"],
        ),
        ("-M virt,gic-version=3", "arm_gicv3", []),
        ("-M virt", "virt.secure-ram", ["-machine secure=on"]),
        ("-M virt", "riscv_aplic", ["-machine aia=aplic", "-machine aia=aplic-imsic"]),
        ("-M virt", "pl011", []),
        ("-M microvm", "ioapic", ["-machine ioapic2=on"]),
    ],
)
def test_switches(text: str, name: str, actions: list[str]) -> None:
    assert [one.action for one in boards.switches(situation(text), name)] == actions


def test_places_of_virtio_mmio_are_microvms_alone() -> None:
    idstr = "virtio-mmio@00000000feb00e00/virtio-scsi"
    parts = SimpleNamespace(
        drivers=lambda name: ["virtio-scsi-device", "virtio-scsi-pci"],
        buses={"virtio-scsi-device": "virtio-bus", "virtio-scsi-pci": "PCI"},
    )
    micro = situation("-M microvm", machine="microvm", parts=parts)
    actions = [one.action for one in boards.transports(micro, idstr)]
    assert actions == [
        "-machine ioapic2=off",
        "-machine ioapic2=on",
        "-device virtio-scsi-device -machine ioapic2=off",
        "-device virtio-scsi-device -machine ioapic2=on",
    ]
    given = situation("-M microvm,ioapic2=off", machine="microvm", parts=parts)
    actions = [one.action for one in boards.transports(given, idstr)]
    assert actions == [
        "-machine ioapic2=on",
        "-device virtio-scsi-device -machine ioapic2=on",
    ]
    assert not list(boards.transports(micro, "0000:00:01.0/virtio-scsi"))
    assert not list(boards.transports(situation("-M virt", machine="virt-7.2"), idstr))


def test_processors_are_arms_alone() -> None:
    arm = situation("-cpu cortex-a57", profile=SimpleNamespace(target="aarch64"))
    actions = [one.action for one in boards.processors(arm)]
    assert "-cpu cortex-a72" in actions
    assert "-cpu cortex-a57" not in actions
    other = situation("-cpu qemu64", profile=SimpleNamespace(target="x86_64"))
    assert list(boards.processors(other)) == []


def test_addresses_on_the_channel() -> None:
    at = situation(
        "-device virtio-rng-ccw -device virtio-rng-ccw,devno=fe.0.0007",
        guest=SimpleNamespace(names=["/fe.0.1111/virtio-rng", "/fe.0.2222/virtio-rng"]),
        parts=SimpleNamespace(buses={"virtio-rng-ccw": "virtual-css-bus"}),
        command=("/bin/true",),
    )
    found = list(ccw.placed(at, "/fe.0.1111/virtio-rng"))
    assert found[0].edit is not None
    assert found[0].edit(at.line).argv[1:] == [
        *("-device", "virtio-rng-ccw,devno=fe.0.1111"),
        *("-device", "virtio-rng-ccw,devno=fe.0.2222"),
    ]
    assert found[-1].action == "-device virtio-rng-ccw,devno=fe.0.1111"
    assert list(ccw.placed(at, "0000:00:01.0/virtio-rng")) == []
