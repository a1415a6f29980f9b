"""``lab install``: what is asked for, and what its exit status says."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from click.testing import CliRunner

from migratable.cli.lab import command
from migratable.lab import installer
from migratable.lab.store import Installed
from migratable.releases import QemuVersion


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, tuple[str, ...]]]:
    """Pretend installs: every release has all but loongarch64."""
    calls: list[tuple[str, tuple[str, ...]]] = []

    def install(spec: str, *, architectures: Sequence[str], **_: Any) -> list[Installed]:
        calls.append((spec, tuple(architectures)))
        return [
            Installed(
                release=spec,
                arch=arch,
                version=QemuVersion.parse(f"{spec}.0"),
                origin="lab",
                command=["/lab", spec, arch],
            )
            for arch in (*architectures, "i386")
            if arch != "loongarch64"
        ]

    monkeypatch.setattr(installer, "install", install)
    return calls


@pytest.mark.parametrize(
    ("words", "archs"),
    [
        ("10.0", ("x86_64", "ppc64")),
        ("10.0 --arch aarch64", ("aarch64",)),
        ("10.0 --arch aarch64 s390x riscv64", ("aarch64", "s390x", "riscv64")),
        ("10.0 --arch aarch64,s390x --arch riscv64", ("aarch64", "s390x", "riscv64")),
    ],
)
def test_targets(
    asked: list[tuple[str, tuple[str, ...]]], words: str, archs: tuple[str, ...]
) -> None:
    done = CliRunner().invoke(command, ["install", *words.split()])
    assert done.exit_code == 0
    assert asked == [("10.0", archs)]


def test_a_target_that_the_release_lacks(asked: list[tuple[str, tuple[str, ...]]]) -> None:
    done = CliRunner().invoke(command, ["install", "5.2", "--arch", "loongarch64"])
    assert done.exit_code == 2
    assert "QEMU 5.2: its packages have no program for loongarch64" in done.stderr


def test_no_release(asked: list[tuple[str, tuple[str, ...]]]) -> None:
    done = CliRunner().invoke(command, ["install", "--arch", "aarch64", "s390x"])
    assert done.exit_code == 2
    assert asked == []
