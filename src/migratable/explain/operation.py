"""What was being done: a migration, start, restore, save, snapshot or change of a definition.

The catalogue speaks of migrations, as most of its messages are met in one. The same words of QEMU
and libvirt stand in the log of a start, where there is no other host: the texts then read as
:mod:`migratable.messages.setting` has it.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Iterable

from migratable.messages.setting import DROPS, Setting, said


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
    r"(?<!load of )[Mm]igration (?:\w+ |of (?:disk|domain) \S+ )?fail|"
    r"[Ff]ailed (?:to )?migrat|migrate failure|evacuat|"
    r"-incoming[ =]'?(?:tcp|unix|rdma|defer)|qemu\+(?:ssh|tcp|tls)://|"
    r"[Mm]igrat(?:e|ing) (?:VM|domain)|"
    r"\bvm\.migrate\b|\b(?:VM|VDI)\.(?:pool_)?migrate\b|[Pp]re-migrat(?:e|ion)|"
    r"[Ff]ailed to accept instance|"
    r"starting migration of (?:VM|CT) |ERROR: migration (?:aborted|problems)|"
    r"replication job|\bpvesm import\b|"
    r"\(mig(?:src|dst|mon)/|MigrateV(?:m|DS)|\bmigrationCreate\b|MigrateToURI|PrepareForMigration|"
    r"moveInstance|[Ii]nstance move|\(qemu\) migrate\b"
)
# libvirt saves a guest, with its memory in a snapshot too, by a migration into a file.
_SENDS = re.compile(r"QEMU command 'migrate(?:-incoming)?'")
_TO_A_FILE = (Operation.SAVE, Operation.RESTORE, Operation.SNAPSHOT)
_SIGNS = (
    (
        Operation.RESTORE,
        r"[Ff]ailed to restore domain|virDomainRestore|DomainRestore|"
        r"virsh (?:\S{1,80} ){0,12}restore\b|"
        r"saved image(?! requires)|from hibernation|[Ee]rror restoring|managed ?save image|"
        r"[Ss]tateful start|"
        r"libvirt-guests.*[Rr]esum|while loading VM state|"
        r"[Ff]ailed to load vmstate|\bloading snapshot\b|icount replay|"
        r"[Ff]ailed to revert snapshot|"
        r"[Ee]rror running snapshot|-softmmu: .*(?:savevm|of migration|loading state)|"
        r"restore from managed state|restoring checkpoint|"
        r"Resuming suspended VM|\bqmrollback\b|"
        r"-loadstate |==> \S{1,80}: Resuming domain|Error while resuming|"
        r"(?<![\w-])-?loadvm\b(?![_-]|\.c)|load_snapshot|"
        r"\bsnapshot-load\b|qmrestore|vmstate=|"
        r"-incoming[ =]['\"]?(?:file:|exec: ?['\"]?(?:/\S*/)?(?:cat|zstdcat|gunzip|gzip|"
        r"zcat|zstd|xz|xzcat|lz4|dd|pigz|lzop|bunzip2|bzip2|<)\b)",
    ),
    (
        Operation.SNAPSHOT,
        r"QEMU command '(?:transaction|block-commit|block-stream|blockdev-snapshot[\w-]*|"
        r"block_resize|blockdev-backup|drive-backup)'|"
        r"snapshot-(?:create|revert|delete|save)|(?:lxc|incus) snapshot|"
        r"(?:internal|external|disk|memory) snapshot|"
        r"(?:[Tt]ak|[Cc]reat)(?:e|ing) (?:a |the )?snapshot|[Dd]omainSnapshot|RevertToSnapshot|"
        r"checkpoint-create|\bsavevm\b(?!_|\.c| section|:)|qm (?:snapshot|rollback)|VM snapshot|"
        r"vmsnapshot|saving VM state and RAM using|\bqmsnapshot\b|"
        # QEMU: migration/savevm.c, block/snapshot.c; libvirt: virdomainmomentobjlist.c.
        r"is writable but does not support snapshots|vmstate block device '|"
        r"already exists in one or more devices|while writing VM(?: state)?\b|"
        r"(?:Could not|Error while) (?:create|creating|delete|deleting) snapshot|"
        r"domain (?:moment|checkpoint|snapshot) \S+ already exists|"
        r"[Dd]omain (?:snapshot|checkpoint) not found|checkpoint inconsistent|virtnbdbackup",
    ),
    (
        Operation.SAVE,
        r"[Ff]ailed to save domain|save_memory_state|, in suspend\b|virDomainSave|"
        r"DomainManagedSave|managedsave|qm suspend|"
        r"virsh (?:\S{1,80} ){0,12}save\b|libvirt-guests.*Suspending|"
        r"[Ss]tateful stop|[Ss]uspend(?:ing VM)? to disk|migrate-to-file",
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
        r"(?:[Ff]ailed|[Uu]nable) to (?:start|create) domain|[Ee]rror starting domain|"
        r"virDomainCreate|DomainCreate|[Ee]rror creating libvirt domain|[Cc]ould not start|"
        r"[Ss]tart failed|[Ff]ailed to (?:start|spawn|boot|launch)|qm start|"
        r"virsh (?:\S{1,80} ){0,12}start\b|SyncVMI|create vmi|_create_guest|virt-install|"
        r"vagrant|minikube|qemuProcessLaunch|"
        r"qemuProcessStart|exited while connecting to monitor|multipass|quickemu|rpower|"
        r"limactl|hostagent|virtcontainers|containerd-shim|\bcolima\b|"
        r"[$#] ?(?:sudo )?[\w./-]{0,200}(?:qemu-system-\w+|qemu-kvm) -(?!.{0,4000}-incoming)",
    ),
)
_COMPILED = tuple((operation, re.compile(pattern)) for operation, pattern in _SIGNS)
_LOAD = re.compile(r"load of migration failed|error while loading state|-incoming\b")
# A start that a user asked for and that loads a state: libvirt restores the guest's managed save.
_ASKED = re.compile(
    r"virDomainCreate|(?:[Ff]ailed|[Uu]nable) to start domain|[Ee]rror starting domain|"
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
    sends = _SENDS.search(text) is not None
    for which, pattern in _COMPILED:
        if sends and which not in _TO_A_FILE:
            continue
        if pattern.search(text) and not (which is Operation.DEFINITION and _LOAD.search(text)):
            asked = which is Operation.START and _ASKED.search(text)
            saved = (asked or which is Operation.SNAPSHOT) and _LOADS.search(text)
            return Operation.RESTORE if saved else which
    return Operation.MIGRATION if sends or _WEAK.search(text) else Operation.UNKNOWN


def setting(which: Operation, *, of_the_load: bool) -> Setting:
    """How texts read for an operation.

    :param of_the_load: they are about a message that only a load prints.
    """
    if which is Operation.RESTORE and of_the_load:
        return Setting.LOADING
    return _SETTINGS.get(which, Setting.MOVING)


_SETTINGS = {
    Operation.START: Setting.STARTING,
    Operation.DEFINITION: Setting.STARTING,
    Operation.SAVE: Setting.SAVING,
    Operation.SNAPSHOT: Setting.SAVING,
    Operation.RESTORE: Setting.RESTORING,
}


BOOT_ANEW = (
    "If the state in memory may be lost and the guest runs nowhere, virsh start NAME "
    "--force-boot (or virsh managedsave-remove NAME) boots it from its disks."
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
    " (when it runs nowhere): virsh managedsave-remove NAME or virsh start NAME --force-boot; "
    "bare QEMU: start without -loadvm; a manager: discard the saved state or snapshot there."
)


def of_saved(now: str, *, known: bool, how: str = "") -> str:
    """What helps against a saved state that QEMU refuses: *now*, and how to do without the state.

    :param how: the manager's own way to do without.
    :param now: what helps a migration, with its choices (:mod:`migratable.messages.setting`).
    :param known: *now* is of the very fault.
    """
    if DROPS in now:
        return now
    left = said(now, Setting.LOADING)
    without = f" (when it runs nowhere): {how}" if how else HOW
    return f"{left} {DROPPED if known and left else FITS}{without}".strip()


def of_managed_save(texts: Iterable[str]) -> bool:
    """Did a start ask for the guest: does it load its managed save?"""
    return _ASKED.search("\n".join(texts)) is not None
