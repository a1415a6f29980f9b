"""The stream ends before the destination has read everything.

## What it checks

Whether the bytes that the destination's tables ask for are there.

## Why QEMU refuses

The file was cut short (a full disk, a lost connection); or the tables of both sides differ so much
that the destination reads past the last section.

## How to fix it

Save the guest again; the source's log shows why it stopped. When the file is whole, `migratable
diff` of the stream and the destination's profile shows the device that is laid out differently.

## Source

`migration/qemu-file.c: qemu_fill_buffer`, `migration/vmstate.c: vmstate_load_state`; 4.1 to 11.1.
"""

from __future__ import annotations

from migratable.check.rule import Rule
from migratable.messages import Fault
from migratable.verdict import Severity

RULE = Rule(
    id="stream-broken",
    severity=Severity.REFUSES,
    side=Fault.SOURCE,
    now=(
        "{loading: |{other log: Read {the source's} log: the stream ended or broke before it was "
        "complete.}}"
    ),
    prevent=(
        "{moving: Watch the source's log and the network; the destination only sees that the "
        "stream ended.}"
    ),
)
