"""Pairs of command lines: the model against what real programs did."""

from __future__ import annotations

import json
import lzma
import shlex
from pathlib import Path
from typing import Any

import pytest

from migratable.errors import PlanError
from migratable.pseries import Model, compare, judge_lines, start
from migratable.pseries.verdict import judge
from migratable.verdict import Basis, Outcome, Severity

GOLDEN = Path(__file__).parents[2] / "golden" / "pseries"
WARNING = "warning: TCG doesn't support requested feature, "


def cut(text: str | None) -> list[str]:
    return [line.removeprefix("qemu-system-ppc64: ") for line in (text or "").splitlines()]


def test_random_pairs_between_four_releases() -> None:
    """343 of 1,198 random pairs, every kind of outcome; the other 855 agreed as well."""
    rows: list[Any] = json.loads((GOLDEN / "pairs.json").read_text("utf-8"))
    assert len(rows) > 300
    model = Model()
    for row in rows:
        (ours, our_args), (theirs, their_args) = row["source"], row["destination"]
        pair = model.judge(ours, shlex.split(our_args), theirs, shlex.split(their_args))
        assert pair.source is not None
        got = {
            "source_status": pair.source_status,
            "source_stderr": [line.replace(WARNING, "TCG ") for line in pair.source.stderr],
            "destination_status": pair.destination_status,
            "destination_stderr": [
                line.replace(WARNING, "TCG ") for line in pair.destination_stderr
            ],
        }
        assert got == {key: row[key] for key in got}, row


def test_four_thousand_pairs_of_six_releases(shared_folder: Path) -> None:
    with lzma.open(shared_folder / "oracle" / "pseries" / "verdicts.jsonl.xz", "rt") as file:
        rows = [json.loads(line) for line in file]
    lines = [
        json.dumps(
            {
                "id": at,
                "source": {"release": row["src_release"], "args": row["src_args"]},
                "destination": {"release": row["dst_release"], "args": row["dst_args"]},
            }
        )
        for at, row in enumerate(rows)
    ]
    answers = list(judge_lines(lines, Model()))
    assert len(answers) == len(rows) == 4000
    for row, answer in zip(rows, answers, strict=True):
        assert (answer["source_status"], answer["destination_status"]) == (
            row["src_status"],
            row["dst_status"],
        ), row
        assert answer["source_stderr"] == cut(row["src_stderr"]), row
        assert answer["destination_stderr"] == cut(row["dst_stderr"]), row
        loads = row["dst_status"] == "completed"
        assert answer["verdict"] == ("loads" if loads else "refused")


PAIR = {
    "id": "x",
    "source": {"release": "7.2", "args": ["-M", "pseries-7.2"]},
    "destination": {"release": "7.2", "args": ["-M", "pseries-7.2"]},
}


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("{", "no JSON"),
        ("[]", "not a pair"),
        ('"x"', "not a pair"),
        (json.dumps({**PAIR, "source": [1]}), "not a pair"),
        ("{}", "'source' is missing"),
        (json.dumps({**PAIR, "source": {"release": "7.2"}}), "args"),
        (json.dumps({**PAIR, "source": {"release": 7.2, "args": []}}), "string"),
        (json.dumps({**PAIR, "source": {"release": "7.2", "args": [1]}}), "strings"),
        (json.dumps({**PAIR, "destination": {"release": "1.0", "args": []}}), r"1\.0"),
        (json.dumps({**PAIR, "destination": {"release": "7.2", "args": ["x"]}}), "option"),
    ],
)
def test_a_bad_line_is_named_with_its_number(line: str, words: str) -> None:
    good = json.dumps(PAIR)
    with pytest.raises(PlanError, match=rf"pairs\.jsonl:3: .*{words}"):
        list(judge_lines([good, "\n", line], Model(), name="pairs.jsonl"))


def test_unknown_is_said_with_a_reason_and_no_status() -> None:
    pair = {**PAIR, "source": {"release": "7.2", "args": ["-device", "virtio-net"]}}
    (answer,) = judge_lines([json.dumps(pair)], Model())
    assert answer["verdict"] == "unknown"
    assert answer["source_status"] is None
    assert "-device" in answer["reason"]


def test_the_verdict_names_cause_and_tried_remedy() -> None:
    args = ["-M", "pseries-4.1,ic-mode=xics", "-cpu", "POWER9"]
    found = judge(Model(), ("4.1", args), ("10.0", args))
    assert found.outcome is Outcome.REFUSED
    assert found.first_refusal is not None
    assert found.first_refusal.rule == "cpu-identity"
    assert found.first_refusal.message.startswith("error while loading state")
    (finding,) = found.findings
    (hint,) = finding.hints
    assert (hint.command, hint.verified) == ("-cpu power9_v2.0", Basis.PREDICTED)


def test_a_level_that_was_not_sent_is_explained() -> None:
    """The destination takes its own default for what the source has, and refuses its twin."""
    args = ["-M", "pseries-4.0,cap-hpt-max-page-size=4096", "-cpu", "POWER8"]
    found = judge(Model(), ("5.2", args), ("5.2", args))
    assert found.outcome is Outcome.REFUSED
    finding = next(one for one in found.findings if one.severity is Severity.REFUSES)
    assert "sends nothing" in finding.explanation
    assert finding.hints[0].verified is Basis.PREDICTED


def test_a_source_that_does_not_start_is_refused() -> None:
    found = judge(Model(), ("7.2", ["-M", "pseries,cap-htm=on"]), ("7.2", ["-M", "pseries"]))
    assert found.outcome is Outcome.REFUSED
    assert found.findings[0].rule == "source-start"
    assert found.first_refusal is not None
    assert found.first_refusal.message == "No Transactional Memory support in TCG"


def test_compare_is_for_streams_that_were_read_already() -> None:
    destination = start("10.0", ["-M", "pseries-7.2,cap-cfpc=broken", "-cpu", "POWER9"])
    lines, refused = compare({"spapr/cap/cfpc": 2, "spapr_dtb": 1}, destination)
    assert refused
    assert ("cfpc", "cap-cfpc higher level (2) in incoming stream than on destination (0)") in lines
    assert compare({"spapr/cap/cfpc": 0}, destination) == compare(
        {"spapr/cap/cfpc": 0, "spapr/cap/sbbc": 0}, destination
    )


@pytest.mark.parametrize(("source", "section"), [("7.2", 6), ("10.0", 5)])
def test_the_newest_releases_print_the_section_id_of_the_source(source: str, section: int) -> None:
    """Found by a random run: 9.1 removed a handler, and every id after it is one less."""
    nine = ["-M", "pseries-7.1", "-cpu", "power9_v2.0"]
    pair = Model().judge(source, [*nine, "-smp", "2"], "11.1", nine)
    assert pair.destination_stderr[-2:] == (
        "Missing section footer for spapr-xive",
        f"load of migration failed: Invalid argument: Section footer error, section_id: {section}",
    )
