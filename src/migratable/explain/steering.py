"""Facts in a line that say more than its wording: ports, URIs, machine types, object classes.

Each function reads one kind of fact and returns what it changes; what the catalogue says stands
where it returns nothing.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from migratable.explain import errnos, session
from migratable.explain.advice import Advice
from migratable.explain.grouping import Failure
from migratable.explain.machines import needs
from migratable.messages.catalogue import Fault, Role
from migratable.messages.recognise import Match


@dataclass(frozen=True, slots=True, kw_only=True)
class Steered:
    """What a fact adds.

    :ivar details: sentences for people.
    :ivar meaning: replaces the message's; "" keeps it.
    :ivar explained: it is the cause, also where the message only follows from one.
    """

    advice: Advice
    details: tuple[str, ...] = ()
    meaning: str = ""
    explained: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What is known of a failure: the message that matters, its line, and the rule."""

    failure: Failure
    main: Match
    line: str
    rule: str


# Messages whose own remedy is general: the kernel's error at their end tells more.
_GENERAL = frozenset({"start-refused", "libvirt-step", "libvirt-start-step", "libvirt-system"})


def _errno(advice: Advice, told: Told) -> Steered | None:
    """The kernel's error at the end of a line that has no remedy of its own."""
    message = told.main.message
    socket = message.id == "helper-socket" and told.line.rstrip(" '\")").endswith("denied")
    if message.id not in _GENERAL and not socket:
        return None
    now = errnos.remedy(told.line[told.main.start :])
    return Steered(advice=replace(advice, now=now)) if now else None


def steered(advice: Advice, told: Told) -> Steered:
    """*advice* with everything that the failure's own facts say."""
    found = Steered(advice=advice)
    for kind in _KINDS:
        one = kind(found.advice, told)
        if one is not None:
            found = Steered(
                advice=one.advice,
                details=(*found.details, *one.details),
                meaning=one.meaning or found.meaning,
                explained=one.explained or found.explained,
            )
    return found


# First, last, whose port it is, what helps there. libvirt: src/qemu/qemu.conf.in (migration_port),
# src/remote/libvirtd.conf.in (tcp_port, tls_port); QEMU: -vnc, -spice by libvirt from 5900 on;
# Proxmox: PVE/Tools.pm next_migrate_port; nova and oVirt leave libvirt's range as it is.
@dataclass(frozen=True, slots=True, kw_only=True)
class _Ports:
    first: int
    last: int
    whose: str
    now: str


