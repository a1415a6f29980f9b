"""The events of the loader that rules answer.

They are in the loader's own order (``migration/savevm.c: qemu_loadvm_state``). An event is a small
value: a rule needs nothing else, and its examples are made of events.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from migratable.check.state import LoadedState
from migratable.facts.sections import CPU
from migratable.profile.tables import Handler, PciMasks, VirtioLive, VmField, Vmsd
from migratable.releases import Release
from migratable.stream.model import Configuration
from migratable.stream.ram import RamBlock

if TYPE_CHECKING:
    from migratable.profile.model import Profile
    from migratable.stream.model import Section


#: Sections whose state is kept for the rules at the stream's end.
KEPT = frozenset({CPU})


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadBegun:
    """Before anything is read: the paused destination itself (``qemu_savevm_state_blocked``).

    :ivar unmigratable: idstrs of its handlers with ``unmigratable`` descriptions.
    :ivar no_stream: why it writes no stream itself; empty when it does.
    """

    release: Release
    unmigratable: tuple[str, ...] = ()
    no_stream: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfigurationRead:
    """The configuration section is read (``vmstate_configuration``).

    :ivar expected: the destination expects one (``migration.send-configuration``).
    :ivar next_byte: the byte in its place when there is none.
    :ivar page_bits: of the destination's target page, None when they are not known.
    :ivar sends_page_bits: whether the destination sends them: it does when they are not the least
        that its target can have.
    """

    release: Release
    configuration: Configuration | None
    machine: str
    expected: bool = True
    next_byte: int = 4
    uuid: str | None = None
    page_bits: int | None = None
    sends_page_bits: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class RamBlockRead:
    """An entry of the RAM block list (``migration/ram.c: parse_ramblock``).

    :ivar local: (used, maximum) bytes of the destination's block of that name, None without one.
    :ivar page_size: of the guest; :ivar local_page_size: of the host's pages behind the block,
        None when they are not known.
    """

    release: Release
    block: RamBlock
    local: tuple[int, int] | None
    page_size: int = 4096
    local_page_size: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SectionFound:
    """A section's header was read and its handler looked up (``find_se``)."""

    release: Release
    idstr: str
    instance_id: int
    version: int
    handler: Handler | None
    near: Sequence[str] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class BodyBegun:
    """A body's version is known (``vmstate_load_state``)."""

    release: Release
    vmsd: Vmsd
    version: int


@dataclass(frozen=True, slots=True, kw_only=True)
class BodyEntered:
    """A body's version is accepted; its ``pre_load`` runs now, before any byte is read."""

    release: Release
    body: LoadedState
    idstr: str
    profile: Profile


@dataclass(frozen=True, slots=True, kw_only=True)
class SubsectionMet:
    """A subsection that begins with its parent's name is looked up."""

    release: Release
    parent: Vmsd
    name: str
    known: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ValueRead:
    """A field that must equal, or not exceed, the destination's own value was read.

    :ivar local: the destination's value, unsigned; None when it is not known.
    """

    release: Release
    vmsd: Vmsd
    field: VmField
    value: int
    local: int | None
    width: int = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class PciConfigRead:
    """A PCI device's configuration space was read (``get_pci_config_device``)."""

    release: Release
    idstr: str
    config: bytes
    masks: PciMasks


@dataclass(frozen=True, slots=True, kw_only=True)
class VirtioQueues:
    """A virtio device's queues were read, its features not yet (``virtio_load``)."""

    release: Release
    idstr: str
    live: VirtioLive
    queues: tuple[tuple[int, int, int], ...]
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class VirtioLoaded:
    """A virtio device's whole state was read; its post-load checks follow.

    :ivar features: what the guest's driver has acknowledged.
    :ivar wide: whether they came as 64 (or 128) bits, which decides the wording.
    :ivar queues: ``(num, whether it has an address, index of one without)`` each.
    """

    release: Release
    idstr: str
    live: VirtioLive
    features: int
    wide: bool
    queues: tuple[tuple[int, int, int], ...] = ()
    device: LoadedState | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FooterRead:
    """A section's footer was read: ``mark`` is None at the end of the stream.

    :ivar wanted: whether the destination has footers at all.
    """

    release: Release
    idstr: str
    section_id: int
    mark: int | None
    read_id: int | None = None
    consumed: int = 0
    size: int = 0
    detail: str = ""
    wanted: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class BodyLoaded:
    """Fields and subsections of a body are loaded; its ``post_load`` runs now.

    :ivar idstr: section that it belongs to.
    """

    release: Release
    body: LoadedState
    idstr: str
    instance_id: int
    profile: Profile


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldMissing:
    """A field marked as must-exist fails its test (``VMSTATE_VALIDATE``)."""

    release: Release
    body: LoadedState
    field: VmField


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamLoaded:
    """The whole stream was loaded: for data that the loader does not check, and later changes.

    :ivar sections: what the stream has, in order.
    :ivar cpus: the ``cpu`` sections that were loaded, in order.
    :ivar own_cpu: the destination's own first one.
    :ivar origin: the source's profile, None when only its stream is known.
    :ivar handlers: names of the destination's handlers.
    :ivar more: those of which the destination sends a section and the source has none, in words.
    """

    release: Release
    profile: Profile
    handlers: Sequence[str] = ()
    more: str = ""
    sections: Sequence[Section] = ()
    cpus: Sequence[LoadedState] = ()
    own_cpu: LoadedState | None = None
    origin: Profile | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RegistersPut:
    """The processors' registers go to the accelerator (``cpu_synchronize_all_post_init``).

    Also after a failed load, if the first processor was loaded before.

    :ivar cpu: the first processor, as it was loaded.
    :ivar own_cpu: the destination's own before that.
    """

    release: Release
    profile: Profile
    cpu: LoadedState
    own_cpu: LoadedState | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class NotStarted:
    """The destination's program ended before it answered anything.

    :ivar stderr: what it printed, without its name.
    """

    release: Release
    stderr: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ElementRead:
    """An array of pointers has no object in the destination; the stream's byte there."""

    release: Release
    vmsd: Vmsd
    field: VmField
    marker: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandMet:
    """The stream has a command (``loadvm_process_command``).

    :ivar kind: its number; :ivar length: bytes of its payload.
    """

    release: Release
    kind: int
    length: int
