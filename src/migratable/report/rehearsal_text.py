"""The text output of ``migratable rehearse``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeGuard

from rich.console import Console
from rich.text import Text

from migratable.errors import MigratableError
from migratable.printable import printable, shown
from migratable.report.check_text import machine_in_words
from migratable.report.hint_text import hint_lines, piped_width, printed, way_back
from migratable.stream import Stream
from migratable.units import size
from migratable.verdict import Outcome, Severity, Verdict

_STYLE = {Outcome.LOADS: "bold green", Outcome.REFUSED: "bold red", Outcome.UNKNOWN: "bold yellow"}
_SAYS = {
    Outcome.LOADS: "the real QEMU loads this guest",
    Outcome.REFUSED: "the real QEMU does not load this guest",
    Outcome.UNKNOWN: "the rehearsal gives no answer",
}
_FINDING = {Severity.ENDANGERS: "bold red", Severity.WARNS: "yellow", Severity.INFO: ""}
_LINES = 40


def show(
    name: str,
    stream: Stream,
    answers: Sequence[Verdict | MigratableError],
    names: Sequence[str],
    console: Console | None = None,
) -> None:
    """Print source and answers; the errors of single destinations too, as they are the result."""
    if len(answers) == 1 and isinstance(answers[0], MigratableError):
        raise answers[0]
    answers = [
        answer if isinstance(answer, MigratableError) else shown(answer) for answer in answers
    ]
    name, names = printable(name), shown(list(names))
    out = console or Console(highlight=False, soft_wrap=True)
    if console is None and not out.is_terminal:
        out = Console(highlight=False, soft_wrap=True, width=piped_width())
    with out.capture() as captured:
        _show(out, name, stream, answers, names)
    for line in captured.get().splitlines():
        out.file.write(line.rstrip() + "\n")  # rich fills the columns of tables up with spaces


def _show(
    out: Console,
    name: str,
    stream: Stream,
    answers: Sequence[Verdict | MigratableError],
    names: Sequence[str],
) -> None:
    ram = sum(block.used_length for block in stream.ram_blocks)
    machine = stream.machine or "no machine type"
    counts = [answer.source["sections"] for answer in answers if _counted(answer)]
    sections = counts[0] if counts else len(stream.devices)
    out.print(Text(f"{name}   {machine}, {size(ram)}, {sections} sections"))
    for answer, destination in zip(answers, names, strict=True):
        if isinstance(answer, MigratableError):
            out.print(Text(f"to {destination}"))
            out.print(Text(f"FAILED      no answer: {answer}", style="bold magenta"))
        else:
            _one(out, answer, destination)


def _counted(answer: Verdict | MigratableError) -> TypeGuard[Verdict]:
    return isinstance(answer, Verdict) and "sections" in answer.source


def _one(out: Console, answer: Verdict, name: str) -> None:
    out.print(Text(f"to {name}   {machine_in_words(answer.destination)}"))
    label = str(answer.outcome).upper()
    out.print()
    out.print(Text(f"{label:<12}", style=_STYLE[answer.outcome]) + Text(_SAYS[answer.outcome]))
    commands: set[str] = set()
    if answer.back is not None or answer.no_back:
        out.print(way_back(answer))
    for finding in answer.findings:
        grave = finding.severity is Severity.REFUSES
        if not grave and finding.rule == "cpu-features":
            continue  # what TCG lacks; the lines are shown below
        where = f"   device {finding.device!r}" if finding.device else ""
        where += f", instance {finding.instance_id}" if finding.instance_id is not None else ""
        label = finding.rule if grave else f"{finding.severity}: {finding.rule}"
        style = "bold" if grave else _FINDING.get(finding.severity, "")
        out.print(Text(f"\n  {label}", style=style) + Text(where))
        for text in (finding.summary, *finding.explanation.splitlines()):
            if text:
                out.print(Text(f"    {text}"))
        for hint in finding.hints:
            for part in hint_lines(hint, commands):
                out.print(part)
    if answer.stderr:
        out.print(Text("\n  QEMU printed", style="bold"))
        lines = printed(answer.stderr)
        for line in lines[:_LINES]:
            out.print(Text(f"    {line}"))
        if len(lines) > _LINES:
            out.print(Text(f"    … and {len(lines) - _LINES} lines more"))
    for text in answer.unchecked:
        out.print(Text(f"  Not examined: {text}", style="dim"))
    out.print()
