"""Real QEMU releases side by side, without root, from Debian's packages.

>>> from migratable.lab import find
>>> find("10.0", "ppc64").command                                    # doctest: +SKIP
['/home/me/.cache/migratable/lab/releases/10.0/bin/qemu-system-ppc64']

``releases`` lists the releases and their suites, ``sources`` finds the mirror, ``apt`` fetches,
``starter`` writes the start scripts, ``installer`` calls all of these, ``store`` finds installed
programs.
"""

from __future__ import annotations

from migratable.lab.releases import RELEASES, Release
from migratable.lab.store import Installed, find, folder, installed

__all__ = ["RELEASES", "Installed", "Release", "find", "folder", "installed"]
