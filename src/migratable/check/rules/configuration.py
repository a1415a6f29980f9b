"""The configuration section is missing, unexpected, or has contents that the destination refuses.

## What it checks

* a stream without the section for a destination that expects one (`xen-save-devices-state`,
  machine types before 2.4, `migration.send-configuration=off`), and the other way round;
* subsections that the destination's release does not know (`configuration/uuid` before 4.2);
* migration capabilities in the section (`x-ignore-shared`, `mapped-ram`), which both sides must
  have on;
* the guest's UUID, when the source validates it.

## Why QEMU refuses

The section says how the rest of the stream is written. A capability that only one side has on
means other bytes.

## How to fix it

Set migration capabilities and `-global migration.*` alike on both sides.

## Source

`migration/savevm.c: vmstate_configuration, configuration_post_load,
configuration_validate_capabilities, vmstate_uuid_post_load`; 4.1 to 11.1.
"""

from __future__ import annotations

from collections.abc import Iterator
from errno import ENOENT

from migratable.check.events import ConfigurationRead
from migratable.check.problem import Problem
from migratable.check.rule import Rule, loads, refuses
from migratable.facts.behaviour import behaves, known
from migratable.messages import Fault
from migratable.stream.model import Configuration
from migratable.verdict import Severity

_CONFIGURATION = 7


def check(event: ConfigurationRead) -> Iterator[Problem]:
    """Presence, subsections, capabilities, UUID: in the loader's order."""
    configuration = event.configuration
    if configuration is None:
        if event.expected:
            yield Problem(
                rule=RULE.id,
                summary="the stream has no configuration section and the destination expects one",
                words=(
                    (
                        "configuration-missing",
                        {"byte": event.next_byte, "expected": _CONFIGURATION},
                    ),
                ),
            )
        return
    if not event.expected:
        yield Problem(
            rule=RULE.id,
            summary="the stream has a configuration section and the destination expects none",
            words=(("unknown-section-type", {"type": _CONFIGURATION}),),
        )
        return
    yield from _subsections(configuration)
    yield from _uuid(event, configuration)
    yield from _capabilities(event, configuration)


#: Subsections of ``vmstate_configuration``, all of version 1.
_SUBSECTIONS = ("target-page-bits", "capabilities", "uuid")


def _subsections(configuration: Configuration) -> Iterator[Problem]:
    """``vmstate_subsection_load``: known names of version 1."""
    for sub in configuration.subsections:
        name = sub.name.removeprefix("configuration/")
        if name not in _SUBSECTIONS or "/" not in sub.name:
            yield Problem(
                rule=RULE.id,
                summary=f"the destination does not know the subsection {sub.name}",
                words=(("subsection-unknown", {"subsection": sub.name, "vmsd": "configuration"}),),
                errno=ENOENT,
            )
        elif sub.version & 0xFF != 1:
            yield Problem(
                rule=RULE.id,
                summary=f"{sub.name} has version {sub.version}, the destination reads 1",
            )


def _uuid(event: ConfigurationRead, configuration: Configuration) -> Iterator[Problem]:
    if configuration.subsection("uuid") is None:
        return
    if not behaves(event.release, "configuration-uuid"):
        yield Problem(
            rule=RULE.id,
            summary="the destination does not know the subsection configuration/uuid",
            words=(
                (
                    "subsection-unknown",
                    {"subsection": "configuration/uuid", "vmsd": "configuration"},
                ),
            ),
            errno=ENOENT,
        )
        return
    received = str(configuration.uuid)
    if event.uuid is None:
        yield Problem(
            rule=RULE.id,
            refuses=False,
            severity=Severity.WARNS,
            summary=f"the source checks the UUID {received}, the destination has none",
            words=(("uuid-unset", {"received": received}),),
        )
    elif event.uuid.lower() != received:
        yield Problem(
            rule=RULE.id,
            summary=f"the guest's UUID is {received}, the destination's {event.uuid.lower()}",
            words=(("uuid-differs", {"received": received, "local": event.uuid.lower()}),),
        )


def _capabilities(event: ConfigurationRead, configuration: Configuration) -> Iterator[Problem]:
    for name in configuration.capabilities:
        validated = f"capability-{name}"
        if not known(validated) or not behaves(event.release, validated):
            # No release sends others: should_validate_capability (migration/savevm.c).
            yield Problem(
                rule=RULE.id,
                summary=f"the stream has the capability {name!r}, which the destination's release "
                "does not know",
                words=(("capability-unknown", {"capability": name}),),
            )
        else:
            yield Problem(
                rule=RULE.id,
                summary=f"the source migrated with the capability {name} on",
                explanation="The destination must have it on too (migrate-set-capabilities); this "
                "is not visible on a command line.",
                refuses=False,
                severity=Severity.INFO,
            )


RULE = Rule(
    id="configuration",
    severity=Severity.REFUSES,
    side=Fault.CANNOT_TELL,
    now=(
        "{loading: |Compare the migration capabilities and the -global migration.* settings "
        "{moving: of both sides} and make them equal.}"
    ),
    prevent="{moving: Set migration capabilities from one place for both sides.}",
    verify="check",
    events=(ConfigurationRead,),
    check=check,
    examples=(
        refuses(
            ConfigurationRead(release=(10, 0), configuration=None, machine="pc-q35-10.0"),
            "no configuration section",
        ),
        loads(
            ConfigurationRead(
                release=(10, 0),
                configuration=Configuration(machine="pc-q35-10.0"),
                machine="pc-q35-10.0",
            )
        ),
    ),
)
