"""The state that a destination holds after a load, as it would leave it again."""

from __future__ import annotations

from dataclasses import dataclass, field

from migratable.commandline import InertCommandLine
from migratable.errors import QemuError, StreamError
from migratable.qemu import save
from migratable.qemu.process import QemuProcess
from migratable.qemu.qmp import QmpError


@dataclass(slots=True)
class Resave:
    """Give it to :func:`~migratable.rehearse.destination.try_destination` as ``loaded``.

    :ivar data: the stream, empty when nothing was loaded or it could not be saved.
    :ivar why: why it could not be saved, or empty.
    """

    data: bytes = field(default=b"", repr=False)
    why: str = ""

    def __call__(self, qemu: QemuProcess, quiet: InertCommandLine) -> None:
        """Save the loaded machine again, as a profile's own stream is taken."""
        shared = any(path.name.startswith("memory") for path in quiet.files)
        try:
            self.data = save.plain(save.take(qemu, ignore_shared=shared))
        except QmpError as error:
            self.why = error.description
        except (QemuError, StreamError) as error:
            self.why = str(error)
