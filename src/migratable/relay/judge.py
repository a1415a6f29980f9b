"""Prepare the check of one stream before the stream arrives."""

from __future__ import annotations

import gc
from collections.abc import Mapping
from typing import Any

from migratable.check import check, events
from migratable.check.baseline import Baseline
from migratable.check.rules import RULES
from migratable.errors import MigratableError
from migratable.profile.model import Profile
from migratable.stream import Stream, read
from migratable.verdict import Outcome, Verdict

_LATER = (events.StreamLoaded, events.RegistersPut)


class Judge:
    """Checks streams against one destination."""

    def __init__(self, profile: Profile, *, source: Mapping[str, Any] | None = None) -> None:
        """Index the destination's tables, and load its own stream with them.

        :param source: facts about the source, for reports.
        """
        self.profile = profile
        self._source = dict(source or {})
        self._baseline = None if profile.loader is None else Baseline(profile, profile.loader)
        self._warm()

    def _warm(self) -> None:
        """Check the destination's own stream: every module, table and section is then in memory."""
        if self._baseline is None or not self.profile.stream:
            return
        for _ in range(2):
            try:
                check(read(self.profile.stream), self._baseline)
            except MigratableError:
                return
        gc.collect()
        gc.freeze()  # what is there now is not looked through while a guest stands still

    @property
    def page_size(self) -> int:
        """Of the destination's target; a source of another is refused."""
        own = None if self._baseline is None else self._baseline.stream
        return 4096 if own is None else own.page_size

    def check(self, stream: Stream) -> Verdict:
        """The verdict on a whole stream."""
        enabled = gc.isenabled()
        gc.disable()
        try:
            return check(stream, self._baseline or self.profile, source=self._source)
        finally:
            if enabled:
                gc.enable()

    def refused_anyhow(self) -> Verdict | None:
        """The verdict when it is the same for every stream: the destination does not start."""
        if not self.profile.refused and self._baseline is not None:
            return None
        return check(Stream(), self.profile, source=self._source)

    def check_head(self, stream: Stream) -> Verdict | None:
        """The verdict on a stream's head, if that is refused already: RAM need not move.

        :return: None when only the device state can tell.
        """
        verdict = self.check(stream)
        first = verdict.first_refusal
        if verdict.outcome is not Outcome.REFUSED or first is None:
            return None
        rule = next((rule for rule in RULES if rule.id == first.rule), None)
        if rule is None or any(event in _LATER for event in rule.events):
            return None
        return verdict
