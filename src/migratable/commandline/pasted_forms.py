r"""Forms of a pasted command line that are not one shell command: JSON, lists, ``ps``, Multipass.

* JSON lines with the line in a member (KubeVirt: libvirt's log, its line breaks lost after ``\``);
* a list of strings of Python, Go or JSON (``['qemu-system-x86_64', '-m', …]``), also of YAML, and
  Go's ``[qemu-system-x86_64 -m …]`` of Lima and Podman;
* rows of ``ps -ef``, ``ps aux`` and ``ps auxww``, whoever owns the process;
* Multipass's ``process program`` and ``process arguments``;
* and where a command line ends: at the program's own words, the next prompt, a time, an empty line.
"""

from __future__ import annotations

import ast
import json
import re

from migratable.errors import CommandLineError

_BASE = r"(?:qemu-system-[a-z0-9_]+|qemu-kvm|kvm-spice|kvm)(?:\.real|\.bin|\.exe)?"
_NAME = r"(?:[^\s\"']*/)?" + _BASE
_STRING = re.compile(r"\"(?:[^\"\\]|\\.)*\"|'(?:[^'\\]|\\.)*'")
_LIST = re.compile(rf"[\[{{(]\s*[urb]?([\"']){_NAME}\1(?:\s*,|\s+(?=\1))")
_ESCAPED = re.compile(rf"\\\"{_NAME}\\\"")
_ITEMS = re.compile(
    rf"^([ \t]{{0,99}}- )([\"']?){_NAME}\2[ \t]*\n(?=\1[\"']?-)(?:\1.*(?:\n|\Z))+", re.M
)
_BRACKETED = r"(?:[^\s\"'\[]*/)?" + _BASE  # the next bracket is another beginning
_FLOW = re.compile(rf"\[[ ]?({_BRACKETED}, -[^\n]*)\]")
_SLICE = re.compile(rf"\[({_BRACKETED} -[^\n]*)\]")
_MEMBERS = ("msg", "log", "MESSAGE", "message", "line")
_NAMED = re.compile(rf"{_BASE}\W")
_STARTED = re.compile(rf"{_BASE}\s{{1,99}}\\*\s{{0,99}}\\?-")
# ps -ef and ps aux: user, pid, …, the processor time, the command.
_ROW_HEAD = r"\s*\S+\s+\d+\s+(?:\S+\s+){2,9}?(?:\d+-)?\d+:\d\d(?::\d\d)?(?:\.\d+)?\s+"
_ROW = re.compile(rf"^{_ROW_HEAD}(?={_NAME}\s+-)")
_OTHER_ROW = re.compile(rf"^{_ROW_HEAD}\S")
_MULTIPASS_PROGRAM, _MULTIPASS_ARGUMENTS = "process program '", "process arguments '"
_MULTIPASS_END = re.compile(r"'(?=[^\S\n]{0,200}(?:\n|\Z))")
_END = re.compile(
    r"\s*(?:\[?[\w.-]+@[\w.-]+[^$#]{0,60}[$#](?:\s|$)"  # user@host:~$
    r"|[$#>]\s+\S|\(qemu\)|QEMU \d"
    r"|(?:\S*/)?(?:qemu-system-[a-z0-9_]+|qemu-kvm|kvm)(?:\[\d+\])?: "
    r"|\[?\d{4}-\d\d-\d\d[T ]\d\d:\d\d|[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d )"
)


def from_list(text: str) -> list[str] | None:
    """The words of a list of strings that begins with a QEMU program; None for other text.

    Nothing is evaluated but single string literals.
    """
    if _ESCAPED.search(text):  # inside a string of a log
        text = text.replace('\\"', '"')
    start = _LIST.search(text)
    if start is None:
        return None
    found: list[str] = []
    position = start.start() + 1
    while True:
        gap = re.compile(r"[\s,]*[urb]?").match(text, position)
        literal = _STRING.match(text, gap.end() if gap else position)
        if literal is None:  # a list of packages has no option
            return found if any(word.startswith("-") for word in found) else None
        try:
            value = ast.literal_eval(literal[0])
        except (ValueError, SyntaxError):
            value = literal[0][1:-1]
        found.append(str(value))
        position = literal.end()


def from_yaml(text: str) -> list[str] | None:
    """The words of a list of YAML, one an item or in brackets; None for other text."""
    items = _ITEMS.search(text)
    if items is not None:
        words = [line[len(items[1]) :].strip() for line in items[0].splitlines()]
        return [word[1:-1] if _STRING.fullmatch(word) else word for word in words]
    flow = _FLOW.search(text)
    return None if flow is None else [word.strip("\"'") for word in flow[1].split(", ")]


def from_brackets(text: str) -> str:
    """What Go prints of a list of words; other text is given back."""
    found = _SLICE.search(text)
    return text if found is None else found[1]


def from_multipass(text: str) -> list[str] | None:
    """The words that Multipass's daemon logs (its last start); None for other text."""
    arguments = text.rfind(_MULTIPASS_ARGUMENTS)
    program = text.rfind(_MULTIPASS_PROGRAM, 0, max(arguments, 0))
    if program < 0:
        return None
    name = text[program + len(_MULTIPASS_PROGRAM) :].partition("'")[0]
    rest = text[arguments + len(_MULTIPASS_ARGUMENTS) :]
    end = _MULTIPASS_END.search(rest)
    return None if end is None or not name else [name, *rest[: end.start()].split(", ")]


def from_json(text: str) -> str:
    """The text in JSON lines that holds a command line (the last one); other text is given back."""
    found = text
    for line in text.splitlines():
        start = line.find("{")
        if start < 0 or not _NAMED.search(line):
            continue
        try:
            document = json.loads(line[start:])
        except (ValueError, RecursionError):
            continue
        if not isinstance(document, dict):
            continue
        for member in _MEMBERS:
            value = document.get(member)
            if isinstance(value, str) and _STARTED.search(value):
                # libvirt's log, whose line breaks KubeVirt takes away and whose "\" it keeps.
                found = re.sub(r"\s\\(?=[-/A-Z])", " \\\n", value)
    return found


def from_ps(text: str) -> str:
    """The command of the one row of ``ps`` that is QEMU; other text is given back.

    :raise CommandLineError: when there are several; which one is meant is not guessed.
    """
    lines = text.split("\n")
    rows = [number for number, line in enumerate(lines) if _ROW.match(line)]
    if not rows:
        return text
    if len(rows) > 1:
        raise CommandLineError(
            f"{len(rows)} QEMU processes in the text; give the row of one of them"
        )
    first = rows[0]
    last = first + 1
    while last < len(lines) and not _OTHER_ROW.match(lines[last]):
        last += 1
    row = _ROW.match(lines[first])
    assert row is not None
    return "\n".join([lines[first][row.end() :], *lines[first + 1 : last]])


def ended(text: str) -> str:
    """*text*, which begins with the program, without what stands behind the command line."""
    lines = text.split("\n")
    for number in range(1, len(lines)):
        before = lines[number - 1].rstrip()
        if before.endswith("\\"):
            continue
        line = lines[number]
        prose = not before.strip() and not re.match(r"\s*(?:-|'|\"|\\|$)", line)
        if _END.match(line) or prose:
            return "\n".join(lines[:number]).rstrip()
    return text
