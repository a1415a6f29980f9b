"""What was being done when it failed, and whose fault that is where one host does it."""

from __future__ import annotations

import re

from migratable.explain import advice
from migratable.explain.grouping import Failure, Line
from migratable.explain.operation import Operation, operation
from migratable.messages import qemu_errors
from migratable.messages.catalogue import Fault, Message
from migratable.messages.recognise import Match

# Programs that carry a connection to another host: it is the client's side that starts them.
_CONNECTS = re.compile(r"cannot execute binary (?:\S*/)?(?:ssh|nc|ncat|netcat|virt-ssh-helper)\b")
# Rules of what is wrong on the one host where a guest is started, saved or kept.
_ON_THIS_HOST = frozenset({"destination-start", "kvm-host"})
# QEMU names the option of its command line at which it gave up; a monitor's command has none.
_OPTION = re.compile(r"(?:qemu[\w-]*|kvm): -[a-z][\w-]* \S.*: ")
# The same of QEMU's errors without an entry: no definition or processor is refused but at a start.
_REFUSED = _ON_THIS_HOST | {"cpu-features", "configuration"}
# Characters of a line in which the operation is looked for.
LONGEST = 2000
# QEMU's words for what it cannot start with; in a log that speaks of no migration, a start.
_STARTS = frozenset(
    {"start", "start_more", "start_options", "start_host", "start_block", "start_net"}
)


def operation_of(failure: Failure, line: Line, main: Match) -> Operation:
    """What was done: as the lines say, or a start where only a start prints such an error."""
    which = operation(texts(failure))
    if which is not Operation.UNKNOWN:
        return which
    message, of_table = main.message, _of_table(main.message)
    starts = message.group in _STARTS or (of_table and _OPTION.search(line.text))
    refused = (
        message.rule in (_REFUSED if of_table else _ON_THIS_HOST)
        and message.group != "libvirt"  # its words are mostly met in migrations
        and advice.of_message(message).side is Fault.DESTINATION
        and not _CONNECTS.search(line.text)
    )
    return Operation.START if starts or refused else which


def _of_table(message: Message) -> bool:
    return message.group in (qemu_errors.GROUP, "qmp")


def at_fault_here(failure: Failure, main: Match, which: Operation, side: Fault) -> Fault | None:
    """The side of an operation that only one host does; None where that does not tell it.

    :param side: as the message's advice has it.
    """
    message = main.message
    alone = which in (Operation.START, Operation.SAVE, Operation.SNAPSHOT)
    if alone and message.rule in _ON_THIS_HOST:
        return side if side is not Fault.CANNOT_TELL else Fault.DESTINATION
    starts = _starts(failure) or (_of_table(message) and which is Operation.START)
    return Fault.DESTINATION if message.program == "QEMU" and starts else None


def _starts(failure: Failure) -> bool:
    """Do libvirt's words say that the QEMU which printed this was being started?"""
    return any(match.message.id == "libvirt-process-exited" for _, match in failure.matches)


def texts(failure: Failure) -> list[str]:
    """The lines by which the operation is told."""
    return [
        failure.text_around,
        *(line.text[:LONGEST] for line in (*failure.lines, *failure.unrecognised)),
    ]