_PORTS = (
    _Ports(
        first=49152,
        last=49215,
        whose="the port of QEMU's own data connection (libvirt's migration_port_min to _max, 49152 "
        "to 49215): libvirt's connection to the other host had worked",
        now="Open TCP 49152 to 49215 in {the destination's} firewall, or send the data through "
        "libvirt's connection (virsh migrate --p2p --tunnelled), or over another network or port "
        "(--migrateuri tcp://ADDRESS:PORT).",
    ),
    _Ports(
        first=16509,
        last=16509,
        whose="libvirt's unencrypted TCP port",
        now="Have libvirt listen there (systemctl enable --now virtproxyd-tcp.socket, or "
        "libvirtd-tcp.socket with the one daemon; older: listen_tcp=1 and libvirtd --listen), open "
        "TCP 16509, or go over ssh (qemu+ssh://HOST/system).",
    ),
    _Ports(
        first=16514,
        last=16514,
        whose="libvirt's TLS port",
        now="Have libvirt listen there (systemctl enable --now virtproxyd-tls.socket, or "
        "libvirtd-tls.socket; it needs the server's certificate), open TCP 16514, or go over ssh "
        "(qemu+ssh://HOST/system).",
    ),
    _Ports(
        first=22,
        last=22,
        whose="ssh's port",
        now="See that sshd runs on {the destination} and that ssh to it works from {the source} as "
        "the same user, without a question.",
    ),
    _Ports(
        first=60000,
        last=60050,
        whose="the port that Proxmox VE gives an incoming migration (60000 to 60050)",
        now="Open TCP 60000 to 60050 between the nodes, or use the secure type of migration "
        "(datacenter.cfg: migration: secure), which goes through ssh.",
    ),
    _Ports(
        first=5900,
        last=5999,
        whose="a display's port (VNC or SPICE)",
        now="Let the display's port be chosen (autoport='yes', port='-1'), or end what has it.",
    ),
    _Ports(
        first=10809,
        last=10809,
        whose="the port of an NBD server (the copy of the disks)",
        now="Open the port of the NBD server on {the destination} (virsh migrate --disks-port).",
    ),
)
_ADDRESS = re.compile(
    r"(?<![\w.-])(?P<host>[\w.-]{1,253}|\[[\da-fA-F:]{2,45}\]):(?P<port>\d{2,5})\b"
)
_REACHED = (
    (
        "No route to host",
        "nothing answers at that address (on one's own network: no ARP answer), as the host is "
        "down or the address is wrong; or a firewall rejects (icmp-host-prohibited)",
    ),
    (
        "Connection refused",
        "nothing listens there, or a firewall rejects: also a name that leads to another host",
    ),
    ("timed out", "a firewall that drops, a wrong address, or a host that is down"),
    ("Network is unreachable", "no route to that network (an IPv6 address without IPv6?)"),
)
# Errors that do not come from the service behind the port.
_SILENT = (
    (
        "No route to host",
        "See that the host is up and the address right (ping, ip route get ADDRESS, getent hosts), "
        "then that its firewall does not reject.",
    ),
    (
        "timed out",
        "See that the host is up and the address right (ping), and which firewall drops on the way "
        "(nc -vz HOST PORT).",
    ),
    (
        "Network is unreachable",
        "Look at ip route get ADDRESS on this host: that network is not set up here.",
    ),
)
# Messages that name host and port themselves: who was called is not the destination by that alone.
_CALLED = frozenset({22, 16509, 16514})
_OWN_PORTS = frozenset({"ssh-connect"})
_TAKEN = re.compile(r"already in use")
_CONNECTING = re.compile(
    r"connect|[Nn]o route|refused|unreachable|timed out|listen|bind|Address already in use"
)


# ssh: the port was reached, and the server ended the talk.
_LET_IN = re.compile(r"\bdisconnect from\b")


def _port(advice: Advice, told: Told) -> Steered | None:
    """The port that could not be reached, or listened on."""
    part = told.line[told.main.start :]
    if not _CONNECTING.search(part) or _LET_IN.search(part):
        return None
    where = _ADDRESS.search(part) or re.search(r"port (?P<port>\d{2,5})\b", part)
    if where is None:
        return None
    number = int(where["port"])
    found = next((ports for ports in _PORTS if ports.first <= number <= ports.last), None)
    why = next((words for error, words in _REACHED if error in part), "")
    details = []
    if found is not None:
        details.append(f"Port {number} is {found.whose}.")
    if why:
        details.append(f"The error alone means: {why}.")
    # ssh's and libvirt's own ports are the other host's only where one is called.
    own = told.main.message.id in _OWN_PORTS or (
        found is not None and found.first in _CALLED and told.rule != "transport"
    )
    if found is None or own or told.rule not in ("transport", "destination-start"):
        return Steered(advice=advice, details=tuple(details)) if details else None
    taken = _TAKEN.search(part) is not None
    side = Fault.DESTINATION if why or taken else advice.side
    silent = next((words for error, words in _SILENT if error in part), "")
    if silent and found.first in _CALLED:  # nothing of that host was reached before
        return Steered(
            advice=replace(advice, side=side, now=f"{silent} If it is the port: {found.now}"),
            details=tuple(details),
        )
    if taken and found.first == 49152:
        return Steered(advice=replace(advice, side=side), details=tuple(details))
    return Steered(advice=replace(advice, side=side, now=found.now), details=tuple(details))


_URI = re.compile(
    r"\b(?P<driver>qemu|xen|lxc|vz)(?:\+(?P<transport>\w+))?://(?P<authority>[^\s/'\"]*)"
    r"(?P<path>/[^\s'\"?]*)?"
)


