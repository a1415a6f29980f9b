"""The options that QEMU 4.1 to 11.1 know, and which of them take no argument.

From ``qemu-options.def`` of those releases, with Proxmox's own ``-id``. Needed to read a line as
``lookup_opt`` in ``softmmu/vl.c`` does: an option with an argument takes the next word whatever it
looks like; and to tell an option from a word of a value in ``ps`` output.
"""

from __future__ import annotations

FLAGS = frozenset(
    ["h", "help", "version", "mem-prealloc", "snapshot", "usb", "nographic", "curses", "no-frame", "alt-grab", "ctrl-grab", "no-quit", "sdl", "portrait", "full-screen", "win2k-hack", "no-fd-bootchk", "no-acpi", "no-hpet", "no-tco", "singlestep", "preconfig", "S", "s", "enable-kvm", "no-kvm", "no-kvm-irqchip", "no-kvm-pit", "no-kvm-pit-reinjection", "xen-create", "xen-attach", "xen-domid-restrict", "no-reboot", "no-shutdown", "daemonize", "show-cursor", "nodefaults", "async-teardown", "nodefconfig", "no-user-config", "enable-fips", "enable-sync-profile", "old-param", "semihosting", "only-migratable", "audio-help", "perfmap", "jitdump"]
)

WITH_ARGUMENT = frozenset(
    ["machine", "M", "cpu", "accel", "smp", "numa", "add-fd", "set", "global", "boot", "m", "mem-path", "k", "audio", "audiodev", "soundhw", "device", "name", "uuid", "fda", "fdb", "hda", "hdb", "hdc", "hdd", "cdrom", "blockdev", "drive", "mtdblock", "sd", "pflash", "hdachs", "fsdev", "virtfs", "virtfs_synth", "iscsi", "usbdevice", "display", "spice", "rotate", "vga", "g", "vnc", "acpitable", "smbios", "netdev", "nic", "net", "chardev", "tpmdev", "bt", "bios", "kernel", "shim", "append", "initrd", "dtb", "compat", "fw_cfg", "serial", "parallel", "monitor", "qmp", "qmp-pretty", "mon", "debugcon", "pidfile", "realtime", "overcommit", "gdb", "d", "D", "dfilter", "seed", "L", "xen-domid", "loadvm", "option-rom", "clock", "rtc", "icount", "watchdog", "watchdog-action", "echr", "virtioconsole", "tb-size", "incoming", "chroot", "runas", "prom-env", "semihosting-config", "sandbox", "readconfig", "writeconfig", "trace", "plugin", "run-with", "msg", "dump-vmstate", "object", "qtest", "qtest-log", "action", "id", "dumpdtb", "tdf", "time", "igd-passthru", "balloon"]
)

KNOWN = FLAGS | WITH_ARGUMENT

BLANKS_IN_VALUE = frozenset(
    ["append", "name", "smbios", "fw_cfg", "drive", "blockdev", "device", "chardev", "object", "acpitable", "vnc", "spice", "cdrom", "hda", "hdb", "hdc", "hdd", "fda", "kernel", "initrd", "virtfs", "fsdev", "prom-env"]
)
"""Options whose value may hold blanks, so that ``ps`` output shows it in pieces."""
