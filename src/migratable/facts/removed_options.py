"""Options that not every release has, and their replacements.

From ``docs/about/removed-features.rst`` of QEMU 5.2 to 11.1.
"""

from __future__ import annotations

INSTEAD = {
    "no-hpet": ("machine", "hpet=off"),
    "no-acpi": ("machine", "acpi=off"),
    "no-kvm": ("accel", "tcg"),
    "no-kvm-irqchip": ("machine", "kernel_irqchip=off"),
    "no-kvm-pit-reinjection": ("global", "kvm-pit.lost_tick_policy=discard"),
    "tdf": ("rtc", "driftfix=slew"),
    "localtime": ("rtc", "base=localtime"),
    "startdate": ("rtc", "base={}"),
    "singlestep": ("accel", "tcg,one-insn-per-tb=on"),
    "watchdog": ("device", "{}"),
    "soundhw": ("audio", "driver=none,model={}"),
    "chroot": ("run-with", "chroot={}"),
    "runas": ("run-with", "user={}"),
    "tb-size": ("accel", "tcg,tb-size={}"),
    "sdl": ("display", "sdl"),
    "curses": ("display", "curses"),
}
"""Option name to the option and the value that do the same; ``{}`` is the old option's value."""

VALUE = {
    "startdate": "DATE",
    "watchdog": "MODEL",
    "chroot": "DIR",
    "runas": "USER",
    "tb-size": "N",
}
"""What stands for that value where a person reads it."""

REMEDY = {
    "realtime": "write -overcommit mem-lock=on (or off) for -realtime mlock",
    "enable-fips": "leave it out; the crypto library follows the host by itself",
    "balloon": "write -device virtio-balloon",
    "async-teardown": "write -run-with async-teardown=on",
    "smb": "write -netdev user,smb=DIR",
    "run-with": "write its parts as -runas USER and -chroot DIR for this release",
    "audio": "write -audiodev with -device for the card",
    "action": "write -no-reboot, -no-shutdown or -watchdog-action for its parts",
    "show-cursor": "write -display …,show-cursor=on",
    "drive-mirror": "leave it out",
    "writeconfig": "leave it out",
    "audio-help": "leave it out",
    "portrait": "leave it out",
    "sandbox": "leave it out; this program was built without seccomp",
    "spice": "take a program that was built with SPICE, or leave it out",
    "id": "leave it out; only Proxmox's own program knows it",
}
"""The others, where it takes more than that."""
