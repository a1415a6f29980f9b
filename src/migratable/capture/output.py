"""Writing a capture: whole or not at all, and for its owner's eyes only."""

from __future__ import annotations

import contextlib
import os
import secrets
from pathlib import Path

from migratable.errors import CaptureError


def write_private(path: Path, data: bytes, *, replace: bool = False) -> None:
    """Write *data* with mode 0600; what was there before stays whole until all is written.

    :param replace: may an existing file be written over?
    :raise CaptureError: When it cannot be written, or is there and may not be replaced.
    """
    partial = path.with_name(f".{path.name}.{secrets.token_hex(4)}.partial")
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
    try:
        descriptor = os.open(partial, flags, 0o600)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            if replace:
                partial.replace(path)
            else:
                _name(partial, path)
        finally:
            with contextlib.suppress(FileNotFoundError):
                partial.unlink()
    except FileExistsError:
        raise CaptureError(f"{path} is there already; name another file, or say --force") from None
    except OSError as error:
        raise CaptureError(f"{path} cannot be written: {error.strerror}") from None


def _name(partial: Path, path: Path) -> None:
    """Give the file its name, unless another has it."""
    try:
        os.link(partial, path)  # unlike a rename, this never replaces
    except FileExistsError:
        raise
    except OSError:  # a file system without hard links
        if path.exists():
            raise FileExistsError from None
        partial.rename(path)
