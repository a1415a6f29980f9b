"""A project file, ``migratable.toml``: a team's decisions about single rules.

::

    [[rule]]
    id = "capability-lower"
    severity = "silent"           # or refuses, endangers, warns, latent, info
    device = "spapr"              # optional, with * and ?
    reason = "all guests are restarted in March"
    until = 2027-03-31

An entry needs a reason and a date on which it ends. It changes what a report says of a finding; a
refusal of QEMU stays a refusal, since no file makes QEMU load what it does not. Raised to
``refuses``, a finding makes the verdict ``refused``.
"""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from migratable.check.registry import rules
from migratable.errors import PlanError
from migratable.printable import quoted
from migratable.toml_file import read_toml
from migratable.verdict import Finding, Outcome, Refusal, Severity, Verdict

_LIMIT = 1 << 20
_KEYS = {"id", "severity", "device", "reason", "until"}
_SILENT = "silent"


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """One entry.

    :ivar severity: None silences the rule.
    """

    id: str
    severity: Severity | None
    reason: str
    until: datetime.date
    device: str = "*"


@dataclass(frozen=True, slots=True, kw_only=True)
class Project:
    """All entries of a file."""

    path: Path
    decisions: tuple[Decision, ...] = ()


def load(path: Path) -> Project:
    """Read a project file.

    :raise PlanError: when it cannot be read or is wrong, with the entry's number.
    """
    document = read_toml(path, limit=_LIMIT, what="a project file")
    unknown = sorted(set(document) - {"rule"})
    if unknown:
        raise PlanError(f"{path}: {quoted(unknown[0])} is not known; entries are [[rule]]")
    entries = document.get("rule", [])
    if not isinstance(entries, list):
        raise PlanError(f"{path}: 'rule' is a table; write [[rule]]")
    return Project(
        path=path,
        decisions=tuple(
            _decision(entry, f"{path}: [[rule]] number {number}")
            for number, entry in enumerate(entries, 1)
        ),
    )


def _decision(entry: Any, where: str) -> Decision:
    if not isinstance(entry, Mapping):
        raise PlanError(f"{where}: a table is expected")
    unknown = sorted(set(entry) - _KEYS)
    if unknown:
        raise PlanError(f"{where}: {quoted(unknown[0])} is not known; known are {', '.join(_KEYS)}")
    for key in ("id", "severity", "reason"):
        if not isinstance(entry.get(key), str) or not entry[key].strip():
            raise PlanError(f"{where}: {quoted(key)} is missing or not a string")
    if entry["id"] not in rules():
        raise PlanError(f"{where}: no rule has the id {quoted(entry['id'])}; see `migratable rule`")
    until = entry.get("until")
    if isinstance(until, datetime.datetime) or not isinstance(until, datetime.date):
        raise PlanError(f"{where}: 'until' needs the date on which this ends: until = 2027-03-31")
    severity = entry["severity"]
    if severity != _SILENT and severity not in set(Severity):
        allowed = ", ".join([_SILENT, *Severity])
        raise PlanError(f"{where}: severity {quoted(severity)}; allowed are {allowed}")
    return Decision(
        id=entry["id"],
        severity=None if severity == _SILENT else Severity(severity),
        reason=entry["reason"].strip(),
        until=until,
        device=str(entry.get("device", "*")),
    )


def apply(verdict: Verdict, project: Project, *, today: datetime.date) -> Verdict:
    """Change the findings as the file says; what was changed is in ``Verdict.project``."""
    notes: list[str] = []
    findings = list(verdict.findings)
    for decision in project.decisions:
        if decision.until < today:
            notes.append(f"{decision.id}: ended on {decision.until}, no longer applied")
            continue
        changed: list[Finding] = []
        for finding in findings:
            if finding.rule != decision.id or not fnmatchcase(
                finding.device or "", decision.device
            ):
                changed.append(finding)
                continue
            what = "silenced" if decision.severity is None else str(decision.severity)
            if finding.severity is Severity.REFUSES and finding.stderr:
                notes.append(
                    f"{decision.id}: not changed: QEMU refuses, and a project file cannot "
                    "change that"
                )
                changed.append(finding)
                continue
            notes.append(f"{decision.id}: {what} until {decision.until}: {decision.reason}")
            if decision.severity is not None:
                changed.append(replace(finding, severity=decision.severity))
        findings = changed
    return _with(verdict, findings, tuple(dict.fromkeys(notes)))


def _with(verdict: Verdict, findings: list[Finding], notes: tuple[str, ...]) -> Verdict:
    raised = next((f for f in findings if f.severity is Severity.REFUSES), None)
    if verdict.outcome is Outcome.LOADS and raised is not None:
        refusal = Refusal(
            rule=raised.rule,
            message=f"(by the project file) {raised.summary}",
            device=raised.device,
            instance_id=raised.instance_id,
            stderr=verdict.stderr,
        )
        verdict = replace(verdict, outcome=Outcome.REFUSED, first_refusal=refusal)
    return replace(verdict, findings=tuple(findings), project=notes)
