"""Fleets whose hosts are real programs, and real releases against one another."""

from __future__ import annotations

import random
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from migratable.check import check
from migratable.check.baseline import Baseline
from migratable.check.cache.equivalence import kind, shape
from migratable.check.cache.prepared_stream import Streams
from migratable.check.cache.replay_cache import Memo
from migratable.check.verdict import verdict_of
from migratable.commandline import parse
from migratable.errors import DestinationStartError
from migratable.fleet import destinations
from migratable.fleet.cells import State
from migratable.fleet.matrix import run
from migratable.fleet.model import read_fleet
from migratable.fleet.remedies import with_hints
from migratable.fleet.resolve import resolve
from migratable.fleet.way_back import Homes, with_way_back
from migratable.gate.releases import Question, compare
from migratable.lab import Installed
from migratable.profile.collect import collect
from migratable.profile.model import Profile
from migratable.profile.tables import LoaderTables
from migratable.stream import Element, Section, Stream, read

pytestmark = [pytest.mark.real, pytest.mark.slow]
Lab = Callable[..., Installed]
LINE = "qemu-system-x86_64 -M q35 -m 256M -device virtio-rng-pci -name {name} -uuid {uuid}"


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MIGRATABLE_CACHE", str(tmp_path / "cache"))


@pytest.mark.parametrize(("target", "machine"), [("x86_64", "q35"), ("ppc64", "pseries")])
def test_a_destination_is_the_same_however_often_it_is_taken(
    lab: Lab, target: str, machine: str
) -> None:
    """Addresses, clocks and names differ from one start to the next; the key does not."""
    program = " ".join(lab("10.0", target).command)
    words = f"{program} -M {machine} -m 256M -nodefaults"
    one, two = (collect(f"{words} -name {name}") for name in ("a", "b"))
    assert kind(one) == kind(two)
    other = collect(f"{words} -device virtio-rng-pci")
    assert kind(other) != kind(one)
    assert shape(read(one.stream)) != shape(read(other.stream))


