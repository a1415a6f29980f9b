"""What a log says beside its wording: who printed it, what was being done, ports, names, frames."""

from __future__ import annotations

import io

import pytest

from migratable.explain.cases import within
from migratable.explain.explanation import Explanation, Report, Status
from migratable.explain.failures import scan
from migratable.explain.filling import for_error
from migratable.explain.machines import needs
from migratable.explain.operation import Operation
from migratable.explain.story import explain, explain_together
from migratable.explain.together import Log
from migratable.messages.catalogue import Fault


def report(log: str) -> Report:
    return explain(io.BytesIO(log.encode()))


def told(log: str) -> Explanation:
    return report(log).explanations[0]


# --- Who printed it ------------------------------------------------------------------------------


def test_a_channel_error_points_to_the_side_that_did_not_print_it() -> None:
    source = told("error: operation failed: job 'migration out' failed: Channel error: Broken pipe")
    assert source.side is Fault.CANNOT_TELL
    assert "Read the destination's log" in source.now
    destination = told(
        "qemu-kvm: load of migration failed: Input/output error: Failed to load section ID: "
        "stream error: -5"
    )
    assert "Read the source's log" in destination.now


def test_a_channel_error_that_nobody_signed_names_both_logs() -> None:
    found = told("Channel error: Connection reset by peer")
    assert (found.side, found.now[:20]) == (Fault.CANNOT_TELL, "Read both sides' log")


def test_both_sides_in_one_log_are_read_as_both() -> None:
    found = told(
        "qemu-system-aarch64: multifd_send_pages: channel 3 has already quit!\n"
        "qemu-system-aarch64: check_section_footer: Read section footer failed: -104\n"
        "qemu-system-aarch64: load of migration failed: Connection reset by peer\n"
    )
    assert found.both
    assert found.side is Fault.CANNOT_TELL
    assert found.now.startswith("Both sides' lines are in this log")
    assert all(case.certainty == "possible" for case in found.cases)
    assert len(found.lines) == 3


def test_the_destinations_own_cause_is_not_hidden_by_the_sources_echo() -> None:
    found = told(
        "qemu-kvm: Unable to write to socket: Broken pipe\n"
        "qemu-kvm: Missing section footer for 0000:00:01.3/piix4_pm\n"
        "qemu-kvm: load of migration failed: Invalid argument\n"
    )
    assert (found.both, found.rule) == (False, "section-footer")


# --- The innermost words -------------------------------------------------------------------------


def test_only_what_was_found_happened() -> None:
    found = told(
        "TestFail: Expected error 'Unable to write to socket: Broken pipe' was not found in "
        "'error: internal error: unable to execute QEMU command 'migrate': State blocked by "
        "non-migratable device '0000:00:03.0/nvme''"
    )
    assert found.rule == "not-migratable"


def test_the_managers_own_error_behind_its_wrapper_points_to_the_managers_log() -> None:
    found = told("Error: Migration operation failure: Failed getting disk path: Volume missing")
    assert "Volume missing" in found.meaning
    assert "then in QEMU's own log if it names one" in found.now
    assert found.status is Status.UNKNOWN


def test_words_before_a_scripts_own_sentence_are_the_cause() -> None:
    found = told(
        "MIGRATE: error: the frobnicator of kvm2 broke Could not migrate one-7 to kvm2 ExitCode: 1"
    )
    assert found.status is Status.UNKNOWN
    assert "the frobnicator of kvm2 broke" in found.meaning


def test_a_line_of_qemu_in_a_wrapper_that_is_not_known_is_unknown() -> None:
    log = "error: internal error: process exited while connecting to monitor: qemu-kvm: frobnicate"
    found = report(log + " the zorblax\n")
    assert found.explanations[0].status is Status.UNKNOWN
    assert "frobnicate the zorblax" in found.explanations[0].meaning
    assert found.exit_status == 3


def test_a_wrapper_whose_text_goes_on_holds_the_cause() -> None:
    found = told(
        "Error: internal error: process exited while connecting to monitor qemu: could not open "
        "disk image /srv/vm/a.qcow2: Permission denied"
    )
    assert (found.status, found.message) == (Status.EXPLAINED, "block-image-open")


