"""What-if results as one HTML page without external parts: light and dark, printable."""

from __future__ import annotations

from importlib import resources
from typing import Any

import jinja2

from migratable.pseries.plan import Plan
from migratable.pseries.whatif import RunReport
from migratable.pseries.whatif_case import Case, Tally
from migratable.report import whatif_grid as grid

SYMBOLS = {"broken": "✗", "unsafe": "▲", "warns": "!", "fine": "✓", "refused": "–", "none": ""}


def render(plan: Plan, found: list[RunReport]) -> str:
    """The page as text."""
    environment = jinja2.Environment(
        autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
    )
    template = resources.files("migratable.report").joinpath("whatif.html.j2").read_text("utf-8")
    return environment.from_string(template).render(
        plan=plan,
        story=[text.replace("\n", " ") for text in plan.story.split("\n\n")],
        runs=[_run(plan, report) for report in found],
        glance=grid.glance(found),
        symbols=SYMBOLS,
        outcome=grid.outcome,
    )


def _run(plan: Plan, report: RunReport) -> dict[str, Any]:
    shown, hidden = grid.details(report)
    run = report.run
    return {
        "name": run.name,
        "title": run.title or run.name,
        "explanation": run.explanation.replace("\n", " "),
        "rows": grid.rows(report),
        "policies": [
            {
                "name": policy.name,
                "summary": policy.summary,
                "tally": report.tallies[policy.name],
                "kind": _kind(report.tallies[policy.name]),
                "examples": tuple(_example(report, case) for case in report.smallest[policy.name]),
            }
            for policy in plan.policies
        ],
        "details": shown,
        "hidden": hidden,
        "several_cpus": len(run.cpus) > 1,
        "left_out": report.left_out,
    }


def _kind(tally: Tally) -> str:
    if tally.directions:
        return "broken"
    if tally.unsafe:
        return "unsafe"
    return "warns" if tally.false_warnings else "fine"


def _example(report: RunReport, case: Case) -> dict[str, Any]:
    if case.result.unsafe:
        kind, what = "unsafe", "loads, and the guest loses something"
    elif case.between_equals:
        kind, what = "broken", "refused by the same build with the same options"
    else:
        kind, what = "broken", "refused, and loaded before the change"
    return {
        "kind": kind,
        "what": what,
        "source": case.source,
        "destination": case.destination,
        "source_machine": grid.command_line(report, case, source=True),
        "destination_machine": grid.command_line(report, case, source=False),
        "stderr": case.result.stderr,
    }
