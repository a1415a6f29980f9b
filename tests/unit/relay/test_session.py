"""Whole migrations through the relay; source and destination are threads."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from functools import cache

import pytest

from migratable.profile.bundled import find
from migratable.relay import Judge, Reason, Settings, run
from migratable.relay.address import Address, listen, parse
from migratable.relay.result import Guest
from migratable.relay.return_path import OPEN, PING
from migratable.releases import QemuVersion
from migratable.stream import Command, CommandKind, Stream, read, write
from migratable.stream.edit import append_section, full_section, without_vmdesc
from migratable.verdict import Outcome
from tests.unit.relay.sides import PONG, SHUT, Destination, Source, relayed

ASKS = (
    Command(kind=CommandKind.OPEN_RETURN_PATH, payload=b""),
    Command(kind=CommandKind.PING, payload=b"\0\0\0\x01"),
)
STRANGE = full_section("strange", 0, 1, b"\x01\x02\x03", section_id=250)


@cache
def judge() -> Judge:
    return Judge(find("q35-10.0"))


@cache
def own() -> Stream:
    """The destination's own stream: it loads."""
    return read(find("q35-10.0").stream)


def _asking(stream: Stream) -> bytes:
    return write(replace(stream, elements=(*ASKS, *stream.elements)))


def _loads() -> bytes:
    return _asking(own())


def _refused() -> bytes:
    return _asking(append_section(own(), STRANGE))


def test_passes_what_loads() -> None:
    data = _loads()
    source, destination = Source(data=data), Destination(end=len(data))
    result, said = relayed(judge(), source, destination)
    assert result.reason is Reason.MIGRATED, result.message
    assert result.exit_status == 0
    assert result.guest is Guest.DESTINATION
    assert result.return_path is True
    assert result.verdict is not None
    assert result.verdict.outcome is Outcome.LOADS
    assert bytes(destination.got).replace(PING, b"", 1) == data
    assert destination.started
    assert source.completed
    assert source.said == [(SHUT, 0)]
    assert said == []
    assert result.bytes == len(data)


def test_the_source_is_told_before_the_destination_gets_the_end() -> None:
    """In this order there is no moment at which both have the guest."""
    data = _loads()
    end = data.rindex(b"\x00\x06", 0, data.rindex(b'{"'))
    source, destination = Source(data=data), Destination(end=len(data))
    before: list[int] = []
    original = Source._send

    class Watching(Source):
        def _send(self, address: Address) -> None:
            original(self, address)
            before.append(len(destination.got))

    watching = Watching(data=data)
    result, _ = relayed(judge(), watching, destination)
    assert result.reason is Reason.MIGRATED
    times = result.times
    assert times.held <= times.whole <= times.checked <= times.loaded <= times.committed
    assert destination.got.find(PING) == end
    assert source.said == []


def test_breaks_off_what_would_be_refused() -> None:
    data = _refused()
    source, destination = Source(data=data), Destination(end=len(data))
    result, _ = relayed(judge(), source, destination)
    assert (result.reason, result.exit_status) == (Reason.REFUSED, 1)
    assert result.guest is Guest.SOURCE
    assert result.verdict is not None
    assert result.verdict.first_refusal is not None
    assert result.verdict.first_refusal.rule == "unknown-section"
    assert result.verdict.first_refusal.device == "strange"
    assert source.said == [(SHUT, 1)]
    assert not source.completed
    assert not destination.started
    assert destination.connected
    assert b"strange" not in destination.got
    assert PING not in destination.got


def test_breaks_off_another_machine_before_ram_moves() -> None:
    configuration = own().configuration
    assert configuration is not None
    other = replace(own(), configuration=replace(configuration, machine="pc-q35-9.2"))
    data = _asking(other)
    source, destination = Source(data=data), Destination(end=len(data))
    result, _ = relayed(judge(), source, destination)
    assert (result.reason, result.guest) == (Reason.REFUSED, Guest.SOURCE)
    assert result.verdict is not None
    assert result.verdict.first_refusal is not None
    assert result.verdict.first_refusal.rule == "machine-type"
    assert not destination.connected
    assert source.said == [(SHUT, 1)]


def test_a_source_without_return_path() -> None:
    data = write(own())
    source = Source(data=data, return_path=False)
    destination = Destination(end=len(data), opened=True)
    result, said = relayed(judge(), source, destination)
    assert result.reason is Reason.MIGRATED, result.message
    assert result.return_path is False
    assert destination.started
    got = bytes(destination.got)
    assert got.replace(PING, b"", 1).replace(OPEN, b"", 1) == data
    assert len(said) == 1
    assert "no return path" in said[0]
    assert "cont" in said[0]
    assert "migrate-set-capabilities" in said[0]