def test_a_fleet_with_programs(lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old, new = lab("7.2"), lab("10.0")
    lines = [
        LINE.format(name=f"vm{at}", uuid=f"00000000-0000-0000-0000-00000000000{at}")
        for at in range(2)
    ]
    command = ", ".join(repr(word) for word in new.command)
    remote = f"[{sys.executable!r}, '-m', 'migratable']"
    (tmp_path / "fleet.toml").write_text(
        "".join(
            f"[[vm]]\nname = 'vm{at}'\ncommand-line = '{line}'\nrelease = '7.2'\n"
            for at, line in enumerate(lines)
        )
        + "[[vm]]\nname = 'young'\nrelease = '10.0'\n"
        "command-line = 'qemu-system-x86_64 -M pc-q35-10.0 -m 256M'\n"
        "[[host]]\nname = 'lab'\nrelease = '10.0'\n"
        f"[[host]]\nname = 'here'\ncommand = [{command}]\n"
        f"[[host]]\nname = 'far'\nremote = {remote}\ncommand = [{command}]\n"
        "[[host]]\nname = 'old'\nrelease = '7.2'\n"
    )
    assert old.command
    matrix = run(resolve(read_fleet(tmp_path / "fleet.toml")))
    states = [[matrix.answer(vm, host).state for host in range(4)] for vm in range(3)]
    assert states[0] == states[1]
    assert states[0][0] is states[0][1] is states[0][2]
    assert State.FAILED not in {state for row in states for state in row[:2]}
    # The younger machine type does not exist on the old host: its own words say so.
    assert states[2][3] is State.REFUSED
    verdict = matrix.verdict(2, 3)
    assert verdict is not None
    assert verdict.first_refusal is not None
    assert verdict.first_refusal.rule == "destination-start"
    assert verdict.first_refusal.message == "unsupported machine type"
    # Nothing is started a second time.
    monkeypatch.setattr("migratable.profile.collect.collect", None)
    (tmp_path / "again.toml").write_text(
        (tmp_path / "fleet.toml").read_text().split("[[host]]\nname = 'far'")[0]
    )
    again = run(resolve(read_fleet(tmp_path / "again.toml")))
    assert [again.answer(vm, 0).state for vm in range(3)] == [row[0] for row in states]


def test_both_ways_and_remedies(lab: Lab, tmp_path: Path) -> None:
    """Each VM that loads says whether it comes back; what was tried is counted, also by that."""
    for release in ("7.2", "10.0", "11.1"):
        lab(release)
    plain = "-M pc-q35-7.2 -m 64M -nodefaults"
    lines = {
        "same": plain,
        "no-hpet": f"{plain} -no-hpet",  # removed in 8.0: the remedy is hpet=off
        "more": f"{plain} -device virtio-rng-pci",
    }
    text = "".join(
        f"[[vm]]\nname = '{name}'\nrelease = '7.2'\ncommand-line = 'qemu-system-x86_64 {line}'\n"
        for name, line in lines.items()
    )
    text += "".join(f"[[host]]\nname = '{one}'\nrelease = '{one}'\n" for one in ("10.0", "11.1"))
    (tmp_path / "fleet.toml").write_text(text)
    found = resolve(read_fleet(tmp_path / "fleet.toml"))
    homes = Homes(60.0)
    matrix = with_way_back(run(found), found, homes)
    matrix = with_hints(matrix, found, seconds=60, homes=homes)
    states = [[str(matrix.answer(vm, host).state) for host in range(2)] for vm in range(3)]
    assert states[1] == ["refused", "refused"]
    assert states[0] == states[2] == ["loads", "loads"]
    back = [[matrix.answer(vm, host).comes_back for host in range(2)] for vm in range(3)]
    assert back == [[True, True], [None, None], [True, True]]
    causes = matrix.to_json()["causes"]
    assert causes["without_a_tried_remedy"] == 0
    assert causes["with_a_remedy_tried_on_them"] == causes["of_these_come_back"] == 2
    refused = matrix.answer(1, 0).verdict
    assert refused is not None
    hint = refused.findings[0].hints[0]
    assert "hpet=off" in (hint.command or "")
    assert hint.comes_back
    assert not hint.changes


def test_releases(lab: Lab) -> None:
    lab("7.2")
    lab("10.0")
    question = Question(
        releases=("7.2", "10.0"),
        machines=("pc-q35-7.2", "pc-q35-10.0"),
        devices=("virtio-rng-pci", "scsi-hd", "vfio-pci"),
    )
    found = compare(question)
    names = [line.name for line in found.matrix.vms]
    assert names == ["pc-q35-7.2", "pc-q35-10.0", "virtio-rng-pci", "scsi-hd"]
    hosts = {line.name: at for at, line in enumerate(found.matrix.hosts)}
    for vm, name in enumerate(names):
        if name != "pc-q35-10.0":
            for pair in ("7.2 → 7.2", "10.0 → 10.0"):
                assert found.matrix.answer(vm, hosts[pair]).state is not State.REFUSED, (name, pair)
    assert found.matrix.answer(1, hosts["7.2 → 10.0"]).state is State.NONE
    assert found.matrix.answer(1, hosts["10.0 → 7.2"]).state is State.NONE
    assert found.matrix.answer(1, hosts["10.0 → 10.0"]).state is not State.REFUSED
    ((left, why),) = found.left_out
    assert left == "vfio-pci"
    assert why == "-device vfio-pci: No provided host device"


def test_a_refusal_to_start_is_remembered_only_where_asked(lab: Lab) -> None:
    line = parse([*lab("7.2").command, "-M", "pc-q35-99.0"])
    for remember in (False, True, True):
        with pytest.raises(DestinationStartError, match="unsupported machine"):
            destinations.collected(line, remember_refusals=remember)
        kept = list(destinations.cache_folder().glob("*"))
        assert len(kept) == remember


def _tables(profile: Profile) -> LoaderTables:
    assert profile.loader is not None
    return profile.loader


def _altered(stream: Stream, rnd: random.Random) -> Stream:
    """The stream with some bytes of some sections changed to what leads somewhere else."""
    names = set(rnd.sample([one.idstr for one in stream.devices], rnd.choice([1, 3, 8])))
    elements: list[Element] = []
    for one in stream.elements:
        if isinstance(one, Section) and one.idstr in names and len(one.body):
            body = bytearray(one.body)
            for _ in range(rnd.choice([1, 2, 6])):
                at = rnd.randrange(len(body))
                body[at] = rnd.choice([0, 1, 5, body[at] ^ 1, rnd.randrange(256)])
            elements.append(replace(one, body=bytes(body)))
        else:
            elements.append(one)
    return replace(stream, elements=tuple(elements))


@pytest.mark.parametrize("target", ["x86_64", "ppc64"])
def test_what_is_remembered_is_what_a_replay_says(lab: Lab, target: str) -> None:
    """Verdicts from deciding bytes are those of whole replays, also for streams that are broken."""
    lines = {
        "x86_64": "-M pc-q35-7.2 -m 256M -nodefaults -device virtio-net-pci -device lsi53c895a "
        "-device scsi-hd,drive=d -blockdev driver=null-co,node-name=d -device qemu-xhci",
        "ppc64": "-M pseries-7.2 -m 512M -nodefaults -device virtio-blk-pci,drive=d "
        "-blockdev driver=null-co,node-name=d -device spapr-vlan",
    }
    profiles = [
        collect(f"{' '.join(lab(release, target).command)} {lines[target]}")
        for release in ("7.2", "11.1")
    ]
    streams = [read(one.stream) for one in profiles]
    prepared = [Baseline(one, _tables(one)) for one in profiles]
    memos = [Memo(one) for one in prepared]
    ready = Streams()
    rnd = random.Random(7)
    outcomes = set()
    for _ in range(120):
        stream = _altered(rnd.choice(streams), rnd)
        units = ready.ready(stream)
        for destination, memo in zip(prepared, memos, strict=True):
            remembered = memo.answer(
                units, lambda replay: verdict_of(replay, {}, replay.baseline.profile)
            )
            plain = replace(check(stream, destination), source={})
            assert remembered == plain
            outcomes.add(plain.outcome)
    assert len(outcomes) > 1
    # Most sections were never replayed: 240 replays of some thirty sections each.
    assert sum(memo.made for memo in memos) < 240 * len(streams[0].devices) / 2
