"""Plans, policies, and what they do: the change of October 2019 and others."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import pytest
from click.testing import CliRunner

from migratable.cli.whatif import command
from migratable.errors import PlanError
from migratable.pseries.plan import bundled, parse, read_plan
from migratable.pseries.tables import read_table
from migratable.pseries.whatif import report, to_json

KEYS = ("policy", "source", "destination", "machine", "source_ic_mode", "destination_ic_mode")
MISSING = (
    "Unknown savevm section or instance '{}' 0. Make sure that your current VM setup matches your "
    "saved VM setup, including any hotplugged devices"
)
FAILED = ["error while loading state for instance 0x0 of device 'spapr'"]
INVALID = "load of migration failed: Invalid argument"
NO_FILE = "load of migration failed: No such file or directory"


def cases() -> dict[tuple[str, ...], tuple[str, list[str]]]:
    plan = read_plan("intc-capabilities")
    answer = to_json(plan, [report(plan, run) for run in plan.runs])
    return {
        tuple(case[key] for key in KEYS): (case["verdict"], case["stderr"])
        for case in answer["cases"]
    }


def test_what_real_programs_with_the_change_said(shared_folder: Path) -> None:
    found = cases()
    file = shared_folder / "oracle" / "intc-capabilities" / "verdicts.jsonl"
    rows = [json.loads(line) for line in file.read_text("utf-8").splitlines()]
    assert len(rows) == 126
    for row in rows:
        assert found[tuple(row[key] for key in KEYS)] == (row["verdict"], row["stderr"]), row


def test_the_contract() -> None:
    plan = read_plan("intc-capabilities")
    answer = to_json(plan, [report(plan, run) for run in plan.runs])
    assert answer["schema"] == "migratable.whatif/1"
    assert answer["plan"] == "intc-capabilities"
    # 9 mode pairs x (4.0 and 4.1: three directions, 4.2: one) x 6 policies
    assert len(answer["cases"]) == 9 * 7 * 6
    assert set(answer["cases"][0]) == {*KEYS, "verdict", "stderr", "regression", "unsafe"}
    assert {case["source"] for case in answer["cases"]} == {"4.1", "4.2+"}
    assert not any(case["source"] == case["destination"] == "4.1" for case in answer["cases"])
    for policy in answer["policies"]:
        here = [case for case in answer["cases"] if case["policy"] == policy["name"]]
        assert policy["regressions"] == sum(case["regression"] for case in here)
        assert policy["unsafe"] == sum(case["unsafe"] for case in here)


@pytest.mark.parametrize(
    ("key", "lines"),
    [
        # the report of 9 October 2019
        (
            ("as-posted", "4.1", "4.2+", "pseries-4.1", "xics", "xics"),
            ["cap-xive higher level (1) in incoming stream than on destination (0)"],
        ),
        (
            ("as-posted", "4.1", "4.2+", "pseries-4.1", "xive", "xive"),
            ["cap-xics higher level (1) in incoming stream than on destination (0)"],
        ),
        # a bare needed hook: the same release, the same command line
        (
            ("needed-hook", "4.2+", "4.2+", "pseries-4.1", "xics", "xics"),
            ["cap-xive higher level (1) in incoming stream than on destination (0)"],
        ),
    ],
)
def test_reported_failures(key: tuple[str, ...], lines: list[str]) -> None:
    assert cases()[key] == ("refused", [*lines, *FAILED, INVALID])


@pytest.mark.parametrize("policy", ["as-posted", "max-cap"])
def test_what_is_sent_to_4_1_is_unknown_there(policy: str) -> None:
    key = (policy, "4.2+", "4.1", "pseries-4.1", "xics", "dual")
    assert cases()[key] == ("refused", [*FAILED, NO_FILE])


@pytest.mark.parametrize("policy", ["mig-cap-num", "pre-4.2-flag", "no-check"])
def test_policies_without_a_regression(policy: str) -> None:
    found = cases()
    for machine in ("pseries-4.0", "pseries-4.1"):
        for mode in ("xics", "xive", "dual"):
            for ours, theirs in (("4.1", "4.2+"), ("4.2+", "4.1"), ("4.2+", "4.2+")):
                assert found[policy, ours, theirs, machine, mode, mode] == ("loads", [])


def test_missing_sections_are_refused_by_every_policy() -> None:
    for key, (verdict, lines) in cases().items():
        source, destination = key[4:]
        if destination == "xive" and source != "xive":
            assert (verdict, lines) == ("refused", [MISSING.format("ics"), INVALID])
        elif destination == "xics" and source != "xics":
            assert (verdict, lines) == ("refused", [MISSING.format("xive-source"), INVALID])


def test_a_highest_index_is_unsafe_for_a_backport() -> None:
    plan = read_plan("intc-capabilities")
    run = next(run for run in plan.runs if run.name == "downstream-backport")
    unsafe = {name: tally.unsafe for name, tally in report(plan, run).tallies.items()}
    assert {name for name, count in unsafe.items() if count} == {"max-cap", "mig-cap-num"}


def test_dropping_a_capability_breaks_what_always_sends_it() -> None:
    plan = read_plan("intc-capabilities")
    run = next(run for run in plan.runs if run.name == "dropped-later")
    found = report(plan, run)
    broken = {name: tally.directions["4.2+", "later"] for name, tally in found.tallies.items()}
    assert broken["mig-cap-num"]
    assert not broken["no-check"]
    # nothing unusual was asked for: dual is the default
    case = found.smallest["mig-cap-num"][0]
    assert (case.source_values, case.destination_values) == (("dual",), ("dual",))


def test_each_step_of_the_page_size_history_has_its_fault() -> None:
    plan = read_plan("hpt-max-page-size")
    tallies = report(plan, plan.runs[0]).tallies
    forgotten, to_old, hook = (tallies[policy.name] for policy in plan.policies)
    assert forgotten.between_equals and forgotten.unsafe
    assert to_old.directions["4.1", "4.0"] and not to_old.between_equals
    assert set(hook.directions) == {("4.1", "4.1")}
    assert not hook.directions["4.1", "4.0"]


def test_bundled_plans_can_be_listed() -> None:
    assert set(bundled()) >= {"intc-capabilities", "hpt-max-page-size"}
    assert CliRunner().invoke(command, ["--list"]).output.split() == list(bundled())


GOOD = """
name = "x"
[[capability]]
name = "a"
index = 30
default = [{ level = 1 }]
[[policy]]
name = "p"
[[run]]
name = "r"
machines = ["pseries-7.2"]
releases = ["7.2", "10.0"]
arrives = "10.0"
[run.options]
cap-a = ["", "off"]
"""


def test_releases_at_once() -> None:
    plan = parse(read_table(Path("x"), text=GOOD, name="x"))
    assert [one.build.name for one in plan.runs[0].builds] == ["7.2", "10.0+"]
    assert report(plan, plan.runs[0]).cases


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('name = "x"', "", "name is missing"),
        ("index = 30", 'index = "30"', r"capability 1: index must be a int"),
        ("index = 30", "index = true", "index must be"),
        ("index = 30", "index = 3", "same index"),
        ("index = 30", "index = 300", "from 0 to 255"),
        ("default = [{ level = 1 }]", "", "default needs"),
        ("default = [{ level = 1 }]", "default = [1]", "list of tables"),
        ('name = "p"', 'name = "p"\nsent = "often"', r"policy 1: sent must be one of"),
        ('name = "p"', 'name = "p"\nsent = "index-limit"', "needs limit"),
        ('name = "p"', 'name = "p"\nsent = "from-machine"', "needs machine"),
        ('name = "p"', 'name = "p"\ncolour = 1', "unknown member: colour"),
        ('"pseries-7.2"', '"pseries-99"', "pseries-99"),
        ('"7.2", "10.0"', '"1.0"', r"1\.0"),
        ('arrives = "10.0"', "", "arrives is missing"),
        ('arrives = "10.0"', 'arrives = "soon"', "soon"),
        ('cap-a = ["", "off"]', "cap-a = 1", "cap-a must be"),
        ('cap-a = ["", "off"]', 'vsmt = ["8"]', "vsmt"),
        ('"", "off"', ", ".join(f'"{at}"' for at in range(2000)), "fewer options"),
        (
            "index = 30",
            "index = 30\ngiven_by = { ic-mode = { xics = 1, xive = '', dual = 1 } }",
            "xive",
        ),
        ("level = 1", "level = 256", "0 to 255"),
        ("[[run]]", "[[runs]]", "run must be a list"),
        ('name = "x"', 'name = "x"\nbefore = "q"', "before must name"),
        ('name = "x"', "name = ", "no TOML"),
    ],
)
def test_a_bad_plan_is_refused_with_its_place(old: str, new: str, words: str) -> None:
    text = GOOD.replace(old, new, 1)
    assert text != GOOD
    with pytest.raises(PlanError, match=words) as caught:
        plan = parse(read_table(Path("x"), text=text, name="plan.toml"))
        report(plan, plan.runs[0])
    assert "plan.toml" in str(caught.value) or "run r" in str(caught.value)


def test_a_run_without_a_case_is_no_clean_bill(tmp_path: Path) -> None:
    file = tmp_path / "plan.toml"
    file.write_text(GOOD.replace('cap-a = ["", "off"]', 'cap-a = ["maybe"]'), "utf-8")
    result = CliRunner().invoke(command, [str(file)])
    assert isinstance(result.exception, PlanError)
    assert "Parameter 'cap-a' expects 'on' or 'off'" in str(result.exception)


def test_what_is_left_out_is_said(tmp_path: Path) -> None:
    file = tmp_path / "plan.toml"
    file.write_text(GOOD, "utf-8")
    answer = json.loads(CliRunner().invoke(command, [str(file), "--json"]).output)
    line = "Property 'pseries-7.2-machine.cap-a' not found"
    assert {"build": "7.2", "stderr": line} in answer["left_out"]
    assert line in CliRunner().invoke(command, [str(file)]).output.replace("\n", " ")


def test_a_missing_plan_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PlanError, match="intc-capabilities"):
        read_plan(str(tmp_path / "absent"))


@pytest.mark.parametrize("form", ["text", "json", "html"])
@pytest.mark.parametrize("name", ["intc-capabilities", "hpt-max-page-size"])
def test_every_form_of_every_plan(name: str, form: str, tmp_path: Path) -> None:
    shown = CliRunner().invoke(command, [name, "--format", form])
    assert shown.exit_code == 0, shown.output
    file = tmp_path / "out"
    written = CliRunner().invoke(command, [name, "--format", form, "-o", str(file)])
    assert (written.exit_code, written.output) == (0, "")
    text = file.read_text("utf-8")
    if form == "json":
        assert json.loads(text) == json.loads(shown.output)
    else:
        assert all(policy.name in text for policy in read_plan(name).policies)


def test_the_page_needs_nothing_else() -> None:
    page = CliRunner().invoke(command, ["intc-capabilities", "--format", "html"]).output
    for outside in ("http://", "https://", "<script", "@import", "url("):
        assert outside not in page
    assert "prefers-color-scheme: dark" in page
    assert "@media print" in page
    assert "between equal releases" in page
    assert "cap-xive higher level (1) in incoming stream than on destination (0)" in page


def test_names_of_a_plan_cannot_break_the_page(tmp_path: Path) -> None:
    file = tmp_path / "plan.toml"
    file.write_text(GOOD.replace('name = "x"', 'name = "<script>alert(1)</script>"'), "utf-8")
    assert tomllib.loads(file.read_text("utf-8"))["name"].startswith("<script>")
    page = CliRunner().invoke(command, [str(file), "--format", "html"]).output
    assert "<script>" not in page
    assert "&lt;script&gt;" in page


@pytest.mark.parametrize(
    ("policy", "status"),
    [("no-check", 0), ("as-posted", 1), ("needed-hook", 1), (None, 0)],
)
def test_a_gate_is_one_policy(policy: str | None, status: int, tmp_path: Path) -> None:
    words = ["intc-capabilities", *(["--policy", policy] if policy else [])]
    assert CliRunner().invoke(command, words).exit_code == status
    target = str(tmp_path / "x.json")
    assert CliRunner().invoke(command, [*words, "-o", target]).exit_code == status
    assert CliRunner().invoke(command, [*words, "--json"]).exit_code == status


def test_a_policy_that_is_not_there() -> None:
    done = CliRunner().invoke(command, ["intc-capabilities", "--policy", "as-post"])
    assert isinstance(done.exception, PlanError)
    assert "no policy 'as-post'; it has as-posted, max-cap" in str(done.exception)
