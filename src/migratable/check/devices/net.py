"""Network cards other than virtio: hw/net/e1000e.c, vmxnet3.c.

Of the others no hook fails: e1000, igb, rtl8139, ne2000, pcnet, eepro100, the CAN controllers.
"""

from __future__ import annotations

from collections.abc import Iterator
from errno import EPERM

from migratable.check.devices import beyond, has_fixes_of_2026, post_load, prepares
from migratable.check.events import BodyLoaded
from migratable.check.problem import Problem
from migratable.check.state import LoadedState, Memory
from migratable.problem_facts import PropertiesFacts
from migratable.profile.model import Profile

_QUEUES = 8
_INTERRUPTS = 25


@post_load("e1000e")
def e1000e(event: BodyLoaded) -> Iterator[Problem]:
    """e1000e_post_load: the properties subsys and subsys_ven.

    Its line has no end: the next, which begins with the program's name, follows at once.
    """
    differing = {
        name: (sent, here)
        for name in ("subsys", "subsys_ven")
        if (sent := event.body.number(name)) is not None
        and (here := event.body.owned(name)) is not None
        and sent != here
    }
    if differing:
        yield Problem(
            rule="field-equal",
            summary="; ".join(
                f"{name} is {sent:#x} in the stream and {here:#x} on the destination"
                for name, (sent, here) in differing.items()
            ),
            words=(("e1000e-subsystem", {}),),
            errno=EPERM,
            field="subsys",
            unended=f"qemu-system-{event.profile.target}: ",
            facts=PropertiesFacts(
                properties={name: hex(sent) for name, (sent, _) in differing.items()}
            ),
        )


@prepares("vmxnet3/mcast_list")
def multicast_list(body: LoadedState, memory: Memory, _profile: Profile) -> None:
    """vmxnet3_mcast_list_pre_load: memory for as many bytes as the card's body said."""
    for item in body.vmsd.fields:
        memory.set(body.opaque + item.offset, 8, memory.allocate(1 << 16))


@post_load("vmxnet3")
def vmxnet3(event: BodyLoaded) -> Iterator[Problem]:
    """vmxnet3_post_load: numbers of queues and interrupts.

    5.2 looks at the queues and goes on whatever it finds. A bad interrupt is ``hw_error`` (the
    program aborts) in releases without the fix of 2026. Whether MSI-X is in use is a property and
    not in the stream; only a number that is too large with MSI-X is judged.
    """
    body = event.body
    if event.release >= (6, 0):
        for field, kind in (("txq_num", "transmit"), ("rxq_num", "receive")):
            number = body.number(field)
            if number is not None and number > _QUEUES:
                yield beyond(f"there are {number} {kind} queues, 8 are possible", errno=EPERM)
                return
    indices = [body.number("event_int_idx")]
    for field, queues in (("txq_num", "txq_descr"), ("rxq_num", "rxq_descr")):
        used = body.number(field) or 0
        indices += [queue.number("intr_idx") for queue in body.children.get(queues, ())[:used]]
    for index in indices:
        if index is not None and index >= _INTERRUPTS:
            end = "" if has_fixes_of_2026(event) else "; the program aborts"
            yield beyond(f"interrupt {index} is used, 24 is the last{end}", errno=EPERM)
            return
