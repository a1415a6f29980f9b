"""What belongs to no device: migration/global_state.c, hw/misc/ivshmem-pci.c."""

from __future__ import annotations

from collections.abc import Iterator

from migratable.check.devices import post_load, pre_load
from migratable.check.events import BodyEntered, BodyLoaded
from migratable.check.problem import Problem
from migratable.problem_facts import PropertiesFacts

_STATES = frozenset(
    [
        "debug",
        "inmigrate",
        "internal-error",
        "io-error",
        "paused",
        "postmigrate",
        "prelaunch",
        "finish-migrate",
        "restore-vm",
        "running",
        "save-vm",
        "shutdown",
        "suspended",
        "watchdog",
        "guest-panicked",
        "colo",
    ]
)
_UNTIL_PRECONFIG = (5, 2)


@post_load("globalstate")
def run_state(event: BodyLoaded) -> Iterator[Problem]:
    """global_state_post_load: the source's run state is one that this release knows."""
    data = event.body.data("runstate")
    if data is None:
        return
    if 0 not in data:  # the last byte is made 0
        data = data[:-1]
    state = data.split(b"\0")[0].decode("utf-8", "replace")
    if state in _STATES or (state == "preconfig" and event.release <= _UNTIL_PRECONFIG):
        return
    yield Problem(
        rule="field-validation",
        summary=f"the guest's run state is {state!r}, which the destination does not know",
        words=(("runstate-invalid", {"state": state}),),
        field="runstate",
    )


@pre_load("ivshmem-plain", "ivshmem-doorbell")
def ivshmem(event: BodyEntered) -> Iterator[Problem]:
    """ivshmem_pre_load: only the master of a shared memory can be moved; a peer says so itself."""
    if "peer mode" in event.profile.no_stream:
        yield Problem(
            rule="not-migratable",
            summary="the destination's ivshmem is a peer; only a master can migrate (master=on)",
            words=(("ivshmem-peer", {}),),
            facts=PropertiesFacts(properties={"master": "on"}),
        )
