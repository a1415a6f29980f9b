"""What ``relay`` costs: RAM that passes, beside a plain copy between two sockets, and the check."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from benchmarks import PROGRAM, Row, best
from migratable.check import check
from migratable.profile.bundled import find
from migratable.relay import Judge
from migratable.stream import RamFlag, SectionKind, read
from migratable.stream.cursor import counted

PROFILE = "q35-10.0"
ROUND = 64 << 20
ROUNDS = 48
_COPY = """
import socket, sys
there, back = sys.argv[1:]
listener = socket.create_server(("127.0.0.1", 0))
print(f"listening on tcp:127.0.0.1:{listener.getsockname()[1]}", file=sys.stderr, flush=True)
source, _ = listener.accept()
sink = socket.create_connection(("127.0.0.1", int(there)))
buffer = memoryview(bytearray(int(back)))
while count := source.recv_into(buffer):
    sink.sendall(buffer[:count])
"""


def rows() -> Iterator[Row]:
    """RAM pages over loopback, and the check of a whole machine: processor time."""
    with tempfile.TemporaryDirectory(dir=_memory()) as folder:
        head, path = _stream(Path(folder))
        size = ROUNDS * path.stat().st_size / 1e9
        copy = [sys.executable, "-c", _COPY, "{port}", str(512 << 10)]
        relay = [*PROGRAM, "relay", "--listen", "tcp:127.0.0.1:0", "--to", "tcp:127.0.0.1:{port}"]
        relay += ["--profile", PROFILE]
        # In turns, and the least of either: the machine's other work hits both alike.
        both = [(_passed(copy, head, path), _passed(relay, head, path)) for _ in range(5)]
        plain = min((one for one, _ in both), key=lambda took: took[1])
        relayed = min((one for _, one in both), key=lambda took: took[1])
    yield Row(what=f"plain copy, {size:.1f} GB, processor time", value=plain[1])
    yield Row(
        what=f"relay, {size:.1f} GB, processor time",
        value=relayed[1],
        beside=plain[1],
        most=1.5,
    )
    yield Row(what="  a GB", value=relayed[1] / size)
    yield Row(what=f"plain copy, {size:.1f} GB, whole", value=plain[0])
    yield Row(what=f"relay, {size:.1f} GB, whole", value=relayed[0])
    profile = find(PROFILE)
    judge = Judge(profile)

    def took(work: Callable[[], object]) -> float:
        start = time.process_time()
        work()
        return time.process_time() - start

    plainly = best(lambda: took(lambda: check(read(profile.stream), profile)))
    yield Row(what="check of a q35's device state, processor time", value=plainly)
    held = best(lambda: took(lambda: judge.check(read(profile.stream))))
    yield Row(what="  the same, held by relay", value=held, beside=plainly, most=1)


def _memory() -> str | None:
    return "/dev/shm" if os.access("/dev/shm", os.W_OK) else None


def _stream(folder: Path) -> tuple[bytes, Path]:
    """The head of the machine's stream, and a file with one round of its RAM, all pages plain."""
    data = find(PROFILE).stream
    stream = read(data)
    rounds = [s for s in stream.sections if s.kind in {SectionKind.PART, SectionKind.END}]
    first = min(one.offset or 0 for one in rounds)
    ram = next(one for one in stream.sections if one.idstr == "ram")
    number = ram.section_id.to_bytes(4, "big")
    block = max(stream.ram_blocks, key=lambda one: one.used_length)
    page = os.urandom(4096)
    path = folder / "round"
    with path.open("wb") as file:
        file.write(bytes([SectionKind.PART]) + number)
        for offset in range(0, ROUND, 4096):
            continues = RamFlag.CONTINUE if offset else 0
            file.write((offset | RamFlag.PAGE | continues).to_bytes(8, "big"))
            file.write((b"" if offset else counted(block.id)) + page)
        file.write(int(RamFlag.EOS).to_bytes(8, "big") + b"\x7e" + number)
    return data[:first], path


def _passed(command: Sequence[str], head: bytes, path: Path) -> tuple[float, float]:
    """Seconds until the last byte has come through, and processor seconds of the program for it."""
    with socket.create_server(("127.0.0.1", 0)) as sink:
        words = [word.replace("{port}", str(sink.getsockname()[1])) for word in command]
        with subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
            assert process.stderr is not None
            said = process.stderr.readline().decode()
            port = int(said.rpartition(":")[2])
            before = _processor(process.pid)
            start = time.perf_counter()
            sender = os.fork()
            if not sender:
                _send(port, head, path)
                os._exit(0)
            came, _ = sink.accept()
            with came:
                wanted = ROUNDS * path.stat().st_size
                while wanted > 0 and (count := len(came.recv(1 << 20, socket.MSG_TRUNC))):
                    wanted -= count
                seconds = time.perf_counter() - start
                used = _processor(process.pid) - before
            os.kill(sender, 9)
            os.waitpid(sender, 0)
            process.kill()
    return seconds, used


def _send(port: int, head: bytes, path: Path) -> None:
    with socket.create_connection(("127.0.0.1", port)) as source, path.open("rb") as file:
        source.sendall(head)
        for _ in range(ROUNDS):
            source.sendfile(file, 0)
        time.sleep(600)


def _processor(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
