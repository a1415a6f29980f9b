"""A case of a campaign: one source and its destinations."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """A release and its arguments.

    :ivar run: seconds that the source's firmware runs before it is saved.
    :ivar changes: names of the mutations.
    """

    release: str
    arch: str
    argv: tuple[str, ...]
    run: float = 0.0
    changes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """One source with its destinations.

    :ivar label: ``SEED:NUMBER``, which makes it again.
    """

    label: str
    source: Side
    destinations: tuple[Side, ...] = field(default=())
