"""Values of options as QEMU parses them, with its own error lines.

Source: ``qapi/opts-visitor.c``, ``qapi/qobject-input-visitor.c``, ``util/cutils.c`` (qemu_strtosz),
``util/qemu-option.c``, ``util/keyval.c``, ``qobject/qdict.c``; lines measured on 4.1 to 11.1.
"""

from __future__ import annotations

import functools
import re

from migratable.pseries.build import Build
from migratable.pseries.capability import Capability

_TRUE = frozenset({"on", "yes", "true", "y"})
_FALSE = frozenset({"off", "no", "false", "n"})
_KEYVAL_VALUE = re.compile(r"(?:[^,]|,,)*")
_SUFFIXES = {"": 0, "b": 0, "k": 10, "m": 20, "g": 30, "t": 40, "p": 50, "e": 60}
_SIZE_HINT = (
    "Optional suffix k, M, G, T, P or E means kilo-, mega-, giga-, tera-, peta-",
    "and exabytes, respectively.",
)


class StartFailed(Exception):  # noqa: N818 - a state of QEMU, not an error of ours
    """QEMU ends before the machine exists.

    :ivar lines: what it prints, without the program's name.
    """

    def __init__(self, *lines: str) -> None:
        """Keep the lines."""
        super().__init__("\n".join(lines))
        self.lines = lines


class NotModelledError(Exception):
    """The command line has something whose effect this model does not know."""


def parse_bool(build: Build, name: str, text: str) -> bool:
    """A boolean property.

    :raise StartFailed: When QEMU takes the text for neither.
    """
    modern = build.has("bool_expects_on_off")
    word = text if modern else text.lower()
    if word in _TRUE and (modern or word != "y"):
        return True
    if word in _FALSE and (modern or word != "n"):
        return False
    if modern:
        raise StartFailed(f"Parameter '{name}' expects 'on' or 'off'")
    raise StartFailed(f"Invalid parameter type for '{name}', expected: boolean")


def parse_size(build: Build, name: str, text: str, *, unit: int = 0) -> int:
    """A size in bytes; *unit* is the shift of a number without suffix.

    :raise StartFailed: When QEMU cannot read it.
    """
    size = _read_size(text, unit)
    if size is None and re.fullmatch(r"0[xX][0-9a-fA-F]+[kKmMgGtTpP]", text):
        if build.release <= (5, 2):
            size = _read_size(text[:-1], _SUFFIXES[text[-1].lower()])
        elif build.release < (10, 0):
            raise NotModelledError(f"{name}={text}: a suffix on a hexadecimal number")
    if size is not None and 0 <= size < 1 << 64:
        return size
    if build.has("keyval_machine") and name.startswith("cap-"):
        raise StartFailed(f"Parameter '{name}' expects size")
    if size is not None:
        raise StartFailed(f"Value '{text}' is out of range for parameter '{name}'")
    raise StartFailed(f"Parameter '{name}' expects a non-negative number below 2^64", *_SIZE_HINT)


@functools.lru_cache(maxsize=1024)
def _read_size(text: str, unit: int) -> int | None:
    match = re.fullmatch(r"\s*(0[xX][0-9a-fA-F]+)", text)
    if match:
        return int(match[1], 16) << unit
    match = re.fullmatch(r"\s*([+-]?)(\d+)(\.\d*)?([bBkKmMgGtTpPeE]?)", text)
    if match is None:
        return None
    shift = _SUFFIXES[match[4].lower()] if match[4] else unit
    whole = int(match[2]) << shift
    if match[3] and len(match[3]) > 1:
        digits = match[3][1:]
        whole += (int(digits) << shift) // 10 ** len(digits)
    return -whole if match[1] == "-" else whole


def parse_level(build: Build, cap: Capability, text: str) -> int:
    """The level that ``cap-NAME=text`` sets (``spapr_cap_set_bool``, ``_string``, ``_pagesize``).

    :raise StartFailed: With QEMU's line when it refuses the value.
    """
    name = cap.property_name
    if cap.kind == "bool":
        return int(parse_bool(build, name, text))
    if cap.kind == "size":
        size = parse_size(build, name, text)
        if size == 0 or size & (size - 1):
            raise StartFailed(f"{name} must be a power of 2")
        return size.bit_length() - 1
    if text == "?":
        raise StartFailed(cap.help)
    lowered = text.lower()
    for level, value in enumerate(cap.values):
        if value == lowered:
            return level
    raise StartFailed(f'Invalid capability mode "{text}" for {name}')


def split_options(text: str) -> list[tuple[str, str | None]]:
    """``a=b,c,d=e,,f`` to pairs, as ``opts_parse`` does it; None where there is no ``=``.

    A doubled comma is a comma.
    """
    if ",," in text:
        parts = [part.replace("\0", ",") for part in text.replace(",,", "\0").split(",")]
    else:
        parts = text.split(",")
    pairs: list[tuple[str, str | None]] = []
    for index, part in enumerate(parts):
        key, equals, value = part.partition("=")
        if not index and "," in key:
            # the first may stand without its name; its value then goes up to the next comma
            pairs.append((part, None))
        else:
            pairs.append((key, value if equals else None))
    return pairs


def split_keyval(word: str, text: str) -> list[tuple[str, str | None]]:
    """The same for ``keyval_parse``: only values may hold a doubled comma.

    :raise StartFailed: When a part is no ``key=value``; the first may stand without its name.
    """
    if ",," not in text:
        pairs = split_options(text)
    else:
        pairs = []
        rest = text
        while rest:
            size = next((index for index, char in enumerate(rest) if char in "=,"), len(rest))
            key, rest = rest[:size], rest[size:]
            if not rest.startswith("="):
                pairs.append((key, None))
                rest = rest[1:]
                continue
            value = _KEYVAL_VALUE.match(rest, 1)
            assert value is not None
            pairs.append((key, value[0].replace(",,", ",")))
            rest = rest[value.end() + 1 :]
    for index, (key, given) in enumerate(pairs):
        if given is None and index and (key or index < len(pairs) - 1):
            raise StartFailed(
                f"{word} {text}: Expected '=' after parameter '{key}'"
                if key
                else f"{word} {text}: Invalid parameter ''"
            )
    return pairs


def dictionary_order(keys: list[str]) -> list[str]:
    """The order in which a QDict gives *keys* back (given in the order of insertion).

    ``qdict_first``/``qdict_next`` walk 512 buckets of ``tdb_hash``; a bucket's newest entry is
    first. From 6.0 on this order decides which of several bad properties is reported.
    """
    placed = [(_tdb_hash(key) % 512, -index, key) for index, key in enumerate(dict.fromkeys(keys))]
    return [key for _, _, key in sorted(placed)]


@functools.cache
def _tdb_hash(name: str) -> int:
    data = name.encode()
    value = (0x238F13AF * len(data)) & 0xFFFFFFFF
    for index, byte in enumerate(data):
        value = (value + (byte << (index * 5 % 24))) & 0xFFFFFFFF
    return (1103515243 * value + 12345) & 0xFFFFFFFF
