"""Templates of printed lines: one notation that is rendered one way and recognised the other.

A template is literal text with parameters in braces, written after the ``printf`` format that QEMU
has in its source:

``{name}``
    a string (``%s``): up to the character that follows in the template; at the end, a word.
``{name:d}``
    a decimal number (``%d``, ``%u``, ``%zu``).
``{name:x}``, ``{name:02x}``, ``{name:032x}``
    a hexadecimal number without ``0x`` (``%x``), as ``format`` writes it.
``{name:line}``
    a string up to the end of the line.
``{name:path}``
    a name that may hold colons (a PCI address) or be empty.
``{name:phrase}``
    words without punctuation, such as the C library's error texts.

Doubled braces stand for themselves.
"""

from __future__ import annotations

import re
import string
import sys
from dataclasses import dataclass, field
from functools import cached_property

from migratable.errors import KnowledgeError

Value = str | int

# Closing quotes, markup and other scripts' punctuation, in which people wrap what they quote.
_MARKUP = "“”„‘’«»`*|<>，。；：？！"

_NUMBER = re.compile(r"0?\d*[dxX]")


@dataclass(frozen=True, kw_only=True)
class Parameter:
    """A parameter of a template: its name and its notation (``""``, ``d``, ``02x``, ``line``)."""

    name: str
    spec: str

    @property
    def numeric(self) -> bool:
        """Is the value a number?"""
        return _NUMBER.fullmatch(self.spec) is not None

    @property
    def base(self) -> int:
        """Base in which a numeric parameter is printed."""
        return 16 if self.spec[-1:] in ("x", "X") else 10

    def beginning(self, following: str) -> str:
        """What must stand before a value that begins a template.

        It begins where a word does: what is behind the beginning need not be tried.
        """
        if self.spec not in ("", "path") or (not self.spec and following[0] in "'\""):
            return ""
        stop = "" if self.spec else re.escape(following[0])
        return rf"(?<![^{stop}\s'\"])"

    def pattern(self, following: str, *, adjacent: bool = False) -> str:
        """Regular expression of the values, given the literal text that follows.

        :param adjacent: no literal text follows, but another value.

        Every repetition has a bound, so that what a search costs grows with a line's length and
        not with its square.
        """
        if self.numeric:
            return r"[0-9a-fA-F]{1,40}" if self.base == 16 else r"-?\d{1,40}"
        if self.spec == "line":
            return r".{1,1000}" if following else r".+"
        if self.spec == "path":
            return r"[^\s'\"]{0,1000}?" if following else r"[^\s'\",;\\]{1,1000}(?<![.:)])"
        if self.spec == "phrase":
            # An apostrophe inside a word ("couldn't") ends no phrase.
            return rf"(?:[^:'\"\\,;{_MARKUP}]|(?<=\w)'(?=\w)){{0,400}}[^:'\"\\,;\s.){_MARKUP}]"
        if not following:
            # Logs put a comma, quote or bracket behind a line that they wrap.
            return r"[^\s'\",;\\]{1,1000}(?<![.:)])"
        stop = re.escape(following[0])
        # A name never crosses a quotation mark; one at the start of a template no colon either.
        # Where what ends a value cannot stand in it, no shorter value is tried.
        if following[0] == "'":
            # An apostrophe inside a name ends no quotation.
            once = _ONCE if following[1:2] and not _is_word(following[1]) else ""
            return rf"(?:[^']|(?<=\w)'(?=\w)){{0,1000}}{once}"
        if following[0] == '"':
            return rf'[^"\\]{{0,1000}}{_ONCE}'
        if following[0] == " ":
            return rf"[^\s'\"]{{1,1000}}{'' if adjacent else _ONCE}"
        return rf"[^{stop}\s'\"][^{stop}'\"]{{0,1000}}{_ONCE}(?<!\s)"


_ONCE = "+" if sys.version_info >= (3, 11) else ""
"""Behind a repetition: what it took it keeps. Python before 3.11, on hosts, does not know it."""


def _literal(text: str) -> str:
    """QEMU prints one space or two in places; mails and consoles change them too."""
    return re.sub(r"(?:\\ )+", r"\\s+", re.escape(text))


_MOST = 1000
"""Characters of a value."""
_ANYTHING = frozenset({"line", "path", "phrase"})
"""Values that may hold what ends them, so that shorter ones are tried too."""


def _is_word(character: str) -> bool:
    return character.isalnum() or character == "_"


