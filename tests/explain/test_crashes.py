"""The end of a program or of a host's disk is the cause of what the others say after it.

Every line about an end is put beside every follow-up, in one log and in two, in both orders; and
beside a refusal with a reason of its own, which stays the cause.
"""

from __future__ import annotations

import io
import itertools

import pytest

from migratable.explain.explanation import Explanation
from migratable.explain.failures import scan
from migratable.explain.story import explain, explain_together
from migratable.explain.together import Log

SHELL = (
    "16837 Floating point exception(core dumped)",
    "Floating point exception (core dumped)",
    "./run.sh: line 12: 20311 Segmentation fault      (core dumped) qemu-system-x86_64 -m 512",
    "Segmentation fault (core dumped)",
    "Segmentation fault",
    "[1]    4711 segmentation fault (core dumped)  qemu-system-aarch64 -M virt",
    "zsh: illegal hardware instruction (core dumped)  ./qemu-system-arm -M virt",
    "Bus error (core dumped)",
    "Aborted (core dumped)",
)
KERNEL = (
    "[ 211.5] traps: CPU 0/KVM[4711] trap divide error ip:55d sp:7ffc error:0 in qemu-system-x86",
    "Nov 3 10:00:01 n1 kernel: traps: qemu-kvm[812] general protection fault ip:7f sp:7f error:0",
    "Nov 3 10:00:01 n1 kernel: qemu-system-x86[812]: segfault at 10 ip 55 sp 7f error 4 in libc[",
    "Nov 3 10:00:01 n1 systemd-coredump[99]: Process 812 (qemu-system-x86) of user 107 dumped core",
)
OTHER_SIDE = (
    "qemu-system-x86_64: load of migration failed",
    "qemu-system-x86_64: load of migration failed: Input/output error",
    "qemu-kvm: check_section_footer: Read section footer failed: -5\n"
    "qemu-kvm: load of migration failed: Invalid argument",
    "qemu-kvm: Not a migration stream\nqemu-kvm: load of migration failed: Invalid argument",
    "error: operation failed: migration job: unexpectedly failed",
    "error: internal error: qemu unexpectedly closed the monitor",
    "qemu-kvm: Unable to write to socket: Broken pipe",
)
HOST = (
    "BTRFS warning (device sdc1): csum failed root 5 ino 257 off 66 csum 0x20 expected csum 0x08",
    "blk_update_request: I/O error, dev sdb, sector 1953525168",
    "EXT4-fs error (device dm-3): ext4_find_entry:1455: inode #2: reading directory lblock 0",
    'XFS (dm-0): metadata I/O error in "xfs_trans_read_buf_map" at daddr 0x2 len 1 error 5',
)
OF_A_DISK = (
    "TASK ERROR: storage migration failed: block job (mirror) error: drive-scsi0: 'mirror' has "
    "been cancelled",
    "error: operation failed: migration of disk vda failed: Input/output error",
    "qemu-kvm: load of migration failed: Input/output error",
    "error: internal error: unable to execute QEMU command 'block-commit': Input/output error",
)
REFUSALS = (
    "qemu-system-x86_64: Unknown savevm section or instance '0000:00:05.0/virtio-balloon' 0",
    "qemu-kvm: Length mismatch: pc.ram: 0x40000000 in != 0x80000000: Invalid argument",
    "qemu-kvm: Features 0x130afffa7 unsupported. Allowed features: 0x179bfffe7",
)
SOURCE = "$ qemu-system-x86_64 -m 512 -M pc-i440fx-1.4 -monitor stdio\n(qemu) migrate tcp:h:4444\n"
TARGET = "$ qemu-system-x86_64 -m 512 -M pc-i440fx-1.4 -incoming tcp:0:4444\n"


def one(text: str) -> Explanation:
    return explain(io.BytesIO(text.encode())).explanations[0]


def two(first: str, second: str) -> list[Explanation]:
    logs = [
        Log(name=name, scan=scan(io.BytesIO(text.encode())))
        for name, text in (("a.log", first), ("b.log", second))
    ]
    return list(explain_together(logs, {}).explanations)


@pytest.mark.parametrize("crash", SHELL + KERNEL)
def test_a_crash_is_the_cause_of_what_the_other_side_says(crash: str) -> None:
    alone = one(crash)
    assert alone.message
    assert alone.message.startswith(("crash-", "kernel-segfault", "qemu-crashed"))
    for other, back in itertools.product(OTHER_SIDE, (False, True)):
        lines = [crash, other]
        found = one("\n".join(lines[::-1] if back else lines) + "\n")
        assert found.message == alone.message, (crash, other, back)


@pytest.mark.parametrize("crash", SHELL)
@pytest.mark.parametrize("other", OTHER_SIDE[:4])
def test_the_side_of_a_crash_is_that_of_its_log(crash: str, other: str) -> None:
    source, target = f"{SOURCE}{crash}\n", f"{TARGET}{other}\n"
    for first, second in ((source, target), (target, source)):
        (found,) = two(first, second)
        assert found.message
        assert found.message.startswith("crash-")
        assert str(found.side) == "source"
    (found,) = two(f"{SOURCE}qemu-kvm: Unable to write to socket: Broken pipe\n", TARGET + crash)
    assert (str(found.side), found.line.strip()) == ("destination", crash.strip())


@pytest.mark.parametrize("crash", SHELL)
@pytest.mark.parametrize("refusal", REFUSALS)
def test_a_refusal_before_the_crash_stays_the_cause(crash: str, refusal: str) -> None:
    assert refusal.endswith(one(f"{refusal}\n{crash}\n").line.split(": ", 1)[1])


@pytest.mark.parametrize("assertion", ["hw/net/e1000.c:12: e1000_send: Assertion `0' failed."])
def test_aborted_says_less_than_the_assertion_before_it(assertion: str) -> None:
    found = one(f"qemu-system-x86_64: {assertion}\nAborted (core dumped)\n")
    assert found.message == "qemu-assertion"


@pytest.mark.parametrize("host", HOST)
def test_a_failing_disk_is_the_cause_of_what_needed_it(host: str) -> None:
    for other, back in itertools.product(OF_A_DISK, (False, True)):
        lines = [host, other]
        found = one("\n".join(lines[::-1] if back else lines) + "\n")
        assert found.message
        assert found.message.startswith("host-"), (host, other, back)
    for refusal in REFUSALS:
        found = one(f"{host}\n{refusal}\n")
        assert not (found.message or "").startswith("host-"), (host, refusal)


@pytest.mark.parametrize(
    "line",
    [
        "Segmentation fault (core dumped) qemu-img convert a b",
        "traps: firefox[812] trap divide error ip:55d sp:7ffc error:0 in libxul.so",
        "INFO: task kworker/3:1:99 blocked for more than 120 seconds.",
    ],
)
def test_another_program_s_end_is_no_crash_of_qemu(line: str) -> None:
    found = explain(io.BytesIO(line.encode())).explanations
    programs = {"crash-trap", "host-hung-task"}
    assert not programs & {item.message for item in found}
