"""The example that is part of the program: it answers, and holds nothing that it should not."""

from __future__ import annotations

import gzip
import json
import re

import pytest

from migratable.check import check
from migratable.errors import ProfileError
from migratable.profile import bundled
from migratable.stream import Stream, read
from migratable.stream.pages import find_pages
from migratable.verdict import Outcome

RELEASES = {"5.2": "loads", "7.2": "loads", "10.0": "refused", "11.1": "refused"}
REMEDY = "pseries-10.0-power9_v2.0"


@pytest.fixture(scope="module")
def guest() -> Stream:
    (path,) = bundled.FOLDER.glob("*.mig*")
    return read(path, ram=True)


def test_there_is_a_destination_of_each_release() -> None:
    assert set(bundled.names()) == {*(f"pseries-{one}" for one in RELEASES), REMEDY}


def test_the_remedy_is_there_too(guest: Stream) -> None:
    assert check(guest, bundled.load(REMEDY)).outcome is Outcome.LOADS


@pytest.mark.parametrize("release", RELEASES)
def test_answers(release: str, guest: Stream) -> None:
    profile = bundled.load(f"pseries-{release}")
    assert f"{profile.version.major}.{profile.version.minor}" == release
    verdict = check(guest, profile)
    assert str(verdict.outcome) == RELEASES[release]
    if verdict.outcome is Outcome.REFUSED:
        assert verdict.first_refusal is not None
        assert verdict.first_refusal.device == "cpu"
        assert verdict.first_refusal.rule == "cpu-identity"
    # what each would send itself loads where it was taken
    own = check(read(profile.stream), profile, origin=profile)
    assert own.outcome is Outcome.LOADS
    assert own.findings == ()


def test_no_page_of_ram_is_in_it(guest: Stream) -> None:
    everywhere = {
        block.id: range(0, min(block.used_length, 1 << 22), guest.page_size)
        for block in guest.ram_blocks
    }
    assert find_pages(guest, everywhere) == {}
    assert guest.ram_statistics is not None
    assert all(block.records == 0 for block in guest.ram_statistics.blocks.values())
    for name in bundled.names():
        assert find_pages(read(bundled.load(name).stream), everywhere) == {}


def test_nothing_of_the_machine_that_made_it_is_in_it() -> None:
    path = re.compile(r"/(?:root|home|tmp|opt|work|var|usr|nix)/")
    for file in bundled.FOLDER.glob("*.json.gz"):
        text = gzip.decompress(file.read_bytes()).decode()
        document = json.loads(text)
        assert path.search(text) is None
        assert document["kernel"] == ""
        assert document["vmstate"] is None
        assert document["program"] == [document["command_line"][0]]


def test_is_small() -> None:
    size = sum(path.stat().st_size for path in bundled.FOLDER.iterdir() if path.is_file())
    assert size < 300_000


def test_a_name_that_is_not_there_is_told_with_those_that_are() -> None:
    with pytest.raises(ProfileError, match=r"pseries-10\.0"):
        bundled.load("pseries-1.0")
