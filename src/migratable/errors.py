"""The exceptions of this program, all of them.

::

    MigratableError                 something that a user can act on; exit status 2
     ├── StreamError                a migration stream is malformed (offset, path)
     │    └── ContainerError        the file around the stream is (libvirt image, qcow2, xz, …)
     ├── CommandLineError           a QEMU command line cannot be read or made inert
     ├── ProfileError               a profile cannot be collected, stored, read or found
     │    └── DestinationStartError the destination's program refused to start (its own words)
     ├── QemuError                  a QEMU process misbehaved (hang, crash, lost QMP)
     │    ├── QmpError              it answered a command with an error (qemu.qmp)
     │    └── QmpClosedError        its connection ended (qemu.qmp)
     ├── LabError                   a QEMU release cannot be had
     ├── PlanError                  a plan, fleet file or batch line is wrong (file, place)
     ├── ConvertError               a stream cannot be rewritten, or is not the plan's
     ├── CaptureError               a running VM cannot be captured safely
     │    └── NoCopyError           no copy of it can be started to save itself first
     ├── HostError                  another host cannot be reached or used
     │    └── LibvirtRefusedError   its libvirt takes no such definition (hosts.arrival)
     ├── RelayError                 a migration cannot be relayed
     ├── ServiceError               the HTTP service or a Dask scheduler cannot be used
     └── KnowledgeError             the bundled data is inconsistent (a bug of ours)

Each carries a message with place and remedy; the command line prints it to stderr without a
traceback and ends with status 2, so that a failure of the tool never looks like an answer.
"""

from __future__ import annotations

import enum

from migratable.printable import printable


class MigratableError(Exception):
    """Base of all errors that this program raises on purpose."""


class StreamError(MigratableError):
    """A migration stream is malformed.

    :ivar offset: byte offset into the (decompressed) stream at which reading failed, or None.
    :ivar path: where in the grammar that is:
        ``"section 'timer' 0 / field 'cpu_ticks_offset'"``.
    """

    def __init__(self, message: str, *, offset: int | None = None, path: str = "") -> None:
        """Compose the message from its parts; keep them for programs."""
        place = [] if offset is None else [f"at byte {offset} ({offset:#x})"]
        if path:
            place.append(f"in {path}")
        super().__init__(printable(f"{message} {' '.join(place)}".rstrip()))
        self.reason = message
        self.offset = offset
        self.path = path


class ContainerError(StreamError):
    """The file around a migration stream is malformed, unfinished or of an unknown kind."""


class CommandLineError(MigratableError):
    """A QEMU command line cannot be read or made inert."""


class ProfileError(MigratableError):
    """A profile cannot be collected, stored, read or found."""


class StartFailure(enum.StrEnum):
    """How a destination's program came not to start."""

    REFUSED = "refused"
    """It ended by itself, with its own words."""
    NOT_RUN = "not-run"
    """The host could not run it: no such program, no right to."""
    ENDED_FROM_OUTSIDE = "ended-from-outside"
    """A signal that no program sends itself ended it."""
    ONLY_KVM = "only-kvm"
    """It refused under TCG; under KVM, for which its command line asks, it may start."""
    DOUBTFUL = "doubtful"
    """It refused what was put in a host resource's place; the real machine may start."""


class DestinationStartError(ProfileError):
    """The destination's program refused to start.

    :ivar stderr: every line it printed, without the program's name.
    :ivar status: how it ended (``exit status 1``); empty when it was only asked.
    :ivar doubt: why the real machine may start all the same, in words; empty without one.
    """

    def __init__(
        self,
        message: str,
        *,
        stderr: tuple[str, ...] = (),
        kind: StartFailure = StartFailure.REFUSED,
        status: str = "",
        doubt: str = "",
    ) -> None:
        """Keep the program's own lines beside our message."""
        super().__init__(message)
        self.stderr = stderr
        self.kind = StartFailure.DOUBTFUL if doubt else kind
        self.status = status
        self.doubt = doubt

    @property
    def only_kvm(self) -> bool:
        """Whether it may start under KVM, which was not tried."""
        return self.kind is StartFailure.ONLY_KVM


class QemuError(MigratableError):
    """A QEMU process hung, crashed, or lost its QMP connection."""


class LabError(MigratableError):
    """A QEMU release cannot be had or is not installed."""


class PlanError(MigratableError):
    """A plan, fleet file, batch line or project file is wrong."""


class ConvertError(MigratableError):
    """A stream cannot be rewritten, or is not the one that the plan was made for."""


class CaptureError(MigratableError):
    """A running VM cannot be captured, or not safely."""


class NoCopyError(CaptureError):
    """No copy of a running VM can be started here; the VM may be fine all the same."""


class HostError(MigratableError):
    """Another host cannot be reached, or cannot do what it was asked."""


class RelayError(MigratableError):
    """A migration cannot be relayed: an address, or a kind of migration."""


class ServiceError(MigratableError):
    """The HTTP service cannot be started, or a Dask scheduler not be used."""


class KnowledgeError(MigratableError):
    """Bundled data is inconsistent; a bug of this program."""
