"""From a line of a log to the messages in it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, lru_cache

from migratable.messages import libvirt_errors, qemu_errors
from migratable.messages.catalogue import Message, Role, Text, messages
from migratable.messages.error_table import Hit
from migratable.messages.template import Value

# Messages of this rank or below have so little text that they must be the whole line.
WEAK = -2
# libvirt's words for a command that QEMU refused: where a kind knows QEMU's own words, behind them,
# it says more; else the command does.
_COMMANDS = frozenset(
    {"libvirt-migrate", "libvirt-cont", "libvirt-capabilities", "libvirt-qemu-command"}
)
# Characters of a line whose matches are kept for the next time.
REMEMBERED = 1000

# The program's name, and the function's or device's that some messages have behind it; libvirt's
# words before an answer of its monitor.
_PREFIX = re.compile(
    r".*QEMU command '[\w-]{1,60}': |"
    r"(?:.*?(?:qemu[\w-]*|kvm[\w-]*|QEMU_PROG)(?:\[\d+\])?: )(?P<function>[\w.:-]+: )?|"
)


def _whole(line: str, hit: re.Match[str]) -> bool:
    """Is the match all that the program said, or at least its end?"""
    prefix = _PREFIX.match(line)
    start = prefix.end() if prefix else 0
    return hit.start() <= start and not line[hit.end() :].strip(" '\"`")


@dataclass(frozen=True, slots=True, kw_only=True)
class Match:
    """A message found in a line.

    :ivar start, end: where in the line, in characters.
    :ivar origin: program, releases, file and function, where the catalogue's do not hold.
    """

    message: Message
    text: Text
    params: dict[str, Value]
    start: int
    end: int
    origin: str = ""


# Letters of fixed text that make a sentence nobody else's, wherever it stands.
OWN = 24
# A word of the same sentence before the text; what a log puts there is none.
_GOES_BEFORE = re.compile(
    r"(?<![^\s'\"(\[])(?!(?:[Ee]rr(?:or)?|[Ww]arn(?:ing)?|[Ii]nfo|[Ff]atal|[Dd]ebug|[Mm]essage|"
    r"[Ff]ailed|[Ff]ailure|[Rr]eason|[Ss]ay(?:s|ing)|[Ss]aid|[Ww]ith|[Tt]hat|[Gg]ot|[Gg]et|is|and|"
    r"libvirt[a-z]*|virsh|qemu|kvm|kernel) )[A-Za-z][a-z]+ $"
)


def _inside(line: str, hit: re.Match[str], text: Text) -> bool:
    """Is a short sentence only the end of another one ("host pci device … not found")?"""
    template = text.template
    first = template.parts[0] if template.parts else ""
    if not isinstance(first, str) or not first[:1].isupper() or hit.start() == 0:
        return False
    if sum(map(str.isalpha, template.fixed)) >= OWN:
        return False
    return _GOES_BEFORE.search(line, max(0, hit.start() - 40), hit.start()) is not None


_RUN = re.compile(r"[A-Za-z0-9_]+")
_INNER_RUN = re.compile(r"(?<=[^A-Za-z0-9_])[A-Za-z0-9_]+(?=[^A-Za-z0-9_])")


@dataclass(frozen=True, slots=True)
class _Index:
    """All texts, such that few patterns need to be tried on a line.

    :ivar by_run: texts by a word that stands whole in every line they match.
    :ivar others: texts without such a word, by their longest stretch without a space.
    """

    by_run: dict[str, list[tuple[str, Message, Text]]]
    others: list[tuple[str, Message, Text]]


@cache
def _index() -> _Index:
    by_run: dict[str, list[tuple[str, Message, Text]]] = {}
    others: list[tuple[str, Message, Text]] = []
    for message in messages():
        for text in message.recognised:
            # The first word of the literal is safe against changed spacing; the longest is rarest.
            literal = text.template.literal
            if text.template.sentence and literal is text.template.parts[0]:
                literal = literal[1:]
            word = max(literal.split(), key=len, default="")
            # A word that touches an end of its literal may be a part of a longer one in the line.
            runs = [
                run
                for part in text.template.parts
                if isinstance(part, str)
                for run in _INNER_RUN.findall(part)
            ]
            if runs:
                by_run.setdefault(max(runs, key=len), []).append((word, message, text))
            else:
                others.append((word, message, text))
    return _Index(by_run, others)


def _candidates(line: str) -> Iterator[tuple[Message, Text]]:
    """Texts that may be in *line*."""
    index = _index()
    for run in dict.fromkeys(_RUN.findall(line)):
        for word, message, text in index.by_run.get(run, ()):
            if word in line:
                yield message, text
    for word, message, text in index.others:
        if word in line:
            yield message, text


def recognise(line: str, *, tables: bool = True) -> list[Match]:
    """All messages in *line*, in the order in which they stand there.

    A line may hold several: from 10.2 QEMU chains them. A match inside a longer match of another
    message is left out. Never raises.

    :param tables: also the errors that have no entry of their own (``libvirt/errors.tsv``,
        ``qemu/errors.tsv``). A rehearsal does without: it knows that the program loads a stream,
        and the tables are not on the hosts.
    """
    return list(_short(line, tables) if len(line) <= REMEMBERED else _search(line, tables))


@lru_cache(maxsize=1024)
def _short(line: str, tables: bool) -> tuple[Match, ...]:
    # The same line is asked about as a hit, as a neighbour, and joined; logs repeat themselves.
    return tuple(_search(line, tables))


def _search(line: str, tables: bool) -> list[Match]:
    found: list[tuple[Match, list[tuple[int, int]]]] = []
    for message, text in _candidates(line):
        hit = text.template.pattern.search(line)
        if hit is None or (message.rank <= WEAK and not _whole(line, hit)):
            continue
        if message.unless and re.search(message.unless, hit[0]):
            continue
        if message.program in ("QEMU", "libvirt") and _inside(line, hit, text):
            continue
        match = Match(
            message=message,
            text=text,
            params=text.template.values(hit),
            # A value of several words at the beginning takes the space before it along.
            start=hit.end() - len(hit[0].lstrip()),
            end=hit.end(),
        )
        # What a wrapper quotes ("failed: …") is looked at for itself.
        quoted = [
            hit.span(part.name)
            for part in text.template.parameters
            if part.spec == "line" or part.name == "error"
        ]
        found.append((match, quoted))
    if tables:
        if all(_only_who(match) for match, _ in found):
            found += [(match, []) for match in _of_libvirt(line)]
        found += [(match, []) for match in _of_qemu(line, found)]
        if found and all(_only_who(match) for match, _ in found):
            # What a manager's words quote, without the words that stand before it in a log.
            found += [(match, []) for match in _anywhere(line)]
    if len(found) < 2:
        return [match for match, _ in found]
    found = [item for item in found if not any(_meant(other, item[0]) for other, _ in found)]
    # Of two that cover the same text the one with more fixed text is meant.
    found.sort(key=lambda item: (item[0].start, -item[0].end, -len(item[0].text.template.fixed)))
    found = [item for item in found if not _only_begins(item[0], found)]
    kept: list[tuple[Match, list[tuple[int, int]]]] = []
    for match, quoted in found:
        if not any(_covers(other, spans, match) for other, spans in kept):
            kept.append((match, quoted))
    return [match for match, _ in kept]


def _only_begins(match: Match, found: list[tuple[Match, list[tuple[int, int]]]]) -> bool:
    """Is *match* a general beginning ("Migration disabled: …") of what another says exactly?"""
    last = match.text.template.parts[-1]
    if isinstance(last, str) or last.spec != "line":
        return False
    return any(
        other.start == match.start
        and other.end <= match.end
        and len(other.text.template.fixed) > len(match.text.template.fixed)
        for other, _ in found
        if other.message is not match.message
    )


def _only_who(match: Match) -> bool:
    """Does a match say no more than who speaks?

    The class of libvirt's error, a start, or a manager's words around what it quotes.
    """
    message = match.message
    wraps = message.program not in ("QEMU", "libvirt") and (
        message.role is Role.SYMPTOM or message.rank < 0
    )
    return wraps or message.role is Role.CONTEXT or message.id.startswith("libvirt-class-")


def quoted(line: str) -> Match | None:
    """The error in a line that nothing recognises, without the words that stand before it in a log.

    One of QEMU's or libvirt's whose text is long enough, or that is the whole line.
    """
    for message, text in _candidates(line):
        hit = text.template.pattern.search(line) if message.rank <= WEAK else None
        if hit is not None and _whole(line.strip("\"'` "), hit):
            return Match(
                message=message,
                text=text,
                params=text.template.values(hit),
                start=hit.start(),
                end=hit.end(),
            )
    return next(_anywhere(line), None)


def _anywhere(line: str) -> Iterator[Match]:
    """The error of a table in *line* whose text is long enough to be nobody else's."""
    of_libvirt = libvirt_errors.find(line, anywhere=True)
    of_qemu = qemu_errors.find(line, anywhere=True)
    if of_libvirt and (not of_qemu or of_libvirt.known.letters >= of_qemu.known.letters):
        yield _found(of_libvirt, libvirt_errors.origin(of_libvirt.known))
    elif of_qemu:
        yield _found(of_qemu, qemu_errors.origin(of_qemu.known))


