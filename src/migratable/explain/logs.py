"""What a line of a log says once its wrapping is taken off.

QEMU's words arrive with timestamps and program names before them, as JSON of journald, KubeVirt,
Kubernetes and QMP, as an array of numbers (journald, when a message holds odd bytes), with escaped
newlines inside one of libvirt's errors, as HTML, as YAML, in colour, and quoted in mails.
"""

from __future__ import annotations

import html
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from migratable.explain.markup import plain

_ANSI = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]|[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")
_TIME = re.compile(
    r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:[.,]\d+)?(?:Z|[+-]\d\d:?\d\d)?"
    r"|\b(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec) [ \d]\d \d\d:\d\d:\d\d\b"
)
# "==> qemu: " is Packer's.
PROGRAM = re.compile(
    r"(?<![=-]>)(?:^|[\s:'\"(>`\[+])(?:[^\s:'\"(>`\[]*/)?(?P<program>qemu-system-[\w-]+|"
    r"qemu-[\w]+-softmmu|qemu-kvm|qemu-dm|kvm-spice|kvm|qemu|QEMU_PROG)(?:\[\d+\])?: "
)
_QEMU_UNIT = re.compile(r"\b(?:QEMU|qemu-[\w-]{1,64}|kvm)\[(\d{1,20})\]: ")
_NUMBER_ARRAY = re.compile(r'"MESSAGE"\s*:\s*\[([\d,\s]*)\]')
# Members of JSON objects that hold a message, and those that tell one process from another.
_TEXT_MEMBERS = (
    "MESSAGE", "msg", "message", "log", "error", "err", "reason", "failureReason", "error-desc",
    "desc", "note", "stderr", "details", "text", "line",
)  # fmt: skip
# qapi/error.json: QapiErrorClass. Its description is QEMU's own words.
_QMP_CLASSES = frozenset(
    {"GenericError", "CommandNotFound", "DeviceNotActive", "DeviceNotFound", "KVMMissingCap"}
)
# Those of them that hold nothing but an error, and those that hold one where the level says so.
_ERROR_MEMBERS = frozenset(
    {"error", "err", "failureReason", "error-desc", "stderr", "exception", "errorMessage"}
)
_BY_LEVEL = frozenset({"MESSAGE", "msg", "message", "reason", "log"})
_LEVELS = frozenset({"error", "fatal", "critical", "panic", "failed"})
_KEY_MEMBERS = ("_HOSTNAME", "_PID", "pod", "kubernetes", "namespace", "name", "uid")
MAX_LINE = 1 << 16


def seconds(time: str, year: str = "2000") -> tuple[float, bool] | None:
    """A timestamp as seconds, and whether it names its zone; None for none.

    Two of them can be compared when both name their zone or neither does. syslog's, which has no
    year, counts as one of *year*.
    """
    text = time.replace(",", ".")
    text = re.sub(r"(\.\d{6})\d+", r"\1", text)
    try:
        if text[:1].isdigit():
            moment = datetime.fromisoformat(text)
        else:
            moment = datetime.strptime(f"{year} {text}", "%Y %b %d %H:%M:%S")
    except ValueError:
        return None
    aware = moment.tzinfo is not None
    return (moment if aware else moment.replace(tzinfo=UTC)).timestamp(), aware


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """One line of text as its program wrote it.

    :ivar stream: what tells one process's lines from another's in a mixed log; "" if nothing.
    :ivar time: the timestamp closest before the text, "" without one.
    :ivar qemu: does it carry a QEMU program's name?
    :ivar error: does the member of a JSON object in which it stood call it an error?
    """

    text: str
    stream: str = ""
    time: str = ""
    qemu: bool = False
    error: bool = False


def clean(raw: bytes) -> str:
    """Bytes of a line as text without colour, control characters and long runs of blanks."""
    return narrowed(_ANSI.sub("", raw[:MAX_LINE].decode("utf-8", "replace")))


_WIDE = re.compile(r"[^\S\n]{41,}")


