"""The campaign's own parts: generation, hold-out, cache, grades and counts. No QEMU."""

from __future__ import annotations

import itertools
import json
import random
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from migratable.campaign import corpus, report
from migratable.campaign.cache import Cache, Outcome, pair_key, source_key
from migratable.campaign.case import Group, Side
from migratable.campaign.cases import groups
from migratable.campaign.generate import FAMILIES
from migratable.campaign.inventory import Inventory
from migratable.campaign.judge import Cause, Grade, Judgement, _grade, errors, real_cause
from migratable.campaign.kinds import held_out, kinds, options
from migratable.campaign.mutate import mutated
from migratable.campaign.pool import Pool
from migratable.campaign.vm import Device, Vm, with_pair
from migratable.errors import PlanError
from migratable.lab import Installed
from migratable.releases import QemuVersion


def everything(arch: str, *machines: str) -> Inventory:
    """A release that has all there is."""
    own = [kind for kind in kinds().values() if kind.fits(arch)]
    table = options()
    names = [name for group in table["machine"].values() for name in group]
    return Inventory(
        machines={family: [f"{family}-{name}" for name in machines] for family in FAMILIES[arch]},
        machine_props=dict.fromkeys(FAMILIES[arch], names),
        cpus=[*table["cpu"]["x86"], *table["cpu"]["pseries"]],
        devices={driver: [*kind.props, *kind.fixed] for kind in own for driver in kind.drivers},
    )


def program(release: str, arch: str) -> Installed:
    return Installed(release=release, arch=arch, version=QemuVersion.parse(release), command=["x"])


PROGRAMS = [program(name, arch) for name in ("7.2", "10.0") for arch in ("x86_64", "ppc64")]
INVENTORIES = {
    (one.release, one.arch): everything(
        one.arch, *(("5.2", "7.2") if one.release == "7.2" else ("7.2", "10.0"))
    )
    for one in PROGRAMS
}


def some(seed: int, count: int, *, held: bool = False) -> list[Group]:
    return list(itertools.islice(groups(seed, PROGRAMS, INVENTORIES, held_out=held), count))


@pytest.mark.parametrize(
    ("arch", "machine"),
    [("aarch64", "virt"), ("s390x", "s390-ccw-virtio"), ("riscv64", "virt")],
)
def test_cases_of_other_targets(arch: str, machine: str) -> None:
    programs = [program(name, arch) for name in ("7.2", "10.0")]
    inventories = {(one.release, arch): everything(arch, "7.2") for one in programs}
    made = groups(5, programs, inventories, archs=(arch,))
    found = list(itertools.islice(made, 60))
    assert {group.source.arch for group in found} == {arch}
    machines = [group.source.argv[1] for group in found]
    assert all(text.startswith(machine) for text in machines)
    words = " ".join(word for group in found for word in group.source.argv)
    assert ("-ccw" in words) is (arch == "s390x")
    assert ("virtio-net-pci" in words) is (arch != "s390x")


def devices_of(group: Group) -> set[str]:
    return {
        one.argv[at + 1].partition(",")[0]
        for one in (group.source, *group.destinations)
        for at, word in enumerate(one.argv)
        if word == "-device"
    }


def test_a_seed_gives_the_same_cases_again() -> None:
    assert some(5, 30) == some(5, 30)
    assert some(5, 30) != some(6, 30)


def test_cases_are_as_varied_as_they_should_be() -> None:
    made = some(1, 400)
    drivers = set().union(*map(devices_of, made))
    hit = [kind for kind in kinds().values() if drivers & set(kind.drivers)]
    assert len(hit) >= 60
    assert {one.source.arch for one in made} == {"x86_64", "ppc64"}
    assert {name for one in made for side in one.destinations for name in side.changes} >= {
        "property", "cpu", "memory", "smp", "moved", "device-removed", "device-added", "global",
        "machine-version", "machine-prop", "driver", "order",
    }  # fmt: skip
    unchanged = [side for one in made for side in one.destinations if not side.changes]
    assert all(
        side.argv == one.source.argv
        for one in made
        for side in one.destinations
        if not side.changes
    )
    assert unchanged


def test_what_is_held_out_is_only_made_when_asked_for() -> None:
    own = {
        driver
        for kind in kinds().values()
        if held_out("kind", kind.name)
        for driver in kind.drivers
        if not any(
            driver in other.drivers
            for other in kinds().values()
            if not held_out("kind", other.name)
        )
    }
    assert len(own) >= 10
    # -usb and -nic options bring devices along that are no kinds of ours; those are not held out.
    assert not own & set().union(*map(devices_of, some(3, 300)))
    with_them = [devices_of(group) & own for group in some(3, 100, held=True)]
    assert sum(map(bool, with_them)) > 80


