"""What helps where a manager owns the guest."""

from __future__ import annotations

import io

import pytest

from migratable.explain.managers import causes, managers, remedy, seen
from migratable.explain.story import explain
from migratable.messages.catalogue import message, messages


def test_every_cause_names_messages() -> None:
    from fnmatch import fnmatchcase

    from migratable.messages import libvirt_errors, qemu_errors

    ids = {item.id for item in messages()} | {item.id for item in libvirt_errors.kinds()}
    ids |= {item.id for item in qemu_errors.kinds()}
    for cause in causes():
        for pattern in cause.messages:
            assert any(fnmatchcase(one, pattern) for one in ids), (cause.id, pattern)


@pytest.mark.parametrize(
    ("line", "absent"),
    [
        ("internal snapshots of a VM with pflash based firmware are not supported", "Install the"),
        ("cannot undefine domain with nvram", "Install the UEFI"),
        ("CPU topology doesn't match maximum vcpu count", "cpu_models"),
    ],
)
def test_a_managers_remedy_is_for_its_own_cause_alone(line: str, absent: str) -> None:
    log = f"2024 ERROR nova.virt.libvirt.driver libvirt.libvirtError: {line}"
    (found,) = explain(io.BytesIO(f"{log}\n".encode())).explanations
    assert absent not in found.now


UNSAFE = "error: Unsafe migration: Migration without shared storage is unsafe"


@pytest.mark.parametrize(
    ("log", "word"),
    [
        ("2024 ERROR nova.virt.libvirt.driver Live Migration failure", "--block-migration"),
        ("VirtualDomain(vm1)[123]: ERROR:", "migrate_options"),
        ("com.cloud.hypervisor.kvm.resource.LibvirtComputingResource", "VirtualMachineWithVolume"),
        ("virtwrap: virt-launcher", "unsafeMigrationOverride"),
        ("/var/lib/one/remotes/vmm/kvm/migrate", "kvmrc"),
    ],
)
def test_the_managers_own_remedy(log: str, word: str) -> None:
    found = explain(io.BytesIO(f"{log}\n{UNSAFE}\n".encode())).explanations[0]
    assert word in found.now


def test_without_a_manager_virsh_stays() -> None:
    found = explain(io.BytesIO(f"{UNSAFE}\n".encode())).explanations[0]
    assert "--copy-storage-all" in found.now


def test_a_managers_own_message_keeps_its_remedy() -> None:
    own = message("kubevirt-pvc")
    assert remedy(own, "x", "kubevirt", "kubectl …") is None


def test_a_remedy_of_virsh_is_put_in_the_managers_hands() -> None:
    own = message("libvirt-exists")
    said = remedy(own, "x", "Incus failed", "virsh undefine x")
    assert said is not None and said.startswith("Incus makes QEMU's command line itself")


@pytest.mark.parametrize("text", ["error: Failed to start domain 'web'", "qemu-system-x86_64: x"])
def test_no_manager_is_seen_in_plain_lines(text: str) -> None:
    assert seen(text) is None
    assert len({manager.name for manager in managers()}) == len(managers())


@pytest.mark.parametrize(
    "line",
    [
        "storage 'x' can't rollback: snapshot is not the newest at"
        " /usr/share/perl5/PVE/Storage/ZFSPoolPlugin.pm line 640.",
        "TASK: growing a disk with snapshots is not implemented at"
        " /usr/share/perl5/PVE/Storage/Custom/FooPlugin.pm line 44, <GEN0> line 2.",
        "Error: limits.memory of the lxc instance must be >= 1GiB",
    ],
)
def test_a_managers_plain_words_are_shown(line: str) -> None:
    report = explain(io.BytesIO(f"{line}\n".encode()))
    shown = [item.line for item in report.explanations] + [one.text for one in report.suspicious]
    assert shown == [line]
    assert report.exit_status == 3


def test_a_warning_of_perl_is_no_error() -> None:
    line = "Use of uninitialized value $x in concatenation at /usr/share/perl5/PVE/Tools.pm line 9."
    report = explain(io.BytesIO(f"{line}\n".encode()))
    assert (report.explanations, report.suspicious) == ((), ())
