"""The command that shows the cause again without trying the migration, when it can be run.

A command is printed only when nothing in it has to be filled in: the log is a file that holds
QEMU's command line (as ``--from`` reads it), and where the guest's state is needed, libvirt's name
of the guest is known.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Reproducible:
    """A log file that holds QEMU's command line.

    :ivar path: as the user gave it.
    :ivar domain: libvirt's name of the guest, "" when libvirt did not start it.
    """

    path: str
    domain: str = ""


def command(kind: str, log: Reproducible | None) -> str:
    """The command line of ``migratable`` for a rule's ``verify``, "" when none can be run.

    :param kind: ``check``, ``rehearse``, ``capture`` or ``profile``; "" for what none of them sees.
    """
    if log is None or not kind:
        return ""
    path = shlex.quote(log.path)
    if kind == "profile":
        return f"migratable profile --from {path}"
    if not log.domain:
        return ""
    domain = shlex.quote(f"libvirt:{log.domain}")
    if kind == "capture":
        return f"migratable capture {domain} -o {shlex.quote(log.domain + '.mig')}"
    return f"migratable {kind} {domain} --from {path}"
