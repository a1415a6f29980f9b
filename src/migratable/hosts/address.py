"""Names of hosts and guests as a user types them.

==============================  ==================================================================
``libvirt:web1``                a guest of this host's libvirt
``qmp:/run/web1.sock``          a guest of this host by its QMP socket; a path may be relative
``ssh://user@node1:22/web1``    a guest of another host, by libvirt's name or QEMU's ``-name``
``ssh://node1``                 that host; all of its guests, where guests are wanted
``node1``                       the same
``node1:/run/web1.sock``        a guest of another host by its QMP socket
``qemu+ssh://node1/system``     a libvirt URI: that host, and which of its libvirts
``local``                       this host
==============================  ==================================================================
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

from migratable.errors import HostError
from migratable.printable import quoted

LOCAL = "local"
_NAME = re.compile(r"[A-Za-z0-9_\[][A-Za-z0-9._:%\[\]-]*")
_USER = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._@-]*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """A host, and perhaps a guest on it.

    :ivar host: empty for this host.
    :ivar guest: libvirt's or QEMU's name, or the path of a QMP socket; empty for none.
    :ivar uri: which libvirt is asked (``qemu:///system``); empty for the host's default.
    """

    host: str = ""
    user: str = ""
    port: int | None = None
    guest: str = ""
    uri: str = ""

    @property
    def name(self) -> str:
        """The host's name for reports."""
        return self.host or LOCAL

    @property
    def key(self) -> tuple[str, str, int | None, str]:
        """Equal for the same connection."""
        return self.host, self.user, self.port, self.uri

    @classmethod
    def parse(cls, text: str) -> Address:
        """Read what a user typed.

        :raise HostError: when it names nothing, with what to type.
        """
        if text in {"", LOCAL, "localhost"}:
            return cls()
        kind, colon, rest = text.partition(":")
        if colon and kind in {"libvirt", "qmp"}:
            if not rest:
                raise HostError(f"{quoted(text)} names no guest; give it after the colon")
            return cls(guest=str(Path(rest).absolute()) if kind == "qmp" else rest)
        if "://" in text:
            return _url(text)
        if colon and rest.startswith("/"):
            return _checked(_login(kind, guest=rest), text)
        return _checked(_login(text), text)


def _login(text: str, *, guest: str = "") -> Address:
    user, _, host = text.rpartition("@")
    return Address(host=host, user=user, guest=guest)


def _url(text: str) -> Address:
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError as error:
        raise HostError(f"{quoted(text)}: {error}") from None
    if parts.password is not None:
        raise HostError(f"{quoted(text)}: no passwords here; use a key, or an agent (ssh-add)")
    host, user = parts.hostname or "", unquote(parts.username or "")
    path = unquote(parts.path)
    if parts.scheme == "ssh":
        guest = path[1:]
        if "/" in guest:  # ssh://node1//run/web1.sock, or with one slash
            guest = "/" + guest.lstrip("/")
        if not host:
            raise HostError(f"{quoted(text)} names no host: ssh://HOST/GUEST")
        return _checked(Address(host=host, user=user, port=port, guest=guest), text)
    if parts.scheme in {"qemu+ssh", "qemu+libssh", "qemu+libssh2", "qemu"}:
        guest = "".join(parse_qs(parts.query).get("guest", ())) or unquote(parts.fragment)
        if path not in {"/system", "/session"}:
            raise HostError(f"{quoted(text)}: libvirt's URI ends with /system or /session")
        if parts.scheme == "qemu" and host:
            raise HostError(f"{quoted(text)}: only qemu+ssh:// leads to another host")
        return _checked(
            Address(host=host, user=user, port=port, guest=guest, uri=f"qemu://{path}"), text
        )
    raise HostError(
        f"{quoted(text)}: {parts.scheme}:// is not supported; use ssh://HOST/GUEST, "
        "libvirt:GUEST or qemu+ssh://HOST/system"
    )


def _checked(address: Address, text: str) -> Address:
    if address.host and not _NAME.fullmatch(address.host):
        raise HostError(f"{quoted(text)}: {quoted(address.host)} is not a host name")
    if address.user and not _USER.fullmatch(address.user):
        raise HostError(f"{quoted(text)}: {quoted(address.user)} is not a user name")
    return address
