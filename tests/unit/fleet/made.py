"""Matrices with made-up findings in real classes, of any size."""

from __future__ import annotations

import random
from array import array

from migratable.fleet.cells import Answer, Answers
from migratable.fleet.matrix import Line, Matrix
from migratable.verdict import Basis, Finding, Hint, Outcome, Refusal, Severity, Verdict

HOSTILE = "</script><img src=x onerror=\"document.title='owned'\">&amp;\x1b[31m\ud800"
_DEVICES = ("0000:00:02.0/virtio-net", "0000:00:03.0/virtio-blk", "cpu", "ics", "apic")
_RULES = ("unknown-section", "cpu-identity", "virtio-features", "pci-config", "field-equal")


def finding(number: int) -> Finding:
    """A finding that refuses, one of its own for each number."""
    device = _DEVICES[number % len(_DEVICES)]
    hint = Hint(action="Take the older model", command=f"-cpu v{number}", verified=Basis.PREDICTED)
    return Finding(
        rule=_RULES[number % len(_RULES)],
        severity=Severity.REFUSES,
        summary=f"the guest has thing {number}, the destination has not",
        explanation=f"value {number:#x}",
        device=device,
        instance_id=0,
        field=f"field{number}",
        stderr=(f"error while loading state for instance 0x0 of device '{device}'",),
        hints=(hint,) if number % 3 else (),
    )


def refused(*numbers: int) -> Answer:
    """An answer that is refused for these findings, the first of which stops QEMU."""
    found = tuple(finding(number) for number in numbers)
    first = Refusal(
        rule=found[0].rule,
        message=found[0].stderr[0],
        device=found[0].device,
        instance_id=0,
        stderr=("warning: first", *found[0].stderr),
    )
    return Answer.of(
        Verdict(
            outcome=Outcome.REFUSED,
            basis=Basis.PREDICTED,
            first_refusal=first,
            findings=found,
            stderr=first.stderr,
        )
    )


def loads(severity: Severity | None = None) -> Answer:
    """An answer that loads, with a finding of that severity."""
    found = Finding(rule="other", severity=severity, summary=f"it {severity}") if severity else None
    return Answer.of(
        Verdict(
            outcome=Outcome.LOADS,
            basis=Basis.PREDICTED,
            findings=(found,) if found else (),
            unchecked=("the contents of RAM",),
        )
    )


def unknown(reason: str = "a loader of its own") -> Answer:
    """An answer that is not known."""
    return Answer.of(Verdict(outcome=Outcome.UNKNOWN, basis=Basis.PREDICTED, unchecked=(reason,)))


def matrix(rows: list[list[Answer]], *, names: list[str] | None = None) -> Matrix:
    """A matrix of these answers."""
    answers = Answers()
    cells = array("I", [answers.add(one) for row in rows for one in row])
    return Matrix(
        title="made",
        vms=tuple(
            Line(name=(names or [])[at] if names else f"vm{at}", group="" if at % 2 else "odd")
            for at in range(len(rows))
        ),
        hosts=tuple(Line(name=f"host{at}") for at in range(len(rows[0]))),
        answers=tuple(answers.found),
        cells=cells,
        checked=len(cells),
    )


def large(vms: int, hosts: int, *, shapes: int, kinds: int, seed: int = 1) -> Matrix:
    """A matrix with as many different rows and columns as given, all states in it."""
    rnd = random.Random(seed)
    answers = Answers()
    others = [
        loads(),
        loads(Severity.WARNS),
        loads(Severity.LATENT),
        loads(Severity.ENDANGERS),
        unknown(),
        Answer.failed("web7.mig: no such file"),
    ]
    lacks = [set(rnd.sample(range(24), rnd.choice([0, 1, 2, 3]))) for _ in range(kinds)]
    has = [set(rnd.sample(range(24), rnd.choice([1, 2, 3]))) for _ in range(shapes)]

    def cell(vm: int, host: int) -> int:
        both = sorted(lacks[host] & has[vm])
        if both:
            return answers.add(refused(*both))
        return answers.add(rnd.choices(others, [90, 3, 3, 2, 3, 1])[0])

    table = [[cell(vm, host) for host in range(kinds)] for vm in range(shapes)]
    across = [host % kinds for host in range(hosts)]
    cells = array("I")
    for vm in range(vms):
        cells.extend(table[vm % shapes][host] for host in across)
    return Matrix(
        title=f"{vms} x {hosts}",
        vms=tuple(
            Line(
                name=f"{('web', 'db', 'mail')[at % 3]}-{at:04}",
                group=("shop", "bank")[at % shapes % 2],
                facts={"machine": "pc-q35-7.2", "ram": 4 << 30},
            )
            for at in range(vms)
        ),
        hosts=tuple(
            Line(name=f"node{at:03}", group=f"rack {at // 20}", facts={"qemu": "10.0.13"})
            for at in range(hosts)
        ),
        answers=tuple(answers.found),
        cells=cells,
        checked=shapes * kinds,
    )
