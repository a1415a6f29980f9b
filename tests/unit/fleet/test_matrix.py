"""Pairs that are equal are checked once, and what fails is neither lost nor an answer."""

from __future__ import annotations

import time
from array import array
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from migratable.errors import CommandLineError, ProfileError, StreamError
from migratable.fleet.cells import Answer, State
from migratable.fleet.entities import Destination, Guest
from migratable.fleet.matrix import Matrix, run
from migratable.fleet.model import Fleet, Host, Vm
from migratable.fleet.remedies import with_hints
from migratable.fleet.resolve import Resolved, resolve
from migratable.profile import store
from migratable.profile.model import Profile
from migratable.releases import QemuVersion
from migratable.stream import Stream
from migratable.verdict import Basis, Finding, Hint, Outcome, Severity, Verdict
from tests.unit.fleet import made
from tests.unit.stream import tiny


class Counting:
    """A check that refuses other machine types and counts."""

    def __init__(self) -> None:
        self.calls: list[tuple[str | None, str]] = []

    def __call__(self, stream: Stream, profile: Profile) -> Verdict:
        self.calls.append((stream.machine, profile.machine))
        source = {"file": "somewhere"}
        if stream.machine == profile.machine:
            return Verdict(outcome=Outcome.LOADS, basis=Basis.PREDICTED, source=source)
        found = Finding(rule="machine-type", severity=Severity.REFUSES, summary="another machine")
        return Verdict(
            outcome=Outcome.REFUSED, basis=Basis.PREDICTED, findings=(found,), source=source
        )


def _stream(machine: str, ram: int) -> Stream:
    stream = tiny.stream(pages=(("pc.ram", 0, bytes([ram]) * 4096),))
    assert stream.configuration is not None
    return replace(stream, configuration=replace(stream.configuration, machine=machine))


def _resolved(vms: int, hosts: int) -> Resolved:
    fleet = Fleet(
        vms=tuple(Vm(name=f"v{at}", source="x", place=f"vm {at}") for at in range(vms)),
        hosts=tuple(Host(name=f"h{at}", profiles={"": "p"}) for at in range(hosts)),
    )
    guests = tuple(
        Guest(vm=vm, stream=_stream(f"m{at % 3}", at % 200)) for at, vm in enumerate(fleet.vms)
    )
    # Each host's profile was taken by itself: equal ones are not the same object.
    destinations = tuple(
        Destination(
            name=host.name,
            profile=Profile(version=QemuVersion(10, 0), machine=f"m{at % 2}", taken=str(at)),
        )
        for at, host in enumerate(fleet.hosts)
    )
    choice = array("I", [host for _ in range(vms) for host in range(hosts)])
    return Resolved(fleet=fleet, guests=guests, destinations=destinations, choice=choice)


def test_equal_pairs_are_checked_once() -> None:
    check = Counting()
    matrix = run(_resolved(30, 8), check=check)
    assert sorted(check.calls) == sorted((f"m{a}", f"m{b}") for a in range(3) for b in range(2))
    assert matrix.checked == 6
    for vm in range(30):
        for host in range(8):
            same = vm % 3 == host % 2
            assert matrix.answer(vm, host).state is (State.LOADS if same else State.REFUSED)
    assert sum(matrix.counts.values()) == 240
    assert matrix.exit_status == 1


def test_a_verdict_has_the_names_of_its_own_pair() -> None:
    matrix = run(_resolved(30, 8), check=Counting())
    verdict = matrix.verdict(29, 7)
    assert verdict is not None
    assert verdict.source["name"] == "v29"
    assert verdict.destination["name"] == "h7"
    assert "file" not in verdict.source


