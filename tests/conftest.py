"""What all tests share: the lab's QEMU releases, the folder of facts, a home of their own."""

from __future__ import annotations

import os
import platform
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import hypothesis
import pytest

import migratable.qemu.accelerator
from migratable.errors import LabError
from migratable.lab import Installed, find, folder, installed
from migratable.lab.releases import NAMES
from migratable.qemu.accelerator import missing
from tests.absent import absent

REPOSITORY = Path(__file__).resolve().parent.parent

# Time per example says more about the machine's other work than about the program.
hypothesis.settings.register_profile("project", deadline=None, print_blob=True)
hypothesis.settings.load_profile("project")

# A shell that starts a test run in the background makes it, and all that it starts, deaf to this.
signal.signal(signal.SIGINT, signal.default_int_handler)

Lab = Callable[..., Installed]


def shared() -> Path | None:
    """The folder of facts and oracles that is no part of the repository, when it is there."""
    named = os.environ.get("MIGRATABLE_SHARED")
    path = Path(named) if named else REPOSITORY.parent / "shared"
    return path if path.is_dir() else None


def releases() -> dict[str, list[str]]:
    """QEMU releases that are there: targets by release."""
    found: dict[str, list[str]] = {}
    for one in installed():
        found.setdefault(one.release, []).append(one.arch)
    return found


def why_no_kvm() -> str:
    """Why tests cannot start x86 guests under KVM; "" when they can."""
    return missing() if platform.machine() == "x86_64" else "this host is not x86"


def pytest_report_header() -> list[str]:
    """Say which real programs this run is judged by."""
    try:
        there = ", ".join(f"{name} ({' '.join(archs)})" for name, archs in releases().items())
    except LabError as error:
        there = str(error)
    return [
        f"QEMU releases: {there or 'none; get some: migratable lab install ' + ' '.join(NAMES)}",
        f"KVM: {why_no_kvm() or 'usable'}",
        f"lab: {folder()}",
        f"shared facts: {shared() or 'absent'}",
    ]


@pytest.fixture(scope="session")
def repository() -> Path:
    """The folder of the checkout."""
    return REPOSITORY


@pytest.fixture(scope="session")
def shared_folder() -> Path:
    """The folder of facts and oracles beside the checkout; the test is skipped without it."""
    path = shared()
    if path is None:
        absent("the folder shared/ beside the checkout (or MIGRATABLE_SHARED) is absent")
    return path


@pytest.fixture
def kvm() -> None:
    """The test needs a real KVM for x86; it is skipped by its name without one."""
    if why := why_no_kvm():
        pytest.skip(f"KVM: {why}")


@pytest.fixture
def no_kvm(monkeypatch: pytest.MonkeyPatch) -> None:
    """A host without KVM, whatever this one has."""
    monkeypatch.setattr(migratable.qemu.accelerator, "DEVICE", "/nonexistent/kvm")


@pytest.fixture(scope="session")
def lab() -> Lab:
    """``lab("10.0", "ppc64")`` finds a real QEMU; the test is skipped by its name without it."""

    def real(release: str, arch: str = "x86_64") -> Installed:
        try:
            return find(release, arch)
        except LabError as error:
            absent(f"QEMU {release} ({arch}): {error}")

    return real


@pytest.fixture(scope="session")
def guest_stream(lab: Lab) -> Callable[[str, str], Path]:
    """``guest_stream("x86-linux", "10.0")``: file with the stream (gzip) of a guest that ran.

    Names are those of ``tests.guests.machines.GUESTS``. The first time it is booted, which takes
    up to a minute; then it is kept in the lab's folder. The test is skipped by its name without
    the release or when the guest's packages cannot be had.
    """
    from tests.guests.machines import GUESTS
    from tests.guests.saved import stream

    def saved(name: str, release: str) -> Path:
        program = lab(release, GUESTS[name].target)
        try:
            return stream(name, program)
        except LabError as error:
            absent(f"guest {name}: {error}")

    return saved


@pytest.fixture(scope="session", autouse=True)
def _home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep the user's stores out of the tests; the lab, which is expensive, stays where it is."""
    before = dict(os.environ)
    os.environ["MIGRATABLE_LAB"] = str(folder())
    for name in ("DATA", "CONFIG", "STATE", "CACHE"):
        os.environ[f"XDG_{name}_HOME"] = str(tmp_path_factory.mktemp(f"xdg-{name.lower()}"))
    yield
    os.environ.clear()
    os.environ.update(before)
