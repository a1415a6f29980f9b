"""Load a VM's device state into the real destination program, without guest memory.

::

    verdict = rehearse(stream, ["qemu-system-x86_64", "-machine", "pc-q35-7.2", …])
    verdicts = rehearse_all(stream, [Destination(command_line=line, release="10.0"), …])
    rehearsed = both(stream, line, predicted=check(stream, profile))

Time and memory do not depend on the guest's RAM. Nothing is left behind, even after a failure.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from migratable.commandline import CommandLine
from migratable.rehearse.destination import Destination, try_destination
from migratable.rehearse.disagreement import both, differences
from migratable.rehearse.parallel import rehearse_all
from migratable.rehearse.verdict import verdict
from migratable.stream import Stream
from migratable.verdict import Verdict

__all__ = ["Destination", "both", "differences", "rehearse", "rehearse_all"]

TIMEOUT = 60.0


def rehearse(
    stream: Stream,
    command_line: CommandLine | Sequence[str] | str,
    *,
    release: str | None = None,
    timeout: float = TIMEOUT,
    source: dict[str, Any] | None = None,
    watch: float | None = None,
) -> Verdict:
    """Load *stream* into a destination, without RAM contents, and return its verdict.

    :param command_line: the destination's, as :func:`migratable.commandline.parse` takes.
    :param release: a lab release in the place of the line's program (``10.0``).
    :param timeout: seconds for start and load together.
    :param watch: load guest memory too, let the guest run and watch it for that many seconds; what
        it did is a finding and the destination's fact ``guest`` (:mod:`migratable.rehearse.alive`).
    :param source: facts about the source for the verdict's ``source``.
    :raise CommandLineError: When the line cannot be read or made inert, or its program found.
    :raise QemuError: When the destination hangs, or something outside ends it.
    :raise StreamError: When RAM records that are needed cannot be read, or are missing (*watch*).
    """
    destination = Destination(command_line=command_line, release=release)
    done = try_destination(stream, destination, timeout=timeout, watch=watch)
    return verdict(done, source=source)
