"""Routes: the shortest chain, each hop with what the VM looks like after the one before."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from migratable.check import check
from migratable.errors import QemuError
from migratable.profile.collect import collect
from migratable.profile.model import Profile
from migratable.profile.store import Store
from migratable.rehearse.resave import resaved
from migratable.releases import QemuVersion
from migratable.route import hop as hops
from migratable.route import search as routes
from migratable.route.hop import Hop, Host, put
from migratable.route.search import Route, find_route
from migratable.serve.schemas import schemas
from migratable.stream import Section, Stream, read
from migratable.stream.edit import append_section, full_section, make_stream
from migratable.stream.vmdesc import VmDevice, VmField, VmsdBody
from migratable.verdict import Basis, Outcome, Refusal, Verdict
from tests.conftest import Lab

pytestmark = pytest.mark.slow

NO_PROFILE = Profile(version=QemuVersion(1, 0), machine="none")


def stream(*names: str) -> Stream:
    """A stream that only has names: its shape says which hosts it passed."""
    found = make_stream("none", [])
    for number, name in enumerate(names):
        found = append_section(found, full_section(name, 0, 1, b"", section_id=number))
    return found


class World:
    """Which host takes whom: arrows by name, ``a-b`` is sure and ``a?b`` is not known."""

    def __init__(self, *arrows: str) -> None:
        self.arrows = set(arrows)
        self.asked: list[str] = []

    def put(self, found: Stream, host: Host, *, onward: bool, **_: Any) -> Hop:
        here = found.devices[-1].idstr
        self.asked.append(f"{here}-{host.name}")
        outcome = Outcome.REFUSED
        if f"{here}-{host.name}" in self.arrows:
            outcome = Outcome.LOADS
        elif f"{here}?{host.name}" in self.arrows:
            outcome = Outcome.UNKNOWN
        verdict = Verdict(outcome=outcome, basis=Basis.PREDICTED)
        if outcome is Outcome.REFUSED or not onward:
            return Hop(host=host.name, verdict=verdict)
        if f"{here}-{host.name}!" in self.arrows:
            return Hop(host=host.name, verdict=verdict, stuck="it cannot")
        after = stream(host.name)
        return Hop(host=host.name, verdict=verdict, after=after, after_basis=Basis.PREDICTED)


def search(
    monkeypatch: pytest.MonkeyPatch, world: World, via: str, *, most: int = 3
) -> tuple[Route, list[str]]:
    monkeypatch.setattr(routes, "put", world.put)
    named = [Host(name=name, profile=NO_PROFILE) for name in via]
    goal = Host(name="z", profile=NO_PROFILE)
    found = find_route(stream("s"), goal, named, most=most)
    return found, [one.host for one in found.hops]


def test_the_direct_way_asks_nobody_else(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World("s-z", "s-a", "a-z")
    found, way = search(monkeypatch, world, "abc")
    assert (found.outcome, way, world.asked) == (Outcome.LOADS, ["z"], ["s-z"])


def test_the_shortest_way_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World("s-a", "a-b", "b-z", "s-c", "c-z", "s-b!")
    found, way = search(monkeypatch, world, "abc")
    assert (found.outcome, way) == (Outcome.LOADS, ["c", "z"])
    assert found.direct.outcome is Outcome.REFUSED
    assert world.asked.count("s-z") == 1


def test_circles_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hosts that send a VM to and fro are passed once each, equal states are not asked again."""
    letters = "abcdef"
    world = World(*(f"{one}-{other}" for one in "s" + letters for other in letters))
    found, way = search(monkeypatch, world, letters, most=6)
    assert (found.outcome, way) == (Outcome.REFUSED, [])
    # s and six states; after each host the VM is the same however it came there.
    assert world.asked.count("a-z") == 1
    assert len(world.asked) < 100


def test_no_way_and_what_was_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World("s-a", "a-b", "b-c", "c-z")
    assert search(monkeypatch, world, "abc")[1] == ["a", "b", "c", "z"]
    found, way = search(monkeypatch, world, "abc", most=2)
    assert (found.outcome, way) == (Outcome.REFUSED, [])
    assert found.left_out == ("ways over more than 2 hosts",)
    found, way = search(monkeypatch, world, "")
    assert (found.outcome, way, found.left_out) == (Outcome.REFUSED, [], ())


