"""What-if results for a terminal: policies as columns."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table
from rich.text import Text

from migratable.pseries.plan import Plan
from migratable.pseries.whatif import RunReport
from migratable.pseries.whatif_case import Case
from migratable.report import whatif_grid as grid

STYLES = {
    "broken": "bold red",
    "unsafe": "bold magenta",
    "warns": "yellow",
    "fine": "green",
    "refused": "dim",
    "none": "dim",
}


def show(console: Console, plan: Plan, found: list[RunReport]) -> None:
    """Print everything: for each run the grid, the policies, the smallest counterexamples."""
    console.print(Text(plan.title, style="bold"))
    if plan.story:
        console.print(_flowing(plan.story), style="dim")
    for report in found:
        console.print()
        _run(console, plan, report)


def _flowing(text: str) -> str:
    """Paragraphs without the line breaks of the file that they stand in."""
    return "\n\n".join(" ".join(part.split()) for part in text.split("\n\n"))


def _run(console: Console, plan: Plan, report: RunReport) -> None:
    run = report.run
    console.print(Text(run.title or run.name, style="bold underline"))
    if run.explanation:
        console.print(_flowing(run.explanation), style="dim")
    names = grid.policies(report)
    table = Table(box=None, pad_edge=False, header_style="bold", show_edge=False)
    for name in ("machine", "from", "to", *names):
        table.add_column(name, overflow="fold")
    for row in grid.rows(report):
        cells = (row.cells[name] for name in names)
        table.add_row(
            row.machine,
            row.source,
            Text(row.destination, style="bold" if row.between_equals else ""),
            *(Text(cell.text, style=STYLES[cell.kind]) for cell in cells),
        )
    console.print(table)
    for build, line in report.left_out:
        console.print(Text(f"left out, {build} does not start: {line}", style="dim"))
    console.print()
    summaries = {policy.name: policy.summary for policy in plan.policies}
    for name in names:
        tally = report.tallies[name]
        faulty = tally.directions or tally.unsafe
        console.print(Text(name, style="bold red" if faulty else "bold green"), end="  ")
        console.print(Text(f"{tally.verdict}  ({tally.cases} cases: {summaries[name]})"))
        for case in report.smallest[name][:2]:
            _example(console, report, case)


def _example(console: Console, report: RunReport, case: Case) -> None:
    ours = grid.command_line(report, case, source=True)
    theirs = grid.command_line(report, case, source=False)
    what = "unsafe" if case.result.unsafe else "refused"
    console.print(
        f"    {case.source} -M {ours}  to  {case.destination} -M {theirs}: {what}",
        highlight=False,
        soft_wrap=True,
    )
    for line in case.result.stderr:
        console.print(Text(f"      {line}", style="dim"), soft_wrap=True)
