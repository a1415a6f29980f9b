"""Pairs a second in a batch, and what-if cases a second, on one core (CPU time, not wall time).

Run: ``python -m benchmarks.bench_pseries``. The pairs are random and different from each other, so
little is remembered from one to the next; reading and writing JSON is counted.
"""

from __future__ import annotations

import json
import random
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks import Row
from migratable.pseries import Model, judge_lines
from migratable.pseries.plan import parse
from migratable.pseries.tables import read_table
from migratable.pseries.whatif import Enumeration, report

PAIRS = 20_000

RELEASES = ("4.1", "4.2", "5.2", "7.2", "10.0", "11.1")
MACHINES = ("3.1", "4.0", "4.1", "4.2", "5.2", "7.2", "10.0")
OPTIONS = (
    "cap-htm=off", "cap-vsx=on", "cap-dfp=off", "cap-cfpc=broken", "cap-cfpc=fixed",
    "cap-sbbc=workaround", "cap-sbbc=broken", "cap-ibs=fixed-ccd", "cap-ibs=broken",
    "cap-hpt-max-page-size=16M", "cap-hpt-max-page-size=4096", "cap-nested-hv=off",
    "cap-large-decr=on", "cap-ccf-assist=off", "ic-mode=xics", "ic-mode=xive", "ic-mode=dual",
    "max-cpu-compat=power8", "max-cpu-compat=power9",
)  # fmt: skip
PLAN = """
name = "benchmark"
[[capability]]
name = "xics"
index = 20
default = [{ level = 1 }]
given_by = { ic-mode = { xics = 1, xive = 0, dual = 1 } }
[[capability]]
name = "xive"
index = 21
default = [{ to = "4.0", level = 0 }, { level = 1 }]
lost = "power9"
given_by = { ic-mode = { xics = 0, xive = 1, dual = 1 } }
[[policy]]
name = "as-posted"
[[policy]]
name = "needed-hook"
[[policy]]
name = "no-check"
[[run]]
name = "main"
cpus = ["POWER8", "power9_v2.0"]
machines = ["pseries-4.0", "pseries-4.1", "pseries-4.2", "pseries-5.0", "pseries-5.2"]
releases = ["4.1", "4.2", "5.2", "6.0", "7.2", "10.0"]
arrives = "6.0"
[run.options]
ic-mode = ["xics", "xive", "dual"]
cap-cfpc = ["", "broken", "fixed"]
cap-hpt-max-page-size = ["", "4k", "16M"]
cap-dfp = ["", "off"]
"""


def pairs(count: int, seed: int = 1) -> list[str]:
    """Random lines of a batch."""
    rnd = random.Random(seed)

    def side(machine: str) -> dict[str, object]:
        options = rnd.sample(OPTIONS, rnd.randrange(5))
        cpu = rnd.choice(("POWER8", "POWER9", "power9_v2.0", "POWER7"))
        line = ",".join([f"pseries-{machine}", *options])
        return {"release": rnd.choice(RELEASES), "args": ["-M", line, "-cpu", cpu, "-m", "256M"]}

    lines = []
    for number in range(count):
        machine = rnd.choice(MACHINES)
        pair = {"id": number, "source": side(machine), "destination": side(machine)}
        lines.append(json.dumps(pair))
    return lines


def batch_rate(count: int = PAIRS) -> float:
    """Pairs a second, JSON in and out, with a model that knows nothing yet."""
    lines = pairs(count)
    dumps = json.JSONEncoder(ensure_ascii=False).encode
    begun = time.process_time()
    for answer in judge_lines(lines, Model()):
        dumps(answer)
    return count / (time.process_time() - begun)


def whatif_rate() -> tuple[int, float, float]:
    """Cases, cases a second enumerated, and with counts and counterexamples kept."""
    plan = parse(read_table(Path("benchmark"), text=PLAN, name="benchmark"))
    begun = time.process_time()
    cases = sum(1 for _ in Enumeration(plan, plan.runs[0]).cases())
    plain = cases / (time.process_time() - begun)
    begun = time.process_time()
    report(plan, plan.runs[0])
    return cases, plain, cases / (time.process_time() - begun)


def rows() -> Iterator[Row]:
    """The same as times of a round number of cases, so that less is better as everywhere."""
    lines = pairs(PAIRS)
    begun = time.process_time()
    for line in lines:
        json.dumps(json.loads(line))
    copied = time.process_time() - begun
    yield Row(what=f"{PAIRS:,} pairs read and written as JSON, CPU time", value=copied)
    judged = PAIRS / batch_rate()
    yield Row(
        what=f"caps compare --batch, {PAIRS:,} pairs, CPU time",
        value=judged,
        beside=copied,
        most=15,
        note="random, all different",
    )
    cases, _, whole = whatif_rate()
    yield Row(
        what="whatif, a million cases, CPU time",
        value=1e6 / whole,
        beside=1e6 * judged / PAIRS,
        most=0.5,
        note=f"beside a million such pairs; measured on {cases:,}",
    )


def main() -> None:
    rate = batch_rate()
    print(f"caps compare --batch  {PAIRS} different random pairs: {rate:,.0f} pairs/s")
    cases, plain, whole = whatif_rate()
    print(f"whatif enumeration    {cases} cases: {plain:,.0f} cases/s")
    print(f"whatif report         {cases} cases: {whole:,.0f} cases/s")
    print(
        f"a million cases       {1e6 / plain:.1f} s enumerated, {1e6 / whole:.1f} s with the report"
    )


if __name__ == "__main__":
    main()
