"""Texts that read otherwise where no guest moves between two hosts."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from migratable.check.rules import RULES
from migratable.explain.cases import cases
from migratable.explain.managers import causes
from migratable.messages import messages
from migratable.messages.setting import TERMS, Setting, asks_for_logs, said


@pytest.mark.parametrize(
    ("text", "setting", "reads"),
    [
        ("Start {the destination}.", Setting.MOVING, "Start the destination."),
        ("Start {the destination}.", Setting.STARTING, "Start this host."),
        ("{The source} has it.", Setting.LOADING, "The QEMU that saved it has it."),
        (
            "A lock of {the source's} swtpm.",
            Setting.STARTING,
            "A lock of the earlier host's swtpm.",
        ),
        ("Set x {moving: on both sides}.", Setting.MOVING, "Set x on both sides."),
        ("Set x {moving: on both sides}.", Setting.SAVING, "Set x."),
        ("Set x{moving: , or migrate later}; y.", Setting.RESTORING, "Set x; y."),
        ("{moving: Compare both;} it helps.", Setting.LOADING, "It helps."),
        ("{moving: Compare both;} virsh list.", Setting.MOVING, "Compare both; virsh list."),
        ("A {moving: model that both have|model}.", Setting.STARTING, "A model."),
        ("{loading: |Compare {moving: both}.} End.", Setting.STARTING, "Compare. End."),
        ("{loading: |Compare {moving: both}.} End.", Setting.LOADING, "End."),
        ("Set {name} {moving: to {value}}.", Setting.MOVING, "Set {name} to {value}."),
        ('virsh edit, {{"a": {{}}}}', Setting.LOADING, 'virsh edit, {{"a": {{}}}}'),
        ("of a log: {THE SOURCE} and |", Setting.SAVING, "of a log: {THE SOURCE} and |"),
        ("of a log: {moving: without an end", Setting.SAVING, "of a log: {moving: without an end"),
    ],
)
def test_a_text_in_a_setting(text: str, setting: Setting, reads: str) -> None:
    assert said(text, setting) == reads


def test_a_reader_who_gave_both_logs_is_not_sent_to_them() -> None:
    text = "{other log: Read the destination's log.} Compare the options."
    assert asks_for_logs(text)
    assert said(text) == "Read the destination's log. Compare the options."
    assert said(text, both_logs=True) == "Compare the options."


def _texts() -> Iterator[tuple[str, str]]:
    for message in messages():
        parts = [message.meaning, message.now, message.prevent, *message.here.values()]
        for text in message.texts:
            parts += [text.meaning, text.now, text.prevent]
        for variant in message.variants:
            parts += [variant.meaning, variant.now, variant.prevent]
        yield from ((message.id, part) for part in parts if part)
    for case in cases():
        yield from (
            (case.id, text) for text in (case.title, case.explanation, case.now, case.prevent)
        )
    for cause in causes():
        yield from ((cause.id, text) for text in cause.remedies.values())
    for rule in RULES:
        yield from ((rule.id, text) for text in (rule.now, rule.prevent))


@pytest.mark.parametrize("setting", Setting)
def test_every_choice_of_the_catalogue_is_closed(setting: Setting) -> None:
    heads = re.compile(r"\{(?:moving|loading|other log): |\{(?:the|this) ", re.IGNORECASE)
    left = {key: text for key, text in _texts() if heads.search(said(text, setting))}
    assert not left


@pytest.mark.parametrize("setting", [Setting.STARTING, Setting.SAVING, Setting.RESTORING])
def test_no_other_host_where_one_does_it(setting: Setting) -> None:
    """Write ``{the destination}``, as :mod:`migratable.messages.setting` says."""
    plain = re.compile(r"\b[Tt]he destination(?:'s)?\b")
    found = {key: text for key, text in _texts() if plain.search(said(text, setting))}
    assert not found


def test_every_term_has_a_use() -> None:
    text = " ".join(text for _, text in _texts())
    assert [term for term in TERMS if not re.search(rf"\{{{term}\}}", text, re.IGNORECASE)] == []
