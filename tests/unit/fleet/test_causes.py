"""Causes: what is promised for a fix is what comes when it is taken away."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from migratable.fleet.causes import Key, device_kind, key_of, refusing
from migratable.fleet.cells import Answer
from migratable.fleet.matrix import Matrix
from migratable.verdict import Outcome, Severity
from tests.unit.fleet import made


def test_places_of_devices_do_not_make_causes_two() -> None:
    one = made.finding(0)
    other = replace(one, device="0000:00:1c.0/0000:01:00.0/virtio-net", summary="elsewhere")
    assert key_of(one) == key_of(other)
    assert device_kind("0000:00:02.0/virtio-net") == "virtio-net"
    assert device_kind("/rtc@70/rtc") == "rtc"
    assert device_kind("cpu_common") == "cpu_common"
    assert device_kind(None) == ""


def test_other_remedies_make_causes_two() -> None:
    one = made.finding(1)
    assert key_of(one) != key_of(replace(one, hints=()))
    assert key_of(one) != key_of(replace(one, field="other"))
    assert key_of(one) != key_of(replace(one, subsection="sub"))
    assert key_of(one) != key_of(replace(one, rule="other"))


def _load_without(matrix: Matrix, gone: set[Key]) -> int:
    """Pairs that load once the findings of these causes are taken out, by brute force."""
    total = 0
    for vm in range(len(matrix.vms)):
        for host in range(len(matrix.hosts)):
            verdict = matrix.verdict(vm, host)
            assert verdict is not None
            if verdict.outcome is Outcome.LOADS:
                total += 1
            elif verdict.outcome is Outcome.REFUSED:
                left = [
                    one
                    for one in verdict.findings
                    if one.severity is Severity.REFUSES and key_of(one) not in gone
                ]
                total += not left and bool(verdict.findings)
    return total


CELLS = (
    st.lists(st.integers(0, 5), min_size=1, max_size=3, unique=True).map(
        lambda numbers: made.refused(*numbers)
    )
    | st.just(made.loads())
    | st.just(made.loads(Severity.WARNS))
    | st.just(made.unknown())
    | st.just(Answer.failed("x"))
)


@given(
    st.integers(1, 4).flatmap(
        lambda wide: st.lists(st.lists(CELLS, min_size=wide, max_size=wide), min_size=1, max_size=5)
    )
)
def test_promises_are_kept(rows: list[list[Answer]]) -> None:
    matrix = made.matrix(rows)
    ranking = matrix.ranking
    before = _load_without(matrix, set())
    assert ranking.loading == before
    for cause in ranking.causes:
        assert _load_without(matrix, {cause.key}) - before == cause.alone
        touched = {
            (vm, host)
            for vm in range(len(matrix.vms))
            for host in range(len(matrix.hosts))
            if (verdict := matrix.verdict(vm, host)) is not None and cause.key in refusing(verdict)
        }
        assert len(touched) == cause.pairs
        assert len({vm for vm, _ in touched}) == cause.vms
        assert len({host for _, host in touched}) == cause.hosts
    assert [c.alone for c in ranking.causes] == sorted(
        (c.alone for c in ranking.causes), reverse=True
    )
    gone: set[Key] = set()
    last = before
    for step in ranking.plan:
        gone.add(ranking.causes[step.cause].key)
        now = _load_without(matrix, gone)
        assert now == step.loads
        assert now - last == step.more
        last = now
    # Every refusal has a cause here, so all of them gone, all of it loads.
    assert last == before + ranking.refused


def test_a_refusal_without_a_finding_is_not_promised_to_load() -> None:
    answer = made.refused(1)
    assert answer.verdict is not None
    bare = Answer.of(replace(answer.verdict, findings=()))
    ranking = made.matrix([[bare, made.refused(2)]]).ranking
    assert ranking.unnamed == 1
    assert ranking.plan[-1].loads == 1
    assert ranking.refused == 2


def test_only_remedies_that_were_tried_are_counted() -> None:
    """Made-up finding 3 has no remedy, the others have one that was tried."""
    ranking = made.matrix(
        [[made.refused(1), made.refused(3)], [made.refused(1, 2), made.refused(2, 3)]]
    ).ranking
    assert ranking.plan[-1].loads == 4
    assert [(step.more, step.loads) for step in ranking.tried_plan] == [(1, 1), (1, 2)]
    assert all(ranking.causes[step.cause].tried for step in ranking.tried_plan)
    assert [one.tried for one in ranking.causes if one.key.rule == "pci-config"] == [False]
    assert ranking.unmended == 2
    document = ranking.to_json()
    assert document["without_a_tried_remedy"] == 2
    assert document["tried_plan"][-1]["pairs_that_load"] == 2


def test_advice_that_was_not_tried_is_no_fix() -> None:
    answer = made.refused(1)
    assert answer.verdict is not None
    (one,) = answer.verdict.findings
    advice = tuple(replace(hint, verified=None) for hint in one.hints)
    bare = Answer.of(replace(answer.verdict, findings=(replace(one, hints=advice),)))
    alone = made.matrix([[bare]]).ranking
    assert alone.tried_plan == ()
    assert alone.unmended == 1
    # The same remedy, tried on another pair of the cause.
    both = made.matrix([[bare, answer]]).ranking
    assert [(step.more, step.loads) for step in both.tried_plan] == [(2, 2)]
    assert both.unmended == 0
