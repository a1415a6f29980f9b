"""Builds that are not known: what their tables tell, and what their code might do."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from migratable.check import check
from migratable.check.verdict import CODE_UNKNOWN
from migratable.facts.code import Code, builds, code, is_known
from migratable.profile import bundled
from migratable.profile.model import Profile
from migratable.profile.tables import Flag, VmField, Vmsd
from migratable.stream import read
from migratable.verdict import Outcome, Verdict

NAME = "pseries-10.0"


def foreign(change: Callable[[Vmsd], Vmsd] = lambda vmsd: vmsd, name: str = "timer") -> Profile:
    """The bundled destination as another build's, the description of *name* changed."""
    found = bundled.load(NAME)
    assert found.loader is not None
    index = next(one.vmsd for one in found.loader.handlers if one.idstr == name)
    assert index is not None
    vmsds = list(found.loader.vmsds)
    vmsds[index] = change(vmsds[index])
    return replace(found, loader=replace(found.loader, vmsds=tuple(vmsds), build_id="abcd"))


def judged(profile: Profile) -> Verdict:
    return check(read(profile.stream), profile)


def test_the_labs_builds_are_known() -> None:
    found = bundled.load(NAME)
    assert found.loader is not None
    assert is_known(found.loader.build_id, found.loader.digests)
    assert not is_known(found.loader.build_id, ("0" * 64,))  # changed since it was built
    assert not is_known(found.loader.build_id, (*found.loader.digests, "0" * 64))  # a module
    assert {one.release for one in builds().values()} == {"5.2", "7.2", "10.0", "11.1"}
    verdict = judged(found)
    assert verdict.outcome is Outcome.LOADS
    assert verdict.final
    assert CODE_UNKNOWN not in verdict.unchecked


def test_an_unknown_build_says_so() -> None:
    verdict = judged(foreign())
    assert verdict.outcome is Outcome.LOADS
    assert not verdict.final
    assert CODE_UNKNOWN in verdict.unchecked
    assert verdict.to_json()["final"] is False


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda vmsd: replace(vmsd, hooks=vmsd.hooks | {"pre_load"}), "timer has a pre_load hook"),
        (
            lambda vmsd: replace(vmsd, hooks=vmsd.hooks | {"post_load_errp"}),
            "timer has a post_load hook",
        ),
        (
            lambda vmsd: replace(
                vmsd,
                fields=(
                    *vmsd.fields,
                    VmField(name="sane", flags=int(Flag.ARRAY | Flag.MUST_EXIST), test=1),
                ),
            ),
            "timer:sane has a validator",
        ),
        (
            lambda vmsd: replace(vmsd, fields=(replace(vmsd.fields[0], test=1), *vmsd.fields[1:])),
            "timer:cpu_ticks_offset has a test",
        ),
    ],
)
def test_new_code_makes_a_section_unknown(change: Callable[[Vmsd], Vmsd], said: str) -> None:
    verdict = judged(foreign(change))
    assert verdict.outcome is Outcome.UNKNOWN
    assert f"timer: code that no known build has ({said})" in verdict.unchecked


def test_fewer_hooks_are_no_novelty() -> None:
    profile = foreign(lambda vmsd: replace(vmsd, hooks=frozenset()), "cpu")
    assert judged(profile).outcome is not Outcome.UNKNOWN


def test_which_releases_tell_about_one() -> None:
    made = Code(
        releases=((5, 2), (7, 2), (10, 0)),
        hooks={"a": {"post_load": 0b001}, "b": {"post_load": 0b100}},
        tests={},
    )

    def told(name: str, release: tuple[int, int]) -> bool:
        return not list(made.novelties(name, frozenset({"post_load_errp"}), (), release))

    assert [told("a", one) for one in ((4, 2), (5, 2), (6, 0), (7, 2), (8, 0), (12, 0))] == [
        True,
        True,
        True,
        False,
        False,
        False,
    ]
    assert told("b", (10, 0)) and told("b", (8, 0)) and told("b", (12, 0))
    assert not told("b", (6, 0))


def test_the_manifest_has_what_the_engine_models() -> None:
    """Each description with modelled hooks is in the manifest, unless the lab's boards lack it."""
    assert code().hooks["cpu_common"]["pre_load"] == 0b1111
    assert code().tests["eeprom"]["size"] == 0b1111
    assert code().tests["hpet"].keys() >= {"!num_timers must match"}
