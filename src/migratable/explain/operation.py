"""What was being done: a migration, start, restore, save, snapshot or change of a definition.

The catalogue speaks of migrations, as most of its messages are met in one. The same words of QEMU
and libvirt stand in the log of a start; there is no other host then.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Iterable


class Operation(enum.StrEnum):
    """An operation on a virtual machine."""

    MIGRATION = "migration"
    START = "start"
    RESTORE = "restore"
    SAVE = "save"
    SNAPSHOT = "snapshot"
    DEFINITION = "definition"
    UNKNOWN = ""


# What the programs call it: virsh's commands and headings, libvirt's functions, managers' tasks.
_MIGRATION = re.compile(
    r"virsh (?:\S{1,80} ){0,12}migrate|[dD]omainMigrate|[Ll]ive[ _-]?[Mm]igrat|"
    r"'?migration (?:in|out)\b|"
    r"(?<!load of )[Mm]igration (?:\w+ )?fail|[Ff]ailed (?:to )?migrat|migrate failure|evacuat|"
    r"-incoming[ =]'?(?:tcp|unix|rdma|defer)|qemu\+(?:ssh|tcp|tls)://|"
    r"[Mm]igrat(?:e|ing) (?:VM|domain)|"
    r"\bvm\.migrate\b|\b(?:VM|VDI)\.(?:pool_)?migrate\b|[Pp]re-migrat(?:e|ion)|"
    r"[Ff]ailed to accept instance|"
    r"starting migration of (?:VM|CT) |ERROR: migration (?:aborted|problems)|"
    r"replication job|\bpvesm import\b|"
    r"moveInstance|[Ii]nstance move|QEMU command 'migrate(?:-incoming)?'|\(qemu\) migrate\b"
)
_SIGNS = (
    (
        Operation.RESTORE,
        r"[Ff]ailed to restore domain|virDomainRestore|DomainRestore|"
        r"virsh (?:\S{1,80} ){0,12}restore\b|"
        r"saved image|[Ee]rror restoring|managed ?save image|[Ss]tateful start|"
        r"libvirt-guests.*[Rr]esum|while loading VM state|"
        r"restore from managed state|(?<![\w-])-?loadvm\b(?![_-]|\.c)|load_snapshot|"
        r"\bsnapshot-load\b|qmrestore|vmstate=",
    ),
    (
        Operation.SNAPSHOT,
        r"QEMU command '(?:transaction|block-commit|block-stream|blockdev-snapshot[\w-]*|"
        r"block_resize|blockdev-backup|drive-backup)'|"
        r"snapshot-(?:create|revert|delete|save)|(?:lxc|incus) snapshot|"
        r"(?:internal|external|disk|memory) snapshot|"
        r"(?:[Tt]ak|[Cc]reat)(?:e|ing) (?:a |the )?snapshot|[Dd]omainSnapshot|RevertToSnapshot|"
        r"checkpoint-create|\bsavevm\b(?!_|\.c| section|:)|qm (?:snapshot|rollback)|VM snapshot|"
        r"vmsnapshot",
    ),
    (
        Operation.SAVE,
        r"[Ff]ailed to save domain|virDomainSave|DomainManagedSave|managedsave|qm suspend|"
        r"virsh (?:\S{1,80} ){0,12}save\b|[Ss]tateful stop|[Ss]uspend to disk|migrate-to-file",
    ),
    (
        Operation.DEFINITION,
        r"\b[Uu]ndefin(?:e|ing)\b|[Ff]ailed to define|virDomainDefine|DomainDefineXML|"
        r"attach-device|"
        r"[Ff]ailed to attach|virDomainAttach|device_add|netdev_add|"
        r"(?:lxc|incus) config device add|[Ff]ail\w* to hot-?plug|hot-?plug failed",
    ),
    (
        Operation.START,
        r"[Ff]ailed to (?:start|create) domain|[Ee]rror starting domain|virDomainCreate|"
        r"DomainCreate|[Ee]rror creating libvirt domain|[Cc]ould not start|[Ss]tart failed|"
        r"[Ff]ailed to (?:start|spawn|boot|launch)|qm start|virsh (?:\S{1,80} ){0,12}start\b|"
        r"SyncVMI|create vmi|_create_guest|virt-install|vagrant|minikube|qemuProcessLaunch|"
        r"qemuProcessStart|exited while connecting to monitor|multipass|quickemu|rpower|"
        r"limactl|hostagent|virtcontainers|containerd-shim|\bcolima\b|"
        r"[$#] ?(?:sudo )?[\w./-]{0,200}(?:qemu-system-\w+|qemu-kvm) -(?!.{0,4000}-incoming)",
    ),
)
_COMPILED = tuple((operation, re.compile(pattern)) for operation, pattern in _SIGNS)
_LOAD = re.compile(r"load of migration failed|error while loading state|-incoming\b")
# A start that a user asked for and that loads a state: libvirt restores the guest's managed save.
_ASKED = re.compile(
    r"virDomainCreate|[Ff]ailed to start domain|[Ee]rror starting domain|"
    r"virsh (?:\S{1,80} ){0,12}start\b"
)
_LOADS = re.compile(r"load of migration failed|error while loading state")
_WEAK = re.compile(r"迁移|(?<!live_)[Mm]igrat(?!able\b|ion\.stateful)|-incoming\b")


def operation(texts: Iterable[str]) -> Operation:
    """What the lines of a failure say was being done; UNKNOWN when they do not.

    A save and a restore are migrations to and from a file: QEMU's words are the same, so its words
    alone make a migration only where nothing says otherwise.
    """
    text = "\n".join(texts)
    if _MIGRATION.search(text):
        return Operation.MIGRATION
    for which, pattern in _COMPILED:
        if pattern.search(text) and not (which is Operation.DEFINITION and _LOAD.search(text)):
            asked = which is Operation.START and _ASKED.search(text)
            saved = (asked or which is Operation.SNAPSHOT) and _LOADS.search(text)
            return Operation.RESTORE if saved else which
    return Operation.MIGRATION if _WEAK.search(text) else Operation.UNKNOWN


_HOST = (
    (re.compile(r"\b([Tt])he destination's host\b"), r"\1his host"),
    (re.compile(r"\b([Ss]tart|[Gg]ive) the destination (?=with\b|the\b|a\b)"), r"\1 the guest "),
    (
        re.compile(r"\bboth hosts provide\b"),
        "this host provides (virsh domcapabilities)",
    ),
    (re.compile(r"\b([Tt])he destination's QEMU\b"), r"\1his host's QEMU"),
    (re.compile(r"\b([Tt])he destination's\b"), r"\1his host's"),
    (re.compile(r"\b([Tt])he destination host\b"), r"\1his host"),
    (re.compile(r"\b([Tt])his destination\b"), r"\1his host"),
    (re.compile(r"\b([Tt])he destination\b"), r"\1his host"),
    (re.compile(r"\bon both hosts \(after a restore: on this one\)"), "on this host"),
    (re.compile(r"\ba model that both hosts have\b"), "a model that this host has"),
    (re.compile(r" on both sides \(to the same rate\)"), ""),
    (re.compile(r",? or migrate [^.;]*"), ""),
    (re.compile(r"; the migration itself was not reached"), ""),
    (re.compile(r"\brefuses (?:the|this) migration\b"), "refuses it"),
    (re.compile(r"\b(then )?migrate (?:it )?again\b"), r"\1try again"),
    (re.compile(r", then migrate\b(?! (?:with|over|to))"), ", then try again"),
    (re.compile(r"virsh migrate --xml(?: FILE)?(?: with)?"), "virsh edit:"),
    (re.compile(r" \(virsh edit:\)"), " (virsh edit)"),
    (re.compile(r"\b(?:that|which) both hosts have\b"), "that this host has"),
    (re.compile(r"; --dname for a migration|, --xml for a migration|; --xml for a migration"), ""),
    (re.compile(r", or another destination(?=[.;])"), ""),
)
_TWO_SIDES = re.compile(
    r"migrat|\bboth (?:hosts|sides)\b|\bthe source|other (?:side|host)|\bmoved?\b|takes guests"
)
# A state that one host saved and loads: both were QEMUs, of that host as a rule.
_OF_SAVED = (
    (
        re.compile(r"\b([Tt])he (?:source|destination) (?:and|or) the (?:source|destination)\b"),
        r"\1he two QEMUs",
    ),
    (re.compile(r"\b([Tt])he destination('s host|'s QEMU| host)\b"), r"\1his\2"),
    (re.compile(r"\b([Tt])(?:he|his) destination\b"), r"\1his QEMU"),
    (re.compile(r"\b([Tt])he two sides\b"), r"\1he two QEMUs"),
    (re.compile(r"\b([Tt])he source(?='s\b| has\b)"), r"\1he saved state"),
    (re.compile(r"\bSource (?=0x|\d)"), "Saved state "),
    (re.compile(r"\bsource (?=0x|\d)"), "saved state "),
    (re.compile(r"\bdestination (?=0x|\d)"), "this QEMU "),
    (re.compile(r"\b([Tt])he source\b(?! of)"), r"\1he QEMU that saved it"),
)
# Clauses that hold for a guest that moves only, and what compares with another side.
_MOVES = re.compile(
    r"(?:(?<=[.;:] )|^)(?:[Aa]|[Ff]or a) (?:guest that moves|migration)\b[^.;]*[.;] ?|"
    r"[;,] (?:for )?a (?:guest that moves|migration) [^.;]*|"
    r"[;,] this host needs the source's(?=[.;])|"
    r",? (?:as|like) (?:on |at |with )?the source(?: has(?: it)?| is| does)?(?=[ ,.;)])|"
    r"[;,] the guest (?:is still|stays|goes on) on the source[^.;]*|"
    r",? (?:alike )?(?:on|of) both (?:sides|hosts)\b(?! of| or)"
)
# Not the source of a disk's copy.
_SOURCES = re.compile(r"\bthe source's\b(?! (?:size|image|disk|file))")
_SOURCE = re.compile(r"\bthe source\b(?!'s| (?:image|file|disk|volume|snapshot|pool|dataset|of)\b)")

# A save is a migration into a file or an image, and what blocks one blocks the other.
_SAVING = (
    (re.compile(r"\b(blocks?) (?:the|a|every) migration\b"), r"\1 the saving of the VM's state"),
    (re.compile(r"\bfor the migration and attach one [ot][no] this host\b"), "and attach it later"),
    (re.compile(r"\bfor the migration\b"), "for that time"),
    (re.compile(r"\bduring the migration\b"), "during it"),
    (re.compile(r"\bbefore the migration\b"), "before it"),
    (re.compile(r"\bafter the migration\b"), "after it"),
)


def spoken(text: str, which: Operation) -> str:
    """*text*, written for migrations, as it reads for another operation."""
    if which in (Operation.MIGRATION, Operation.UNKNOWN) or not text:
        return text
    for pattern, other in _HOST:
        text = pattern.sub(other, text)
    if which is Operation.RESTORE:
        text = _MOVES.sub("", text)
        text = _SOURCE.sub("the host that saved it", _SOURCES.sub("the saving host's", text))
    elif which is Operation.START:
        text = _MOVES.sub("", text)
        text = _SOURCES.sub("the earlier host's", text)
        text = _SOURCE.sub("the host that it ran on before", text)
    elif which in (Operation.SAVE, Operation.SNAPSHOT):
        text = _SOURCE.sub("this host", _SOURCES.sub("this host's", _MOVES.sub("", text)))
        for pattern, other in _SAVING:
            text = pattern.sub(other, text)
    return text.strip()


BOOT_ANEW = (
    "If the state in memory may be lost, virsh start NAME --force-boot (or virsh "
    "managedsave-remove NAME) boots the guest from its disks."
)


CUT_FILE = (
    "The saved state ends early or is damaged; nothing sends it now. Compare the file's size and "
    "time with the end of the save (disk full, a crash, a copy that broke off: the saving host's "
    "journal at that time), and take an intact copy or an older save."
)


SAVE_ANEW = "Boot guests afresh after an update of QEMU, rather than keep old saved states."
FITS = (
    "The saved state fits only the QEMU and the definition that it was saved with (machine type, "
    "devices, their addresses and counts): load it with those, or drop it and boot the guest from "
    "its disks"
)
DROPPED = "Where that does not help, drop the saved state and boot the guest from its disks"
HOW = (
    ": virsh managedsave-remove NAME or virsh start NAME --force-boot; bare QEMU: start without "
    "-loadvm; a manager: discard the saved state or snapshot there."
)
_DROPS = re.compile(r"managedsave-remove|--force-boot|without -loadvm|qm rollback")
# Sentences that have no sense where one host loads what was saved.
_OF_TWO = re.compile(
    r"^If it is equal|\bboth\b|\bsides?\b|other (?:host|side)|[Mm]igrat(?!able\b)|"
    r"'s (?:QEMU )?log\b|same (?:kernel|processor)s? on"
)
_SENTENCE = re.compile(r"(?<=[a-z)\]'\"][.;]) +")


def saved(text: str) -> str:
    """*text*, of a message of the load, as it reads where a saved state is loaded."""
    for pattern, other in _OF_SAVED:
        text = pattern.sub(other, text)
    return text


def of_saved(now: str, *, known: bool) -> str:
    """What helps against a saved state that QEMU refuses.

    :param now: what helps a migration.
    :param known: *now* is of the very fault.
    """
    kept = [part for part in _SENTENCE.split(saved(now)) if part and not _OF_TWO.search(part)]
    for at, part in enumerate(kept):
        follows = kept[at + 1][:1] if at + 1 < len(kept) else "A"
        if part.endswith(";") and follows.isupper():
            kept[at] = f"{part[:-1]}."
    kept[:1] = [f"{part[:1].upper()}{part[1:]}" for part in kept[:1]]
    drop = f"{DROPPED if known and kept else FITS}{HOW}"
    return " ".join(kept if _DROPS.search(now) else [*kept, drop])


def of_managed_save(texts: Iterable[str]) -> bool:
    """Did a start ask for the guest: does it load its managed save?"""
    return _ASKED.search("\n".join(texts)) is not None


def applies(text: str, which: Operation) -> bool:
    """Does a rule's "Prevent" have anything to do with the operation?"""
    return which in (Operation.MIGRATION, Operation.UNKNOWN) or not _TWO_SIDES.search(text)
