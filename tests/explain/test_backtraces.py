"""Which frame of a back trace is named: that of a device or a subsystem, inside what only carries.

Traces are put together from an end (the C library's), frames that only carry, a function of a
device, and the frames of a load, a save or a start outside; gdb's ways to write them are varied.
"""

from __future__ import annotations

import io
import itertools

import pytest

from migratable.explain.explanation import Explanation
from migratable.explain.story import explain

ENDS: tuple[list[str], ...] = (
    ["raise", "abort", "__assert_fail_base", "__GI___assert_fail"],
    ["__pthread_kill_implementation", "__GI_raise", "__GI_abort", "error_handle_fatal"],
    ["__memcpy_ssse3_back", "memcpy", "qemu_put_buffer"],
    ["??"],
    [],
)
CARRIERS: tuple[list[str], ...] = (
    [],
    ["kvm_vcpu_ioctl"],
    ["error_setv", "error_setg_internal"],
    ["qemu_get_be32", "get_uint32"],
    ["memory_region_dispatch_write", "address_space_write"],
)
DEVICES = (
    ("virtio_net_load", "hw/net/virtio-net.c", "virtio device (virtio_net)"),
    ("e1000_post_load", "hw/net/e1000.c", "hw/net/e1000.c"),
    ("kvmppc_configure_v3_mmu", "target/ppc/kvm.c", "target/ppc/kvm.c"),
    ("ahci_state_post_load", "hw/ide/ahci.c", "AHCI"),
    ("qcow2_co_invalidate_cache", "block/qcow2.c", "block layer"),
    ("vfio_save_block", "hw/vfio/migration.c", "vfio"),
)
OUTSIDE = (
    (["vmstate_load_state", "vmstate_load", "qemu_loadvm_state_main",
      "process_incoming_migration_co", "coroutine_trampoline"],
     "loading the stream", "destination"),
    (["vmstate_save_state", "vmstate_save", "qemu_savevm_state_complete_precopy",
      "migration_completion", "migration_thread", "start_thread", "clone"],
     "saving the guest's state", "source"),
)  # fmt: skip


def trace(names: list[str], path: str, function: str, *, broken: bool) -> str:
    lines = []
    for depth, name in enumerate(names):
        address = f"0x0000555555{depth:06x} in " if depth else ""
        at = f" at {path}:12" if name == function else ""
        if name == "??":
            lines.append(f"#{depth}  0x00007ffff7a9d000 in ?? ()")
        elif broken and at:
            lines.append(f"#{depth}  {address}{name} (opaque=0x5555,\n    version_id=2)\n   {at}")
        else:
            lines.append(f"#{depth}  {address}{name} (opaque=0x5555){at}")
    return "\n".join(lines) + "\n"


def told(text: str) -> Explanation:
    report = explain(io.BytesIO(text.encode()))
    return next(item for item in report.explanations if item.message == "backtrace-died")


@pytest.mark.parametrize(("function", "path", "what"), DEVICES)
def test_the_frame_of_a_device_is_named(function: str, path: str, what: str) -> None:
    for end, carriers, (outside, phase, side), broken in itertools.product(
        ENDS, CARRIERS, OUTSIDE, (False, True)
    ):
        names = [*end, *carriers, function, *outside]
        found = told(trace(names, path, function, broken=broken))
        assert f"{function}()" in found.meaning, names
        assert what in found.meaning, names
        assert phase in found.meaning
        assert str(found.side) == side


@pytest.mark.parametrize("state", ["ISAIPMIKCSDevice", "e1000", "virtio_gpu"])
@pytest.mark.parametrize("option", ["isa-ipmi-kcs", "e1000", "virtio-gpu-pci"])
def test_the_state_that_was_saved_names_the_device(state: str, option: str) -> None:
    text = (
        f"$ qemu-system-x86_64 -m 512 -device {option},id=x\n"
        "Program received signal SIGSEGV, Segmentation fault.\n"
        "#0  __memcpy_ssse3_back () at ../sysdeps/memcpy.S:2757\n"
        "#1  qemu_put_buffer (f=0x5555, buf=0xc1421c) at migration/qemu-file.c:346\n"
        "#2  0x0000555555 in vmstate_save_state (f=f@entry=0x5555,\n"
        f"    vmsd=0x5555 <vmstate_{state}>, opaque=0x5555) at migration/vmstate.c:333\n"
        "#3  0x0000555555 in vmstate_save (f=0x5555) at migration/savevm.c:720\n"
        "#4  0x0000555555 in migration_thread (opaque=0x5555) at migration/migration.c:1855\n"
    )
    found = told(text)
    assert f"vmstate_{state}" in found.meaning
    same = state.lower().replace("_", "")[:8] == option.replace("-", "")[:8]
    assert (f"-device {option}" in found.now) == same


@pytest.mark.parametrize(
    ("inner", "said"), [("kvm_vm_ioctl (s=0x0, type=1)", "TCG"), ("foo_run (s=0x0)", "not there")]
)
def test_a_null_pointer_is_read(inner: str, said: str) -> None:
    found = told(
        f"#0  {inner}\n    at qemu/accel/kvm/kvm-all.c:2032\n"
        "#1  0x01 in spapr_post_load (opaque=0x1) at qemu/hw/ppc/spapr.c:1578\n"
        "#2  0x01 in vmstate_load_state (f=0x1, vmsd=0x1 <vmstate_spapr>) at vmstate.c:165\n"
        "#3  0x01 in process_incoming_migration_co (opaque=0x1) at migration.c:7\n"
    )
    assert said in " ".join(found.details)
    assert "spapr_post_load" in " ".join((found.meaning, *found.details))
    assert str(found.side) == "destination"


def test_libvirt_s_own_crash_is_not_qemu_s() -> None:
    found = told(
        "#0  virObjectLock (obj=0x0) at virobject.c:320\n"
        "#1  0x01 in qemuProcessHandleMonitorEOF (mon=0x1) at qemu_process.c:296\n"
        "#2  0x01 in qemuMonitorIO (watch=17) at qemu_monitor.c:730\n"
        "#3  0x01 in virEventPollRunOnce () at vireventpoll.c:641\n"
    )
    assert found.meaning.startswith("libvirtd crashed")


@pytest.mark.parametrize("crash", ["Segmentation fault (core dumped)", "Bus error (core dumped)"])
def test_a_trace_says_more_than_the_shell(crash: str) -> None:
    names = ["memcpy", "virtio_net_load", "vmstate_load", "process_incoming_migration_co"]
    text = trace(names, "hw/net/virtio-net.c", "virtio_net_load", broken=False)
    for log in (f"{crash}\n{text}", f"{text}{crash}\n"):
        found = explain(io.BytesIO(log.encode())).explanations[0]
        assert (found.message, str(found.side)) == ("backtrace-died", "destination")
