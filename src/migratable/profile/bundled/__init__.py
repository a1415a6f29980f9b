"""Profiles that come with this package, for a first answer on a machine without QEMU.

Each is an exported profile, compressed with gzip: ``NAME.json.gz`` in this folder.
"""

from __future__ import annotations

from pathlib import Path

from migratable.errors import ProfileError
from migratable.printable import quoted
from migratable.profile import store
from migratable.profile.model import Profile

FOLDER = Path(__file__).parent
_SUFFIX = ".json.gz"


def names() -> tuple[str, ...]:
    """All bundled profiles' names."""
    return tuple(sorted(path.name.removesuffix(_SUFFIX) for path in FOLDER.glob(f"*{_SUFFIX}")))


def load(name: str) -> Profile:
    """Give a bundled profile.

    :raise ProfileError: When there is none of that name; with those that there are.
    """
    if name not in names():
        raise ProfileError(
            f"no bundled profile {quoted(name)}; there are: {', '.join(names()) or 'none'}"
        )
    return store.load_file(FOLDER / f"{name}{_SUFFIX}")


def find(name: str) -> Profile:
    """Give a destination by what a user calls it: a file, a stored profile, a bundled one.

    :raise ProfileError: When it is none of these.
    """
    path = Path(name)
    if path.suffix in {".json", ".gz"} or "/" in name or path.is_file():
        return store.load_file(path)
    stored = store.Store()
    if name not in {entry.name for entry in stored.list()} and name in names():
        return load(name)
    try:
        return stored.load(name)
    except ProfileError as error:
        import difflib  # noqa: PLC0415 -- only for a name that is not there

        known = [*(entry.name for entry in stored.list()), *names()]
        close = difflib.get_close_matches(name, known, 1)
        more = f"; did you mean {close[0]}?" if close else ""
        more += f"; bundled are: {', '.join(names())}" if names() else ""
        raise ProfileError(f"{error}{more}") from None
