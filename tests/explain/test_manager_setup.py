"""What managers say before QEMU is asked: the family by its words, the remedy by what follows."""

from __future__ import annotations

import io

import pytest

from migratable.explain.story import explain

CEPH = "/etc/ceph/ceph.client.vms.keyring"
DISK = 'Error: Failed setting up disk device "data": '
HOST_DISK = '{{"component":"virt-handler","msg":"preparing host-disks failed: {error}"}}\n'


@pytest.mark.parametrize(
    ("log", "message", "side", "has", "lacks"),
    [
        (
            "[VMM][E]: Error: Unable to scp /one/ds/7/disk.3 from kvm-a to kvm-b\n"
            "[VMM][I]: Failed to execute transfer manager driver operation: tm_premigrate.\n",
            "opennebula-scp",
            "cannot tell",
            ("ssh kvm-b true",),
            ("QEMU's log",),
        ),
        (
            "[VMM][I]: MIGRATE: Cannot create destination disk: qemu-img: /one/d: "
            "No space left on device\n",
            "opennebula-copy",
            "cannot tell",
            ("df -h",),
            (),
        ),
        (
            DISK + f'Failed to open "{CEPH}": open {CEPH}: no such file or directory\n',
            "lxd-disk-setup",
            "destination",
            ("keyring", "/etc/ceph"),
            ("mount, zpool",),
        ),
        (
            DISK + 'Failed opening source path "/srv/x": no such file or directory\n',
            "lxd-disk-setup",
            "destination",
            ("zpool import",),
            ("keyring",),
        ),
        (
            DISK + "Failed mapping rbd volume vms: Device or resource busy\n",
            "lxd-disk-setup",
            "destination",
            ("rbd status",),
            ("keyring",),
        ),
        (
            'Error: Failed to start device "gpu1": Failed to bind to vfio-pci: No such device\n',
            "incus-device-start",
            "destination",
            ("lspci -nnk",),
            ("findmnt",),
        ),
        (
            'Error: Failed to start device "web": Failed to listen on 0.0.0.0:80: '
            "bind: address already in use\n",
            "incus-device-start",
            "destination",
            ("ss -lntup",),
            ("lspci",),
        ),
        (
            HOST_DISK.format(error="chown /proc/9/root/a/disk.img: operation not permitted"),
            "kubevirt-host-disks",
            "destination",
            ("no_root_squash",),
            ("df -h",),
        ),
        (
            HOST_DISK.format(error="open /proc/9/root/a/disk.img: no space left on device"),
            "kubevirt-host-disks",
            "destination",
            ("enlarge the claim",),
            ("no_root_squash",),
        ),
        (
            "reason: 'preparing host-disks failed: lchown /vmi-disks/b/disk.img:\n"
            "      invalid argument'\n",
            "kubevirt-host-disks",
            "destination",
            ("idmapping",),
            (),
        ),
        (
            '{"msg":"preparing the pod network failed: pod link (net4) is missing"}\n',
            "kubevirt-pod-network",
            "destination",
            ("NetworkAttachmentDefinition",),
            ("SCC",),
        ),
        (
            '{"msg":"preparing the pod network failed: operation not permitted"}\n',
            "kubevirt-pod-network",
            "destination",
            ("SCC",),
            ("NetworkAttachmentDefinition",),
        ),
        (
            "Failed to migrate instance: Instance does not support the "
            "'migrate-set-capabilities' QMP command.\n",
            "ganeti-qmp",
            "source",
            ("migrate-set-capabilities", "gnt-instance reboot"),
            ("2.4",),
        ),
    ],
)
def test_a_family_and_its_remedies(
    log: str, message: str, side: str, has: tuple[str, ...], lacks: tuple[str, ...]
) -> None:
    report = explain(io.BytesIO(log.encode()))
    found = report.explanations[0]
    assert (found.message, str(found.side)) == (message, side)
    assert str(found.status) == "explained"
    said = f"{found.meaning} {found.now}"
    for word in has:
        assert word in said, said
    for word in lacks:
        assert word not in said, said


def test_what_a_traceback_shows_of_the_source_is_no_error() -> None:
    report = explain(
        io.BytesIO(
            b'raise RuntimeError("Error: Unable to scp {} from {} to {}".format(path, a, b))\n'
            b"RuntimeError: Error: Unable to scp /one/ds/7/disk.3 from kvm-a to kvm-b\n"
        )
    )
    assert [found.line for found in report.explanations if "kvm-b" not in found.line] == []
    assert "kvm-a" in report.explanations[0].now
