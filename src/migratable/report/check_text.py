"""The text output of ``migratable check``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from rich.console import Console
from rich.padding import Padding
from rich.text import Text

from migratable.facts.kvm import ACCELERATOR_NAMES
from migratable.printable import printable, shown
from migratable.report.hint_text import hint_lines, labelled, piped_width, printed, way_back
from migratable.units import size
from migratable.verdict import Basis, Finding, Outcome, Severity, Verdict

_STYLE = {Outcome.LOADS: "bold green", Outcome.REFUSED: "bold red", Outcome.UNKNOWN: "bold yellow"}
_SAYS = {
    Outcome.LOADS: "the destination will load this guest",
    Outcome.REFUSED: "the destination will not load this guest",
    Outcome.UNKNOWN: "no prediction possible",
}
_SEVERITY = {
    Severity.REFUSES: "bold red",
    Severity.ENDANGERS: "bold magenta",
    Severity.WARNS: "yellow",
    Severity.LATENT: "cyan",
    Severity.INFO: "dim",
}
_ORDER = list(Severity)
#: Findings that a person is shown.
_MOST = 12
_FEW = 3


def show(
    verdict: Verdict,
    *,
    name: str,
    to: str = "",
    latent: bool = False,
    console: Console | None = None,
) -> None:
    """Print the whole verdict: who, what, every finding, what was not examined.

    :param latent: every latent difference, not the first few.
    """
    verdict, name, to = shown(verdict), printable(name), printable(to)
    out = console or Console(highlight=False)
    if console is None and not out.is_terminal:
        out = Console(highlight=False, width=piped_width())
    with out.capture() as captured:
        _show(out, verdict, name, to, most=len(verdict.findings) if latent else _FEW)
    for line in captured.get().splitlines():
        out.file.write(line.rstrip() + "\n")  # rich fills wrapped lines up with spaces


def _show(out: Console, verdict: Verdict, name: str, to: str, *, most: int) -> None:
    width = max(len(name), len(f"to {to}")) + 3
    out.print(Text(name.ljust(width), style="bold") + Text(_source(verdict.source)))
    out.print(Text(f"to {to}".ljust(width)) + Text(_destination(verdict.destination)))
    out.print()
    out.print(_headline(verdict))
    if verdict.back is not None or verdict.no_back:
        out.print(way_back(verdict))
    if verdict.disagreement:
        out.print(Text("  DISAGREEMENT with the prediction; the real QEMU is right:", "bold red"))
        for line in verdict.disagreement:
            out.print(Padding(Text(line), (0, 0, 0, 4), expand=False))
    findings = _sorted(verdict.findings)
    latent = [finding for finding in findings if finding.severity is Severity.LATENT]
    others = [finding for finding in findings if finding.severity is not Severity.LATENT]
    commands: set[str] = set()
    refusal = verdict.first_refusal
    unless = () if refusal is None else refusal.unless
    for number, finding in enumerate([*others[:_MOST], *latent[:most]]):
        out.print()
        for part in _finding(finding, commands, whole=number == 0 and not unless):
            out.print(part)
        if number == 0:
            for reason in unless:
                before = f"QEMU may stop earlier, at a part that was not examined: {reason}"
                out.print(labelled("Unless", before))
    if len(others) > _MOST:
        out.print(Text(f"\n  {len(others) - _MOST} more findings: --format json"))
    if len(latent) > most:
        left = len(latent) - most
        out.print(Text(f"\n  {left} more {_plural('latent difference', left)}: --latent"))
    warnings = [line for line in verdict.stderr if verdict.outcome is Outcome.LOADS]
    if warnings:
        out.print(Text("\n  QEMU will print", style="bold"))
        for line in printed(warnings)[:20]:
            out.print(Padding(Text(line, style="dim"), (0, 0, 0, 4), expand=False))
    if verdict.project:
        out.print(Text("\n  Decided in the project file", style="bold"))
        for line in verdict.project:
            out.print(Padding(Text(line), (0, 0, 0, 4), expand=False))
    out.print()
    for line in _unchecked(verdict):
        out.print(Padding(Text(line, style="dim"), (0, 0, 0, 2), expand=False))


def _source(facts: Any) -> str:
    parts = [str(facts.get("machine") or "no machine type")]
    release = facts.get("release") or facts.get("qemu")
    if release:
        parts.append(f"saved by QEMU {release}")
    if facts.get("ram_bytes"):
        parts.append(size(int(facts["ram_bytes"])))
    if facts.get("sections"):
        parts.append(f"{facts['sections']} sections")
    return ", ".join(parts)


def _destination(facts: Any) -> str:
    return machine_in_words(facts) if facts else "a QEMU that does not start"


def machine_in_words(facts: Any) -> str:
    """QEMU's release, machine type, CPU and accelerator of a verdict's ``destination``."""
    parts = [f"QEMU {facts.get('qemu') or '?'}"]
    parts += [str(facts[key]) for key in ("machine", "cpu") if facts.get(key)]
    stand_in = " in the place of KVM" if facts.get("stand_in_for_kvm") else ""
    name = str(facts.get("accelerator", "tcg"))
    parts.append(ACCELERATOR_NAMES.get(name, name.upper()) + stand_in)
    return ", ".join(parts)


def _headline(verdict: Verdict) -> Text:
    counts = dict.fromkeys(_ORDER, 0)
    for finding in verdict.findings:
        counts[finding.severity] += 1
    words = [
        f"{count} {_plural(word, count)}"
        for word, count in (
            ("cause", counts[Severity.REFUSES]),
            ("danger", counts[Severity.ENDANGERS]),
            ("warning", counts[Severity.WARNS]),
            ("latent difference", counts[Severity.LATENT]),
        )
        if count
    ]
    says = _SAYS[verdict.outcome]
    if verdict.outcome is Outcome.LOADS and counts[Severity.ENDANGERS]:
        says = "QEMU will load this guest, and it may break afterwards"
    if verdict.basis is Basis.REHEARSED:
        says += ", tried with the real QEMU"
    elif not verdict.final and verdict.outcome is Outcome.LOADS:
        says += " by its tables; the code of this build is not known: rehearse to be sure"
    more = f" ({', '.join(words)})" if words else ""
    label = str(verdict.outcome).upper()
    return Text(f"{label:<12}", style=_STYLE[verdict.outcome]) + Text(says + more)


def _plural(word: str, count: int) -> str:
    return word if count == 1 else word + "s"


def _sorted(findings: Sequence[Finding]) -> list[Finding]:
    """Gravest first, in the stream's order; what endangers a guest that loads comes first."""
    return sorted(
        (finding for finding in findings if finding.severity is not Severity.INFO),
        key=lambda one: _ORDER.index(one.severity),
    ) + [finding for finding in findings if finding.severity is Severity.INFO]


