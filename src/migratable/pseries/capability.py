"""One capability of the pseries machine: levels, defaults, and when it is sent and compared.

Source: ``hw/ppc/spapr_caps.c``: ``SpaprCapabilityInfo``, ``SPAPR_CAP_MIG_STATE``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from migratable.errors import CommandLineError
from migratable.printable import quoted
from migratable.releases import Release

Version: TypeAlias = Release


def parse_version(text: str) -> Version:
    """``"4.1"``, ``"10.0.13"`` or ``"2.12-sxxm"`` to (major, minor).

    :raise CommandLineError: When *text* does not begin with two numbers.
    """
    match = re.match(r"(\d+)\.(\d+)(?=$|[.\-+~])", text)
    if match is None:
        raise CommandLineError(f"{quoted(text)} is not a QEMU release: give it as '7.2' or '10.0'")
    return int(match[1]), int(match[2])


@dataclass(frozen=True, slots=True, kw_only=True)
class SendContext:
    """What a source knows when it decides whether to send a capability.

    :ivar given: it was set on the command line (``cmd_line_caps``).
    :ivar level: the level in force (``eff``).
    :ivar default: the default of this machine, CPU and ``max-cpu-compat`` (``def``).
    :ivar machine: the machine type's version.
    """

    given: bool
    level: int
    default: int
    machine: Version


SentRule = Callable[[SendContext], bool]
ComparedRule = Callable[[Version], bool]


def sent_when_changed(context: SendContext) -> bool:
    """2.12 to 4.0 and from 10.2 on; without a hook in between too: given, and not the default."""
    return context.given and context.level != context.default


def sent_unless_pre_4_1(context: SendContext) -> bool:
    """``cap_hpt_maxpagesize_migrate_needed``, 4.1 to 10.1: the machine type alone decides.

    ``needed ? needed(opaque) : true && given && changed`` reads as if both had to hold; C binds it
    as ``needed ? needed(opaque) : (true && given && changed)``.
    """
    return context.machine >= (4, 1)


def never_sent(_at: SendContext) -> bool:
    """No subsection exists (hpt-max-page-size before 4.1, ail-mode-3 in 8.1 to 9.0)."""
    return False


def always_compared(_machine: Version) -> bool:
    """``spapr_caps_post_migration`` looks at every index, in every release."""
    return True


SENT_RULES: Mapping[str, SentRule] = {
    "changed": sent_when_changed,
    "not-pre-4.1": sent_unless_pre_4_1,
    "never": never_sent,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One test of a capability's ``apply`` function under TCG.

    It fires when the level is above ``above`` (or below ``below``), unless the machine has
    ``unless``: a processor feature (``isa-3.00``), ``mode-power9`` (compat mode possible),
    ``one-thread``, ``no-nested-hv``.
    """

    above: int | None = None
    below: int | None = None
    unless: str = ""
    error: str = ""
    warning: str = ""
    hint: str = ""

    def fires(self, level: int, has: frozenset[str]) -> bool:
        """Does it warn or refuse at this level, given what the machine has?"""
        hit = (self.above is not None and level > self.above) or (
            self.below is not None and level < self.below
        )
        return hit and (not self.unless or self.unless not in has)


@dataclass(frozen=True, slots=True, kw_only=True)
class Capability:
    """A capability as one release has it.

    :ivar defaults: (last machine version or None, level), first match wins.
    :ivar special: levels of machine types by name (``2.12-sxxm``).
    :ivar lost: compat mode without which the default is 0, None when the CPU does not matter.
    :ivar given_by: option that sets it too, by value: an alias as ``ic-mode`` would have been.
    """

    name: str
    index: int
    kind: Literal["bool", "string", "size"]
    subsection: str
    description: str = ""
    help: str = ""
    values: tuple[str, ...] = ()
    defaults: tuple[tuple[Version | None, int], ...] = ((None, 0),)
    special: Mapping[str, int] = field(default_factory=dict)
    lost: str | None = None
    checks: tuple[Check, ...] = ()
    sent: SentRule = sent_when_changed
    compared: ComparedRule = always_compared
    given_by: Mapping[str, Mapping[str, int]] = field(default_factory=dict)

    @property
    def property_name(self) -> str:
        """The machine property: ``cap-htm``."""
        return f"cap-{self.name}"

    def class_default(self, name: str, version: Version) -> int:
        """Level of the machine class, before the CPU rule. *name* without ``pseries-``."""
        if name in self.special:
            return self.special[name]
        return next(level for to, level in self.defaults if to is None or version <= to)

    def value_name(self, level: int) -> str:
        """The level as one would give it on a command line."""
        if self.kind == "bool":
            return "on" if level else "off"
        if self.kind == "string":
            return self.values[level] if level < len(self.values) else str(level)
        size = 1 << level
        for suffix, shift in (("G", 30), ("M", 20), ("k", 10)):
            if size >= 1 << shift:
                return f"{size >> shift}{suffix}"
        return str(size)

    def higher_line(self, source: int, destination: int) -> str:
        """The error that refuses the stream (``spapr_caps_post_migration``)."""
        return (
            f"cap-{self.name} higher level ({source}) in incoming stream "
            f"than on destination ({destination})"
        )

    def lower_line(self, source: int, destination: int) -> str:
        """The warning; the stream still loads."""
        return (
            f"warning: cap-{self.name} lower level ({source}) in incoming stream "
            f"than on destination ({destination})"
        )
