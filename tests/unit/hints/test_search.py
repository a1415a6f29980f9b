"""The search, with made-up answers in the place of a program's."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import pytest

from migratable import hints
from migratable.commandline import CommandLine, parse
from migratable.hints import line_edits
from migratable.hints.candidate import Candidate, Situation
from migratable.hints.search import Search
from migratable.hints.solution import better, key, left
from migratable.problem_facts import BlockFacts, Facts, StartFacts
from migratable.profile.model import Profile
from migratable.rehearse.resave import Resave
from migratable.rehearse.way_back import Home
from migratable.releases import QemuVersion
from migratable.stream import Stream
from migratable.verdict import Basis, Finding, Outcome, Refusal, Severity, Side, Verdict
from tests.unit.stream import tiny


def cause(rule: str, device: str = "d", *, facts: Facts | None = None) -> Finding:
    return Finding(rule=rule, severity=Severity.REFUSES, summary="", device=device, facts=facts)


def ended(said: str) -> Finding:
    return cause("destination-start", facts=StartFacts(said=said))


def verdict(*findings: Finding, outcome: Outcome | None = None) -> Verdict:
    found = outcome or (Outcome.REFUSED if findings else Outcome.LOADS)
    return Verdict(outcome=found, basis=Basis.PREDICTED, findings=findings)


Judge = Callable[[CommandLine], Verdict | None]


@dataclass(slots=True)
class Made(Search):
    """A search whose destination is a function, with candidates by rule."""

    judge: Judge = field(default=lambda line: verdict())
    proposals: Mapping[str, Sequence[Candidate]] = field(default_factory=dict)
    lines: list[str] = field(default_factory=list)

    def _collected(
        self, line: CommandLine, stream: Stream
    ) -> tuple[Verdict, Profile | None] | None:
        del stream
        self.lines.append(" ".join(line.argv[1:]))
        found = self.judge(line)
        return None if found is None else (found, None)

    def _proposed(self, at: Situation, finding: Finding) -> Iterator[Candidate]:
        del at
        yield from self.proposals.get(finding.rule, ())


def search(judge: Judge, seconds: float = 60.0, **proposals: Sequence[Candidate]) -> Made:
    return Made(
        stream=tiny.stream(),
        release=None,
        deadline=time.monotonic() + seconds,
        judge=judge,
        proposals={name.replace("_", "-"): found for name, found in proposals.items()},
    )


def base(made: Made, text: str = "-m 1G") -> Situation:
    found = made.situation(parse(f"qemu {text}"))
    assert found is not None
    return found


def needs(*options: str) -> Judge:
    """A destination that refuses once for each option that the line has not."""

    def judge(line: CommandLine) -> Verdict:
        have = {option.name for option in line.options}
        return verdict(*(cause(f"no-{name}") for name in options if name not in have))

    return judge


ADD = {name: line_edits.appended(name) for name in ("a", "b", "c", "x")}


def test_steps_one_after_another() -> None:
    made = search(needs("a", "b"), no_a=[ADD["x"], ADD["a"]], no_b=[ADD["b"]])
    solution = made.solve(base(made))
    assert solution is not None
    assert solution.line.argv == ["qemu", "-m", "1G", "-a", "-b"]
    assert [key(one.finding) for one in solution.steps] == [
        key(cause("no-a")), key(cause("no-b")),
    ]  # fmt: skip


def test_nothing_helps() -> None:
    made = search(needs("a", "b"), no_a=[ADD["a"]], no_b=[ADD["x"]])
    assert made.solve(base(made)) is None
    assert set(made.partly) == {key(cause("no-a"))}


def test_a_cause_for_another_is_no_help_in_part() -> None:
    def judge(line: CommandLine) -> Verdict:
        have = {option.name for option in line.options}
        return verdict(cause("other" if "a" in have else "no-a"))

    made = search(judge, no_a=[ADD["a"]])
    assert made.solve(base(made)) is None
    assert made.partly == {}


def test_a_command_line_is_tried_once() -> None:
    made = search(needs("a"), no_a=[ADD["x"], ADD["x"], ADD["a"]])
    made.solve(base(made))
    assert sorted(made.lines) == sorted(set(made.lines))


def test_one_that_loads_is_preferred_to_one_that_brings_another_cause() -> None:
    def judge(line: CommandLine) -> Verdict:
        have = {option.name for option in line.options}
        if "b" in have:
            return verdict()
        return verdict(cause("other" if "a" in have else "no-a"))

    made = search(judge, no_a=[ADD["a"], ADD["x"], ADD["b"]], other=[ADD["b"]])
    solution = made.solve(base(made))
    assert solution is not None
    assert solution.line.argv[-1] == "-b"
    assert len(solution.steps) == 1


def starts_with(**causes: int) -> Judge:
    """A destination that starts with one of these options, with so many causes left."""

    def judge(line: CommandLine) -> Verdict:
        options = {option.name for option in line.options}
        if not options & causes.keys():
            return verdict(ended("z"))
        (name,) = options & causes.keys()
        return verdict(*(cause(f"cause-{number}") for number in range(causes[name])))

    return judge


def test_the_start_that_leaves_fewer_causes_is_gone_on_from() -> None:
    made = search(starts_with(a=2, b=1), destination_start=[ADD["a"], ADD["b"]])
    step, _ = made._step(base(made)) or pytest.fail("no step")
    assert step.candidate is ADD["b"]


def test_a_device_is_not_given_up_for_one_cause_less() -> None:
    def without(line: CommandLine) -> CommandLine:
        return line.replace(next(line.all("device"))).append("b")

    given_up = Candidate(action="without it", edit=without)
    made = search(starts_with(a=2, b=1), destination_start=[ADD["a"], given_up])
    step, _ = made._step(base(made, "-device nic")) or pytest.fail("no step")
    assert step.candidate is ADD["a"]


def test_steps_that_are_not_needed_are_taken_back() -> None:
    def judge(line: CommandLine) -> Verdict:
        have = {option.name for option in line.options}
        if "b" in have:
            return verdict()
        return verdict(*([cause("no-b")] if "a" in have else [cause("no-a"), cause("no-b")]))

    made = search(judge, no_a=[ADD["a"]], no_b=[ADD["b"]])
    solution = made.solve(base(made))
    assert solution is not None
    assert solution.line.argv == ["qemu", "-m", "1G", "-b"]


def test_steps_do_not_go_round_and_round() -> None:
    def judge(line: CommandLine) -> Verdict:
        have = {option.name for option in line.options}
        return verdict(cause("is-a" if "a" in have else "no-a"))

    def without(line: CommandLine) -> CommandLine:
        return line.replace(next(line.all("a")))

    made = search(judge, no_a=[ADD["a"]], is_a=[Candidate(action="no a", edit=without)])
    attempts: list[str] = []
    made.progress = attempts.append
    assert made.solve(base(made)) is None
    assert attempts == ["-a", "no a"]


def test_time_is_up() -> None:
    made = search(needs("a"), seconds=0.0, no_a=[ADD["a"]])
    with pytest.raises(hints.OutOfTimeError):
        base(made)


def test_alternatives_are_other_places_of_the_line() -> None:
    other = line_edits.appended("device", "extra")
    more = Candidate(action="both", edit=lambda line: line.append("a").append("x"))
    again = Candidate(action="a, in other words", edit=lambda line: line.append("a"))
    different = Candidate(action="b instead", edit=lambda line: line.append("b"))

    def judge(line: CommandLine) -> Verdict:
        return verdict() if len(line.options) > 1 else verdict(cause("no-a"))

    made = search(judge, no_a=[ADD["a"], more, again, other, different])
    at = base(made)
    solution = made.solve(at)
    assert solution is not None
    found = [one.line.argv[-1] for one in made.alternatives(at, solution, 3)]
    assert found == ["-b"]  # not more beside it, not another device


def test_what_is_sole_has_no_alternatives() -> None:
    def judge(line: CommandLine) -> Verdict:
        return verdict() if len(line.options) > 1 else verdict(cause("no-a"))

    made = search(judge, no_a=[replace(ADD["a"], sole=True), ADD["b"]])
    at = base(made)
    solution = made.solve(at)
    assert solution is not None
    assert list(made.alternatives(at, solution, 3)) == []


def test_edits_that_cannot_be_made_are_passed_over() -> None:
    gone = parse("qemu -z").options[0]
    made = search(needs("a"), no_a=[line_edits.removed(gone, "-z"), ADD["a"]])
    solution = made.solve(base(made))
    assert solution is not None
    assert solution.line.argv[-1] == "-a"


# Comparing verdicts


def test_better() -> None:
    a, b, start = cause("a"), cause("b"), ended("no")
    assert better(verdict(a), verdict(), a)
    assert better(verdict(a), verdict(b), a)
    assert better(verdict(a, b), verdict(b), a)
    assert not better(verdict(a), verdict(a), a)
    assert not better(verdict(a), verdict(b, cause("c")), a)
    assert not better(verdict(a), verdict(start), a)
    assert better(verdict(start), verdict(a, b), start)
    assert not better(verdict(a), verdict(outcome=Outcome.UNKNOWN), a)
    kind = cause("machine-type")
    assert better(verdict(kind), verdict(a, b), kind)  # the others were there, unseen


def test_left() -> None:
    a, b, start = cause("a"), cause("b"), ended("no")
    found = [left(verdict()), left(verdict(a)), left(verdict(a, b)), left(verdict(start))]
    assert found == sorted(found)
    assert left(verdict(a, a)) == left(verdict(a))
    assert left(verdict(outcome=Outcome.UNKNOWN)) == left(verdict(start))


def test_key() -> None:
    def ended_key(text: str) -> object:
        return key(ended(text))

    assert ended_key("-device e,id=n,p=1: no bus") == ended_key("-device e,id=n: no bus")
    assert ended_key("-device e,id=n: no bus") != ended_key("-device e,id=m: no bus")
    assert ended_key("-device e,id=n: no bus") != ended_key("-device e,id=n: no slot")
    blocks = [
        key(cause("ram-block-size", facts=BlockFacts(block=name, size=1)))
        for name in ("pc.ram", "vga.vram")
    ]
    assert blocks[0] != blocks[1]


# What is shown


def shown(made: Made, monkeypatch: pytest.MonkeyPatch, *, rehearsed: Outcome | None) -> Verdict:
    """A verdict with hints; the rehearsal, if there is one, says *rehearsed*."""
    monkeypatch.setattr(hints, "Search", lambda **_: made)
    monkeypatch.setattr(
        "migratable.rehearse.way_back.there",
        lambda *_, **__: (verdict(cause("x"), outcome=rehearsed), Resave()),
    )
    line = parse("qemu -m 1G")
    found = made.judge(line)
    assert found is not None
    return hints.tried(found, tiny.stream(), line, rehearse=rehearsed is not None)


def test_hint(monkeypatch: pytest.MonkeyPatch) -> None:
    advice = Candidate(action="restart it", side=Side.SOURCE, needs_guest_restart=True)
    made = search(needs("a"), no_a=[advice, ADD["a"]])
    (finding,) = shown(made, monkeypatch, rehearsed=None).findings
    tried, told = finding.hints
    assert (tried.action, tried.command) == ("-a", "qemu -m 1G -a")
    assert tried.verified is Basis.PREDICTED
    assert (told.action, told.command, told.verified) == ("restart it", None, None)
    assert told.side is Side.SOURCE
    assert told.needs_guest_restart


def test_an_image_that_only_the_user_knows(monkeypatch: pytest.MonkeyPatch) -> None:
    disk = line_edits.appended("drive", "if=none,id=d,file=DISK-IMAGE")
    made = search(lambda line: verdict() if len(line.options) > 1 else verdict(cause("no-a")))
    made.proposals = {"no-a": [disk]}
    (finding,) = shown(made, monkeypatch, rehearsed=None).findings
    assert finding.hints[0].action == (
        "-drive if=none,id=d,file=DISK-IMAGE; with the guest's own image in the place of DISK-IMAGE"
    )


def test_the_last_resort_is_for_where_nothing_helped(monkeypatch: pytest.MonkeyPatch) -> None:
    no_option = Candidate(action="no option helps", last_resort=True)
    made = search(needs("a"), no_a=[no_option, ADD["a"]])
    (finding,) = shown(made, monkeypatch, rehearsed=None).findings
    assert [one.action for one in finding.hints] == ["-a"]
    made = search(needs("a"), no_a=[no_option, ADD["x"]])
    (finding,) = shown(made, monkeypatch, rehearsed=None).findings
    assert [one.action for one in finding.hints] == ["no option helps"]


@pytest.mark.parametrize(
    ("outcome", "verified"),
    [
        (Outcome.LOADS, [Basis.REHEARSED]),
        (Outcome.REFUSED, [None]),
        (Outcome.UNKNOWN, [Basis.PREDICTED]),
    ],
)
def test_hints_are_proved(
    monkeypatch: pytest.MonkeyPatch, outcome: Outcome, verified: list[Basis | None]
) -> None:
    made = search(needs("a"), no_a=[ADD["a"]])
    (finding,) = shown(made, monkeypatch, rehearsed=outcome).findings
    assert [one.verified for one in finding.hints] == verified
    assert all((one.command is None) == (one.verified is None) for one in finding.hints)


def test_another_remedy_is_looked_for_when_one_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def judge(line: CommandLine) -> Verdict:
        return verdict() if len(line.options) > 1 else verdict(cause("no-a"))

    def rehearsed(stream: Stream, line: CommandLine, **_: object) -> tuple[Verdict, Resave]:
        del stream
        return verdict(*([cause("layout")] if "-a" in line.argv else [])), Resave()

    made = search(judge, no_a=[ADD["a"], ADD["b"]])
    monkeypatch.setattr(hints, "Search", lambda **_: made)
    monkeypatch.setattr("migratable.rehearse.way_back.there", rehearsed)
    line = parse("qemu -m 1G")
    (finding,) = hints.tried(judge(line), tiny.stream(), line, most=1).findings
    assert [one.command for one in finding.hints] == ["qemu -m 1G -b"]
    assert finding.hints[0].verified is Basis.REHEARSED


def test_a_hint_says_what_was_seen_only_later(monkeypatch: pytest.MonkeyPatch) -> None:
    def judge(line: CommandLine) -> Verdict:
        have = {option.name for option in line.options}
        if "a" not in have:
            return verdict(ended("z"))
        return verdict() if "b" in have else verdict(cause("no-b"))

    made = search(judge, destination_start=[ADD["a"]], no_b=[ADD["b"]])
    (finding,) = shown(made, monkeypatch, rehearsed=None).findings
    assert finding.hints[0].action == "-a; -b"


def test_a_found_remedy_is_not_lost_when_time_is_up(monkeypatch: pytest.MonkeyPatch) -> None:
    made = search(needs("a"), no_a=[ADD["a"], ADD["x"]])

    def late(line: CommandLine) -> Verdict | None:
        if "-a" in line.argv:
            made.deadline = 0.0
        return needs("a")(line)

    made.judge = late
    (finding,) = shown(made, monkeypatch, rehearsed=None).findings
    assert finding.hints[0].command == "qemu -m 1G -a"


HOME = Home(profile=Profile(version=QemuVersion.parse("7.2.0"), machine="pc"))


@pytest.mark.parametrize(
    ("a", "b", "order", "comes", "why"),
    [
        ("Unknown section", "", ["-b", "-a"], [True, False], ["", "Unknown section"]),
        ("", "", ["-a", "-b"], [True, True], ["", ""]),
        ("?", "Unknown section", ["-a", "-b"], [None, False], ["?", "Unknown section"]),
    ],
)
def test_what_comes_back_is_first(
    monkeypatch: pytest.MonkeyPatch,
    a: str,
    b: str,
    order: list[str],
    comes: list[bool | None],
    why: list[str],
) -> None:
    """Each remedy's own saved state is put to the source; ``?``: it could not be saved."""

    def there(stream: Stream, line: CommandLine, **_: object) -> tuple[Verdict, Resave]:
        del stream
        return verdict(), Resave(data=line.argv[-1].encode())

    def back(again: Resave, home: Home, **_: object) -> Verdict | str:
        assert home is HOME
        said = a if again.data == b"-a" else b
        if said in {"", "?"}:
            return said or verdict()
        refusal = Refusal(rule="unknown-section", message=said)
        return replace(verdict(cause("unknown-section")), first_refusal=refusal)

    monkeypatch.setattr("migratable.rehearse.way_back.there", there)
    monkeypatch.setattr("migratable.rehearse.way_back.back", back)
    made = search(
        lambda line: verdict() if len(line.options) > 1 else verdict(cause("no-a")),
        no_a=[ADD["a"], ADD["b"]],
    )
    monkeypatch.setattr(hints, "Search", lambda **_: made)
    line = parse("qemu -m 1G")
    found = made.judge(line)
    assert found is not None
    (finding,) = hints.tried(found, tiny.stream(), line, home=HOME).findings
    assert [one.action for one in finding.hints] == order
    assert [one.comes_back for one in finding.hints] == comes
    assert [one.way_back for one in finding.hints] == why
    assert [one.to_json()["comes_back"] for one in finding.hints] == comes


