"""Public reports that an outside judge explained first; PCI bytes decoded; cases and evidence."""

from __future__ import annotations

import io
import tomllib
from pathlib import Path
from typing import Any

import pytest

from migratable.explain import decode
from migratable.explain.cases import cases
from migratable.explain.story import explain
from migratable.facts import pci

FAILURES: list[dict[str, Any]] = [
    failure
    for name in (
        "public_logs_3.toml",
        "public_logs_4.toml",
        "public_logs_5.toml",
        "public_logs_libvirt.toml",
        "public_logs_libvirt_2.toml",
    )
    if (path := Path(__file__).parent / name).exists()
    for failure in tomllib.loads(path.read_text(encoding="utf-8"))["failure"]
]


@pytest.mark.parametrize("failure", FAILURES, ids=[item["name"] for item in FAILURES])
def test_explained(failure: dict[str, Any]) -> None:
    report = explain(io.BytesIO((failure["log"] + "\n").encode()))
    found = report.explanations[0]
    assert (str(found.status), found.rule or "", str(found.side)) == (
        failure["status"],
        failure["rule"],
        failure["side"],
    )
    assert (found.cases[0].id if found.cases else "") == failure["case"]
    assert report.exit_status == failure["exit"]


def said(log: str) -> str:
    return " ".join(explain(io.BytesIO(log.encode())).explanations[0].details)


PCI = (
    "qemu-kvm: get_pci_config_device: Bad config data: i={offset} read: {read} device: {local} "
    "cmask: ff wmask: {wmask} w1cmask:0\n"
    "qemu-kvm: error while loading state for instance 0x0 of device '{device}'\n"
)


@pytest.mark.parametrize(
    ("offset", "read", "local", "device", "words"),
    [
        ("0x72", "88", "80", "0000:00:03.0/xhci", "MSI vectors: source 16, destination 1"),
        ("0x9a", "4", "8", "0000:00:04.0/virtio-blk", "4 against 8 queues"),
        ("0xde", "4", "8", "0000:00:02.0:00.0/virtio-blk", "4 against 8 queues"),
        ("0x9a", "3", "9", "0000:00:04.0/virtio-net", "1 against 4 pairs of queues"),
        ("0x9a", "5", "7", "0000:00:04.0/virtio-scsi", "3 against 5 queues"),
        ("0x104", "0", "20", "0000:00:02.0:00.0/virtio-net", "Page aligned request"),
        ("0x6e", "40", "0", "0000:00:02.0/pcie-root-port", "A card in the slot"),
        ("0x61", "0", "50", "0000:00:03.0/intel-hda", "at different places"),
    ],
)
def test_pci_bytes_are_decoded_by_capability(
    offset: str, read: str, local: str, device: str, words: str
) -> None:
    log = PCI.format(offset=offset, read=read, local=local, wmask=0, device=device)
    assert words in said(log)


def test_a_pci_byte_of_an_unknown_device_is_not_guessed() -> None:
    text = said(PCI.format(offset="0x72", read="88", local="80", wmask=0, device="0000:00:03.0/x"))
    assert "which one depends on the device's capability list" in text


def test_every_layout_names_capabilities_that_have_a_name() -> None:
    for layout in pci.layouts():
        for kind, at in layout.capabilities:
            assert kind in pci.CAPABILITIES, layout
            assert 0x40 <= at < 0x100
        for kind, at in layout.extended:
            assert kind in pci.EXTENDED, layout
            assert at >= 0x100


def test_layouts_follow_the_bus() -> None:
    """A virtio device behind a port has PCI Express and power management before virtio's own."""
    root = pci.places(0x9A, "0000:00:04.0/virtio-blk")
    port = pci.places(0xDE, "0000:00:02.0:00.0/virtio-blk")
    assert {place.register for place in root} == {"MSI-X table size"}
    assert {place.register for place in port} == {"MSI-X table size"}
    assert decode.pci_byte(0x9A, "0000:00:02.0:00.0/virtio-blk", None).place != next(iter(root))


def sure(log: str) -> set[str]:
    found = explain(io.BytesIO(log.encode())).explanations[0]
    return {case.id for case in found.cases if case.certainty == "certain"}


