"""The pages of ``migratable rule``."""

from __future__ import annotations

from typing import NamedTuple


class Page(NamedTuple):
    """What is shown of a rule or a host check."""

    id: str
    severity: str
    page: str


def pages() -> dict[str, Page]:
    """Rules by id, what ``preflight`` checks of the hosts, and kinds of edits of ``convert``."""
    from migratable.check.registry import rules
    from migratable.convert.proposals import PROPOSALS
    from migratable.hosts.checks import CHECKS, page

    found = {name: Page(name, str(rule.severity), rule.page) for name, rule in rules().items()}
    found |= {check.id: Page(check.id, str(check.severity), page(check)) for check in CHECKS}
    return found | {
        proposal.kind: Page(proposal.kind, "edit", proposal.page) for proposal in PROPOSALS
    }
