"""Confine this process, and become the program: see :mod:`migratable.qemu.confine.main`.

This file is run as a script by :mod:`migratable.qemu.launch` with a bare interpreter (``-I -S``)::

    launcher.py PARENT_PID SPECIFICATION PROGRAM ARGUMENT…

Status 125: a namespace that is needed cannot be had; 126, 127: the program cannot be run, as
shells have it. A program that is ended by a signal ends this one by the same signal.
"""

import sys

sys.path.insert(0, __file__.rpartition("/migratable/")[0])
if sys.version_info < (3, 11):  # noqa: UP036 -- on hosts, whose Python may be 3.9
    from migratable.compat import install

    install()

from migratable.qemu.confine.main import main

main(sys.argv[1:])
