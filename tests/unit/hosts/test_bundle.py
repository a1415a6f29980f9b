"""The file that a host gets holds all that is used there."""

from __future__ import annotations

import io
import subprocess
import sys
import zipfile
from pathlib import Path

from migratable.hosts.bundle import bundle

_ON_A_HOST = """
import sys
sys.path.insert(0, sys.argv[1])
from migratable.rehearse.verdict import explained
for line in (
    "qemu-system-x86_64: cannot set up guest memory 'pc.ram': Cannot allocate memory",
    "qemu-system-x86_64: Unable to write to socket: Bad file descriptor",
    "error: unsupported configuration: no text that anybody knows",
    "qemu-system-x86_64: no text that anybody knows",
):
    found = explained([line, "qemu-system-x86_64: load of migration failed: Invalid argument"])
    print(found.status.value, found.rule)
"""


def test_a_rehearsal_on_a_host_explains_its_lines(tmp_path: Path) -> None:
    zipfile.ZipFile(io.BytesIO(bundle().data)).extractall(tmp_path)
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", _ON_A_HOST, str(tmp_path)],
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.stderr == ""
    first, *_, last = done.stdout.splitlines()
    assert first.split()[0] == "explained"
    assert last.split()[0] in {"symptom", "unknown"}
