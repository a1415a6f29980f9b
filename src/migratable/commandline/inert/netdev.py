"""Inert forms of network backends.

virtio-net's features and queue count come from its backend, so a tap stays a tap, made in a
private network namespace where nothing else is. Without one a hub port stands in.
"""

from __future__ import annotations

from migratable.commandline.inert.work import Work
from migratable.commandline.line import Option
from migratable.commandline.option import Fields, is_on

_TAPS = frozenset({"tap", "bridge"})
_OUTSIDE = frozenset({"vhost-user", "vhost-vdpa", "af-xdp"})
_SINCE = {"stream": (7, 2), "dgram": (7, 2), "af-xdp": (8, 2), "passt": (10, 1)}
"""Types that an older release refuses, which a stand-in would hide."""
_TYPES = frozenset(
    [
        *_TAPS,
        *_OUTSIDE,
        *_SINCE,
        "dump",
        "hubport",
        "l2tpv3",
        "netmap",
        "nic",
        "none",
        "socket",
        "user",
        "vde",
        "vmnet-bridged",
        "vmnet-host",
        "vmnet-shared",
    ]
)
"""``NetClientDriver`` of 4.1 to 11.1."""
_USER_HOST = ("hostfwd", "guestfwd", "smb", "smbserver", "tftp", "bootfile", "restrict")
_NIC_KEYS = ("model", "mac", "macaddr", "addr", "vectors", "id", "name")


def _queues(fields: Fields) -> int:
    """Queue pairs of a tap: said, or as many as it has file descriptors."""
    text = fields.get("queues")
    if text and text.isdigit():
        return max(1, int(text))
    for key in ("fds", "vhostfds"):
        if fds := fields.get(key):
            return len(fds.split(":"))
    return 1


def _members(
    work: Work, option: Option, fields: Fields, *, named: str
) -> tuple[str, dict[str, str]]:
    """Type and members of the stand-in, without its id."""
    kind = fields.get("type") or ""
    if kind in _TAPS | _OUTSIDE:
        return _tap(work, option, fields, kind, named)
    if kind == "user":
        kept = {key: value for key, value in fields.items() if key.split(".")[0] not in _USER_HOST}
        kept = {key: value for key, value in kept.items() if key not in {"type", "id", "vlan"}}
        return "user", {**kept, "restrict": "on"}
    if kind in {"hubport", "none", "nic"}:
        return kind, {k: v for k, v in fields.items() if k not in {"type", "id"}}
    work.note(option, "an unconnected hub port")
    work.hubs += 1
    return "hubport", {"hubid": str(work.hubs)}


def _tap(
    work: Work, option: Option, fields: Fields, kind: str, named: str
) -> tuple[str, dict[str, str]]:
    queues = _queues(fields)
    vhost = is_on(fields.get("vhost")) or fields.get("vhostfd") or fields.get("vhostfds")
    if kind in _OUTSIDE:
        work.skip(
            f"{named}: features and queue limits of its {kind} backend, which the destination's "
            "own daemon or device decides"
        )
    elif vhost:
        work.skip(f"{named}: feature bits that the destination kernel's vhost adds or takes away")
    if not work.netns:
        work.note(option, "an unconnected hub port (no private network namespace on this machine)")
        work.skip(
            f"{named}: offload features and the vnet header of its tap"
            + (f"; its {queues} queues" if queues > 1 else "")
        )
        work.assumed_backends["virtio-net"] = (
            "its backend is a hub port, as no tap can be made here (no private network namespace); "
            "a tap offers more"
        )
        work.hubs += 1
        return "hubport", {"hubid": str(work.hubs)}
    members = {"ifname": f"mig{work.taps}", "script": "no", "downscript": "no"}
    work.taps += 1
    work.needs_netns = True
    if queues > 1:
        members["queues"] = str(queues)
    if (header := fields.get("vnet_hdr")) is not None:
        members["vnet_hdr"] = header
    what = f" with {queues} queues" if queues > 1 else ""
    work.note(option, f"a tap{what} in a private network namespace")
    return "tap", members


def netdev(work: Work, option: Option) -> list[Option]:
    """``-netdev``."""
    fields = option.fields
    name = fields.get("id") or ""
    kind = fields.get("type") or ""
    since = _SINCE.get(kind)
    if (since is not None and work.lacks(*since)) or kind not in _TYPES:
        return [option]  # it refuses that itself
    kind, members = _members(work, option, fields, named=f"netdev {name}")
    text = Fields.of(kind, option="netdev", **{"id": name, **members}).text()
    return [Option(name="netdev", value=text, index=option.index)]


def nic(work: Work, option: Option) -> list[Option]:
    """``-nic``: the backend is replaced, the NIC's own properties stay."""
    fields = option.fields
    kind = fields.get("type") or ""
    if kind == "none":
        return [option]
    nic_part = {key: value for key, value in fields.items() if key in _NIC_KEYS}
    rest = fields.delete(*_NIC_KEYS)
    new, members = _members(work, option, rest, named=f"-nic {kind}")
    text = Fields.of(new, option="nic", **members, **nic_part).text()
    return [Option(name="nic", value=text, index=option.index)]


def net(work: Work, option: Option) -> list[Option]:
    """``-net``: NICs and ``user`` stay; other host ends go, their NICs stay on the hub."""
    fields = option.fields
    kind = fields.get("type")
    if kind in {"nic", "none"}:
        return [option]
    if kind == "user":
        _, members = _members(work, option, fields, named="-net user")
        name = fields.get("id")
        head = {"id": name} if name else {}
        text = Fields.of("user", option="net", **head, **members).text()
        return [Option(name="net", value=text, index=option.index)]
    work.note(option, "left out; the NIC is alone on its hub")
    return []
