"""The destination's objects while a stream is loaded into them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from migratable.profile.tables import Vmsd

#: Objects that the loader would allocate get addresses here, above any that a process has.
_ALLOCATED = 1 << 60


class Memory:
    """Words of the destination's memory: its own values, overlaid by loaded ones."""

    __slots__ = ("_base", "_loaded", "_next")

    def __init__(self, words: Mapping[tuple[int, int], int]) -> None:
        """Start with what the profile recorded."""
        self._base = words
        self._loaded: dict[tuple[int, int], int] = {}
        self._next = _ALLOCATED

    def get(self, address: int, width: int) -> int | None:
        """Return the unsigned word of *width* bytes at *address*, None when it is not known."""
        key = (address, width)
        loaded = self._loaded.get(key)
        return self._base.get(key) if loaded is None else loaded

    def was(self, address: int, width: int) -> int | None:
        """Return the destination's value at this address before the load."""
        return self._base.get((address, width))

    def set(self, address: int, width: int, value: int) -> None:
        """Record a loaded value (the sign is dropped)."""
        self._loaded[address, width] = value & ((1 << 8 * width) - 1)

    def load(self, address: int, width: int, value: int) -> None:
        """Note a number that was read last, and only stored (:class:`.qemu_file.Reader`)."""
        self.set(address, width, value)

    def allocate(self, size: int) -> int:
        """Give an address for *size* new bytes."""
        address = self._next
        self._next += (size + 0xFFFF) & ~0xFFFF
        return address


@dataclass(slots=True, kw_only=True)
class LoadedState:
    """One description's body while it is loaded.

    :ivar index: of the description in the tables.
    :ivar opaque: address of the object in the destination.
    :ivar version: of the body, as it came.
    :ivar values: loaded numbers and bytes by field name; a list when the name is an array.
    :ivar children: bodies of struct fields by name, in order.
    :ivar subsections: bodies of the subsections that came, by name.
    :ivar missing: names of fields that do not exist here.
    :ivar own: the same body as the destination itself writes it, None when it does not.
    """

    index: int
    vmsd: Vmsd
    opaque: int
    version: int
    parent: LoadedState | None = None
    values: dict[str, int | memoryview] = field(default_factory=dict)
    children: dict[str, list[LoadedState]] = field(default_factory=dict)
    subsections: dict[str, LoadedState] = field(default_factory=dict)
    missing: set[str] = field(default_factory=set)
    own: LoadedState | None = None

    def number(self, name: str) -> int | None:
        """Return a loaded number (unsigned); None if no field has that name."""
        value = self.values.get(name)
        return value if isinstance(value, int) else None

    def signed(self, name: str, width: int) -> int | None:
        """Return a loaded number as two's complement of *width* bytes."""
        value = self.number(name)
        if value is None:
            return None
        return value - (1 << 8 * width) if value >> (8 * width - 1) else value

    def numbers(self, name: str, width: int) -> tuple[int, ...] | None:
        """Return a loaded array of numbers of *width* bytes on the wire (unsigned)."""
        value = self.values.get(name)
        if not isinstance(value, memoryview):
            return None
        return tuple(
            int.from_bytes(value[start : start + width], "big")
            for start in range(0, len(value), width)
        )

    def data(self, name: str) -> bytes | None:
        """Return a loaded buffer."""
        value = self.values.get(name)
        return bytes(value) if isinstance(value, memoryview) else None

    def child(self, *names: str) -> LoadedState | None:
        """Return the first body of a struct field; more names go further down."""
        state: LoadedState | None = self
        for name in names:
            bodies = state.children.get(name) if state is not None else None
            state = bodies[0] if bodies else None
        return state

    def owned(self, name: str) -> int | None:
        """Return the destination's own value of that field before the load."""
        return None if self.own is None else self.own.number(name)
