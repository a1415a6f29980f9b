"""Damaged streams against real QEMU: how often is ``loads`` said of what a destination refuses?

Sources and destinations are the campaign's own pairs that load; each gives some damaged copies
(:mod:`migratable.campaign.damage`). Real QEMU is asked only about those that are predicted to load,
and about a share of the others, so that false refusals are seen too.
"""

from __future__ import annotations

import gzip
import random
import tempfile
from collections import Counter, deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from migratable.campaign.cache import Cache
from migratable.campaign.case import Group, Side
from migratable.campaign.damage import Damage, damage
from migratable.campaign.runner import load, run
from migratable.errors import MigratableError

if TYPE_CHECKING:
    from migratable.check.baseline import Baseline

_OTHERS = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class Mutant:
    """One damaged stream.

    :ivar predicted: ``loads``, ``refused``, ``unknown``, ``failed`` (exit status 2: the stream
        cannot be read).
    :ivar real: ``loads``, ``refused``, ``crash``, ``hangs``; empty when it was not asked.
    :ivar rehearsed: what a rehearsal says of a false ``loads``; empty when it was not asked.
    :ivar why: of the prediction; :ivar lines: of real QEMU.
    """

    label: str
    source: Side
    destination: Side
    damage: Damage
    predicted: str
    real: str = ""
    rehearsed: str = ""
    why: str = ""
    lines: tuple[str, ...] = ()

    @property
    def false_loads(self) -> bool:
        """Predicted to load, and real QEMU refuses."""
        return self.predicted == "loads" and self.real not in {"", "loads"}

    def to_json(self) -> dict[str, Any]:
        """One object; the change's bytes as hexadecimal digits."""
        document = asdict(self)
        document["damage"]["put"] = self.damage.put.hex()
        return document


@dataclass(slots=True)
class Tally:
    """What came out.

    :ivar found: mutants that real QEMU judged otherwise, and those that made the program fail.
    """

    counts: Counter[tuple[str, str]] = field(default_factory=Counter)
    by_kind: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    found: list[Mutant] = field(default_factory=list)

    def add(self, mutant: Mutant) -> None:
        """Count one."""
        self.counts[mutant.predicted, mutant.real] += 1
        self.by_kind[mutant.damage.kind, mutant.predicted, mutant.real] += 1
        wrong = mutant.real and (mutant.predicted == "loads") != (mutant.real == "loads")
        if wrong or mutant.predicted == "failed":
            self.found.append(mutant)

    @property
    def judged_loads(self) -> int:
        """Mutants predicted to load that real QEMU was asked about."""
        return sum(n for (one, real), n in self.counts.items() if one == "loads" and real)

    @property
    def false_loads(self) -> int:
        """Those of them that it refused."""
        return self.judged_loads - self.counts["loads", "loads"]

    def to_json(self) -> dict[str, Any]:
        """One object."""
        return {
            "schema": "migratable.mutants/1",
            "mutants": sum(self.counts.values()),
            "predicted_loads": self.judged_loads,
            "false_loads": self.false_loads,
            "counts": [
                {"predicted": one, "real": real or None, "count": count}
                for (one, real), count in sorted(self.counts.items())
            ],
            "found": [mutant.to_json() for mutant in self.found],
        }


def lines(tally: Tally, *, most: int = 40) -> list[str]:
    """What a person is shown."""
    total = sum(tally.counts.values())
    said = tally.judged_loads
    rate = 100 * tally.false_loads / said if said else 0.0
    agreed = sum(1 for mutant in tally.found if mutant.false_loads and mutant.rehearsed == "loads")
    shown = [mutant for mutant in tally.found if mutant.predicted != "failed"][:most]
    return [
        f"{total} damaged streams; {said} are said to load, real QEMU refuses {tally.false_loads} "
        f"of them ({rate:.2f} %), of which rehearse takes {agreed}",
        *(
            f"  predicted {one or '-'}, real {real or 'not asked'}: {count}"
            for (one, real), count in sorted(tally.counts.items())
        ),
        *(
            f"{mutant.predicted} | {mutant.real} | {mutant.damage.place} | "
            f"{mutant.damage.put[:8].hex()} | {mutant.source.release} to "
            f"{mutant.destination.release} {mutant.source.arch} | {mutant.label} | "
            f"{mutant.lines[-1] if mutant.lines else ''}"
            for mutant in shown
        ),
    ]