def _uri(advice: Advice, told: Told) -> Steered | None:
    """What is wrong with libvirt's URI by itself."""
    if told.rule not in ("transport", "management", "unrecognised"):
        return None
    found = _URI.search(told.line[told.main.start : told.main.end]) or _URI.search(told.line)
    if found is None:
        return None
    whole, path = found[0].rstrip(".,;:)"), (found["path"] or "").rstrip(".,;:)")
    if found["driver"] == "qemu" and path not in ("/system", "/session", "/embed"):
        base = whole[: len(whole) - len(path)] if path else whole
        return Steered(
            advice=replace(
                advice,
                side=Fault.NEITHER,
                now=f"Write the path behind the host: {base}/system.",
            ),
            details=(
                f"The URI {whole} has no {'/system' if not path else 'path that libvirt knows'}: "
                "libvirt's QEMU driver is reached at /system (root's) or /session (a user's).",
            ),
        )
    connects = re.search(rf"(?:--connect|-c)[ =]'?{re.escape(whole)}", told.line)
    if not found["authority"] and "migrat" in told.line and not connects:
        return Steered(
            advice=replace(
                advice,
                now=f"Name the other host: {found['driver']}+ssh://HOST{path or '/system'}.",
            ),
            details=(f"The URI {whole} names no host: it is this host's own libvirt.",),
        )
    if path == "/session":
        return Steered(
            advice=advice,
            details=(
                f"{whole} is the libvirt of one user, without root's network, devices and guests; "
                "guests of the system are at /system.",
            ),
        )
    return None


_OWN = re.compile(r"\{[a-z_0-9]+(?::\w+)?\}")  # a message's parameter
_MACHINE = re.compile(r"machine(?: type)?:? ?['\"]?(?P<name>[a-z][\w.+-]{0,60}\d[\w.+-]{0,60})")


def _machine(advice: Advice, told: Told) -> Steered | None:
    """Which QEMU has the machine type that this one lacks."""
    if told.rule != "machine-type":
        return None
    params = told.main.params
    name = str(params.get("machine") or params.get("type") or "")
    if not name:
        found = _MACHINE.search(told.line[told.main.start :])
        name = found["name"] if found else told.failure.machine
    needed = needs(name.strip("'\". "))
    if needed is None:
        return None
    # A remedy that names the guest's own things (a node, a file) says more than one for the type.
    own = _OWN.search(advice.now) is not None and "{machine}" not in advice.now
    lacking = told.main.message.fault in (None, Fault.DESTINATION, Fault.CANNOT_TELL) and not own
    return Steered(
        advice=replace(advice, now=needed.now) if lacking else advice, details=(needed.said,)
    )


# libvirt: src/access/viraccessdriverpolkit.c, viraccessperm.h; the text is virAccessManager's.
_CLASSES = {
    "connect": "the connection itself (list, create, read the host's capabilities)",
    "domain": "guests",
    "domain_checkpoint": "checkpoints",
    "interface": "the host's network interfaces",
    "network": "virtual networks",
    "network_port": "ports of virtual networks",
    "node_device": "the host's devices",
    "nwfilter": "network filters",
    "nwfilter_binding": "bindings of network filters",
    "secret": "secrets",
    "storage_pool": "storage pools",
    "storage_vol": "volumes",
}


def _access(advice: Advice, told: Told) -> Steered | None:
    """The object class that libvirt's access control refused."""
    found = re.search(r"access denied: '(?P<driver>[\w -]+)' denied access", told.line)
    if found is None:
        return None
    name = found["driver"].replace("-", "_").replace(" ", "_")
    objects = _CLASSES.get(name)
    if objects is None:
        return None
    api = f"org.libvirt.api.{name.replace('_', '-')}"
    return Steered(
        advice=replace(
            advice,
            side=Fault.NEITHER,
            now=f"Give the user the permissions on {api}.* that the operation needs in a polkit "
            f"rule (/etc/polkit-1/rules.d; {api}.getattr and .read at least), or do it as root.",
            prevent="",
        ),
        details=(f"'{found['driver']}' is an object class of libvirt: {objects}.",),
        meaning="The access control of the libvirt that was asked (polkit, access_drivers in its "
        f"configuration) denies the user an operation on {objects}.",
    )


_VHOST = re.compile(r"-object[ =]'?memory-backend-\w+,[^\s'\"]*?\bid=(?P<id>[\w.-]+)")


