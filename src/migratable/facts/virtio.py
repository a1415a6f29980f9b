"""Virtio feature bits by kind of device: names, options that offer them, releases.

Source: ``include/standard-headers/linux/virtio_*.h`` and ``qapi/virtio.json`` of QEMU 10.0; the
data is in ``virtio.toml``.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

Entry = Mapping[str, Any]
"""A bit: ``name``, and where there are such ``word``, ``option``, ``offload``, ``qemu``, ``linux``,
``note``."""


@cache
def table() -> Mapping[str, Mapping[str, Entry]]:
    """Entries by kind of device (``net``; ``common``: the transport's) and bit."""
    # not by importlib.resources, which imports much
    return tomllib.loads(Path(__file__).with_name("virtio.toml").read_text("utf-8"))


def entries(kind: str, bits: int) -> Iterator[tuple[int, Entry]]:
    """The bits that are set; an empty entry for one that is not known.

    :param kind: with or without its prefix, as in an idstr (``virtio-net``, ``net``).
    """
    own = table().get(kind.removeprefix("virtio-").removeprefix("vhost-"), {})
    common = table()["common"]
    for bit in range(bits.bit_length()):
        if bits >> bit & 1:
            yield bit, common.get(str(bit)) or own.get(str(bit)) or {}


def names(kind: str, bits: int) -> tuple[str, ...]:
    """Names of the bits that are set, as QEMU's properties are written; ``bit N`` without one."""
    return tuple(
        str(entry.get("word") or entry["name"].lower()) if entry else f"bit {bit}"
        for bit, entry in entries(kind, bits)
    )


def options(kind: str, bits: int) -> Iterator[str]:
    """Properties that offer the bits that are set."""
    for _, entry in entries(kind, bits):
        if "option" in entry:
            yield str(entry["option"])


def has_offload(kind: str, bits: int) -> bool:
    """Whether one of the bits is work that the back end must be able to do (``vnet_hdr``)."""
    return any(entry.get("offload", False) for _, entry in entries(kind, bits))
