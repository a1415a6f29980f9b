"""QEMU's vocabulary: releases, machine types, architectures.

Nothing here knows about streams or profiles; everything else may import it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import total_ordering
from typing import Any, TypeAlias

from migratable.printable import quoted

Release: TypeAlias = tuple[int, int]
"""Major and minor number of a release, or of a machine type."""

_VERSION = re.compile(r"(\d+)\.(\d+)(?:\.(\d+))?")
_NUMBERED = re.compile(r"-?\d+\.\d.*")


def release_of(text: str) -> Release:
    """``"10.2"`` as ``(10, 2)``; what follows the second number is passed over.

    :raise ValueError: when *text* has no such number.
    """
    return QemuVersion.parse(text).release


@total_ordering
@dataclass(frozen=True, slots=True)
class QemuVersion:
    """A QEMU release, ordered; ``package`` (a distribution's suffix) does not take part in order.

    ``4.2+`` style names of patched builds are not releases: see :mod:`migratable.pseries.policy`.
    """

    major: int
    minor: int
    micro: int = 0
    package: str = ""

    @classmethod
    def parse(cls, text: str) -> QemuVersion:
        """Read ``10.0``, ``10.0.13`` or ``QEMU emulator version 7.2.22 (Debian 1:7.2+dfsg-7)``.

        :raise ValueError: when there is no version number in *text*.
        """
        match = _VERSION.search(text)
        if match is None:
            raise ValueError(
                f"no QEMU version in {quoted(text)}; expected something like 10.0 or 7.2.22"
            )
        package = re.search(r"\(([^)]*)\)", text)
        return cls(int(match[1]), int(match[2]), int(match[3] or 0), package[1] if package else "")

    @classmethod
    def of_qmp(cls, found: Any) -> QemuVersion:
        """Read QMP's ``VersionInfo`` (``query-version``, the greeting).

        :raise ValueError: when it is none.
        """
        try:
            number = found["qemu"]
            return cls(
                int(number["major"]),
                int(number["minor"]),
                int(number["micro"]),
                str(found.get("package", "")),
            )
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"no QEMU version in {str(found)[:100]}") from error

    @property
    def release(self) -> Release:
        """Major and minor number, by which QEMU's behaviour is dated."""
        return (self.major, self.minor)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, QemuVersion):
            return NotImplemented
        return (self.major, self.minor, self.micro) == (other.major, other.minor, other.micro)

    def __hash__(self) -> int:
        return hash((self.major, self.minor, self.micro))

    def __lt__(self, other: QemuVersion) -> bool:
        return (self.major, self.minor, self.micro) < (other.major, other.minor, other.micro)

    def __str__(self) -> str:
        return f"{self.major}.{self.minor}" + (f".{self.micro}" if self.micro else "")


@dataclass(frozen=True, slots=True)
class MachineType:
    """A machine type's canonical name split at its version: ``pc-q35-10.0``, ``pseries-4.1``.

    Unversioned machines (``none``, ``microvm``) have ``version`` None, and so have those that a
    distribution numbers (``pc-q35-rhel9.4.0``, of the family ``pc-q35-rhel``).
    """

    name: str
    family: str
    version: Release | None

    @classmethod
    def parse(cls, name: str) -> MachineType:
        """Split *name*; any string is a machine type name to QEMU, so nothing is raised."""
        match = re.fullmatch(r"(.*?)-(\d+)\.(\d+)(?:\.\d+)?(?:[-+].*)?", name)
        if match is None:
            return cls(name, _NUMBERED.sub("", name), None)
        return cls(name, match[1], (int(match[2]), int(match[3])))