# --- Facts in the text ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("address", "error", "words"),
    [
        ("node7:49160", "Connection timed out", "Open TCP 49152 to 49215"),
        ("10.1.2.3:16514", "Connection refused", "tls.socket"),
        ("node7:60001", "Connection refused", "Proxmox"),
        ("node7:22", "Connection refused", "sshd"),
    ],
)
def test_a_port_says_what_listens_there(address: str, error: str, words: str) -> None:
    found = told(f"error: unable to connect to server at '{address}': {error}")
    assert words in found.now + " ".join(found.details)
    assert found.side is Fault.DESTINATION


def test_another_port_is_not_guessed() -> None:
    found = told("error: unable to connect to server at 'node7:31337': Connection refused")
    assert found.side is Fault.CANNOT_TELL
    assert "31337" not in " ".join(found.details)


def test_a_uri_without_its_path() -> None:
    found = told("error: operation failed: Failed to connect to remote libvirt URI qemu+ssh://kvm9")
    assert "qemu+ssh://kvm9/system" in found.now


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("pc-q35-8.1", "QEMU of 8.1 or later"),
        ("pc-i440fx-2.1", "still has the type"),
        ("pc-q35-noble", "Ubuntu's QEMU of 24.04"),
        ("pc-q35-rhel9.6.0", "qemu-kvm of RHEL 9.6 or later"),
        ("pc-i440fx-9.2+pve1", "pve-qemu-kvm must be 9.2"),
        ("q35", "alias"),
    ],
)
def test_a_machine_type_names_the_qemu_that_it_needs(name: str, words: str) -> None:
    found = needs(name)
    assert found is not None
    assert words in found.now


def test_a_machine_type_of_nobody_known_says_nothing() -> None:
    assert needs("frobnicator-9000") is None


def test_the_machine_type_steers_the_fix() -> None:
    found = told(
        "error: unsupported configuration: Emulator '/usr/bin/qemu-system-x86_64' does not "
        "support machine type 'pc-i440fx-noble'"
    )
    assert "Ubuntu" in found.now
    assert "QEMU 8.2" in found.details[0]


def test_the_object_class_of_a_denial() -> None:
    found = told("error: access denied: 'storage-pool' denied access")
    assert "org.libvirt.api.storage-pool" in found.now
    assert "storage pools" in found.meaning


def test_a_backend_that_nothing_uses() -> None:
    found = told(
        "$ qemu-system-x86_64 -M q35 -object memory-backend-memfd,id=mem7,size=2G,share=on -m 2G "
        "-incoming tcp:0:4444\n"
        "cpr_state_load cpr-transfer mode\n"
        "qemu-system-x86_64: error while loading state for instance 0x0 of device 'kvm-tpr-opt'\n"
        "qemu-system-x86_64: load of migration failed: Operation not permitted\n"
    )
    assert "memory-backend=mem7" in found.now
    used = told(
        "$ qemu-system-x86_64 -M q35,memory-backend=mem7 -object memory-backend-memfd,id=mem7,"
        "size=2G,share=on -m 2G -incoming tcp:0:4444\n"
        "qemu-system-x86_64: error while loading state for instance 0x0 of device 'kvm-tpr-opt'\n"
        "qemu-system-x86_64: load of migration failed: Operation not permitted\n"
    )
    assert "memory-backend=mem7" not in used.now


ARM = (
    "$ qemu-system-arm -machine {machine} -nographic\n"
    "QEMU {version} monitor - type 'help' for more information\n"
    "qemu-system-arm: error while loading state for instance 0x0 of device 'cpu'\n"
    "qemu-system-arm: load of migration failed: Operation not permitted\n"
)


@pytest.mark.parametrize(
    ("machine", "version", "certainty"),
    [
        ("vexpress-a15", "5.2.0", "likely"),
        ("vexpress-a15", "7.2.0", "possible"),
        ("highbank", "5.2.0", "possible"),
    ],
)
def test_version_and_machine_in_the_log_raise_a_case(
    machine: str, version: str, certainty: str
) -> None:
    found = told(ARM.format(machine=machine, version=version))
    case = next(case for case in found.cases if case.id == "vexpress-cpu")
    assert case.certainty == certainty


