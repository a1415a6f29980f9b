"""An oracle that does not read our code: strace sees what hostile command lines make QEMU do."""

import hashlib
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import threading
from dataclasses import dataclass
from pathlib import Path

import pytest

from migratable.hints.programs import OTHER
from tests.absent import absent
from tests.conftest import REPOSITORY, Lab
from tests.hostile import FILES

pytestmark = [pytest.mark.real, pytest.mark.slow]
COUNT = int(os.environ.get("MIGRATABLE_HOSTILE", "25"))
SEED = int(os.environ.get("MIGRATABLE_HOSTILE_SEED", "1"))
PROGRAMS = [
    *(("5.2", "x86_64"), ("7.2", "x86_64"), ("10.0", "x86_64"), ("11.1", "x86_64")),
    *(("10.0", "ppc64"), ("11.1", "aarch64"), ("7.2", "s390x")),
]
LISTED = [("5.2", "x86_64"), ("7.2", "aarch64"), ("10.0", "ppc64"), ("11.1", "x86_64")]
LISTED_COUNT = int(os.environ.get("MIGRATABLE_HOSTILE", "15"))
TRACED = "open,openat,openat2,creat,connect,listen,execve,execveat,truncate,rename,unlink,link"
# What may be opened for writing: devices, a user namespace's maps, private files (memfd).
WRITABLE = re.compile(
    r"/dev/(?:null|zero|full|u?random|kvm|net/tun|tty)|/proc/(?:self|\d+)/(?:setgroups|[ug]id_map)"
    r"|/proc/self/fd/\d+"
)
CALL = re.compile(r"^(?:\d+\s+)?(\w+)\((.*)$")
NAME = re.compile(r'"((?:[^"\\]|\\.)*)"')


def violations(trace: str, *, runs: set[str], cache: str) -> list[str]:
    """Lines of the trace that are outside the list."""
    found = []
    for line in trace.splitlines():
        call = CALL.match(line)
        if call is None:
            continue
        kind, rest = call.groups()
        name = NAME.search(rest)
        path = name[1] if name else ""
        if kind in {"execve", "execveat"}:
            bad = path not in runs
        elif kind in {"connect", "listen"}:
            bad = True
        elif kind in {"open", "openat", "openat2", "creat"}:
            writes = kind == "creat" or re.search(r"O_(?:WRONLY|RDWR|CREAT|TRUNC)", rest)
            bad = bool(writes) and not WRITABLE.fullmatch(path) and not path.startswith(cache)
        else:
            bad = not path.startswith(cache)
        if bad:
            found.append(line)
    return found


def test_the_oracle_sees() -> None:
    trace = (
        '12 openat(AT_FDCWD, "/etc/x", O_RDONLY|O_CLOEXEC) = 3\n'
        '12 openat(AT_FDCWD, "/dev/null", O_RDWR) = 3\n'
        '12 openat(AT_FDCWD, "notes.txt", O_RDWR|O_CREAT, 0644) = 3\n'
        "12 listen(3, 1) = 0\n"
        '12 connect(3, {sa_family=AF_UNIX, sun_path="/x"}, 110) = 0\n'
        '12 execve("/bin/sh", ["sh"], 0x7 /* 1 var */) = 0\n'
        '12 execve("/x/script", ["x"], 0x7 /* 1 var */) = 0\n'
    )
    found = violations(trace, runs={"/bin/sh"}, cache="/cache/")
    assert [re.findall(r"\w+", line)[1] for line in found] == [
        "openat",
        "listen",
        "connect",
        "execve",
    ]


def _hashes(folder: Path) -> dict[str, str]:
    return {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in FILES}


