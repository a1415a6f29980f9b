"""The catalogue: rendered and recognised are inverse; every entry is complete."""

from __future__ import annotations

import re
import string
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from migratable.check.registry import rules
from migratable.errors import KnowledgeError
from migratable.explain import advice
from migratable.explain.cases import cases
from migratable.messages import anchors as anchors_module
from migratable.messages import failure, message, messages, strerror, text
from migratable.messages.anchors import anchors, prefilter
from migratable.messages.catalogue import Message, Text, origins
from migratable.messages.recognise import WEAK, recognise
from migratable.messages.setting import said
from migratable.messages.template import Parameter, Template, Value
from tests.explain.grouped import by_first_word, word_of

RELEASES = [(4, 1), (4, 2), (5, 1), (5, 2), (6, 2), (7, 2), (8, 2), (9, 1), (10, 0), (10, 1),
            (10, 2), (11, 0), (11, 1)]  # fmt: skip
ALL = list(messages())


def name(draw: Random) -> str:
    """``[A-Za-z][A-Za-z0-9_]{0,8}(-[a-z0-9]{1,5})?``."""
    letters = string.ascii_letters
    text = draw.choice(letters) + "".join(
        draw.choices(f"{letters}{string.digits}_", k=draw.randint(0, 8))
    )
    if draw.random() < 0.3:
        text += "-" + "".join(
            draw.choices(string.ascii_lowercase + string.digits, k=draw.randint(1, 5))
        )
    return text


def value(parameter: Parameter, draw: Random) -> Value:
    """A value as QEMU prints them for a parameter."""
    if parameter.numeric:
        most = 2**64 - 1 if parameter.base == 16 else 2**31
        return draw.choice((0, 1, most, draw.randint(0, most), draw.randint(0, 300)))
    if parameter.spec in ("line", "phrase"):
        return " ".join(name(draw) for _ in range(draw.randint(1, 4)))
    if parameter.spec == "path":
        return f"0000:00:{draw.randint(0, 31):02x}.{draw.randint(0, 7)}/{name(draw)}"
    return name(draw)


@pytest.mark.parametrize("entries", by_first_word(ALL), ids=word_of)
def test_recognise_inverts_render(entries: list[Message]) -> None:
    for entry in entries:
        for wording in entry.recognised:
            inverts(entry, wording)


def inverts(entry: Message, wording: Text) -> None:
    draw = Random(wording.template.text)
    for _ in range(15 if wording.template.parameters else 1):
        params = {one.name: value(one, draw) for one in wording.template.parameters}
        line = wording.template.render(params)
        direct = wording.template.pattern.fullmatch(line)
        assert direct is not None, line
        assert wording.template.values(direct) == params, line
        if entry.unless and re.search(entry.unless, line):
            assert not any(match.message is entry for match in recognise(line))
            continue
        # In a log line another entry may cover more text or exactly the same; one of them is found.
        found = recognise(f"2026-01-01T00:00:00.000000Z qemu-system-x86_64: {line}")
        assert found, line
        covered = max(match.end - match.start for match in found)
        assert covered >= len(line.rstrip()) - len("warning: "), line


@pytest.mark.parametrize("release", RELEASES)
def test_every_message_of_a_release_comes_back(release: tuple[int, int]) -> None:
    for entry in ALL:
        if entry.program != "QEMU" or not entry.printed_by(release):
            continue
        wording = entry.wording(release)
        params: dict[str, Value] = {
            parameter.name: 17 if parameter.numeric else "name-x"
            for parameter in wording.template.parameters
        }
        line = text(entry.id, release, **params)
        found = recognise(f"qemu-system-ppc64: {line}")
        ids = {match.message.id for match in found}
        twins = {other.message.id for other in found if other.text.template == wording.template}
        assert entry.id in ids or twins or entry.rank < 0, (entry.id, line, ids)


def test_releases_outside_the_known_range_take_the_nearest_wording() -> None:
    assert text("unknown-section", (2, 12), device="x", instance_id=0) == text(
        "unknown-section", (4, 1), device="x", instance_id=0
    )
    assert text("unknown-section", (99, 0), device="x", instance_id=0) == text(
        "unknown-section", (11, 1), device="x", instance_id=0
    )


