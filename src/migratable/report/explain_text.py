"""The report of ``migratable explain`` for a terminal."""

from __future__ import annotations

from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from migratable.explain.explanation import Explanation, Report, Status
from migratable.explain.grouping import Line
from migratable.explain.operation import Operation

_STATUS = {
    Status.EXPLAINED: ("FAILED", "bold red"),
    Status.WARNING: ("WARNING ONLY", "bold yellow"),
    Status.SYMPTOM: ("FAILED, CAUSE IN ANOTHER LOG", "bold yellow"),
    Status.UNKNOWN: ("FAILED, CAUSE UNKNOWN", "bold magenta"),
}
_LIKELY = ("FAILED, LIKELY CAUSE", "bold red")
SIDES = {
    "source": "the source",
    "destination": "the destination",
    "neither": "neither side",
    "cannot tell": "unknown from this log",
}
MAX_CONTEXT = 12
# Rules about files, connections, daemons and options: those of the host that loads.
_OF_A_HOST = frozenset({"storage", "transport", "management", "destination-start", "configuration"})


def print_report(report: Report, console: Console, *, name: str) -> None:
    """Write *report* to *console*; *name* is the input's."""
    for number, item in enumerate(report.explanations, 1):
        console.print(_explanation(item, number, len(report.explanations)))
        console.print()
    if not report.explanations and not report.suspicious:
        console.print(Text(f"No failed migration found in {name} ({report.lines:,} lines)."))
        return
    if report.suspicious:
        console.print(_suspicious(report.suspicious, name, alone=not report.explanations))
    if not report.explanations:
        return
    total = sum(item.count for item in report.explanations)
    unknown = sum(item.status is Status.UNKNOWN for item in report.explanations)
    tail = f", {unknown} with an unknown cause" if unknown else ""
    kinds = len(report.explanations)
    what = "one failure" if total == 1 else f"{total} failures"
    if kinds < total:
        what += f", {kinds} of them different" if kinds > 1 else ", all alike"
    lines = "1 line" if report.lines == 1 else f"{report.lines:,} lines"
    console.print(Text(f"{name}: {lines}, {what}{tail}.", style="dim"))


def _explanation(item: Explanation, number: int, total: int) -> RenderableType:
    label, style = _LIKELY if item.likely else _STATUS[item.status]
    head = Text()
    if total > 1:
        head.append(f"{number} of {total}  ", style="dim")
    head.append(label, style=style)
    place = f"  {item.log}, line {item.number:,}" if item.log else f"  line {item.number:,}"
    if item.count > 1:
        place += f", {item.count:,} times, last at line {item.last:,}"
    head.append(place, style="dim")
    rows = Table.grid(padding=(0, 2))
    rows.add_column(style="bold", no_wrap=True, min_width=10)
    rows.add_column(overflow="fold")
    rows.add_row("", Text(item.line, style="cyan", overflow="fold"))
    rows.add_row("", "")
    rows.add_row("Means", Text(item.meaning))
    for detail in item.details:
        rows.add_row("", Text(f"- {detail}"))
    for case in item.cases:
        text = Text(f"{case.title} ", style="")
        text.append(f"({case.certainty})", style="dim")
        rows.add_row("Known", text)
        rows.add_row("", Text(case.explanation))
        if case.releases:
            rows.add_row("", Text(f"Seen: {case.releases}"))
        if case.now and case.now not in item.now:
            rows.add_row("", Text(f"If it is this: {case.now}"))
    rows.add_row("At fault", Text(side_of(item)))
    if item.rule:
        rows.add_row("Rule", Text(item.rule))
    if item.now:
        rows.add_row("Fix now", Text(item.now))
    if item.prevent:
        rows.add_row("Prevent", Text(item.prevent))
    if item.proof:
        rows.add_row("Verify", Text(item.proof, style="green"))
    if item.references:
        rows.add_row("See", Text(", ".join(item.references)))
    for other in item.also:
        rows.add_row("Also", Text(_placed(other.line), style="cyan", overflow="fold"))
        rows.add_row("", Text(f"{other.meaning} {other.now}".strip()))
    for line in item.unknown[:MAX_CONTEXT] if item.status is not Status.UNKNOWN else ():
        rows.add_row("Not known", Text(_placed(line), style="magenta"))
    story = item.both or len({line.log for line in item.lines}) > 1
    if item.status is Status.UNKNOWN or story:
        for line in (*item.unknown, *item.lines)[:MAX_CONTEXT]:
            rows.add_row("Story" if story else "Raw", Text(_placed(line), style="dim"))
    return Group(head, Padding(rows, (0, 0, 0, 2)))


def side_of(item: Explanation) -> str:
    """Whose fault it is; where no migration is going on there is only one host."""
    if item.operation is Operation.RESTORE and str(item.side) == "source":
        return "what saved the state"
    alone = item.operation not in (Operation.MIGRATION, Operation.UNKNOWN)
    if alone and str(item.side) in ("source", "destination"):
        return "this host"
    if alone and str(item.side) == "cannot tell":
        loads = item.operation is Operation.RESTORE and item.rule not in _OF_A_HOST
        return "what saved the state, or this host" if loads else "this host"
    if not item.side_shown:
        return f"not shown by this log; in a migration {SIDES[str(item.side)]}"
    return SIDES[str(item.side)]


def _placed(line: Line) -> str:
    return f"{line.log + ':' if line.log else ''}{line.number}: {line.text}"


def _suspicious(lines: tuple[Line, ...], name: str, *, alone: bool) -> RenderableType:
    """Lines that nothing recognised; beside failures, those of QEMU come first."""
    if alone:
        head = f"No known message of a failed migration in {name}; these lines are unknown:"
    else:
        head = "Lines that look like errors and are not known:"
        lines = tuple(sorted(lines, key=lambda line: not line.qemu))
    parts: list[RenderableType] = [Text(head)]
    parts += [
        Padding(Text(_placed(line), style="cyan", overflow="fold"), (0, 0, 0, 2))
        for line in lines[:MAX_CONTEXT]
    ]
    if len(lines) > MAX_CONTEXT:
        parts.append(Text(f"  … and {len(lines) - MAX_CONTEXT} more", style="dim"))
    return Group(*parts)
