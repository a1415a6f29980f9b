"""A state that one host loads has no two sides."""

from __future__ import annotations

import io

import pytest

from migratable.explain.operation import Operation, of_saved, operation
from migratable.explain.story import explain
from tests.explain.reports import explained, reports

LOADS = (
    "VQ 0 size 0x80 < last_avail_idx 0x0 - used_idx 0xcccc",
    "Missing section footer for 0000:00:03.0/virtio-net",
    'Unknown ramblock "0000:00:03.0/vga.vram", cannot accept migration',
    "Unknown savevm section or instance 'acpi' 0. Make sure that your current VM setup matches"
    " your saved VM setup, including any hotplugged devices",
    "get_pci_config_device: Bad config data: i=0x10 read: a1 device: 1 cmask: ff wmask: c0"
    " w1cmask:0",
    "Features 0x130afffa7 unsupported. Allowed features: 0x179bfffe7",
)


@pytest.mark.parametrize("line", LOADS)
@pytest.mark.parametrize(
    ("head", "tail"),
    [
        (
            "error: Failed to restore domain from /x.save",
            "load of migration failed: Invalid argument",
        ),
        ("virsh # start web", "load of migration failed: Invalid argument"),
        ("(qemu) loadvm one", "Error -22 while loading VM state"),
    ],
)
def test_a_restore_has_one_host(line: str, head: str, tail: str) -> None:
    log = f"{head}\nqemu-system-x86_64: {line}\nqemu-system-x86_64: {tail}\n"
    found = explain(io.BytesIO(log.encode())).explanations[0]
    assert found.operation is Operation.RESTORE
    for word in ("both sides", "the destination", "the source", "other host", "migrate "):
        assert word not in f"{found.meaning} {found.now}", word
    assert "managedsave-remove" in found.now


@pytest.mark.parametrize("line", LOADS)
def test_a_migration_keeps_its_words(line: str) -> None:
    log = (
        "error: Failed to migrate\n"
        f"qemu-system-x86_64: {line}\n"
        "qemu-system-x86_64: load of migration failed: Invalid argument\n"
    )
    found = explain(io.BytesIO(log.encode())).explanations[0]
    assert "managedsave-remove" not in found.now


def test_what_helps_a_migration_only_is_left_out() -> None:
    told = of_saved(
        "Give {the destination} the device. {moving: Compare it on both sides.}", known=False
    )
    assert told.startswith("Give this QEMU the device. The saved state fits only the QEMU")


@pytest.mark.parametrize(
    ("line", "which"),
    [
        ("qemu-system-arm: Error -22 while loading VM state", Operation.RESTORE),
        ("Unable to restore from managed state /x.save", Operation.RESTORE),
        ("virsh snapshot-revert a b\nerror while loading state for x", Operation.RESTORE),
        ("virsh snapshot-revert a b", Operation.SNAPSHOT),
    ],
)
def test_a_load_of_a_state_is_a_restore(line: str, which: Operation) -> None:
    assert operation([line]) is which


@pytest.mark.parametrize(
    ("errno", "word"),
    [(-95, "qcow2"), (-28, "room"), (-27, "too large"), (-5, "storage"), (-1, "A device refused")],
)
def test_the_number_of_a_save_is_used(errno: int, word: str) -> None:
    log = f"(qemu) savevm a\nError {errno} while writing VM\n"
    found = explain(io.BytesIO(log.encode())).explanations[0]
    assert word in f"{found.meaning} {found.now}"


def test_options_of_a_command_are_no_error() -> None:
    line = "virsh migrate --live --p2p --abort-on-error web qemu+tcp://10.0.0.2/system"
    report = explain(io.BytesIO(f"{line}\n".encode()))
    assert (report.explanations, report.suspicious) == ((), ())


def test_qemu_img_that_writes_needs_the_guest_off() -> None:
    log = "qemu-img: Could not open '/x.qcow2': Failed to get shared \"write\" lock\n"
    now = (
        explain(io.BytesIO(f"Command: qemu-img resize /x.qcow2 9G\n{log}".encode()))
        .explanations[0]
        .now
    )
    assert "shut the guest down" in now
    now = (
        explain(io.BytesIO(f"Command: qemu-img info /x.qcow2\n{log}".encode())).explanations[0].now
    )
    assert "nova does since 16.0.2" in now


def test_a_known_case_speaks_of_the_saved_state() -> None:
    log = (
        "(qemu) loadvm a\nqemu-system-i386: Length mismatch: pc.ram: 0x8000000 in != 0x10000000: "
        "Invalid argument\nqemu-system-i386: error while loading state for instance 0x0 of device "
        "'ram'\nError -22 while loading VM state\n"
    )
    found = explain(io.BytesIO(log.encode())).explanations[0]
    assert found.cases[0].title == "This QEMU has another amount of memory"
    assert found.now.startswith("Start the guest with the saved state's -m. Where that does not")
    assert "Saved state 0x8000000 (128 MiB), this QEMU 0x10000000 (256 MiB)." in found.details


def test_what_readconfig_says_behind_its_cause_is_known() -> None:
    log = next(one["log"] for one in reports("public_logs_u") if one["name"] == "u39")
    report = explained(log)
    assert (report.suspicious, report.exit_status) == ((), 0)
