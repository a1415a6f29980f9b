"""Damaged streams of the campaign: every kind is made, and only where there is room for it."""

from __future__ import annotations

import gzip
import random

from migratable.campaign.damage import _KINDS, damage
from migratable.profile import bundled
from migratable.stream import read
from migratable.stream.wire_format import SectionKind


def test_every_kind_changes_the_bytes() -> None:
    data = gzip.decompress((bundled.FOLDER / "guest-q35.mig.gz").read_bytes())
    stream, rng, kinds = read(data), random.Random(1), set()
    for _ in range(400):
        change = damage(rng, data, stream)
        if change is not None:
            kinds.add(change.kind)
            assert change.apply(data) != data
    assert kinds == set(_KINDS)


def test_a_machine_that_saves_only_its_memory_has_no_place() -> None:
    data = gzip.decompress((bundled.FOLDER / "guest-q35.mig.gz").read_bytes())
    stream = read(data)
    first = next(one for one in stream.sections if one.kind is SectionKind.FULL)
    assert first.offset is not None
    bare = data[: first.offset] + b"\0"
    assert all(damage(random.Random(seed), bare, read(bare)) is None for seed in range(60))
