"""A VM with its state, and a destination with its profile: the two parts of a pair."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from migratable.fleet.model import Vm
from migratable.stream import Stream

if TYPE_CHECKING:
    from migratable.commandline import CommandLine
    from migratable.profile.model import Profile


class Opened(Protocol):
    """What :func:`migratable.capture.source.open_source` gives."""

    @property
    def stream(self) -> Stream:
        """State of the VM."""

    @property
    def profile(self) -> Profile | None:
        """What else is known of it."""

    @property
    def facts(self) -> Any:
        """For reports."""


Opener = Callable[[str], Opened]
Progress = Callable[[str, int, int], None]
"""Told what is being done, how much of it is done, and of how much."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Guest:
    """A VM with its state.

    :ivar stream: None when it could not be read; :attr:`failure` says why.
    :ivar profile: what the source says of itself besides, when it does.
    :ivar line: its command line, when it is known: a host's own program is started with it.
    :ivar facts: for reports.
    :ivar at_power_on: its state is that of a machine that never ran.
    """

    vm: Vm
    stream: Stream | None = None
    profile: Profile | None = None
    line: CommandLine | None = None
    facts: dict[str, Any] = field(default_factory=dict)
    failure: str = ""
    at_power_on: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Destination:
    """One machine on one host's QEMU, as many hosts may have it.

    :ivar profile: None when there is none.
    :ivar refused: the lines with which the program refused to start this machine.
    :ivar only_kvm: it might start under KVM, which was not tried.
    :ivar doubt: why the real machine may start all the same.
    :ivar failure: why there is no profile, when that is no answer.
    :ivar line: what a program of this machine was started with, for remedies.
    :ivar release: the lab release that was started with it.
    """

    name: str
    profile: Profile | None = None
    refused: tuple[str, ...] = ()
    only_kvm: bool = False
    doubt: str = ""
    failure: str = ""
    line: CommandLine | None = None
    release: str | None = None
