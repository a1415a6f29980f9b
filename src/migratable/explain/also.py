"""Further errors of a failure: what is refused in other lines than the one that matters."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from migratable.explain import advice
from migratable.explain.choice import minor
from migratable.explain.filling import fill, for_error
from migratable.explain.grouping import Failure, Line
from migratable.messages.catalogue import Role
from migratable.messages.recognise import WEAK, Match
from migratable.messages.setting import Setting

MOST = 3
# What follows from another error, or is said on the way to it.
_FOLLOWS = frozenset({"stream-broken", "transport", "multifd", "source-save", "post-load"})
_ON_THE_WAY = frozenset(
    {
        "start-invalid-accelerator",
        "start-refused",
        "kubevirt-disks-reason",
        "audio-init",
        "snapshot-file",
        "lxd-disk-setup",
        "libvirt-cont",
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Also:
    """An error of another rule in another line of the failure.

    :ivar message, meaning, now: of the catalogue.
    """

    line: Line
    message: str
    meaning: str
    now: str

    def to_json(self) -> dict[str, Any]:
        """As the JSON contract has it."""
        return {
            **({"log": self.line.log} if self.line.log else {}),
            "line_number": self.line.number,
            "text": self.line.text,
            "message": self.message,
            "meaning": self.meaning,
            "do_now": self.now,
        }


def also(failure: Failure, chosen: Line, main: Match, reads: Setting) -> tuple[Also, ...]:
    """The errors beside *main* in *chosen* that are none of its consequences, :data:`MOST`."""
    found: dict[str, Also] = {}
    for line, match in failure.matches:
        message = match.message
        if line.number == chosen.number or message.role is not Role.CAUSE or minor(line):
            continue
        same = message.rule == main.message.rule or message.id in found
        general = message.rank <= WEAK or message.id.startswith("libvirt-class-")
        if same or general or message.rule in _FOLLOWS or message.id in _ON_THE_WAY:
            continue
        if line.number > chosen.number and _hands_on(match, main):
            continue
        if any(one.line.number == line.number for one in found.values()):
            continue
        own = advice.of_wording(message, match.text)
        error = str(match.params.get("error", ""))
        found[message.id] = Also(
            line=line,
            message=message.id,
            meaning=fill(match.text.meaning or message.meaning, match, reads),
            now=fill(for_error(own.now, error) if error else own.now, match, reads),
        )
    return tuple(found.values())[:MOST]


def _hands_on(match: Match, main: Match) -> bool:
    """Does a later line say what became of *main*: a program further out, or words around it?"""
    outer = main.message.program == "QEMU" and match.message.program != "QEMU"
    return outer or bool({"error", "inner"} & match.params.keys())