def test_without_return_path_a_source_stands_still() -> None:
    data = write(append_section(own(), STRANGE))
    source = Source(data=data, return_path=False)
    destination = Destination(end=len(data), opened=True)
    result, _ = relayed(judge(), source, destination)
    assert result.reason is Reason.REFUSED
    assert result.guest is Guest.SOURCE_STOPPED
    assert "cont" in result.message
    assert not destination.started


def test_a_return_path_can_be_asked_for() -> None:
    data = write(own())
    destination = Destination(end=len(data))
    result, _ = relayed(
        judge(), Source(data=data, return_path=False), destination, need_return_path=True
    )
    assert (result.reason, result.exit_status) == (Reason.NO_RETURN_PATH, 2)
    assert result.guest is Guest.SOURCE
    assert not destination.connected


def test_a_stream_without_description() -> None:
    data = _asking(without_vmdesc(own()))
    source, destination = Source(data=data), Destination(end=len(data))
    result, _ = relayed(judge(), source, destination)
    assert result.reason is Reason.MIGRATED, result.message
    assert destination.started


def test_the_destination_refuses_against_the_prediction() -> None:
    data = _loads()
    source = Source(data=data)
    destination = Destination(end=len(data), refuses=True)
    result, _ = relayed(judge(), source, destination)
    assert (result.reason, result.exit_status) == (Reason.DESTINATION_REFUSED, 1)
    assert result.guest is Guest.SOURCE
    assert source.said == [(SHUT, 1)]


@pytest.mark.parametrize(
    ("release", "reason", "status"),
    [
        ((5, 2), Reason.DESTINATION_REFUSED, 1),
        ((8, 2), Reason.DESTINATION_REFUSED, 1),
        ((9, 1), Reason.DESTINATION_ENDED, 2),
        ((10, 0), Reason.DESTINATION_ENDED, 2),
    ],
)
def test_a_destination_that_ends_without_a_word(
    release: tuple[int, int], reason: Reason, status: int
) -> None:
    """Before 9.1 that is how it refuses; one that would have said so has died."""
    data = _loads()
    source, destination = Source(data=data), Destination(end=len(data), silent=True)
    profile = replace(find("q35-10.0"), version=QemuVersion(*release))
    result, _ = relayed(Judge(profile), source, destination)
    assert (result.reason, result.exit_status) == (reason, status)
    assert result.guest is Guest.SOURCE
    assert source.said == [(SHUT, 1)]


@pytest.mark.parametrize("where", [10, 20_000, -2_000])
def test_the_destination_dies(where: int) -> None:
    data = _loads()
    source = Source(data=data)
    destination = Destination(end=len(data), dies_after=where % len(data))
    result, _ = relayed(judge(), source, destination)
    assert not source.completed or where < 0
    if where > 0:
        assert (result.reason, result.guest) == (Reason.DESTINATION_ENDED, Guest.SOURCE)
    else:  # it had loaded all, and the source was told so
        assert (result.reason, result.guest) == (Reason.DESTINATION_ENDED, Guest.SOURCE_STOPPED)
        assert "cont" in result.message
    assert result.exit_status == 2


def test_the_destination_dies_when_it_has_loaded_all() -> None:
    """The source was told that it is done; nobody starts the guest but the user."""
    data = _loads()
    source, destination = Source(data=data), Destination(end=len(data), dies_at_ping=True)
    result, _ = relayed(judge(), source, destination)
    assert (result.reason, result.guest) == (Reason.DESTINATION_ENDED, Guest.SOURCE_STOPPED)
    assert source.completed
    assert "cont" in result.message
    assert not destination.started


@pytest.mark.parametrize("where", [3, 9, 200, 40_000, -1])
def test_the_source_dies(where: int) -> None:
    data = _loads()
    source = Source(data=data, dies_after=where % len(data))
    destination = Destination(end=len(data))
    stop = [False]

    def stopped() -> bool:
        return stop[0]

    if where == 3:  # that is no migration yet: another is waited for
        until = time.monotonic() + 1
        result, _ = relayed(judge(), source, destination, stopped=lambda: time.monotonic() > until)
        assert result.reason is Reason.INTERRUPTED
        return
    result, _ = relayed(judge(), source, destination, stopped=stopped)
    assert result.reason is Reason.SOURCE_ENDED
    assert result.guest is Guest.NOWHERE_SEEN
    assert not destination.started


def test_a_source_that_cancels_while_its_state_is_held() -> None:
    data = _loads()
    source = Source(data=data, goes_before_the_end=True)
    destination = Destination(end=len(data))
    result, _ = relayed(judge(), source, destination)
    assert result.reason is Reason.SOURCE_ENDED
    assert not destination.started


