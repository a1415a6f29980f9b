#!/usr/bin/env python3
"""Hold the catalogue of messages against QEMU's sources and binaries.

``check_messages.py 5.2=/path/to/qemu-5.2.0 10.0=/path/to/qemu-10.0.13 11.1=/path/to/strings.txt``

Each argument is a release and either a source tree or a text file with the strings of a binary.
For every QEMU wording the releases that contain it are printed; with ``--write`` they are written
into the data files as ``checked``. A wording that a release inside its range does not contain, or
that no release contains, is reported; those are the ones to look at.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

from migratable.messages.catalogue import Message, Text, messages
from migratable.releases import release_of

FOLDERS: tuple[str, ...] = (
    *("migration", "hw", "softmmu", "system", "target", "net", "backends", "accel", "io", "util"),
    *("block", "monitor", "crypto", "qapi", "qom", "audio", "ui"),
)
CONVERSION = re.compile(r"%[-+ #0]*\d*(?:\.(?:\d+|\*))?(?:hh|h|ll|l|z|j|t)?[a-zA-Z]")
MACRO = re.compile(r'"\s*(?:[A-Z][A-Za-z0-9_]*|PRI[a-zA-Z0-9]+)\s*(?:"|(?=[,)]))')


def flatten(source: str) -> str:
    r"""C source or strings as one text in which every conversion is ``\\x00``."""
    joined = re.sub(r'"\s*\\?\n?\s*"', "", source)
    # "… %" PRIx64 " …" and "0x" RAM_ADDR_FMT: the macro stands for (the rest of) a conversion.
    joined = re.sub(r'%[-#0-9]*"\s*PRI[a-zA-Z0-9]+\s*(?:"|(?=[,)]))', "\0", joined)
    joined = MACRO.sub("\0", joined)
    joined = CONVERSION.sub("\0", joined)
    return re.sub(r"0x\0", "\0", joined.replace('\\"', '"').replace("\\'", "'"))


def needle(text: Text) -> re.Pattern[str]:
    """The literal parts of a wording in order, with a conversion or a few words between them."""
    pieces = [
        re.escape(re.sub(r"0x$", "", part)) if isinstance(part, str) else r"(?:0x)?[^\"\n]{0,60}?"
        for part in text.template.parts
    ]
    joined = "".join(pieces).removeprefix(r"warning:\ ")
    last = text.template.parts[-1]
    if not isinstance(last, str) and last.spec in ("phrase", "line"):
        # error_setg_errno() and error_prepend() add these behind the source's own text.
        joined = joined.removesuffix(pieces[-1]).removesuffix(r":\ ")
    # "name: " at the start stands for __func__ in the source.
    joined = re.sub(r"^([a-z_0-9]{8,}):\\ ", lambda m: rf"(?:{m[1]}|\x00):\\ ", joined)
    return re.compile(joined)


def load(path: Path) -> str:
    """All of a tree, flattened."""
    if path.is_file():
        return flatten(path.read_text(errors="replace"))
    files = [f for d in FOLDERS for f in [*(path / d).rglob("*.c"), *(path / d).rglob("*.h")]]
    files += [*path.glob("*.c"), *path.glob("*.json")]
    files += list((path / "include").rglob("*.h"))
    return "\n".join(flatten(f.read_text(errors="replace")) for f in files)


def main(arguments: list[str]) -> int:
    """Check; returns the number of wordings to look at."""
    write = "--write" in arguments
    trees = {
        name: load(Path(path))
        for name, _, path in (a.partition("=") for a in arguments if not a.startswith("--"))
    }
    doubtful = 0
    found: dict[tuple[str, int], list[str]] = {}
    wanted: list[tuple[Message, int, Text]] = [
        (message, number, text)
        for message in messages()
        if message.program == "QEMU"
        for number, text in enumerate(message.texts)
    ]
    for message, number, text in wanted:
        # "Invalid argument" behind a text is strerror's.
        pattern, literal = needle(text), text.template.literal.strip()
        literal = re.sub(r"^0x|0x$|^[a-z_0-9]{8,}: |: Invalid argument$|:$", "", literal).strip()
        held = [n for n, tree in trees.items() if literal in tree and pattern.search(tree)]
        found[(message.id, number)] = [n for n in held if text.holds(release_of(n))]
        missing = [n for n in trees if text.holds(release_of(n)) and n not in held]
        extra = [n for n in held if not text.holds(release_of(n))]
        if not held or missing or extra:
            doubtful += 1
            print(
                f"{message.id}: in {held}; missing {missing}; outside {extra}: {text.template.text}"
            )
    if write:
        write_back(found)
    print(f"{len(wanted)} wordings, {doubtful} to look at", file=sys.stderr)
    return 0


def write_back(found: dict[tuple[str, int], list[str]]) -> None:
    """Put ``checked = […]`` into the data files, one inline table a line."""
    folder = Path(__file__).parents[1] / "src/migratable/messages"
    for path in folder.glob("*.toml"):
        lines, current, number = [], "", 0
        for raw in path.read_text().splitlines():
            line = raw
            identity = re.match(r'id = "(.*)"', line)
            if identity:
                current, number = identity[1], 0
            table = re.match(r"(\s*(?:texts = \[)?)\{ (.*) \}(\]?,?)$", line)
            if table and "text = " in table[2]:
                held = found.get((current, number))
                body = re.sub(r", checked = \[.*?\]", "", table[2])
                if held:
                    body += ", checked = [" + ", ".join(f'"{name}"' for name in held) + "]"
                number += 1
                line = f"{table[1]}{{ {body} }}{table[3]}"
            lines.append(line)
        path.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
