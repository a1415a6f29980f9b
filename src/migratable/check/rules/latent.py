"""The guest loads now, but may not later, after it has done something.

## What it checks

From the stream alone:

- a pseries guest in a compatibility mode, on a destination whose processor has another PVR: a
  reboot of the guest ends the mode, until its kernel requests it again;
- virtqueues that the driver has made smaller than their size at the start, if the destination
  has allocated less than that first size (from 11.0 on);
- packed virtqueues that the source offers, the driver has not accepted, and the destination does
  not offer.

If the source is a profile, or its profile is known, also

- subsections and whole sections that the source's QEMU can send and the destination does not
  know. The source sends most of them only if the guest uses their feature (`cpu/msr_xfd`,
  `ich9_pm/pcihp`, `spapr_watchdog`), and some never with an old machine type;
- subsections that both sides know and that the guest has not needed yet, if they differ in the
  number of elements or in values that must be equal: for example CPU hot-plug that the guest
  has not switched on, with another `maxcpus=`;
- virtio features that the source offers and the destination does not: a driver may accept them at
  its next start.

## Why QEMU would refuse

The later refusal is `error while loading state …`, `Features 0x… unsupported` or `Missing section
footer`. Each of these has a rule of its own, which then refuses.

## How to fix it

Move the guest before that, or use a destination of the same release. Turn off features at
the source that the destination does not have, then restart the guest.

## Source

`target/ppc/machine.c: cpu_post_load`, `hw/virtio/virtio.c: virtio_load`,
`migration/vmstate.c: vmstate_subsection_load`; the tables of both programs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from migratable.check import x86_features
from migratable.check.events import StreamLoaded, VirtioQueues
from migratable.check.problem import Problem, UnexaminedError
from migratable.check.rule import Rule, loads, refuses
from migratable.errors import StreamError
from migratable.messages import Fault
from migratable.profile.model import Profile
from migratable.profile.tables import Handler, LoaderTables, VirtioLive, Vmsd
from migratable.releases import QemuVersion
from migratable.stream.model import Section
from migratable.verdict import Severity

_PACKED = 34
#: Decided when the machine starts, so that they are in the stream already or never will be.
_FIXED = ("spapr/cap/",)
_COMPAT = "cpu/compat"
#: A virtio device's own stream that has none of these shows nothing; it need not be taken apart.
_SHOWING = (b"virtio/ringsize", b"virtio/packed_virtqueues")


def check(event: StreamLoaded) -> Iterator[Problem]:
    """What the stream alone shows, then what the source's tables and devices have."""
    yield from _reboot(event)
    yield from _virtio(event)
    origin = None if event.origin is None else event.origin.loader
    if origin is not None and event.profile.loader is not None:
        yield from _tables(event, origin, event.profile.loader)
        yield from _unsent(event)


def _problem(summary: str, *, device: str, explanation: str = "") -> Problem:
    return Problem(
        rule=RULE.id,
        refuses=False,
        severity=Severity.LATENT,
        summary=summary,
        explanation=explanation,
        device=device,
    )


def _reboot(event: StreamLoaded) -> Iterator[Problem]:
    """A compatibility mode that ends with the next reset."""
    if not event.cpus or not event.profile.target.startswith("ppc"):
        return
    cpu = event.cpus[0]
    sent = cpu.subsections.get(_COMPAT)
    if sent is None or not sent.number("compat_pvr"):
        return
    if event.own_cpu is not None and _COMPAT in event.own_cpu.subsections:
        return  # max-cpu-compat= gives every reset a mode
    from migratable.check.devices.ppc import processor  # noqa: PLC0415 -- ppc64 only

    try:
        other = processor(cpu, event.own_cpu, event.profile)
    except UnexaminedError:
        return
    if other is not None:
        yield _problem(
            "after a reboot, and until its kernel has set its compatibility mode again, the guest "
            f"is refused: {other.summary}",
            device="cpu",
            explanation="Now it runs in a compatibility mode that both processors have.",
        )


