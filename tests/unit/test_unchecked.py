"""Texts of what was not examined carry a code, wherever they go."""

from __future__ import annotations

import json
import pickle

import pytest

from migratable.check import check
from migratable.fleet.results import from_json
from migratable.unchecked import Code, Unchecked, code_of
from tests import recorded


def test_a_text_with_its_code() -> None:
    reason = Unchecked("its contents", Code.NOT_FOLLOWED)
    assert reason == "its contents"
    assert reason.of("htab") == "htab: its contents"
    assert code_of(reason.of("htab")) is Code.NOT_FOLLOWED
    assert code_of(Unchecked(reason, Code.KVM)) is Code.NOT_FOLLOWED
    assert code_of(pickle.loads(pickle.dumps(reason))) is Code.NOT_FOLLOWED
    assert code_of("a plain text") is Code.OTHER


@pytest.mark.parametrize("name", ["q35-10.0", "pseries-5.2", "virt-10.0"])
def test_every_reason_of_a_check_has_a_code_there_and_back(name: str) -> None:
    verdict = check(recorded.source("i440fx-10.0"), recorded.profile(name))
    codes = [code_of(text) for text in verdict.unchecked]
    assert Code.RAM_CONTENTS in codes
    assert Code.OTHER not in codes
    back = from_json(json.loads(json.dumps(verdict.to_json())))
    assert [code_of(text) for text in back.unchecked] == codes
