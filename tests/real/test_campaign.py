"""Predictions beside real QEMU: random machines, and disagreements that were found and mended."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from migratable.campaign import corpus, report, runner
from migratable.campaign.cache import Cache
from migratable.campaign.campaign import Plan, carry_out
from migratable.campaign.judge import Grade, Judgement, errors, judge
from migratable.lab import Installed
from tests.conftest import Lab

pytestmark = pytest.mark.real

RELEASES = ("5.2", "7.2", "10.0", "11.1")
CASES = sorted((Path(__file__).parent.parent / "corpus" / "campaign").glob("*.toml"))


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("campaign")


@pytest.fixture
def four(lab: Lab) -> list[Installed]:
    return [lab(release, arch) for release in RELEASES for arch in ("x86_64", "ppc64")]


def shown(found: Sequence[Judgement], *grades: Grade) -> str:
    bad = [one for one in found if one.grade in grades]
    return "\n\n".join(["", *(f"{one.grade}\n{report.details(one)}" for one in bad)])


def measure(found: Sequence[Judgement], *, verdicts: float, causes: float, lines: float) -> None:
    score = report.score(found)
    assert score.wrong_loads.count == 0, shown(found, Grade.WRONG_LOADS)
    assert score.failed.count == 0, shown(found, Grade.FAILED)
    worst = (Grade.FALSE_REFUSAL, Grade.UNKNOWN)
    assert score.verdicts.rate >= verdicts, shown(found, *worst)
    assert score.causes.rate >= causes, shown(found, Grade.RULE)
    assert score.lines.rate >= lines, shown(found, Grade.LINE)


@pytest.mark.slow
@pytest.mark.usefixtures("four")
def test_small_campaign(folder: Path) -> None:
    """Forty pairs: about a minute. One disagreement is 2.5 %."""
    found = carry_out(Plan(folder=folder, seed=20261, pairs=40, releases=RELEASES))
    assert len(found) >= 38  # one or two may hang
    assert {one.real for one in found} == {"loads", "refused"}
    measure(found, verdicts=0.95, causes=0.9, lines=0.85)


@pytest.mark.slow
@pytest.mark.usefixtures("four")
@pytest.mark.parametrize("held_out", [False, True], ids=["common", "held-out"])
def test_campaign(folder: Path, held_out: bool) -> None:
    """What the project promises, on cases that nobody looked at."""
    plan = Plan(folder=folder, seed=20262, pairs=250, releases=RELEASES, held_out=held_out)
    found = carry_out(plan)
    measure(found, verdicts=0.97, causes=0.95, lines=0.9)


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_mended_disagreement(path: Path, lab: Lab, folder: Path) -> None:
    """Real QEMU still does what the file says, and the prediction is right."""
    case = corpus.load(path)
    for side in (case.source, case.destination):
        lab(side.release, side.arch)
    cache = Cache(folder)
    stream = folder / f"{path.stem}.stream"
    source, data = runner.save(case.source, stream)
    assert source["status"] == "saved", source
    cache.put_source(case.source, source, data)
    outcome = runner.load(case.label, case.source, case.destination, stream)
    assert outcome.status == case.status
    if not case.source.run:  # firmware does not get equally far each time
        lines = outcome.start if outcome.status == "no-start" else outcome.lines
        assert errors(lines) == (case.start or case.lines)
    found = judge(outcome, cache)
    assert found.grade in (Grade.AGREES, Grade.LINES), report.details(found)
