"""The destination loads the guest, but the guest's own host would not load it again.

## What it checks

The destination's QEMU loads the guest's state in the rehearsal and saves it again; that stream is
checked and rehearsed on the source's host with the guest's own command line.

## Why it matters

If the new host turns out to be unsuitable, you cannot move the guest back.
The usual cause is a device or feature that only the newer QEMU sends.

## How to fix it

The refusal of the way back names the cause. Most often the remedy is the same as for the way there,
on the other command line.

## Verify

`migratable preflight` from the destination, once the guest is there.
"""

from __future__ import annotations

from collections.abc import Iterator

from migratable.hosts.checks.check import HostCheck, Pair, found
from migratable.verdict import Finding, Severity

ID = "no-way-back"


def check(pair: Pair) -> Iterator[Finding]:
    """Why not?"""
    if pair.back is None:
        if pair.no_way_back:
            yield found(ID, Severity.WARNS, f"the way back was not tried: {pair.no_way_back}")
        return
    verdict = pair.back["verdict"]
    if verdict["verdict"] == "refused":
        refusal = verdict["first_refusal"] or {}
        yield found(
            ID,
            Severity.ENDANGERS,
            "the guest loads on the destination and could not come back: "
            f"{refusal.get('message') or refusal.get('rule') or 'refused'}",
            lines="\n".join(refusal.get("stderr") or ()),
        )
    elif verdict["verdict"] == "unknown":
        why = "; ".join(verdict["unchecked"][:2])
        yield found(ID, Severity.WARNS, f"no prediction possible for the way back: {why}")


CHECK = HostCheck(id=ID, severity=Severity.ENDANGERS, check=check)