def _backend(advice: Advice, told: Told) -> Steered | None:
    """A memory backend on the command line that nothing uses."""
    if told.rule not in ("ram-contents", "ram-block-unknown", "ram-block-size"):
        return None
    command = re.sub(r"\s+", " ", told.failure.command)
    used = set(re.findall(r"(?:memory-backend=|memdev=|\"memory-backend\": ?\")([\w.-]+)", command))
    for found in _VHOST.finditer(command):
        if found["id"] in used:
            continue
        name = found["id"]
        cpr = "cpr" in command or any("cpr" in one.text for one in told.failure.lines)
        return Steered(
            advice=replace(
                advice,
                side=Fault.NEITHER if cpr else advice.side,
                now=f"Add -machine memory-backend={name} to both command lines"
                + (" (share=on stays): cpr keeps only such memory." if cpr else "."),
                prevent="",
            ),
            details=(
                f"The command line makes the memory backend '{name}' and no -machine "
                "memory-backend=, -numa memdev= or device uses it, so the guest's memory is "
                "another one.",
            ),
        )
    return None


# libvirt writes this into the guest's log when it ends the program (qemuProcessStop).
_ENDED = re.compile(
    r"(?:: shutting down(?:, reason=\w+)?|terminating on signal 15 from pid \d+.*)\s*\n"
    r"(?:[^\n]*\n)?[^\n]*load of migration failed"
)


def _ended_before(advice: Advice, told: Told) -> Steered | None:
    """A load that failed because libvirt was ending the program already."""
    if told.main.message.role is not Role.CLOSING:
        return None
    around = told.failure.text_around
    several = told.failure.of_several_logs
    logs = (
        "libvirt's journal (and debug log)" if several else "the source's log and libvirt's journal"
    )
    if not _ENDED.search(f"{around.rstrip()}\n{told.line}"):
        return None
    return Steered(
        advice=replace(
            advice,
            side=Fault.CANNOT_TELL,
            now=f"Read {logs} {{moving: on both hosts}} at that time: what made libvirt give "
            "the migration up stands there (an abort, a time-out, an error of the source's QEMU "
            "or of the copy of the disks).",
            prevent="",
        ),
        meaning='libvirt was ending this QEMU already ("shutting down" stands before): the '
        "migration had failed elsewhere, and that the load failed only follows from it.",
    )


# What a migration that was cancelled ends with.
_CANCELLED = frozenset({"transport", "management", "stream-broken", "multifd", "source-save"})


def _interrupted(advice: Advice, told: Told) -> Steered | None:
    """An error behind ^C: somebody cancelled."""
    main = told.main
    if told.rule not in _CANCELLED or main.message.id == "migration-status-unknown":
        return None
    if not session.interrupted(told.failure, told.line, main.start):
        return None
    return Steered(
        advice=replace(
            advice,
            side=Fault.NEITHER,
            now="Start it again and let it run; the guest goes on at {the source}. Where it ran "
            "too long: virsh domjobinfo NAME shows how fast the memory is sent against how fast "
            "it changes (--auto-converge, --postcopy, a faster network).",
            prevent="",
        ),
        meaning="^C stands right before the error: somebody pressed Ctrl-C, and what was going on "
        "was cancelled by that. The error only tells how it ended.",
        explained=True,
    )


def _cut_address(advice: Advice, told: Told) -> Steered | None:
    """An IPv6 address of which the error has the part before the first colon."""
    whole = session.cut_address(told.failure, told.line)
    if told.rule != "transport" or not whole:
        return None
    return Steered(
        advice=replace(
            advice,
            side=Fault.SOURCE,
            now="Give the address in brackets, or a host name or IPv4 address (virsh migrate "
            "--migrateuri tcp://NAME, rdma://NAME); update libvirt on the source (3.1 and later "
            "write the brackets for rdma:).",
            prevent="",
        ),
        meaning=f"The address was cut at its first colon: the error names only the beginning of "
        f"the IPv6 address {whole}. It was handed on without brackets (libvirt before 3.1 does so "
        "for rdma:); the network itself is not at fault.",
        explained=True,
    )


_KINDS = (
    _interrupted,
    _cut_address,
    _ended_before,
    _errno,
    _port,
    _uri,
    _machine,
    _access,
    _backend,
)
