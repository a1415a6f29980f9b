"""One hop of a route: does this host take the VM, and what does it look like afterwards?

Where the host's own program is here it loads the VM and saves it again. Else the next stream is
put together: the form (sections, versions, order) is that of the profile's own stream, the contents
are the VM's wherever a section has the same form on both sides, and what was assumed is said.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from migratable.check import check
from migratable.errors import MigratableError
from migratable.profile.at_hand import at_hand
from migratable.profile.model import Profile
from migratable.rehearse import Destination
from migratable.rehearse.destination import try_destination
from migratable.rehearse.resave import Resave
from migratable.rehearse.verdict import verdict as rehearsed
from migratable.stream import Section, SectionKind, Stream, VmDevice, VmField, VmsdBody, read
from migratable.stream.edit import append_section, free_section_id, map_sections
from migratable.unchecked import Code, Unchecked
from migratable.verdict import Basis, Outcome, Severity, Verdict

_NAMED = 6


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
        verdict = _with_dangers(rehearsed(done), predicted)
    except MigratableError as error:
        return _predicted(stream, host, predicted, onward, f"the rehearsal failed: {error}")
    hop = Hop(host=host.name, verdict=verdict)
    if verdict.outcome is not Outcome.LOADS or not onward:
        return hop
    if not again.data:
        return replace(hop, stuck=again.why or "it was not saved again")
    return replace(hop, after=read(again.data), after_basis=Basis.REHEARSED)


def _with_dangers(verdict: Verdict, predicted: Verdict) -> Verdict:
    """What a load does not show: what may break later."""
    if verdict.outcome is not Outcome.LOADS:
        return verdict
    later = [
        one
        for one in predicted.findings
        if one.severity in (Severity.ENDANGERS, Severity.LATENT) and one not in verdict.findings
    ]
    return replace(verdict, findings=(*verdict.findings, *later))


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


def resaved(stream: Stream, own: Stream) -> tuple[Stream, tuple[str, ...]]:
    """What a machine would send on that has loaded *stream*, by form *own*.

    :param own: what the same machine sends at power-on.
    :return: the stream, and what was assumed.
    """
    twins = {
        (one.idstr, one.instance_id): one for one in stream.devices if one.kind is SectionKind.FULL
    }
    reset: list[str] = []

    def carried(section: Section) -> Section:
        if section.kind is not SectionKind.FULL:
            return section
        twin = twins.pop((section.idstr, section.instance_id), None)
        if twin is None:
            return section
        if not _same_form(section, twin):
            reset.append(section.name)
            return section
        return replace(section, body=twin.body, description=twin.description)

    out = map_sections(own, carried)
    for twin in twins.values():  # loaded, so the machine knows it, and has it to send
        out = append_section(out, replace(twin, section_id=free_section_id(out)))
    assumed = ["device state is sent on as it came, wherever its form is the same"]
    if reset:
        assumed.append(
            f"power-on state of {_some(reset)}, whose form is another on this host: what the guest "
            "had there is not carried on"
        )
    if twins:
        names = [one.name for one in twins.values()]
        assumed.append(f"{_some(names)}, which the machine does not send at power-on, goes on")
    return out, tuple(assumed)


def _some(names: Sequence[str]) -> str:
    more = len(names) - _NAMED
    return ", ".join(names[:_NAMED]) + (f" and {more} more" if more > 0 else "")


def _same_form(one: Section, other: Section) -> bool:
    if one.version_id != other.version_id:
        return False
    first, second = one.description, other.description
    if first is None or second is None:
        return first is second and len(one.body) == len(other.body)
    return _form(first) == _form(second)


def _form(device: VmDevice) -> object:
    """Fields and their nested versions; subsections and lengths change as a guest runs."""
    body = device.body
    return None if body is None else _body_form(body)


def _body_form(body: VmsdBody) -> object:
    return (body.version, tuple(_field_form(one) for one in body.fields))


def _field_form(one: VmField) -> object:
    return (one.name, one.type, None if one.struct is None else _body_form(one.struct))
