"""What a host check is, and what it gets."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from migratable.hosts.needs import Needs
from migratable.verdict import Finding, Hint, Severity, Side


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """A guest, the host it runs on, and the one it is to move to.

    :ivar source: what :func:`migratable.hosts.looks.look` saw there.
    :ivar destination: the same on the other side.
    :ivar skew: seconds by which the destination's clock is ahead of the source's.
    :ivar ram: bytes of guest memory.
    :ivar release: of the source's QEMU (``7.2.22``).
    :ivar arrived: what the destination said (:mod:`migratable.hosts.arrival`); empty when it could
        not be asked.
    :ivar back: the same of the way home; None when it was not tried.
    :ivar no_way_back: why it was not tried.
    :ivar capabilities: migration capabilities that are on at the source.
    :ivar copies_storage: are the disks copied along?
    :ivar not_seen: what checks could not look at; they add to it.
    """

    needs: Needs
    source: Mapping[str, Any]
    destination: Mapping[str, Any]
    skew: float = 0.0
    ram: int = 0
    release: str = ""
    arrived: Mapping[str, Any] = field(default_factory=dict)
    back: Mapping[str, Any] | None = None
    no_way_back: str = ""
    capabilities: tuple[str, ...] = ()
    copies_storage: bool = False
    not_seen: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class HostCheck:
    """One check.

    :ivar severity: the gravest that it finds.
    """

    id: str
    severity: Severity
    check: Callable[[Pair], Iterator[Finding]]


def found(
    rule: str,
    severity: Severity,
    summary: str,
    *,
    fix: str = "",
    command: str = "",
    lines: str = "",
) -> Finding:
    """A finding about the hosts, with the remedy on the destination."""
    hints = (Hint(action=fix, command=command or None, side=Side.DESTINATION),) if fix else ()
    return Finding(
        rule=rule,
        severity=severity,
        summary=summary,
        stderr=tuple(lines.splitlines()),
        hints=hints,
    )


def gib(size: float) -> str:
    """Bytes in a sentence."""
    return f"{size / (1 << 30):.1f} GiB" if size >= 1 << 30 else f"{size / (1 << 20):.0f} MiB"
