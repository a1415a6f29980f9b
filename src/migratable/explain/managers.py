"""What helps against libvirt's and QEMU's messages where a manager owns the guest.

A guest of nova, KubeVirt, oVirt and their like is not changed or moved with virsh: the manager
writes its definition anew, and takes what was done behind its back for a fault.
``remedies/managers.toml`` has the remedies by cause and manager.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cache

from migratable.errors import KnowledgeError
from migratable.messages.catalogue import Message, load_toml

FOLDER = "explain/remedies"
# Whose messages have no manager's words: what wrote them does not know who asked.
_BELOW = frozenset(
    {"QEMU", "libvirt", "Linux", "ssh", "sanlock", "glibc", "derived", "LVM", "ZFS", "Ceph"}
)
# Rules whose remedies change the guest's definition, and such a remedy in virsh's words.
_OF_THE_GUEST = frozenset({"configuration", "cpu-features", "machine-type", "management"})
_BY_HAND = re.compile(
    r"virsh (?:undefine|define|edit|create|managedsave|change-media|attach-|detach-|"
    r"set(?:mem|vcpus|maxmem))"
    r"|<(?:cpu|driver|os|loader|nvram|hostdev|interface|memory|devices|source|name)\b"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Manager:
    """A program that owns guests, or stands around them.

    :ivar seen: finds something in a log of its guests; None where it has no remedies.
    :ivar owns: how a guest's definition is changed there; "" where virsh beside it does no harm.
    :ivar sign: finds something in a line that it wrote; None where its lines tell nothing.
    :ivar target: finds the node's name in a line that a migration's target printed.
    :ivar log: where it says more.
    :ivar drops: how a saved state is dropped there and the guest booted; "" where as libvirt does.
    """

    name: str
    seen: re.Pattern[str] | None
    owns: str
    sign: re.Pattern[str] | None = None
    target: re.Pattern[str] | None = None
    log: str = ""
    drops: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cause:
    """Messages with the same cause, and the remedy of each manager, by its name.

    :ivar over: it counts more than what a public case says.
    """

    id: str
    messages: tuple[str, ...]
    line: re.Pattern[str]
    remedies: Mapping[str, str]
    over: bool = False

    def fits(self, message: str, line: str) -> bool:
        """Is a message, in this line, one of this cause?"""
        return any(fnmatchcase(message, pattern) for pattern in self.messages) and (
            self.line.search(line) is not None
        )


@cache
def managers() -> tuple[Manager, ...]:
    """All managers, in the order in which they are looked for.

    :raise KnowledgeError: an entry that is incomplete, or a regular expression that is none.
    """
    try:
        return tuple(
            Manager(
                name=entry["name"],
                seen=re.compile(entry["seen"], re.M) if "seen" in entry else None,
                owns=entry["owns"],
                sign=re.compile(entry["sign"]) if "sign" in entry else None,
                target=re.compile(entry["target"]) if "target" in entry else None,
                log=entry.get("log", ""),
                drops=entry.get("drops", ""),
            )
            for entry in load_toml(FOLDER, "managers.toml")["manager"]
        )
    except (KeyError, re.error) as error:
        raise KnowledgeError(f"{FOLDER}/managers.toml: manager: {error!r}") from error


@cache
def causes() -> tuple[Cause, ...]:
    """All causes, in the order in which they are looked for.

    :raise KnowledgeError: an entry that is incomplete, a remedy of a manager that is not known, or
        a regular expression that is none.
    """
    names = {manager.name for manager in managers()}
    try:
        found = tuple(
            Cause(
                id=entry["id"],
                messages=tuple(entry["messages"]),
                line=re.compile(entry.get("line", "")),
                remedies={
                    key: entry[key] for key in entry.keys() - {"id", "messages", "line", "over"}
                },
                over=entry.get("over", False),
            )
            for entry in load_toml(FOLDER, "managers.toml")["cause"]
        )
    except (KeyError, re.error) as error:
        raise KnowledgeError(f"{FOLDER}/managers.toml: cause: {error!r}") from error
    for cause in found:
        unknown = cause.remedies.keys() - names
        if unknown:
            raise KnowledgeError(f"{FOLDER}/managers.toml: {cause.id!r}: no manager {unknown}")
    return found


def seen(log: str) -> Manager | None:
    """The manager that a log is of; None where it names none."""
    return next((one for one in managers() if one.seen and one.seen.search(log)), None)


def who_wrote(text: str) -> Manager | None:
    """The program that a line, or a log, is of; None when nothing tells it."""
    return next((one for one in managers() if one.sign and one.sign.search(text)), None)


def of_program(program: str) -> Manager | None:
    """The manager of a message's program ("Incus or LXD": the first); None for none."""
    return next(
        (
            one
            for one in managers()
            if one.log and any(name in program for name in one.name.split(" or "))
        ),
        None,
    )


# An image's tool that a person ran: no manager's operation failed.
_BY_A_PERSON = re.compile(r"qemu-(?:img|io|nbd): ")


def over_cases(message: Message, line: str, log: str) -> str | None:
    """What helps against *message* in a manager's guest, whatever a public case says; None."""
    manager = seen(log) if message.program in _BELOW else None
    return next(
        (
            cause.remedies[manager.name]
            for cause in causes()
            if manager is not None
            and cause.over
            and manager.name in cause.remedies
            and cause.fits(message.id, line)
        ),
        None,
    )


def remedy(message: Message, line: str, log: str, now: str) -> str | None:
    """What helps against *message* where a manager is seen in *log*; None where *now* holds.

    :param line: the line from the message on.
    :param now: what helps where nobody but libvirt's user owns the guest.
    """
    if message.program not in _BELOW or _BY_A_PERSON.match(line):
        return None
    manager = seen(log)
    if manager is None:
        return None
    for cause in causes():
        if manager.name in cause.remedies and cause.fits(message.id, line):
            return cause.remedies[manager.name]
    if manager.owns and message.rule in _OF_THE_GUEST and _BY_HAND.search(now):
        return f"{manager.owns} In libvirt's terms: {now}"
    return None
