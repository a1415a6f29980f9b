"""Relay a live migration between two hosts; abort it if the destination would refuse it.

::

    source ──QEMU stream──▶ relay ──QEMU stream──▶ destination
           ◀─return path───       ◀─return path───

The relay passes RAM on as it comes (:mod:`.parse` finds its end). It holds the device state, checks
it against the destination's profile (:mod:`.judge`), and sends it on. :mod:`.commit` decides which
side has the guest: when the destination has loaded everything, the relay confirms the migration to
the source. Only then it sends the end of the stream, without which the destination starts no guest.
"""

from __future__ import annotations

from migratable.relay.address import Address
from migratable.relay.judge import Judge
from migratable.relay.result import Reason, Result
from migratable.relay.session import Settings, run

__all__ = ["Address", "Judge", "Reason", "Result", "Settings", "run"]
