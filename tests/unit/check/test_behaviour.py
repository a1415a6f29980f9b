"""``facts/behaviour.toml``: what a release does, where no table of the destination says so."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from migratable import check
from migratable.facts import behaviour
from migratable.facts.behaviour import assertion, behaves, known

DOCUMENT = tomllib.loads(
    (Path(behaviour.__file__).parent / "behaviour.toml").read_text(encoding="utf-8")
)


@pytest.mark.parametrize(
    ("name", "release", "does"),
    [
        ("chained-errors", (10, 1), False),
        ("chained-errors", (10, 2), True),
        ("chained-errors", (99, 0), True),
        ("ram-compressed-pages", (4, 1), True),
        ("ram-compressed-pages", (9, 0), True),
        ("ram-compressed-pages", (9, 1), False),
        ("capability-x-ignore-shared", (1, 0), True),
    ],
)
def test_a_behaviour_has_a_first_and_a_last_release(
    name: str, release: tuple[int, int], does: bool
) -> None:
    assert behaves(release, name) is does


def test_a_name_that_is_not_there_is_a_bug() -> None:
    assert not known("nonesuch")
    with pytest.raises(KeyError):
        behaves((10, 0), "nonesuch")


@pytest.mark.parametrize(
    ("name", "release", "place"),
    [
        ("kvm-msrs", (7, 2), {"file": "../../target/i386/kvm/kvm.c", "line": 3183}),
        ("kvm-msrs", (99, 0), {"file": "target/i386/kvm/kvm.c", "line": 4114}),
        ("sd-powered-up", (11, 1), {"file": "hw/sd/sd.c", "line": 409}),
        ("sd-powered-up", (7, 2), None),
    ],
)
def test_places_of_assertions(
    name: str, release: tuple[int, int], place: dict[str, str | int] | None
) -> None:
    assert assertion(release, name) == place


def test_every_fact_has_an_origin_and_is_used() -> None:
    source = "\n".join(
        path.read_text(encoding="utf-8") for path in Path(check.__file__).parent.rglob("*.py")
    )
    for kind, least in (("behaviour", 12), ("assertion", 4)):
        assert len(DOCUMENT[kind]) >= least
        for name, entry in DOCUMENT[kind].items():
            assert re.search(r"[\w/-]+\.c\b|measured", entry["origin"]), name
            assert f'"{name}"' in source or name.startswith("capability-"), name