def test_the_user_ends_it() -> None:
    asked = [False]

    def first(_address: Address) -> None:
        asked[0] = True

    data = _loads()
    source, destination = Source(data=data), Destination(end=len(data))
    result, _ = relayed(judge(), source, destination, first=first, stopped=lambda: asked[0])
    assert (result.reason, result.exit_status) == (Reason.INTERRUPTED, 2)
    assert not destination.connected


def _connects(first: bytes) -> Callable[[Address], socket.socket]:
    def connect(address: Address) -> socket.socket:
        made = socket.create_connection((address.host, address.port))
        made.sendall(first)
        return made

    return connect


@pytest.mark.parametrize("first", [b"", b"\0", b"GET / HTTP/1.1\r\n\r\n"])
def test_strangers_are_sent_away(first: bytes) -> None:
    kept: list[socket.socket] = []

    def connect(address: Address) -> None:
        kept.append(_connects(first)(address))

    data = _loads()
    source, destination = Source(data=data), Destination(end=len(data))
    result, _ = relayed(judge(), source, destination, first=connect)
    assert result.reason is Reason.MIGRATED
    for one in kept:
        one.close()


def test_tls_is_told_apart() -> None:
    kept: list[socket.socket] = []

    def connect(address: Address) -> None:
        kept.append(_connects(b"\x16\x03\x01\x02\x00")(address))

    destination = Destination(end=1)
    result, _ = relayed(judge(), Source(data=b""), destination, first=connect)
    assert (result.reason, result.exit_status) == (Reason.UNSUPPORTED, 2)
    assert "TLS" in result.message
    assert "no RAM was sent" in result.message
    assert result.guest is Guest.SOURCE
    assert not destination.connected
    for one in kept:
        one.close()


@pytest.mark.parametrize("pause", [None, 0.0, 0.3])
def test_a_channel_of_multifd(pause: float | None) -> None:
    """The source waits for its channels with the head only half sent; one may come first."""
    order: list[str] = []

    class Multifd(Source):
        def _send(self, address: Address) -> None:
            channel = _connects(b"\x11\x22\x33\x44\0\0\0\1")
            with contextlib.ExitStack() as stack:
                if pause is None:
                    stack.enter_context(channel(address))
                    time.sleep(0.2)
                main = stack.enter_context(_connects(self.data[:30])(address))
                if pause is not None:
                    time.sleep(pause)
                    stack.enter_context(channel(address))
                while main.recv(100):
                    pass
                order.append("main")

    data = _loads()
    destination = Destination(end=len(data))
    result, _ = relayed(judge(), Multifd(data=data), destination)
    assert result.reason is Reason.UNSUPPORTED
    assert "multifd is on" in result.message
    assert not destination.connected
    assert order == ["main"]


def test_unknown_passes_unless_strict() -> None:
    profile = replace(find("q35-10.0"), loader=None)
    data = _loads()
    for strict, reason, status in ((False, Reason.MIGRATED, 0), (True, Reason.UNKNOWN, 3)):
        source, destination = Source(data=data), Destination(end=len(data))
        result, _ = relayed(Judge(profile), source, destination, strict=strict)
        assert (result.reason, result.exit_status) == (reason, status)
        assert source.completed is not strict
        assert destination.started is not strict


def test_a_destination_that_cannot_be_reached() -> None:
    data = _loads()
    source, destination = Source(data=data), Destination(end=len(data))
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        here = listen(parse("tcp:127.0.0.1:0"))
        thread = threading.Thread(target=source.send, args=(here.address,), daemon=True)
        thread.start()
        settings = Settings(
            listener=here,
            to=Address(host="127.0.0.1", port=taken.getsockname()[1]),
            judge=judge(),
        )
        result = run(settings)
        here.close()
        thread.join(30)
    assert (result.reason, result.guest) == (Reason.UNREACHABLE, Guest.SOURCE)
    assert source.said == [(SHUT, 1)]
    assert not destination.started


def test_other_messages_go_to_the_source() -> None:
    class Pongs(Destination):
        def _talk(self, connection: socket.socket) -> None:
            connection.sendall(bytes([0, PONG, 0, 4, 0, 0, 0, 1, 0, 7, 0, 0]))
            super()._talk(connection)

    data = _loads()
    source = Source(data=data)
    result, _ = relayed(judge(), source, Pongs(end=len(data)))
    assert result.reason is Reason.MIGRATED
    assert source.said == [(PONG, 1), (7, 0), (SHUT, 0)]
