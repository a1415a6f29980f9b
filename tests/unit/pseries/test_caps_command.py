"""``migratable caps`` as people and programs call it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from migratable.cli.caps import command
from migratable.errors import MigratableError, PlanError
from migratable.stream import read

FROM = "4.1 -M pseries-4.1,ic-mode=xics,cap-cfpc=broken -cpu POWER9"
TO = "7.2 -M pseries-4.1,ic-mode=dual -cpu POWER9"


def run(*args: str) -> Result:
    return CliRunner().invoke(command, args)


def test_the_example_of_the_issue() -> None:
    shown = run(
        "--release", "7.2", "-M", "pseries-5.2,ic-mode=xics,cap-htm=off", "-cpu", "POWER9", "--json"
    )
    assert shown.exit_code == 0
    answer = json.loads(shown.stdout)
    assert (answer["machine"], answer["cpu"]) == ("pseries-5.2", "power9_v2.0")
    assert answer["ic_mode"] == "xics"
    by_name = {row["name"]: row for row in answer["capabilities"]}
    assert len(by_name) == 12
    assert by_name["htm"]["given"]
    assert by_name["htm"]["sent"] is None
    assert by_name["hpt-max-page-size"]["sent"] == 16
    assert by_name["cfpc"]["effective_value"] == "workaround"
    assert "pseries-5.2" in by_name["cfpc"]["why_default"]


def test_text_says_the_same() -> None:
    shown = run("--release", "10.0", "-M", "pseries-7.2,cap-cfpc=fixed", "-cpu", "POWER9")
    assert shown.exit_code == 0
    assert "cap-cfpc" in shown.stdout
    assert "warning: Machine type" not in shown.stdout
    assert "qemu-system-ppc64: warning: TCG doesn't support" in shown.stderr


def test_a_default_that_the_processor_takes_away_is_explained() -> None:
    shown = run("--release", "10.0", "-M", "pseries", "-cpu", "POWER8", "--json")
    by_name = {row["name"]: row for row in json.loads(shown.stdout)["capabilities"]}
    assert by_name["large-decr"]["why_default"] == "power8_v2.0 cannot run compat mode power9"


def test_a_machine_that_does_not_start() -> None:
    shown = run("--release", "7.2", "-M", "pseries-2.9", "--json")
    assert shown.exit_code == 1
    answer = json.loads(shown.stdout)
    assert not answer["starts"]
    assert answer["stderr"][0] == "No Transactional Memory support in TCG"


def test_compare_has_the_json_of_check() -> None:
    shown = run("compare", "--from", FROM, "--to", TO, "--json")
    answer = json.loads(shown.stdout)
    assert answer["schema"] == "migratable.verdict/1"
    assert (answer["verdict"], shown.exit_code) == ("loads", 0)
    assert [finding["rule"] for finding in answer["findings"]] == ["capability-lower"]
    assert answer["stderr"][-1] == (
        "warning: cap-cfpc lower level (0) in incoming stream than on destination (1)"
    )


def test_exit_statuses() -> None:
    refused = run("compare", "--from", TO, "--to", FROM)
    assert refused.exit_code == 1
    assert "REFUSED" in refused.stdout
    unknown = run("compare", "--from", f"{FROM} -device virtio-net", "--to", TO)
    assert unknown.exit_code == 3
    assert "-device" in unknown.stdout


def test_a_missing_section_gets_a_tried_remedy() -> None:
    xive = "7.2 -M pseries-7.2,ic-mode=xive -cpu POWER9"
    xics = "7.2 -M pseries-7.2,ic-mode=xics -cpu POWER9"
    answer = json.loads(run("compare", "--from", xics, "--to", xive, "--json").stdout)
    assert answer["first_refusal"]["rule"] == "unknown-section"
    (hint,) = answer["findings"][0]["hints"]
    assert (hint["command"], hint["verified"]) == ("-machine ic-mode=xics", "predicted")


def test_batch(tmp_path: Path) -> None:
    sides = {}
    for name, text in (("source", FROM), ("destination", TO)):
        release, *args = text.split()
        sides[name] = {"release": release, "args": args}
    file = tmp_path / "pairs"
    file.write_text("".join(json.dumps({"id": at, **sides}) + "\n" for at in range(3)), "utf-8")
    shown = run("compare", "--batch", str(file))
    answers = [json.loads(line) for line in shown.stdout.splitlines()]
    assert [answer["id"] for answer in answers] == [0, 1, 2]
    assert set(answers[0]) == {
        "id", "verdict", "source_status", "source_stderr", "destination_status",
        "destination_stderr",
    }  # fmt: skip
    assert answers[0]["verdict"] == "loads"


def test_save_writes_what_can_be_read(tmp_path: Path) -> None:
    file = tmp_path / "stream"
    shown = run(
        "save", "--release", "4.1", "-M", "pseries-4.1,cap-cfpc=fixed", "-cpu", "POWER9", "-o",
        str(file),
    )  # fmt: skip
    assert shown.exit_code == 0
    assert "spapr/cap/cfpc=2" in shown.stderr
    assert read(file).machine == "pseries-4.1"


@pytest.mark.parametrize(
    "args",
    [
        ("--release", "3.0", "-M", "pseries"),
        ("--release", "7.2", "-M", "pseries", "--build", "absent.toml"),
        ("--release", "7.2", "-M", "virt"),
        ("compare", "--from", "-M pseries", "--to", TO),
        ("compare", "--from", "'", "--to", TO),
        ("save", "--release", "7.2", "-M", "pseries,cap-htm=on", "-o", "never"),
    ],
)
def test_mistakes_are_errors_of_ours(
    args: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    shown = run(*args)
    assert isinstance(shown.exception, MigratableError), shown.output
    assert list(tmp_path.iterdir()) == []


def test_a_batch_that_is_no_text_is_an_error_of_ours(tmp_path: Path) -> None:
    file = tmp_path / "pairs"
    file.write_bytes(b"\xff\xfe{}")
    shown = run("compare", "--batch", str(file))
    assert isinstance(shown.exception, PlanError)


@pytest.mark.parametrize("args", [(), ("compare",), ("compare", "--from", FROM)])
def test_missing_arguments_are_usage_errors(args: tuple[str, ...]) -> None:
    assert run(*args).exit_code == 2
