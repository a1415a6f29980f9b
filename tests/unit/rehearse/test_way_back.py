"""The way back without a program: recorded machines, and what is not known."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from migratable.commandline import parse
from migratable.errors import ProfileError, QemuError
from migratable.profile.at_hand import AtHand
from migratable.rehearse import way_back
from migratable.rehearse.resave import Resave
from migratable.rehearse.way_back import NOT_SAVED, Home, back, guessed, said
from migratable.unchecked import Code, code_of
from migratable.verdict import Basis, Outcome, Refusal, Verdict
from tests import recorded

NO_PROGRAM = "its program is not here"


def home(name: str) -> Home:
    return Home(profile=recorded.profile(name), why=NO_PROGRAM)


def test_what_a_program_saved_is_checked() -> None:
    found = back(Resave(data=recorded.profile("q35-10.0").stream), home("q35-10.0"))
    assert isinstance(found, Verdict)
    assert (found.outcome, found.basis) == (Outcome.LOADS, Basis.PREDICTED)
    assert f"not rehearsed: {NO_PROGRAM}" in found.unchecked
    assert said(found) == ""


def test_a_newer_form_does_not_come_back() -> None:
    found = back(Resave(data=recorded.profile("pseries-11.1").stream), home("pseries-5.2"))
    assert isinstance(found, Verdict)
    assert found.outcome is Outcome.REFUSED
    assert found.first_refusal is not None
    assert said(found) == found.first_refusal.message.partition(". Make sure that")[0]


def test_a_state_that_could_not_be_saved() -> None:
    assert back(Resave(why="it hangs"), home("q35-10.0")) == "it hangs"
    found = back(Resave(why="State blocked by nvme", blocked=True), home("q35-10.0"))
    assert isinstance(found, Verdict)
    assert (found.outcome, found.basis) == (Outcome.REFUSED, Basis.REHEARSED)
    assert said(found) == "the guest cannot leave the destination: State blocked by nvme"
    assert back(Resave(), home("q35-10.0")) == "the destination was not rehearsed"


def test_a_guess_never_says_that_it_comes_back() -> None:
    stream = recorded.source("q35-10.0")
    found = guessed(stream, recorded.profile("q35-10.0"), home("q35-10.0"))
    assert isinstance(found, Verdict)
    assert found.outcome is Outcome.UNKNOWN
    assert found.unchecked[0] == NOT_SAVED
    assert code_of(found.unchecked[0]) is Code.REHEARSAL
    assert not found.final


def test_a_guess_says_where_it_does_not() -> None:
    stream = recorded.source("pseries-5.2")
    found = guessed(stream, recorded.profile("pseries-11.1"), home("pseries-5.2"))
    assert isinstance(found, Verdict)
    assert found.outcome is Outcome.REFUSED


def test_a_destination_without_a_stream() -> None:
    bare = replace(recorded.profile("q35-10.0"), stream=b"", no_stream="nvme is not migratable")
    stream = recorded.source("q35-10.0")
    assert guessed(stream, bare, home("q35-10.0")) == "nvme is not migratable"


def test_a_rehearsal_at_home_that_fails_leaves_the_prediction(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def hangs(*_: Any, **__: Any) -> None:
        raise QemuError("it hangs")

    monkeypatch.setattr(way_back, "try_destination", hangs)
    there = replace(home("q35-10.0"), line=parse("qemu -m 1G"))
    found = back(Resave(data=recorded.profile("q35-10.0").stream), there)
    assert isinstance(found, Verdict)
    assert found.basis is Basis.PREDICTED
    assert "not rehearsed: it hangs" in found.unchecked


def test_a_source_that_cannot_be_described(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(way_back, "at_hand", lambda _: AtHand(why=NO_PROGRAM))
    profile = recorded.profile("q35-10.0")
    assert Home.of(profile).why == NO_PROGRAM
    with pytest.raises(ProfileError, match=f"the way back cannot be checked: {NO_PROGRAM}"):
        Home.of(replace(profile, loader=None))


def test_words_for_what_is_not_known() -> None:
    unknown = Verdict(outcome=Outcome.UNKNOWN, basis=Basis.PREDICTED, unchecked=("a", "b", "c"))
    assert said(unknown) == "a; b"
    refused = Verdict(outcome=Outcome.REFUSED, basis=Basis.PREDICTED)
    assert said(refused) == "refused"
    line = Refusal(rule="unknown-section", message="Unknown section. Make sure that your VM")
    assert said(replace(refused, first_refusal=line)) == "Unknown section"
