"""A word of the user's in an error: as much of it as says which one it is, never all of 100 kB."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from migratable.cli import main
from migratable.printable import quoted
from tests.unit.stream import tiny

LONG = "w" * 100_000
PLAN = {"schema": "migratable.plan/1", "edits": []}


def test_quoted() -> None:
    assert quoted("q35\x1b") == r"'q35\x1b'"
    assert quoted(3) == "3"
    assert quoted(LONG) == f"{'w' * 200!r}… (100,000 characters)"
    assert len(quoted([LONG, {"a": LONG}])) < 300
    assert len(quoted({LONG: 1})) < 300


def _plan(**members: Any) -> str:
    return json.dumps({**PLAN, **members})


EDIT = {
    "id": "x",
    "rule": "r",
    "kind": "field",
    "section": "s",
    "instance_id": 0,
    "what": "w",
    "why": "y",
    "safety": "lossless",
}
FILES = {
    "plan schema": ("p.json", _plan(schema=LONG), "convert s.mig -o o --apply p.json -- true"),
    "plan schema list": (
        "p.json",
        _plan(schema=[LONG] * 3),
        "convert s.mig -o o --apply p.json -- true",
    ),
    "plan member": (
        "p.json",
        _plan(edits=[{**EDIT, LONG: 1}]),
        "convert s.mig -o o --apply p.json",
    ),
    "plan kind": (
        "p.json",
        _plan(edits=[{**EDIT, "kind": LONG}]),
        "convert s.mig -o o --apply p.json",
    ),
    "plan id": (
        "p.json",
        _plan(edits=[{**EDIT, "instance_id": LONG}]),
        "convert s.mig -o o --apply p.json",
    ),
    "plan safety": (
        "p.json",
        _plan(edits=[{**EDIT, "safety": LONG}]),
        "convert s.mig -o o --apply p.json",
    ),
    "fleet member": ("f.toml", f"[[vm]]\nname='a'\n{LONG} = 1\n", "matrix f.toml"),
    "fleet type": ("f.toml", f"[[vm]]\nname=['{LONG}']\n", "matrix f.toml"),
    "fleet files": ("f.toml", f"[[vm]]\nfiles='{LONG}'\n", "matrix f.toml"),
    "fleet twice": (
        "f.toml",
        f"[[vm]]\nnames=['{LONG}','{LONG}']\nsource='s.mig'\n",
        "matrix f.toml",
    ),
    "fleet table": ("f.toml", f"{LONG} = 1\n", "matrix f.toml"),
    "matrix schema": ("m.json", json.dumps({"schema": LONG}), "matrix m.json"),
    "profile schema": ("p.json", json.dumps({"schema": LONG}), "check s.mig --to p.json"),
    "project key": ("c.toml", f"{LONG} = 1\n", "check s.mig --project c.toml --to q35-10.0"),
    "project rule": (
        "c.toml",
        f"[[rule]]\nid='{LONG}'\nseverity='warns'\nreason='x'\n",
        "check s.mig --project c.toml --to q35-10.0",
    ),
    "project severity": (
        "c.toml",
        f"[[rule]]\nid='pci-config'\nseverity='{LONG}'\nreason='x'\n",
        "check s.mig --project c.toml --to q35-10.0",
    ),
}
LINES = [
    f"check s.mig -- true -device {{{LONG}",
    f"check s.mig -- {LONG}",
    f"check s.mig --to {LONG}",
    f"check s.mig --release {LONG} -- true",
    f"capture {LONG} -o x",
    f"rule {LONG}",
    f"inspect s.mig --section {LONG}",
    f"profile --save {LONG} -- true",
    f"whatif {LONG}",
    f"relay --listen {LONG} --to tcp:h:1 --profile q35-10.0",
    f"relay --listen tcp:{LONG}:99999999 --to tcp:h:1 --profile q35-10.0",
    f"preflight qmp:/x --to ssh://{LONG}://x",
    f"preflight ftp://{LONG} --to h",
    f"caps load {LONG} 4.2",
    f"convert s.mig -o o --planned {LONG} -- -M pseries-4.1",
    f"matrix --releases {LONG} 10.0",
    LONG,
]


def _asked(line: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> str:
    monkeypatch.setattr(sys, "argv", ["migratable", *line.split()])
    monkeypatch.setattr("migratable.cli._standard_streams", lambda: None)
    monkeypatch.setattr("migratable.cli._say", _say)
    with pytest.raises(SystemExit) as end:
        main()
    assert end.value.code == 2
    return capfd.readouterr().err


def _say(text: str) -> None:
    """As the program's own, in a process that goes on."""
    sys.stderr.write(text)
    sys.exit(2)


@pytest.mark.slow
@pytest.mark.parametrize("name", FILES)
def test_words_of_files(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    file, text, line = FILES[name]
    monkeypatch.chdir(tmp_path)
    (tmp_path / "s.mig").write_bytes(tiny.data())
    (tmp_path / file).write_text(text)
    said = _asked(line, monkeypatch, capfd)
    assert len(said) < 2_000, said[:300]


@pytest.mark.parametrize("line", LINES, ids=lambda line: line[:24])
def test_words_of_command_lines(
    line: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "s.mig").write_bytes(tiny.data())
    said = _asked(line, monkeypatch, capfd)
    assert len(said) < 2_000, said[:300]
