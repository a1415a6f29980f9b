"""Real QEMU releases side by side, without root, from Debian's packages.

>>> from migratable.lab import find
>>> find("10.0", "ppc64").command                                    # doctest: +SKIP
['/home/me/.cache/migratable/lab/releases/10.0/bin/qemu-system-ppc64']

``releases`` says where they come from, ``sources`` which mirror, ``apt`` fetches, ``starter`` makes
them run, ``installer`` does it all, ``store`` finds what is there.
"""

from __future__ import annotations

from migratable.lab.releases import RELEASES, Release
from migratable.lab.store import Installed, find, folder, installed

__all__ = ["RELEASES", "Installed", "Release", "find", "folder", "installed"]