def test_a_message_of_a_release_to_come_takes_effect_with_it() -> None:
    old = Text(template=Template("old"), last=(11, 1))
    new = Text(template=Template("new"), first=(11, 2))
    entry = replace(message("unknown-section"), texts=(old, new))
    assert entry.wording((11, 1)) is old
    assert entry.wording((11, 2)) is new
    assert entry.wording((99, 0)) is new
    assert not replace(entry, texts=(new,)).printed_by((11, 1))
    assert replace(entry, texts=(new,)).printed_by((99, 0))
    assert not replace(entry, texts=(old,)).printed_by((99, 0))


def test_wordings_of_a_message_do_not_overlap() -> None:
    for entry in ALL:
        ranges = sorted((item.first or (0, 0), item.last or (1000, 0)) for item in entry.texts)
        for (_, last), (first, _) in pairwise(ranges):
            assert last < first, entry.id


def test_ids_are_unique_and_entries_complete() -> None:
    ids = [entry.id for entry in ALL]
    assert len(ids) == len(set(ids))
    for entry in ALL:
        assert re.fullmatch(r"[a-z0-9-]+", entry.id)
        assert entry.meaning.endswith((".", ":", "?", "}")), entry.id
        names = {p.name for item in entry.texts for p in item.template.parameters}
        found = advice.of_message(entry)
        for words in (entry.meaning, found.now, found.prevent):
            used = set(re.findall(r"\{([a-z_]+)(?::[^}]*)?\}", said(words)))
            assert used <= names, (entry.id, used - names)
        if entry.role == "cause":
            assert entry.rule, entry.id
            assert found.now, entry.id
            assert found.prevent, entry.id
            assert found.verify in ("", "check", "rehearse", "capture", "profile"), entry.id


def test_messages_name_rules_and_no_other_id() -> None:
    assert {entry.rule for entry in ALL} - {""} <= set(rules())


def test_cases_name_messages_and_rules_that_exist() -> None:
    ids = {entry.id for entry in ALL}
    for case in cases():
        for key in ("message", "absent"):
            for name in filter(None, case.when.get(key, "").split("|")):
                assert name in ids, (case.id, name)
        assert not case.rule or case.rule in rules(), case.id
        assert case.explanation
        for pattern in case.when.values():
            re.compile(pattern)


# Lines of real programs (see the verdicts of the oracle), with the release that printed them.
REAL = [
    ((10, 0), "version-too-new", {"vmsd": "cpu/slb", "version": 2, "local": 1},
     "cpu/slb: incoming version_id 2 is too new for local version_id 1"),
    ((5, 2), "section-version", {"version": 3, "device": "spapr_iommu", "local": 2},
     "savevm: unsupported version 3 for 'spapr_iommu' v2"),
    ((11, 1), "section-version", {"version": 99, "device": "timer", "local": 2},
     "unsupported version 99 for 'timer' v2"),
    ((7, 2), "ram-block-size", {"block": "pc.ram", "stream": 0x10000000, "local": 0x8000000},
     "Size mismatch: pc.ram: 0x10000000 != 0x8000000: Invalid argument"),
    ((4, 1), "ram-block-size", {"block": "pc.ram", "stream": 0x10000000, "local": 0x8000000},
     "Length mismatch: pc.ram: 0x10000000 in != 0x8000000: Invalid argument"),
    ((7, 2), "pci-config",
     {"offset": 2, "read": 1, "local": 0x42, "cmask": 0xFF, "wmask": 0, "w1cmask": 0},
     "get_pci_config_device: Bad config data: i=0x2 read: 1 device: 42 "
     "cmask: ff wmask: 0 w1cmask:0"),
    ((10, 0), "virtio-features", {"features": 0x1C0010130AFFFA7, "allowed": 0x10179BFFFE7},
     "Features 0x1c0010130afffa7 unsupported. Allowed features: 0x10179bfffe7"),
    ((11, 1), "virtio-features", {"features": 0x10130AFFFA7, "allowed": 0x10179BFFFE7},
     "Features 0x00000000000000000000010130afffa7 unsupported. "
     "Allowed features: 0x00000000000000000000010179bfffe7"),
    ((7, 2), "version-too-old", {"vmsd": "timer", "version": 0, "minimum": 1},
     "timer: incoming version_id 0 is too old for local minimum version_id  1"),
    ((11, 1), "version-too-old", {"vmsd": "timer", "version": 0, "minimum": 1},
     "timer: incoming version_id 0 is too old for local minimum version_id 1"),
    ((11, 1), "stream-version", {"version": 4, "expected": 3},
     "Unsupported migration stream version, file version 4 != 3"),
    ((7, 2), "capability-lower", {"capability": "large-decr", "stream": 0, "local": 1},
     "warning: cap-large-decr lower level (0) in incoming stream than on destination (1)"),
    ((11, 1), "virtio-queue-size", {"queue": 0, "size": 1024, "maximum": 8},
     "VQ 0 vring.num 1024 exceeds allocated max 8"),
]  # fmt: skip