def test_no_change_is_no_change() -> None:
    vm = Vm(arch="x86_64", family="pc-q35", machine="pc-q35-7.2")
    inventory = INVENTORIES["7.2", "x86_64"]
    pool = Pool(arch="x86_64", source=inventory, everybody=(inventory,))
    assert mutated(random.Random(1), pool, vm, 0) == (vm, [])
    for seed in range(60):
        changed, names = mutated(random.Random(seed), pool, vm, 2)
        assert len(names) <= 2
        # Two changes may undo each other; one alone never leaves the machine as it was.
        if len(names) == 1:
            assert changed != vm


def test_commas_in_values_are_doubled() -> None:
    vm = Vm(
        arch="x86_64",
        family="pc-q35",
        machine="pc-q35-7.2",
        devices=(Device(kind="k", driver="d", name="d0", props=(("serial", "a,b"),)),),
    )
    assert vm.argv[-1] == "d,id=d0,serial=a,,b"
    props = (("serial", "a,b"), ("port", "1"), ("msi", "off"))
    vm = replace(vm, json=True, devices=(replace(vm.devices[0], props=props),))
    assert json.loads(vm.argv[-1]) == {
        "driver": "d",
        "id": "d0",
        "serial": "a,b",
        "port": 1,
        "msi": False,
    }
    assert with_pair((("a", "1"), ("b", "2")), "a", "3") == (("a", "3"), ("b", "2"))
    assert with_pair((("a", "1"),), "a", None) == ()


OUTCOME = Outcome(
    label="1:1",
    source=Side(release="7.2", arch="x86_64", argv=("-machine", "pc-q35-7.2"), run=0.5),
    destination=Side(release="10.0", arch="x86_64", argv=("-m", "1G"), changes=("memory",)),
    status="refused",
    start=("warning: nothing",),
    lines=(
        "warning: TCG doesn't support requested feature: CPUID.01H:ECX.avx [bit 28]",
        "Size mismatch: pc.ram: 0x8000000 != 0x40000000: Invalid argument",
        "error while loading state for instance 0x0 of device 'ram'",
        "load of migration failed: Invalid argument",
    ),
    exit_status=1,
)