def _found(hit: Hit, origin: str) -> Match:
    """An error of a table as a match of the catalogue."""
    return Match(
        message=hit.message,
        text=hit.message.texts[0],
        params=dict(hit.params),
        start=hit.start,
        end=hit.end,
        origin=origin,
    )


def _of_libvirt(line: str) -> Iterator[Match]:
    """The error of libvirt in the line that has no entry of its own in the catalogue."""
    hit = libvirt_errors.find(line)
    if hit is not None:
        yield _found(hit, libvirt_errors.origin(hit.known))


def _of_qemu(line: str, found: list[tuple[Match, list[tuple[int, int]]]]) -> Iterator[Match]:
    """The error of QEMU in the line that has no entry of its own in the catalogue."""
    deciding = [match for match, _ in found if _decides(match)]
    if any(match.message.id not in _COMMANDS for match in deciding):
        return
    hit = qemu_errors.find(line)
    if hit is None or (deciding and not qemu_errors.of_words(hit)):
        return
    taken = [
        match
        for match, quoted in found
        if match.start < hit.end
        and hit.start < match.end
        and not _only_who(match)
        and match.message.rank > WEAK
        and not any(start <= hit.start < end for start, end in quoted)
    ]
    if not taken:
        yield _found(hit, qemu_errors.origin(hit.known))


def _decides(match: Match) -> bool:
    """Does a match of the catalogue say what is wrong, and not only which option was refused?"""
    telling = match.message.role in (Role.CAUSE, Role.WARNING)
    return telling and match.message.rank > WEAK and not _only_who(match)


def _meant(other: Match, match: Match) -> bool:
    """Is *match* only a manager's general form ("cannot migrate: {reason}") of *other*?"""
    parameters = match.text.template.parameters
    return (
        other.start == match.start
        and other.end <= match.end
        and match.message.program != "QEMU" != other.message.program
        and bool(parameters and parameters[-1].spec == "line")
        and len(other.text.template.fixed) > len(match.text.template.fixed)
    )


def _covers(other: Match, quoted: list[tuple[int, int]], match: Match) -> bool:
    """Is *match* a part of *other* that says nothing by itself?"""
    if not (other.start <= match.start and match.end <= other.end):
        return False
    # What it quotes may take the closing quote along at its end.
    return not any(start <= match.start < end for start, end in quoted)
