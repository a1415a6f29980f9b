"""Can anybody except root and this user change a program that will be started?"""

from __future__ import annotations

import os
import stat
from pathlib import Path

_OTHERS = stat.S_IWOTH
_GROUP_TOO = stat.S_IWGRP | stat.S_IWOTH


def changeable(path: str | os.PathLike[str], *, folder: bool = False) -> str:
    """Why others could put another program at *path*, in words; empty when they cannot.

    Looked at are the file, every folder above it, and the same behind links. In a sticky folder
    (``/tmp``) nobody replaces what is another's.

    :param folder: *path* may be a folder.
    """
    named = Path(os.path.abspath(path))  # noqa: PTH100 -- links stay as they are
    try:
        real = named.resolve(strict=True)
    except (OSError, RuntimeError) as error:
        return f"{named}: {getattr(error, 'strerror', None) or error}"
    mode = real.stat().st_mode
    if not stat.S_ISREG(mode) and not (folder and stat.S_ISDIR(mode)):
        return f"{named} is not a file"
    for one in dict.fromkeys([named, *named.parents, real, *real.parents]):
        if why := _why(one, _GROUP_TOO if one == real else _OTHERS):
            return why
    return ""


def _why(path: Path, write: int) -> str:
    found = path.lstat()
    if found.st_uid not in {0, os.geteuid()}:
        return f"{path} is another user's"
    if stat.S_ISLNK(found.st_mode) or (
        stat.S_ISDIR(found.st_mode) and found.st_mode & stat.S_ISVTX
    ):
        return ""
    return f"{path} can be written by others" if found.st_mode & write else ""