def test_the_cache_gives_back_what_was_put_in(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    assert cache.outcome(OUTCOME.source, OUTCOME.destination) is None
    cache.put_outcome(OUTCOME)
    cache.put_source(OUTCOME.source, {"status": "saved", "lines": []}, b"QEVM")
    assert cache.outcome(OUTCOME.source, OUTCOME.destination) == OUTCOME
    assert list(cache.outcomes()) == [OUTCOME]
    known = cache.source(OUTCOME.source)
    assert known is not None and known["status"] == "saved"
    assert cache.stream_path(OUTCOME.source).is_file()
    assert not [path for path in tmp_path.rglob(".*") if path.is_file()]


def test_a_damaged_entry_is_as_if_it_were_not_there(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    cache.put_outcome(OUTCOME)
    (tmp_path / "outcomes" / f"{OUTCOME.key}.json").write_text("{", encoding="utf-8")
    assert cache.outcome(OUTCOME.source, OUTCOME.destination) is None
    assert list(cache.outcomes()) == []


def test_hashes_tell_command_lines_apart_but_not_labels() -> None:
    other = replace(OUTCOME.destination, argv=("-m", "2G"))
    assert pair_key(OUTCOME.source, other) != OUTCOME.key
    assert source_key(replace(OUTCOME.source, run=1.0)) != source_key(OUTCOME.source)
    assert replace(OUTCOME, label="2:2").key == OUTCOME.key


def test_the_real_cause_is_read_from_qemus_lines() -> None:
    cause = real_cause(OUTCOME)
    assert (cause.rule, cause.device) == ("ram-block-size", "ram")
    assert cause.message == OUTCOME.lines[1]
    silent = real_cause(
        replace(
            OUTCOME,
            lines=(
                "error while loading state for instance 0x0 of device 'fw_cfg'",
                "load of migration failed: Invalid argument",
            ),
        )
    )
    assert (silent.rule, silent.device) == ("", "fw_cfg")


@pytest.mark.parametrize(
    ("real", "cause", "predicted", "prediction", "grade"),
    [
        ("loads", Cause(), "loads", Cause(), Grade.AGREES),
        ("refused", Cause(rule="a"), "loads", Cause(), Grade.WRONG_LOADS),
        ("loads", Cause(), "refused", Cause(rule="a"), Grade.FALSE_REFUSAL),
        ("loads", Cause(), "unknown", Cause(), Grade.UNKNOWN),
        ("refused", Cause(rule="a", message="m"), "refused", Cause(rule="a", message="m"),
         Grade.AGREES),
        ("refused", Cause(rule="a", message="m"), "refused", Cause(rule="b", message="m"),
         Grade.RULE),
        ("refused", Cause(rule="", message="m"), "refused", Cause(rule="b", message="m"),
         Grade.AGREES),
        ("refused", Cause(rule="", message="m"), "refused", Cause(rule="b", message="n"),
         Grade.RULE),
        ("refused", Cause(rule="a", device="x"), "refused", Cause(rule="a", device="y"),
         Grade.RULE),
        ("refused", Cause(rule="a", message="m"), "refused", Cause(rule="a", message="n"),
         Grade.LINE),
        ("refused", Cause(rule="a", message="m", lines=("m", "n")), "refused",
         Cause(rule="a", message="m", lines=("m",)), Grade.LINES),
        ("refused", Cause(rule="a", message="m", lines=("m", "warning: w")), "refused",
         Cause(rule="a", message="m", lines=("m",)), Grade.AGREES),
    ],
)  # fmt: skip
def test_grades(real: str, cause: Cause, predicted: str, prediction: Cause, grade: Grade) -> None:
    assert _grade(real, cause, predicted, prediction) is grade


def judgement(grade: Grade, real: str, predicted: str, message: str = "m") -> Judgement:
    cause = Cause(rule="a" if real == "refused" else "", message=message)
    prediction = Cause(rule="a" if predicted == "refused" else "", message="m")
    return Judgement(
        key="k", outcome=OUTCOME, grade=grade, real=real, predicted=predicted, cause=cause,
        prediction=prediction,
    )  # fmt: skip


FOUND = [
    judgement(Grade.AGREES, "loads", "loads"),
    judgement(Grade.AGREES, "refused", "refused"),
    judgement(Grade.WRONG_LOADS, "refused", "loads"),
    judgement(Grade.LINE, "refused", "refused", "other 0x12"),
    judgement(Grade.LINE, "refused", "refused", "other 0x13"),
    judgement(Grade.UNKNOWN, "loads", "unknown"),
]


def test_rates() -> None:
    found = report.score(FOUND)
    assert (found.pairs, found.refused) == (6, 4)
    assert found.verdicts == report.Share(count=4, of=6)
    assert found.wrong_loads == report.Share(count=1, of=4)
    assert found.unknown == report.Share(count=1, of=6)
    assert found.causes == report.Share(count=3, of=3)
    assert found.lines == report.Share(count=1, of=3)
    assert report.Share(count=0, of=0).rate == 1.0


def test_disagreements_are_grouped_gravest_first() -> None:
    assert [(group[0].grade, len(group)) for group in report.groups(FOUND)] == [
        (Grade.WRONG_LOADS, 1),
        (Grade.UNKNOWN, 1),
        (Grade.LINE, 2),
    ]


def test_what_is_held_out_shows_rates_alone(capsys: pytest.CaptureFixture[str]) -> None:
    document = report.to_json(FOUND, hidden=True, conditions={"seed": 1})
    assert "disagreements" not in document
    json.dumps(document)
    open_ = report.to_json(FOUND, hidden=False, conditions={"seed": 1})
    assert [entry["count"] for entry in open_["disagreements"]] == [1, 1, 2]
    json.dumps(open_)
    report.show(FOUND, Console(), hidden=True, most=5)
    assert "pc-q35" not in capsys.readouterr().out
    report.show(FOUND, Console(width=200), hidden=False, most=5)
    text = capsys.readouterr().out
    assert "lab:7.2/x86_64 -machine pc-q35-7.2" in text
    assert "wrong-loads" in text


def test_corpus_files(tmp_path: Path) -> None:
    path = tmp_path / "case.toml"
    path.write_text(corpus.dumps(OUTCOME, found='"was" loads'), encoding="utf-8")
    found = corpus.load(path)
    assert found.key == OUTCOME.key
    assert found.status == "refused"
    assert found.lines == errors(OUTCOME.lines) == OUTCOME.lines[1:]
    path.write_text("status = 1", encoding="utf-8")
    with pytest.raises(PlanError, match=r"case\.toml"):
        corpus.load(path)