@dataclass(frozen=True)
class Template:
    """One wording of one message.

    :raise KnowledgeError: on construction, when the notation is wrong.
    """

    text: str
    parts: tuple[str | Parameter, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        parts: list[str | Parameter] = []
        try:
            for literal, name, spec, conversion in string.Formatter().parse(self.text):
                if literal:
                    parts.append(literal)
                if name is not None:
                    if not name.isidentifier() or conversion:
                        raise KnowledgeError(f"bad parameter {name!r} in template {self.text!r}")
                    parts.append(Parameter(name=name, spec=spec or ""))
        except ValueError as error:
            raise KnowledgeError(f"bad template {self.text!r}: {error}") from error
        object.__setattr__(self, "parts", tuple(parts))

    @cached_property
    def parameters(self) -> tuple[Parameter, ...]:
        """The parameters in order; a name may occur more than once."""
        return tuple(part for part in self.parts if isinstance(part, Parameter))

    @cached_property
    def fixed(self) -> str:
        """All fixed text."""
        return "".join(part for part in self.parts if isinstance(part, str))

    @cached_property
    def literal(self) -> str:
        """The longest stretch of fixed text: what to look for before trying the pattern."""
        return max((part for part in self.parts if isinstance(part, str)), key=len, default="")

    @cached_property
    def sentence(self) -> bool:
        """Does it begin with a word whose first letter may be small or capital?

        Programs put their messages behind a colon or at the start of a sentence, and change that
        from release to release.
        """
        first = self.parts[0] if self.parts else ""
        return isinstance(first, str) and first[:1].isalpha() and first[1:2].islower()

    @cached_property
    def pattern(self) -> re.Pattern[str]:
        """The template as a regular expression to search a line with."""
        pieces: list[str] = []
        seen: set[str] = set()
        for number, part in enumerate(self.parts):
            if isinstance(part, str):
                fixed = _literal(part)
                if number == 0 and self.sentence:
                    fixed = f"[{part[0].lower()}{part[0].upper()}]{fixed[1:]}"
                elif number == 0 and part == "'":
                    fixed = rf"(?<!\w){fixed}"  # an apostrophe begins no quotation
                pieces.append(fixed)
                continue
            if part.name in seen:
                pieces.append(f"(?P={part.name})")
                continue
            seen.add(part.name)
            after = self.parts[number + 1] if number + 1 < len(self.parts) else ""
            following = after if isinstance(after, str) else " "
            if number == 0 and following:
                pieces.append(part.beginning(following))
            adjacent = not isinstance(after, str)
            pieces.append(f"(?P<{part.name}>{part.pattern(following, adjacent=adjacent)})")
        pieces[1:1] = self._end_in_reach()
        pattern = "".join(pieces)
        prefix = r"[wW]arning:\s+"
        if pattern.startswith(prefix):
            pattern = f"(?:{prefix})?{pattern.removeprefix(prefix)}"
        return re.compile(pattern)

    def _end_in_reach(self) -> list[str]:
        """Behind the first text: is the last one near? Else no value between them is tried.

        Two values that may hold anything would be tried in every combination.
        """
        places = [number for number, part in enumerate(self.parts) if isinstance(part, str)]
        between = self.parts[: places[-1] if places else 0]
        values = [part for part in between if isinstance(part, Parameter)]
        if not places or places[0] != 0 or sum(one.spec in _ANYTHING for one in values) < 2:
            return []
        last = str(self.parts[places[-1]])
        reach = _MOST * len(values) + 4 * len(self.fixed)
        return [rf"(?=(?s:.{{0,{reach}}}?){_literal(last)})"]

    def render(self, values: dict[str, Value]) -> str:
        """Fill the template.

        :raise KnowledgeError: when a parameter is missing or a number is none.
        """
        pieces: list[str] = []
        for part in self.parts:
            if isinstance(part, str):
                pieces.append(part)
                continue
            if part.name not in values:
                raise KnowledgeError(f"parameter {part.name!r} missing for {self.text!r}")
            value = values[part.name]
            if part.numeric:
                try:
                    pieces.append(format(int(value), part.spec))
                except ValueError as error:
                    raise KnowledgeError(f"{part.name}={value!r} is no number") from error
            else:
                pieces.append(str(value))
        return "".join(pieces)

    def values(self, found: re.Match[str]) -> dict[str, Value]:
        """The parameters of a match, numbers as numbers."""
        return {
            part.name: int(found[part.name], part.base) if part.numeric else found[part.name]
            for part in self.parameters
        }