@pytest.mark.parametrize(("release", "name", "params", "line"), REAL)
def test_real_lines(
    release: tuple[int, int], name: str, params: dict[str, Value], line: str
) -> None:
    assert text(name, release, **params) == line
    (found,) = recognise(line)
    assert (found.message.id, found.params) == (name, params)


def test_failure_is_put_together_as_each_release_does() -> None:
    where: tuple[str, dict[str, Value]] = ("device-error", {"device": "spapr", "instance_id": 0})
    assert failure((10, 0), [where]) == (
        "error while loading state for instance 0x0 of device 'spapr'",
        "load of migration failed: Invalid argument",
    )
    hook: tuple[str, dict[str, Value]] = (
        "post-load-hook",
        {"vmsd": "spapr", "version": 3, "minimum": 1, "ret": -22},
    )
    assert failure((11, 1), [where, hook]) == (
        "load of migration failed: Invalid argument: error while loading state for instance 0x0 "
        "of device 'spapr': post load hook failed for: spapr, version_id: 3, minimum_version: 1, "
        "ret: -22",
    )
    assert strerror(-2) == "No such file or directory"


def test_errors() -> None:
    with pytest.raises(KnowledgeError, match="no message"):
        message("frobnicate")
    with pytest.raises(KnowledgeError, match="missing"):
        text("machine-type", (10, 0), received="a")
    with pytest.raises(KnowledgeError, match="does not print"):
        text("subsection-unknown", (7, 2), subsection="a/b", vmsd="a")
    with pytest.raises(KnowledgeError, match="bad template"):
        Template("{")
    with pytest.raises(KnowledgeError, match="no number"):
        text("section-version", (7, 2), version="x", device="d", local=1)


def test_no_line_is_missed_by_the_prefilter() -> None:
    """Every wording, rendered, must be found again in a chunk."""
    for entry in ALL:
        if entry.rank <= WEAK or entry.program == "derived":
            continue
        for item in entry.recognised:
            params: dict[str, Value] = {
                p.name: 1 if p.numeric else "nm" for p in item.template.parameters
            }
            line = item.template.render(params).encode()
            chunk = b"noise\n" + line + b"\nnoise\n"
            assert prefilter().spans(chunk), (entry.id, line)
    assert all(len(item) > 3 for item in anchors())


@pytest.mark.parametrize(
    "line",
    [
        "sshd[1]: Failed password for invalid user admin from 10.0.0.1 port 22 ssh2",
        "systemd[1]: Failed to start Session 1 of user root.",
        "dhclient[1]: send_packet: Network is down, error -1, operation not permitted",
    ],
)
def test_a_common_error_of_others_has_no_anchor(line: str) -> None:
    """Each line that has one costs the time of being recognised, in logs of gigabytes too."""
    assert not prefilter().spans(line.encode())


def test_few_tokens_find_all_anchors() -> None:
    """Each costs a pass over the input: ``python -m tools.write_tokens --anew --write``."""
    assert len(prefilter().tokens) <= 240
    assert {token.decode() for token, _ in prefilter().tokens} <= chosen()


def chosen() -> set[str]:
    lines = (Path(anchors_module.__file__).parent / "tokens.txt").read_text().splitlines()
    return {line for line in lines if line and not line.startswith("#")}


@given(st.text(alphabet=string.printable + "äöü\x00\x1b", max_size=200))
def test_recognise_never_raises(line: str) -> None:
    recognise(line)


def test_origins_name_messages_that_exist_and_nothing_is_without_an_account() -> None:
    """A text stands in a source that was read, or is marked as reported."""
    table = origins()
    ids = {entry.id for entry in ALL if entry.program != "derived"}
    assert set(table) <= ids, set(table) - ids
    with_origin = 0
    for name, entry in table.items():
        assert entry["origin"] or entry.get("reported"), name
        with_origin += bool(entry["origin"])
        texts = {text.template.text for text in message(name).recognised}
        assert set(entry.get("reported", ())) <= texts, name
    assert with_origin / len(table) > 0.85
    assert table["unknown-section"]["origin"][0].endswith(
        "migration/savevm.c: qemu_loadvm_section_start_full"
    )
