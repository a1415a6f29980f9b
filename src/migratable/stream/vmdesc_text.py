"""The text of a vmdesc with edited devices: unchanged parts keep their bytes.

QEMU 4.x writes the JSON with blanks around its signs and instance ids with a sign
(``migration/qjson.c``), 5.2 and later do not; an edited device is written as the others are.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import replace

from migratable.stream import vmdesc
from migratable.stream.vmdesc import VmDescription, VmDevice

_DECODER = json.JSONDecoder()
_BLANKS = re.compile(r"[ \t\r\n]*")
_TOKENS = re.compile(r'"(?:[^"\\]|\\.)*"|[{}\[\]:,]')
_SPACED = {"{": "{ ", "}": " }", "[": "[ ", "]": " ]", ":": " :"}


def spliced(old: VmDescription, devices: Sequence[VmDevice]) -> VmDescription:
    """Give *old* with other devices; those that it has already keep their text."""
    made = VmDescription(
        page_size=old.page_size,
        devices=tuple(devices),
        configuration=old.configuration,
        extra=old.extra,
    )
    text = old.raw.decode("ascii", "replace")
    places = _places(text)
    if places is None or len(places) != len(old.devices):
        return replace(made, raw=vmdesc.dump(made))
    spaced = old.raw.startswith(b"{ ")
    known: dict[tuple[str, int], list[int]] = {}
    for number, device in enumerate(old.devices):
        known.setdefault((device.idstr, device.instance_id), []).append(number)
    parts: list[str] = []
    for device in devices:
        same = next(
            (
                number
                for number in known.get((device.idstr, device.instance_id), ())
                if old.devices[number] == device
            ),
            None,
        )
        if same is None:
            parts.append(_dumped(device, spaced=spaced))
        else:
            start, end = places[same]
            parts.append(text[start:end])
    first, last = (places[0][0], places[-1][1]) if places else (0, 0)
    if not places:
        return replace(made, raw=vmdesc.dump(made))
    raw = text[:first] + ", ".join(parts) + text[last:]
    return replace(made, raw=raw.encode("ascii", "replace"))


def _dumped(device: VmDevice, *, spaced: bool) -> str:
    if spaced and device.instance_id >= 1 << 31:
        device = replace(device, instance_id=device.instance_id - (1 << 32))
    one = vmdesc.dump(VmDescription(page_size=1, devices=(device,))).decode("ascii")
    text = one[one.index("[") + 1 : -2]
    return spaced_out(text) if spaced else text


def spaced_out(text: str) -> str:
    """JSON as 4.x writes it."""
    return _TOKENS.sub(lambda found: _SPACED.get(found[0], found[0]), text)


def _places(text: str) -> list[tuple[int, int]] | None:
    """Begin and end of each device's object; None when the text is not as QEMU writes it."""
    try:
        at = _after(text, 0, "{")
        while True:
            key, at = _DECODER.raw_decode(text, at)
            at = _after(text, at, ":")
            if key != "devices":
                _, at = _DECODER.raw_decode(text, at)
                at = _after(text, at, ",")
                continue
            found: list[tuple[int, int]] = []
            at = _after(text, at, "[")
            while text[at : at + 1] != "]":
                _, end = _DECODER.raw_decode(text, at)
                found.append((at, end))
                at = _skip(text, end)
                if text[at : at + 1] != "]":
                    at = _after(text, at, ",")
            return found
    except (ValueError, RecursionError):
        return None


def _after(text: str, at: int, sign: str) -> int:
    at = _skip(text, at)
    if text[at : at + 1] != sign:
        raise ValueError(f"{sign} expected")
    return _skip(text, at + 1)


def _skip(text: str, at: int) -> int:
    found = _BLANKS.match(text, at)
    assert found is not None
    return found.end()
