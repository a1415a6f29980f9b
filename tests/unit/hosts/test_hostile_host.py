"""A host that lies: whatever it answers is an error of ours with its name, and never a bug."""

from __future__ import annotations

import base64
import copy
import json
import os
import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from migratable.errors import HostError, MigratableError
from migratable.hosts import answers
from migratable.hosts.address import Address
from migratable.hosts.connection import Connection
from migratable.hosts.looks import look
from migratable.hosts.needs import Needs
from migratable.hosts.preflight import Options, agreed, preflight, take
from migratable.profile.bundled import find
from migratable.report.preflight_text import show
from migratable.verdict import (
    Basis,
    Finding,
    Hint,
    Outcome,
    Refusal,
    Severity,
    Verdict,
)

QUESTION = {**Needs(disks=(("/d", "raw", "disk"),)).question(), "uri": "", "program": ""}


def good() -> dict[str, Any]:
    """What an honest host answers."""
    profile = find("q35-10.0")
    document = {**profile.to_json(), "stream": None, "loader": None, "vmstate": None}
    hint = Hint(action="do it", command="x", verified=Basis.REHEARSED)
    finding = Finding(
        rule="machine-type", severity=Severity.REFUSES, summary="s", stderr=("x",), hints=(hint,)
    )
    verdict = Verdict(
        outcome=Outcome.REFUSED,
        basis=Basis.REHEARSED,
        findings=(finding,),
        first_refusal=Refusal(rule="machine-type", message="no"),
        destination={"qemu": "10.0"},
    ).to_json()
    stream = base64.b64encode(profile.stream).decode()
    state = {
        "stream": stream,
        "facts": {"release": "10.0.2", "machine": "pc-q35-10.0", "pause_ms": 1.0, "status": "x"},
        "profile": document,
        "capabilities": ["xbzrle"],
        "unchecked": ["u"],
    }
    guest = {
        "name": "web1",
        "kind": "qemu",
        "pid": 5,
        "uri": "",
        "argv": ["/usr/bin/qemu-system-x86_64", "-hda", "/d"],
        "qmp": "/s",
        "problem": "",
        "live": "qmp:/s",
    }
    arrived = {
        "command_line": ["/usr/bin/qemu-system-x86_64"],
        "command_line_from": "same",
        "command_line_changes": ["c"],
        "predicted": verdict,
        "rehearsed": verdict,
        "verdict": {**verdict, "verdict": "loads", "first_refusal": None},
        "after": stream,
        "stuck": "",
        "not_rehearsed": "",
        "remedies": [{"command": "x", "after": stream, "stuck": "", "blocked": False}],
        "steps": {"profile": 0.5},
        "profile": document,
    }
    return {
        "guest": guest,
        "question": "may I?",
        "capture": state,
        "power_on": state,
        "destination": arrived,
        "host": look(QUESTION),
    }


class Liar(Connection):
    """A host that gives these answers."""

    def __init__(self, found: dict[str, Any]) -> None:
        super().__init__(Address(host="evil"))
        self._found = found
        self.facts = {"python": "3.11", "user": 0}

    def request(self, operation: str, *, tell: Any = None, **arguments: Any) -> Any:
        data = json.dumps({"id": 1, "result": self._found[operation]}).encode()
        return self._result(operation, answers.parsed(data))


def asked(found: dict[str, Any]) -> None:
    """All that the command does with the answers, and everything that it writes."""
    host = Liar(found)
    taken = take(host, "web1", Options(), confirm=agreed, told=lambda *_: None)
    result = preflight(host, host, taken, Options(), told=lambda *_: None)
    json.dumps(result.to_json(), allow_nan=False)
    from rich.console import Console

    with Path(os.devnull).open("w") as nowhere:
        show(result.to_json(), result.verdict, console=Console(file=nowhere))


def test_an_honest_host_is_understood() -> None:
    asked(good())


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield path
    if isinstance(value, dict):
        for key, one in list(value.items())[:12]:
            yield from places(one, (*path, key))
    elif isinstance(value, list):
        for number, one in enumerate(value[:2]):
            yield from places(one, (*path, number))