def narrowed(text: str) -> str:
    """Cut runs of blanks to 40: several blanks in a pattern cost the cube of a run's length."""
    return _WIDE.sub(" " * 40, text)


# What a test expected, and did not get: avocado's words, tp-libvirt's and tp-qemu's. What was found
# stands behind the words that follow the quotation.
_EXPECTED = re.compile(
    r"(?:[Ee]xpect(?:ed)?\b|[Cc]an(?:'t| ?not) find|[Uu]nable to find|[Ff]ailed to find|"
    r"[Nn]ot find)[^'\"\[\n]{0,60}['\"\[]"
)
_FOUND = re.compile(
    r"['\"\]]\s{1,4}(?:(?:was|were|is|are) )?(?:not (?:found )?in|"
    r"in (?:the )?(?:output|stderr|stdout|log)|(?:but|and) (?:failed with|got))\b"
)


def happened(line: str) -> str:
    """*line* without what was only expected to be in an output."""
    if "xpect" not in line and " find" not in line:
        return line
    found = _FOUND.search(line)
    if found is None or not _EXPECTED.search(line, 0, found.start() + 1):
        return line
    return line[found.end() :].lstrip()


def pieces(raw: bytes) -> Iterator[Piece]:
    """The texts in a line of any of the known kinds. Never raises."""
    line = happened(clean(raw))
    start = line.find("{")
    if start >= 0 and '"' in line:
        unwrapped, end = _json(line, start)
        before, after = line[:start], line[end:]
        # A line of QEMU's or of a person's that quotes an object goes on behind it.
        sentence = _WORD.search(after) is not None
        if unwrapped and not (sentence and PROGRAM.search(before)):
            yield from unwrapped
            outside = f"{before}{after}" if sentence else before
            if len(_WORD.findall(outside)) > 1:
                yield from _split(outside, "")
            return
    for part in plain(line):
        yield from _split(part, "")


_WORD = re.compile(r"[^\W\d_]{3}")
# A quote doubled by YAML; an empty name between two quotes stands free.
_DOUBLED = re.compile(r"(?<=\S)''|''(?=\S)")


def _json(line: str, start: int) -> tuple[list[Piece], int]:
    """The texts of the object at *start*, and where it ends."""
    try:
        document, end = json.JSONDecoder().raw_decode(line, start)
    except (ValueError, RecursionError):
        array = _NUMBER_ARRAY.search(line)
        return (list(_split(_bytes_text(array[1].split(",")), "")) if array else []), len(line)
    if not isinstance(document, dict):
        return [], end
    event = _event(document)
    if event:
        return list(_split(event, "")), end
    stream = "/".join(
        str(document[key]) for key in _KEY_MEMBERS if isinstance(document.get(key), str | int)
    )
    if "_PID" not in document:
        # KubeVirt's launcher names the guest on some lines only; its lines belong together.
        stream = ""
    failed = _FAILED.search(line, 0, start) is not None
    return [
        replace(piece, error=error)
        for text, error in _texts(document, 0, failed)
        for piece in _split(text, stream)
    ], end


def _event(document: dict[str, Any]) -> str:
    """An event of QEMU's monitor that tells of an error, as one line; "" for anything else.

    QEMU: qapi/block-core.json, qapi/migration.json.
    """
    name, data = document.get("event"), document.get("data")
    if isinstance(document.get("return"), dict):
        return _state(document["return"])
    if not isinstance(name, str) or not isinstance(data, dict):
        return ""
    told = {key: str(value).replace("\n", " ") for key, value in data.items()}
    device = told.get("device") or told.get("node-name") or "?"
    operation, action = told.get("operation", "?"), told.get("action", "?")
    if name == "BLOCK_JOB_ERROR":
        return f"{name} of {device}: {operation}, {action}"
    if name == "BLOCK_JOB_COMPLETED" and "error" in told:
        done, whole = told.get("offset", "0"), told.get("len", "0")
        return f"{name} of {device}: {told.get('type', '?')}, {done} of {whole}, {told['error']}"
    if name == "BLOCK_IO_ERROR":
        return f"{name} of {device}: {operation}, {action}, {told.get('reason', '?')}"
    return _state(told) if name == "MIGRATION" else ""


