"""Pasted command lines in forms that are no shell command, and where such a line ends."""

from __future__ import annotations

import json

import pytest

from migratable.commandline.pasted_text import words
from migratable.errors import CommandLineError

QEMU = (
    "/usr/bin/qemu-system-x86_64 -name guest=web1,debug-threads=on -machine pc-q35-7.2,accel=kvm "
    "-m 512 -device virtio-net-pci,netdev=n0 -netdev user,id=n0"
)
KVM = "/usr/bin/kvm -id 101 -name vm101 -m 2048 -smbios type=1,uuid=1-2-3 -cpu host,+kvm_pv_eoi"
AUX = "4711  5.0 12.3 4567890 987654 ?      Sl   Mar01  62:03 "
HEAD = "USER         PID %CPU %MEM    VSZ   RSS TTY      STAT START   TIME COMMAND\n"


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (f"qemu        4711       1  5 Mar01 ?        01:02:03 {QEMU}", QEMU),
        (f"libvirt+    4711       1  5 Mar01 ?      2-01:02:03 {QEMU}\n"
         "root  4800 4790 0 12:00 pts/0 00:00:00 grep qemu", QEMU),
        (f"{HEAD}libvirt+    {AUX}{QEMU}", QEMU),
        (f"qemu        {AUX}{QEMU}", QEMU),
        (f"kvm         {AUX}{QEMU}", QEMU),
        (f"root        {AUX}{KVM}", KVM),
        (f"  PID COMMAND\n 4711 {QEMU}", QEMU),
        (f"user@host:~$ {QEMU}\nqemu-system-x86_64: warning: foo", QEMU),
        (f"[root@host ~]# {QEMU}\n[root@host ~]# ", QEMU),
        (f"$ sudo {QEMU}\nQEMU 7.2 monitor - type 'help'\n(qemu) ", QEMU),
        (f"May 01 12:00:00 host qemu[1]: {QEMU}\nMay 01 12:00:01 host qemu[1]: more", QEMU),
        (f"2024-05-01T12:00:00.1Z {QEMU}\n"
         "2024-05-01T12:00:01Z qemu-system-x86_64: load of migration failed: Invalid argument",
         QEMU),
        (f"I run this:\n\n{QEMU}\n\nand then it fails. Any idea?", QEMU),
        (f"multipassd[2]: [211292] started: {QEMU}\n2026-06-19T11:01:36+03:00 multipassd[2]: x",
         QEMU),
    ],
)  # fmt: skip
def test_where_a_line_begins_and_ends(text: str, line: str) -> None:
    assert words(text) == line.split()


def test_an_indented_libvirt_log() -> None:
    text = (
        "    2024-05-01 12:00:00.300+0000: starting up libvirt version: 9.0.0\n"
        "    LC_ALL=C \\\n    /usr/bin/qemu-system-x86_64 \\\n    -name guest=web1 \\\n"
        "    -m 512\n    char device redirected to /dev/pts/1"
    )
    assert words(text) == ["/usr/bin/qemu-system-x86_64", "-name", "guest=web1", "-m", "512"]


@pytest.mark.parametrize("breaks", ["\\\n", "\\"], ids=["kept", "lost"])
def test_kubevirts_json(breaks: str) -> None:
    line = breaks.join(
        ["LC_ALL=C ", "PATH=/usr/bin ", "/usr/libexec/qemu-kvm ", "-name guest=default_vm1 ",
         "-device '{\"driver\":\"virtio-net-pci\",\"netdev\":\"n\"}' ", "-m size=1G"]
    )  # fmt: skip
    text = json.dumps({"component": "virt-launcher", "level": "info", "msg": line})
    assert words(f'{{"msg":"before"}}\n{text}\n{{"msg":"qemu-kvm: behind"}}') == [
        "/usr/libexec/qemu-kvm", "-name", "guest=default_vm1",
        "-device", '{"driver":"virtio-net-pci","netdev":"n"}', "-m", "size=1G",
    ]  # fmt: skip


@pytest.mark.parametrize(
    "text",
    [
        "Command '['/usr/bin/qemu-kvm', '-M', 'pc', '-name', 'it\\'s one']' returned 1.",
        '["/usr/bin/qemu-kvm", "-M", "pc", "-name", "it\'s one"]',
        'exec.Cmd{Args:[]string{"/usr/bin/qemu-kvm", "-M", "pc", "-name", "it\'s one"}}',
    ],
    ids=["Python", "JSON", "Go"],
)
def test_lists_of_strings(text: str) -> None:
    assert words(text) == ["/usr/bin/qemu-kvm", "-M", "pc", "-name", "it's one"]


def test_multipass() -> None:
    text = (
        "2026-06-19T11:01:35+03:00 multipassd[1]: process program 'qemu-system-x86_64'\n"
        "2026-06-19T11:01:35+03:00 multipassd[1]: process arguments '-bios, OVMF.fd, --enable-kvm, "
        "-nic, tap,ifname=t0,script=no, -m, 1024M'\n2026-06-19T11:01:36+03:00 multipassd[1]: x\n"
    )
    assert words(text) == [
        "qemu-system-x86_64", "-bios", "OVMF.fd", "--enable-kvm",
        "-nic", "tap,ifname=t0,script=no", "-m", "1024M",
    ]  # fmt: skip


def test_two_guests_in_ps_are_not_guessed_between() -> None:
    with pytest.raises(CommandLineError, match="2 QEMU processes"):
        words(f"{HEAD}qemu        {AUX}{QEMU}\nroot        {AUX}{KVM}\n")


def test_nothing_is_evaluated() -> None:
    with pytest.raises(CommandLineError):
        words("[__import__('os').system('true'), 'x']")
