"""A matrix as text, JSON, JUnit and HTML: all of it is there, and hostile names do nothing."""

from __future__ import annotations

import copy
import io
import json
import re
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from rich.console import Console

from migratable.cli import cli
from migratable.errors import PlanError
from migratable.fleet.cells import NO_PAIR, Answer
from migratable.fleet.document import read_document, status_of, write_whole
from migratable.fleet.matrix import Matrix
from migratable.report.matrix_html import counted, page_data, render
from migratable.report.matrix_junit import write
from migratable.report.matrix_text import show
from migratable.verdict import Severity
from tests.unit.fleet import made


@pytest.fixture(scope="module")
def small() -> Matrix:
    return made.matrix(
        [
            [made.refused(1, 2), made.loads(), made.unknown("why <not>?")],
            [made.loads(Severity.ENDANGERS), Answer.failed("no such file"), NO_PAIR],
            [made.refused(2), made.loads(Severity.LATENT), made.loads(Severity.WARNS)],
        ],
        names=["one", made.HOSTILE, "three"],
    )


def _text(document: dict[str, Any], width: int = 120, *, unfolded: bool = False) -> str:
    buffer = io.StringIO()
    show(Console(file=buffer, width=width), document, unfolded=unfolded)
    return buffer.getvalue()


def test_text_has_every_pair_and_every_cause(small: Matrix) -> None:
    text = _text(small.to_json())
    line = next(line for line in text.splitlines() if line.startswith(" one"))
    assert line.split() == ["one", "✗", "✓", "?"]
    line = next(line for line in text.splitlines() if line.startswith(" three"))
    assert line.split() == ["three", "✗", "~", "!"]
    for words in (
        "2 refused",
        "1 unknown",
        "not examined",
        "-cpu v2",
        "why <not>?",
        "no such file",
    ):
        assert words in text, words
    assert "\x1b" not in text


@pytest.mark.parametrize("width", [40, 80, 200])
def test_text_of_a_large_matrix_is_short(width: int) -> None:
    document = made.large(1000, 200, shapes=50, kinds=8).to_json()
    text = _text(document, width)
    lines = text.splitlines()
    assert len(lines) < 250
    assert max(map(len, lines)) <= width
    assert "(+" in text
    every = _text(document, 200, unfolded=True)
    for line in document["vms"]:
        assert f" {line['name']} " in every


def test_json_is_read_again(small: Matrix, tmp_path: Path) -> None:
    path = tmp_path / "m.json"
    write_whole(path, [json.dumps(small.to_json())])
    document = read_document(path)
    assert document == json.loads(json.dumps(small.to_json()))
    assert document["schema"] == "migratable.matrix/1"
    assert status_of(document) == small.exit_status == 2
    assert [len(row) for row in document["cells"]] == [3, 3, 3]
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda doc: doc.pop("schema"), "schema None"),
        (lambda doc: doc.update(schema="migratable.matrix/9"), "migratable.matrix/9"),
        (lambda doc: doc.pop("cells"), "damaged: KeyError 'cells'"),
        (lambda doc: doc["cells"].pop(), "not a row for each VM"),
        (lambda doc: doc["cells"][1].pop(), "cells[1]"),
        (lambda doc: doc["cells"][2].__setitem__(0, 99), "cells[2]"),
        (lambda doc: doc["cells"][2].__setitem__(0, True), "cells[2]"),
        (lambda doc: doc["vms"][0].__setitem__("name", 3), "a name is not a string"),
        (lambda doc: doc["answers"][0].__setitem__("state", "odd"), "'odd'"),
        (lambda doc: doc["answers"][0].__setitem__("verdict", None), "damaged"),
        (lambda doc: doc.__setitem__("answers", 3), "damaged"),
    ],
)
def test_a_damaged_result_is_refused(
    small: Matrix, tmp_path: Path, damage: Any, words: str
) -> None:
    document = copy.deepcopy(json.loads(json.dumps(small.to_json())))
    damage(document)
    (tmp_path / "m.json").write_text(json.dumps(document))
    with pytest.raises(PlanError) as error:
        read_document(tmp_path / "m.json")
    assert words in str(error.value)


def test_junit_counts_and_is_xml(small: Matrix) -> None:
    document = json.loads(json.dumps(small.to_json()))
    text = "\n".join(write(document))
    root = ET.fromstring(text.encode("utf-8", "replace"))
    assert dict(root.attrib) | {"name": ""} == {
        "name": "",
        "tests": "8",
        "failures": "2",
        "errors": "1",
        "skipped": "1",
        "time": "0",
    }
    for suite in root:
        cases = list(suite)
        assert suite.get("tests") == str(len(cases))
        for tag, member in (("failure", "failures"), ("error", "errors"), ("skipped", "skipped")):
            assert suite.get(member) == str(sum(case.find(tag) is not None for case in cases))
    first = root[0][0]
    assert (first.get("classname"), first.get("name")) == ("host0", "one")
    failure = first.find("failure")
    assert failure is not None
    assert failure.get("type") == "cpu-identity"
    assert "virtio-blk" in (failure.get("message") or "")
    assert "fix on the destination (tried: predicted)" in (failure.text or "")
    assert "\x1b" not in text


def _data(page: str) -> dict[str, Any]:
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.S)
    assert found is not None
    data: dict[str, Any] = json.loads(found[1])
    return data


