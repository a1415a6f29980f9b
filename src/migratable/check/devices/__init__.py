"""Refusals by device code: the ``pre_load`` and ``post_load`` hooks of VMState tables.

The tables say how a device's state is read; these functions say what the device then makes of it.
One module a family, found by its name; a function is registered for the names of its descriptions::

    @post_load("lsiscsi")
    def lsi(event: BodyLoaded) -> Iterator[Problem]: ...

All hooks of 5.2, 7.2, 10.0 and 10.2 that a machine of an audited target (facts/targets.toml) can
have were gone through, and the texts of 11.1. A hook that is not here never fails, or fails by
something that is in neither the stream nor the profile: the guest's memory (kvm-tpr-opt, ahci's
lists, xhci's contexts, a virtio ring's indices), a kernel (KVM's registers, interrupt controllers,
nested state), a helper process (vhost-user, D-Bus, swtpm, usbredir's parser).
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from errno import EINVAL
from functools import cache
from typing import Any, Generic, TypeVar

from migratable.check.events import BodyEntered, BodyLoaded
from migratable.check.loader import Reading
from migratable.check.problem import Problem
from migratable.check.state import LoadedState, Memory
from migratable.profile.model import Profile
from migratable.releases import Release
from migratable.stream.model import Section

PostLoad = Callable[[BodyLoaded], Iterator[Problem]]
Prepare = Callable[[LoadedState, Memory, Profile], None]
PreLoad = Callable[[BodyEntered], Iterator[Problem]]

At = TypeVar("At")

_FIRST: Release = (0, 0)
_LAST: Release = (1 << 16, 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Hook(Generic[At]):
    """When a function speaks.

    :ivar since: first release of the behaviour.
    :ivar until: last release of the behaviour, itself included.
    :ivar target: beginning of the target's name (``ppc``), for names that targets share.
    """

    function: Callable[[At], Iterator[Problem]]
    since: Release
    until: Release
    target: str

    def applies(self, release: Release, target: str) -> bool:
        """Whether the release and target have this behaviour."""
        return self.since <= release <= self.until and target.startswith(self.target)


_POST_LOAD: dict[str, list[Hook[BodyLoaded]]] = {}
_PRE_LOAD: dict[str, list[Hook[BodyEntered]]] = {}


def post_load(
    *vmsds: str, since: Release = _FIRST, until: Release = _LAST, target: str = ""
) -> Callable[[PostLoad], PostLoad]:
    """Register a function for descriptions: what their ``post_load`` refuses."""
    return _registers(_POST_LOAD, vmsds, since=since, until=until, target=target)


def pre_load(
    *vmsds: str, since: Release = _FIRST, until: Release = _LAST, target: str = ""
) -> Callable[[PreLoad], PreLoad]:
    """Register a function for descriptions: what their ``pre_load`` refuses."""
    return _registers(_PRE_LOAD, vmsds, since=since, until=until, target=target)


def _registers(
    hooks: dict[str, list[Hook[At]]], vmsds: Iterable[str], **applies: Any
) -> Callable[[Callable[[At], Iterator[Problem]]], Callable[[At], Iterator[Problem]]]:
    def register(function: Callable[[At], Iterator[Problem]]) -> Callable[[At], Iterator[Problem]]:
        for vmsd in vmsds:
            hooks.setdefault(vmsd, []).append(Hook(function=function, **applies))
        return function

    return register


_PREPARE: dict[str, Prepare] = {}


def prepares(*vmsds: str) -> Callable[[Prepare], Prepare]:
    """Register what a ``pre_load`` sets that the tables then count with."""

    def register(function: Prepare) -> Prepare:
        for vmsd in vmsds:
            _PREPARE[vmsd] = function
        return function

    return register


def prepare(body: LoadedState, memory: Memory, profile: Profile) -> None:
    """Do what the ``pre_load`` of a body's description does to the destination."""
    _load_modules()
    function = _PREPARE.get(body.vmsd.name)
    if function is not None:
        function(body, memory, profile)


_READ: dict[str, Callable[[Reading], None]] = {}


def reads(*types: str) -> Callable[[Callable[[Reading], None]], Callable[[Reading], None]]:
    """Register how a device's own field type (``VMStateInfo``) is read."""

    def register(function: Callable[[Reading], None]) -> Callable[[Reading], None]:
        for name in types:
            _READ[name] = function
        return function

    return register


def reader(name: str) -> Callable[[Reading], None] | None:
    """How a field type is read, None when no module here knows it."""
    _load_modules()
    return _READ.get(name)


OldLoader = Callable[[Section, Iterable[Section], Profile], Iterator[Problem]]
"""Examines a section without tables, and its parts; raises
:class:`migratable.check.problem.UnexaminedError`."""

_OLD: dict[str, OldLoader] = {}


def loads_old(*idstrs: str) -> Callable[[OldLoader], OldLoader]:
    """Register what sections of old style (``load_state``) of these names refuse."""

    def register(function: OldLoader) -> OldLoader:
        for idstr in idstrs:
            _OLD[idstr] = function
        return function

    return register


def old_loader(idstr: str) -> OldLoader | None:
    """How a section without tables is examined, None when no module here knows it."""
    _load_modules()
    return _OLD.get(idstr)


@cache
def _load_modules() -> None:
    for info in pkgutil.iter_modules(__path__):
        importlib.import_module(f"{__name__}.{info.name}")


def after(event: BodyLoaded) -> Iterator[Problem]:
    """Run what is registered for the ``post_load`` of a body's description."""
    _load_modules()
    for hook in _POST_LOAD.get(event.body.vmsd.name, ()):
        if hook.applies(event.release, event.profile.target):
            yield from hook.function(event)


def before(event: BodyEntered) -> Iterator[Problem]:
    """Run what is registered for the ``pre_load`` of a body's description."""
    _load_modules()
    for hook in _PRE_LOAD.get(event.body.vmsd.name, ()):
        if hook.applies(event.release, event.profile.target):
            yield from hook.function(event)


def registered() -> dict[str, tuple[Hook[Any], ...]]:
    """All functions by the name of their description."""
    _load_modules()
    names = sorted({*_POST_LOAD, *_PRE_LOAD})
    return {name: (*_PRE_LOAD.get(name, ()), *_POST_LOAD.get(name, ())) for name in names}


def has_fixes_of_2026(event: BodyLoaded) -> bool:
    """Whether the program has the checks of early 2026 that stable releases took over.

    10.0.13 and 11.1 have them (vmxnet3, sb16, virtio-net's RSS, usb-redir), 10.2.2 has not. In
    which of the releases between they came is not known; those are taken to be without.
    """
    version = event.profile.version
    if event.release == (10, 0):
        return version.micro >= 13
    return event.release >= (11, 0)


def beyond(summary: str, *, rule: str = "field-validation", errno: int = EINVAL) -> Problem:
    """Make the problem of a value that no device of the destination can have; QEMU says nothing."""
    return Problem(rule=rule, summary=summary, errno=errno)