def _state(data: dict[str, Any]) -> str:
    """A migration's state that somebody asks about, of an event or of query-migrate's answer."""
    state, pause = data.get("status"), data.get("expected-downtime")
    if state in ("failed", "cancelled", "postcopy-paused"):
        return "" if "error-desc" in data else f"MIGRATION event: {state}"
    return f"Expected downtime: {pause} ms" if state == "active" and isinstance(pause, int) else ""


# Ansible's words before the object that a module returned.
_FAILED = re.compile(r"(?:FAILED!|failed: \[|fatal: \[).*=> *$")


def _texts(value: Any, depth: int, failed: bool = False) -> Iterator[tuple[str, bool]]:
    """Strings worth reading in a JSON document, messages first; and whether they are errors."""
    if depth > 6:
        return
    if isinstance(value, dict):
        level = value.get("level", value.get("severity", ""))
        failed = failed or (isinstance(level, str) and level.lower() in _LEVELS)
        for key in _TEXT_MEMBERS:
            inner = value.get(key)
            if isinstance(inner, str):
                of_qemu = key == "error-desc" or (
                    key == "desc" and value.get("class") in _QMP_CLASSES
                )
                error = key in _ERROR_MEMBERS or (failed and key in _BY_LEVEL)
                yield (f"qemu: {inner}" if of_qemu else inner), error
            elif key == "MESSAGE" and isinstance(inner, list):
                yield _bytes_text(inner), False
        for key, inner in value.items():
            if isinstance(inner, dict | list) and key != "MESSAGE":
                yield from _texts(inner, depth + 1)
            elif isinstance(inner, str) and key not in _TEXT_MEMBERS and " " in inner:
                yield inner, False
    elif isinstance(value, list):
        for inner in value:
            if isinstance(inner, str):
                yield inner, False
            else:
                yield from _texts(inner, depth + 1)


def _bytes_text(numbers: list[Any]) -> str:
    try:
        data = bytes(int(number) & 0xFF for number in numbers)
    except (TypeError, ValueError):
        return ""
    return clean(data)


def _split(text: str, stream: str) -> Iterator[Piece]:
    """Undo escapes and split at newlines, real and escaped."""
    if "\\" in text:
        text = text.replace("\\r", "").replace("\\n", "\n").replace("\\t", " ")
        text = re.sub(r'\\+(["\'\\/])', r"\1", text)
        text = text.replace("\\u0027", "'").replace("\\u003c", "<").replace("\\u003e", ">")
    if "&" in text and ";" in text:
        text = html.unescape(text)
    if "=3D" in text:
        text = text.replace("=3D", "=").replace("=20", " ")
    repeated = text.find("libvirtError: ")
    if repeated > 0:
        # Python's repr of libvirt's error behind its text: OpenStack logs both.
        text = _without_repetition(text, repeated)
    if "''" in text:
        text = _DOUBLED.sub("'", text)
    time = ""
    for part in narrowed(text).splitlines():
        stripped = _ANSI.sub("", part).strip()  # JSON and escapes may have hidden some
        if not stripped:
            continue
        unit = _QEMU_UNIT.search(stripped)
        times = _TIME.findall(stripped)
        time = times[-1] if times else time
        yield Piece(
            text=stripped,
            stream=stream or (unit[1] if unit else ""),
            time=time,
            qemu=unit is not None or PROGRAM.search(stripped) is not None,
        )


def _without_repetition(text: str, end: int) -> str:
    first, last = text[:end], text[end + len("libvirtError: ") :].removesuffix("#033[00m").strip()
    before = first.removesuffix("libvirt.").rstrip().removesuffix(":")
    return before if last and before.endswith(last) else text


def without_prefix(text: str) -> str:
    """The program's own words: what stands behind timestamp and program name."""
    found = list(PROGRAM.finditer(text))
    return text[found[-1].end() :] if found else text
