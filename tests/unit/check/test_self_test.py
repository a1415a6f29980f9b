"""The destination's own stream over its own tables: what they do not take is not understood."""

from __future__ import annotations

from dataclasses import replace

import pytest

from migratable.check import check
from migratable.check.baseline import Baseline
from migratable.profile import bundled
from migratable.stream import read
from migratable.verdict import Outcome


@pytest.mark.parametrize("name", bundled.names())
def test_every_bundled_profile_understands_itself(name: str) -> None:
    found = bundled.load(name)
    assert found.loader is not None
    assert Baseline(found, found.loader).not_understood() == ()


def test_a_type_that_reuses_a_name_is_found() -> None:
    """A downstream's own ``get`` under the name of another type reads another number of bytes."""
    found = bundled.load("pseries-10.0")
    assert found.loader is not None
    handler = next(one for one in found.loader.handlers if one.idstr == "timer")
    assert handler.vmsd is not None
    vmsds = list(found.loader.vmsds)
    fields = list(vmsds[handler.vmsd].fields)
    assert fields[0].info == "int64"
    fields[0] = replace(fields[0], info="int32")
    vmsds[handler.vmsd] = replace(vmsds[handler.vmsd], fields=tuple(fields))
    loader = replace(found.loader, vmsds=tuple(vmsds))
    misread = replace(found, loader=loader)
    (reason,) = Baseline(misread, loader).not_understood()
    assert reason == (
        "timer: the destination's own section is not understood: its tables take 20 of 24 bytes"
    )
    verdict = check(read(found.stream), misread)
    assert verdict.outcome is Outcome.UNKNOWN
    assert reason in verdict.unchecked
    assert check(read(found.stream), found).outcome is Outcome.LOADS
