"""`matrix --rehearse`, by the real programs."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.absent import needs
from tests.conftest import Lab

needs("distributed", "the extra 'dask' is not installed")

pytestmark = pytest.mark.slow

LINE = "qemu-system-x86_64 -M pc-q35-7.2 -m 64M -nodefaults -device virtio-rng-pci"


def run(folder: Path, *options: str) -> tuple[int, dict[str, Any], str]:
    command = [sys.executable, "-m", "migratable", "matrix", str(folder / "fleet.toml")]
    command += ["--format", "json", *options]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)
    return done.returncode, json.loads(done.stdout) if done.stdout else {}, done.stderr


def loading(document: dict[str, Any]) -> list[list[str]]:
    """Verdicts of all pairs."""
    verdicts = [one["verdict"]["verdict"] for one in document["answers"]]
    return [[verdicts[at] for at in row] for row in document["cells"]]


@pytest.mark.real
def test_rehearsed_as_predicted(lab: Lab, tmp_path: Path) -> None:
    """Equal VMs are rehearsed once, with the answers predicted; and never again with --resume."""
    for release in ("7.2", "10.0", "11.1"):
        lab(release)
    fleet = "".join(
        f'[[vm]]\nnames = ["{name}1", "{name}2"]\ncommand-line = "{LINE}"\nrelease = "{release}"\n'
        for name, release in (("old", "7.2"), ("new", "10.0"))
    )
    fleet += "".join(f'[[host]]\nname = "{one}"\nrelease = "{one}"\n' for one in ("7.2", "11.1"))
    (tmp_path / "fleet.toml").write_text(fleet)
    status, predicted, _ = run(tmp_path)
    assert status == 1
    results = tmp_path / "results.sqlite"
    status, rehearsed, said = run(tmp_path, "--rehearse", "--results", str(results))
    assert status == 1, said
    assert rehearsed["counts"] == {"refused": 2, "loads": 6}
    assert loading(rehearsed) == loading(predicted)  # a prediction knows what is latent too
    assert rehearsed["checked"] == 4
    answers = rehearsed["answers"]
    assert isinstance(answers, list)
    assert {one["verdict"]["basis"] for one in answers} == {"rehearsed"}
    messages = [one["verdict"]["first_refusal"] for one in answers if one["state"] == "refused"]
    assert [one["message"] for one in messages] == ["VQ 0 vring.num 1024 exceeds allocated max 8"]
    # The same cause as predicted, with its device and its name, not the line's alone.
    ours, theirs = (
        [one["verdict"]["findings"] for one in document["answers"] if one["state"] == "refused"]
        for document in (rehearsed, predicted)
    )
    assert [(one["rule"], one["device"]) for (one,) in ours] == [
        ("virtio-queues", "0000:00:01.0/virtio-rng")
    ]
    assert [one["summary"] for (one,) in ours] == [one["summary"] for (one,) in theirs]
    kept = results.read_bytes()
    status, resumed, said = run(tmp_path, "--rehearse", "--resume", "--results", str(results))
    assert status == 1, said
    assert resumed["answers"] == rehearsed["answers"]
    assert resumed["cells"] == rehearsed["cells"]
    assert results.read_bytes() == kept


@pytest.mark.real
def test_what_cannot_be_rehearsed_is_said(lab: Lab, tmp_path: Path) -> None:
    """A profile whose program is not here is no answer about the guest: status 2."""
    program = lab("10.0").command
    words = [*program, *LINE.split()[1:]]
    command = [sys.executable, "-m", "migratable", "profile", "--export", str(tmp_path / "p.json")]
    subprocess.run([*command, "--", *words], check=True, capture_output=True, timeout=120)
    document = json.loads((tmp_path / "p.json").read_text())
    document["program"] = ["/nonexistent/qemu"]
    document["version"]["number"] = "10.0.99"  # the lab has none of it
    (tmp_path / "p.json").write_text(json.dumps(document))
    fleet = '[[vm]]\nname = "a"\nsource = "p.json"\n[[host]]\nname = "h"\nprofile = "p.json"\n'
    (tmp_path / "fleet.toml").write_text(fleet)
    assert run(tmp_path)[0] == 0
    status, document, said = run(tmp_path, "--rehearse", "--results", str(tmp_path / "r"))
    assert status == 2, said
    (answer,) = document["answers"]
    assert "is neither in the lab nor on PATH" in answer["verdict"]["unchecked"][0]


def test_options_that_do_not_go_together(tmp_path: Path) -> None:
    (tmp_path / "fleet.toml").write_text("")
    assert "need --rehearse" in run(tmp_path, "--resume")[2]
    (tmp_path / "old.json").write_text("{}")
    command = [sys.executable, "-m", "migratable", "matrix", str(tmp_path / "old.json")]
    done = subprocess.run(
        [*command, "--rehearse"], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 2
    assert "a fleet's TOML file" in done.stderr


@pytest.mark.real
def test_releases_rehearsed(lab: Lab, tmp_path: Path) -> None:
    """Releases against one another, by the programs: what is broken is what was predicted."""
    for release in ("7.2", "10.0"):
        lab(release)
    command = [sys.executable, "-m", "migratable", "matrix", "--releases", "7.2", "10.0"]
    command += ["--machines", "pc-i440fx-7.2", "--devices", "am53c974", "virtio-rng-pci"]
    command += ["--format", "json"]
    documents = []
    for options in ([], ["--rehearse", "--results", str(tmp_path / "r")]):
        done = subprocess.run(
            [*command, *options], capture_output=True, text=True, timeout=240, check=False
        )
        assert done.returncode == 1, done.stderr
        documents.append(json.loads(done.stdout))
    predicted, rehearsed = documents
    assert {one["verdict"]["basis"] for one in rehearsed["answers"] if one["verdict"]} == {
        "rehearsed"
    }
    assert loading(predicted) == loading(rehearsed)
    assert rehearsed["releases"]["broken_by_last"] == predicted["releases"]["broken_by_last"] >= 1


def test_no_scheduler_is_no_answer(
    lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lab("10.0")
    fleet = f'[[vm]]\nname = "a"\ncommand-line = "{LINE}"\nrelease = "10.0"\n'
    (tmp_path / "fleet.toml").write_text(f'{fleet}[[host]]\nname = "h"\nrelease = "10.0"\n')
    options = ["--rehearse", "--scheduler", "tcp://127.0.0.1:1", "--results", str(tmp_path / "r")]
    monkeypatch.setenv("DASK_DISTRIBUTED__COMM__TIMEOUTS__CONNECT", "1s")
    status, document, said = run(tmp_path, *options)
    assert (status, document) == (2, {})
    warning, error = said.splitlines()
    assert warning.startswith("warning: tcp://127.0.0.1:1 has neither encryption nor keys")
    assert error.startswith("migratable: no Dask scheduler at tcp://127.0.0.1:1")
