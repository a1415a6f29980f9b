"""What helps against the kernel's error at the end of a line that has no remedy of its own."""

from __future__ import annotations

import re

# The C library's words (glibc), and what helps; {what} is the file, socket or device of the line.
_REMEDIES = (
    (
        "Permission denied",
        "Give the user that the program runs as (libvirt-qemu, qemu) the right to {what}: owner "
        "and mode of it and of every folder above it (a home directory keeps it out), "
        "SELinux (ausearch -m avc, restorecon), AppArmor (journalctl -k | grep -i apparmor); for a "
        "device also its group and udev rule.",
    ),
    (
        "Operation not permitted",
        "The program lacks a right of root's for {what}: run libvirt as root (qemu:///system), "
        "give the container the capability and the device, or see NFS' root_squash and SELinux.",
    ),
    (
        "No such file or directory",
        "Make {what} exist on that host under this name: mount the storage, install the package, "
        "load the module, or start what makes the socket; or correct the name in the definition.",
    ),
    (
        "No such device",
        "That host has no {what}: load its kernel module, create or rename the interface, or name "
        "one that the host has in the definition (ip link; lspci; ls /dev).",
    ),
    (
        "No space left on device",
        "Free space where {what} lies on that host (df -h, df -i; thin pool: lvs; Ceph: ceph df).",
    ),
    (
        "Cannot allocate memory",
        "Free memory or huge pages on that host (free -m, /proc/meminfo; the limit of a cgroup or "
        "container; LimitMEMLOCK for passed-through devices), or choose a host with more.",
    ),
    (
        "Address already in use",
        "See who has the port or socket (ss -lntup, ss -lx) and end it, or use another; a socket "
        "file that is left over is removed.",
    ),
    (
        "Connection refused",
        "Start what should listen at {what} on that host, or open the firewall on the way.",
    ),
    (
        "Connection timed out",
        "See that {what} can be reached from that host (nc -vz): a firewall drops, or the other "
        "end is down.",
    ),
    (
        "Device or resource busy",
        "See who has {what} (fuser -v, lsof; another guest; a driver of the host; lspci -k) and "
        "free it.",
    ),
    (
        "Read-only file system",
        "Mount the storage of {what} read-write on that host (a file system with errors turns "
        "itself read-only: see the kernel's log), or mark the disk <readonly/>.",
    ),
    (
        "Too many open files",
        "Raise the limit: max_files in qemu.conf, LimitNOFILE of the daemon's unit.",
    ),
    (
        "Operation not supported",
        "The file system, kernel or hardware under {what} cannot do it (labels or direct I/O on "
        "NFS and FUSE, a kernel option that is off): change the option that needs it, or use "
        "another host or file system.",
    ),
)
_NAMED = re.compile(
    r"interface (?P<interface>[\w.@-]+)|'(?P<quoted>/[^']+)'|"
    r"(?:path|file|filename)[=:]\"?(?P<option>/[^,\s\"']+)|"
    r"(?P<bare>/(?:dev|run|var|etc|srv|home|mnt|tmp|opt|sys|usr)/[^\s,'\":]+)"
)


def remedy(words: str) -> str:
    """What helps against the error at the end of *words*; "" when it ends in none."""
    bare = words.rstrip(" .'\"»)]}")
    found = next((text for error, text in _REMEDIES if bare.endswith(error)), "")
    if not found:
        return ""
    named = list(_NAMED.finditer(words))
    what = next((name for name in named[-1].groups() if name), "") if named else ""
    return found.replace("{what}", what or "what the line names")
