"""Rewrite a stream for a destination that refuses it.

::

    plan = Plan(edits=(…), source="guest.mig", destination="pc-q35-11.1 of QEMU 11.1")
    sections = apply(plan, sections)         # device state alone, RAM need not be there
    stream = apply_to_stream(plan, stream)   # configuration, block list and vmdesc too

Edits are data (:mod:`.model`); :mod:`.apply` makes them and has no code for single devices.
"""

from __future__ import annotations

from migratable.convert.apply import apply, apply_to_configuration, apply_to_stream
from migratable.convert.model import Change, EditClass, Operation, Place, Plan, StreamEdit

__all__ = [
    "Change",
    "EditClass",
    "Operation",
    "Place",
    "Plan",
    "StreamEdit",
    "apply",
    "apply_to_configuration",
    "apply_to_stream",
]
