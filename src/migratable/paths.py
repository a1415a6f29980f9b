"""The user's folders of this program; each may be missing.

::

    MIGRATABLE_CACHE   facts about programs, profiles of fleets; $XDG_CACHE_HOME/migratable
    MIGRATABLE_DATA    profiles by name, rehearsals of fleets; $XDG_DATA_HOME/migratable
    MIGRATABLE_LAB     QEMU releases; the folder lab of $XDG_CACHE_HOME/migratable
                       bundles of disagreements; $XDG_STATE_HOME/migratable
"""

from __future__ import annotations

import os
from pathlib import Path

_NAME = "migratable"


def cache(part: str) -> Path:
    """What can be made again, by its part: ``programs``, ``fleet``; anybody may empty it."""
    named = os.environ.get("MIGRATABLE_CACHE")
    return (Path(named) if named else _user_cache()) / part


def large_cache(part: str) -> Path:
    """What takes long to make again, which ``MIGRATABLE_CACHE`` leaves where it is."""
    return _user_cache() / part


def lab() -> Path:
    """The lab's QEMU releases."""
    named = os.environ.get("MIGRATABLE_LAB")
    return Path(named).absolute() if named else large_cache("lab")


def data() -> Path:
    """The user's data."""
    named = os.environ.get("MIGRATABLE_DATA")
    if named:
        return Path(named)
    from platformdirs import user_data_path  # noqa: PLC0415 -- 10 ms that few commands need

    return user_data_path(_NAME)


def state() -> Path:
    """What the user may want to look at later."""
    from platformdirs import user_state_path  # noqa: PLC0415 -- seldom needed

    return user_state_path(_NAME)


def _user_cache() -> Path:
    from platformdirs import user_cache_path  # noqa: PLC0415 -- 10 ms that few commands need

    return user_cache_path(_NAME)
