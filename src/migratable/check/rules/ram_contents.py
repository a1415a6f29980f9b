"""A record of guest memory in the stream is invalid.

## What it checks

Every record of the `ram` section: its page lies in a block of the destination, a zero page is zero
(from 9.1 on), its encoding is known. The contents of pages are the guest's own.

## Why QEMU refuses

A page outside its block would be written over other memory. Flags that are not known mean that the
rest of the stream is read wrongly.

## How to fix it

The stream was damaged, or put together by another program: save the guest again. Compressed pages
and multifd's flush marks mean that migration capabilities differ between the two sides.

## Source

`migration/ram.c: ram_load_precopy, ram_block_from_stream, load_xbzrle`; 4.1 to 11.1.
"""

from __future__ import annotations

from migratable.check.rule import Rule
from migratable.messages import Fault
from migratable.verdict import Severity

RULE = Rule(
    id="ram-contents",
    severity=Severity.REFUSES,
    side=Fault.CANNOT_TELL,
    now=(
        "Try again{loading: |; when it fails the same way, compare migration capabilities "
        "(compression, xbzrle, multifd, postcopy) and the programs {moving: of both sides}}."
    ),
    prevent="{moving: Set migration capabilities from one place for both sides.}",
)
