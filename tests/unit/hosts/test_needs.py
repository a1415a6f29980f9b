# ruff: noqa: E501 -- command lines
"""What a guest needs of its host."""

from __future__ import annotations

from typing import Any

from migratable.hosts.fleet import machine_words
from migratable.hosts.needs import needs_of

LIBVIRT = """
<domain type='kvm'><name>web1</name><cpu mode='host-passthrough'/>
<devices>
 <interface type='bridge'><source bridge='br0'/></interface>
 <interface type='network'><source network='default' bridge='virbr0'/></interface>
 <tpm model='tpm-crb'><backend type='emulator' version='2.0'/></tpm>
</devices></domain>
"""


def guest(*words: str, xml: str = "", kind: str = "qemu") -> dict[str, Any]:
    return {
        "name": "web1",
        "kind": kind,
        "argv": ["/usr/bin/qemu-system-x86_64", *words],
        "xml": xml,
    }


def test_of_a_guest_of_libvirt() -> None:
    found = needs_of(
        guest(
            "-accel", "kvm", "-cpu", "host,migratable=on",
            "-machine", "pc-q35-7.2,pflash0=code-format,pflash1=vars-format",
            "-blockdev", '{"driver":"file","filename":"/fw/CODE.fd","node-name":"code"}',
            "-blockdev", '{"node-name":"code-format","read-only":true,"driver":"raw","file":"code"}',
            "-blockdev", '{"driver":"file","filename":"/disks/web1.qcow2","node-name":"s0"}',
            "-blockdev", '{"node-name":"f0","driver":"qcow2","file":"s0"}',
            "-chardev", "socket,id=chrtpm,path=/run/swtpm.sock",
            "-tpmdev", "emulator,id=tpm0,chardev=chrtpm",
            "-object", '{"qom-type":"memory-backend-file","id":"m","mem-path":"/dev/hugepages/q"}',
            xml=LIBVIRT, kind="libvirt",
        )
    )  # fmt: skip
    assert found.disks == (
        ("/fw/CODE.fd", "raw", "firmware"),
        ("/disks/web1.qcow2", "qcow2", "disk"),
    )
    assert found.bridges == ("br0",)
    assert found.networks == ("default",)
    assert found.tpm == "2.0"
    assert found.hugepages == "/dev/hugepages/q"
    assert found.kvm
    assert found.host_cpu
    assert found.libvirt


def test_of_a_plain_command_line() -> None:
    found = needs_of(
        guest(
            "-drive", "file=/disks/a.img,format=raw,if=virtio",
            "-drive", "if=pflash,file=/fw/OVMF.fd,format=raw",
            "-drive", "file=nbd://node9/x,if=virtio",
            "-cdrom", "/iso/boot.iso",
            "-netdev", "bridge,id=n0,br=vmbr0",
            "-chardev", "socket,id=c0,path=/run/vhost.sock",
            "-netdev", "vhost-user,id=n1,chardev=c0",
            "-device", "vfio-pci,host=01:00.0",
        )
    )  # fmt: skip
    assert found.disks == (
        ("/disks/a.img", "raw", "disk"),
        ("/fw/OVMF.fd", "raw", "firmware"),
        ("/iso/boot.iso", "", "disk"),
    )
    assert found.bridges == ("vmbr0",)
    assert found.sockets == ("/run/vhost.sock",)
    assert found.host_devices == ("vfio-pci 01:00.0",)
    assert not found.kvm


def test_a_command_line_that_cannot_be_read_is_said() -> None:
    found = needs_of({"name": "web1", "kind": "qemu", "argv": [], "xml": ""})
    assert "may not read" in found.unread


def test_a_document_type_in_the_xml_is_not_read() -> None:
    bomb = '<!DOCTYPE d [<!ENTITY a "aaaa">]><domain><devices/></domain>'
    assert needs_of(guest(xml=bomb)).networks == ()


def test_equal_guests_have_equal_words() -> None:
    one = guest(
        "-name", "a", "-device", "virtio-net-pci,mac=52:54:00:00:00:01,netdev=n0", "-m", "1G"
    )
    other = guest(
        "-name", "b", "-device", "virtio-net-pci,mac=52:54:00:00:00:02,netdev=n0", "-m", "1G"
    )
    more = guest(
        "-name", "b", "-device", "virtio-net-pci,mac=52:54:00:00:00:02,netdev=n0", "-m", "2G"
    )
    assert machine_words(one["argv"]) == machine_words(other["argv"])
    assert machine_words(one["argv"]) != machine_words(more["argv"])
