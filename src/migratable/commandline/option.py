"""The text of one QEMU option: ``virtio-net-pci,netdev=n0,id=a,,b`` or ``{"driver": …}``.

Grammar (``qemu_opts_parse`` in ``util/qemu-option.c``, ``keyval_parse`` in ``util/keyval.c``)::

    text   = [ first ] *( "," pair ) | JSON object
    first  = value of the option's implied key, when it has one
    pair   = key "=" value | flag
    value  = any text, in which ",," stands for one comma

A flag ``x`` is short for ``x=on``, ``nox`` for ``x=off``. Nothing is normalised: what was not
changed is written as it was read, since old releases do not take new spellings.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

from migratable.errors import CommandLineError
from migratable.facts.options import IMPLIED_KEY
from migratable.printable import quoted

JSON_OPTIONS = frozenset(
    {"audiodev", "blockdev", "device", "netdev", "object", "display", "compat"}
)

Pair = tuple[str, str | None]


def _split(text: str, implied: str | None) -> Iterator[tuple[str | None, str | None]]:
    """Take text apart as ``get_opt_name_value`` does: a key ends at the first ``=`` or comma.

    :return: pairs; key None stands for the implied key, value None for a flag.
    """
    at = 0
    first = implied is not None
    while at < len(text):
        end = at
        while end < len(text) and text[end] not in "=,":
            end += 1
        key: str | None = text[at:end]
        is_flag = end == len(text) or text[end] == ","
        if is_flag and first:
            key, is_flag, end = None, False, at - 1
        if is_flag:
            if key:
                yield key, None
            at = end + 1
        else:
            value, at = _value(text, end + 1)
            yield key, value
        first = False


def _value(text: str, at: int) -> tuple[str, int]:
    """A value up to a single comma, with ``,,`` resolved, and the place behind that comma."""
    part: list[str] = []
    while at < len(text):
        if text[at] == ",":
            if not text.startswith(",,", at):
                break
            at += 1
        part.append(text[at])
        at += 1
    return "".join(part), at + 1


def _flatten(value: Any, prefix: str) -> Iterator[tuple[str, str]]:
    """JSON members as dotted keyval pairs: ``{"file": {"driver": …}}`` is ``file.driver=…``."""
    if isinstance(value, dict):
        for key, member in value.items():
            yield from _flatten(member, f"{prefix}.{key}" if prefix else str(key))
    elif isinstance(value, list):
        for number, member in enumerate(value):
            yield from _flatten(member, f"{prefix}.{number}")
    elif isinstance(value, bool):
        yield prefix, "on" if value else "off"
    elif value is not None:
        yield prefix, str(value)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fields:
    """The parsed text of an option; immutable, edits return a new one.

    :ivar pairs: key and value in order; value None is a flag. Empty for JSON.
    :ivar json: the object of the JSON form, None for the plain form.
    :ivar implied: the key whose value stands first without its name, None when none does.
    :ivar spaced: has the JSON form blanks behind its colons? Releases before 6.2 take it for a
        plain form, and quote it in their errors.
    """

    pairs: tuple[Pair, ...] = ()
    json: dict[str, Any] | None = None
    implied: str | None = None
    spaced: bool = False

    @classmethod
    def parse(cls, text: str, *, option: str = "") -> Fields:
        """Take *text* of ``-option`` apart.

        :raise CommandLineError: When a JSON form is not a JSON object.
        """
        return _parsed(text, option)

    @classmethod
    def plain(cls, text: str, *, option: str = "") -> Fields:
        """Take *text* apart as the plain form, whatever it looks like."""
        implied = IMPLIED_KEY.get(option)
        pairs: list[Pair] = []
        stands_first = None
        for key, value_text in _split(text, implied):
            if key is None:
                assert implied is not None
                pairs.append((implied, value_text))
                stands_first = implied
            else:
                pairs.append((key, value_text))
        return cls(pairs=tuple(pairs), implied=stands_first)

    @classmethod
    def of(cls, first: str | None = None, /, *, option: str = "", **members: str) -> Fields:
        """Build a plain form; underscores in member names are kept as they are."""
        implied = IMPLIED_KEY.get(option) if first is not None else None
        head: tuple[Pair, ...] = () if first is None else ((implied or "", first),)
        return cls(pairs=head + tuple(members.items()), implied=implied)

    def text(self) -> str:
        """The text as QEMU takes it."""
        if self.json is not None:
            return json.dumps(self.json, separators=(", ", ": ") if self.spaced else (",", ":"))
        parts: list[str] = []
        for number, (key, value) in enumerate(self.pairs):
            if value is None:
                parts.append(key)
            elif not number and key == self.implied:
                parts.append(value.replace(",", ",,"))
            else:
                parts.append(f"{key}={value.replace(',', ',,')}")
        return ",".join(parts)

    def items(self) -> Iterator[tuple[str, str]]:
        """All members as dotted keys and text values; a flag is ``on``."""
        if self.json is not None:
            yield from _flatten(self.json, "")
        else:
            for key, value in self.pairs:
                yield key, "on" if value is None else value

    def get(self, key: str, default: str | None = None) -> str | None:
        """Value of *key*, the last one when it is there more than once, as text."""
        found = default
        for name, value in self.items():
            if name == key:
                found = value
        return found

    def __contains__(self, key: str) -> bool:
        return any(name == key or name.startswith(key + ".") for name, _ in self.items())

    def set(self, key: str, value: str) -> Fields:
        """Replace the value of *key* in its place, or append it."""
        if self.json is not None:
            return replace(self, json=_set_json(self.json, key.split("."), value))
        places = [number for number, (name, _) in enumerate(self.pairs) if name == key]
        if not places:
            return replace(self, pairs=(*self.pairs, (key, value)))
        pairs = list(self.pairs)
        pairs[places[-1]] = (key, value)
        return replace(self, pairs=tuple(pairs))

    def delete(self, *keys: str) -> Fields:
        """Leave *keys* and everything under them (``cache`` and ``cache.direct``) out."""
        if self.json is not None:
            document = self.json
            for key in keys:
                document = _delete_json(document, key.split("."))
            return replace(self, json=document)

        def goes(name: str) -> bool:
            return any(name == key or name.startswith(key + ".") for key in keys)

        kept = tuple(pair for pair in self.pairs if not goes(pair[0]))
        first = self.implied if kept and kept[0][0] == self.implied else None
        return replace(self, pairs=kept, implied=first)

    def is_empty(self) -> bool:
        """Is nothing left?"""
        return not self.pairs and not self.json


@lru_cache(maxsize=16_384)
def _parsed(text: str, option: str) -> Fields:
    """Kept: every option may be looked at for every other, and a line has thousands."""
    if text.lstrip().startswith("{") and (option in JSON_OPTIONS or not option):
        try:
            value = json.loads(text)
        except (ValueError, RecursionError) as error:
            hint = "" if '"' in text else "; its quotes are missing: a shell removed them"
            raise CommandLineError(
                f"-{option} {quoted(text, 80)}: not valid JSON ({error}){hint}"
            ) from None
        if not isinstance(value, dict):
            raise CommandLineError(f"-{option} {quoted(text, 80)}: not a JSON object")
        return Fields(json=value, spaced=re.search(r'":\s', text) is not None)
    return Fields.plain(text, option=option)


def _set_json(document: dict[str, Any], path: list[str], value: str) -> dict[str, Any]:
    head, rest = path[0], path[1:]
    if rest:
        inner = document.get(head)
        return {**document, head: _set_json(inner if isinstance(inner, dict) else {}, rest, value)}
    old = document.get(head)
    new: Any = value
    if isinstance(old, bool) or (old is None and value in {"on", "off"}):
        new = {"on": True, "off": False}.get(value, value)
    elif isinstance(old, int) and re.fullmatch(r"-?\d+", value):
        new = int(value)
    return {**document, head: new}


def _delete_json(document: dict[str, Any], path: list[str]) -> dict[str, Any]:
    head, rest = path[0], path[1:]
    if head not in document:
        return document
    if not rest:
        return {key: value for key, value in document.items() if key != head}
    inner = document[head]
    return {**document, head: _delete_json(inner, rest)} if isinstance(inner, dict) else document


_SIZE = re.compile(r"\s*(0[xX][0-9a-fA-F]+|\d+(?:\.\d+)?)\s*([bBkKmMgGtTpPeE]?)(?:i?[bB])?\s*")


def parse_size(text: str, *, unit: str = "B") -> int:
    """Bytes of a QEMU size: ``512M``, ``1.5G``, ``0x100000``, ``262144k``.

    :param unit: what a bare number counts in: ``M`` for ``-m``, ``B`` elsewhere.
    :raise CommandLineError: When *text* is not a size.
    """
    match = _SIZE.fullmatch(text)
    if match is None:
        raise CommandLineError(f"{quoted(text)} is not a size; expected something like 512M or 4G")
    number = int(match[1], 16) if match[1][:2].lower() == "0x" else float(match[1])
    return int(number * 1024 ** "BKMGTPE".index((match[2] or unit).upper()))


def is_on(text: str | None) -> bool:
    """Is a QEMU boolean's text true?"""
    return (text or "").lower() in {"on", "yes", "true", "y"}
