"""How many refusals between releases `migratable convert` mends, measured on real QEMU.

Machines are the campaign's; a destination is the same command line on another release, so that what
refuses is the release's. A refusal counts when no option of the destination cures it (no hint that
the real program was seen to load with).
"""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from migratable.campaign.cache import Cache, Outcome
from migratable.campaign.campaign import Plan, cases
from migratable.campaign.case import Group, Side
from migratable.campaign.judge import errors, profile_of, stream_of
from migratable.campaign.runner import load, run
from migratable.convert import write
from migratable.convert.destination import of_profile
from migratable.convert.search import Found, search
from migratable.errors import MigratableError, StreamError
from migratable.hints import tried
from migratable.profile.bundled import find, names
from migratable.profile.model import Profile
from migratable.rehearse import Destination
from migratable.rehearse.destination import try_destination
from migratable.rehearse.resave import Resave
from migratable.stream import Stream, read
from migratable.stream import write as stream_bytes
from migratable.stream.compare import Difference, Kind, compare
from migratable.verdict import Basis
from migratable.verdict import Outcome as Says

_HINT_SECONDS = 5.0
_LONG_HINT_SECONDS = 20.0
"""For what is not converted: only then does it matter that no option was missed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Conversion:
    """What became of one refusal.

    :ivar refused: what QEMU printed first.
    :ivar cured: a remedy on the destination's command line that the real program loads with.
    :ivar result: ``converted``, ``lossy`` (only with lossy edits), ``none``, ``unknown``,
        ``failed``: our program failed.
    :ivar loads: what the real program did with the converted stream: ``loads``, ``refused`` …
    :ivar edits: class and kind of each edit.
    :ivar differs: what the destination saved again otherwise than it was sent, in words, of
        sections that were edited.
    :ivar elsewhere: the same of other sections: what the devices' own code does after a load.
    :ivar reasons: what is left, in words.
    """

    label: str
    pair: str
    refused: str
    rules: tuple[str, ...] = ()
    cured: str = ""
    result: str = "none"
    loads: str = ""
    edits: tuple[tuple[str, str], ...] = ()
    differs: tuple[str, ...] = ()
    elsewhere: tuple[str, ...] = ()
    reasons: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """One object."""
        return {name: getattr(self, name) for name in self.__slots__}


@dataclass(slots=True)
class Tally:
    """Counts of a measurement."""

    pairs: int = 0
    found: list[Conversion] = field(default_factory=list)

    @property
    def uncured(self) -> list[Conversion]:
        """Refusals that no destination option cures."""
        return [conversion for conversion in self.found if not conversion.cured]

    def to_json(self) -> dict[str, Any]:
        """Counts and every case."""
        left = self.uncured
        done = [conversion for conversion in left if conversion.result == "converted"]
        return {
            "pairs": self.pairs,
            "refused": len(self.found),
            "cured_by_an_option": len(self.found) - len(left),
            "uncured": len(left),
            "results": dict(Counter(conversion.result for conversion in left)),
            "converted_and_loads": sum(conversion.loads == "loads" for conversion in done),
            "converted_and_differs": sum(bool(conversion.differs) for conversion in done),
            "left": dict(
                Counter(
                    rule
                    for conversion in left
                    if conversion.result != "converted"
                    for rule in conversion.rules
                )
            ),
            "cases": [conversion.to_json() for conversion in self.found],
        }


def carry_out(plan: Plan, progress: Callable[[int], None] = lambda _: None) -> Tally:
    """Measure until *plan.pairs* pairs have been loaded.

    :raise LabError: when a release is not there.
    """
    cache = Cache(plan.folder)
    tally = Tally()
    for group in cases(plan):
        for outcome in run(_between_releases(group, plan.releases), cache):
            if outcome.status in ("no-start", "hangs"):
                continue
            tally.pairs += 1
            if outcome.status in ("refused", "crash"):
                tally.found.append(_judged(outcome, cache))
            progress(tally.pairs)
            if tally.pairs >= plan.pairs:
                return tally
    return tally


def _between_releases(group: Group, releases: Sequence[str]) -> Group:
    """The source's own command line on every other release."""
    source = group.source
    others = [release for release in releases if release != source.release]
    return replace(
        group, destinations=tuple(replace(source, release=other, run=0.0) for other in others)
    )