def _virtio(event: StreamLoaded) -> Iterator[Problem]:
    known, offered = _devices(event.profile), _devices(event.origin)
    for section in event.sections:
        here, there = known.get(section.idstr), offered.get(section.idstr)
        if here is None:  # a body that is not looked at need not be equal for an equal answer
            continue
        if there is not None or any(name in bytes(section.body) for name in _SHOWING):
            yield from _device(event, section, here, there)


def _devices(profile: Profile | None) -> Mapping[str, VirtioLive]:
    return {} if profile is None or profile.loader is None else profile.loader.virtio


def _device(
    event: StreamLoaded, section: Section, here: VirtioLive, there: VirtioLive | None
) -> Iterator[Problem]:
    from migratable.check.rules import virtio_queues  # noqa: PLC0415 -- rules are found by name
    from migratable.facts import virtio as virtio_facts  # noqa: PLC0415 -- virtio only
    from migratable.stream.non_vmstate import virtio_of  # noqa: PLC0415

    try:
        sent = virtio_of(section)
    except StreamError:
        return
    if sent is None:
        return
    offered = there.host_features if there is not None else 0
    if "virtio/packed_virtqueues" in sent.subsections:
        offered |= 1 << _PACKED
    more = offered & ~here.host_features & ~sent.guest_features
    if more:
        kind = section.idstr.rpartition("/")[2]
        names = ", ".join(virtio_facts.names(kind, more))
        yield _problem(
            f"the source offers what the destination does not: {names}; a driver that takes it "
            "is refused",
            device=section.idstr,
            explanation="The driver has not accepted it."
            if sent.guest_features
            else "No driver has started yet.",
        )
    if any(queue.num_default not in {None, queue.num} for queue in sent.queues):
        point = VirtioQueues(
            release=event.release,
            idstr=section.idstr,
            live=here,
            queues=tuple((q.num_default or q.num, q.desc, q.last_avail_idx) for q in sent.queues),
            count=len(sent.queues),
        )
        for problem in virtio_queues.check(point):
            yield _problem(
                f"after the driver resets the device: {problem.summary}",
                device=section.idstr,
                explanation=problem.explanation,
            )


# -- tables -------------------------------------------------------------------------------------


def _tables(event: StreamLoaded, origin: LoaderTables, here: LoaderTables) -> Iterator[Problem]:
    known = {(one.idstr, one.instance_id): one for one in here.handlers}
    sent = {(one.idstr, one.instance_id): one for one in event.sections}
    walk = _Walk(origin, here)
    gone: dict[str, list[Handler]] = {}
    for handler in origin.handlers:
        if handler.vmsd is None:
            continue
        place = (handler.idstr, handler.instance_id)
        other = known.get(place)
        if other is None:
            if place not in sent:
                gone.setdefault(handler.idstr, []).append(handler)
        elif other.vmsd is not None:
            walk.compare(handler.vmsd, other.vmsd, handler.idstr)
            theirs, ours = origin.virtio.get(handler.idstr), here.virtio.get(handler.idstr)
            for name, index in theirs.vmsds.items() if theirs is not None else ():
                if ours is not None and name in ours.vmsds:
                    walk.compare(index, ours.vmsds[name], handler.idstr)
    for name, index in origin.extra.items():
        if name in here.extra:
            walk.compare(index, here.extra[name], name)
    bodies: dict[str, list[bytes]] = {}
    for section in event.sections if walk.found else ():
        bodies.setdefault(section.idstr, []).append(bytes(section.body))
    for where, names in walk.found.items():
        arrived = bodies.get(where) or [body for one in bodies.values() for body in one]
        later = [
            one
            for one in names
            if _possible(one, event.origin) and not any(one.encode() in body for body in arrived)
        ]
        if later:
            yield _problem(
                f"the source can send {', '.join(later)}, which the destination does not know",
                device=where,
            )
    for idstr, handlers in gone.items():
        yield _problem(
            f"the source can send {len(handlers)} {_plural('section', len(handlers))} named "
            f"{idstr!r}, which the destination does not have",
            device=idstr,
        )


