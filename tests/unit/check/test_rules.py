"""Every rule has a page and examples that come true; every id that is used has a rule."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import migratable.check
import migratable.check.rules as check_rules
from migratable.check import events
from migratable.check.problem import Problem
from migratable.check.registry import ask_rules, rules, rules_for
from migratable.check.rule import Example, Rule
from migratable.messages import catalogue
from migratable.verdict import Severity

HOOKS = {events.BodyEntered, events.BodyLoaded}
RULES = sorted(rules().values(), key=lambda rule: rule.id)
EXAMPLES = [
    pytest.param(rule, example, id=f"{rule.id}-{number}")
    for rule in RULES
    for number, example in enumerate(rule.examples)
]


def said_of(rule: Rule, example: Example) -> list[Problem]:
    """What the rule says of an event; that of hooks, when a hook names the rule."""
    if rule.events:
        return list(rule.check(example.event))
    return list(ask_rules(example.event))


@pytest.mark.parametrize(("rule", "example"), EXAMPLES)
def test_examples(rule: Rule, example: Example) -> None:
    problems = said_of(rule, example)
    if example.says is None:
        assert problems == []
    else:
        assert any(example.says in problem.summary for problem in problems)
    for problem in problems:
        assert problem.summary
        assert problem.summary[-1] not in ".\n"  # the report makes a sentence of it
        severity = Severity(problem.severity or rules()[problem.rule].severity)
        assert problem.refuses == (severity is Severity.REFUSES)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.id)
def test_page(rule: Rule) -> None:
    text = rule.page
    assert text.splitlines()[0].endswith("."), "the first line says what is wrong"
    heads = re.findall(r"^## (.+)$", text, re.MULTILINE)
    assert [head.partition(" ")[0] for head in heads] == ["What", "Why", "How", "Source"]
    for head, body in zip(heads, re.split(r"^## .+$", text, flags=re.MULTILINE)[1:], strict=True):
        assert len(body.strip()) > 15, f"{head} is empty"
    for other in re.findall(r"\{doc\}`([^`]+)`", text):
        if other.startswith("/"):  # another page
            docs = Path(__file__).parents[3] / "docs"
            assert (docs / f"{other.lstrip('/')}.md").is_file(), other
        else:
            assert other in rules(), f"{rule.id} names a rule {other!r} that is not there"


def test_a_page_says_what_helps_and_what_verifies_it() -> None:
    """Before its source; without a command where none of migratable's shows it."""
    assert (
        "- At fault: destination.\n"
        "- Fix now: Give the destination the source's -machine max-ram-below-4g=, or none if the "
        "source has none.\n"
        "- Prevent: Write max-ram-below-4g into the VM's definition when a host uses it; use "
        "versioned machine types.\n"
        "- Verify: `migratable check`.\n\n## Source\n"
    ) in rules()["memory-map"].page
    assert "Verify:" not in rules()["external-state"].page


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.id)
def test_shows_when_it_speaks(rule: Rule) -> None:
    assert isinstance(rule.severity, Severity)
    known = {kind for kind in vars(events).values() if isinstance(kind, type)}
    assert set(rule.events) <= known
    for example in rule.examples:
        assert type(example.event) in rule.events or type(example.event) in HOOKS
    if rule.events:
        assert any(example.says is not None for example in rule.examples)
        assert all(rule in rules_for(event) for event in rule.events)


@pytest.mark.parametrize(("rule", "example"), EXAMPLES)
def test_what_it_says_is_a_message_of_the_release(rule: Rule, example: Example) -> None:
    """The words of every problem can be rendered, with all their parameters."""
    from migratable.check.problem import RefusedError
    from migratable.check.stderr import of_refusal, said

    release = example.event.release
    for problem in said_of(rule, example):
        assert isinstance(problem, Problem)
        for words in problem.words:
            assert "{" not in said(words, release)
        if problem.refuses:
            lines = of_refusal(RefusedError(problem, release), (), release)
            ended = "Assertion" if problem.aborts else "load of migration failed"
            assert ended in lines[-1]


def test_every_id_that_is_used_has_a_page() -> None:
    folder = Path(migratable.check.__file__).parent
    used: dict[str, set[str]] = {}
    for path in folder.rglob("*.py"):
        for found in re.findall(r"""(?:rule=|refuse\(\s*)"([a-z0-9-]+)\"""", path.read_text()):
            used.setdefault(found, set()).add(path.name)
    assert len(used) > 10
    missing = {name: files for name, files in used.items() if name not in rules()}
    assert missing == {}


def test_messages_that_rules_name_are_there() -> None:
    folder = Path(migratable.check.__file__).parent
    known = {message.id for message in catalogue.messages()}
    for path in folder.rglob("*.py"):
        for name in re.findall(r'\(\s*"([a-z0-9]+(?:-[a-z0-9]+)+)",\s*\{', path.read_text()):
            assert name in known, f"{path.name}: {name}"


def test_the_package_of_rules_has_no_other_names() -> None:
    """Each is imported when it is asked for."""
    with pytest.raises(AttributeError, match="WHATEVER"):
        getattr(check_rules, "WHATEVER")  # noqa: B009 -- it is not there
    assert len(check_rules.RULES) == len(RULES)
