"""What an errno of the host means by itself: the part of an error that the kernel, not QEMU, says.

The C library's texts (glibc; musl and Go write some of them small). A message has words of its own
for the errnos that it is met with (:class:`migratable.messages.variants.Variant`); for others the
errno's general meaning stands here, since a remedy for another errno would not help.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from migratable.messages.recognise import Match


@dataclass(frozen=True, slots=True, kw_only=True)
class Errno:
    """An error of the kernel.

    :ivar means: ends the sentence "…, taken alone, means: ".
    :ivar now: the first thing to do where the message has no words for it; {what} is the file,
        socket or device of the line.
    """

    means: str
    now: str


_PATH = "Look at the file or device that the line names, on the host of this log"
_NETWORK = "From the host of this log try the same address and port (nc -vz HOST PORT)"
ERRNOS = {
    "Operation not permitted": Errno(
        means="the kernel forbids the call itself (EPERM): a capability is missing, a container's "
        "seccomp profile or a lockdown forbids it, or the file is immutable.",
        now="The program lacks a right of root's for {what}: run libvirt as root "
        "(qemu:///system), give the container the capability and the device, or see NFS' "
        "root_squash and SELinux.",
    ),
    "Permission denied": Errno(
        means="the program lacks the right: owner, mode, SELinux, AppArmor.",
        now="Give the user that the program runs as (libvirt-qemu, qemu) the right to {what}:"
        " owner and mode of it and of every folder above it (a home directory keeps it "
        "out), SELinux (ausearch -m avc, restorecon), AppArmor (journalctl -k | grep -i "
        "apparmor); for a device also its group and udev rule.",
    ),
    "No such file or directory": Errno(
        means="a file or directory of that path is missing on that host.",
        now="Make {what} exist on that host under this name: mount the storage, install the "
        "package, load the module, or start what makes the socket; or correct the name in"
        " the definition.",
    ),
    "No such device or address": Errno(
        means="the device file is there and has no device or server behind it.",
        now=f"{_PATH}: load its module, plug it in, or start the server behind the socket.",
    ),
    "No such device": Errno(
        means="the host lacks the device (kernel module, hardware, interface).",
        now="That host lacks {what}: load its kernel module, create or rename the interface,"
        " or name one that the host has in the definition (ip link; lspci; ls /dev).",
    ),
    "No such process": Errno(
        means="the process had ended by then.",
        now="Look why that process ended: its own log and the kernel's (journalctl -k).",
    ),
    "Invalid argument": Errno(
        means="the kernel does not take a value that it was given (size, alignment, flag, address) "
        "or the file system lacks the operation (O_DIRECT).",
        now="Compare the sizes, alignments and flags that the line and the command line name with "
        "what this host's kernel and file system take.",
    ),
    "Cannot allocate memory": Errno(
        means="the host had no memory (or no huge pages) left for it, or a limit (cgroup, locked "
        "memory) was reached.",
        now="Free memory or huge pages on that host (free -m, /proc/meminfo; the limit of a "
        "cgroup or container; LimitMEMLOCK for passed-through devices), or choose a host "
        "with more.",
    ),
    "No space left on device": Errno(
        means="a disk or file system of that host is full, or a table of the kernel.",
        now="Free space where {what} lies on that host (df -h, df -i; thin pool: lvs; Ceph: "
        "ceph df).",
    ),
    "Disk quota exceeded": Errno(
        means="the user's or project's quota on that file system is used up.",
        now="Raise the quota, or free space (quota -u USER, xfs_quota).",
    ),
    "File too large": Errno(
        means="the file would be larger than the file system or a limit (ulimit -f) allows.",
        now="Put the file on another file system, or raise ulimit -f.",
    ),
    "Input/output error": Errno(
        means="the device, its driver or the storage behind it failed.",
        now="Look at the kernel's lines of that moment (dmesg, journalctl -k) for the device or "
        "storage, and at the log of its server or driver.",
    ),
    "Read-only file system": Errno(
        means="the file system is mounted read-only (or was made so after errors).",
        now="Mount the storage of {what} read-write on that host (a file system with errors "
        "turns itself read-only: see the kernel's log), or mark the disk <readonly/>.",
    ),
    "Address already in use": Errno(
        means="another program has the port or socket.",
        now="See who has the port or socket (ss -lntup, ss -lx) and end it, or use another; a"
        " socket file that is left over is removed.",
    ),
    "Cannot assign requested address": Errno(
        means="the address is none of this host's.",
        now="Name an address that this host has (ip addr), or 0.0.0.0 or [::]; see what the name "
        "resolves to here (getent ahosts NAME).",
    ),
    "Connection refused": Errno(
        means="nothing listens at the other end, or a firewall refuses.",
        now="Start what should listen at {what} on that host, or open the firewall on the way.",
    ),
    "Connection timed out": Errno(
        means="the other end does not answer: network or firewall.",
        now="See that {what} can be reached from that host (nc -vz): a firewall drops, or the"
        " other end is down.",
    ),
    "No route to host": Errno(
        means="the other host cannot be reached: network or firewall.",
        now=f"{_NETWORK}: is that host up, and the address right? Else a firewall rejects, or the "
        "route is missing.",
    ),
    "Host is down": Errno(
        means="the other host does not answer.",
        now=f"{_NETWORK}; start that host or its service.",
    ),
    "Network is unreachable": Errno(
        means="this host has no route to that network (an IPv6 address without IPv6?).",
        now="Look at ip route get ADDRESS on this host; use an address of a network that it has.",
    ),
    "Connection reset by peer": Errno(
        means="the other end went away; its log says why.",
        now="Read the other end's log at that moment.",
    ),
    "Broken pipe": Errno(
        means="the other end went away; its log says why.",
        now="Read the other end's log at that moment.",
    ),
    "Device or resource busy": Errno(
        means="something else uses the device or file.",
        now="See who has {what} (fuser -v, lsof; another guest; a driver of the host; lspci "
        "-k) and free it.",
    ),
    "Text file busy": Errno(
        means="the file is being run or written by another program.",
        now="Wait until the other program has finished (lsof FILE), then try again.",
    ),
    "File exists": Errno(
        means="what should be made is there already.",
        now="Look whether a guest uses what is there; if none does, remove it and try again.",
    ),
    "Operation not supported": Errno(
        means="the file system, device or kernel does not have the operation.",
        now="The file system, kernel or hardware under {what} cannot do it (labels or direct "
        "I/O on NFS and FUSE, a kernel option that is off): change the option that needs "
        "it, or use another host or file system.",
    ),
    "Function not implemented": Errno(
        means="this host's kernel does not have the system call, or it is filtered out.",
        now="Use a kernel that has it; in a container look at its seccomp profile.",
    ),
    "Inappropriate ioctl for device": Errno(
        means="the file is not the kind of device that it is taken for, or its driver is old.",
        now="See that the path leads to the device that is meant (ls -l, stat).",
    ),
    "Exec format error": Errno(
        means="the program is for another architecture, or no program.",
        now="Install the program for this host's architecture (file PATH).",
    ),
    "Too many open files": Errno(
        means="a limit of the process (ulimit -n) is too low.",
        now="Raise the limit: max_files in qemu.conf, LimitNOFILE of the daemon's unit.",
    ),
    "Resource temporarily unavailable": Errno(
        means="somebody else holds a lock, or a limit of processes or memory was reached.",
        now="Look who holds it (lslocks, virsh list), and at the service's limits (TasksMax=, "
        "ulimit -u).",
    ),
    "Numerical result out of range": Errno(
        means="the value is outside what the kernel takes there.",
        now="Set a value that the place takes; the line names the file or option.",
    ),
    "File name too long": Errno(
        means="the path or name is too long (a socket's path ends at 107 characters, a name at "
        "255).",
        now="Shorten the guest's name or the directory of its files.",
    ),
    "Too many levels of symbolic links": Errno(
        means="symbolic links lead round in a circle.",
        now="Repair the links of the path (namei -l PATH).",
    ),
    "Bad address": Errno(
        means="memory that the call was given is not there or cannot be pinned.",
        now="Look at the kernel's lines of that moment (dmesg), and take ordinary memory for the "
        "guest in place of a file or device.",
    ),
    "Is a directory": Errno(
        means="the path is a directory where a file is wanted.",
        now="Name the file.",
    ),
    "Directory not empty": Errno(
        means="something is in the directory that should be removed.",
        now="Look what is in it, and remove that when nobody uses it.",
    ),
    "Not a directory": Errno(
        means="a part of the path is a file where a directory is wanted.",
        now="Repair the path (namei -l PATH).",
    ),
    "Stale file handle": Errno(
        means="the file was removed or replaced on the NFS server.",
        now="Mount the share again on this host, and look for the file there.",
    ),
    "Transport endpoint is not connected": Errno(
        means="the server of a FUSE or network file system went away.",
        now="Mount that file system again on this host.",
    ),
    "Interrupted system call": Errno(
        means="a signal came between.",
        now="Try it again.",
    ),
    "No buffer space available": Errno(
        means="the kernel's buffers or a table of it are full.",
        now="Look at the kernel's lines of that moment (dmesg) and at the limits in the line.",
    ),
    "Exchange full": Errno(
        means="a table of the kernel is full (a bridge has no port left).",
        now="Use another bridge or device; dmesg names the table.",
    ),
    "Protocol not supported": Errno(
        means="the kernel lacks that protocol (module, address family).",
        now="Load its module, or use another address family.",
    ),
    "Address family not supported by protocol": Errno(
        means="the kernel lacks that address family (mostly IPv6 switched off).",
        now="Switch IPv6 on, or use an IPv4 address.",
    ),
}
_SAME = {
    "Not supported": "Operation not supported",
    "Out of memory": "Cannot allocate memory",
    "Resource busy": "Device or resource busy",
    "Address in use": "Address already in use",
    "Address not available": "Cannot assign requested address",
    "Host is unreachable": "No route to host",
    "Operation timed out": "Connection timed out",
    "I/O error": "Input/output error",
    "Result not representable": "Numerical result out of range",
    "Symbolic link loop": "Too many levels of symbolic links",
    "Filename too long": "File name too long",
}
_BY_NAME = {name.lower(): name for name in ERRNOS} | {
    other.lower(): name for other, name in _SAME.items()
}
_TEXT = re.compile(
    r"(?<![\w-])(?:"
    + "|".join(re.escape(name) for name in sorted(_BY_NAME, key=len, reverse=True))
    + r")(?![\w-])",
    re.IGNORECASE,
)


_NAMED = re.compile(
    r"interface (?P<interface>[\w.@-]+)|'(?P<quoted>/[^']+)'|"
    r"(?:path|file|filename)[=:]\"?(?P<option>/[^,\s\"']+)|"
    r"(?P<bare>/(?:dev|run|var|etc|srv|home|mnt|tmp|opt|sys|usr)/[^\s,'\":]+)"
)


def errno_of(main: Match, line: str) -> str:
    """The errno's text (as glibc writes it) that *main* was printed with; "" without one.

    In the message's own parameter, else the last in the line from the message on.
    """
    said = main.params.get("error")
    for text in (str(said or ""), line[main.start :]):
        found = _TEXT.findall(text)
        if found:
            return _BY_NAME[found[-1].lower()]
    return ""


def begins(text: str) -> str:
    """The errno's text that *text* begins with, as it stands there; "" without one."""
    found = _TEXT.match(text)
    return found[0] if found else ""


def meaning_of(error: str) -> str:
    """A sentence about the errno, "" for none that is known."""
    found = ERRNOS.get(error)
    return f'"{error}", taken alone, means: {found.means}' if found else ""


def general(error: str) -> str:
    """The errno's remedy for a line that names nothing."""
    return ERRNOS[error].now.replace("{what}", "what the line names")


# Of how many parts with colons between the last ones name what an error was met at.
_NEAR = 4


def at_end(words: str) -> tuple[str, str]:
    """The error by which *words* end, and the file, socket or interface that they name; "" each."""
    bare = words.rstrip(" .'\"»)]}")
    found = next((error for error in ERRNOS if bare.endswith(error)), "")
    named = list(_NAMED.finditer(": ".join(words.split(": ")[-_NEAR:]))) if found else []
    return found, next((name for name in named[-1].groups() if name), "") if named else ""


def remedy(words: str) -> str:
    """What helps against the error at the end of *words*; "" when it ends in none."""
    found, what = at_end(words)
    return ERRNOS[found].now.replace("{what}", what or "what the line names") if found else ""
