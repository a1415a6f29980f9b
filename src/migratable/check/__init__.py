"""Predict the loader's verdict: replay QEMU's loader over a stream with the destination's tables.

::

    from migratable.check import check
    verdict = check(stream, profile)

The loader's steps are in :mod:`.savevm`, :mod:`.vmstate` and :mod:`.vmstate_types`. The comparisons
are in :mod:`.rules`, one file per rule, and the refusals of devices' own code in :mod:`.devices`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from migratable.check.verdict import check, not_started

__all__ = ["check", "not_started"]


def __getattr__(name: str) -> Any:
    """The engine is imported when it is used: a rule's page needs none of it."""
    if name not in __all__:
        raise AttributeError(name)
    from migratable.check import verdict  # noqa: PLC0415

    return getattr(verdict, name)
