"""Every option of QEMU 4.1 to 11.1: does it take an argument, and what is its inert form?

From ``qemu-options.hx`` of those releases (``-help`` of every release in the lab is held against it
by ``tests/real/test_allow_lists.py``), with Proxmox's own ``-id``. What is not in this table never
reaches a QEMU that is started here.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Part(StrEnum):
    """What becomes of an option when a command line is made inert."""

    KEEP = "keep"
    """It names nothing of the host and is handed on; its members are still held against the lists
    of properties."""
    READ = "read"
    """It names files that are only read; they must be regular files, or folders for ``-L``."""
    STAND_IN = "stand-in"
    """A handler replaces its host's part."""
    DROP = "drop"
    """It leaves no trace in the machine's own stream and is left out."""
    SILENT = "silent"
    """Left out, and not worth a note."""
    EXPAND = "expand"
    """It becomes other options before anything else is looked at."""
    REFUSE = "refuse"
    """There is no verdict for such a guest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class QemuOption:
    """A row of the table.

    :ivar argument: it takes the next word, whatever that looks like (``lookup_opt``).
    :ivar blanks: its value may hold blanks, so ``ps`` output shows it in pieces.
    :ivar implied_key: the key that its first value without ``=`` belongs to
        (``implied_opt_name``); empty when it has none.
    :ivar dated: it is left out, and not every release knows it.
    :ivar host: what of the host it names or does; empty when nothing.
    """

    name: str
    argument: bool
    blanks: bool
    part: Part
    implied_key: str = ""
    dated: bool = False
    host: str = ""


# Name; flag or text (text*: the value may hold blanks); implied key; what becomes of it (drop!: it
# is dated); why.
_TABLE = """
accel                   text  accel    stand-in
acpitable               text* -        stand-in comes with RAM
action                  text  -        keep
add-fd                  text  -        drop     descriptors of the caller
alt-grab                flag  -        drop!
append                  text* -        drop     comes with RAM
async-teardown          flag  -        drop!
audio                   text  driver   stand-in
audio-help              flag  -        keep
audiodev                text  driver   stand-in
balloon                 text  -        keep
bios                    text  -        read     reads
blockdev                text* driver   stand-in
boot                    text  order    stand-in splash out
bt                      text  -        keep
cdrom                   text* -        stand-in
chardev                 text* backend  stand-in
chroot                  text  -        drop!    of the host
clock                   text  -        drop!
compat                  text  -        keep
cpu                     text  model    stand-in
ctrl-grab               flag  -        drop!
curses                  flag  -        drop!    display
d                       text  -        silent
D                       text  -        silent   writes a file
daemonize               flag  -        silent   goes into the background
debugcon                text  -        stand-in
device                  text* driver   stand-in properties
dfilter                 text  -        drop
display                 text  type     silent   display
drive                   text* -        stand-in
dtb                     text  -        drop     comes with RAM
dump-vmstate            text  -        drop     writes a file
dumpdtb                 text  -        drop!    writes a file
echr                    text  -        drop
enable-fips             flag  -        drop!
enable-kvm              flag  -        stand-in
enable-sync-profile     flag  -        drop
fda                     text* -        stand-in
fdb                     text  -        stand-in
fsdev                   text* fsdriver stand-in
full-screen             flag  -        drop
fw_cfg                  text* name     stand-in files out
g                       text  -        keep
gdb                     text  -        drop     listens or connects
global                  text  -        stand-in properties
h                       flag  -        keep
hda                     text* -        stand-in
hdachs                  text  -        keep
hdb                     text* -        stand-in
hdc                     text* -        stand-in
hdd                     text* -        stand-in
help                    flag  -        keep
icount                  text  shift    stand-in rrfile out
id                      text  -        drop
igd-passthru            text  -        keep
incoming                text  -        drop     listens, connects or runs a command
initrd                  text* -        drop     comes with RAM
iscsi                   text  -        drop     connects
jitdump                 flag  -        drop!    writes a file
k                       text  -        drop
kernel                  text* -        drop     comes with RAM
L                       text  -        read     folders to read
loadvm                  text  -        drop     reads a disk
m                       text  size     keep
M                       text  -        keep
machine                 text  type     stand-in properties
mem-path                text  -        drop
mem-prealloc            flag  -        drop
mon                     text  chardev  silent   monitor
monitor                 text  -        silent   monitor
msg                     text  -        silent
mtdblock                text  -        stand-in
name                    text* -        silent
net                     text  type     stand-in
netdev                  text  type     stand-in
nic                     text  type     stand-in
no-acpi                 flag  -        keep
no-fd-bootchk           flag  -        keep
no-frame                flag  -        drop!
no-hpet                 flag  -        keep
no-kvm                  flag  -        drop!
no-kvm-irqchip          flag  -        keep
no-kvm-pit              flag  -        keep
no-kvm-pit-reinjection  flag  -        keep
no-quit                 flag  -        drop!
no-reboot               flag  -        keep
no-shutdown             flag  -        keep
no-tco                  flag  -        keep
no-user-config          flag  -        keep
nodefaults              flag  -        keep
nodefconfig             flag  -        keep
nographic               flag  -        stand-in
numa                    text  type     keep
object                  text* qom-type stand-in types and properties
old-param               flag  -        keep
only-migratable         flag  -        keep
option-rom              text  romfile  read     reads
overcommit              text  -        silent
parallel                text  -        stand-in
perfmap                 flag  -        drop!    writes a file
pflash                  text  -        stand-in
pidfile                 text  -        silent   writes a file
plugin                  text  -        drop     loads code into the program
portrait                flag  -        drop!
preconfig               flag  -        drop
prom-env                text* -        keep
qmp                     text  -        drop     monitor
qmp-pretty              text  -        drop     monitor
qtest                   text  -        drop     listens or connects
qtest-log               text  -        drop     writes a file
readconfig              text  -        expand   its sections are options
realtime                text  -        drop!
rotate                  text  -        drop!
rtc                     text  base     keep
run-with                text  -        drop!    of the host
runas                   text  -        drop!    of the host
S                       flag  -        silent
s                       flag  -        drop     listens
sandbox                 text  -        silent   our own instead
sd                      text  -        stand-in
sdl                     flag  -        drop!    display
seed                    text  -        drop
semihosting             flag  -        drop     the guest calls the host
semihosting-config      text  -        drop     the guest calls the host
serial                  text  -        stand-in
set                     text  -        expand   folded into its option
shim                    text  -        drop!    comes with RAM
show-cursor             flag  -        drop!
singlestep              flag  -        drop!
smbios                  text* -        stand-in files out
smp                     text  cpus     stand-in
snapshot                flag  -        drop
soundhw                 text  -        keep
spice                   text* -        drop     listens
tb-size                 text  -        drop!
tdf                     flag  -        drop!
time                    text  -        keep
tpmdev                  text  type     stand-in
trace                   text  -        silent   writes a file
usb                     flag  -        keep
usbdevice               text  -        stand-in
uuid                    text  -        keep
version                 flag  -        keep
vga                     text  -        keep
virtfs                  text* fsdriver stand-in
virtfs_synth            flag  -        keep     4.1 and 4.2 alone
virtioconsole           text  -        stand-in
vnc                     text* -        drop     listens
watchdog                text  -        keep
watchdog-action         text  -        keep
win2k-hack              flag  -        drop
writeconfig             text  -        drop!    writes a file
xen-attach              flag  -        refuse
xen-create              flag  -        refuse
xen-domid               text  -        refuse
xen-domid-restrict      flag  -        refuse
"""


def _row(line: str) -> QemuOption:
    name, argument, key, part, *host = line.split(maxsplit=4)
    return QemuOption(
        name=name,
        argument=argument != "flag",
        blanks=argument == "text*",
        part=Part(part.rstrip("!")),
        implied_key=key.strip("-"),
        dated=part.endswith("!"),
        host="".join(host),
    )


OPTIONS = {row.name: row for row in map(_row, _TABLE.strip().splitlines())}
FLAGS = frozenset(name for name, row in OPTIONS.items() if not row.argument)
KNOWN = frozenset(OPTIONS)
BLANKS_IN_VALUE = frozenset(name for name, row in OPTIONS.items() if row.blanks)
IMPLIED_KEY = {name: row.implied_key for name, row in OPTIONS.items() if row.implied_key}
_HOST_ONLY_TEXT = """name drive blockdev chardev netdev vnc spice display qmp mon monitor pidfile D
    sandbox msg incoming loadvm kernel initrd append hda hdb hdc hdd cdrom"""
HOST_ONLY = frozenset(_HOST_ONLY_TEXT.split())
"""Options that name what is the host's own: a machine's loader is the same with others."""
MERGED = frozenset({"machine", "cpu", "m", "smp", "boot", "rtc", "name"})
"""Options of which QEMU makes one, however often they are given (``merge_lists``)."""
DATED = frozenset(name for name, row in OPTIONS.items() if row.dated)
