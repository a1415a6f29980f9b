"""``matrix --and-back``: each pair that loads says whether its source loads it again."""

from __future__ import annotations

import io
import json
import xml.etree.ElementTree as ET
from array import array
from dataclasses import replace
from typing import Any

import pytest
from rich.console import Console

from migratable.fleet import way_back
from migratable.fleet.cells import Answer
from migratable.fleet.document import status_of
from migratable.fleet.entities import Destination, Guest
from migratable.fleet.matrix import Matrix
from migratable.fleet.model import Fleet, Host, Vm
from migratable.fleet.resolve import Resolved
from migratable.fleet.way_back import NO_SOURCE, Homes, with_way_back
from migratable.profile.model import Profile
from migratable.rehearse.way_back import Home
from migratable.releases import QemuVersion
from migratable.report.matrix_html import page_data, render
from migratable.report.matrix_junit import write
from migratable.report.matrix_text import show
from migratable.stream import Stream, read
from migratable.verdict import Basis, Finding, Outcome, Refusal, Verdict
from tests.unit.fleet import made
from tests.unit.stream import tiny

LOADS = Verdict(outcome=Outcome.LOADS, basis=Basis.REHEARSED, source={"file": "x"})
REFUSED = Verdict(
    outcome=Outcome.REFUSED,
    basis=Basis.REHEARSED,
    first_refusal=Refusal(rule="unknown-section", message="Unknown section 'hpet' <b>"),
)


def _answered(comes: Any) -> Answer:
    answer = made.loads()
    assert answer.verdict is not None
    back = {"back": comes} if isinstance(comes, Verdict) else {"no_back": comes}
    return Answer.of(replace(answer.verdict, **back))


@pytest.fixture
def matrix() -> Matrix:
    rows = [
        [_answered(LOADS), _answered(REFUSED), made.refused(1)],
        [_answered("its source is not here"), _answered(LOADS), made.unknown()],
    ]
    return replace(made.matrix(rows), and_back=True)


def test_answers_that_differ_in_the_way_back_are_two(matrix: Matrix) -> None:
    assert len(matrix.answers) == 5
    assert [one.comes_back for one in matrix.answers] == [True, False, None, None, None]
    assert matrix.answers[1].why_not_back == "Unknown section 'hpet' <b>"
    assert matrix.backs == {"comes_back": 2, "does_not": 1, "not_known": 1}
    back = matrix.answers[0].verdict
    assert back is not None
    assert back.back is not None
    assert back.back.source == {}  # facts of one VM are not of all that share the answer


@pytest.mark.parametrize(
    ("rows", "status"),
    [
        ([[_answered(LOADS)]], 0),
        ([[_answered(LOADS), _answered(REFUSED)]], 1),
        ([[_answered(LOADS), _answered("why")]], 3),
        ([[_answered(REFUSED), Answer.failed("x")]], 2),
    ],
)
def test_the_status_is_that_of_both_ways(rows: list[list[Answer]], status: int) -> None:
    found = replace(made.matrix(rows), and_back=True)
    assert found.exit_status == status
    assert status_of(json.loads(json.dumps(found.to_json()))) == status
    assert replace(found, and_back=False).exit_status == (2 if status == 2 else 0)


def test_without_it_the_json_has_no_new_members(matrix: Matrix) -> None:
    document = replace(matrix, and_back=False).to_json()
    assert "way_back" not in document
    assert all("comes_back" not in one for one in document["answers"])
    assert "of_these_come_back" not in document["causes"]


