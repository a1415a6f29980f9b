"""Guests of this host, as ``/proc`` shows them."""

from __future__ import annotations

from pathlib import Path

import pytest

from migratable.capture.copy import untrusted
from migratable.commandline import parse
from migratable.commandline.line import CommandLine, target_of
from migratable.errors import HostError
from migratable.hosts.guests import Process, find, line_of, program_of, qmp_sockets

LOADER = ("/l/ld-linux-x86-64.so.2", "--library-path", "/a:/b", "/u/qemu-system-x86_64")


@pytest.mark.parametrize(
    ("argv", "program"),
    [
        (("/usr/bin/qemu-system-x86_64", "-m", "1G"), ("/usr/bin/qemu-system-x86_64",)),
        ((*LOADER, "-L", "/share", "-m", "1G"), LOADER),
        (("/usr/libexec/qemu-kvm", "-m", "1G"), ("/usr/libexec/qemu-kvm",)),
        (("/opt/vmm", "-m", "1G"), ("/opt/vmm",)),
    ],
)
def test_words_that_start_it(argv: tuple[str, ...], program: tuple[str, ...]) -> None:
    assert program_of(argv) == program
    line = line_of(argv)
    assert line.program == program
    assert line.get("m", "size") == "1G"


@pytest.mark.parametrize(
    ("program", "target"),
    [
        (("/usr/bin/env", "QEMU_MODULE_DIR=/x/y", *LOADER), "x86_64"),
        (("qemu-system-ppc64",), "ppc64"),
        (("lab", "s390x"), "s390x"),
        (("/usr/bin/env", "A=b"), ""),
    ],
)
def test_target_of_a_started_program(program: tuple[str, ...], target: str) -> None:
    assert target_of(CommandLine(program=program, options=())) == target


def test_sockets_of_both_spellings() -> None:
    line = parse(
        [
            "qemu-system-x86_64", "-qmp", "unix:/run/a.sock,server=on,wait=off",
            "-chardev", "socket,id=m,path=/run/b.sock,server=on", "-mon", "chardev=m,mode=control",
            "-chardev", "socket,id=h,path=/run/c.sock,server=on", "-mon", "chardev=h",
            "-qmp", "tcp:localhost:4444,server",
            "-chardev", "socket,id=e,path=/var/run/qmeventd.sock,reconnect=5",
            "-mon", "chardev=e,mode=control",
        ]
    )  # fmt: skip
    assert list(qmp_sockets(line, 1)) == ["/run/a.sock", "/run/b.sock"]


def test_a_program_that_others_could_have_written_is_not_started(tmp_path: Path) -> None:
    program = tmp_path / "qemu-system-x86_64"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    assert untrusted([str(program)]) == ""
    assert untrusted(["/usr/bin/env", f"LD_LIBRARY_PATH={tmp_path}:/gone", str(program)]) == ""
    program.chmod(0o777)
    assert "can be written by users other" in untrusted([str(program)])
    program.chmod(0o755)
    tmp_path.chmod(0o777)
    assert "can be written by users other" in untrusted(
        ["/usr/bin/env", f"QEMU_MODULE_DIR={tmp_path}"]
    )


@pytest.mark.parametrize(
    "words",
    [
        ["LD_LIBRARY_PATH=/gone;{evil}"],  # the loader splits at both
        ["LD_LIBRARY_PATH=/usr/lib:"],  # and takes an empty one for the current folder
        ["LD_LIBRARY_PATH=/usr/$LIB"],
        ["LD_LIBRARY_PATH=lib"],
        ["QEMU_MODULE_DIR=modules"],
        ["--library-path", "/usr/lib;{evil}", "/usr/bin/env"],
        ["--preload", "/gone/a.so {evil}/b.so", "/usr/bin/env"],
        ["--audit", "evil.so", "/usr/bin/env"],
        ["bin/qemu-system-x86_64"],
        ["{evil}/not-there-yet"],
    ],
)
def test_what_a_process_lets_its_loader_load(words: list[str], tmp_path: Path) -> None:
    evil = tmp_path / "evil"
    evil.mkdir()
    evil.chmod(0o1777)
    assert untrusted([word.replace("{evil}", str(evil)) for word in words])
    plain = ["--inhibit-cache", "--library-path", "/usr/lib:/gone", "--argv0", "x", "/usr/bin/env"]
    assert untrusted(["LD_LIBRARY_PATH=", *plain]) == ""


@pytest.mark.parametrize(
    ("words", "name"),
    [
        (("-name", "guest=web1,debug-threads=on"), "web1"),
        (("-id", "101", "-name", "web1,debug-threads=on"), "web1"),
        (("-name", "web1"), "web1"),
        (("-name", "debug-threads=on"), ""),
        ((), ""),
    ],
)
def test_names(words: tuple[str, ...], name: str) -> None:
    argv = ("/usr/bin/kvm", *words)
    assert Process(pid=1, argv=argv, line=line_of(argv)).name == name


def test_no_such_guest() -> None:
    with pytest.raises(HostError, match="no running guest 'nobody-calls-a-guest-so'"):
        find("nobody-calls-a-guest-so")
    with pytest.raises(HostError, match="is not a socket on this host"):
        find("/nonexistent/qmp.sock")
