"""The errno, the architecture, the command line and the path in a line choose what is said."""

from __future__ import annotations

import io

import pytest

from migratable.explain.errnos import ERRNOS, general
from migratable.explain.explanation import Explanation
from migratable.explain.filling import for_error
from migratable.explain.story import explain
from migratable.messages.catalogue import messages
from migratable.messages.variants import variants


def told(log: str) -> Explanation:
    found = explain(io.BytesIO(log.encode())).explanations
    assert len(found) == 1, [item.line for item in found]
    return found[0]


GROUP = (
    "qemu-system-x86_64: -device vfio-pci,{device},id=gpu: vfio {name}: error getting device from "
)
PFLASH = "{program}: device requires {size} bytes, block backend provides {other} bytes\n"
CGROUP = "error: internal error: Unable to write to '/sys/fs/cgroup/{path}': {error}\n"


@pytest.mark.parametrize(
    ("log", "has", "lacks"),
    [
        # memory and NUMA
        (
            "qemu-system-ppc64: cannot bind memory to host NUMA nodes: Operation not permitted\n",
            ("SYS_NICE", "seccomp"),
            ("numactl",),
        ),
        (
            "qemu-kvm -object memory-backend-file,id=m0,mem-path=/dev/hugepages,size=3145729K\n"
            "qemu-kvm: cannot bind memory to host NUMA nodes: Invalid argument\n",
            ("multiple of the huge page",),
            ("SYS_NICE",),
        ),
        (
            "qemu-kvm -object memory-backend-ram,id=m0,size=4G,host-nodes=3,policy=bind\n"
            "qemu-kvm: cannot bind memory to host NUMA nodes: Invalid argument\n",
            ("numactl -H", "does not have"),
            ("multiple of",),
        ),
        (
            "qemu-kvm: can't open backing store /mnt/huge for guest RAM: Is a directory\n",
            ("wrong kind",),
            ("Reserve more huge pages",),
        ),
        # passed-through devices
        (
            GROUP.format(device="sysfsdev=/sys/bus/mdev/devices/aa-bb", name="aa-bb")
            + "group 41: Input/output error\n",
            ("nvidia-vgpu-mgr", "dmesg"),
            ("lspci",),
        ),
        (
            GROUP.format(device="host=0000:17:00.0", name="0000:17:00.0")
            + "group 12: Device or resource busy\n",
            ("has the device: end",),
            ("vfio-pci", "nvidia"),
        ),
        (
            GROUP.format(device="host=0000:17:00.0", name="0000:17:00.0")
            + "group 12: No such device\n",
            ("lspci -nnk",),
            ("nvidia",),
        ),
        # control groups
        (
            CGROUP.format(path="machine.slice/a/cpu.weight", error="Numerical result out of range"),
            ("10000", "shares"),
            ("disk",),
        ),
        (
            CGROUP.format(path="cpuset/machine/b/tasks", error="No space left on device"),
            ("cpuset.mems", "not a disk"),
            ("df -h",),
        ),
        (
            CGROUP.format(path="cpuset/machine/b/cpuset.cpus", error="Invalid argument"),
            ("lscpu",),
            ("10000 ",),
        ),
        # network
        (
            "error: Unable to add bridge br-int port vnet9: Operation not supported\n",
            ("openvswitch",),
            ("Create the bridge",),
        ),
        (
            "error: Unable to add bridge br7 port vnet9: No such device\n",
            ("Create the bridge",),
            ("openvswitch",),
        ),
        (
            "error: Unable to add bridge br7 port vnet9: File name too long\n",
            ("taken alone", "107"),
            ("Create the bridge", "openvswitch"),
        ),
        (
            "qemu-kvm: -incoming tcp:10.9.8.7:4444: Failed to bind socket: "
            "Cannot assign requested address\n",
            ("ip addr",),
            ("ss -ltnp",),
        ),
        (
            "qemu-kvm: -incoming tcp:0:4444: Failed to bind socket: Address already in use\n",
            ("ss -ltnp",),
            ("ip addr",),
        ),
        # firmware of another architecture
        (
            PFLASH.format(program="qemu-system-aarch64", size=67108864, other=540672),
            ("AAVMF", "540672"),
            ("OVMF_CODE_4M",),
        ),
        (
            PFLASH.format(program="qemu-system-x86_64", size=3653632, other=1966080),
            ("OVMF_CODE_4M",),
            ("AAVMF",),
        ),
        # the same words of libvirt with another errno
        (
            "error: Cannot access CA certificate '/etc/pki/CA/cacert.pem': Permission denied\n",
            ("0644",),
            ("pki-validate",),
        ),
        (
            "error: Failed to create file '/save/x': No space left on device\n",
            ("Free space",),
            ("--bypass-cache",),
        ),
        (
            "qemu-kvm: Failed to set XSAVE: Cannot allocate memory\n",
            ("Free memory",),
            ("CPU model",),
        ),
        (
            "qemu-kvm: Failed to set XSAVE: Invalid argument\n",
            ("CPU model",),
            ("Free memory",),
        ),
        # files
        (
            "error: unable to set security context 'a:b:svirt_t:s0' on "
            "'/sys/class/misc/vtpm7/device/cancel': No such file or directory\n",
            ("emulator",),
            ("root_squash", "virt_use_nfs"),
        ),
        (
            "error: unable to set security context 'a:b:svirt_t:s0' on '/nfs/a.img': "
            "Operation not supported\n",
            ("virt_use_nfs",),
            ("emulator",),
        ),
        (
            "error: Cannot access storage file '/var/run/kubevirt-ephemeral-disks/cloud-init-data/"
            "prod/web/configdrive.iso' (as uid:107, gid:107): No such file or directory\n",
            ("Update KubeVirt",),
            ("--copy-storage-all",),
        ),
    ],
)
def test_a_remedy_fits_what_the_line_holds(
    log: str, has: tuple[str, ...], lacks: tuple[str, ...]
) -> None:
    found = told(log)
    said = f"{found.meaning} {found.now}"
    for word in has:
        assert word in said, said
    for word in lacks:
        assert word not in said, said


