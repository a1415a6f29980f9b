"""A VM that should migrate, from any source."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from migratable.stream import Stream

if TYPE_CHECKING:
    from migratable.profile.model import Profile

Confirm = Callable[[str], bool]
"""Asked before a VM is paused; gets what will be done, in words."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A VM that is to be moved.

    :ivar name: what the user called it.
    :ivar stream: its state.
    :ivar profile: what else is known of its machine; None for a bare stream.
    :ivar facts: for reports: ``kind`` (``stream``, ``profile``, ``qmp``, ``libvirt``), ``file``,
        ``container``, ``release`` (the QEMU that wrote it, where that is known), ``pause_ms``.
    """

    name: str
    stream: Stream
    profile: Profile | None = None
    facts: Mapping[str, object] = field(default_factory=dict)
