"""Predict the loader's verdict: replay it over a stream with the destination's own tables.

::

    from migratable.check import check
    verdict = check(stream, profile)

The loader's steps are in :mod:`.replay`, :mod:`.loader`, :mod:`.infos` and :mod:`.virtio`; what
they compare is in :mod:`.rules`, one file a rule; what devices' own code refuses in
:mod:`.devices`.
"""

from __future__ import annotations

from migratable.check.verdict import check, not_started

__all__ = ["check", "not_started"]
