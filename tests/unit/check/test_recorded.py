"""Every recorded pair replayed without QEMU: the same answers, and real QEMU's."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from migratable.check import check
from migratable.releases import QemuVersion
from migratable.verdict import Outcome
from tests import recorded

KNOWN = recorded.recorded()
#: Targets whose devices' hooks were gone through; of others only the outcome is compared.
AUDITED = {"x86_64", "ppc64", "aarch64"}
PAIRS = tuple(recorded.pairs())


def test_all_pairs_are_recorded() -> None:
    assert {f"{source} > {destination}" for source, destination in PAIRS} == set(KNOWN)
    assert len(recorded.names()) == 16


@pytest.mark.parametrize(("source", "destination"), PAIRS)
def test_pair(source: str, destination: str) -> None:
    known: dict[str, Any] = KNOWN[f"{source} > {destination}"]
    origin = recorded.profile(source) if source in recorded.names() else None
    verdict = check(recorded.source(source), recorded.profile(destination), origin=origin)
    real = known["real"]
    if verdict.outcome is not Outcome.UNKNOWN and real["outcome"] != "unknown":
        assert str(verdict.outcome) == real["outcome"]
    if recorded.profile(destination).target in AUDITED:
        assert recorded.digest(verdict) == known["predicted"]
        if verdict.outcome is not Outcome.UNKNOWN and real["outcome"] != "unknown":
            assert list(verdict.stderr) == real["stderr"]


@pytest.mark.parametrize("name", recorded.names())
def test_own_stream_is_clean(name: str) -> None:
    """What a destination sends itself it takes, to the byte and without a word."""
    verdict = check(recorded.source(name), recorded.profile(name), origin=recorded.profile(name))
    assert verdict.outcome is not Outcome.REFUSED
    assert verdict.findings == ()
    if recorded.profile(name).target in AUDITED:
        assert verdict.outcome is Outcome.LOADS


@pytest.mark.parametrize("source", ["pseries-5.2", "pseries-10.0-other", "7.2-pseries"])
def test_a_new_release_answers_as_the_newest_known(source: str) -> None:
    """Nothing that a profile's tables tell depends on the number of its release."""
    known = recorded.profile("pseries-11.1")
    renamed = replace(known, version=QemuVersion(11, 2, 0))
    verdict = check(recorded.source(source), renamed)
    assert recorded.digest(verdict) == recorded.digest(check(recorded.source(source), known))
    own = check(recorded.source("pseries-11.1"), renamed)
    assert own.outcome is Outcome.LOADS
