import socket
from pathlib import Path

import pytest

from migratable.errors import RelayError
from migratable.relay.address import Address, connect, listen, parse


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("tcp:host:4444", Address(host="host", port=4444)),
        ("tcp://host:4444", Address(host="host", port=4444)),
        ("tcp://host:4444/", Address(host="host", port=4444)),
        ("192.0.2.7:1", Address(host="192.0.2.7", port=1)),
        ("tcp:[2001:db8::1]:4444", Address(host="2001:db8::1", port=4444)),
        ("unix:/run/a b", Address(path="/run/a b")),
        ("unix:///run/x", Address(path="/run/x")),
        ("unix:relative", Address(path="relative")),
    ],
)
def test_reads_what_qemu_and_libvirt_take(text: str, expected: Address) -> None:
    assert parse(text) == expected
    assert parse(str(expected)) == expected


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("rdma:host:4444", "rdma cannot be relayed"),
        ("exec:cat", "exec cannot be relayed"),
        ("fd:7", "fd cannot be relayed"),
        ("tcp::4444", "names no host"),
        (":4444", "names no host"),
        ("tcp:host:65536", "no port 65536"),
        ("tcp:host", "is not an address"),
        ("tcp:host:44,ipv4=on", "is not an address"),
        ("unix:", "is not an address"),
        ("", "is not an address"),
    ],
)
def test_refuses_the_rest(text: str, says: str) -> None:
    with pytest.raises(RelayError, match=says):
        parse(text)


def test_listens_on_the_address_alone() -> None:
    listener = listen(parse("tcp:127.0.0.1:0"))
    try:
        assert listener.address.port
        assert listener.socket.getsockname()[0] == "127.0.0.1"
        with connect(listener.address, 5) as made:
            assert not made.getblocking()
    finally:
        listener.close()
    with pytest.raises(RelayError, match="cannot be reached"):
        connect(listener.address, 5)


def test_a_unix_socket_is_not_left_behind(tmp_path: Path) -> None:
    path = tmp_path / "socket"
    listener = listen(Address(path=str(path)))
    assert path.is_socket()
    listener.close()
    listener.close()
    assert not path.exists()


def test_another_ones_file_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "socket"
    path.write_text("mine")
    with pytest.raises(RelayError, match="cannot listen on"):
        listen(Address(path=str(path)))
    assert path.read_text() == "mine"
    path.unlink()
    listener = listen(Address(path=str(path)))
    path.unlink()
    path.write_text("another's")
    listener.close()
    assert path.read_text() == "another's"


def test_says_why_it_cannot_listen() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as taken,
        pytest.raises(RelayError, match="in use"),
    ):
        listen(Address(host="127.0.0.1", port=taken.getsockname()[1]))
    with pytest.raises(RelayError, match="cannot listen on unix:"):
        listen(Address(path="/nonexistent/" + "x" * 200))
