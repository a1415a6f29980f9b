"""The return path: the destination's messages while it loads.

A message is ``u16 type, u16 length, payload`` (``migration/migration.h: mig_rp_message_type``,
``migration.c: migrate_send_rp_message``; the same from 4.1 to 11.1). A destination has a return
path from ``MIG_CMD_OPEN_RETURN_PATH`` on, whatever its capabilities; the relay sends that command
where the source does not.
"""

from __future__ import annotations

import enum
import struct
from collections.abc import Iterator
from dataclasses import dataclass

from migratable.stream.wire_format import COMMAND, CommandKind

_HEADER = struct.Struct(">HH")
_MOST = 512


class Message(enum.IntEnum):
    """Types of messages that the relay reads; all others it hands on."""

    SHUT = 1
    PONG = 2


SAYS_THAT_IT_FAILED = (9, 1)
"""First release that sends SHUT when a load fails; before, the program only ends.

``migration/migration.c: process_incoming_migration_co``: of 5.2 and 7.2 (and 8.2, tried) ``fail:``
goes to ``exit`` at once, of 10.0 through ``migration_incoming_state_destroy``, which sends it.
"""
OUR_PING = 0x6D696772
"""A source's own pings count from 1."""


def _command(kind: CommandKind, payload: bytes = b"") -> bytes:
    return bytes([COMMAND]) + _HEADER.pack(kind, len(payload)) + payload


OPEN = _command(CommandKind.OPEN_RETURN_PATH)
PING = _command(CommandKind.PING, OUR_PING.to_bytes(4, "big"))


def shut(value: int) -> bytes:
    """The destination's last message: 0 when it has loaded everything."""
    return _HEADER.pack(Message.SHUT, 4) + value.to_bytes(4, "big")


@dataclass(frozen=True, slots=True)
class Said:
    """One message, *raw* as it came."""

    kind: int
    value: int
    raw: bytes


class Splitter:
    """Cut what comes into messages."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self._left = b""

    def feed(self, data: bytes) -> Iterator[Said]:
        """Yield the messages that are whole.

        :raise ValueError: for what no QEMU sends.
        """
        self._left += data
        while len(self._left) >= _HEADER.size:
            kind, length = _HEADER.unpack_from(self._left)
            if not kind or length > _MOST:
                raise ValueError(f"message {kind:#x} of {length} bytes")
            end = _HEADER.size + length
            if len(self._left) < end:
                return
            raw, self._left = self._left[:end], self._left[end:]
            yield Said(kind, int.from_bytes(raw[4:8], "big"), raw)
