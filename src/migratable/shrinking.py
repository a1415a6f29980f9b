"""Survive the ``SIGBUS`` of a mapped file that somebody shortens: print a message and end.

Streams have gigabytes, so they are mapped. Python's own handlers run after the instruction that
failed, which never ends; so the C library is given one that is called at once, says a line and ends
the process. What failed is a plain read of the mapping, so no lock of the C library is held there.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable

_SAID = b"migratable: a file was shortened while it was read; give it when nobody writes to it\n"
wanted = False
"""Set by the command line: a program that imports this package has handlers of its own."""
_handler: Callable[[int], None] | None = None


def guard() -> None:
    """Before a file is mapped: let its shortening be a message and status 2."""
    global _handler  # noqa: PLW0603 -- must live as long as the process
    if not wanted or _handler is not None:
        return
    import ctypes  # noqa: PLC0415 -- for files that are mapped only

    def shortened(number: int) -> None:
        os.write(2, _SAID)
        os._exit(2)

    _handler = ctypes.CFUNCTYPE(None, ctypes.c_int)(shortened)
    set_handler = ctypes.CDLL(None).signal
    set_handler.restype = ctypes.c_void_p
    set_handler(int(signal.SIGBUS), _handler)
