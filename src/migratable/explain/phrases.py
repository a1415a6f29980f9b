"""Phrases of runtimes and system programs, which mean the same whoever quotes them.

An error that no message describes, or the free end of one that does ("…: {reason}"), often ends in
the words of Go's or Python's library, of ssh, LVM or the kernel. ``phrases/*.toml`` has them, with
their cause and what helps. What they say is likely and not more: what stood around them is not
known.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache, lru_cache
from itertools import count

from migratable.errors import KnowledgeError
from migratable.explain import errnos
from migratable.explain.managers import Manager, managers
from migratable.messages.catalogue import load_toml

FOLDER = "explain/phrases"
FILES = ("hosts.toml", "runtimes.toml")
# Characters at the end of a line in which a phrase is looked for.
LONGEST = 4000


@dataclass(frozen=True, slots=True, kw_only=True)
class Phrase:
    """Words of a runtime or system program.

    :ivar patterns: the first that is found counts.
    :ivar means, now: groups of the patterns, ``who`` and ``log`` may stand in braces.
    :ivar weak: it only tells how something ended.
    :ivar of: remedies of managers, by their names.
    """

    id: str
    rule: str
    patterns: tuple[re.Pattern[str], ...]
    means: str
    now: str
    weak: bool = False
    of: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A phrase in a text: where it stands, and the values of its groups."""

    phrase: Phrase
    start: int
    end: int
    values: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What a phrase says of a line: its cause, what helps, and facts beside them."""

    id: str
    rule: str
    means: str
    now: str
    weak: bool
    details: tuple[str, ...] = ()


_GROUP = re.compile(r"\(\?P<(\w+)>")


def _compiled(pattern: str) -> re.Pattern[str]:
    """*pattern*, in which a name may stand for several groups."""
    numbers = count()
    return re.compile(
        _GROUP.sub(lambda group: f"(?P<{group[1]}__{next(numbers)}>", pattern), re.IGNORECASE
    )


@cache
def phrases() -> tuple[Phrase, ...]:
    """All phrases, in the order in which they count where two overlap.

    :raise KnowledgeError: an entry that is incomplete, occurs twice, names a manager that is not
        known, or has a regular expression that is none.
    """
    found: dict[str, Phrase] = {}
    names = {manager.name for manager in managers()}
    for file in FILES:
        data = load_toml(FOLDER, file)
        for entry in data["phrase"]:
            try:
                phrase = Phrase(
                    id=entry["id"],
                    rule=entry.get("rule", data["rule"]),
                    patterns=tuple(_compiled(pattern) for pattern in entry["any"]),
                    means=entry["means"],
                    now=entry["now"],
                    weak=entry.get("weak", False),
                    of=entry.get("of", {}),
                )
            except (KeyError, re.error) as error:
                raise KnowledgeError(f"{FOLDER}/{file}: {entry.get('id')!r}: {error!r}") from error
            if phrase.id in found or not phrase.of.keys() <= names:
                raise KnowledgeError(f"{FOLDER}/{file}: {phrase.id!r}: twice, or no such manager")
            found[phrase.id] = phrase
    return tuple(found.values())


@cache
def _ports() -> Mapping[str, str]:
    table: dict[str, str] = load_toml(FOLDER, "runtimes.toml")["ports"]
    return table


@lru_cache(maxsize=1024)
def find(text: str) -> Found | None:
    """The phrase by which *text* ends, one that tells a cause before one that tells an outcome."""
    kept: list[Found] = []
    for one in sorted(_all(text[-LONGEST:]), key=lambda one: one.phrase.weak):
        if not any(one.start < other.end and other.start < one.end for other in kept):
            kept.append(one)
    return max(kept, key=lambda one: (not one.phrase.weak, one.end), default=None)


# What lines with a phrase have that have no error's word.
_HINTS = re.compile(
    r"exit (?:status|code):? \d{3}|signal: \w|got signal|code=(?:dumped|killed)|oom|of memory|"
    r"MemoryError|"
    r"dial (?:tcp|udp|unix)|(?:read|write) tcp |no route to|timeout|time-out|timed? out|handshake|"
    r"certificate|tls|too (?:many|quickly|long|large)|is required|requires auth|no tty|privsep|"
    r"kex_exchange|not responding|in use|is busy|file exists|split-brain|"
    r"(?:are|is|definitely) down|"
    r"\bno (?:bridge|port|row|chain|matches|leader|available|records?|sessions?|portals?|locks|"
    r"such)|"
    r"failing path|active paths|blocked for more|lockup|general protection|fault\b|disabled by|"
    r"xtables lock|backing device|medium type|transaction_id|full osd|locked\b|deadlock|canceled|"
    r"\b[45]\d\d [BFGPRSTU]\w+ |not defined in schema|gave HTTP|misbehaving|colons|broken pipe|"
    r"by peer|remote host|(?:Exception|Error):?$",
    re.IGNORECASE,
)


def hinted(text: str) -> bool:
    """Does *text* hold a phrase that tells a cause, although it may have no error's word?"""
    found = find(text) if _HINTS.search(text) else None
    return found is not None and not found.phrase.weak


