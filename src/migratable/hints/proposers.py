"""Who proposes remedies for a finding: the rule's own module, else the general ones."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Iterator
from functools import cache

from migratable.hints import default_candidates, remedies
from migratable.hints.candidate import Candidate, Situation
from migratable.verdict import Finding

Propose = Callable[[Situation, Finding], Iterator[Candidate]]


@cache
def proposers() -> dict[str, Propose]:
    """Functions that propose remedies, by rule."""
    found: dict[str, Propose] = {}
    for info in pkgutil.iter_modules(remedies.__path__):
        module = importlib.import_module(f"{remedies.__name__}.{info.name}")
        propose = getattr(module, "candidates", None)
        if propose is not None and not info.name.startswith("_"):
            found[info.name.replace("_", "-")] = propose
    return found


def candidates(situation: Situation, finding: Finding) -> Iterator[Candidate]:
    """Remedies for a finding, cheapest and most likely first."""
    yield from proposers().get(finding.rule, default_candidates.candidates)(situation, finding)