@pytest.mark.parametrize(
    ("log", "certain"),
    [
        ("qemu-kvm: Unknown savevm section or instance 'icp/server' 0. Make sure\n", "xics-xive"),
        ("qemu-kvm: Unknown savevm section or instance 'icp/server' 4\n", "icp-presenters"),
        ("qemu-kvm: Failed to load cpu:cpreg_vmstate_array_len\n", ""),
        ("qemu-kvm: Missing section footer for i2c_bus\n", ""),
        ("qemu-kvm: Unknown ramblock \"ppc_spapr.ram\", cannot accept migration\n", ""),
        ("qemu-kvm: VQ 0 vring.num 1024 exceeds allocated max 8\n", ""),
    ],
)  # fmt: skip
def test_certain_only_where_the_evidence_singles_the_case_out(log: str, certain: str) -> None:
    assert sure(log) == ({certain} if certain else set())


def test_a_certain_case_has_evidence_beyond_its_message() -> None:
    """Apart from messages that one fault alone prints."""
    own = {
        "emulator-path", "proxmox-machine", "spapr-process-table", "htab-shift",
    }  # fmt: skip
    for case in cases():
        if case.certainty == "certain" and case.id not in own:
            assert set(case.when) - {"message"}, case.id


def test_the_other_sides_crash_is_the_cause() -> None:
    """Beside what the surviving side says of the channel."""
    for crash in (
        "double free or corruption (!prev)",
        "qemu-system-x86_64: ../hw/virtio/virtio.c:1234: virtio_load: Assertion `x' failed.",
        "malloc(): memory corruption",
    ):
        log = (
            f"{crash}\nqemu-system-x86_64: Unable to write to socket: Broken pipe\n"
            "qemu-system-x86_64: failed to save SaveStateEntry with id(name): 3(ram): -5\n"
        )
        found = explain(io.BytesIO(log.encode())).explanations[0]
        assert crash.split(":")[0] in found.line, crash
        assert str(found.status) == "explained"


def test_ram_minus_5_is_the_connection() -> None:
    log = "qemu-system-x86_64: failed to save SaveStateEntry with id(name): 3(ram): -5\n"
    found = explain(io.BytesIO(log.encode())).explanations[0]
    assert str(found.status) == "symptom"
    assert "destination" in found.now


@pytest.mark.parametrize(
    ("text", "rule", "side"),
    [
        ("unsupported configuration: frobnication is not available", "management", "destination"),
        ("argument unsupported: frobnicate", "management", "source"),
        ("Requested operation is not valid: frobnicator is attached", "management", "source"),
        ("XML error: unexpected frobnicator", "management", "destination"),
    ],
)
def test_the_class_of_libvirts_error_says_who_refused(text: str, rule: str, side: str) -> None:
    found = explain(io.BytesIO(f"error: {text}\n".encode())).explanations[0]
    assert (found.rule, str(found.side)) == (rule, side)
    assert "frobnicat" in found.meaning or "frobnicat" in found.line


@pytest.mark.parametrize(
    "line",
    [
        "KVM does not support userspace APIC",
        "Interrupt Remapping cannot work with kernel-irqchip=on, please use 'split|off'.",
        "kvm_init_vcpu: kvm_arch_init_vcpu failed (0): Operation not supported",
        "kernel doesn't allow setting HyperV VP_INDEX",
        "Lost tick policy not supported.",
        "System Management Mode not supported by this hypervisor.",
    ],
)
def test_what_keeps_a_kvm_destination_from_starting(line: str) -> None:
    """review/kvm.md, class N."""
    found = explain(io.BytesIO(f"qemu-system-x86_64: {line}\n".encode())).explanations[0]
    assert (found.rule, str(found.side)) == ("destination-start", "destination")


@pytest.mark.parametrize("target", ["riscv64", "loongarch64", "mips64el", "s390x"])
def test_a_case_of_one_target_is_not_said_of_another(target: str) -> None:
    """The PCI bus became conditional on s390x alone."""
    log = f"qemu-system-{target}: Unknown savevm section or instance 'PCIBUS' 0. Make sure\n"
    found = explain(io.BytesIO(log.encode())).explanations[0]
    assert ("s390-pcibus" in {case.id for case in found.cases}) is (target == "s390x")
