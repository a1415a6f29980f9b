"""Stands between the two hosts of a live migration, and breaks off what the destination refuses.

::

    source ──QEMU stream──▶ relay ──QEMU stream──▶ destination
           ◀─return path───       ◀─return path───

RAM passes as it comes (:mod:`.parse` finds where it ends). The device state is held, checked
against the destination's profile (:mod:`.judge`), and sent on. Which side has the guest is decided
in :mod:`.commit`: the destination has loaded everything and only then the source is told that it
is done; only then the destination gets the stream's end, without which it starts no guest.
"""

from __future__ import annotations

from migratable.relay.address import Address
from migratable.relay.judge import Judge
from migratable.relay.result import Reason, Result
from migratable.relay.session import Settings, run

__all__ = ["Address", "Judge", "Reason", "Result", "Settings", "run"]
