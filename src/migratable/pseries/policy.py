"""When a planned capability is sent, and which capabilities are compared: policies.

A policy is a table entry (``sent`` and ``compared`` name a rule below), or one of
:data:`NAMED`, the ways out that were discussed in October and November 2019
(``[PATCH v4 17/19] spapr: Remove last pieces of SpaprIrq``).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from dataclasses import dataclass

from migratable.printable import quoted
from migratable.pseries.build import Build
from migratable.pseries.capability import (
    Capability,
    ComparedRule,
    SendContext,
    SentRule,
    Version,
    always_compared,
    never_sent,
    sent_when_changed,
)
from migratable.pseries.downstream import sent_always
from migratable.pseries.tables import Table

Limits = tuple[tuple[Version | None, int], ...]
"""(last machine version or None, first index that is beyond the limit), first match wins."""

SENT = ("changed", "never", "always", "from-machine", "index-limit", "no-subsection")
COMPARED = ("all", "never", "from-machine", "index-limit")


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """One way of introducing capabilities.

    :ivar sent: when the planned capabilities are sent: a name of :data:`SENT`.
    :ivar compared: which are compared after loading: a name of :data:`COMPARED`. ``index-limit``
        is for every capability of the table, the others for the planned ones only.
    :ivar machine: for ``from-machine``: the first machine type version.
    :ivar limits: for ``index-limit``: the first index that is not covered, by machine type.
    """

    name: str
    summary: str
    sent: str = "changed"
    compared: str = "all"
    machine: Version = (0, 0)
    limits: Limits = ()

    def limit(self, machine: Version) -> int:
        """The first index that the limit leaves out on this machine type."""
        return next(below for to, below in self.limits if to is None or machine <= to)

    def apply(self, build: Build, planned: Iterable[str]) -> Build:
        """*build* with this policy's rules; *planned* are the names of planned capabilities."""
        names = frozenset(planned)
        highest = max((cap.index for cap in build.capabilities if cap.name in names), default=-1)
        return dataclasses.replace(
            build,
            capabilities=tuple(
                self._with_rules(cap, cap.name in names, highest) for cap in build.capabilities
            ),
        )

    def _with_rules(self, cap: Capability, planned: bool, highest: int) -> Capability:
        compared = self._compared(cap.index) if planned or self.compared == "index-limit" else None
        if planned:
            cap = dataclasses.replace(
                cap,
                sent=self._sent(highest),
                subsection="" if self.sent == "no-subsection" else cap.subsection,
            )
        return cap if compared is None else dataclasses.replace(cap, compared=compared)

    def _sent(self, highest: int) -> SentRule:
        if self.sent == "from-machine":
            return lambda context: context.machine >= self.machine
        if self.sent == "index-limit":
            # the sketched patch asks for the highest of the new indexes, for both capabilities
            return lambda context: self.limit(context.machine) > highest
        return {
            "changed": sent_when_changed,
            "never": never_sent,
            "always": sent_always,
            "no-subsection": never_sent,
        }[self.sent]

    def _compared(self, index: int) -> ComparedRule:
        if self.compared == "from-machine":
            return lambda machine: machine >= self.machine
        if self.compared == "index-limit":
            return lambda machine: index < self.limit(machine)
        return always_compared if self.compared == "all" else _never_compared


def _never_compared(_machine: Version) -> bool:
    return False


_LIMITS: Limits = (((4, 1), 10), (None, 12))

NAMED: dict[str, Policy] = {
    policy.name: policy
    for policy in (
        Policy(
            name="as-posted",
            summary="sent when given and not the default; always compared",
        ),
        Policy(
            name="max-cap",
            summary="sent as before; compared up to a highest index by machine type",
            compared="index-limit",
            limits=_LIMITS,
        ),
        Policy(
            name="mig-cap-num",
            summary="sent and compared up to a number of capabilities by machine type",
            sent="index-limit",
            compared="index-limit",
            limits=_LIMITS,
        ),
        Policy(
            name="needed-hook",
            summary="sent by machine type, through the needed hook alone; always compared",
            sent="from-machine",
            machine=(4, 2),
        ),
        Policy(
            name="pre-4.2-flag",
            summary="sent and compared by a flag of the machine type",
            sent="from-machine",
            compared="from-machine",
            machine=(4, 2),
        ),
        Policy(
            name="no-check",
            summary="neither sent nor compared: the objects that exist decide",
            sent="never",
            compared="never",
        ),
    )
}


def read_policy(table: Table) -> Policy:
    """A ``[[policy]]`` of a plan: ``name`` of a known one, or its rules.

    :raise PlanError: When it is neither.
    """
    name = table.get("name", str)
    if name in NAMED and not table.has("sent") and not table.has("compared"):
        known = NAMED[name]
        summary = table.get("summary", str, known.summary)
        table.finish()
        return dataclasses.replace(known, summary=summary)
    sent = table.get("sent", str, "changed")
    compared = table.get("compared", str, "all")
    for value, known_rules, key in ((sent, SENT, "sent"), (compared, COMPARED, "compared")):
        if value not in known_rules:
            raise table.error(f"{key} must be one of {', '.join(known_rules)}, not {quoted(value)}")
    rules = (sent, compared)
    limits: list[tuple[Version | None, int]] = []
    for item in table.tables("limit"):
        limits.append((item.version("to") if item.has("to") else None, item.get("below", int)))
        item.finish()
    if "index-limit" in rules and (not limits or limits[-1][0] is not None):
        raise table.error("index-limit needs limit = [{ to = '4.1', below = 10 }, { below = 12 }]")
    if "from-machine" in rules and not table.has("machine"):
        raise table.error("from-machine needs machine = '4.2'")
    found = Policy(
        name=name,
        summary=table.get("summary", str, ""),
        sent=sent,
        compared=compared,
        machine=table.version("machine") if table.has("machine") else (0, 0),
        limits=tuple(limits),
    )
    table.finish()
    return found


__all__ = ["NAMED", "Policy", "SendContext", "read_policy"]