def test_an_errno_without_a_clause_brings_its_general_remedy() -> None:
    text = "Look at it. Permission denied: chmod. No such file or directory: mount it."
    error = "Numerical result out of range"
    assert for_error(text, error) == f"Look at it. {general(error)}"
    assert for_error("Otherwise: x. Permission denied: chmod.", error) == "X."


def test_another_sentence_behind_an_errno_is_no_part_of_it() -> None:
    found = told(
        "SAVE: error: Failed to open file '/one/9/c': Permission denied Could not migrate a to b\n"
    )
    assert found.message == "host-file-open"
    assert "Could not migrate" not in f"{found.meaning} {found.now}"


def test_variants_name_errnos_that_are_known() -> None:
    named = {
        error
        for message in messages()
        for variant in message.variants
        for error in variant.error.split("|")
    }
    assert named - {"", ".*"} <= set(ERRNOS)


@pytest.mark.parametrize("table", [{"errno": "x"}, {"line": "("}])
def test_a_wrong_variant_is_refused(table: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="variant"):
        variants({"variants": [table]})


@pytest.mark.parametrize("program", ["ssh", "/usr/bin/nc", "virt-ssh-helper"])
def test_who_connects_is_the_source(program: str) -> None:
    found = told(f"libvirtd[9]: cannot execute binary {program}: Permission denied\n")
    assert str(found.side) == "source"
    assert "destination" not in f"{found.meaning} {found.now}"


DENIED = (
    "type=AVC msg=audit(1700000000.123:45): avc:  denied  {{ {access} }} for  pid=77 "
    'comm="qemu-kvm" name="{name}" dev="sda1" ino=9 scontext=system_u:system_r:svirt_t:s0:c1,c2 '
    "tcontext=system_u:object_r:{label}:s0 tclass=file permissive=0\n"
)
REFUSED = "error: internal error: qemu-kvm: Could not open '{file}': Permission denied\n"


@pytest.mark.parametrize(
    ("file", "label", "has"),
    [
        (
            "/var/lib/libvirt/images/web.qcow2",
            "user_home_t",
            "restorecon -v /var/lib/libvirt/",
        ),
        ("/root/web.qcow2", "admin_home_t", "move /root/web.qcow2"),
        ("/srv/vm/web.qcow2", "default_t", "semanage fcontext -a -t virt_image_t '/srv/vm(/.*)?'"),
        ("/mnt/share/web.qcow2", "nfs_t", "virt_use_nfs"),
        ("/mnt/share/web.qcow2", "cifs_t", "virt_use_samba"),
        ("/srv/vm/web.qcow2", "svirt_image_t", "label of another guest"),
        ("/srv/vm/web.qcow2", "shadow_t", "audit2allow"),
    ],
)
def test_selinux_s_line_about_the_file_is_the_remedy(file: str, label: str, has: str) -> None:
    denied = DENIED.format(access="read", name="web.qcow2", label=label)
    found = told(REFUSED.format(file=file) + denied)
    assert has in found.now
    assert any(label in detail for detail in found.details)
    journal = denied.replace("type=AVC msg=audit(1700000000.123:45): avc:", "h audit[77]: AVC avc:")
    assert told(journal + REFUSED.format(file=file)).now == found.now


def test_selinux_s_line_about_another_file_is_not_used() -> None:
    found = told(
        REFUSED.format(file="/srv/a.qcow2")
        + DENIED.format(access="read", name="b.qcow2", label="user_home_t")
    )
    assert "b.qcow2" not in found.now


def test_a_transition_that_the_policy_lacks() -> None:
    found = told(
        'h audit: SELINUX_ERR op=security_compute_sid invalid_context="system_u:system_r:ssh_t:s0" '
        "scontext=system_u:system_r:virtproxyd_t:s0 tcontext=system_u:object_r:ssh_exec_t:s0 "
        "tclass=process\n"
        "h virtproxyd[8]: cannot execute binary ssh: Permission denied\n"
    )
    assert "selinux-policy" in found.now
    assert "semanage permissive -a virtproxyd_t" in found.now
