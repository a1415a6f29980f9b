"""Logs composed of lines with known roles: the root cause wins, and nothing is denied.

A log is made of what stood before, an error, its echoes, outcomes and the cleaning up, in the
wrappings of several programs. The error is each of the catalogue's in turn, or one that nothing
knows.
"""

from __future__ import annotations

import io
import json
from random import Random

import pytest

from migratable.explain.explanation import Report, Status
from migratable.explain.story import explain
from migratable.messages.catalogue import Message, Role, messages
from migratable.messages.template import Parameter, Template, Value
from tests.explain.grouped import by_first_word, word_of

BEFORE = (
    "2026-03-01 10:00:00.123+0000: 4413: error : virNetSocketReadWire:1791 : End of file while "
    "reading data: Input/output error",
    "2026-03-01 10:00:01.123+0000: 4413: error : qemuDomainAgentAvailable:1 : Guest agent is not "
    "responding: QEMU guest agent is not connected",
    "2026-03-01 11:30:02.000 7 INFO nova.compute.manager [req-0a1b] VM Paused (Lifecycle Event)",
    "Mar  1 11:30:01 host1 kernel: br0: port 3(vnet1) entered disabled state",
    "qemu-system-x86_64: warning: TCG doesn't support requested feature: CPUID.01H:ECX.vmx [bit 5]",
    "audio: Could not init `oss' audio driver",
    "2026-03-01 11:30:03.000+0000: 4413: warning : qemuDomainObjTaint:6000 : Domain id=1 "
    "name='web1' is tainted: host-cpu",
)
ECHOES = (
    "2026-03-01T11:30:05.362392Z qemu-system-x86_64: Unable to write to socket: Broken pipe",
    "error: operation failed: migration out job: unexpectedly failed",
    "2026-03-01 11:30:06.123+0000: 4413: error : virNetSocketReadWire:1791 : End of file while "
    "reading data: Input/output error",
    "error: internal error: qemu unexpectedly closed the monitor",
    "error: Unable to read from monitor: Connection reset by peer",
    "error: internal error: client socket is closed",
)
OUTCOMES = (
    "error: Failed to start domain 'web1'",
    "error: Failed to migrate domain web1",
    "make: *** [migrate] Error 1",
    "2026-03-01 11:30:06 ERROR: migration aborted (duration 00:00:04): see above",
    "2026-03-01 11:30:06.000+0000: shutting down, reason=failed",
)
CLEANING = (
    "2026-03-01 11:30:07.123+0000: 4413: error : virFileUnlink:1 : cannot unlink file '/run/x': "
    "No such file or directory",
    "umount: /mnt/x: target is busy.",
    "libvirtd[951]: Unable to remove disk metadata on vm web1 from /srv/a (disk target vda)",
    "2026-03-01 11:30:08 ERROR: removing image failed: rbd error: rbd: remove failed",
    "2026-03-01 11:30:07.123+0000: 4413: error : virProcessKillPainfullyDelay:1 : Failed to "
    "terminate process 912 with SIGKILL: Device or resource busy",
)
# Errors of programs that nothing knows, with a word by which each is found again.
UNKNOWN = (
    ("qemu-system-x86_64: frobnicate: widget 17 is in a bad state", "widget"),
    ("qemu-kvm: flub device: cannot frobnicate the widget", "widget"),
    ("error: internal error: frobnication of widget 'w1' failed: bad state", "widget"),
    ("Mar  1 11:30:04 host1 libvirtd[912]: cannot frobnicate widget w1", "widget"),
    ("2026-03-01 11:30:04 ERROR: frobnication of widget w1 is not possible", "widget"),
    ("TASK ERROR: can't frobnicate widget 'w1'", "widget"),
    ("2026-03-01 11:30:04.123 7 ERROR nova.compute.manager [req-0a1b2c3d-aaaa] WidgetNotReady: "
     "Widget w1 could not be frobnicated", "frobnicated"),
    ("com.cloud.utils.exception.CloudRuntimeException: Unable to frobnicate widget w1", "widget"),
    (json.dumps({"level": "error", "msg": "sync failed", "reason": "no such widget"}), "widget"),
    ('Error: Failed frobnicating widget "w1": widget is wobbly', "wobbly"),
    ("Fehler: Widget w1 konnte nicht frobniziert werden", "Widget"),
    ("E1129 11:30:04.123 1 frob.go:17] widget w1 wobbles", "wobbles"),
    ("wobbly widget w1 at /usr/share/perl5/PVE/Frob.pm line 17.", "wobbly"),
    ("frob: Assertion `widget->ok' failed.", "widget"),
)  # fmt: skip
VALUES: dict[str, Value] = {
    "error": "Permission denied",
    "path": "/srv/vm/a.qcow2",
    "file": "/srv/vm/a.qcow2",
    "machine": "pc-q35-7.2",
}
CAUSES = [one for one in messages() if one.role is Role.CAUSE and one.rank >= 0]