def _runs(*starters: str) -> set[str]:
    """Starters of lab programs, their shell and what they become."""
    text = "\n".join(Path(one).read_text("utf-8", "replace") for one in starters)
    return {
        sys.executable,
        *starters,
        os.path.realpath("/bin/sh"),
        "/bin/sh",
        *(word for word in re.findall(r"^exec (\S+)", text, re.M)),
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class Traced:
    """What a module did to hostile lines under strace.

    :ivar said: what it printed.
    :ivar calls: its system calls.
    """

    said: str
    calls: str


def traced(module: str, count: int, release: str, target: str, lab: Lab, tmp_path: Path) -> Traced:
    """Run ``tests.MODULE``; nothing that its lines name may be changed, made, asked or run."""
    strace = shutil.which("strace")
    if strace is None:
        absent("strace is not on this machine")
    command = lab(release, target).command
    folder, cache, trace = tmp_path / "named", tmp_path / "cache", tmp_path / "trace"
    folder.mkdir()
    cache.mkdir()
    for name in FILES:
        (folder / name).write_bytes(f"{name}\n".encode() * 1000)
    script = folder / "script"
    script.write_text(f"#!/bin/sh\necho > {folder}/mark\n")
    script.chmod(0o755)
    os.mkfifo(folder / "fifo")
    before = _hashes(folder)
    accepted: list[object] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def accept() -> None:
            while True:
                try:
                    accepted.append(listener.accept())
                except OSError:
                    return

        threading.Thread(target=accept, daemon=True).start()
        port = listener.getsockname()[1]
        done = subprocess.run(
            [
                *(strace, "-f", "-qq", "--seccomp-bpf", "-s", "512", "-e", f"trace={TRACED}"),
                *("-e", "status=successful", "-o", str(trace), sys.executable, "-B", "-m"),
                *(f"tests.{module}", str(folder), str(SEED), str(count), release, target),
                str(port),
            ],
            cwd=folder,
            env={
                **os.environ,
                "MIGRATABLE_CACHE": str(cache),
                "PYTHONPATH": f"{REPOSITORY / 'src'}:{REPOSITORY}",
                "TMPDIR": str(cache),
            },
            capture_output=True,
            text=True,
            check=False,
        )
        listener.shutdown(socket.SHUT_RDWR)
    assert done.returncode == 0, done.stderr[-2000:]
    text = trace.read_text("utf-8", "replace")
    starters = {command[0]}
    if target in OTHER:  # a remedy is the program of the other width, from the same folder
        sibling = Path(command[0]).with_name(f"qemu-system-{OTHER[target]}")
        starters |= {str(sibling)} if sibling.exists() else set()
    bad = violations(text, runs=_runs(*starters), cache=str(cache))
    config = re.compile(rf'"{folder}/config-[\w-]+"')  # the generator's own
    assert [line for line in bad if not config.search(line)] == []
    assert accepted == []
    assert _hashes(folder) == before
    there = {path.name for path in folder.iterdir() if not path.name.startswith("config-")}
    assert there == {*FILES, "script", "fifo"}
    assert [path for path in cache.rglob("*") if path.name.startswith("migratable-")] == []
    return Traced(said=done.stdout, calls=text)


@pytest.mark.parametrize(("release", "target"), PROGRAMS)
def test_no_line_writes_connects_listens_or_runs(
    release: str, target: str, lab: Lab, tmp_path: Path
) -> None:
    found = traced("hostile_run", COUNT, release, target, lab, tmp_path)
    started, refused = map(int, found.said.split())
    assert started + refused == COUNT
    assert started > COUNT // 4  # else it would say nothing
    assert found.calls.count("execve(") > COUNT


@pytest.mark.parametrize(("release", "target"), LISTED)
def test_no_command_does_with_what_a_program_lists(
    release: str, target: str, lab: Lab, tmp_path: Path
) -> None:
    found = traced("hostile_commands", LISTED_COUNT, release, target, lab, tmp_path)
    said = json.loads(found.said)
    assert said["bad"] == []
    assert sum(said["ends"].values()) == LISTED_COUNT
    assert any(name in said["ends"] for name in ("profile 0", "check 1", "rehearse 1"))
