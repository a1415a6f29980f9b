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

ANSWERS = {
    "q35-7.2": "loads",
    "q35-10.0": "loads",
    "q35-11.1": "refused",
    "q35-11.1-queue-size": "loads",
    "pseries-5.2": "loads",
    "pseries-7.2": "loads",
    "pseries-10.0": "refused",
    "pseries-10.0-power9_v2.0": "loads",
    "pseries-11.1": "refused",
    "aarch64-10.0": "loads",
    "aarch64-10.0-cortex-a57": "refused",
}
CAUSES = {
    "q35": ("virtio-queues", "0000:00:03.0/virtio-blk"),
    "pseries": ("cpu-identity", "cpu"),
    "aarch64": ("cpu-identity", "cpu"),
}


def example(family: str) -> Stream:
    return read(bundled.FOLDER / f"guest-{family}.mig.gz", ram=True)


@pytest.fixture(params=["q35", "pseries", "aarch64"])
def guest(request: pytest.FixtureRequest) -> Stream:
    return example(request.param)


def test_there_is_nothing_else() -> None:
    assert set(bundled.names()) == set(ANSWERS)
    streams = {path.name for path in bundled.FOLDER.glob("*.mig*")}
    assert streams == {
        "guest-q35.mig.gz",
        "guest-pseries.mig.gz",
        "guest-aarch64.mig.gz",
    }


@pytest.mark.parametrize("name", ANSWERS)
def test_answers(name: str) -> None:
    family, release = name.split("-")[:2]
    profile = bundled.load(name)
    assert f"{profile.version.major}.{profile.version.minor}" == release
    assert profile.accelerator == ("kvm" if family == "q35" else "tcg")
    verdict = check(example(family), profile)
    assert str(verdict.outcome) == ANSWERS[name]
    if verdict.outcome is Outcome.REFUSED:
        assert verdict.first_refusal is not None
        assert (verdict.first_refusal.rule, verdict.first_refusal.device) == CAUSES[family]
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
        own = read(bundled.load(name).stream)
        if own.page_size == guest.page_size and own.machine == guest.machine:
            assert find_pages(own, everywhere) == {}


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
