"""Make text from streams, profiles, logs and programs safe for a terminal.

Whoever made a stream chose its names. On a terminal they could move the cursor, hide or
colour text, turn its direction, or begin a line that looks like ours. :func:`printable` is the one
function that escapes such characters; :class:`Terminal` applies it to everything that is printed.
"""

from __future__ import annotations

import io
import re
from typing import Any, TypeVar

_NUMBER = r"(?:[34]8;(?:5;\d+|2;\d+;\d+;\d+)|(?!0*8[;m])\d*)"
_STYLE = re.compile(rf"\x1b\[{_NUMBER}(?:;{_NUMBER})*m")
"""What rich writes to a terminal anywhere: styles, none of which hides text."""
_CURSOR = re.compile(r"(?:\x1b\[\?25[hl]|\x1b\[[0-9]*[A-DGK]|\r(?!\n))*")
"""What it writes before all else, to draw a status line again; no text moves the cursor."""
_LONG = re.compile(r"\S{1000,}")
T = TypeVar("T")


def _shown(character: str) -> str:
    number = ord(character)
    return f"\\x{number:02x}" if number < 0x100 else f"\\u{number:04x}"


def printable(text: str, *, lines: bool = False) -> str:
    r"""Make every character visible that is none: ``\x1b``, ``\u202e``.

    :param lines: newlines and tabs stay.
    """
    if text.isprintable():
        return text
    kept = "\n\t" if lines else ""
    return "".join(
        one if one.isprintable() or one in kept or one == "\xa0" else _shown(one) for one in text
    )


def quoted(value: object, most: int = 200) -> str:
    """A user's word in an error: quoted, its characters visible, never longer than some lines."""
    if isinstance(value, str) and len(value) > most:
        return f"{value[:most]!r}… ({len(value):,} characters)"
    text = repr(value)
    return text if len(text) <= 2 * most else f"{text[:most]}… ({len(text):,} characters)"


def shortened(text: str, most: int = 200) -> str:
    """The same, each word of it no longer than some lines: paths, names, whatever was given."""
    if len(text) <= 2 * most:
        return text
    return _LONG.sub(lambda match: f"{match[0][:most]}… ({len(match[0]):,} characters)", text)


def shown(value: T) -> T:
    """A verdict (or another dataclass) with its text made printable, line for line."""
    import dataclasses  # noqa: PLC0415 -- errors need none of it

    found: Any = value
    if isinstance(found, str):
        same: Any = printable(found)
        if type(found) is not str:  # an enumeration's member is ours
            same = found
    elif isinstance(found, (tuple, list)):
        same = type(found)(map(shown, found))
    elif dataclasses.is_dataclass(found) and not isinstance(found, type):
        members = {
            field.name: printable(text, lines=True)
            if field.name in _SEVERAL_LINES and isinstance(text := getattr(found, field.name), str)
            else shown(getattr(found, field.name))
            for field in dataclasses.fields(found)
            if field.init and field.name != "facts"  # values for our own use
        }
        same = dataclasses.replace(found, **members)
    elif isinstance(found, dict):
        same = {key: shown(one) for key, one in found.items()}
    else:
        same = found
    result: T = same
    return result


_SEVERAL_LINES = frozenset({"explanation", "action"})


class Terminal(io.TextIOWrapper):
    """A text stream on which only our own control sequences reach a terminal, and none a file.

    What the encoding does not have is written as a backslash and its number.
    """

    def write(self, text: str) -> int:
        """Write *text*."""
        if text.isascii() and text.isprintable():
            return super().write(text)
        out, at = [], 0
        if self.isatty():
            drawn = _CURSOR.match(text)
            at = drawn.end() if drawn else 0
            out.append(text[:at])
            for match in _STYLE.finditer(text, at):
                out += [printable(text[at : match.start()], lines=True), match[0]]
                at = match.end()
        out.append(printable(text[at:], lines=True))
        super().write("".join(out))
        return len(text)


def wrapped(stream: Any) -> Any:
    """*stream* (``sys.stdout``) as a :class:`Terminal`; itself where that cannot be."""
    if not isinstance(stream, io.TextIOWrapper) or isinstance(stream, Terminal):
        return stream
    lines, encoding = stream.line_buffering, stream.encoding
    return Terminal(
        stream.detach(),
        encoding=encoding,
        errors="backslashreplace",
        line_buffering=lines,
    )
