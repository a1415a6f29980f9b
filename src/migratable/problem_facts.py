"""Values that a rule read or compared, for remedies and for the search among them.

Typed, so that no code reads sentences; no part of the JSON contract. A finding has one of them, or
none.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


class Facts:
    """Base of all."""

    __slots__ = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class StartFacts(Facts):
    """The program ended at its start.

    :ivar said: its own error, without warnings; empty when it said nothing.
    """

    said: str


@dataclass(frozen=True, slots=True, kw_only=True)
class MachineTypeFacts(Facts):
    """The machine type's name in the stream."""

    received: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockFacts(Facts):
    """A RAM block, and its bytes in the stream."""

    block: str
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PciConfigFacts(Facts):
    """Offsets of the bytes of the configuration space that differ."""

    offsets: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class VirtioFeaturesFacts(Facts):
    """Bits that the driver has acknowledged and the destination does not offer.

    :ivar kind: of device, as the section has it (``virtio-net``).
    """

    kind: str
    missing: int
    names: str


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueFacts(Facts):
    """Entries of the virtqueue in the stream."""

    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PortsFacts(Facts):
    """Numbers of the serial ports that the guest has."""

    ports: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class PropertiesFacts(Facts):
    """Properties of the device, and the values that they need."""

    properties: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class CapabilitiesFacts(Facts):
    """Capabilities: name, level in the stream, level of the destination."""

    higher: tuple[tuple[str, int, int], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class PvrFacts(Facts):
    """The guest's processor version register."""

    pvr: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RegistersFacts(Facts):
    """Registers of an Arm processor that do not fit, as QEMU numbers them."""

    registers: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class LayoutFacts(Facts):
    """Bytes of a section in the stream, and how many of them the destination reads."""

    size: int
    consumed: int