def said(*lines: str) -> Report:
    return explain(io.BytesIO(("\n".join(lines) + "\n").encode()))


def value(parameter: Parameter) -> Value:
    if parameter.numeric:
        return 17
    return VALUES.get(parameter.name, "0000:05:00.0/x" if parameter.spec == "path" else "web1")


def wrapped(message: Message, template: Template, draw: Random) -> str:
    text = template.render({one.name: value(one) for one in template.parameters})
    if message.program == "QEMU":
        return f"{draw.choice(('qemu-system-x86_64', 'kvm', 'qemu-kvm'))}: {text}"
    if message.program == "libvirt":
        prefix = "2026-03-01 11:30:04.123+0000: 4413: error : qemuFoo:17 : "
        return f"{draw.choice(('error: ', prefix))}{text}"
    return draw.choice((text, f"error: {text}", f"TASK ERROR: {text}"))


def composed(error: str, draw: Random) -> list[str]:
    return [
        *draw.sample(BEFORE, draw.randint(0, 2)),
        error,
        *draw.sample(ECHOES, draw.randint(0, 2)),
        *draw.sample(OUTCOMES, draw.randint(0, 2)),
        *draw.sample(CLEANING, draw.randint(0, 1)),
    ]


@pytest.mark.parametrize("causes", by_first_word(CAUSES), ids=word_of)
def test_the_root_cause_wins(causes: list[Message]) -> None:
    for message in causes:
        wins(message)


def wins(message: Message) -> None:
    draw = Random(message.id)
    line = wrapped(message, message.texts[0].template, draw)
    alone = said(line)
    if not alone.explanations:  # one that is something else without its other words
        assert alone.suspicious or message.unless
        return
    for _ in range(2):
        lines = composed(line, draw)
        found = said(*lines)
        told = [item.message for item in found.explanations if item.status is not Status.WARNING]
        assert alone.explanations[0].message in told, lines
        assert [item.also for item in found.explanations if item.also] == [], lines


@pytest.mark.slow
@pytest.mark.parametrize(
    "refused",
    [
        "Unknown savevm section or instance '0000:00:05.0/virtio-net' 0",
        "Size mismatch: pc.ram: 0x10000000 != 0x8000000: Invalid argument",
        "Length mismatch: vga.vram: 0x1000000 in != 0x800000",
        "Missing section footer for 0000:00:01.3/piix4_pm",
        "cpu/slb: incoming version_id 2 is too new for local version_id 1",
    ],
)
def test_what_the_loader_refused_wins_over_what_managers_say_later(refused: str) -> None:
    line = f"2026-03-01T11:30:04.123456Z qemu-system-x86_64: {refused}"
    (alone,) = said(line).explanations
    for other in CAUSES:
        if other.program in ("QEMU", "libvirt", "Linux", "derived") or other.rank > 0:
            continue
        later = wrapped(other, other.texts[0].template, Random(other.id))
        found = said(line, later, "error: Failed to migrate domain web1").explanations
        assert found[0].message == alone.message, later


@pytest.mark.parametrize(("line", "word"), UNKNOWN, ids=[line[:40] for line, _ in UNKNOWN])
def test_an_unknown_error_is_shown_whatever_stands_around(line: str, word: str) -> None:
    draw = Random(line)
    for _ in range(12):
        lines = composed(line, draw)
        found = said(*lines)
        shown = [item.line for item in found.explanations]
        shown += [one.text for item in found.explanations for one in item.unknown]
        shown += [one.text for one in found.suspicious]
        assert any(word in text for text in shown), lines
        assert found.exit_status == 3, lines
        assert all(item.status is not Status.EXPLAINED for item in found.explanations[:1]), lines


@pytest.mark.parametrize("line", CLEANING)
def test_what_cannot_be_removed_is_the_failure_where_nothing_else_is(line: str) -> None:
    found = said(line)
    assert found.explanations or found.suspicious


@pytest.mark.parametrize(
    "line",
    [
        "There are no online cluster members to take web1",
        "Volume is attached to multiple running instances",
        "guest CPU is not compatible with host CPU",
        "Only a single widget is possible on this kind of machine",
        "NVME disks aren't supported with migration.stateful=true",
    ],
)
def test_a_refusal_without_an_error_s_word_is_not_denied(line: str) -> None:
    found = said(line.replace("NVME", "Wobbly"), "")
    assert found.suspicious or found.explanations
    assert found.suspicious == () or found.exit_status == 3


def test_what_went_well_is_no_failure() -> None:
    well = "Migration: [100 %]\nonly one guest was moved, none is left\n"
    assert explain(io.BytesIO(well.encode())).exit_status == 0
    assert said("vm web1 is running and everything works as it should").exit_status == 3
    assert said("all is well").exit_status == 0