def carry_out(
    cases: Iterator[Group],
    folder: Path,
    *,
    wanted: int,
    each: int = 12,
    jobs: int = 2,
    seed: int = 1,
    progress: Callable[[int], None] = lambda done: None,
) -> Tally:
    """Judge *wanted* mutants that are predicted to load.

    :param each: damaged copies of each pair.
    :param progress: is told how many are judged.
    """
    tally = Tally()
    with ProcessPoolExecutor(max_workers=jobs) as pool:
        pending: deque[Future[list[Mutant]]] = deque()
        while tally.judged_loads < wanted:
            while len(pending) < jobs * 2:
                pending.append(pool.submit(_work, next(cases), folder, each, seed))
            for mutant in pending.popleft().result():
                tally.add(mutant)
            progress(tally.judged_loads)
        for future in pending:
            future.cancel()
    return tally


def _work(group: Group, folder: Path, each: int, seed: int) -> list[Mutant]:
    cache = Cache(folder)
    found: list[Mutant] = []
    for outcome in run(group, cache):
        if outcome.status == "loads":
            pair = _Pair(
                label=group.label,
                source=outcome.source,
                destination=outcome.destination,
                data=gzip.decompress(cache.stream_path(outcome.source).read_bytes()),
            )
            found += _pair(pair, cache, each=each, seed=seed)
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class _Pair:
    """A pair that loads, and its stream's bytes."""

    label: str
    source: Side
    destination: Side
    data: bytes


def _pair(pair: _Pair, cache: Cache, *, each: int, seed: int) -> list[Mutant]:
    from migratable.campaign.judge import profile_of  # noqa: PLC0415 -- slow to load
    from migratable.check import check  # noqa: PLC0415
    from migratable.check.baseline import Baseline  # noqa: PLC0415
    from migratable.stream import read  # noqa: PLC0415
    from migratable.verdict import Outcome  # noqa: PLC0415

    stream = read(pair.data)
    try:
        profile = profile_of(pair.destination, cache, stream)
    except MigratableError:
        return []
    if profile.loader is None:
        return []
    ready = Baseline(profile, profile.loader)
    if check(stream, ready).outcome is not Outcome.LOADS:
        return []
    rng = random.Random(f"migratable-mutants:{seed}:{pair.label}:{pair.destination}")  # noqa: S311
    return [
        _judge(rng, pair, change, ready)
        for change in (damage(rng, pair.data, stream) for _ in range(each))
        if change is not None
    ]


def _judge(rng: random.Random, pair: _Pair, change: Damage, ready: Baseline) -> Mutant:
    from migratable.check import check  # noqa: PLC0415 -- slow to load
    from migratable.stream import read  # noqa: PLC0415

    damaged = change.apply(pair.data)
    why = ""
    try:
        verdict = check(read(damaged), ready)
        predicted = str(verdict.outcome)
        refusal = verdict.first_refusal
        why = refusal.message if refusal is not None else "; ".join(verdict.unchecked[:3])
    except MigratableError as error:
        predicted, why = "failed", str(error)
    except Exception as error:  # noqa: BLE001 -- a crash of ours is a result
        predicted, why = "crashed", f"{type(error).__name__}: {error}"
    real = rehearsed = ""
    lines: tuple[str, ...] = ()
    if predicted in {"loads", "crashed"} or change.kind == "vmdesc" or rng.random() < _OTHERS:
        with tempfile.TemporaryDirectory(prefix="migratable-mutant-") as folder:
            path = Path(folder) / "stream"
            path.write_bytes(damaged)
            outcome = load(pair.label, pair.source, pair.destination, path)
            real, lines = outcome.status, outcome.lines
        if predicted == "loads" and real in {"refused", "crash"}:
            rehearsed = _rehearsed(damaged, pair.destination)
    return Mutant(
        label=pair.label,
        source=pair.source,
        destination=pair.destination,
        damage=change,
        predicted=predicted,
        real=real,
        rehearsed=rehearsed,
        why=why[:500],
        lines=lines,
    )


def _rehearsed(data: bytes, destination: Side) -> str:
    from migratable.rehearse import rehearse  # noqa: PLC0415 -- rarely
    from migratable.stream import read  # noqa: PLC0415

    line = [f"lab:{destination.release}/{destination.arch}", *destination.argv]
    try:
        return str(rehearse(read(data), line).outcome)
    except MigratableError as error:
        return f"failed: {error}"[:300]
