"""A whole campaign: make the cases, let real QEMU decide, predict, compare."""

from __future__ import annotations

import gzip
import json
import shlex
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from migratable import paths
from migratable.campaign import corpus, inventory
from migratable.campaign.cache import Cache, Outcome, source_key
from migratable.campaign.case import Group
from migratable.campaign.cases import USUAL, groups
from migratable.campaign.judge import Grade, Judgement, judge, stream_of
from migratable.campaign.kinds import drivers
from migratable.campaign.report import command, details
from migratable.campaign.runner import run
from migratable.errors import LabError
from migratable.lab import installed
from migratable.lab.releases import NAMES, WHEELS
from migratable.qemu.accelerator import missing

Progress = Callable[[int], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is to be done.

    :ivar releases: those that take part, all of the lab's when empty.
    :ivar kvm: x86 machines under KVM (and some under TCG), see :mod:`.accelerators`.
    :ivar archs: targets, a name more than once for more of its cases.
    :ivar predicts: also predict, or only fill the cache.
    :ivar cached: judge what is in the cache, make nothing new.
    """

    folder: Path
    seed: int = 1
    pairs: int = 200
    releases: tuple[str, ...] = ()
    jobs: int = 2
    held_out: bool = False
    kvm: bool = False
    predicts: bool = True
    cached: bool = False
    archs: tuple[str, ...] = USUAL


def default_folder() -> Path:
    """The user's cache folder for campaigns."""
    return paths.large_cache("campaign")


def carry_out(plan: Plan, progress: Progress = lambda pairs: None) -> list[Judgement]:
    """Do it; judgements in the order of the cases.

    :param progress: is told how many pairs are done.
    :raise LabError: when fewer than one release is there.
    """
    cache = Cache(plan.folder)
    if plan.cached:
        return _judge_cached(plan, cache, progress)
    if plan.kvm and (why := missing()):
        raise LabError(f"a campaign under KVM needs it: {why}")
    groups_of_plan = _groups(plan, cache)
    found: list[Judgement] = []
    done = 0
    with ProcessPoolExecutor(max_workers=plan.jobs) as pool:
        pending: deque[Future[tuple[int, list[Judgement]]]] = deque()
        while done < plan.pairs:  # in the order of the cases, so that a seed gives the same again
            while len(pending) < plan.jobs * 4:
                pending.append(pool.submit(_work, next(groups_of_plan), plan.folder, plan.predicts))
            pairs, judged = pending.popleft().result()
            done += pairs
            found += judged
            progress(done)
        for future in pending:
            future.cancel()
    return found[: plan.pairs]


def cases(plan: Plan) -> Iterator[Group]:
    """The cases of a plan, without end.

    :raise LabError: when a release that takes part is not there.
    """
    return _groups(plan, Cache(plan.folder))


def _work(group: Group, folder: Path, predicts: bool) -> tuple[int, list[Judgement]]:
    cache = Cache(folder)
    outcomes = run(group, cache)
    return len(outcomes), _judged(outcomes, cache) if predicts else []


def _groups(plan: Plan, cache: Cache) -> Iterator[Group]:
    programs = [
        one
        for one in installed(system=False)
        if one.arch in plan.archs and one.release in (plan.releases or _own(one.release))
    ]
    missing = set(plan.releases) - {program.release for program in programs}
    if missing or not programs:
        wanted = " ".join(sorted(missing)) or " ".join(NAMES)
        wanted += "".join(f" --arch {arch}" for arch in dict.fromkeys(plan.archs))
        raise LabError(f"the campaign needs real QEMU: migratable lab install {wanted}")
    names = drivers()
    asked = {
        (program.release, program.arch): inventory.take(program, names, cache.folder)
        for program in programs
    }
    archs = ("x86_64",) if plan.kvm else plan.archs
    return groups(plan.seed, programs, asked, held_out=plan.held_out, archs=archs, kvm=plan.kvm)


def _own(release: str) -> tuple[str, ...]:
    """Releases that take part unless others are named: those whose code is known."""
    return () if release in WHEELS else (release,)


def _judge_cached(plan: Plan, cache: Cache, progress: Progress) -> list[Judgement]:
    def wanted(outcome: Outcome) -> bool:
        there = (outcome.source.release, outcome.destination.release)
        if (":kvm" in outcome.label) != plan.kvm:
            return False
        return outcome.label.endswith(":held-out") == plan.held_out and (
            not plan.releases or set(there) <= set(plan.releases)
        )

    outcomes = sorted(filter(wanted, cache.outcomes()), key=lambda one: source_key(one.source))
    bundles = [
        list(bundle) for _, bundle in groupby(outcomes, key=lambda one: source_key(one.source))
    ]
    found: list[Judgement] = []
    with ProcessPoolExecutor(max_workers=plan.jobs) as pool:
        for judged in pool.map(_judge_bundle, bundles, [plan.folder] * len(bundles)):
            found += judged
            progress(len(found))
    return found


def _judge_bundle(outcomes: list[Outcome], folder: Path) -> list[Judgement]:
    return _judged(outcomes, Cache(folder))


def _judged(outcomes: Sequence[Outcome], cache: Cache) -> list[Judgement]:
    usable = [outcome for outcome in outcomes if outcome.status != "hangs"]
    if not usable:
        return []
    stream = stream_of(usable[0].source, cache)
    return [judge(outcome, cache, stream) for outcome in usable]


def one_case(folder: Path, key: str) -> list[Judgement]:
    """Judge one case of the cache again, by its key or the beginning of it.

    :raise LabError: when there is none.
    """
    cache = Cache(folder)
    found = [outcome for outcome in cache.outcomes() if outcome.key.startswith(key)]
    if not found:
        raise LabError(f"there is no case {key} in {folder}")
    return [judge(outcome, cache) for outcome in found]


def keep(found: Iterable[Judgement], plan: Plan, folder: Path) -> int:
    """Write each disagreement into a folder of its own; how many.

    A folder has the stream, both command lines, what was said, and the case as a file for
    ``tests/corpus/campaign`` once it is mended.
    """
    cache = Cache(plan.folder)
    count = 0
    for judgement in found:
        if judgement.grade is Grade.AGREES:
            continue
        count += 1
        place = folder / f"{judgement.grade}-{judgement.key}"
        place.mkdir(parents=True, exist_ok=True)
        data = gzip.decompress(cache.stream_path(judgement.outcome.source).read_bytes())
        (place / "stream").write_bytes(data)
        (place / "case.json").write_text(
            json.dumps(judgement.to_json(), indent=1), encoding="utf-8"
        )
        (place / "case.txt").write_text(details(judgement) + "\n", encoding="utf-8")
        line = command(judgement.outcome, source=False)
        text = f"migratable check {shlex.quote(str(place / 'stream'))} -- {line}\n"
        (place / "corpus.toml").write_text(corpus.dumps(judgement.outcome), encoding="utf-8")
        (place / "check.sh").write_text(text, encoding="utf-8")
    return count
