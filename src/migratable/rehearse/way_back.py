"""The way back: load the state that the destination would hold on the source.

::

    home = Home.of(profile)                  # the source, as a destination
    seen, again = there(stream, line)        # the rehearsal, and what the destination then sends
    verdict = back(again, home)

A destination that loads a guest may send what the source does not know: a device, a newer section.
Only what the real destination saved after its load says that a guest comes back; the form of a
profile's own stream says only where it does not (:func:`guessed`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from migratable.check import check
from migratable.commandline import CommandLine, parse
from migratable.errors import MigratableError, ProfileError
from migratable.profile.at_hand import at_hand
from migratable.profile.collect import collect
from migratable.profile.model import Profile
from migratable.rehearse.destination import Destination, try_destination
from migratable.rehearse.disagreement import joined
from migratable.rehearse.resave import Resave, resaved
from migratable.rehearse.verdict import verdict as rehearsed
from migratable.stream import Stream, read
from migratable.unchecked import Code, Unchecked
from migratable.verdict import Basis, Outcome, Refusal, Verdict

NOT_SAVED = Unchecked(
    "the way back: the state that the destination would hold was put together from its profile's "
    "own stream, not saved by its program",
    Code.REHEARSAL,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Home:
    """The source, on which a guest arrives again.

    :ivar line: its command line with a program that may be started; None: it is only checked.
    :ivar why: why there is none.
    """

    profile: Profile = field(repr=False)
    line: CommandLine | None = None
    release: str | None = None
    why: str = ""

    @classmethod
    def of(
        cls,
        profile: Profile,
        *,
        ram_sizes: Mapping[str, int] | None = None,
        timeout: float = 60.0,
    ) -> Home:
        """The source by its profile; the loader's tables are read where a capture has none.

        :raise ProfileError: when it has none and its program is not here.
        """
        found = at_hand(profile)
        if profile.loader is None:
            if found.line is None:
                raise ProfileError(f"the way back cannot be checked: {found.why}")
            return cls.started(found.line, ram_sizes=ram_sizes, timeout=timeout)
        return cls(profile=profile, line=found.line, why=found.why)

    @classmethod
    def started(
        cls,
        command_line: CommandLine | Sequence[str] | str,
        *,
        release: str | None = None,
        ram_sizes: Mapping[str, int] | None = None,
        timeout: float = 60.0,
    ) -> Home:
        """The source by its command line.

        :param ram_sizes: bytes of RAM blocks, of images that this machine lacks.

        :raise CommandLineError: when it cannot be read.
        :raise DestinationStartError: when it does not start.
        """
        line = (
            command_line
            if isinstance(command_line, CommandLine)
            else parse(command_line, need_program=release is None)
        )
        profile = collect(line, release=release, ram_sizes=dict(ram_sizes or {}), timeout=timeout)
        return cls(profile=profile, line=line, release=release)


def there(
    stream: Stream,
    line: CommandLine | Sequence[str] | str,
    *,
    release: str | None = None,
    timeout: float = 60.0,
) -> tuple[Verdict, Resave]:
    """Rehearse, and save what the destination then holds.

    :raise MigratableError: as :func:`migratable.rehearse.rehearse`.
    """
    again = Resave()
    done = try_destination(
        stream, Destination(command_line=line, release=release), timeout=timeout, loaded=again
    )
    return rehearsed(done), again


def back(again: Resave, home: Home, *, timeout: float = 60.0) -> Verdict | str:
    """Put what the destination saved to the source; a string: why that cannot be done."""
    if again.blocked:
        return Verdict(
            outcome=Outcome.REFUSED,
            basis=Basis.REHEARSED,
            first_refusal=Refusal(
                rule="not-migratable",
                message=f"the guest cannot leave the destination: {again.why}",
            ),
        )
    if not again.data:
        return again.why or "the destination was not rehearsed"
    return _arrives(read(again.data), home, timeout)


def guessed(stream: Stream, destination: Profile, home: Home) -> Verdict | str:
    """The same where the destination's program is not here: refused, or unknown."""
    if not destination.stream:
        return destination.no_stream or "the destination's profile has no stream of its own"
    after, assumed = resaved(stream, read(destination.stream))
    verdict = check(after, home.profile)
    outcome = Outcome.REFUSED if verdict.outcome is Outcome.REFUSED else Outcome.UNKNOWN
    guesses = (Unchecked(one, Code.ASSUMED) for one in assumed)
    return replace(
        verdict, outcome=outcome, unchecked=(NOT_SAVED, *guesses, *verdict.unchecked), final=False
    )


def _arrives(after: Stream, home: Home, timeout: float) -> Verdict:
    predicted = check(after, home.profile)
    if home.line is None:
        return _not_rehearsed(predicted, home.why)
    try:
        done = try_destination(
            after, Destination(command_line=home.line, release=home.release), timeout=timeout
        )
    except MigratableError as error:
        return _not_rehearsed(predicted, str(error))
    return joined(predicted, rehearsed(done))


def _not_rehearsed(predicted: Verdict, why: str) -> Verdict:
    reason = Unchecked(f"not rehearsed: {why}", Code.REHEARSAL)
    return replace(predicted, unchecked=(*predicted.unchecked, reason))


def said(found: Verdict | str) -> str:
    """Why a guest does not come back, or why that is not known; empty: it does."""
    if isinstance(found, str):
        return found
    if found.outcome is Outcome.LOADS:
        return ""
    if found.outcome is Outcome.REFUSED:
        refusal = found.first_refusal
        if refusal is None:
            return "refused"
        return refusal.message.partition(". Make sure that")[0] or refusal.rule
    return "; ".join(found.unchecked[:2])