def test_json_text_page_and_junit_say_it(matrix: Matrix) -> None:
    document = json.loads(json.dumps(matrix.to_json()))
    assert document["way_back"] == {"comes_back": 2, "does_not": 1, "not_known": 1}
    said = [(one.get("comes_back", "no"), one.get("way_back")) for one in document["answers"]]
    assert said == [
        (True, ""),
        (False, "Unknown section 'hpet' <b>"),
        ("no", None),
        (None, "its source is not here"),
        ("no", None),
    ]
    buffer = io.StringIO()
    show(Console(file=buffer, width=100), document)
    lines = [line.split() for line in buffer.getvalue().splitlines()]
    assert ["vm0", "✓✓", "✓✗", "✗"] in lines
    assert ["vm1", "✓?", "✓✓", "?"] in lines
    assert "✗ 1  no way back: Unknown section 'hpet' <b>" in buffer.getvalue()
    assert "? 1  way back not known: its source is not here" in buffer.getvalue()
    data = page_data(document)
    assert [one.get("w") for one in data["answers"]] == [1, 2, None, 3, None]
    assert data["strings"][data["answers"][1]["y"]] == "Unknown section 'hpet' <b>"
    page = render(document)
    assert page.count('class="chip back"') == 3
    assert "'hpet' <b>" not in page  # it is data, escaped
    root = ET.fromstring("\n".join(write(document)))
    failures = [one.get("message") for one in root.iter("failure")]
    assert "it does not come back: Unknown section 'hpet' <b>" in failures
    skipped = [one.get("message") for one in root.iter("skipped")]
    assert "unknown: the way back: its source is not here" in skipped


def test_remedies_that_come_back_are_counted() -> None:
    answer = made.refused(1)
    assert answer.verdict is not None
    (finding,) = answer.verdict.findings

    def hinted(comes_back: bool) -> Answer:
        hint = replace(finding.hints[0], comes_back=comes_back, way_back="" if comes_back else "no")
        found: tuple[Finding, ...] = (replace(finding, hints=(hint,)),)
        assert answer.verdict is not None
        return Answer.of(replace(answer.verdict, findings=found))

    cells = [[hinted(True), hinted(True), hinted(False), made.refused(3), made.refused(1, 2)]]
    ranking = replace(made.matrix(cells), and_back=True).ranking.to_json()
    assert ranking["with_a_remedy_tried_on_them"] == 4
    assert ranking["of_these_come_back"] == 2


# -- equal pairs are asked once -----------------------------------------------------------------


def _resolved(guests: list[Guest], kinds: list[Profile], choice: list[int]) -> Resolved:
    width = len(choice) // len(guests)
    return Resolved(
        fleet=Fleet(
            vms=tuple(one.vm for one in guests),
            hosts=tuple(Host(name=f"h{at}", release="10.0") for at in range(width)),
        ),
        guests=tuple(guests),
        destinations=tuple(Destination(name="", profile=one) for one in kinds),
        choice=array("I", choice),
    )


def test_equal_pairs_are_asked_once(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = read(tiny.data())
    source = Profile(version=QemuVersion(7, 2), machine="m", command_line=("qemu", "-M", "m"))
    guests = [Guest(vm=Vm(name=f"vm{at}"), stream=stream, profile=source) for at in range(3)]
    guests.append(Guest(vm=Vm(name="bare"), stream=stream))
    hosts = [Profile(version=QemuVersion(10, 0), machine="m") for _ in range(2)]
    found = _resolved(guests, hosts, [0, 0, 1, 0, 0, 1, 0, 0, 1, 0, 0, 1])
    cells = [[made.loads(), made.loads(), made.loads()] for _ in range(3)]
    plain = made.matrix([*cells, [made.loads(), made.loads(), made.refused(1)]])
    homes = Homes(5.0)
    started: list[Profile] = []

    def home(profile: Profile, **_: Any) -> Any:
        started.append(profile)
        return Home(profile=profile, why="not here")

    monkeypatch.setattr(Home, "of", home)
    asked: list[Profile] = []

    def back(stream: Stream, profile: Profile, home: Any, timeout: float) -> Verdict | str:
        asked.append(profile)
        return REFUSED

    monkeypatch.setattr(way_back, "_back", back)
    matrix = with_way_back(plain, found, homes, workers=1)
    assert started == [source]
    assert len(asked) == 1  # two profiles that no loader can tell apart are one
    assert [matrix.answer(vm, host).comes_back for vm in range(4) for host in range(3)] == [
        *([False] * 9),
        None,
        None,
        None,
    ]
    assert matrix.answer(3, 0).why_not_back == NO_SOURCE
    assert matrix.answer(3, 2) == plain.answer(3, 2)
    assert matrix.backs == {"comes_back": 0, "does_not": 9, "not_known": 2}
