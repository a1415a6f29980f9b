"""The configuration section: the guest's UUID, subsections, capabilities."""

from __future__ import annotations

import uuid

import pytest

from migratable.check.events import ConfigurationRead
from migratable.check.rules.configuration import check
from migratable.stream.model import Configuration, ConfigurationSubsection

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
