#!/usr/bin/env python3
"""Take the wordings of libvirt's errors out of its sources: text, error code, place, releases.

``libvirt_messages.py 0.10=/path/to/libvirt-0.10.2 … 11.3=… [--write] [--held]``

``--write`` writes ``src/migratable/messages/libvirt/errors.tsv``. ``--held`` holds the catalogue
against the same texts: a text of the catalogue that is said to be libvirt's and is in none of the
sources is printed. Both forms of a value (``%s``, since 9.1 ``%1$s``) become one.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

from migratable.messages.catalogue import messages

OUT = Path(__file__).resolve().parents[1] / "src/migratable/messages/libvirt/errors.tsv"
FOLDERS = (
    *("qemu", "conf", "cpu", "security", "storage", "storage_file", "network", "locking", "rpc"),
    *("remote", "util", "hypervisor", "interface", "nwfilter", "secret", "node_device", "logging"),
    "access",
)
# How a call names its error's code, and how many arguments stand before the format.
CALLS = {
    "virReportError": (None, 1),
    "virReportSystemError": ("SYSTEM_ERROR", 1),
    "virReportInvalidArg": ("INVALID_ARG", 1),
    "virReportRestrictedError": ("OPERATION_DENIED", 0),
    # in util/virerror.h, of which virReportEnumRangeError() is one
    "virReportErrorHelper": ("INTERNAL_ERROR", 5),
}
_CALL = re.compile(rf"\b({'|'.join(CALLS)})\s*\(")
_STRING = re.compile(r'"((?:[^"\\]|\\.)*)"')
_FUNCTION = re.compile(
    r"^(?!(?:if|while|for|switch|else|do|return|typedef)\b)(?:[A-Za-z_][^;{}()=\n]*?\b)?"
    r"([A-Za-z_]\w*)\s*\((?:[^;{}()]|\([^;{}()]*\))*\)\s*\n?\{",
    re.M,
)
_VALUE = re.compile(
    r"%(?:\d+\$)?[-+ #0]*\d*(?:\.(?:\d+|\*(?:\d+\$)?))?(?:hh|h|ll|l|z|j|t)?([a-zA-Z])"
)
HEAD = (
    "# libvirt's errors: code, place, oldest and newest release read that has it, text. Written by "
    "tools/libvirt_messages.py; what a kind of error means is in kinds.toml."
)


def arguments(text: str, start: int) -> list[str]:
    """The arguments of a call whose opening parenthesis ends at *start*."""
    found: list[str] = []
    depth, begin, quote, at = 0, start, "", start
    while at < len(text):
        char = text[at]
        if quote:
            at += char == "\\"
            quote = "" if char == quote else quote
        elif char in "\"'":
            quote = char
        elif char in "([{":
            depth += 1
        elif char in ")]}":
            if not depth:
                return [*found, text[begin:at]]
            depth -= 1
        elif char == "," and not depth:
            found.append(text[begin:at])
            begin = at + 1
        at += 1
    return found


def strings(argument: str) -> list[str]:
    """The string literals of an argument: one, or several of a condition."""
    whole = re.sub(r'"\s*\\?\s*"', "", argument)
    whole = re.sub(r'"\s*PRI\w+\s*"', "d", whole)
    return [hit[1] for hit in _STRING.finditer(whole)]


def plain(text: str) -> str:
    """A format as its text, every value as %s, %d or %x."""

    def value(hit: re.Match[str]) -> str:
        return "%d" if hit[1] in "diu" else "%x" if hit[1] in "xX" else "%s"

    text = (
        text.replace('\\"', '"')
        .replace("\\'", "'")
        .replace("\\n", " ")
        .replace("\\\\", "\\")
        .replace("%%", "%")
    )
    return _VALUE.sub(value, re.sub(r"\s+", " ", text)).strip()


def errors(tree: Path) -> Iterator[tuple[str, str, str]]:
    """``code, file: function, text`` of every error of a tree."""
    source = tree / "src"
    files = [file for name in FOLDERS for file in sorted((source / name).rglob("*.c"))]
    for file in (*files, *source.glob("util/virerror.h"), *sorted(source.glob("*.c"))):
        text = re.sub(r"/\*.*?\*/", "", file.read_text(errors="replace"), flags=re.S)
        functions = [(hit.start(), hit[1]) for hit in _FUNCTION.finditer(text)]
        for call in _CALL.finditer(text):
            given = arguments(text, call.end())
            code, skipped = CALLS[call[1]]
            code = code or given[0].strip().removeprefix("VIR_ERR_")
            rest = given[skipped:]
            found = strings(rest[0]) if rest else []
            if found == ["%s"] and len(rest) > 1:
                found = strings(rest[1])
            function = next((n for at, n in reversed(functions) if at < call.start()), "")
            for words in map(plain, found):
                if len(re.findall(r"[A-Za-z]", _VALUE.sub("", words))) >= 5:
                    name = code if re.fullmatch(r"[A-Z_]+", code) else "-"
                    yield name, f"{file.relative_to(source)}: {function}", words


def main(arguments_: list[str]) -> int:
    """Read, write, compare."""
    table: dict[tuple[str, str], dict[str, list[str]]] = {}
    for argument in arguments_:
        if argument.startswith("--"):
            continue
        release, _, path = argument.partition("=")
        for code, place, words in errors(Path(path)):
            releases = table.setdefault((code, words), {}).setdefault(place, [])
            if release not in releases:
                releases.append(release)
    lines = [HEAD]
    for (code, words), places in sorted(table.items()):
        # The place of the newest release that has the text.
        held = sorted({name for names in places.values() for name in names}, key=_number)
        place = next(place for place, names in places.items() if held[-1] in names)
        span = held[0] if len(held) == 1 else f"{held[0]}-{held[-1]}"
        lines.append("\t".join((code, place, span, words)))
    if "--write" in arguments_:
        OUT.write_text("\n".join(lines) + "\n", encoding="utf-8")
    if "--held" in arguments_:
        held_against("\n".join(words for _, words in table))
    print(f"{len(lines) - 1} texts", file=sys.stderr)
    return 0


def _number(release: str) -> tuple[int, ...]:
    return tuple(map(int, release.split(".")))


# What virErrorMsg() puts before a text.
_CLASS = re.compile(
    r"^(?:(?:operation failed|operation aborted|internal error|unsupported configuration|"
    r"Requested operation is not valid|Timed out during operation|argument unsupported|"
    r"Domain not found|Network not found|Operation not supported|XML error|invalid argument|"
    r"the CPU is incompatible with host CPU|access denied|authentication failed): )+"
)


def held_against(texts: str) -> None:
    """Print the catalogue's texts of libvirt that no source has."""
    flat = re.sub(r"%[sdx]", "%", texts)
    for message in messages():
        if message.program != "libvirt" or message.role == "context":
            continue
        for text in message.recognised:
            whole = _CLASS.sub("", re.sub(r"\{[^}]*\}", "%", text.template.text))
            whole = re.sub(r": %$", "", whole)
            pattern = ".*?".join(re.escape(part) for part in whole.split("%"))
            if not re.search(pattern, flat, re.I):
                print(f"{message.group}: {message.id}: {text.template.text}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