def test_what_fails_is_kept_and_is_no_answer() -> None:
    found = _resolved(6, 4)

    def check(stream: Stream, profile: Profile) -> Verdict:
        if stream.machine == "m0":
            raise StreamError("malformed", offset=7)
        return Counting()(stream, profile)

    guests = (replace(found.guests[0], stream=None, failure="no such file"), *found.guests[1:])
    destinations = (
        Destination(name="h0", failure="no profile"),
        Destination(name="h1", refused=("warning: old", "unsupported machine type")),
        Destination(name="h2", refused=("needs KVM",), only_kvm=True),
        found.destinations[3],
    )
    matrix = run(replace(found, guests=guests, destinations=destinations), check=check)

    def said(vm: int, host: int) -> tuple[State, Any]:
        answer = matrix.answer(vm, host)
        assert answer.verdict is not None
        return answer.state, answer.verdict

    assert said(0, 3)[0] is State.FAILED
    assert said(0, 3)[1].unchecked == ("no such file",)
    assert said(1, 0)[1].unchecked == ("no profile",)
    state, verdict = said(1, 1)
    assert state is State.REFUSED
    assert verdict.first_refusal.message == "unsupported machine type"
    assert said(1, 2)[0] is State.UNKNOWN
    assert said(3, 3)[0] is State.FAILED
    assert "byte 7" in said(3, 3)[1].unchecked[0]
    assert said(1, 3)[0] is State.LOADS
    assert matrix.exit_status == 2


@pytest.mark.parametrize(
    ("answers", "status"),
    [
        ([made.loads(), made.loads(Severity.ENDANGERS), made.loads(Severity.WARNS)], 0),
        ([made.loads(), made.unknown()], 3),
        ([made.loads(), made.unknown(), made.refused(1)], 1),
        ([made.refused(1), Answer.failed("x")], 2),
    ],
)
def test_exit_status(answers: list[Answer], status: int) -> None:
    assert made.matrix([answers]).exit_status == status


def test_answers_of_another_place_are_the_same() -> None:
    matrix = made.matrix(
        [[made.refused(1, 2), made.refused(1, 2)], [made.refused(2), made.loads()]]
    )
    assert len(matrix.answers) == 3
    assert matrix.row(0).tolist() == [0, 0]


# -- what is behind the names ---------------------------------------------------------------------


@pytest.fixture
def files(tmp_path: Path) -> Path:
    (tmp_path / "a.mig").write_bytes(tiny.data())
    (tmp_path / "bad.mig").write_bytes(b"QEVM\0\0\0\3\xff")
    profile = Profile(version=QemuVersion(10, 0), machine="pc-q35-4.1")
    store.export(profile, tmp_path / "p.json")
    store.export(replace(profile, machine="other"), tmp_path / "q.json")
    return tmp_path


Named = Callable[..., Fleet]


def _fleet(folder: Path, *, vms: dict[str, dict[str, Any]], hosts: dict[str, Any]) -> Fleet:
    return Fleet(
        vms=tuple(
            Vm(name=name, place=f"f: vm {at}", **values)
            for at, (name, values) in enumerate(vms.items(), 1)
        ),
        hosts=tuple(
            Host(name=name, place=f"f: host {at}", **values)
            for at, (name, values) in enumerate(hosts.items(), 1)
        ),
    )


def test_streams_and_profiles_by_name(files: Path) -> None:
    fleet = _fleet(
        files,
        vms={
            "a": {"source": str(files / "a.mig"), "guest": "web"},
            "again": {"source": str(files / "a.mig")},
            "bad": {"source": str(files / "bad.mig")},
            "gone": {"source": str(files / "gone.mig")},
            "live": {"source": "qmp:/nowhere/socket"},
        },
        hosts={
            "h": {"profiles": {"": str(files / "p.json")}},
            "by-guest": {"profiles": {"web": str(files / "q.json")}},
            "gone": {"profiles": {"": str(files / "gone.json")}},
            "program": {"release": "10.0"},
        },
    )
    told: list[tuple[str, int, int]] = []
    found = resolve(fleet, progress=lambda *what: told.append(what))
    assert told
    assert found.guests[0].stream is found.guests[1].stream
    assert "bad.mig" in found.guests[2].failure or "byte" in found.guests[2].failure
    assert "no such file" in found.guests[3].failure
    assert found.guests[4].stream is None
    profile = found.destination(0, 0).profile
    assert profile is not None
    assert profile.machine == "pc-q35-4.1"
    other = found.destination(0, 1).profile
    assert other is not None
    assert other.machine == "other"
    assert "f: host 2: no profile for guest ''" in found.destination(1, 1).failure
    assert "No such file" in found.destination(0, 2).failure
    assert "f: vm 1: the VM's command line is not known" in found.destination(0, 3).failure
    matrix = run(found, check=Counting())
    states = [[matrix.answer(vm, host).state for host in range(4)] for vm in range(5)]
    assert states[0] == [State.LOADS, State.REFUSED, State.FAILED, State.FAILED]
    assert states[1] == [State.LOADS, State.FAILED, State.FAILED, State.FAILED]
    assert set(states[2]) == set(states[3]) == set(states[4]) == {State.FAILED}


