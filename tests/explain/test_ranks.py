"""Which of several causes in one log is the one that matters."""

from __future__ import annotations

import io

import pytest

from migratable.explain.story import explain

EOF = (
    b"2026-11-20 10:01:11.123+0000: 4411: error : virNetSocketReadWire:1791 : End of file while "
    b"reading data: Input/output error\n"
)
CPU = (
    b"2026-11-20 10:01:12.123+0000: 4413: error : virCPUx86Compare:1791 : operation failed: guest "
    b"CPU doesn't match specification: missing features: avx512f,pku\n"
)


def test_a_connection_that_ended_is_no_cause_beside_another() -> None:
    for log in (EOF + CPU, CPU + EOF):
        (failure,) = explain(io.BytesIO(log)).explanations
        assert failure.message == "libvirt-cpu-specification"
        assert failure.line.endswith("avx512f,pku")
    (alone,) = explain(io.BytesIO(EOF)).explanations
    assert (alone.message, alone.status.value) == ("libvirt-client-left", "warning")
    (virsh,) = explain(
        io.BytesIO(b"error: End of file while reading data: Input/output error\n")
    ).explanations
    assert virsh.message == "libvirt-eof"


def test_an_unknown_line_before_the_cause_leaves_something_unknown() -> None:
    unknown = b"flubber[12]: error: the widget of vm1 could not be frobnicated\n"
    outcome = b"error: Migration failed\nmake: *** [migrate] Error 1\n"
    assert explain(io.BytesIO(CPU)).exit_status == 0
    assert explain(io.BytesIO(CPU + outcome)).exit_status == 0
    report = explain(io.BytesIO(unknown + CPU))
    assert report.exit_status == 3
    assert [line.text for line in report.suspicious] == [unknown.decode().strip()]


def test_a_line_of_libvirt_s_log_that_lost_its_beginning() -> None:
    log = (
        b"qemuMigrationSrcPerformPeer2Peer:5291 : listen address is not supported by tunnelled "
        b"migration\n"
    )
    (found,) = explain(io.BytesIO(log)).explanations
    assert found.status.value == "explained"


def test_a_warning_after_which_libvirt_goes_on() -> None:
    log = (
        b"libvirtd[1]: Unable to write to '/sys/fs/cgroup/devices/machine/a/devices.allow': "
        b"Operation not permitted\n"
    )
    (found,) = explain(io.BytesIO(log)).explanations
    assert found.status.value == "warning"


@pytest.mark.parametrize(
    ("said", "remedy"),
    [
        ("Failed to open file '/usr/share/AAVMF/AAVMF.fd': No such file or directory", "<nvram>"),
        ("Failed to open file '/srv/web.qcow2': No such file or directory", "Mount the storage"),
        (
            "internal error: unable to execute QEMU command 'blockdev-create': Could not create "
            "'/srv/web.snap': Permission denied",
            "--reuse-external",
        ),
        ("Unsafe migration: Migration may lead to data corruption if disks use cache", "'none'"),
        ("Unsafe migration: Migration without shared storage is unsafe", "--copy-storage-all"),
    ],
)  # fmt: skip
def test_words_in_the_line_choose_the_remedy(said: str, remedy: str) -> None:
    (found,) = explain(io.BytesIO(f"error: {said}\n".encode())).explanations
    assert remedy in found.now