def _finding(finding: Finding, commands: set[str], *, whole: bool) -> Iterator[Any]:
    label = finding.rule
    if finding.severity is not Severity.REFUSES:
        label = f"{finding.severity}: {label}"
    head = Text("  ") + Text(label, style=_SEVERITY[finding.severity])
    where = []
    if finding.device is not None:
        where.append(f"device '{finding.device}'")
    if finding.instance_id is not None:
        where.append(f"instance {finding.instance_id:#x}"[:40])
    yield head + Text("   " + ", ".join(where) if where else "")
    yield Padding(
        Text(finding.summary[:1].upper() + finding.summary[1:] + "."), (0, 0, 0, 4), expand=False
    )
    for line in finding.explanation.splitlines():
        yield Padding(Text(line), (0, 0, 0, 4), expand=False)
    if finding.severity is Severity.REFUSES and finding.stderr:
        # QEMU stops at the first cause; it would print the others only once that one is gone.
        yield labelled("QEMU will print" if whole else "It would print", finding.stderr[0])
        for line in finding.stderr[1:] if whole else ():
            yield labelled("", line)
    for hint in finding.hints:
        yield from hint_lines(hint, commands)


def _unchecked(verdict: Verdict) -> Iterator[str]:
    if verdict.outcome is Outcome.UNKNOWN:
        for reason in verdict.unchecked:
            yield f"Not examined: {reason}."
    elif verdict.unchecked:
        yield f"Not examined: {'; '.join(verdict.unchecked)}."
