"""One migration through the relay, from the source's connection to the end of both."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from migratable.convert.model import Plan
from migratable.errors import ConvertError, RelayError, StreamError
from migratable.relay import planned
from migratable.relay.address import Address, Listener, connect, prepare
from migratable.relay.arrival import wait_for_source
from migratable.relay.arriving import ArrivingCursor, SourceEndedError
from migratable.relay.commit import commit
from migratable.relay.judge import Judge
from migratable.relay.links import (
    DestinationEndedError,
    InterruptedRelayError,
    Links,
    SecondConnectionError,
)
from migratable.relay.parse import MULTIFD, Parser, UnsupportedError
from migratable.relay.result import Guest, Reason, Result, Times
from migratable.relay.return_path import OPEN, SAYS_THAT_IT_FAILED
from migratable.relay.tail import Tail, assemble
from migratable.verdict import Outcome, Verdict

_QUIET = 0.02
"""Seconds without data after which a stream that has no description may be whole."""
SWITCH_ON = (
    'migrate-set-capabilities {"capabilities": [{"capability": "return-path", "state": true}]}'
)
NO_RETURN_PATH = (
    "the source has no return path: it counts the migration as completed when everything is "
    "written, and is paused then; if the migration is aborted after that, `cont` on the source "
    f"starts the guest again (it runs nowhere else). To keep it running: QMP {SWITCH_ON}"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The user's settings.

    :ivar strict: abort also if the verdict is unknown.
    :ivar need_return_path: abort before RAM is sent if the source has none.
    :ivar plan: edits that are carried out on the way.
    :ivar timeout: seconds for the destination's connection.
    """

    listener: Listener
    to: Address
    judge: Judge
    strict: bool = False
    need_return_path: bool = False
    plan: Plan | None = None
    timeout: float = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far it is.

    :ivar phase: ``waiting``, ``ram`` or ``devices``.
    """

    phase: str
    bytes: int
    total: int
    seconds: float
    rounds: int


class _BreakOffError(Exception):
    """The relay ends the migration."""

    def __init__(self, reason: Reason, message: str, verdict: Verdict | None = None) -> None:
        super().__init__(message)
        self.reason = reason
        self.verdict = verdict


def run(
    settings: Settings,
    *,
    stopped: Callable[[], bool] = lambda: False,
    say: Callable[[str], None] = lambda _: None,
    progress: Callable[[Progress], None] = lambda _: None,
) -> Result:
    """Relay one migration; both connections are closed in any case.

    :param stopped: whether the user wants an end; asked ten times a second.
    :param say: told what the user should know at once.
    """
    try:
        source, first, silent, channels = wait_for_source(settings.listener.socket, stopped, say)
    except UnsupportedError as error:
        return Result(reason=Reason.UNSUPPORTED, message=_unsupported(error), guest=Guest.SOURCE)
    except InterruptedRelayError:
        return Result(
            reason=Reason.INTERRUPTED, message="ended before a source connected", guest=Guest.SOURCE
        )
    prepare(source)
    return _Session(
        settings=settings,
        say=say,
        progress=progress,
        links=Links(
            source=source,
            listener=settings.listener.socket,
            stopped=stopped,
            tick=lambda: None,
            received=len(first),
            strangers=silent,
            channels=channels,
        ),
    ).run(first)


def _unsupported(error: UnsupportedError) -> str:
    return f"this migration cannot be relayed: {error}; no RAM was sent"


@dataclass(slots=True, kw_only=True)
class _Session:
    settings: Settings
    say: Callable[[str], None]
    progress: Callable[[Progress], None]
    links: Links
    times: Times = field(default_factory=Times)
    head: bytearray = field(default_factory=bytearray)
    first_element: int = 0
    verdict: Verdict | None = None
    tail: Tail = field(default_factory=Tail)
    _parser: Parser | None = None
    _edited: planned.Edited | None = None
    _told: float = 0.0
    _moving: bool = False

    @property
    def parser(self) -> Parser:
        assert self._parser is not None
        return self._parser

    def run(self, first: bytes) -> Result:
        self.times.accepted = time.monotonic()
        self.links.tick = self._tick
        cursor = ArrivingCursor(self.links.receive, self._keep_head, first=first)
        own = self.settings.judge.page_size
        self._parser = Parser(
            cursor=cursor, page_size=own, at_first=self._at_first, at_ram=self._at_ram
        )
        migrated = False
        try:
            result = self._result(self._run)
            migrated = result.reason is Reason.MIGRATED
        finally:
            self.links.close(failed=not migrated)
        return result

    def _result(self, run: Callable[[], None]) -> Result:
        """What became of it, in words."""
        try:
            run()
        except _BreakOffError as error:
            return self._ended(error.reason, str(error))
        except UnsupportedError as error:
            return self._ended(Reason.UNSUPPORTED, _unsupported(error))
        except SecondConnectionError:
            return self._ended(Reason.UNSUPPORTED, _unsupported(UnsupportedError(MULTIFD)))
        except StreamError as error:
            return self._ended(Reason.STREAM, f"the stream cannot be followed: {error}")
        except InterruptedRelayError:
            place = Guest.NOWHERE_SEEN if self.links.released else None
            return self._ended(Reason.INTERRUPTED, "ended by the user", place)
        except RelayError as error:
            return self._ended(Reason.UNREACHABLE, str(error))
        except SourceEndedError:
            return self._ended(
                Reason.SOURCE_ENDED,
                "the source closed its connection: the migration was cancelled, or it exited",
                guest=Guest.NOWHERE_SEEN,
            )
        except DestinationEndedError as error:
            return self._destination_ended(error)
        return self._ended(Reason.MIGRATED, "the guest is the destination's", Guest.DESTINATION)

    def _destination_ended(self, error: DestinationEndedError) -> Result:
        if self.links.released or self.times.committed:
            return self._ended(
                Reason.DESTINATION_ENDED,
                f"the destination had loaded everything and then ended ({error}); the guest is "
                "paused on the source: when the destination has ended, `cont` there starts it",
                Guest.SOURCE_STOPPED,
            )
        where = "device state" if self.times.held else "RAM" if self._moving else "nothing"
        if self.links.shut:
            return self._ended(
                Reason.DESTINATION_REFUSED,
                f"the destination refused the stream after it received {where}; "
                "its log has the reason",
            )
        version = self.settings.judge.profile.version
        if self.times.held and version.release < SAYS_THAT_IT_FAILED:
            return self._ended(
                Reason.DESTINATION_REFUSED,
                f"the destination ended while it loaded the {where}, as QEMU {version} does when "
                "it refuses a stream (it does not report that); its log has the reason",
            )
        return self._ended(
            Reason.DESTINATION_ENDED,
            f"the destination ended after it received {where}: {error}; it refused the stream "
            "(its log has the reason), or it crashed",
        )

    def _ended(self, reason: Reason, message: str, guest: Guest | None = None) -> Result:
        links, times, plan = self.links, self.times, self.settings.plan
        if guest is None:
            stopped = times.held and not links.return_path
            guest = Guest.SOURCE_STOPPED if stopped else Guest.SOURCE
            if stopped:
                message += (
                    "; the source has no return path and is paused: `cont` on the source starts "
                    "the guest again"
                )
        return Result(
            reason=reason,
            message=message,
            guest=guest,
            verdict=self.verdict,
            return_path=links.return_path if self.first_element else None,
            bytes=links.received,
            seconds=time.monotonic() - times.accepted,
            rounds=self.parser.rounds,
            device_bytes=len(self.tail.data),
            times=times,
            edits=() if self._edited is None or plan is None else plan.edits,
        )

    # -- the steps ------------------------------------------------------------------------------

    def _run(self) -> None:
        if self.links.channels:
            raise SecondConnectionError
        cursor = self.parser.cursor
        self.parser.run()
        self.times.held = time.monotonic()
        cursor.flush()
        self.tail.add(cursor.rest())
        self._receive_tail()
        self.times.whole = time.monotonic()
        self._judge()
        state = self._edited or self.tail
        commit(self.links, state.sections, state.rest, self.times)

    @contextlib.contextmanager
    def _plan_fits(self) -> Iterator[None]:
        try:
            yield
        except ConvertError as error:
            raise _BreakOffError(Reason.PLAN, f"the plan cannot be carried out: {error}") from None

    def _keep_head(self, data: memoryview) -> None:
        self.head += data

    def _at_first(self, opens_return_path: bool) -> None:
        self.first_element = len(self.head)
        self.links.return_path = opens_return_path
        if opens_return_path:
            return
        if self.settings.need_return_path:
            raise _BreakOffError(
                Reason.NO_RETURN_PATH,
                "the source has no return path, so the guest would not keep running after an "
                f"abort; no RAM was sent. Enable it: QMP {SWITCH_ON}",
            )
        self.say(f"warning: {NO_RETURN_PATH}")

    def _at_ram(self) -> None:
        """The head is whole: what it tells is judged, then it goes to the destination."""
        if self.settings.plan is not None:
            stream = assemble(bytes(self.head), self.parser, None)
            with self._plan_fits():
                edited, self.first_element = planned.edited_head(
                    self.settings.plan, bytes(self.head), self.first_element, stream
                )
            self.head = bytearray(edited)
        refused = self.settings.judge.check_head(assemble(bytes(self.head), self.parser, None))
        if refused is not None:
            self.verdict = refused
            raise _BreakOffError(
                Reason.REFUSED, "refused before RAM was sent; the destination received nothing"
            )
        links = self.links
        links.destination = connect(self.settings.to, self.settings.timeout)
        head = memoryview(bytes(self.head))
        links.send(head[: self.first_element])
        if not links.return_path:
            links.send(OPEN)
        links.send(head[self.first_element :])
        self._moving = True
        self.parser.cursor.sink = links.send

    def _receive_tail(self) -> None:
        tail, links = self.tail, self.links
        while not tail.whole:
            data = links.receive_soon(_QUIET)
            if data:
                tail.add(data)
            elif tail.whole_without_description(bytes(self.head), self.parser):
                return
            elif data is not None:
                raise SourceEndedError

    def _judge(self) -> None:
        stream = assemble(bytes(self.head), self.parser, self.tail.data)
        plan = self.settings.plan
        if plan is not None:
            with self._plan_fits():
                self._edited = planned.edited(plan, stream)
            stream = self._edited.stream
        self.verdict = verdict = self.settings.judge.check(stream)
        self.times.checked = time.monotonic()
        if verdict.outcome is Outcome.REFUSED:
            raise _BreakOffError(Reason.REFUSED, "the destination would refuse this guest")
        if verdict.outcome is Outcome.UNKNOWN and self.settings.strict:
            raise _BreakOffError(
                Reason.UNKNOWN, "whether the destination loads this guest is not known"
            )

    def _tick(self) -> None:
        now = time.monotonic()
        if now - self._told < 0.1:
            return
        self._told = now
        phase = "devices" if self.times.held else "ram" if self._moving else "waiting"
        ram = self.parser.ram
        self.progress(
            Progress(
                phase=phase,
                bytes=self.links.received,
                total=0 if ram is None else ram.total,
                seconds=now - self.times.accepted,
                rounds=self.parser.rounds,
            )
        )
