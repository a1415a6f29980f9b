"""The catalogue of messages, read from ``messages/*.toml``.

A message has an id, one text for each range of releases, what it means, which side is at fault,
the rule that it belongs to, and what to do. What is the same for all messages of a rule is in the
rule (:mod:`migratable.check.rule`); :mod:`migratable.explain.advice` puts both together.
"""

from __future__ import annotations

import enum
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from migratable.errors import KnowledgeError
from migratable.messages.template import Template, Value
from migratable.messages.variants import Variant, variants
from migratable.releases import Release, release_of


class Role(enum.StrEnum):
    """What a line is in the report of a failed migration.

    ``CAUSE`` names what is wrong; ``WHERE`` only where it went wrong (device, field); ``CLOSING``
    says that the load failed; ``WARNING`` does not stop the load; ``SYMPTOM`` follows from a
    failure elsewhere (the source's broken pipe, libvirt's "unexpectedly failed"); ``CONTEXT`` is
    no failure at all (a start-up line, a command line).
    """

    CAUSE = "cause"
    WHERE = "where"
    CLOSING = "closing"
    WARNING = "warning"
    SYMPTOM = "symptom"
    CONTEXT = "context"


class Fault(enum.StrEnum):
    """The side at fault."""

    SOURCE = "source"
    DESTINATION = "destination"
    NEITHER = "neither"
    CANNOT_TELL = "cannot tell"


@dataclass(frozen=True, slots=True, kw_only=True)
class Text:
    """One wording, with the first and last release that has it; None where the range is open.

    :ivar chained: it stands inside the one line ``load of migration failed: …`` (10.2 on) instead
        of on a line of its own.
    :ivar checked: releases in whose source, binary or output this wording was found; the ends of
        the range between two checked releases are interpolated.
    :ivar meaning, now, prevent, fault: of this wording alone, where it says more than its message;
        "" and None where the message's hold.
    """

    template: Template
    first: Release | None = None
    last: Release | None = None
    chained: bool = False
    checked: tuple[str, ...] = ()
    meaning: str = ""
    now: str = ""
    prevent: str = ""
    fault: Fault | None = None

    def holds(self, release: Release) -> bool:
        """Is this the wording of *release*?"""
        after_first = self.first is None or self.first <= release
        return after_first and (self.last is None or release <= self.last)


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """Something that QEMU, libvirt or a manager prints, and what it means.

    ``meaning``, ``now`` and ``prevent`` may contain parameters of the template in braces.

    :ivar fault, now, prevent, verify: its own; None where those of its rule hold
        (:class:`migratable.check.rule.Rule`).
    :ivar unless: regular expression; a line that it finds is not this message (harmless variants).
    :ivar here: ``meaning``, ``now``, ``prevent``, ``side`` where no migration is going on (a start,
        a save, a snapshot) and other words are needed.
    :ivar variants: other words where a condition holds (an errno, an architecture).
    :ivar also: further texts that mean the same; they are recognised, never rendered.
    """

    id: str
    group: str
    program: str
    role: Role
    rule: str
    fault: Fault | None
    meaning: str
    now: str | None
    prevent: str | None
    verify: str | None
    references: tuple[str, ...]
    texts: tuple[Text, ...]
    rank: int = 0
    warning: bool = False
    also: tuple[Text, ...] = ()
    unless: str = ""
    here: Mapping[str, str] = field(default_factory=dict)
    variants: tuple[Variant, ...] = ()

    @property
    def of_the_load(self) -> bool:
        """Does code of QEMU that only a load runs print it, whatever its functions are called?"""
        return self.group in _OF_THE_LOAD

    @property
    def recognised(self) -> tuple[Text, ...]:
        """All texts that stand for this message in a log."""
        return self.texts + self.also

    def wording(self, release: Release) -> Text:
        """The text of *release*.

        :raise KnowledgeError: when that release does not print this message.
        """
        for text in self.texts:
            if text.holds(release):
                return text
        raise KnowledgeError(f"QEMU {release[0]}.{release[1]} does not print {self.id!r}")

    def printed_by(self, release: Release) -> bool:
        """Does *release* print this message?"""
        return any(text.holds(release) for text in self.texts)


_OF_THE_LOAD = frozenset({"loader", "ram", "devices"})


def _folder(name: str) -> Path:
    return Path(__file__).parent.parent / name  # importlib.resources imports much


def data_text(folder: str, name: str) -> str:
    """One data file as text."""
    return (_folder(folder) / name).read_text(encoding="utf-8")


