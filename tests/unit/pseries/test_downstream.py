"""Builds from files: backported, dropped and added capabilities."""

from __future__ import annotations

from pathlib import Path

import pytest

from migratable.errors import PlanError
from migratable.pseries import Model
from migratable.pseries.downstream import read

FILE = """
name = "4.1-acme"
base = "4.1"
drop = ["nested-hv"]
[[backport]]
name = "fwnmi"
from = "5.0"
[[capability]]
name = "mode"
index = 20
kind = "string"
values = ["low", "high"]
sent = "always"
default = [{ to = "4.0", level = 0 }, { level = 1 }]
"""


def write(folder: Path, text: str) -> Path:
    path = folder / "build.toml"
    path.write_text(text, "utf-8")
    return path


def test_a_build_has_what_its_file_says(tmp_path: Path) -> None:
    build = read(write(tmp_path, FILE))
    names = [cap.name for cap in build.capabilities]
    assert "nested-hv" not in names
    assert names[-2:] == ["fwnmi", "mode"]
    assert build.release == (4, 1)


def test_a_backport_is_sent_and_understood(tmp_path: Path) -> None:
    """fwnmi=on from a 4.1 that has it: the upstream 4.1 does not know the subsection, 5.2 does."""
    text = FILE.replace('sent = "always"', 'sent = "never"')
    model = Model([read(write(tmp_path, text))])
    quiet = "cap-cfpc=broken,cap-sbbc=broken,cap-ibs=broken"
    on = ["-M", f"pseries-4.1,{quiet},cap-fwnmi=on", "-cpu", "POWER8"]
    off = ["-M", f"pseries-4.1,{quiet}", "-cpu", "POWER8"]
    assert model.judge("4.1-acme", on, "5.2", on).verdict == "loads"
    assert model.judge("4.1-acme", on, "4.1-acme", on).verdict == "loads"
    refused = model.judge("4.1-acme", on, "4.1", off)
    assert refused.destination_stderr[-1].endswith("No such file or directory")
    higher = model.judge("4.1-acme", on, "5.2", off)
    assert higher.destination_stderr[0] == (
        "cap-fwnmi higher level (1) in incoming stream than on destination (0)"
    )
    unknown = model.judge("4.1-acme", ["-M", "pseries-4.1,cap-nested-hv=off"], "4.1", off)
    assert unknown.source_status == "start-failed"
    assert unknown.source is not None
    assert unknown.source.stderr == ("Property '.cap-nested-hv' not found",)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('base = "4.1"', 'base = "1.1"', r"base: .*1\.1"),
        ('drop = ["nested-hv"]', 'drop = ["fwnmi"]', "no capability 'fwnmi'"),
        ('name = "fwnmi"', 'name = "htm"', "same name"),
        ('from = "5.0"', 'from = "4.2"', "no capability 'fwnmi'"),
        ("index = 20", "index = 10", "same index"),
        ('kind = "string"', 'kind = "text"', "kind must be one of"),
        ('kind = "string"', 'kind = "bool"', "values belong"),
        ('sent = "always"', 'sent = "perhaps"', "sent must be one of"),
        ('to = "4.0"', 'to = "x"', "x"),
        ("level = 1", 'level = "1"', "level must be"),
        ("index = 20", 'index = 20\nsubsection = "spapr/cap/htm"', "same subsection"),
        ("index = 20", "index = 20\nfoo = 1", "unknown member: foo"),
        ("index = 20", "index = 20\ngiven_by = { smp = { a = 1 } }", "only ic-mode"),
        ("index = 20", "index = 20\ngiven_by = { ic-mode = { xics = 1 } }", "needs a level"),
    ],
)
def test_a_bad_file_is_refused_with_its_place(
    tmp_path: Path, old: str, new: str, words: str
) -> None:
    with pytest.raises(PlanError, match=words) as caught:
        read(write(tmp_path, FILE.replace(old, new, 1)))
    assert "build.toml" in str(caught.value)


def test_an_absent_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PlanError, match="No such file"):
        read(tmp_path / "absent.toml")
