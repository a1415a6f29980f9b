"""What was typed before an error: it may be the cause, or make a remedy senseless.

``^C`` before an error tells that somebody cancelled; ``savevm`` and ``loadvm`` in one session that
the same program wrote what it refuses; an address in the command that it was cut in the error.
"""

from __future__ import annotations

import re

from migratable.explain.grouping import Failure

OWN_STATE = (
    "The QEMU that refuses this state wrote it itself, with the same devices, so other options "
    "do not help: what savevm wrote of the device is wrong (it was at work, in an iothread or "
    "dataplane, or this QEMU has a fault). Drop the snapshot (delvm NAME; qemu-img snapshot -d "
    "NAME IMAGE), update QEMU (older than 2.5: without dataplane and iothreads), pause the guest "
    "before the next one (stop, savevm NAME, cont) and try it once."
)
_SAVED = re.compile(r"(?m)^[ \t>]*(?:\(qemu\) ?)?savevm (?P<name>[\w.-]+)[ \t]*$")
_ANEW = re.compile(r"(?m)^[ \t>]*(?:\(qemu\) ?)?q(?:uit)?[ \t]*$|qemu-system-\w+ -|qemu-kvm -")
_INTERRUPT = re.compile(r"\^C[\s\d\[\]%.:]*(?:\w*error: *)?(?:[a-z]+(?: [a-z]+){0,3}: ?){0,3}'?$")
_IPV6 = re.compile(
    r"(?<![\w:.])(?P<all>(?P<head>[0-9a-fA-F]{1,4}):(?:[0-9a-fA-F]{0,4}:){1,6}[0-9a-fA-F]{0,4})"
)


def saved_here(failure: Failure) -> bool:
    """Did one session of one program save what it then refuses to load?"""
    text = failure.text_around
    for found in _SAVED.finditer(text):
        loads = re.compile(
            rf"(?m)^[ \t>]*(?:\(qemu\) ?)?loadvm {re.escape(found['name'])}[ \t]*$"
        ).search(text, found.end())
        if loads is not None and not _ANEW.search(text, found.end(), loads.start()):
            return True
    return False


def interrupted(failure: Failure, line: str, start: int) -> bool:
    """Does ``^C`` stand right before the error at *start* of *line*, or end the line before it?"""
    if _INTERRUPT.search(line[:start]):
        return True
    text = failure.text_around
    at = text.find(line)
    return at > 0 and _INTERRUPT.search(text[max(0, at - 200) : at]) is not None


def cut_address(failure: Failure, line: str) -> str:
    """The IPv6 address of the command whose beginning alone stands at the line's end; ""."""
    for found in _IPV6.finditer(failure.text_around):
        if found["all"] not in line and re.search(rf"[ ='\":/]{found['head']}\W*$", line):
            return found["all"]
    return ""


_GUEST = re.compile(
    r"Received EOF on \S+ '(?P<a>[\w.-]+)'|\b[Dd]omain '(?P<b>[\w.-]+)'|\bvm='(?P<c>[\w.-]+)'|"
    r"\b(?:Failed|failed|Unable) to (?:save|start|restore|migrate|resume) domain '?(?P<d>[\w.-]+)|"
    r"virsh (?:-\S+ (?:qemu\S+ )?)*migrate (?:--[\w-]+ )*(?P<e>[\w.-]+) (?:--[\w-]+ )*qemu\+"
)


def guest(failure: Failure) -> str:
    """The guest's name, where the lines name one and no other; ""."""
    text = "\n".join((failure.text_around, *(line.text for line in failure.lines)))
    names = {name for found in _GUEST.finditer(text) for name in found.groups() if name}
    names |= {failure.guest} if failure.guest else set()
    # A number is a running guest's id, not its name.
    return names.pop() if len(names) == 1 and not all(map(str.isdigit, names)) else ""