STRANGE: tuple[Any, ...] = (
    None,
    True,
    -1,
    1 << 70,
    1e308,
    "",
    "x\x1b[8m\n",
    "A" * 100,
    [],
    [[]],
    [None],
    {},
    {"a": 1},
)


@pytest.mark.parametrize("most", [40, pytest.param(300, marks=pytest.mark.slow)])
def test_no_answer_is_a_bug(most: int) -> None:
    """One member of one answer is another value, or missing: an error, or no difference."""
    honest = good()
    every = [path for path in places(honest) if len(path) > 1 and "stream" not in path[2:]]
    random_ = random.Random(1)
    count = refused = 0
    for path in random_.sample(every, min(len(every), most)):
        for value in random_.sample(STRANGE, 4):
            found = copy.deepcopy(honest)
            at: Any = found
            for key in path[:-1]:
                at = at[key]
            if value is None and isinstance(at, dict) and random_.random() < 0.5:
                del at[path[-1]]
            else:
                at[path[-1]] = value
            count += 1
            try:
                asked(found)
            except MigratableError:
                refused += 1
    assert refused > count // 4


@pytest.mark.parametrize(
    "data", [b"[" * 100_000, b"[" + b"0," * 4_000_001 + b"0]", b"{", b"\xff", b"1" * 6000]
)
def test_bombs_in_an_answer(data: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        answers.parsed(data)


EVIL = """
import base64, json, os, re, sys
first = base64.b64decode(sys.stdin.buffer.readline()).decode()
header = json.loads(eval(re.match("HEADER = (.*)", first)[1]))
say = lambda data: (os.write(1, data), None)
ready = {"python": "3", "user": 0}
if MODE == "first": ready = [[]]
say(b"migratable-host %s ready %s\\n" % (header["nonce"].encode(), json.dumps(ready).encode()))
sys.stdin.buffer.read(header["size"])
for line in sys.stdin.buffer:
    number = json.loads(line).get("id")
    if number is None: continue
    if MODE == "deep": say(b"[" * 200_000 + b"\\n")
    if MODE == "shape": say(b'{"id": %d, "result": {"name": 5}}\\n' % number)
    if MODE == "list": say(b'[]\\n7\\n"x"\\n{"id": [], "result": 1}\\nnot json\\n')
    if MODE == "error": say(b'{"id": %d, "error": {"a": "\\\\u001b[8m"}, "kind": []}\\n' % number)
    if MODE == "none": say(b'{"id": %d}\\n' % number)
"""


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["first", "deep", "shape", "list", "error", "none"])
def test_a_lying_host_is_said(mode: str, tmp_path: Path) -> None:
    ssh = tmp_path / "ssh.py"
    ssh.write_text(f"MODE = {mode!r}\n{EVIL}")
    done = subprocess.run(
        [sys.executable, "-m", "migratable", "preflight", "ssh://a/web1", "--to", "b", "--yes"],
        env={**os.environ, "MIGRATABLE_SSH": f"{sys.executable} {ssh}"},
        capture_output=True,
        check=False,
        timeout=60,
        stdin=subprocess.DEVNULL,
    )
    assert done.returncode == 2
    assert done.stderr.startswith(b"migratable: "), done.stderr
    assert b"Traceback" not in done.stderr
    assert b"bug of migratable" not in done.stderr
    assert b"\x1b[8m" not in done.stderr


@pytest.mark.parametrize(
    "text",
    [
        *("ssh://-oProxyCommand=touch%20x/g", "ssh://-oProxyCommand=x@node/g", "-oProxyCommand=x"),
        *("node 1", "node;id", "ssh://node$(id)/g", "a@-b", "-l@b", "\n"),
    ],
)
def test_no_name_is_an_option_of_ssh(text: str) -> None:
    with pytest.raises(HostError):
        Address.parse(text)
