"""The pages of ``migratable rule``."""

from __future__ import annotations

import re
from typing import NamedTuple

BETWEEN_HOSTS = "Between two hosts (`migratable preflight`)"
EDIT = "As an edit of `migratable convert`"


class Page(NamedTuple):
    """What is shown of a rule or a host check."""

    id: str
    severity: str
    page: str


def joined(first: str, title: str, second: str) -> str:
    """Two pages of one id: the second follows as a part of the first."""
    demoted = re.sub(r"^## ", "### ", second.strip(), flags=re.MULTILINE)
    return f"{first.rstrip()}\n\n## {title}\n\n{demoted}\n"


def pages() -> dict[str, Page]:
    """Rules by id, host checks of ``preflight``, and kinds of edits of ``convert``.

    Where an edit or a host check has the id of a rule, its text follows the rule's.
    """
    from migratable.check.registry import rules
    from migratable.convert.proposals import PROPOSALS
    from migratable.hosts.checks import CHECKS, page

    found = {name: Page(name, str(rule.severity), rule.page) for name, rule in rules().items()}
    for title, further in (
        (BETWEEN_HOSTS, [Page(one.id, str(one.severity), page(one)) for one in CHECKS]),
        (EDIT, [Page(one.kind, "edit", one.page) for one in PROPOSALS]),
    ):
        for one in further:
            rule = found.get(one.id)
            found[one.id] = (
                one if rule is None else rule._replace(page=joined(rule.page, title, one.page))
            )
    return found
