"""What is said under a start, restore, save or snapshot, and what is not."""

from __future__ import annotations

import io

import pytest

from migratable.explain.operation import Operation
from migratable.explain.story import explain


def test_a_table_loader_of_one_page_is_an_old_release_or_another_page_size() -> None:
    line = "qemu-system-{}: Length too large: /rom@etc/table-loader: {} > 0x1000: Invalid argument"
    old, pages = (
        explain(io.BytesIO(line.format(*values).encode())).explanations[0].cases[0]
        for values in (("x86_64", "0x2000"), ("aarch64", "0x10000"))
    )
    assert (old.id, old.certainty) == ("old-table-loader", "certain")
    assert (pages.id, pages.certainty) == ("table-loader-pages", "likely")


def test_a_saved_state_that_ends_early_has_no_sender() -> None:
    log = (
        "error: Failed to restore domain from /var/tmp/web1.save\n"
        "error: internal error: QEMU unexpectedly closed the monitor (vm='web1'): "
        "2024-05-02T10:11:12.000000Z qemu-system-x86_64: load of migration failed: "
        "Input/output error\n"
    )
    found = explain(io.BytesIO(log.encode())).explanations[0]
    assert str(found.side) == "neither"
    assert "intact copy" in found.now
    assert "the source" not in f"{found.meaning} {found.now}"


@pytest.mark.parametrize(
    ("case", "lines"),
    [
        (
            "vsock-seqpacket",
            (
                "Features 0x130000002 unsupported. Allowed features: 0x179000000",
                "Failed to load virtio-vhost_vsock:virtio",
                "error while loading state for instance 0x0 of device "
                "'0000:00:05.0/virtio-vhost_vsock'",
            ),
        ),
        ("spapr-process-table", ("Process table config unsupported by the host",)),
    ],
)
def test_what_two_causes_print_is_not_certain(case: str, lines: tuple[str, ...]) -> None:
    log = "".join(f"qemu-system-ppc64: {line}\n" for line in lines)
    cases = explain(io.BytesIO(log.encode())).explanations[0].cases
    assert {one.id: one.certainty for one in cases}.get(case) == "likely"


def test_an_unknown_line_of_a_device_that_was_loaded_names_the_device() -> None:
    log = (
        "qemu-system-x86_64: rdma: pci_dma_map fail, addr=0x7927f000, len=184\n"
        "qemu-system-x86_64: error while loading state for instance 0x0 of device "
        "'0000:00:10.1/pvrdma'\n"
        "qemu-system-x86_64: load of migration failed: Operation not permitted\n"
    )
    found = explain(io.BytesIO(log.encode())).explanations[0]
    assert (found.message, str(found.status)) == (None, "unknown")
    assert "0000:00:10.1/pvrdma was being loaded" in found.meaning
    assert "detach-device" in found.now


@pytest.mark.parametrize(
    ("line", "operation"),
    [
        ("vmstate_downtime_checkpoint dst-precopy-loadvm-completed", Operation.MIGRATION),
        ("qemu_loadvm_state_section_partend 2", Operation.MIGRATION),
        ("savevm_state_begin", Operation.MIGRATION),
        ("(qemu) loadvm s1", Operation.RESTORE),
        ("$ qemu-system-x86_64 -m 1G -loadvm s1", Operation.RESTORE),
        ('{"execute": "snapshot-load", "arguments": {"job-id": "j"}}', Operation.RESTORE),
    ],
)
def test_trace_points_are_no_command(line: str, operation: Operation) -> None:
    """QEMU's functions and trace points of loading are the same for a migration and a restore."""
    refusal = 'qemu-system-x86_64: Unknown ramblock "hp_mem0", cannot accept migration'
    found = explain(io.BytesIO(f"{line}\n{refusal}\n".encode())).explanations[0]
    assert found.operation is operation


def test_a_format_that_cannot_move_is_no_lock() -> None:
    """QEMU 1.x: ``QERR_BLOCK_FORMAT_FEATURE_NOT_SUPPORTED``."""
    line = (
        "qemu-system-x86_64: Block format 'qed' used by device 'ide0-hd0' does not support "
        "feature 'live migration'"
    )
    found = explain(io.BytesIO(f"{line}\n".encode())).explanations[0]
    assert (found.message, found.rule) == ("source-format", "not-migratable")
    line = "qemu: Block format 'qcow' used by node 'a' does not support reopening files"
    assert "in use" not in explain(io.BytesIO(f"{line}\n".encode())).explanations[0].meaning
