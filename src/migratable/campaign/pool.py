"""What the machines of a campaign may be made of."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

from migratable.campaign.inventory import Inventory
from migratable.campaign.kinds import Kind, held_out, kinds

STRAY = 0.03
"""How often something is taken that only the source has."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pool:
    """What may be used: by the source, and by everybody who takes part.

    :ivar held_out: also the kinds that are held out, and at least one of them.
    """

    arch: str
    source: Inventory
    everybody: tuple[Inventory, ...]
    held_out: bool = False

    def has(self, rng: random.Random, test: Callable[[Inventory], bool]) -> bool:
        """May a machine use this? Nearly always only what all sides have."""
        if not test(self.source):
            return False
        return all(test(inventory) for inventory in self.everybody) or rng.random() < STRAY

    def allows(self, group: str, name: str) -> bool:
        """Is this kind part of this campaign?"""
        return self.held_out or not held_out(group, name)

    def kinds(self) -> list[Kind]:
        """Kinds of devices for this target."""
        return [
            kind
            for kind in kinds().values()
            if kind.fits(self.arch) and self.allows("kind", kind.name)
        ]
