"""A profile is data: none of its words is started."""

import contextlib
import json
import os
from pathlib import Path

import click
import pytest

from migratable.cli import _options, cli
from migratable.errors import MigratableError
from migratable.profile.at_hand import at_hand
from migratable.profile.bundled import find, names
from migratable.profile.model import Profile

FIRST, OTHER = names()[0], names()[-1]


@pytest.fixture
def planted(tmp_path: Path) -> tuple[Path, Path]:
    """A profile that names a program which leaves a mark when it is started."""
    mark, program = tmp_path / "mark", tmp_path / "qemu-system-x86_64"
    program.write_text(f"#!/bin/sh\ntouch {mark}\necho QEMU emulator version 99.0.0\n")
    program.chmod(0o755)
    document = json.loads(find(FIRST).dumps())
    document["program"] = [str(program)]
    document["command_line"] = [str(program), *document["command_line"][1:]]
    document["version"] = {"number": "99.0.0", "package": ""}
    path = tmp_path / "profile.json"
    path.write_text(json.dumps(document))
    return path, mark


@pytest.mark.parametrize(
    "command",
    [
        ["check", OTHER, "--to", "{}"],  # refused, and remedies are looked for
        ["check", "{}", "--to", "{}", "--rehearse"],
        ["rehearse", "{}", "--to", "{}"],
        ["inspect", "{}"],
        ["diff", "{}", "{}"],
        ["profile", "--show", "{}"],
        ["explain", "{}"],
        ["matrix", "--vm", "{}", "--to", "{}", "--rehearse"],
    ],
)
def test_no_command_starts_a_profiles_program(
    command: list[str], planted: tuple[Path, Path]
) -> None:
    path, mark = planted
    if command[0] == "explain":  # to it a profile is one very long line
        path.write_text(path.read_text()[:5_000])
    words = [word.format(path) for word in command]
    with contextlib.suppress(SystemExit, MigratableError):
        cli.main(args=words, prog_name="migratable")
    assert not mark.exists()


def test_why_it_cannot_be_started(planted: tuple[Path, Path]) -> None:
    profile = Profile.loads(planted[0].read_bytes(), origin="p")
    found = at_hand(profile)
    assert found.line is None
    assert "--program" in found.why
    found = at_hand(profile, program=["/bin/true"])
    assert found.line is not None
    assert found.line.program == ("/bin/true",)
    assert not planted[1].exists()


def test_a_program_that_the_user_started_is_known(planted: tuple[Path, Path]) -> None:
    from migratable.qemu.program import program_release, was_started

    profile = Profile.loads(planted[0].read_bytes(), origin="p")
    words = profile.program
    Path(words[0]).write_text("#!/bin/sh\necho QEMU emulator version 99.0.0\n")
    assert not was_started(words)
    program_release(words)  # named in a command line
    assert was_started(words)
    found = at_hand(profile)
    assert found.line is not None
    assert found.line.program == words
    os.utime(words[0], (1, 1))  # another file by that name
    assert not was_started(words)
    assert at_hand(profile).line is None


def test_a_file_with_a_command_line_names_programs_of_qemu_alone(tmp_path: Path) -> None:
    class File:
        def __init__(self, text: str) -> None:
            self.text = text

        def read(self, most: int) -> str:
            return self.text[:most]

    program = tmp_path / "qemu-system-x86_64"
    program.touch(mode=0o755)
    assert _options.given_line((), File(f"{program} -m 1G")) == f"{program} -m 1G"
    assert _options.given_line((), File("/no/such -m 1G")) == "/no/such -m 1G"
    for other in (
        "python3\0-m\0http.server\0",
        "process program 'sh'\nprocess arguments '-m, 1G'\n",
    ):
        with pytest.raises(click.UsageError, match="not a QEMU"):
            _options.given_line((), File(other))
    program.chmod(0o777)
    with pytest.raises(click.UsageError, match="can be written by others"):
        _options.given_line((), File(f"{program} -m 1G"))
    with pytest.raises(click.UsageError, match="not a QEMU"):
        _options.given_line((), File("/bin/sh -m 1G"))
