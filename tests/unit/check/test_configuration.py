"""The configuration section: the guest's UUID, subsections, capabilities."""

from __future__ import annotations

import uuid
from dataclasses import replace

import pytest

from migratable.check import check as judge
from migratable.check.events import (
    BodyBegun,
    CommandMet,
    ConfigurationRead,
    FooterRead,
    SectionFound,
)
from migratable.check.rules import section_footer, section_version, unknown_section, version_too_old
from migratable.check.rules.configuration import check
from migratable.profile.tables import Vmsd
from migratable.stream.model import Configuration, ConfigurationSubsection
from tests import recorded

OURS = uuid.UUID("12345678-1234-5678-1234-567812345678")
CAPABILITIES = "capabilities"


def sub(name: str, body: bytes = b"", version: int = 1) -> ConfigurationSubsection:
    return ConfigurationSubsection(name=f"configuration/{name}", version=version, body=body)


def capabilities(*names: str) -> ConfigurationSubsection:
    body = b"".join(bytes([len(name)]) + name.encode() for name in names)
    return sub(CAPABILITIES, len(names).to_bytes(4, "big") + body)


def said(
    *subs: ConfigurationSubsection, release: tuple[int, int] = (10, 0), local: str | None = None
) -> list[tuple[str, bool, int]]:
    """Messages, whether each refuses, and what is returned."""
    event = ConfigurationRead(
        release=release,
        configuration=Configuration(machine="pc-q35-10.0", subsections=subs),
        machine="pc-q35-10.0",
        uuid=local,
    )
    return [
        (problem.words[0][0] if problem.words else "", problem.refuses, problem.errno)
        for problem in check(event)
    ]


@pytest.mark.parametrize(
    ("local", "release", "words"),
    [
        (str(OURS).upper(), (4, 2), []),
        (None, (4, 2), [("uuid-unset", False, 22)]),
        (str(uuid.UUID(int=1)), (4, 2), [("uuid-differs", True, 22)]),
        (str(OURS), (4, 1), [("subsection-unknown", True, 2)]),
    ],
)
def test_the_guests_uuid(
    local: str | None, release: tuple[int, int], words: list[tuple[str, bool, int]]
) -> None:
    assert said(sub("uuid", OURS.bytes), local=local, release=release) == words


@pytest.mark.parametrize(
    ("one", "words"),
    [
        (sub("target-page-bits", (12).to_bytes(4, "big")), []),
        (sub("of-tomorrow"), [("subsection-unknown", True, 2)]),
        (
            ConfigurationSubsection(name="target-page-bits", version=1, body=bytes(4)),
            [("subsection-unknown", True, 2)],
        ),
        (sub("target-page-bits", bytes(4), version=2), [("", True, 22)]),
        (sub("target-page-bits", bytes(4), version=0x101), []),  # a byte of it counts
    ],
)
def test_subsections(one: ConfigurationSubsection, words: list[tuple[str, bool, int]]) -> None:
    assert said(one) == words


@pytest.mark.parametrize(
    ("name", "release", "words"),
    [
        ("x-ignore-shared", (4, 1), [("", False, 22)]),
        ("mapped-ram", (9, 0), [("", False, 22)]),
        ("mapped-ram", (8, 2), [("capability-unknown", True, 22)]),
        ("of-tomorrow", (11, 1), [("capability-unknown", True, 22)]),
    ],
)
def test_capabilities(
    name: str, release: tuple[int, int], words: list[tuple[str, bool, int]]
) -> None:
    assert said(capabilities(name), release=release) == words


# what a footer's place tells, and other sentences with numbers in them


