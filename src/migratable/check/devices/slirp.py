"""libslirp's own state (``src/state.c: slirp_state_load``), the section ``slirp``.

::

    (u8 42, socket)*, u8 0                     connections that QEMU itself forwards (guestfwd)
    u16 ip_id                                  version 2 and later
    (u16 allocated, 6 bytes MAC) * 16          DHCP clients, version 3 and later

Without connections it is read whole whatever is in it, so its length is all that is to be examined.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from migratable.check.devices import loads_old
from migratable.check.problem import Problem, UnexaminedError
from migratable.profile.model import Profile
from migratable.stream.model import Section

_CLIENTS = 16
_CLIENT_SIZE = 8


def examine(body: bytes, version: int, *, footer: bool) -> None:
    """See that the library reads all of *body*, whatever is in it.

    :param footer: the section has a footer, so that *body* is all of it and no more.
    :raise UnexaminedError: for connections, and for what is not as long as the state.
    """
    size = 1 + (2 if version >= 2 else 0) + (_CLIENTS * _CLIENT_SIZE if version >= 3 else 0)
    if body[:1] != b"\0":
        raise UnexaminedError("forwarded connections in its own state")
    if len(body) < size:
        raise UnexaminedError("its own state is cut short")
    if footer and len(body) != size:
        raise UnexaminedError("further data after its own state")


@loads_old("slirp")
def slirp(section: Section, _parts: Iterable[Section], _profile: Profile) -> Iterator[Problem]:
    """net/slirp.c: net_slirp_state_load; nothing of it is refused, or it cannot be told."""
    examine(bytes(section.body), section.version_id, footer=section.footer)
    yield from ()
