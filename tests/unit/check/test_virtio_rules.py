"""Queues and features of virtio devices, sizes of RAM blocks: at their limits."""

from __future__ import annotations

import pytest

from migratable.check.events import RamBlockRead, VirtioLoaded, VirtioQueues
from migratable.check.rules import option_rom, ram_block_size, virtio_features, virtio_queues
from migratable.profile.tables import VirtioLive
from migratable.stream.ram import RamBlock

LIVE = VirtioLive(host_features=0x30, queues=((256, 256), (64, 128)))


def queues(
    *sizes: int, count: int = 2, release: tuple[int, int] = (11, 0)
) -> list[dict[str, str | int]]:
    event = VirtioQueues(
        release=release,
        idstr="d/virtio-blk",
        live=LIVE,
        queues=tuple((size, 0, 0) for size in sizes),
        count=count,
    )
    problems = list(virtio_queues.check(event))
    assert all(problem.errno == 1 for problem in problems)
    assert [("1024 entries" in problem.explanation) for problem in problems] == [
        1024 in sizes for _ in problems
    ]
    return [problem.words[0][1] for problem in problems]


def test_queues() -> None:
    """What is allocated is the device's default; a queue that is absent has nothing."""
    assert queues(256, 128) == []
    assert queues(256, 129) == [{"queue": 1, "size": 129, "maximum": 128}]
    assert queues(1024, 1024) == [{"queue": 0, "size": 1024, "maximum": 256}]
    assert queues(256, 128, 1) == [{"queue": 2, "size": 1, "maximum": 0}]
    assert queues(256, 128, 0) == []
    assert queues(257, release=(10, 2)) == []
    assert queues(count=1024) == []
    assert queues(count=1025, release=(5, 2)) == [{"count": 1025}]


@pytest.mark.parametrize(
    ("features", "release", "shown"),
    [(0x30, (11, 1), None), (0x31, (10, 1), 0x31), (0x31, (10, 2), 0x30)],
)
def test_features(features: int, release: tuple[int, int], shown: int | None) -> None:
    event = VirtioLoaded(
        release=release, idstr="d/virtio-blk", live=LIVE, features=features, wide=True
    )
    problems = list(virtio_features.check(event))
    assert [problem.words[0][1] for problem in problems] == (
        [] if shown is None else [{"features": shown, "allowed": 0x30}]
    )
    assert all(problem.of_backend and problem.errno == 1 for problem in problems)


def block(name: str, size: int, used: int, most: int, page: int = 4096) -> RamBlockRead:
    return RamBlockRead(
        release=(10, 0),
        block=RamBlock(id=name, used_length=size),
        local=(used, most),
        page_size=page,
    )


@pytest.mark.parametrize(
    ("name", "size", "used", "most", "refused"),
    [
        ("pc.ram", 8192, 8192, 8192, False),
        ("pc.ram", 8192, 4096, 4096, True),
        ("pc.ram", 4097, 8192, 8192, False),  # aligned to pages before it is compared
        ("pc.ram", 4096, 8192, 8192, True),
        ("acpi", 8192, 4096, 8192, False),  # may be resized
        ("acpi", 12288, 4096, 8192, True),
        ("/rom@etc/acpi/rsdp", 4096, 8192, 8192, False),
    ],
)
def test_sizes_of_blocks(name: str, size: int, used: int, most: int, refused: bool) -> None:
    problems = list(ram_block_size.check(block(name, size, used, most)))
    assert any(problem.refuses for problem in problems) is refused


def test_a_rom_of_another_size_is_explained() -> None:
    assert list(option_rom.check(block("a.rom", 1, 1, 2))) == []
    assert len(list(option_rom.check(block("a.rom", 1, 2, 2)))) == 1
    assert list(option_rom.check(block("a.ram", 1, 2, 2))) == []
