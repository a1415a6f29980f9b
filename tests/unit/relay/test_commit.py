"""The moment in which the source is told that the destination has everything."""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from migratable.relay import commit
from migratable.relay.arriving import SourceEndedError
from migratable.relay.links import Links, SourceState
from migratable.relay.return_path import shut

_WORD = shut(0)


def _tcp(stack: ExitStack) -> tuple[socket.socket, socket.socket]:
    listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
    source = stack.enter_context(socket.create_connection(listener.getsockname()))
    ours, _ = listener.accept()
    return stack.enter_context(ours), source


def _unix(stack: ExitStack) -> tuple[socket.socket, socket.socket]:
    ours, source = socket.socketpair()
    return stack.enter_context(ours), stack.enter_context(source)


@pytest.fixture(params=[_tcp, _unix])
def connection(request: pytest.FixtureRequest) -> Iterator[tuple[Links, socket.socket]]:
    with ExitStack() as stack:
        ours, source = request.param(stack)
        ours.setblocking(False)
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        yield (
            Links(
                source=ours,
                listener=listener,
                stopped=lambda: False,
                tick=lambda: None,
                return_path=True,
            ),
            source,
        )


def _at_the_first_look(monkeypatch: pytest.MonkeyPatch, act: Callable[[], None]) -> None:
    """The source acts right after the relay's first look, which still saw the word on its way."""
    original, looks = Links.source_has_it, [0]

    def look(links: Links) -> bool:
        looks[0] += 1
        if looks[0] > 1:
            return original(links)
        act()
        return False

    monkeypatch.setattr(Links, "source_has_it", look)


def test_a_source_that_read_the_word_and_ended_between_two_looks(
    connection: tuple[Links, socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    """QEMU 7.2 in CI, 2026-11-29: the migration was aborted though the source had completed."""
    links, source = connection

    def read_and_end() -> None:
        assert source.recv(len(_WORD), socket.MSG_WAITALL) == _WORD
        source.close()

    _at_the_first_look(monkeypatch, read_and_end)
    commit._release(links)
    assert links.released


def test_a_source_that_ended_without_reading_it(
    connection: tuple[Links, socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    links, source = connection

    def reset() -> None:
        assert source.recv(len(_WORD), socket.MSG_PEEK | socket.MSG_WAITALL) == _WORD
        if source.family == socket.AF_INET:  # at once, not after what was sent before
            source.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        source.close()

    _at_the_first_look(monkeypatch, reset)
    with pytest.raises(SourceEndedError):
        commit._release(links)


def test_a_source_that_takes_no_word(
    connection: tuple[Links, socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It gave up in the moment before it was told."""
    links, source = connection
    monkeypatch.setattr(Links, "look_at_source", lambda _links: SourceState.THERE)
    source.close()
    if links.source.family == socket.AF_INET:
        links.source.shutdown(socket.SHUT_WR)
    with pytest.raises(SourceEndedError):
        commit._release(links)
