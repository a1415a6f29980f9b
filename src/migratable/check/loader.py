"""The loader of one section: what it reads, and what the destination answers.

The functions of ``migration/vmstate.c`` are in :mod:`.vmstate`; the ``get`` functions of field
types (:mod:`.vmstate_types`, :mod:`.devices`) see this class alone.
"""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from dataclasses import dataclass
from errno import EINVAL, EIO
from typing import ClassVar

from migratable.check import stderr
from migratable.check.problem import (
    MessageRef,
    Problem,
    RefusedError,
    UnexaminedError,
)
from migratable.check.qemu_file import Reader
from migratable.check.state import LoadedState, Memory
from migratable.facts import targets
from migratable.profile.model import Profile
from migratable.profile.tables import Handler, LoaderTables, VmField
from migratable.stream.vmdesc import VmsdBody
from migratable.unchecked import Code, Unchecked


@dataclass(slots=True)
class Loader(ABC):
    """Loads one section of a source; one loader per section.

    :ivar f: the section's bytes.
    :ivar memory: the destination's words, shared by all sections of a stream.
    :ivar exists: whether the destination's own stream has a field, by (description, field) index.
    :ivar sizes: bytes of fields in the destination's own stream, by description and field name.
    :ivar problems: what rules said that does not refuse.
    :ivar trusted: whether all code that a description may have was read on this target.
    :ivar unexamined: what was not; the section was followed all the same.
    :ivar notes: where both sides do not read the same fields, for what follows from it.
    """

    tables: LoaderTables
    profile: Profile
    f: Reader
    memory: Memory
    handler: Handler
    exists: dict[tuple[int, int], bool] = dataclasses.field(default_factory=dict)
    sizes: dict[tuple[int, str], int] = dataclasses.field(default_factory=dict)
    problems: list[Problem] = dataclasses.field(default_factory=list)
    unchecked: list[Unchecked] = dataclasses.field(default_factory=list)
    trusted: bool = True
    unexamined: list[Unchecked] = dataclasses.field(default_factory=list)
    notes: list[str] = dataclasses.field(default_factory=list)
    depth: int = 0
    stated: int | None = None
    elements: int = 1
    is_baseline: ClassVar[bool] = False

    @property
    def release(self) -> tuple[int, int]:
        """The destination's."""
        return self.profile.version.release

    @abstractmethod
    def ask(self, event: object) -> None:
        """Ask the rules about an event.

        :raise RefusedError: when one of them refuses (warnings before it are kept).
        """

    @abstractmethod
    def vmstate_load_state(  # noqa: PLR0917 -- QEMU's parameters, and both sides' own bodies
        self,
        index: int,
        opaque: int,
        version_id: int,
        parent: LoadedState | None,
        description: VmsdBody | None,
        own: LoadedState | None = None,
    ) -> LoadedState:
        """Load one body.

        :param index: of its description.
        :param description: the same body as the stream's vmdesc has it, None without one.
        :param own: the same body as the destination itself sends it.
        :raise RefusedError: where QEMU returns an error.
        :raise UnexaminedError: where it cannot be followed.
        """

    # -- what a destination's own stream does otherwise (:class:`.baseline.BaselineLoader`) ------

    @abstractmethod
    def record_size(self, body: LoadedState, field: VmField) -> None:
        """The bytes of a field are stated in the vmdesc (:attr:`stated`)."""

    def null_pointer(self, body: LoadedState, field: VmField) -> None:
        """A pointer that the load needs is null: the program aborts."""
        if self.profile.stand_in:
            text = f"{body.vmsd.name}:{field.name} may be there under KVM only"
            raise UnexaminedError(text, Code.KVM)
        raise RefusedError(
            Problem(
                rule="layout",
                summary=f"the pointer {body.vmsd.name}:{field.name} is NULL on the destination",
                explanation="The program aborts. The device was started with other options.",
                words=(stderr.pointer_assertion(self.release),),
                field=field.name,
                aborts=True,
            ),
            self.release,
        )

    def unknown(self, reason: str) -> None:
        """The destination's value for a comparison is not known."""
        raise UnexaminedError(reason)

    def not_examined(self, what: str) -> None:
        """The replay skipped something that the destination may check."""
        self.unchecked.append(Unchecked(what, Code.NOT_FOLLOWED))

    def local(self, body: LoadedState, name: str, _sent: int) -> int | None:
        """The destination's own value for data without an address in any table."""
        return None if body.own is None else body.own.number(name)

    def local_size(self, body: LoadedState, field: VmField) -> int | None:
        """Bytes of a field in the destination's own stream."""
        return self.sizes.get((body.index, field.name))

    def stated_size(self) -> int | None:
        """Bytes of an element of the current field, as the stream's vmdesc states them."""
        return None if self.stated is None else self.stated // self.elements

    def note_unaudited(self, name: str) -> None:
        """Note a description whose own code nobody read on this target."""
        target = self.profile.target
        if not targets.examined(target, name):
            self.unexamined.append(Unchecked(targets.unexamined(target, name), Code.TARGET))

    # -- errors ---------------------------------------------------------------------------------

    def refuse(
        self, rule: str, summary: str, *words: MessageRef, errno: int = EINVAL
    ) -> RefusedError:
        """Make the error that stops the loader here."""
        return RefusedError(
            Problem(rule=rule, summary=summary, words=words, errno=errno), self.release
        )

    def file_error(self, body: LoadedState, field: VmField) -> RefusedError:
        """The stream ended inside a field (``qemu_file_get_error``)."""
        refused = RefusedError(
            Problem(
                rule="stream-broken",
                summary=f"the stream ends inside {body.vmsd.name}:{field.name}",
                errno=EIO,
            ),
            self.release,
            ended=True,
        )
        refused.old(("field-error", {"vmsd": body.vmsd.name, "field": field.name}))
        refused.link(("state-stream-error", {"vmsd": body.vmsd.name, "errno": -EIO}))
        return refused


@dataclass(frozen=True, slots=True)
class Reading:
    """One element that is being read.

    :ivar address: of the element in the destination.
    :ivar size: bytes of it there (bits for a bitmap).
    :ivar descriptions: what the stream says of the bodies inside it.
    """

    loader: Loader
    body: LoadedState
    field: VmField
    address: int
    size: int
    descriptions: tuple[VmsdBody, ...]