def _unsent(event: StreamLoaded) -> Iterator[Problem]:
    """Subsections of both, of another size or value, that the guest has not made it send."""

    def arrived(idstr: str, subsection: str) -> bool:
        own = (section for section in event.sections if section.idstr == idstr)
        return any(subsection.encode() in bytes(section.body) for section in own)

    from migratable.check.unsent import differences  # noqa: PLC0415 -- it needs this package

    for one in differences(event.origin, event.profile, arrived) if event.origin else ():
        if not _possible(one.subsection, event.origin):
            continue
        what = "elements" if one.counts else "as its value"
        yield _problem(
            f"once the guest uses it the source sends {one.subsection}, whose {one.field} has "
            f"{one.source} {what} at the source and {one.destination} on the destination: "
            "the destination then refuses it",
            device=one.idstr,
            explanation="The stream does not have it yet. Give the destination the same options "
            "(-smp maxcpus= for CPU hot-plug) before the guest does."
            if one.counts
            else "",
        )


def _possible(subsection: str, origin: Profile | None) -> bool:
    """Whether the source's CPU has what a subsection is for, when that can be told."""
    if origin is None or not origin.cpu_features or origin.stand_in:
        return True
    needed = x86_features.SENT_FOR.get(subsection)
    if needed is None:
        return True
    return not x86_features.features(origin.cpu_features).isdisjoint(needed.split())


def _plural(word: str, count: int) -> str:
    return word if count == 1 else word + "s"


class _Walk:
    """Compares two programs' tables, each pair once."""

    def __init__(self, origin: LoaderTables, here: LoaderTables) -> None:
        self._origin = origin
        self._here = here
        self._seen: set[tuple[int, int]] = set()
        self.found: dict[str, list[str]] = {}

    def compare(self, origin: int, here: int, where: str) -> None:
        """Note under *where* the subsections that only the origin has."""
        if (origin, here) in self._seen:
            return
        self._seen.add((origin, here))
        there, mine = self._origin.vmsds[origin], self._here.vmsds[here]
        known = {self._here.vmsds[index].name: index for index in mine.subsections}
        for index in there.subsections:
            name = self._origin.vmsds[index].name
            if name in known:
                self.compare(index, known[name], where)
            elif not name.startswith(_FIXED) and name not in self.found.get(where, ()):
                self.found.setdefault(where, []).append(name)
        structs = {item.name: item.vmsd for item in mine.fields if item.vmsd is not None}
        for item in there.fields:
            other = structs.get(item.name)
            if item.vmsd is not None and other is not None:
                self.compare(item.vmsd, other, where)


# -- examples -----------------------------------------------------------------------------------


def _point(*subsections: str, origin: tuple[str, ...]) -> StreamLoaded:
    def profile(release: str, names: tuple[str, ...]) -> Profile:
        subs = tuple(Vmsd(name=name, version=1, minimum=1) for name in names)
        top = Vmsd(name="i8259", version=1, minimum=1, subsections=tuple(range(1, 1 + len(subs))))
        handler = Handler(
            idstr="i8259", instance_id=0, alias_id=-1, version=1, vmsd=0, opaque=0x1000
        )
        return Profile(
            version=QemuVersion.parse(release),
            machine="pc-q35-5.2",
            target="x86_64",
            loader=LoaderTables(handlers=(handler,), vmsds=(top, *subs)),
        )

    return StreamLoaded(
        release=(7, 2), profile=profile("7.2.0", subsections), origin=profile("10.0.0", origin)
    )


RULE = Rule(
    id="latent",
    severity=Severity.LATENT,
    side=Fault.NEITHER,
    now="Nothing: the guest loads now. Move it before the event that the finding names, or use a "
    "destination of the same release.",
    prevent="Migrate forward only, and test the pair of releases with the devices in use.",
    verify="check",
    events=(StreamLoaded,),
    check=check,
    examples=(
        refuses(_point(origin=("i8259/ltim",)), "can send i8259/ltim"),
        loads(_point("i8259/ltim", origin=("i8259/ltim",))),
        loads(_point("i8259/ltim", origin=())),
    ),
)