@pytest.mark.parametrize(
    ("version", "bounds", "inside"),
    [
        ("5.2.0", ">=5.2,<6.0", True),
        ("6.0", ">=5.2,<6.0", False),
        ("4.0.1", "<4.0.1", False),
        ("4.0.0", "<4.0.1", True),
        ("", ">=1.0", False),
    ],
)
def test_a_version_inside_bounds(version: str, bounds: str, inside: bool) -> None:
    assert within(version, bounds) is inside


# --- What the host says --------------------------------------------------------------------------

REFUSED = "qemu-system-x86_64: -drive file=/data/{disk}: Could not open '/data/{disk}': "
DENIED = (
    'kernel: audit: type=1400 audit(1700000000.1:22): apparmor="DENIED" operation="open" '
    'class="file" profile="libvirt-0f3c" name="/data/{disk}" pid=10 comm="qemu-system-x86" '
    'requested_mask="r" denied_mask="r" fsuid=64055 ouid=0\n'
)


def test_apparmors_denial_of_the_same_file_is_the_cause() -> None:
    found = told(REFUSED.format(disk="a.img") + "Permission denied\n" + DENIED.format(disk="a.img"))
    assert found.message == "apparmor-denied"
    assert "/data/a.img rwk," in found.now


def test_apparmors_denial_of_another_file_is_not() -> None:
    found = told(REFUSED.format(disk="a.img") + "Permission denied\n" + DENIED.format(disk="b.img"))
    assert found.message != "apparmor-denied"


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (
            "audit: type=1326 audit(1.1:2): auid=0 uid=107 gid=107 ses=1 pid=9 "
            'comm="qemu-system-x86" exe="/usr/bin/qemu-system-x86_64" sig=31 arch=c000003e '
            "syscall=435 compat=0 ip=0x7f0 code=0x80000000",
            "seccomp-killed",
        ),
        (
            "kernel: Memory cgroup out of memory: Killed process 77 (qemu-kvm) total-vm:9kB",
            "oom-cgroup",
        ),
        ("kernel: Out of memory: Killed process 77 (qemu-system-x86) total-vm:9kB", "oom-host"),
        (
            "kernel: qemu-kvm[9]: segfault at 18 ip 00005 sp 00007 error 4 in qemu-kvm[55+5]",
            "kernel-segfault",
        ),
        ("[    3.141] kvm: disabled by bios", "kernel-kvm-missing"),
    ],
)
def test_the_kernels_lines_are_evidence(line: str, message: str) -> None:
    assert told(line + "\n").message == message


CRASH = """\
Thread 1 "qemu-system-x86" received signal SIGABRT, Aborted.
#0  0x00007ffff5e8a34c in __pthread_kill_implementation () from /lib64/libc.so.6
#1  0x00007ffff5e3d8d6 in raise () from /lib64/libc.so.6
#2  0x00007ffff5e25814 in abort () from /lib64/libc.so.6
#3  0x00007ffff5e2572b in __assert_fail_base.cold () from /lib64/libc.so.6
#4  0x0000555555b1c2a0 in virtio_net_post_load_device (opaque=0x1) at ../hw/net/virtio-net.c:3000
#5  0x0000555555a1c2a0 in vmstate_load_state (f=0x1) at ../migration/vmstate.c:100
#6  0x0000555555a1c2a1 in qemu_loadvm_state_main (f=0x1) at ../migration/savevm.c:2600
#7  0x0000555555a1c2a2 in process_incoming_migration_co () at ../migration/migration.c:600
"""


def test_a_backtrace_names_device_and_phase() -> None:
    found = told(CRASH)
    assert found.rule == "destination-crash"
    assert found.side is Fault.DESTINATION
    assert "virtio_net_post_load_device" in found.meaning
    assert "loading the stream" in found.meaning


def test_a_thread_that_waits_for_the_backend_is_a_hang() -> None:
    found = told(
        "Thread 3 (Thread 0x7f (LWP 9)):\n"
        "#0  0x00007f in recvmsg () from /lib64/libpthread.so.0\n"
        "#1  0x000055 in qio_channel_socket_readv ()\n"
        "#2  0x000055 in qemu_chr_fe_read_all ()\n"
        "#3  0x000055 in vhost_user_read ()\n"
        "#4  0x000055 in vhost_user_get_vring_base ()\n"
        "#5  0x000055 in vhost_dev_stop ()\n"
        "#6  0x000055 in migration_thread ()\n"
    )
    assert found.message == "backtrace-waits"
    assert "vhost_user_get_vring_base" in found.meaning


