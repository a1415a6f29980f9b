"""What a started program may see, write, reach and run: asked of a shell in QEMU's place."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from migratable.qemu import confinement
from migratable.qemu.confine import landlock, seccomp
from migratable.qemu.confinement import Confinement, needs_more, needs_programs, specification
from migratable.qemu.launch import launch
from tests.absent import absent

SHELL = "/bin/sh"
PASSED = os.environ.get("PATH", "")


def run(
    script: str, *, files: tuple[str, ...] = (), whole: bool = False
) -> tuple[str, Confinement]:
    process = launch(
        [SHELL, "-c", script],
        stdout=subprocess.PIPE,
        files=files,
        whole=whole,
    )
    out, err = process.communicate(timeout=60)
    found = Confinement.read(err.decode().splitlines())
    assert found is not None, err
    return out.decode(), found


def ways() -> Confinement:
    return run(":")[1]


def test_nothing_is_written(tmp_path: Path) -> None:
    for whole in (False, True):
        said, found = run(
            f"echo x > {tmp_path}/new; echo x >> {tmp_path}/old; echo x > rel; echo x > /new; "
            "echo x > /tmp/new; echo x > /dev/null && echo null",
            whole=whole,
        )
        if not found.landlock and not found.namespaces:
            pytest.skip(f"neither Landlock nor namespaces here: {found.missing}")
        assert said == "null\n"
    assert not list(tmp_path.iterdir())
    assert not Path("/new").exists()
    assert not Path("/tmp/new").exists()
    assert not Path("rel").exists()


def test_only_named_files_are_read(tmp_path: Path) -> None:
    named, other = tmp_path / "named", tmp_path / "other"
    named.write_text("a\n")
    other.write_text("b\n")
    script = f"read x < {named}; echo $x; read y < {other}; echo $y"
    said, found = run(script, files=(str(named),))
    if not found.landlock and not found.namespaces:
        pytest.skip(f"neither Landlock nor namespaces here: {found.missing}")
    assert said == "a\n\n"
    assert run(script, files=(str(named),), whole=True)[0] == "a\nb\n"


def test_nothing_else_is_run() -> None:
    said, found = run("/usr/bin/env && echo ran; exec /usr/bin/env")
    if not found.landlock:
        pytest.skip(f"no Landlock here: {found.missing}")
    assert said == ""


def test_nobody_is_signalled_and_ends_are_passed_on() -> None:
    said, found = run(f"kill -0 {os.getpid()} && echo reached; kill -0 1 && echo reached")
    assert found.seccomp, found.missing
    assert "pid" in found.namespaces or said == ""
    if "pid" in found.namespaces:  # number 1 is its own init
        assert said in {"", "reached\n"}
    for text, status in (("exit 0", 0), ("exit 77", 77), ("exit 126", 126)):
        process = launch([SHELL, "-c", text], stderr=subprocess.DEVNULL)
        assert process.wait(60) == status


def test_an_abort_is_seen_as_one() -> None:
    process = launch(
        [sys.executable, "-I", "-S", "-c", "import os; os.abort()"], stderr=subprocess.DEVNULL
    )
    assert process.wait(60) == -6


def test_no_process_outlives_its_starter(tmp_path: Path) -> None:
    """Whoever of the three that wait is ended: all are."""
    for which in range(3):
        process = launch(
            [SHELL, "-c", "echo up; read x < fifo; while :; do :; done"], stdout=subprocess.PIPE
        )
        assert process.stdout is not None
        assert process.stdout.readline() == b"up\n"
        chain = [process.pid]
        while True:
            try:
                text = Path(f"/proc/{chain[-1]}/task/{chain[-1]}/children").read_text()
            except OSError:
                break
            if not text.split():
                break
            chain.append(int(text.split()[0]))
        os.kill(chain[min(which, len(chain) - 1)], 9)
        process.wait(60)
        process.stdout.read()  # its end: the last that held it is gone
        process.stdout.close()
        assert process.stderr is not None
        process.stderr.close()


def test_what_cannot_be_had_is_said() -> None:
    """As in a container that forbids namespaces: the rest holds, and it is said."""
    wanted = specification([SHELL])
    source = Path(confinement.__file__).parent
    code = (
        "import os, sys; sys.path.insert(0, sys.argv[1]);"
        "from migratable.qemu.confine import kernel, seccomp;"
        "kernel.prctl(kernel.PR_SET_NO_NEW_PRIVS, 1, ''); seccomp.apply();"
        "p = os.getpid(); c = os.fork();"
        "c or os.execv(sys.executable, [sys.executable, '-I', '-S', *sys.argv[2:3], str(p),"
        " *sys.argv[3:]]); os.waitpid(c, 0)"
    )
    done = subprocess.run(
        [
            *(sys.executable, "-c", code, str(source.parent.parent), str(source / "launcher.py")),
            *(wanted, SHELL, "-c", "echo here; echo x > /tmp/new"),
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    found = Confinement.read(done.stderr.splitlines())
    assert found is not None, done.stderr
    assert found.namespaces == ()
    assert any(text.startswith("namespaces: ") for text in found.missing)
    assert found.seccomp
    assert done.stdout == "here\n"
    assert not Path("/tmp/new").exists()
    assert found.to_json()["missing"] == list(found.missing)


@pytest.mark.parametrize("machine", ["x86_64", "aarch64", "riscv64", "ppc64le", "ppc64", "s390x"])
def test_the_filter_of_every_architecture(machine: str) -> None:
    """One comparison for each call that is refused, and jumps that end at the refusal."""
    numbers = seccomp.numbers(machine)
    assert {"connect", "listen", "ptrace", "mount", "io_uring_setup", "kill"} <= set(numbers)
    assert len(set(numbers.values())) == len(numbers)
    code = seccomp.program(machine)
    size = len(code) // 8
    jumps = [
        (at, code[at * 8 + 2])
        for at in range(size)
        if int.from_bytes(code[at * 8 : at * 8 + 2], sys.byteorder) == 0x15
    ]
    assert len(jumps) == len(numbers) + 1
    assert {at + jump + 1 for at, jump in jumps[1:]} == {size - 1}


def test_numbers_are_the_machines_own() -> None:
    """Against the kernel's headers where they are here (linux-libc-dev)."""
    for header in (
        Path("/usr/include/x86_64-linux-gnu/asm/unistd_64.h"),
        Path("/usr/include/aarch64-linux-gnu/asm/unistd_64.h"),
    ):
        if not header.exists() or os.uname().machine not in str(header):
            continue
        text = header.read_text()
        for name, number in seccomp.numbers(os.uname().machine).items():
            assert f"#define __NR_{name} {number}\n" in text, name
        return
    absent("the kernel's headers (linux-libc-dev) are not on this machine")