_WORD = re.compile(r"[^\W\d_]{3,}")
_FEW = 3


def _all(text: str) -> Iterator[Found]:
    for phrase in phrases():
        hit = next((hit for pattern in phrase.patterns if (hit := pattern.search(text))), None)
        # Behind an outcome the line may go on with its reason.
        if hit is not None and not (phrase.weak and len(_WORD.findall(text[hit.end() :])) > _FEW):
            values: dict[str, str] = {}
            for name, value in hit.groupdict().items():
                if value and value.strip():
                    values.setdefault(name.partition("__")[0], value.strip(" .,;:'\""))
            yield Found(phrase=phrase, start=hit.start(), end=hit.end(), values=values)


# Errors of the kernel that say all by themselves, without what they were met at.
_SELF = frozenset(
    {
        "No space left on device",
        "Disk quota exceeded",
        "Read-only file system",
        "Too many open files",
        "Cannot allocate memory",
        "No route to host",
        "Network is unreachable",
        "Address already in use",
        "Stale file handle",
    }
)
_NUMBERED = re.compile(
    r"\[Errno -?\d+\] (?P<error>[A-Z][\w /]{4,40})(?:: ['\"](?P<what>[^'\"]+)['\"])?"
)
# A function and line of its source, or a log's member, behind the error.
_PLACE = re.compile(r"(?:\s*\(\w+:\d+\)|\s*\(\d+\)|\s+\[[\w:.-]+\])?[\W]*$")


def told(text: str, program: Manager | None) -> Told | None:
    """What the phrase in *text* says of it; None without one.

    :param program: who wrote it; None where that is not known.
    """
    found = find(text)
    if found is not None and not found.phrase.weak:
        return _of(found, program)
    return _errno(text, program) or (_of(found, program) if found else None)


def cause(text: str, program: Manager | None) -> Told | None:
    """What :func:`told` says where a phrase tells a cause: no outcome, and no errno alone."""
    one = told(text, program)
    return one if one is not None and not one.weak and one.id != "errno" else None


def _of(found: Found, program: Manager | None) -> Told:
    phrase, values = found.phrase, dict(found.values)
    port = values.get("port", "") or values.get("at", "").rpartition(":")[2]
    if "port" in values and "at" in values:
        values["at"] = f"{values['at']}:{values['port']}"
    name = program.name if program else ""
    values["who"] = name or "the program that printed it"
    values["log"] = program.log if program and program.log else "the log of the program"
    now = phrase.of.get(name, phrase.now)
    more = f" More is in {program.log}." if program and program.log and "{log}" not in now else ""
    service = _ports().get(port)
    return Told(
        id=phrase.id,
        rule=phrase.rule,
        means=filled(phrase.means, values),
        now=filled(now, values) + more,
        weak=phrase.weak,
        details=(f"Port {port} is mostly {service}'s.",) if service else (),
    )


def _errno(text: str, program: Manager | None) -> Told | None:
    """The kernel's error at the end of *text*, where it names what it was met at."""
    numbered = _NUMBERED.search(text)
    if numbered is not None and numbered["error"] in errnos.ERRNOS:
        text = f"'{numbered['what'] or ''}': {numbered['error']}"
    text = _PLACE.sub("", text)
    error, what = errnos.at_end(text)
    if not error or not (what or error in _SELF):
        return None
    more = f" More is in {program.log}." if program and program.log else ""
    return Told(
        id="errno",
        rule="unrecognised",
        means=f'"{error}"{" at " + what if what else ""}: {errnos.ERRNOS[error].means}',
        now=errnos.remedy(text) + more,
        weak=False,
    )


_VALUES = re.compile(r"(?:\{\w+\})+")
_MISSING = re.compile(r" ?(?:\{\w+\})+")
_BRACKETS = re.compile(r" \([^()]*\{\w+\}[^()]*\)")


def filled(text: str, values: Mapping[str, str]) -> str:
    """*text* with its values; one that is missing, and brackets around it, are left out."""

    def value(run: re.Match[str]) -> str:
        return "".join(values.get(name, "") for name in re.findall(r"\w+", run[0]))

    def bracket(found: re.Match[str]) -> str:
        return found[0] if all(value(run) for run in _VALUES.finditer(found[0])) else ""

    begins, text = text.startswith("{"), _BRACKETS.sub(bracket, text)
    text = text.replace("{at}", values.get("at", "the address that it called"))
    text = _MISSING.sub(lambda run: run[0] if value(run) else "", text)
    text = _VALUES.sub(value, text)
    return f"{text[:1].upper()}{text[1:]}" if begins else text
