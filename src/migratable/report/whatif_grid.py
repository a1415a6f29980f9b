"""What-if results as a grid: rows are machine type and direction, columns are policies."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from migratable.pseries.load import Loaded
from migratable.pseries.whatif import RunReport
from migratable.pseries.whatif_case import Case

MAX_DETAIL = 400
"""Pairs of option values that a table of details shows; more are only counted."""


@dataclass(slots=True)
class Cell:
    """Counts of one policy in one row."""

    cases: int = 0
    broken: int = 0
    own: int = 0
    unsafe: int = 0
    warns: int = 0
    refused: int = 0

    def add(self, case: Case) -> None:
        """Count one case."""
        self.cases += 1
        self.refused += case.result.verdict == "refused"
        self.broken += case.broken
        self.own += case.broken and case.between_equals
        self.unsafe += case.result.unsafe
        self.warns += case.warns_falsely

    @property
    def kind(self) -> str:
        """The gravest: ``broken``, ``unsafe``, ``warns`` or ``fine``; ``none`` without cases."""
        if not self.cases:
            return "none"
        if self.broken:
            return "broken"
        if self.unsafe:
            return "unsafe"
        return "warns" if self.warns else "fine"

    @property
    def text(self) -> str:
        """The cell in few words."""
        parts = []
        if self.broken:
            parts.append(f"{self.broken} of {self.cases} broken")
        if self.unsafe:
            parts.append(f"{self.unsafe} unsafe")
        if not parts and self.warns:
            parts.append(f"{self.warns} false warnings" if self.warns > 1 else "1 false warning")
        return ", ".join(parts) or ("ok" if self.cases else "")


@dataclass(slots=True)
class Row:
    """One machine type and direction."""

    machine: str
    source: str
    destination: str
    cells: dict[str, Cell]

    @property
    def between_equals(self) -> bool:
        """Is it the same build on both sides?"""
        return self.source == self.destination


@dataclass(slots=True)
class Detail:
    """One pair of option values in one row: the case of each policy."""

    machine: str
    cpu: str
    source: str
    destination: str
    source_options: str
    destination_options: str
    cases: dict[str, Case] = field(default_factory=dict)

    @property
    def differs(self) -> bool:
        """Do policies differ here, or is one of them at fault?"""
        results = {case.result for case in self.cases.values()}
        return len(results) > 1 or any(
            case.broken or case.result.unsafe for case in self.cases.values()
        )


def policies(report: RunReport) -> list[str]:
    """Names of the policies, in the plan's order."""
    return list(report.tallies)


def rows(report: RunReport) -> list[Row]:
    """The grid at a glance."""
    names = policies(report)
    found: dict[tuple[str, str, str], Row] = {}
    for case in report.cases:
        key = (case.machine, case.source, case.destination)
        row = found.get(key)
        if row is None:
            row = found[key] = Row(*key, {name: Cell() for name in names})
        row.cells[case.policy].add(case)
    return list(found.values())


@dataclass(slots=True)
class Glance:
    """One line of the summary over all runs."""

    run: str
    label: str
    note: str
    cells: dict[str, Cell]


def glance(reports: list[RunReport]) -> list[Glance]:
    """The first run by direction, and each scenario between different builds as one line."""
    found: dict[tuple[str, str, str], Glance] = {}
    for number, report in enumerate(reports):
        names = policies(report)
        order = [build.build.release for build in report.run.builds]
        places = {build.build.name: index for index, build in enumerate(report.run.builds)}
        for case in report.cases:
            if number and case.source == case.destination:
                continue
            key = (report.run.name, *((case.source, case.destination) if not number else ("", "")))
            line = found.get(key)
            if line is None:
                ours, theirs = places[case.source], places[case.destination]
                if number:
                    label, note = report.run.title or report.run.name, ""
                else:
                    label = f"{case.source} → {case.destination}"
                    note = _direction(order[ours], order[theirs], ours == theirs)
                cells = {name: Cell() for name in names}
                line = found[key] = Glance(report.run.name, label, note, cells)
            line.cells[case.policy].add(case)
    return list(found.values())


def _direction(source: tuple[int, int], destination: tuple[int, int], same: bool) -> str:
    if same:
        return "between equal releases"
    return "forward" if source < destination else "backward" if source > destination else ""


def details(report: RunReport) -> tuple[list[Detail], int]:
    """Pairs of option values on which policies differ or fail, and how many there are besides."""
    found: dict[tuple[object, ...], Detail] = {}
    for case in report.cases:
        key = case[1:7]
        detail = found.get(key)
        if detail is None:
            detail = found[key] = Detail(
                machine=case.machine,
                cpu=case.cpu,
                source=case.source,
                destination=case.destination,
                source_options=options(report, case.source_values),
                destination_options=options(report, case.destination_values),
            )
        detail.cases[case.policy] = case
    shown = [detail for detail in found.values() if detail.differs]
    return shown[:MAX_DETAIL], len(found) - min(len(shown), MAX_DETAIL)


def options(report: RunReport, values: Iterable[str]) -> str:
    """Option values as one would give them; the option's name only when there are several."""
    keys = [key for key, _ in report.run.options]
    given = [(key, value) for key, value in zip(keys, values, strict=True) if value]
    if not given:
        return "default"
    if len(keys) == 1:
        return given[0][1]
    return ",".join(f"{key}={value}" for key, value in given)


def command_line(report: RunReport, case: Case, *, source: bool) -> str:
    """QEMU's machine option on one side of a case."""
    values = case.source_values if source else case.destination_values
    keys = [key for key, _ in report.run.options]
    given = [f"{key}={value}" for key, value in zip(keys, values, strict=True) if value]
    return ",".join([case.machine, *given])


def outcome(case: Case) -> tuple[str, str]:
    """(kind, short text) of one case: ``refused``, ``warning``, ``unsafe``, ``ok``."""
    result = case.result
    if result.loaded.refused:
        return ("broken" if case.broken else "refused"), _refused(result.loaded)
    if result.unsafe:
        return "unsafe", "loads, unsafe"
    if result.warns:
        return "warns", f"warns {', '.join(name for name, _ in result.loaded.differing)}"
    return "fine", "ok"


def _refused(loaded: Loaded) -> str:
    if loaded.higher:
        return f"{loaded.higher[0]} higher"
    if loaded.rule == "unknown-section":
        return f"no {loaded.device}"
    return "unknown subsection" if loaded.rule == "unknown-subsection" else "refused"
