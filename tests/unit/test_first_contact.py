"""What a new user meets first: help by purpose, completion, the manual page, one meaning of -o."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from migratable.check.registry import rules
from migratable.cli import cli
from migratable.cli._help import GROUPS, grouped
from migratable.cli.completion import manual
from migratable.convert.proposals import PROPOSALS
from migratable.hosts.checks import CHECKS
from migratable.profile import bundled
from tests.absent import absent

GUEST = bundled.FOLDER / "guest-q35.mig.gz"


def _names() -> list[str]:
    return cli.list_commands(click.Context(cli))


def test_help_is_grouped_and_nothing_is_cut() -> None:
    text = CliRunner().invoke(cli, ["--help"], terminal_width=80).output
    sections = re.findall(r"^(\S.*):\n((?:  .*\n)+)", text, re.MULTILINE)
    titles = [title for title, _ in sections if title != "Options"]
    assert titles == [title for title, _ in GROUPS]
    first = re.findall(r"^  (\w+)", dict(sections)[GROUPS[0][0]], re.MULTILINE)
    assert first == ["check", "preflight", "matrix", "explain", "capture"]
    assert "..." not in text.replace("[ARGS]...", "")
    assert sorted(name for _, names in grouped(_names()) for name in names) == _names()


def test_a_command_in_no_group_is_listed() -> None:
    found = dict(grouped([*_names(), "brand-new"]))
    assert "brand-new" in found[GROUPS[1][0]]


def test_a_mistyped_command() -> None:
    done = CliRunner().invoke(cli, ["chekc"])
    assert done.exit_code == 2
    assert "no such command 'chekc'; did you mean check?" in done.output


def _completed(line: str) -> list[str]:
    words = line.split(" ")
    variables = {"COMP_WORDS": line, "COMP_CWORD": str(len(words) - 1)}
    done = subprocess.run(
        [sys.executable, "-m", "migratable"],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, **variables, "_MIGRATABLE_COMPLETE": "bash_complete"},
    )
    return [one.partition(",")[2] for one in done.stdout.split()]


def test_values_are_completed() -> None:
    assert "preflight" in _completed("migratable pre")
    assert "pseries-10.0" in _completed("migratable check guest.mig --to pser")
    pages = {*rules(), *(one.id for one in CHECKS), *(one.kind for one in PROPOSALS)}
    assert set(_completed("migratable rule ")) == pages
    assert "--program" in _completed("migratable preflight --prog")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_scripts_are_ones_that_the_shell_takes(shell: str, tmp_path: Path) -> None:
    text = CliRunner().invoke(cli, ["completion", shell]).output
    assert "_MIGRATABLE_COMPLETE" in text
    if shutil.which(shell) is None:
        absent(f"{shell} is not on this machine")
    (tmp_path / "script").write_text(text)
    subprocess.run([shell, "-n", str(tmp_path / "script")], check=True)


def test_the_manual_page_has_every_command(tmp_path: Path) -> None:
    text = "\n".join(manual(cli))
    headings = re.findall(r'^\.SH "MIGRATABLE (\S+)"$', text, re.MULTILINE)
    assert sorted(headings) == sorted(name.upper() for name in _names())
    if shutil.which("man") is None:
        absent("man is not on this machine")
    (tmp_path / "migratable.1").write_text(text + "\n")
    words = ["man", "--warnings", "-E", "UTF-8", "-l", str(tmp_path / "migratable.1")]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    assert done.stderr == ""
    assert "MIGRATABLE PREFLIGHT" in done.stdout
    assert "--copy-storage" in done.stdout


@pytest.mark.parametrize("command", ["matrix", "whatif", "explain", "preflight"])
def test_a_name_that_says_no_form_is_an_error(command: str, tmp_path: Path) -> None:
    words = {
        "matrix": ["matrix", "fleet.toml"],
        "whatif": ["whatif", "intc-capabilities"],
        "explain": ["explain", os.devnull],
        "preflight": ["preflight", "local", "--to", "node2"],
    }[command]
    target = tmp_path / "x.pdf"
    done = CliRunner().invoke(cli, [*words, "-o", str(target)])
    assert done.exit_code == 2
    assert "its ending does not say how to write it; use one of .json" in done.output
    assert not target.exists()


@pytest.mark.parametrize("form", ["html", "json", "txt"])
def test_the_name_says_the_form(form: str, tmp_path: Path) -> None:
    begins = {"html": "<!doctype html>", "json": "{", "txt": ""}[form]
    for name, words in (
        ("whatif", ["whatif", "intc-capabilities"]),
        ("explain", ["explain", os.devnull]),
    ):
        target = tmp_path / f"{name}.{form}"
        done = CliRunner().invoke(cli, [*words, "-o", str(target)])
        assert done.exit_code == 0, done.output
        text = target.read_text()
        assert text.lower().lstrip().startswith(begins)
        assert form != "txt" or not text.lstrip().startswith(("{", "<"))


def test_a_mistyped_profile() -> None:
    done = CliRunner().invoke(cli, ["check", str(GUEST), "--to", "q35-11.2"])
    assert "no stored profile 'q35-11.2'" in str(done.exception)
    assert "did you mean q35-11.1?" in str(done.exception)


def test_text_without_a_terminal_is_as_wide_as_columns_says() -> None:
    for columns, most in (("60", 60), ("", 100)):
        done = subprocess.run(
            [
                sys.executable,
                "-m",
                "migratable",
                "check",
                str(GUEST),
                "--to",
                "q35-11.1",
                "--no-hints",
            ],
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, "COLUMNS": columns},
        )
        assert done.returncode == 1
        widths = [len(line) for line in done.stdout.splitlines()]
        assert most - 25 < max(widths) <= most


def test_no_markup_reaches_a_pipe() -> None:
    done = CliRunner().invoke(cli, ["inspect", str(GUEST), "--section", "cpu"])
    assert done.exit_code == 0
    assert "\\[" not in done.output
    assert "[dim]" not in done.output
    assert re.search(r"\[0x0, 0x", done.output)


@pytest.mark.parametrize("name", ["unknown-section", "unknown-subsection", "no-way-back"])
def test_an_edit_does_not_hide_the_rule_of_its_name(name: str) -> None:
    text = CliRunner().invoke(cli, ["rule", name]).output
    assert rules()[name].page.partition("\n")[0] in text
    assert "\n## Why QEMU" in text
    assert "\n### Wh" in text, "the page of the edit or host check follows"