def test_threads_that_wait_for_work_are_no_failure() -> None:
    log = (
        "Thread 2 (Thread 0x7f (LWP 9)):\n"
        "#0  0x00007f in ppoll () from /lib64/libc.so.6\n"
        "#1  0x000055 in qemu_poll_ns ()\n"
        "#2  0x000055 in main_loop_wait ()\n"
        "#3  0x000055 in qemu_main_loop ()\n"
    )
    assert not report(log).explanations


# --- What was being done -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("log", "operation"),
    [
        ("error: Failed to start domain 'web1'\nerror: {}\n", Operation.START),
        ("error: Failed to restore domain from /var/tmp/web1.sav\nerror: {}\n", Operation.RESTORE),
        ("# virsh snapshot-create-as web1 a\nerror: {}\n", Operation.SNAPSHOT),
        ("# virsh managedsave web1\nerror: {}\n", Operation.SAVE),
        ("# virsh undefine web1\nerror: {}\n", Operation.DEFINITION),
        ("# virsh migrate --live web1 qemu+ssh://b/system\nerror: {}\n", Operation.MIGRATION),
    ],
)
def test_the_operation_is_known_from_the_log(log: str, operation: Operation) -> None:
    error = 'internal error: qemu-kvm: Failed to get "write" lock'
    assert told(log.format(error)).operation is operation


def test_a_start_has_no_destination() -> None:
    found = told(
        "error: Failed to start domain 'web1'\n"
        "error: internal error: process exited while connecting to monitor: qemu-system-x86_64: "
        'Failed to get "write" lock\n'
    )
    text = f"{found.meaning} {found.now} {found.prevent}"
    assert "destination" not in text
    assert "migrat" not in text
    assert "source" not in text


def test_a_migration_keeps_its_words() -> None:
    found = told(
        "# virsh migrate --live web1 qemu+ssh://b/system\n"
        'error: internal error: qemu-system-x86_64: Failed to get "write" lock\n'
    )
    assert "the source" in found.meaning


# --- Lines that are no errors --------------------------------------------------------------------

CAUSE = "error: unsupported configuration: Emulator '/q' does not support machine type 'pc-q35-9.9'"


@pytest.mark.parametrize(
    "line",
    [
        "error: Failed to start domain 'web1'",
        "error: Failed to create domain from web1.xml",
        "Failed to evacuate instances:",
        "**Error:**",
        "and then both of them failed:",
        "migrate_set_state new state failed",
        "I tried it twice and it failed again, any idea what is not supported here?",
    ],
)
def test_headings_prose_and_traces_are_no_unknown_errors(line: str) -> None:
    found = report(f"{line}\n{CAUSE}\n")
    assert not found.suspicious
    assert found.exit_status == 0


@pytest.mark.parametrize(
    "line",
    ["error: the zorblax cannot be frobnicated", "qemu-kvm: -zorblax: frobnication failed"],
)
def test_a_real_error_that_nobody_knows_is_shown(line: str) -> None:
    found = report(f"{CAUSE}\n\n\n\n{line}\n")
    shown = [item.text for item in found.suspicious]
    shown += [item.text for one in found.explanations for item in one.unknown]
    assert line in shown


def test_information_of_qemu_is_no_unknown_error() -> None:
    found = report(
        "qemu-system-i386: -accel kvm: invalid accelerator kvm\n"
        "qemu-system-i386: falling back to tcg\n"
        "qemu-system-i386: load of migration failed: Invalid argument\n"
    )
    assert not any(
        "falling back" in line.text for one in found.explanations for line in one.unknown
    )


def test_the_parts_of_a_joined_line_are_not_shown_again() -> None:
    found = report(
        "error: unsupported configuration: Emulator '/usr/bin/qemu-system-x86_64'\n"
        "       does not support machine type 'pc-q35-9.8'\n"
    )
    assert found.explanations[0].rule == "machine-type"
    assert not found.suspicious


