"""hw/sd/sd.c: what an SD card does before it is loaded."""

from __future__ import annotations

from collections.abc import Iterator

from migratable.check.devices import pre_load
from migratable.check.events import BodyEntered
from migratable.check.problem import MessageRef, Problem
from migratable.facts.behaviour import assertion


@pre_load("sd-card")
def powered_up(event: BodyEntered) -> Iterator[Problem]:
    """sd_vmstate_pre_load: power the card up, which asserts that it is not so already.

    A card that waits for its power sends ``sd-card/ocr-state``, and a card on SPI
    (``sd-card-spi``, 9.1 and later) never waits: no release loads its own.
    """
    own = event.body.own
    if own is None or "sd-card/ocr-state" in own.subsections:
        return
    place = assertion(event.release, "sd-powered-up")
    words: tuple[MessageRef, ...] = () if place is None else (("sd-assertion", place),)
    yield Problem(
        rule="post-load",
        summary="the destination's program aborts: its SD card is powered up before it is loaded",
        explanation="A card on SPI (sd-card-spi) always is. No release loads such a card.",
        words=words,
        aborts=True,
    )
