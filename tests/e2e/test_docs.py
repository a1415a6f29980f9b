"""Every command of ours that a page shows is one that the program takes."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from migratable.cli import cli

DOCS = Path(__file__).parent.parent.parent / "docs"
FENCE = re.compile(r"^\s*(```+|:::+)(\S*)")
TYPED = {"", "console", "sh", "yaml", "ini", "text"}
# Words that end a command of a shell line.
_ENDS = {"|", "&&", "||", ";", "&", ">", "<", "2>", "2>&1", "|&"}


def pages() -> list[Path]:
    made = {DOCS / "reference" / name for name in ("commands", "rules", "schemas")}
    found = [path for path in DOCS.rglob("*.md") if path.parent not in made]
    return [*sorted(found), DOCS.parent / "README.md"]


def blocks(text: str) -> Iterator[str]:
    """Blocks in which something may be typed."""
    lines: list[str] | None = None
    for line in text.splitlines():
        fence = FENCE.match(line)
        if fence is None:
            if lines is not None:
                lines.append(line)
        elif lines is None:
            lines, kind = [], fence[2]
        else:
            if kind in TYPED:
                yield "\n".join(lines)
            lines = None


def commands(text: str) -> Iterator[list[str]]:
    """Words after ``migratable``, of every line of a block that is typed."""
    for block in blocks(text):
        typed = any(line.lstrip().startswith("$ ") for line in block.splitlines())
        for line in re.sub(r"\\\n\s*", " ", block).splitlines():
            shown = line.strip()
            if typed and not re.match(r"(\S*\$ )", shown):
                continue
            yield from _of_line(re.sub(r"^\S*\$ ", "", shown).replace("- migratable", "migratable"))


def _of_line(line: str) -> Iterator[list[str]]:
    if "migratable" not in line or line.startswith("#"):
        return
    lexer = shlex.shlex(line, posix=True, punctuation_chars="|&;<>")
    lexer.whitespace_split = True
    try:
        words = list(lexer)
    except ValueError:  # a quote that goes on in the next line
        return
    while "migratable" in words:
        words = words[words.index("migratable") + 1 :]
        ends = [at for at, word in enumerate(words) if word in _ENDS or set(word) <= set("|&;<>")]
        yield words[: ends[0]] if ends else words


def taken(words: list[str]) -> None:
    """Parse as click does; files that are not here are no mistake of the page."""
    command: click.Command = cli
    context = click.Context(cli, info_name="migratable")
    while isinstance(command, click.Group) and words and not words[0].startswith("-"):
        name, *words = words
        found = command.get_command(context, name)
        assert found is not None, f"no command {name!r}"
        command, context = found, click.Context(found, info_name=name, parent=context)
    if isinstance(command, click.Group):
        return
    try:
        command.make_context(command.name, list(words), parent=context.parent)
    except click.exceptions.Exit:
        pass
    except click.BadParameter as error:
        if not re.search(r"does not exist|No such file|cannot open", error.format_message()):
            raise


@pytest.mark.parametrize("page", pages(), ids=lambda path: path.stem)
def test_commands_of_the_pages(page: Path) -> None:
    wrong = []
    for words in commands(page.read_text(encoding="utf-8")):
        if "…" in words[:1] or words[:1] == ["…"]:
            continue
        try:
            taken(words)
        except (click.ClickException, AssertionError) as error:
            text = error.format_message() if isinstance(error, click.ClickException) else str(error)
            wrong.append(f"{' '.join(words)[:100]}: {text}")
    assert wrong == []


def test_there_is_something_to_test() -> None:
    found = [words for page in pages() for words in commands(page.read_text(encoding="utf-8"))]
    assert len(found) > 60
    with pytest.raises(click.NoSuchOption):
        taken(["check", "--nonsense"])
    with pytest.raises(AssertionError, match="no command"):
        taken(["nonsense"])


def test_the_readme_shows_the_real_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(DOCS.parent)
    monkeypatch.setenv("COLUMNS", "100")
    text = (DOCS.parent / "README.md").read_text(encoding="utf-8")
    _, _, after = text.partition("$ migratable check ")
    block, _, _ = after.partition("```")
    typed, _, shown = block.partition("\n")
    shown, dots, _ = shown.partition("  …")
    assert dots
    done = CliRunner().invoke(cli, ["check", "--hint-seconds", "0", *shlex.split(typed)])
    assert done.exit_code == 1
    assert done.stdout[: len(shown)] == shown