def test_an_installation_is_found(tmp_path: Path) -> None:
    program = tmp_path / "opt" / "bin" / "qemu-system-x86_64"
    program.parent.mkdir(parents=True)
    program.write_text(f'#!{SHELL}\nexec {SHELL} "$@"\n')
    program.chmod(0o755)
    words = specification([str(program)], files=["/named"], kvm=True).split("\1")
    assert f"read={tmp_path}/opt" in words
    assert "read=/named" in words
    assert "device=/dev/kvm" in words
    assert f"run={SHELL}" in words
    assert f"run={program}" in words
    assert "read=/" in specification([str(program)], whole=True).split("\1")
    assert "device=/dev/kvm" not in specification([str(program)]).split("\1")


def test_when_it_is_started_again_with_more_to_see() -> None:
    assert needs_more(["x: error while loading shared libraries: libfoo.so"])
    assert needs_more(["Could not open '/x': No such file or directory"])
    assert not needs_more(["-foo: invalid option", "Property 'x.y' not there"])


def test_other_programs_are_run_for_a_starter_alone() -> None:
    assert needs_programs(["/opt/bin/kvm: 12: numactl: not found"])
    assert needs_programs(["env: 'qemu-kvm': Permission denied"])
    assert not needs_programs(["-device a,pcap=sh: Property 'a.pcap' not found"])
    assert not needs_programs(["qemu-system-x86_64: -netdev tap: x: Permission denied"])


def test_landlock_says_its_version() -> None:
    assert landlock.version() == ways().landlock


@pytest.mark.parametrize(
    ("command", "programs", "paths"),
    [
        (["/usr/bin/qemu-system-x86_64", "-m", "1"], ["/usr/bin/qemu-system-x86_64"], []),
        (
            ["/usr/bin/env", "QEMU_MODULE_DIR=/usr", "A=b", "/l/ld-linux-x86-64.so.2",
             "--inhibit-cache", "--library-path", "/bin:/gone", "/u/qemu-system-x86_64", "-m", "1"],
            ["/usr/bin/env", "/l/ld-linux-x86-64.so.2", "/u/qemu-system-x86_64"],
            ["/usr", "/bin"],
        ),
        (["env", "/u/qemu", "-L", "/tmp"], ["env", "/u/qemu"], []),
        ([], ["/"], []),
    ],
)  # fmt: skip
def test_programs_before_the_program(
    command: list[str], programs: list[str], paths: list[str]
) -> None:
    assert confinement.starters(command) == (programs, paths)


def test_a_program_behind_env_runs_confined() -> None:
    process = launch(["/usr/bin/env", "ONE=two", SHELL, "-c", "echo $ONE"], stdout=subprocess.PIPE)
    out, err = process.communicate(timeout=60)
    assert out == b"two\n", err