def test_html_has_everything_and_nothing_from_elsewhere(small: Matrix) -> None:
    page = render(small.to_json())
    page.encode("utf-8")
    data = _data(page)
    assert data["vms"]["names"][0] == "one"
    assert "</script><img" in data["vms"]["names"][1]
    assert page.count("<script") == page.count("</script>") == 2
    assert "<img" not in page
    assert not re.search(r"""(?:src|href|url\()\s*=?\s*["']?(?:https?:)?//""", page)
    assert "default-src 'none'" in page


def test_the_pages_data_are_the_documents() -> None:
    document = made.large(300, 40, shapes=30, kinds=9).to_json()
    data = page_data(document)
    for vm, row in enumerate(document["cells"]):
        assert data["patterns"][data["vms"]["pattern"][vm]] == row
    assert len(data["patterns"]) <= 30
    for at, answer in enumerate(document["answers"]):
        there = data["answers"][at]
        assert data["states"][there["s"]]["name"] == answer["state"]
        assert there["n"] == answer["pairs"]
        assert [data["findings"][one] for one in there["f"]] == answer["verdict"]["findings"]
        assert [data["strings"][one] for one in there["u"]] == answer["verdict"]["unchecked"]
        assert [data["strings"][one] for one in there["e"]] == answer["verdict"]["stderr"]
        ranked = document["causes"]["ranked"]
        assert there["c"] == [n for n, cause in enumerate(ranked) if at in cause["answers"]]
    assert data["fold"] is True


def test_a_large_page_is_small() -> None:
    page = render(made.large(1000, 200, shapes=1000, kinds=200).to_json())
    assert len(page) < 2_000_000


# -- the command ----------------------------------------------------------------------------------


def _run(*arguments: str) -> tuple[int, str]:
    done = CliRunner().invoke(cli, ["matrix", *arguments], catch_exceptions=False)
    return done.exit_code, done.output


def test_the_command_shows_a_result_again(small: Matrix, tmp_path: Path) -> None:
    path = tmp_path / "m.json"
    write_whole(path, [json.dumps(small.to_json())])
    status, text = _run(str(path))
    assert status == 2
    assert "one" in text
    for name, beginning in (("p.html", "<!doctype html>"), ("p.xml", "<?xml"), ("q.json", "{")):
        status, text = _run(str(path), "-o", str(tmp_path / name))
        assert (status, text) == (2, "")
        assert (tmp_path / name).read_text("utf-8").startswith(beginning)
    assert json.loads((tmp_path / "q.json").read_text()) == json.loads(path.read_text())
    status, text = _run(str(path), "--format", "junit")
    ET.fromstring(text.encode())


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("x.toml", "--releases", "7.2"),
        ("x.toml", "--machines", "all"),
        ("x.toml", "--cross"),
        ("x.toml", "--format", "pdf"),
        ("x.toml", "--jobs", "0"),
    ],
)
def test_wrong_usage(arguments: tuple[str, ...]) -> None:
    assert _run(*arguments)[0] == 2


def test_a_fleet_file_through_the_command(tmp_path: Path) -> None:
    (tmp_path / "fleet.toml").write_text('[[vm]]\nname = "a"\nsource = "gone"\n')
    with pytest.raises(PlanError, match=r"no \[\[host\]\]"):
        _run(str(tmp_path / "fleet.toml"))
    with pytest.raises(PlanError, match="cannot write"):
        write_whole(tmp_path / "no" / "where.html", ["x"])


@pytest.mark.parametrize(
    ("number", "what", "said"),
    [
        (1, "VMs", "1 VM"),
        (2, "VMs", "2 VMs"),
        (1, "pairs of releases", "1 pair of releases"),
        (1200, "pairs of releases", "1,200 pairs of releases"),
    ],
)
def test_one_is_no_plural(number: int, what: str, said: str) -> None:
    assert counted(number, what) == said


def test_text_says_why_a_pair_that_loads_is_marked(small: Matrix) -> None:
    text = _text(small.to_json())
    marked = [line for line in text.splitlines() if re.match(r"[▲!~] 1  \S+: ", line)]
    assert [line[0] for line in marked] == ["▲", "!", "~"]


def test_a_narrow_terminal_folds_equal_hosts() -> None:
    row = [made.refused(1)] * 6 + [made.loads()] * 6
    text = _text(made.matrix([row]).to_json(), 60)
    line = next(line for line in text.splitlines() if line.startswith(" VM"))
    assert line.count("(+5)") == 2
    assert "more hosts" not in text


def test_the_page_says_when_and_of_which_qemu(small: Matrix) -> None:
    document = small.to_json()
    document["vms"] = [
        {**one, "facts": {"shape": "b3e5", "ram": 1 << 30}} for one in document["vms"]
    ]
    document["vms"][0]["facts"]["state"] = "at power-on"
    document["hosts"][0]["facts"] = {"qemu": "10.0.13", "machines": 6}
    page = render({**document, "made": "2026-01-02 03:04 UTC"})
    assert "3 VMs × 3 hosts, 9 pairs" in page
    assert "1 VM at power-on" in page
    assert "2026-01-02 03:04 UTC" in page
    facts = [dict(one) for one in page_data(document)["facts"]]
    assert {"qemu": "10.0.13", "command lines tried": "6"} in facts
    assert not [one for one in facts if "shape" in one]
    assert re.search(r"migratable \S+, 20\d\d-\d\d-\d\d \d\d:\d\d UTC", render(document))
    resting = _text(document)
    assert "1 VM at power-on" in resting.splitlines()[0] + resting.splitlines()[1]
