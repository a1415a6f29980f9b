"""Builds that are not upstream releases: backported, dropped and planned capabilities.

A downstream build is a file of its own::

    name = "4.1-acme"
    base = "4.1"                       # upstream release that it is made from
    drop = ["htm"]                     # capabilities that it has no longer

    [[backport]]                       # as a later release has it
    name = "fwnmi"
    from = "5.0"

    [[capability]]                     # one that no release has
    name = "xics"
    index = 10
    kind = "bool"                      # bool, string (with values), size
    subsection = "spapr/cap/xics"      # default: spapr/cap/NAME
    default = [{ to = "4.0", level = 0 }, { level = 1 }]   # by machine type, first match
    lost = "power9"                    # the default is 0 when the CPU cannot run this mode
    sent = "changed"                   # changed, never, always, or not-pre-4.1
    [capability.given_by.ic-mode]      # an option that sets it too
    xics = 1
    xive = 0
    dual = 1
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from pathlib import Path
from typing import Literal, cast

from migratable.errors import CommandLineError, PlanError
from migratable.printable import quoted
from migratable.pseries.build import Build, release
from migratable.pseries.capability import SENT_RULES, Capability, SendContext, SentRule, Version
from migratable.pseries.tables import Table, read_table

KINDS = ("bool", "string", "size")


def sent_always(_at: SendContext) -> bool:
    """Sent whatever the level, given or not."""
    return True


RULES: dict[str, SentRule] = {**SENT_RULES, "always": sent_always}


def read(path: Path) -> Build:
    """The build that a file describes.

    :raise PlanError: When the file is wrong, with its place.
    """
    table = read_table(path)
    found = build(table)
    table.finish()
    return found


def build(table: Table) -> Build:
    """The build of one table (``name``, ``base``, ``drop``, ``backport``, ``capability``).

    :raise PlanError: When something in it is wrong.
    """
    name = table.get("name", str)
    base = upstream(table, "base")
    capabilities = list(base.capabilities)
    for dropped in table.texts("drop", []):
        left = [cap for cap in capabilities if cap.name != dropped]
        if len(left) == len(capabilities):
            raise table.error(f"drop: QEMU {base.name} has no capability {quoted(dropped)}")
        capabilities = left
    for item in table.tables("backport"):
        origin = upstream(item, "from")
        try:
            capabilities.append(origin.capability(item.get("name", str)))
        except CommandLineError as error:
            raise item.error(str(error)) from None
        item.finish()
    capabilities += [capability(item) for item in table.tables("capability")]
    return with_capabilities(base, name, capabilities, table)


def with_capabilities(
    base: Build, name: str, capabilities: Iterable[Capability], place: Table
) -> Build:
    """*base* under another name with these capabilities, in the order of their indexes.

    :raise PlanError: When two have the same name, index or subsection.
    """
    ordered = tuple(sorted(capabilities, key=lambda cap: cap.index))
    for what in ("name", "index", "subsection"):
        seen: dict[object, str] = {}
        for cap in ordered:
            value = getattr(cap, what)
            if value in seen and value != "":
                raise place.error(f"{cap.name} and {seen[value]} have the same {what}: {value}")
            seen[value] = cap.name
    return dataclasses.replace(base, name=name, capabilities=ordered)


def upstream(table: Table, key: str) -> Build:
    """The upstream release that a member names."""
    try:
        return release(table.get(key, str))
    except CommandLineError as error:
        raise table.error(f"{key}: {error}") from None


def capability(table: Table) -> Capability:
    """A capability that a table defines.

    :raise PlanError: When something in it is wrong.
    """
    name = table.get("name", str)
    kind = table.get("kind", str, "bool")
    if kind not in KINDS:
        raise table.error(f"kind must be one of {', '.join(KINDS)}, not {quoted(kind)}")
    values = table.texts("values", [])
    if (kind == "string") != bool(values):
        raise table.error("values belong to kind = 'string', and it needs them")
    sent = table.get("sent", str, "changed")
    if sent not in RULES:
        raise table.error(f"sent must be one of {', '.join(RULES)}, not {quoted(sent)}")
    index = table.get("index", int)
    if not 0 <= index < 256:
        raise table.error(f"index must be from 0 to 255, not {index}")
    found = Capability(
        name=name,
        index=index,
        kind=cast('Literal["bool", "string", "size"]', kind),
        subsection=table.get("subsection", str, f"spapr/cap/{name.replace('-', '_')}"),
        description=table.get("description", str, ""),
        values=tuple(values),
        defaults=_defaults(table),
        lost=table.get("lost", str, "") or None,
        sent=RULES[sent],
        given_by=_given_by(table),
    )
    table.finish()
    return found


def _defaults(table: Table) -> tuple[tuple[Version | None, int], ...]:
    found: list[tuple[Version | None, int]] = []
    for item in table.tables("default"):
        level = item.get("level", int)
        if not 0 <= level < 256:
            raise item.error(f"level must be from 0 to 255, not {level}")
        found.append((item.version("to") if item.has("to") else None, level))
        item.finish()
    if not found or found[-1][0] is not None:
        raise table.error("default needs a last entry without `to`: default = [{ level = 1 }]")
    return tuple(found)


def _given_by(table: Table) -> dict[str, dict[str, int]]:
    found: dict[str, dict[str, int]] = {}
    for option, values in table.table("given_by").items():
        if option != "ic-mode":
            raise table.error(f"given_by: only ic-mode can be an alias, not {quoted(option)}")
        if not isinstance(values, dict) or set(values) != {"xics", "xive", "dual"}:
            raise table.error("given_by.ic-mode needs a level for xics, xive and dual")
        levels = Table(values, f"{table.place}: given_by: ic-mode")
        found[option] = {str(value): levels.get(value, int) for value in values}
    return found


__all__ = ["PlanError", "build", "capability", "read", "with_capabilities"]