@pytest.mark.parametrize(
    ("consumed", "size", "left"),
    [
        (8, 12, "4 bytes are left over."),
        (8, 9, "1 bytes are left over."),
        (12, 8, "4 are missing."),
        (8, 8, "The footer is another section's."),
    ],
)
def test_how_far_a_footer_is_away(consumed: int, size: int, left: str) -> None:
    event = FooterRead(
        release=(10, 0), idstr="d", section_id=9, mark=0, read_id=0, consumed=consumed, size=size
    )
    (problem,) = section_footer.check(event)
    assert problem.explanation == left
    (told,) = section_footer.check(replace(event, detail="why"))
    assert told.explanation == "why"
    (mismatch,) = section_footer.check(replace(event, mark=0x7E, read_id=None))
    assert mismatch.words == (("footer-mismatch", {"device": "d", "read": 0, "expected": 9}),)
    (ended,) = section_footer.check(replace(event, mark=None))
    assert ended.words == (("footer-read-failed", {"errno": -5}),)


@pytest.mark.parametrize(
    ("version", "old", "name", "refused"),
    [
        (1, None, "cpu/slb", True),
        (2, None, "cpu/slb", False),
        (1, 1, "cpu/slb", False),
        (0, 1, "cpu", True),
    ],
)
def test_a_version_that_is_too_old(version: int, old: int | None, name: str, refused: bool) -> None:
    vmsd = Vmsd(name=name, version=2, minimum=2, minimum_old=old)
    problems = list(version_too_old.check(BodyBegun(release=(5, 2), vmsd=vmsd, version=version)))
    subsection = "cpu/slb" if name == "cpu/slb" else None
    assert [problem.subsection for problem in problems] == ([subsection] if refused else [])


def test_four_devices_of_the_kind_are_named() -> None:
    event = SectionFound(
        release=(10, 0),
        idstr="x",
        instance_id=0,
        version=1,
        handler=None,
        near=("a", "b", "c", "d", "e"),
    )
    (problem,) = unknown_section.check(event)
    assert problem.explanation == "Of this kind it has: a, b, c, d."


def test_the_section_by_its_number() -> None:
    """``QEMU_VM_CONFIGURATION`` is 7."""
    event = ConfigurationRead(
        release=(10, 0), configuration=None, machine="pc-q35-10.0", next_byte=4
    )
    (missing,) = check(event)
    assert missing.words == (("configuration-missing", {"byte": 4, "expected": 7}),)
    sent = replace(event, configuration=Configuration(machine="pc-q35-10.0"), expected=False)
    (unwanted,) = check(sent)
    assert unwanted.words == (("unknown-section-type", {"type": 7}),)


@pytest.mark.parametrize(
    ("kind", "release", "known"),
    [
        (10, (9, 2), True),
        (11, (9, 2), False),
        (11, (10, 0), True),  # SWITCHOVER_START
        (12, (10, 0), False),
        (0, (10, 0), False),
    ],
)
def test_commands_of_a_release(kind: int, release: tuple[int, int], known: bool) -> None:
    problems = list(section_version.check(CommandMet(release=release, kind=kind, length=0)))
    assert [problem.words[0] for problem in problems] == (
        [] if known else [("command-unknown", {"command": kind, "length": 0})]
    )


def test_a_stream_that_does_not_say_its_pages_has_the_smallest() -> None:
    """Seen with virt on 10.0 and 11.1."""
    own, to = recorded.source("virt-10.0"), recorded.profile("virt-10.0")
    assert own.configuration is not None
    assert own.configuration.target_page_bits == 12
    silent = replace(own, configuration=replace(own.configuration, subsections=()))
    verdict = judge(silent, to)
    assert verdict.first_refusal is not None
    assert verdict.first_refusal.rule == "target-page-size"
    assert verdict.first_refusal.message == "Received TARGET_PAGE_BITS is 10 but local is 12"
    # x86 sends none, and its own are the smallest
    pc = recorded.source("q35-10.0")
    assert judge(pc, recorded.profile("q35-10.0")).first_refusal is None
    none = replace(pc, configuration=None)
    refusal = judge(none, recorded.profile("q35-10.0")).first_refusal
    assert refusal is not None
    assert refusal.rule == "configuration"
