"""Write a capture: completely or not at all, readable only by its owner."""

from __future__ import annotations

import contextlib
import os
import secrets
from pathlib import Path

from migratable.errors import CaptureError


def write_private(path: Path, data: bytes, *, replace: bool = False) -> None:
    """Write *data* with mode 0600; what was there before stays whole until all is written.

    The file has no name before it is complete, so that a killed program leaves nothing behind.

    :param replace: may an existing file be written over?
    :raise CaptureError: When it cannot be written, or is there and may not be replaced.
    """
    partial = path.with_name(f".{path.name}.{secrets.token_hex(4)}.partial")
    try:
        try:
            descriptor, name = _nameless(path.parent), None
        except OSError:  # a file system that knows no such files
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
            descriptor, name = os.open(partial, flags, 0o600), partial
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
                source = name or Path(f"/proc/self/fd/{file.fileno()}")
                if not replace:
                    _name(source, path)
                else:
                    if name is None:
                        _name(source, partial)
                    partial.replace(path)
        finally:
            with contextlib.suppress(FileNotFoundError):
                partial.unlink()
    except FileExistsError:
        raise CaptureError(f"{path} exists; name another file, or add --force") from None
    except OSError as error:
        raise CaptureError(f"{path} cannot be written: {error.strerror}") from None


def _nameless(folder: Path) -> int:
    return os.open(folder, os.O_TMPFILE | os.O_WRONLY | os.O_CLOEXEC, 0o600)


def _name(source: Path, path: Path) -> None:
    """Give the file its name, unless another has it."""
    # Only with a folder's descriptor does Python follow the link that names an open file.
    folder = os.open(source.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        # Unlike a rename, this never replaces.
        os.link(source.name, path, src_dir_fd=folder, follow_symlinks=True)
    except FileExistsError:
        raise
    except OSError:  # a file system without hard links
        if path.exists() or source.is_relative_to("/proc"):
            raise
        source.rename(path)
    finally:
        os.close(folder)