def load_toml(folder: str, name: str) -> dict[str, Any]:
    """One data file of a data folder: ``messages``, ``facts``, ``explain/cases``.

    :raise KnowledgeError: when it is not TOML.
    """
    try:
        return tomllib.loads(data_text(folder, name))
    except tomllib.TOMLDecodeError as error:
        raise KnowledgeError(f"{folder}/{name}: {error}") from error


def data_files(folder: str) -> list[str]:
    """Names of the TOML files in a data folder, sorted."""
    return sorted(item.name for item in _folder(folder).iterdir() if item.name.endswith(".toml"))


@cache
def origins() -> Mapping[str, Mapping[str, list[str]]]:
    """Where each message's texts stand: ``origin`` (program, releases, file: function), by id.

    ``reported`` has the texts that are in none of the sources read.
    """
    table: dict[str, Any] = load_toml("messages", "origins.toml")
    return table


@cache
def _group(name: str) -> dict[str, Message]:
    data = load_toml("messages", name)
    found: dict[str, Message] = {}
    for entry in data["message"]:
        message = _message(entry, data, name)
        if message.id in found:
            raise KnowledgeError(f"messages/{name}: {message.id!r} occurs twice")
        found[message.id] = message
    return found


def _message(entry: dict[str, Any], group: dict[str, Any], name: str) -> Message:
    try:

        def own(key: str) -> str | None:
            value: str | None = entry.get(key, group.get(key))
            return None if value is None else value.strip()

        def member(key: str, default: str = "") -> str:
            return own(key) or default

        role = Role(member("role", "cause"))
        warning = bool(entry.get("warning", False))
        texts = entry.get("texts") or [{"text": entry["text"]}]
        return Message(
            id=entry["id"],
            group=name.removesuffix(".toml"),
            program=member("program", "QEMU"),
            role=role,
            rule=member("rule"),
            fault=Fault(side) if (side := own("side")) else None,
            meaning=member("meaning"),
            now=own("now"),
            prevent=own("prevent"),
            verify=own("verify"),
            references=tuple(entry.get("references", ())),
            rank=int(entry.get("rank", 0)),
            warning=warning,
            texts=tuple(_text(text, entry) for text in texts),
            also=tuple(
                _text({"text": text} if isinstance(text, str) else text, entry)
                for text in entry.get("also", ())
            ),
            unless=entry.get("unless", ""),
            here=entry.get("here", {}),
            variants=variants(entry),
        )
    except (KeyError, ValueError) as error:
        raise KnowledgeError(f"messages/{name}: {entry.get('id')!r}: {error!r}") from error


def _text(text: dict[str, Any], entry: dict[str, Any]) -> Text:
    prefix = "warning: " if entry.get("warning") else ""
    return Text(
        template=Template(prefix + text["text"]),
        first=release_of(text["from"]) if "from" in text else None,
        last=release_of(text["to"]) if "to" in text else None,
        chained=bool(text.get("chained", False)),
        checked=tuple(text.get("checked", ())),
        meaning=text.get("meaning", ""),
        now=text.get("now", ""),
        prevent=text.get("prevent", ""),
        fault=Fault(text["side"]) if "side" in text else None,
    )


def groups() -> list[str]:
    """Names of the message files, the loader's own first."""
    names = [name for name in data_files("messages") if name != "origins.toml"]
    return sorted(names, key=lambda name: (name != "loader.toml", name))


def messages() -> Iterator[Message]:
    """All messages, group by group."""
    for name in groups():
        yield from _group(name).values()


@cache
def message(message_id: str) -> Message:
    """The message of this id; only as many files are read as are needed to find it.

    :raise KnowledgeError: when there is none.
    """
    for name in groups():
        found = _group(name).get(message_id)
        if found is not None:
            return found
    raise KnowledgeError(f"there is no message {message_id!r}")


def text(message_id: str, release: Release, **params: Value) -> str:
    """The line that *release* prints, without the program's name, in that release's wording.

    Warnings begin with ``warning: ``. Whether the text is a line of its own or a link of the
    chained closing line of 10.2 and later: :func:`chained`.

    :raise KnowledgeError: no such message, not printed by that release, or a parameter is missing.
    """
    return message(message_id).wording(release).template.render(params)


def chained(message_id: str, release: Release) -> bool:
    """Is the text a link of the closing line (10.2 on) rather than a line of its own?"""
    return message(message_id).wording(release).chained