@pytest.mark.parametrize(
    ("log", "error"),
    [
        (
            "提示“error: unable to connect to server at 'n:16509': Connection refused”，如何？**",
            "d.",
        ),
        ("He saw *unable to connect to server at 'n:16509': No route to host* there", "host."),
        ("`unable to connect to server at 'n:16509': Connection timed out`", "out."),
    ],
)
def test_a_quotation_ends_at_its_quote(log: str, error: str) -> None:
    assert told(log + "\n").meaning.endswith(error)


# --- Wordings with words of their own ------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("The vdagent chardev doesn't yet support migration", "qemu-vdagent"),
        ("Live migration disabled due to MTE enabled", "mte=off"),
        (
            "Migration disabled: vhost-user backend lacks VHOST_USER_PROTOCOL_F_LOG_SHMFD feature.",
            "virtiofsd",
        ),
        ("unknown migration protocol: rdma:10.0.0.1:49152", "RDMA"),
        ("Postcopy is not yet compatible with multifd", "QEMU 10.1"),
    ],
)
def test_a_blocker_has_its_own_sentence(line: str, words: str) -> None:
    found = told(f"error: internal error: unable to execute QEMU command 'migrate': {line}\n")
    assert words in f"{found.meaning} {found.now}"


def test_the_field_that_failed_is_used() -> None:
    log = (
        "qemu-kvm: Failed to load virtio-gpu:{field}\n"
        "qemu-kvm: error while loading state for instance 0x0 of device '0000:00:02.0/virtio-gpu'\n"
        "qemu-kvm: load of migration failed: Invalid argument\n"
    )
    assert told(log.format(field="virtio-gpu")).cases[0].id == "virtio-gpu-own"
    assert "virtio-gpu-own" not in [case.id for case in told(log.format(field="virtio")).cases]


@pytest.mark.parametrize(
    ("error", "has", "lacks"),
    [
        ("Cannot allocate memory", "limit for locked memory", "IOMMU can address"),
        ("Invalid argument", "IOMMU can address", "locked memory"),
        ("Bad address", "cannot be pinned", "IOMMU can address"),
    ],
)
def test_the_errno_chooses_the_clause_of_the_remedy(error: str, has: str, lacks: str) -> None:
    found = told(f"qemu-system-x86_64: -device vfio-pci: VFIO_MAP_DMA failed: {error}\n")
    assert has in found.now
    assert lacks not in found.now


def test_a_remedy_without_a_clause_for_the_errno_stays_whole() -> None:
    text = "Permission denied: chmod. No such file: mount it."
    assert for_error(text, "Operation timed out") == text
    assert for_error(text, "No such file or directory") == "Mount it."
    assert for_error("Look at it. " + text, "Permission denied") == "Look at it. Chmod."


def test_a_denial_of_the_same_guest_is_named_beside_the_cause() -> None:
    found = told(REFUSED.format(disk="a.img") + "Permission denied\n" + DENIED.format(disk="b.img"))
    assert "/data/b.img" in " ".join(found.details)


def test_no_placeholder_is_left_in_a_text() -> None:
    found = told("qemu-kvm: egl: render node init failed\nTASK ERROR: start failed: exit code 1\n")
    assert found.message == "egl-init"
    assert "{" not in found.meaning + found.now


def test_both_logs_of_a_migration_share_the_command_line() -> None:
    source = "qemu-system-x86_64: Unable to write to socket: Connection reset by peer\n"
    destination = (
        "$ qemu-system-x86_64 -machine q35 -object memory-backend-file,id=m3,size=1G,share=on "
        "-incoming tcp:0:4444\ncpr_state_load cpr-transfer mode\n"
        "qemu-system-x86_64: error while loading state for instance 0x0 of device 'kvm-tpr-opt'\n"
        "qemu-system-x86_64: load of migration failed: Operation not permitted\n"
    )
    logs = [
        Log(name=name, scan=scan(io.BytesIO(text.encode())))
        for name, text in (("a", source), ("b", destination))
    ]
    found = explain_together(logs, {}).explanations[0]
    assert "memory-backend=m3" in found.now