def test_the_way_back_is_not_said_where_it_was_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    made = search(needs("a"), no_a=[ADD["a"]])
    (finding,) = shown(made, monkeypatch, rehearsed=Outcome.LOADS).findings
    assert not {"comes_back", "way_back"} & finding.hints[0].to_json().keys()


def test_a_remedy_that_keeps_the_machine_is_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that changes it is shown only where there is no other."""
    made = search(
        lambda line: verdict() if len(line.options) > 1 else verdict(cause("no-a")),
        no_a=[ADD["a"], ADD["b"]],
    )
    monkeypatch.setattr(
        "migratable.hints.changes.of_solution",
        lambda _, __, one: "a device more" if "-a" in one.line.argv else "",
    )
    (finding,) = shown(made, monkeypatch, rehearsed=None).findings
    assert [(one.action, one.changes) for one in finding.hints] == [("-b", "")]
    monkeypatch.setattr("migratable.hints.changes.of_solution", lambda *_: "a device more")
    (finding,) = shown(made, monkeypatch, rehearsed=None).findings
    assert finding.hints[0].changes == "a device more"


def test_what_loads_has_no_hints(monkeypatch: pytest.MonkeyPatch) -> None:
    made = search(needs())
    shown(made, monkeypatch, rehearsed=None)
    assert made.lines == []