def _judged(outcome: Outcome, cache: Cache) -> Conversion:
    said = errors(outcome.lines)
    base = Conversion(
        label=outcome.label,
        pair=f"{outcome.source.release} > {outcome.destination.release} {outcome.source.arch}",
        refused=said[0] if said else outcome.status,
    )
    try:
        stream = stream_of(outcome.source, cache)
        profile = profile_of(outcome.destination, cache, stream)
        found = search(
            stream, of_profile(profile, others=lambda: ((name, find(name)) for name in names()))
        )
        cured = _cured(found, stream, outcome.destination)
        return _tried(replace(base, cured=cured), found, stream, outcome, profile)
    except MigratableError as error:
        return replace(base, result="failed", reasons=(str(error),))


def _line(side: Side) -> list[str]:
    return [f"lab:{side.release}/{side.arch}", *side.argv]


def _cured(found: Found, stream: Stream, side: Side) -> str:
    if found.before.outcome is not Says.REFUSED:
        return ""
    seconds = _HINT_SECONDS if found.loads else _LONG_HINT_SECONDS
    verdict = tried(found.before, stream, _line(side), budget_seconds=seconds)
    for finding in verdict.refusals:
        for hint in finding.hints:
            if hint.verified is Basis.REHEARSED and not hint.needs_guest_restart:
                return hint.action
    return ""


def _tried(
    base: Conversion, found: Found, stream: Stream, outcome: Outcome, profile: Profile
) -> Conversion:
    base = replace(
        base,
        rules=tuple(dict.fromkeys(stuck.finding.rule for stuck in found.stuck))
        or tuple(dict.fromkeys(refusal.rule for refusal in found.before.refusals)),
        edits=tuple((str(edit.edit_class), edit.kind) for edit in found.plan.edits),
        reasons=tuple(
            f"{stuck.finding.summary}: {'; '.join(stuck.reasons) or 'no kind of edit'}"
            for stuck in found.stuck
        ),
    )
    if found.stuck:
        return replace(base, result="none")
    if found.needed:
        ids = tuple(edit.id for edit in found.needed)
        return replace(base, result="lossy", reasons=ids)
    if found.verdict.outcome is Says.UNKNOWN:
        return replace(base, result="unknown", reasons=tuple(map(str, found.verdict.unchecked[:4])))
    if found.verdict.outcome is not Says.LOADS or not found.plan.edits:
        return replace(base, result="none", reasons=("the prediction is that it loads",))
    with tempfile.TemporaryDirectory(prefix="migratable-conversions-") as folder:
        before, after = Path(folder) / "source", Path(folder) / "converted"
        before.write_bytes(stream_bytes(stream))
        with write.output(after, source=before, force=False) as file:
            write.write(found.stream, read(before), before, file)
            file.keep(force=False)
        real = load(outcome.label, outcome.source, outcome.destination, after)
        lines = errors(real.lines)
        base = replace(base, result="converted", loads=real.status, reasons=lines[:1])
        if real.status != "loads":
            return base
        edited = {edit.section for edit in found.plan.edits}
        try:
            seen = list(_differences(read(after), outcome.destination, profile))
        except MigratableError as error:
            return replace(base, differs=(f"it could not be saved again: {error}",))
        return replace(
            base,
            differs=tuple(
                _words(difference) for difference in seen if difference.section in edited
            ),
            elsewhere=tuple(
                _words(difference) for difference in seen if difference.section not in edited
            ),
        )


def _differences(stream: Stream, side: Side, profile: Profile) -> Iterator[Difference]:
    """What the destination saves again otherwise than it was sent.

    Clocks go on, and some devices work values out when they are loaded: what differs just so when
    the destination loads its own stream does not count.
    """
    usual = {_place(difference) for difference in _again(read(profile.stream), side)}
    for one in _again(stream, side):
        if _place(one) not in usual:
            yield one


def _again(stream: Stream, side: Side) -> Iterator[Difference]:
    again = Resave()
    try_destination(stream, Destination(command_line=_line(side)), loaded=again)
    if not again.data:
        raise StreamError(again.why or "the destination did not load it")
    for difference in compare(stream, read(again.data)):
        # Each release sends the length of its own virtio configuration, and accepts any length.
        length = difference.path[-1:] == ("config_len",)
        if (
            difference.kind is Kind.VALUE
            and not length
            and None not in (difference.a, difference.b)
        ):
            yield difference


def _place(difference: Difference) -> tuple[str, ...]:
    return ((difference.section or "").rpartition("/")[2], *difference.path)


def _words(difference: Difference) -> str:
    kind = (difference.section or "").rpartition("/")[2]
    return (
        f"{kind}: {'/'.join(difference.path)}: {str(difference.a)[:40]} → {str(difference.b)[:40]}"
    )
