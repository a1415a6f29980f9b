"""Run whole commands over hostile lines made from a program's listings; under strace by its test.

python -m tests.hostile_commands FOLDER SEED COUNT RELEASE TARGET PORT

Prints a line of JSON: how commands ended by status, and what must not be: tracebacks and hangs.
"""

import collections
import contextlib
import json
import os
import shlex
import signal
import sys
import tempfile
import time
from pathlib import Path

from migratable.lab import find
from tests.hostile import Place
from tests.hostile_listed import Listed

SECONDS = 60.0
SOURCES = {"x86_64": "q35-10.0", "ppc64": "pseries-10.0", "aarch64": "aarch64-10.0"}


def commands(line: list[str], source: str, file: Path) -> list[list[str]]:
    """Everything that starts a command line."""
    return [
        ["profile", "--", *line],
        ["check", source, "--hint-seconds", "3", "--", *line],
        ["rehearse", source, "--", *line],
        ["check", source, "--rehearse", "--no-hints", "--json", "--", *line],
        ["check", source, "--hint-seconds", "2", "--from", str(file)],
    ]


def run(words: list[str], said: Path) -> int | None:
    """Status of the command in a child of its own; None when it hangs."""
    child = os.fork()
    if child == 0:
        os.setsid()
        null = os.open(os.devnull, os.O_RDONLY)
        out = os.open(said, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        for number, descriptor in ((0, null), (1, out), (2, out)):
            os.dup2(descriptor, number)
        sys.argv = ["migratable", *words]
        from migratable.cli import main

        try:
            main()
        except SystemExit as stop:
            with contextlib.suppress(Exception):
                sys.stdout.flush()
                sys.stderr.flush()
            os._exit(int(stop.code or 0))
        finally:
            os._exit(70)
    deadline = time.monotonic() + SECONDS
    while time.monotonic() < deadline:
        pid, status = os.waitpid(child, os.WNOHANG)
        if pid:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.01)
    os.killpg(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return None


def main() -> None:
    folder, seed, count, release, target, port = sys.argv[1:]
    import migratable.check
    import migratable.hints
    import migratable.profile.collect
    import migratable.rehearse.disagreement  # noqa: F401 -- once for all children

    program = find(release, target).command
    listed = Listed(program, target, Place(folder=Path(folder), port=int(port)), int(seed))
    ends: collections.Counter[str] = collections.Counter()
    bad: list[dict[str, object]] = []
    with tempfile.TemporaryDirectory() as work:
        said, file = Path(work, "said"), Path(work, "line.txt")
        for number, argv in enumerate(listed.lines(int(count))):
            line = [*program, *argv]
            file.write_text(shlex.join(line) + "\n")
            every = commands(line, SOURCES[target], file)
            words = every[number % len(every)]
            status = run(words, said)
            text = said.read_text("utf-8", "replace")
            ends[f"{words[0]} {status}"] += 1
            if status not in {0, 1, 2, 3} or "Traceback" in text or "bug of migratable" in text:
                bad.append({"words": words, "status": status, "said": text[-3000:]})
    print(json.dumps({"ends": ends, "bad": bad}))


main()
