"""A kind of edit: one file in :mod:`migratable.convert.proposals`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import import_module

from migratable.convert.situation import Answer, Situation


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """A kind's identity.

    :ivar kind: stem of its file with hyphens.
    :ivar rules: ids of the rules whose findings it answers.
    """

    kind: str
    rules: tuple[str, ...]
    propose: Callable[[Situation], Iterator[Answer]]

    @property
    def page(self) -> str:
        """Its page, Markdown: the docstring of its file."""
        module = import_module(f"migratable.convert.proposals.{self.kind.replace('-', '_')}")
        return module.__doc__ or ""
