"""One hop of a route: does this host load the VM, and which state does it send on?

Where the host's own program is here it loads the VM and saves it again. Else the next stream is
put together: the form (sections, versions, order) is that of the profile's own stream, the contents
are the VM's wherever a section has the same form on both sides, and what was assumed is said.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from migratable.check import check
from migratable.errors import MigratableError
from migratable.profile.at_hand import at_hand
from migratable.profile.model import Profile
from migratable.rehearse import Destination
from migratable.rehearse.destination import try_destination
from migratable.rehearse.disagreement import with_dangers
from migratable.rehearse.resave import Resave, resaved
from migratable.rehearse.verdict import verdict as rehearsed
from migratable.stream import Stream, read
from migratable.unchecked import Code, Unchecked
from migratable.verdict import Basis, Outcome, Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class Hop:
    """A VM put to one host.

    :ivar verdict: the rehearsal's where there was one, else the prediction.
    :ivar after: the VM as it would leave this host again; None when it does not load or cannot
        leave.
    :ivar after_basis: what :attr:`after` comes from.
    :ivar assumed: what had to be assumed for it, in words.
    :ivar stuck: why the VM cannot leave this host again, or empty.
    """

    host: str
    verdict: Verdict
    after: Stream | None = field(default=None, repr=False)
    after_basis: Basis | None = None
    assumed: tuple[str, ...] = ()
    stuck: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """A host of a route, by its name and profile."""

    name: str
    profile: Profile


def put(
    stream: Stream, host: Host, *, onward: bool, rehearse: bool = True, timeout: float = 60.0
) -> Hop:
    """Put a VM to a host.

    :param onward: also say what it looks like afterwards.
    :param rehearse: use the host's program where it is here.
    :raise MigratableError: never; a rehearsal that fails leaves the prediction, and says so.
    """
    predicted = check(stream, host.profile)
    if predicted.outcome is Outcome.REFUSED or not rehearse:
        return _predicted(stream, host, predicted, onward)
    program = at_hand(host.profile)
    if program.line is None:
        return _predicted(stream, host, predicted, onward, f"not rehearsed: {program.why}")
    again = Resave()
    try:
        destination = Destination(command_line=program.line)
        done = try_destination(
            stream, destination, timeout=timeout, loaded=again if onward else None
        )
        verdict = rehearsed(done)
        if verdict.outcome is Outcome.LOADS:  # what a load does not show: what may break later
            verdict = with_dangers(verdict, predicted)
    except MigratableError as error:
        return _predicted(stream, host, predicted, onward, f"the rehearsal failed: {error}")
    hop = Hop(host=host.name, verdict=verdict)
    if verdict.outcome is not Outcome.LOADS or not onward:
        return hop
    if not again.data:
        return replace(hop, stuck=again.why or "it was not saved again")
    return replace(hop, after=read(again.data), after_basis=Basis.REHEARSED)


def _predicted(stream: Stream, host: Host, verdict: Verdict, onward: bool, why: str = "") -> Hop:
    if why:
        verdict = replace(verdict, unchecked=(*verdict.unchecked, Unchecked(why, Code.REHEARSAL)))
    hop = Hop(host=host.name, verdict=verdict)
    if verdict.outcome is Outcome.REFUSED or not onward:
        return hop
    if not host.profile.stream:
        return replace(hop, stuck=host.profile.no_stream or "the profile has no stream of its own")
    after, assumed = resaved(stream, read(host.profile.stream))
    return replace(hop, after=after, after_basis=Basis.PREDICTED, assumed=assumed)