def test_who_cannot_leave_again_is_no_host_in_between(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World("s-a", "s-a!", "a-z")
    found, _ = search(monkeypatch, world, "a")
    assert found.outcome is Outcome.REFUSED
    assert [one.hop.stuck for one in found.tried] == ["", "it cannot"]


def test_what_is_not_known_is_second_best(monkeypatch: pytest.MonkeyPatch) -> None:
    """A longer sure way is better than a shorter one with an unknown hop; never called sure."""
    world = World("s?z", "s-a", "a-b", "b-z")
    assert search(monkeypatch, world, "ab")[1] == ["a", "b", "z"]
    found, way = search(monkeypatch, World("s?z"), "ab")
    assert (found.outcome, way) == (Outcome.UNKNOWN, ["z"])
    found, way = search(monkeypatch, World("s?a", "a-z"), "ab")
    assert (found.outcome, way) == (Outcome.UNKNOWN, ["a", "z"])
    found, way = search(monkeypatch, World("s?a"), "ab")
    assert (found.outcome, way) == (Outcome.REFUSED, [])


def section(name: str, body: bytes, *fields: tuple[str, int], sub: str = "") -> Section:
    subsections = (VmsdBody(name=sub, version=1),) if sub else ()
    described = VmDevice(
        idstr=name,
        instance_id=0,
        body=VmsdBody(
            name=name,
            version=1,
            fields=tuple(VmField(name=one, type="uint8", size=size) for one, size in fields),
            subsections=subsections,
        ),
    )
    return full_section(name, 0, 1, body, section_id=1, description=described)


def test_a_predicted_save(monkeypatch: pytest.MonkeyPatch) -> None:
    """Same form: the VM's contents and subsections; another: power-on state, and that is said."""
    own = make_stream(
        "pc",
        [section("a", b"\0", ("x", 1)), section("b", b"\0\0", ("x", 1), ("y", 1))],
    )
    arriving = make_stream(
        "pc",
        [
            section("b", b"\7", ("x", 1)),
            section("a", b"\5", ("x", 1), sub="a/sub"),
            section("c", b"\6", ("x", 1)),
        ],
    )
    after, assumed = resaved(arriving, own)
    assert [(one.idstr, bytes(one.body)) for one in after.devices] == [
        ("a", b"\5"),
        ("b", b"\0\0"),
        ("c", b"\6"),
    ]
    first = after.devices[0].description
    assert first is not None
    assert [one.name for one in first.body.subsections] == ["a/sub"]
    assert len({one.section_id for one in after.devices}) >= 2
    assert "section 'b' 0" in assumed[1]
    assert "section 'c' 0" in assumed[2]


@pytest.fixture(scope="module")
def machines(lab: Lab) -> Mapping[str, Profile]:
    """One x86 machine on four releases."""
    line = (
        "-M pc-q35-5.2 -m 64M -nodefaults -device virtio-rng-pci -device e1000 "
        "-device virtio-net-pci -device ich9-intel-hda -device qemu-xhci -vga std -serial null"
    )
    found = {}
    for release in ("5.2", "7.2", "10.0", "11.1"):
        lab(release)
        found[release] = collect(f"qemu-system-x86_64 {line}", release=release)
    return found


@pytest.mark.real
def test_predicted_and_real_saves_meet_the_same_verdicts(machines: Mapping[str, Profile]) -> None:
    """What a host would send on, predicted and by its program, is judged alike by every host."""
    differ = []
    compared = 0
    for first, profile in machines.items():
        arriving = read(profile.stream)
        for second, between in machines.items():
            host = Host(name=second, profile=between)
            real = put(arriving, host, onward=True)
            guess = put(arriving, host, onward=True, rehearse=False)
            if guess.verdict.outcome is not Outcome.REFUSED:
                assert real.verdict.basis is Basis.REHEARSED, real
            assert real.verdict.outcome is guess.verdict.outcome
            if real.after is None:
                assert guess.after is None
                continue
            assert guess.after is not None
            assert (real.after_basis, guess.after_basis) == (Basis.REHEARSED, Basis.PREDICTED)
            assert guess.assumed
            for third, last in machines.items():
                outcomes = [check(one, last).outcome for one in (real.after, guess.after)]
                compared += 1
                if outcomes[0] is not outcomes[1]:
                    differ.append((first, second, third, outcomes))
    assert compared >= 40
    assert differ == []


LINE = "-M pseries-5.2{} -cpu POWER9 -m 256M -nodefaults"


@pytest.fixture(scope="module")
def stored(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The processor story: POWER9 was v2.0 and is v2.2; a compatibility mode takes either."""
    folder = tmp_path_factory.mktemp("data")
    for name, release, option in (
        ("old", "5.2", ""),
        ("middle", "7.2", ""),
        ("compat", "10.0", ",max-cpu-compat=power9"),
        ("same", "10.0", ""),
        ("new", "11.1", ""),
    ):
        lab(release, "ppc64")
        words = f"qemu-system-ppc64 {LINE.format(option)}"
        Store(folder).save(name, collect(words, release=release))
    return folder


def run(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "migratable", "route", *words],
        env={**os.environ, "MIGRATABLE_DATA": str(folder)},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )


@pytest.mark.real
def test_a_way_round_a_processors_version(stored: Path) -> None:
    """Refused directly and over 7.2; over a 10.0 with max-cpu-compat it arrives, really."""
    done = run(stored, "old", "--to", "new", "--via", "middle,same", "--via", "compat", "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["schema"] == "migratable.route/1"
    fits(found)
    assert found["outcome"] == "loads"
    assert [hop["host"] for hop in found["hops"]] == ["compat", "new"]
    assert [hop["verdict"]["basis"] for hop in found["hops"]] == ["rehearsed", "rehearsed"]
    assert [hop["after"] for hop in found["hops"]] == ["rehearsed", None]
    assert found["direct"]["verdict"] == "refused"
    assert found["direct"]["first_refusal"]["rule"] == "cpu-identity"
    ways = {(*one["path"], one["host"]): one["verdict"]["verdict"] for one in found["tried"]}
    assert ways[("same",)] == ways["middle", "new"] == "refused"

    text = run(stored, "old", "--to", "new").stdout
    assert "BY A ROUTE  over compat" in text
    assert "cpu-identity" in text
    done = run(stored, "old", "--to", "new", "--via", "middle,same", "--json")
    assert done.returncode == 1
    assert json.loads(done.stdout)["hops"] == []
    done = run(stored, "old", "--to", "new", "--most", "0")
    assert done.returncode == 1
    assert "Not tried: ways over more than 0 hosts" in done.stdout
    done = run(stored, "old", "--to", "middle", "--json")
    assert done.returncode == 0
    assert [hop["host"] for hop in json.loads(done.stdout)["hops"]] == ["middle"]


def fits(document: Any) -> None:
    """Hold a result against its schema."""
    jsonschema = importlib.import_module("jsonschema")
    schema = {"$ref": "#/components/schemas/Route", "components": {"schemas": schemas()}}
    jsonschema.Draft202012Validator(schema).validate(document)


@pytest.mark.real
def test_predicted_only_it_says_what_it_assumed(stored: Path) -> None:
    done = run(stored, "old", "--to", "new", "--via", "compat", "--predict", "--json")
    assert done.returncode == 0, done.stderr
    first, last = json.loads(done.stdout)["hops"]
    assert first["verdict"]["basis"] == last["verdict"]["basis"] == "predicted"
    assert first["after"] == "predicted"
    assert "sent on unchanged" in first["assumed"][0]


@pytest.mark.real
def test_without_the_program_it_predicts_and_says_so(
    machines: Mapping[str, Profile], monkeypatch: pytest.MonkeyPatch
) -> None:
    version = replace(machines["10.0"].version, micro=99)  # the lab has none of it
    profile = replace(machines["10.0"], program=("/nonexistent/qemu",), version=version)
    found = put(read(machines["7.2"].stream), Host(name="h", profile=profile), onward=True)
    assert found.verdict.basis is Basis.PREDICTED
    assert any("neither in the lab nor on PATH" in text for text in found.verdict.unchecked)
    assert found.after_basis is Basis.PREDICTED

    def fails(*_: object, **__: object) -> None:
        raise QemuError("it hung")

    monkeypatch.setattr(hops, "try_destination", fails)
    found = put(read(machines["7.2"].stream), Host(name="h", profile=machines["10.0"]), onward=True)
    assert found.verdict.basis is Basis.PREDICTED
    assert "the rehearsal failed: it hung" in found.verdict.unchecked


@pytest.mark.real
def test_a_rehearsal_that_differs_has_the_last_word(
    machines: Mapping[str, Profile], monkeypatch: pytest.MonkeyPatch
) -> None:
    refusal = Refusal(rule="r", message="no")
    verdict = Verdict(outcome=Outcome.REFUSED, basis=Basis.REHEARSED, first_refusal=refusal)
    monkeypatch.setattr(hops, "rehearsed", lambda _: verdict)
    found = put(read(machines["7.2"].stream), Host(name="h", profile=machines["10.0"]), onward=True)
    assert (found.verdict.outcome, found.after) == (Outcome.REFUSED, None)


def test_mistakes(tmp_path: Path) -> None:
    for words in (["x"], ["x", "--to", "y"], ["x", "--to", "y", "--most", "-1"]):
        done = run(tmp_path, *words)
        assert done.returncode == 2
        assert done.stdout == ""
        assert "Traceback" not in done.stderr