def test_a_running_vm_is_only_paused_when_that_is_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[object] = []

    def open_source(text: str, *, confirm: object = None) -> object:
        asked.append(confirm)
        raise ProfileError(text)

    monkeypatch.setattr("migratable.capture.source.open_source", open_source)
    fleet = _fleet(Path(), vms={"v": {"source": "qmp:/x"}}, hosts={"h": {"profiles": {"": "gone"}}})
    resolve(fleet)
    resolve(fleet, pause=True)
    assert asked[0] is None
    assert callable(asked[1])
    assert asked[1]("pause it for 3 ms?") is True


def test_equal_command_lines_start_one_destination(monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[tuple[str, ...]] = []

    def collected(line: Any, **options: Any) -> Profile:
        started.append(tuple(line.argv))
        if "bad" in line.argv:
            raise CommandLineError("what is bad?")
        return Profile(version=QemuVersion(10, 0), machine="m", stream=tiny.data())

    monkeypatch.setattr("migratable.fleet.destinations.collected", collected)
    words = ("qemu-system-x86_64", "-M", "pc-q35-4.1", "-device", "virtio-net-pci")

    def line(name: str, *more: str) -> dict[str, object]:
        net = f"{words[-1]},mac=52:54:00:00:00:{len(name):02x}"
        return {"command_line": (*words[:-1], net, "-name", name, "-uuid", name, *more)}

    fleet = _fleet(
        Path(),
        vms={
            "a": line("a"),
            "bb": line("bb"),
            "ccc": line("ccc", "-m", "2G"),
            "d": line("d", "bad"),
        },
        hosts={
            "h": {"release": "10.0"},
            "i": {"release": "10.0"},
            "j": {"command": ("/usr/bin/qemu-kvm",)},
        },
    )
    found = resolve(fleet)
    own = [words_ for words_ in started if "/usr/bin/qemu-kvm" not in words_]
    # Three kinds of VM are started for their own state, then the two good ones on each program.
    assert len(started) - len(own) == 2
    assert len(own) == 3 + 2
    assert found.guests[0].at_power_on
    assert found.guests[3].failure.endswith("what is bad?")
    assert len({found.destination(vm, host).name for vm in (0, 1) for host in (0, 1)}) == 1
    matrix: Matrix = run(found, check=Counting())
    verdict = matrix.verdict(0, 0)
    assert verdict is not None
    assert "power-on" in " ".join(verdict.unchecked)


def test_an_alias_becomes_the_machine_type_of_the_stream(
    monkeypatch: pytest.MonkeyPatch, files: Path
) -> None:
    machines = []

    def collected(line: Any, **options: Any) -> Profile:
        machines.append(line.machine)
        assert options["ram_sizes"] == {"pc.ram": 8192, "rom": 4096}
        return Profile(version=QemuVersion(10, 0), machine="m")

    monkeypatch.setattr("migratable.fleet.destinations.collected", collected)
    source = str(files / "a.mig")
    fleet = _fleet(
        files,
        vms={
            "alias": {"source": source, "command_line": "qemu-system-x86_64 -M q35,vmport=off"},
            "other": {"source": source, "command_line": "qemu-system-x86_64 -M pc-q35-7.2"},
        },
        hosts={"h": {"release": "10.0"}},
    )
    resolve(fleet, workers=1)
    assert machines == ["pc-q35-4.1", "pc-q35-7.2"]


# -- remedies and decisions -----------------------------------------------------------------------


def test_a_remedy_is_tried_once_and_named_for_all_of_its_cause(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("migratable.profile.at_hand._installed", lambda _: ("/here/qemu",))
    found = _resolved(6, 4)
    profile = Profile(
        version=QemuVersion(10, 0),
        machine="m0",
        program=("/there/qemu",),
        command_line=("qemu-system-x86_64", "-M", "m0"),
    )
    destinations = tuple(replace(one, profile=profile) for one in found.destinations)
    found = replace(found, destinations=destinations)
    calls: list[tuple[str | None, list[str]]] = []

    def check(stream: Stream, destination: Profile) -> Verdict:
        verdict = Counting()(stream, destination)
        where = (replace(one, summary=f"in {stream.machine}") for one in verdict.findings)
        return replace(verdict, findings=tuple(where))

    def tried(verdict: Verdict, stream: Stream, line: Any, **options: Any) -> Verdict:
        calls.append((stream.machine, line.argv))
        assert 0 < options["budget_seconds"] <= 5
        hint = Hint(action="another machine", command="qemu …", verified=Basis.PREDICTED)
        findings = tuple(replace(one, hints=(hint,)) for one in verdict.findings)
        return replace(verdict, findings=findings)

    def slowly(*words: Any, **options: Any) -> Verdict:
        time.sleep(0.2)
        return tried(*words, **options)

    plain = run(found, check=check)
    assert len(plain.answers) == 3
    matrix = with_hints(plain, found, seconds=5, tried=tried)
    # first one pair of the cause, then the other answer that has it
    assert calls == [("m1", ["/here/qemu", "-M", "m0"]), ("m2", ["/here/qemu", "-M", "m0"])]
    assert matrix.ranking.mended == 16
    assert matrix.ranking.to_json()["with_a_remedy_tried_on_them"] == 16
    (cause,) = matrix.ranking.causes
    assert cause.alone == cause.pairs == 16
    assert matrix.cells == plain.cells
    calls.clear()
    monkeypatch.setattr("migratable.fleet.remedies._LEAST", 4.9)  # time for one only
    matrix = with_hints(plain, found, seconds=5, tried=slowly)
    assert [name for name, _ in calls] == ["m1"]
    assert matrix.ranking.mended == 8
    hints = {
        one.verdict.findings[0].hints[0].verified
        for one in matrix.answers
        if one.verdict is not None and one.verdict.findings
    }
    assert hints == {Basis.PREDICTED, None}
    (cause,) = matrix.ranking.causes
    assert cause.alone == cause.pairs == 16
    assert matrix.cells == plain.cells
    assert with_hints(plain, found, seconds=0, tried=tried).answers == plain.answers

    def fails(*_: Any, **__: Any) -> Verdict:
        raise CommandLineError("no program here")

    assert with_hints(plain, found, seconds=5, tried=fails).answers == plain.answers


def test_a_project_file_changes_what_a_matrix_says() -> None:
    def lower(verdict: Verdict) -> Verdict:
        findings = tuple(replace(one, severity=Severity.INFO) for one in verdict.findings)
        return replace(verdict, findings=findings, project=("lowered",))

    plain = made.matrix([[made.loads(Severity.WARNS), made.refused(1), Answer.failed("x")]])
    matrix = plain.decided(lower)
    states = [matrix.answer(0, host).state for host in range(3)]
    assert states == [State.LOADS, State.REFUSED, State.FAILED]
    assert matrix.answers[0].verdict is not None
    assert matrix.answers[0].verdict.project == ("lowered",)
