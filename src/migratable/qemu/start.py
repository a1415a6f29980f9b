"""The one inert start: makes a command line inert and starts it.

::

    with inert_start(line, release="10.0") as start:     # nothing runs yet
        start.inert.notes, start.program.command
        with start.process(extra=["-incoming", "defer"]) as qemu:
            qemu.qmp("query-status")

Callers choose nothing of this: private folder, namespace for taps, program and its release. How a
process is confined is :mod:`migratable.qemu.launch`'s alone.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from migratable.commandline import CommandLine, Option
from migratable.commandline.inert.inert import InertCommandLine, inert
from migratable.qemu import machines
from migratable.qemu.accelerator import Accelerator, choose
from migratable.qemu.launch import namespaces_work
from migratable.qemu.process import QemuProcess, private_folder
from migratable.qemu.program import Program, program_release, resolve
from migratable.releases import QemuVersion

NOWHERE = Path("/private")
"""The private folder of a command line that is only looked at."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InertStart:
    """A program and the inert command line with which it is started.

    :ivar release: the program's own, None when it does not say.
    """

    program: Program
    release: QemuVersion | None
    inert: InertCommandLine

    def process(self, *, extra: Sequence[str] = (), timeout: float = 60.0) -> QemuProcess:
        """The process; its ``with`` starts it.

        :param extra: more arguments, for example ``-incoming defer``.
        :param timeout: seconds for the start, and for each QMP command.
        """
        return QemuProcess(self.program.command, self.inert, extra=extra, timeout=timeout)


@contextlib.contextmanager
def inert_start(
    line: CommandLine,
    *,
    program: Program | None = None,
    release: str | None = None,
    ram_sizes: Mapping[str, int] | None = None,
    accelerator: Accelerator | None = None,
    strict: bool = False,
    timeout: float = 20.0,
) -> Iterator[InertStart]:
    """Find the program and make *line* inert for it; private files live as long as the ``with``.

    :param program: when it was found before.
    :param release: a lab release to use in the place of the line's program.
    :param ram_sizes, strict: see :func:`~migratable.commandline.inert.inert`.
    :param accelerator: under which it is started; None: its own where this machine has it.
    :param timeout: seconds for the program to say its release.
    :raise CommandLineError: When the line cannot be made inert, or its program found.
    """
    found = program or resolve(line, release=release)
    number = program_release(found.command, timeout=min(20.0, timeout))
    with private_folder() as folder:
        quiet = inert_line(
            line,
            release=number,
            private_dir=folder,
            ram_sizes=ram_sizes,
            accelerator=accelerator or choose(line, found.command),
            main_ram=machines.main_ram(line, found.command, _query_machines),
            strict=strict,
        )
        yield InertStart(program=found, release=number, inert=quiet)


def inert_line(
    line: CommandLine,
    *,
    release: QemuVersion | None,
    private_dir: Path = NOWHERE,
    ram_sizes: Mapping[str, int] | None = None,
    accelerator: Accelerator | None = None,
    main_ram: str | None = None,
    strict: bool = False,
) -> InertCommandLine:
    """Make *line* inert as it can be started on this machine; nothing is created or started.

    :param accelerator: under which it is started; None: its own where this machine has it.
    :param main_ram: see :func:`~migratable.commandline.inert.inert`.
    :raise CommandLineError: When it cannot be made inert.
    """
    chosen = accelerator or choose(line)
    make = partial(
        inert,
        line,
        release=release,
        private_dir=private_dir,
        ram_sizes=ram_sizes,
        accel=chosen.name,
        why_not_kvm=chosen.why,
        main_ram=main_ram,
        strict=strict,
    )
    quiet = make()
    return make(netns=False) if quiet.needs_netns and not namespaces_work() else quiet


def _query_machines(command: Sequence[str]) -> machines.Rows:
    """Ask a program for its machine types."""
    none = Option(name="machine", value="none", index=1)
    line = CommandLine(program=(command[-1],), options=(none,))
    with (
        inert_start(line, program=Program(command=tuple(command))) as start,
        start.process(timeout=20.0) as qemu,
    ):
        found = qemu.qmp("query-machines")
    return list(found) if isinstance(found, list) else []
