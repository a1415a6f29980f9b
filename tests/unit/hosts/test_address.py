"""Names of hosts and guests."""

from __future__ import annotations

from pathlib import Path

import pytest

from migratable.errors import HostError
from migratable.hosts.address import Address
from migratable.hosts.guests import find


@pytest.mark.parametrize(
    ("text", "host", "user", "port", "guest", "uri"),
    [
        ("local", "", "", None, "", ""),
        ("libvirt:web1", "", "", None, "web1", ""),
        ("qmp:/run/web1.sock", "", "", None, "/run/web1.sock", ""),
        ("node2", "node2", "", None, "", ""),
        ("root@node2", "node2", "root", None, "", ""),
        ("ssh://node1/web1", "node1", "", None, "web1", ""),
        ("ssh://admin@node1:2222/web%201", "node1", "admin", 2222, "web 1", ""),
        ("ssh://node1//run/web1.sock", "node1", "", None, "/run/web1.sock", ""),
        ("node1:/run/web1.sock", "node1", "", None, "/run/web1.sock", ""),
        ("qemu+ssh://root@node1/system", "node1", "root", None, "", "qemu:///system"),
        ("qemu+ssh://node1/session#web1", "node1", "", None, "web1", "qemu:///session"),
        ("qemu:///system?guest=web1", "", "", None, "web1", "qemu:///system"),
        ("ssh://[fe80::1]:22/web1", "fe80::1", "", 22, "web1", ""),
    ],
)
def test_what_a_name_means(
    text: str, host: str, user: str, port: int | None, guest: str, uri: str
) -> None:
    assert Address.parse(text) == Address(host=host, user=user, port=port, guest=guest, uri=uri)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("ssh://root:secret@node1/web1", "no passwords"),
        ("ssh:///web1", "names no host"),
        ("qemu+tcp://node1/system", "is not supported"),
        ("qemu+ssh://node1/elsewhere", "/system or /session"),
        ("qemu://node1/system", "leads to another host"),
        ("-oProxyCommand=touch /tmp/x", "is not a host name"),
        ("ssh://-oProxyCommand=x/web1", "is not a host name"),
        ("-l@node1", "is not a user name"),
        ("node1;reboot", "is not a host name"),
        ("ssh://node1:99999999/web1", "ort"),
        ("libvirt:", "names no guest"),
    ],
)
def test_what_is_no_name(text: str, words: str) -> None:
    with pytest.raises(HostError, match=words):
        Address.parse(text)


def test_a_relative_socket_is_looked_for_in_this_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert Address.parse("qmp:run/web1.sock").guest == str(tmp_path / "run/web1.sock")
    with pytest.raises(HostError, match=f"{tmp_path}/run/web1.sock is not a socket on this host"):
        find(Address.parse("qmp:run/web1.sock").guest)
