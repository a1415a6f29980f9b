"""vmdesc entries of the sections that the model writes, as QEMU writes them.

Without the description QEMU still loads the stream, and complains: ``Expected vmdescription
section, but got 0``. Source: vmdesc of real streams of 4.1 to 11.1.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from migratable.pseries.start import Started

Json = dict[str, Any]


def description(started: Started, sections: Sequence[tuple[str, int, int, bytes]]) -> bytes:
    """The JSON for (idstr, instance, version, body) *sections*."""
    devices = [
        {"name": name, "instance_id": instance, **_body(started, name, version, body)}
        for name, instance, version, body in sections
    ]
    return json.dumps({"page_size": 4096, "devices": devices}).encode("ascii")


def _body(started: Started, name: str, version: int, body: bytes) -> Json:
    found: Json = {"vmsd_name": name, "version": version, "fields": _FIELDS[name](body)}
    if name == "spapr" and started.sent:
        indexes = {cap.subsection: cap.index for cap in started.build.capabilities}
        found["subsections"] = [
            {
                "vmsd_name": subsection,
                "version": 1,
                "fields": [_field(f"mig.caps[0x{indexes[subsection]:02x}]", "uint8", 1)],
            }
            for subsection, _ in started.sent
        ]
    return found


def _field(name: str, kind: str, size: int) -> Json:
    return {"name": name, "type": kind, "size": size}


def _structs(name: str, vmsd: str, version: int, count: int, fields: list[Json]) -> Json:
    size = sum(field["size"] for field in fields)
    struct = {"vmsd_name": vmsd, "version": version, "fields": fields}
    return {"name": name, "array_len": count, "type": "struct", "struct": struct, "size": size}


def _ics(body: bytes) -> list[Json]:
    fields = [_field("server", "uint32", 4)]
    fields += [
        _field(name, "uint8", 1) for name in ("priority", "saved_priority", "status", "flags")
    ]
    return [
        _field("nr_irqs", "uint32 equal", 4),
        _structs("irqs", "ics/irq", 2, (len(body) - 4) // 8, fields),
    ]


def _xive_source(body: bytes) -> list[Json]:
    return [_field("nr_irqs", "uint32 equal", 4), _field("status", "buffer", len(body) - 4)]


def _spapr_xive(body: bytes) -> list[Json]:
    irqs = int.from_bytes(body[:4], "big")
    ends = (len(body) - 4 - 8 * irqs) // 32
    words = [_field(f"w{number}", "uint32", 4) for number in range(8)]
    return [
        _field("nr_irqs", "uint32 equal", 4),
        _structs("eat", "spapr-xive/eas", 1, irqs, [_field("w", "uint64", 8)]),
        _structs("endt", "spapr-xive/end", 1, ends, words),
    ]


def _icp(_body: bytes) -> list[Json]:
    return [
        _field("xirr", "uint32", 4),
        _field("pending_priority", "uint8", 1),
        _field("mfrr", "uint8", 1),
    ]


def _tctx(body: bytes) -> list[Json]:
    return [_field("regs", "buffer", len(body))]


def _spapr(_body: bytes) -> list[Json]:
    times = [_field("guest_timebase", "uint64", 8), _field("time_of_the_day_ns", "int64", 8)]
    struct = {"vmsd_name": "timebase", "version": 1, "fields": times}
    return [{"name": "tb", "type": "struct", "struct": struct, "size": 16}]


_FIELDS = {
    "ics": _ics,
    "xive-source": _xive_source,
    "spapr-xive": _spapr_xive,
    "icp/server": _icp,
    "xive-tctx": _tctx,
    "spapr": _spapr,
}
