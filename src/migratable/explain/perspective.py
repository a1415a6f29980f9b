"""Who printed a line: the side that sends the guest, or the one that loads it.

The same words ("Channel error: Input/output error") mean the other side in each log. libvirt names
its job, QEMU's functions and texts exist on one side only; where neither is in the line, the side
stays open.
"""

from __future__ import annotations

import re
from dataclasses import replace

from migratable.explain import crashes
from migratable.explain.advice import Advice
from migratable.explain.ends import ENDED
from migratable.explain.grouping import Failure, Line
from migratable.messages.catalogue import Fault, Message, Role
from migratable.messages.recognise import Match
from migratable.messages.setting import said
from migratable.messages.sides import printed_on_both

# libvirt: qemu_migration.c (qemuMigrationJobCheckStatus, job names of qemuDomainJobTypeToString),
# QEMU: migration/migration.c, savevm.c, ram.c, multifd.c.
_SOURCE = re.compile(
    r"'migration out'|\bmigration out\b|multifd_send|multifd_zlib_send|failed to save SaveState|"
    r"Unable to write to (?:socket|command|file)|savevm_state|qemu_savevm|"
    r"_pre_save\b|_save_(?:state|setup|backend)|migration_thread|"
    r"QEMU command 'migrate'|bdrv_inactivate|Sibling indicated error|source_return_path|"
    r"qemuMigrationSrc|MigratePerform|migration_completion|ram_save_"
)
_DESTINATION = re.compile(
    r"'migration in'|\bmigration in\b|load of migration failed|error while loading state|"
    r"multifd_recv|process_incoming|'migrate-incoming'|qemuMigrationDst|MigratePrepare|"
    r"MigrateFinish|check_section_footer|_post_load\b|_load_(?:state|setup|backend)|qemu_loadvm|loadvm_"
)
# libvirt's jobs: both stand in one line where the source repeats what the destination said.
_JOBS = (
    (Fault.SOURCE, re.compile(r"'migration out'")),
    (Fault.DESTINATION, re.compile(r"'migration in'")),
)
# Rules whose messages only say that the other side was gone.
_ECHOES = frozenset({"stream-broken", "transport", "multifd"})
# Messages of these rules that do name what broke: a certificate, a key.
_NAMED = ("tls-certificate", "tls-credentials", "libvirt-tls-", "libvirt-ca", "ssh-")
_SIDES = frozenset({Fault.SOURCE, Fault.DESTINATION})
# What the source says when a device's state could not be sent, whatever the reason.
_FOLLOWS = frozenset({"source-save-entry"})

READ_DESTINATION = (
    "{other log: Read the destination's log at that time (/var/log/libvirt/qemu/NAME.log, or what "
    "its QEMU wrote to stderr): the source only knows that the connection broke.}"
)
READ_BOTH = (
    "Read both sides' logs at that time: the one that ended first has the cause, the other only "
    "says that the connection broke."
)
BOTH_HERE = (
    "Both sides' lines are in this log: each says that the other was gone, and none of them names "
    "what broke first. Keep the two logs apart and compare the times (journalctl -o short-precise)."
)

WITHOUT_MULTIFD = (
    "multifd takes part: migrate once without it (migrate_set_capability multifd off on both "
    "sides), and update QEMU on both; 32-bit programs should not use it."
)


def printer(line: Line) -> Fault | None:
    """The side that printed *line*; None where the line does not tell."""
    source = _SOURCE.search(line.text) is not None
    destination = _DESTINATION.search(line.text) is not None or any(
        match.message.program == "QEMU"
        and match.message.of_the_load
        and match.message.id != "channel-error"
        and match.message.role is not Role.WARNING
        for match in line.matches
    )
    if source == destination:
        return None
    return Fault.SOURCE if source else Fault.DESTINATION


def printers(failure: Failure) -> frozenset[Fault]:
    """The sides whose lines a failure holds."""
    lines = (*failure.lines, *failure.unrecognised)
    found = {side for line in lines if (side := printer(line)) is not None}
    text = " ".join(line.text for line in lines)
    for side, job in _JOBS:
        if job.search(text):
            found.add(side)
    return frozenset(found)


def only_echoes(failure: Failure, main: Message) -> bool:
    """Do both sides speak in one log, each only of the other's end?"""
    if main.rule not in _ECHOES or main.id.startswith(_NAMED):
        return False
    causes = [m for _, m in failure.matches if m.message.role is Role.CAUSE]
    decided = any(
        m.message.rule not in _ECHOES
        and m.message.id not in _FOLLOWS
        and not _zeros(m)
        and not m.message.id.startswith("start-")  # QEMU ran: it took another accelerator
        for m in causes
    )
    return not decided and len(printers(failure)) == 2


OTHER_LOGS = (
    "The logs given here name no more: read libvirt's journal on both hosts at that time "
    "(journalctl -u virtqemud -u libvirtd), and QEMU's log of the side that is not among them."
)


def _zeros(match: Match) -> bool:
    """A page record of zeros: the source stopped, and nothing came any more."""
    return match.message.id == "ram-flags" and match.params["flags"] == 0


def seen_from(own: Advice, main: Match, failure: Failure) -> Advice:
    """The advice for a message that is only the echo of the other side's end, by who printed it."""
    message = main.message
    if message.id == "backtrace-died" and main.params.get("side"):
        return replace(own, side=Fault(str(main.params["side"])))
    if message.id in ENDED:
        return replace(own, side=crashes.side(failure, main) or own.side)
    sides = printers(failure)
    if message.id == "backtrace-waits" and len(sides) == 1:
        return replace(own, side=next(iter(sides)))
    if message.fault is None and main.text.fault is None and printed_on_both(message):
        return replace(own, side=next(iter(sides)) if len(sides) == 1 else Fault.CANNOT_TELL)
    if main.origin and message.program == "QEMU" and len(sides) == 1 and own.side in _SIDES:
        # A kind's side is where its errors are mostly printed; this one was printed elsewhere.
        own = own if own.side in sides else replace(own, side=Fault.CANNOT_TELL)
    if message.rule not in _ECHOES:
        return own
    if only_echoes(failure, message):
        now = f"{BOTH_HERE} {said(own.now, both_logs=True)}".strip()
        if any("multifd" in line.text for line in failure.lines):
            now = f"{now} {WITHOUT_MULTIFD}"
        return replace(own, side=Fault.CANNOT_TELL, now=now, prevent="")
    if len(sides) == 2:
        return own
    if message.rule != "stream-broken":
        return own
    if Fault.SOURCE in sides:
        return replace(own, side=Fault.CANNOT_TELL, now=READ_DESTINATION, prevent="")
    if message.role is Role.SYMPTOM and not sides:
        return replace(own, side=Fault.CANNOT_TELL, now=READ_BOTH, prevent="")
    if message.fault is None and main.text.fault is None and own.side is Fault.SOURCE:
        # The source, the network or who cancelled it: the reader only saw the end.
        return replace(own, side=Fault.CANNOT_TELL)
    return own
