"""A side is stated where the message or the log shows it, and only there."""

from __future__ import annotations

import io
import re
from random import Random

import pytest

from migratable.explain import advice
from migratable.explain.explanation import Explanation
from migratable.explain.operation import Operation
from migratable.explain.perspective import printer
from migratable.explain.story import explain
from migratable.messages.catalogue import Fault, Message, Role, messages
from migratable.messages.sides import printed_on, printed_on_both, tells_side
from migratable.report.explain_text import side_of
from tests.explain.grouped import by_first_word, word_of
from tests.explain.test_composed import wrapped

SIDED = (Fault.SOURCE, Fault.DESTINATION)
STATED = [
    one
    for one in messages()
    if one.role not in (Role.CONTEXT, Role.WARNING) and advice.of_message(one).side in SIDED
]


def first(log: str) -> Explanation:
    return explain(io.BytesIO(log.encode())).explanations[0]


@pytest.mark.parametrize("stated", by_first_word(STATED), ids=word_of)
def test_a_line_alone_states_no_side_that_it_does_not_show(stated: list[Message]) -> None:
    for message in stated:
        states_no_side_that_it_does_not_show(message)


def states_no_side_that_it_does_not_show(message: Message) -> None:
    line = wrapped(message, message.texts[0].template, Random(message.id))
    report = explain(io.BytesIO(f"{line}\n".encode()))
    for item in report.explanations[:1]:
        if item.message != message.id or item.side not in SIDED or item.operation:
            continue
        # Functions of QEMU and jobs of libvirt tell it, too.
        shown = tells_side(message, item.line) or printer(item.lines[0]) is not None
        assert shown == item.side_shown, line
        assert shown != ("in a migration" in side_of(item)), line


@pytest.mark.parametrize("stated", by_first_word(STATED), ids=word_of)
def test_a_rule_s_side_is_not_given_to_what_the_other_side_prints(stated: list[Message]) -> None:
    for message in stated:
        has_its_own_side(message)


def has_its_own_side(message: Message) -> None:
    """Its own ``side`` is one that somebody has looked up; a rule's holds for most messages."""
    only = printed_on(message)
    if message.fault is None and only is Fault.SOURCE:
        assert advice.of_message(message).side is Fault.SOURCE, message.id
    if message.fault is None and printed_on_both(message):
        line = wrapped(message, message.texts[0].template, Random(1))
        for item in explain(io.BytesIO(f"{line}\n".encode())).explanations[:1]:
            assert item.message != message.id or item.side is Fault.CANNOT_TELL, line


@pytest.mark.parametrize(
    ("log", "side", "said"),
    [
        ("error: Cannot access storage file '/srv/a': No such file or directory\n",
         Fault.DESTINATION, "not shown by this log; in a migration the destination"),
        ("error: Failed to start domain 'web1'\n"
         "error: Cannot access storage file '/srv/a': No such file or directory\n",
         Fault.DESTINATION, "this host"),
        ("# virsh migrate --live web1 qemu+ssh://b/system\n"
         "error: Cannot access storage file '/srv/a': No such file or directory\n",
         Fault.DESTINATION, "the destination"),
        ("qemu-kvm: dbus_vmstate_pre_save: Invalid vmstate size: 4364\n", Fault.SOURCE,
         "the source"),
        ("qemu-kvm: dbus_vmstate_post_load: Invalid vmstate size: 4364\n", Fault.DESTINATION,
         "the destination"),
        ("qemu-kvm: Invalid vmstate size: 4364\n", Fault.CANNOT_TELL, "unknown from this log"),
    ],
)  # fmt: skip
def test_sides(log: str, side: Fault, said: str) -> None:
    found = first(log)
    assert (found.side, side_of(found)) == (side, said)


def test_the_json_says_whether_the_side_is_shown() -> None:
    found = first("error: Cannot access storage file '/srv/a': No such file or directory\n")
    assert found.operation is Operation.UNKNOWN
    assert found.to_json()["side_shown"] is False
    assert first("qemu-kvm: Unknown savevm section or instance 'x' 0\n").to_json()["side_shown"]


OF_A_START = ("start", "libvirt_definitions", "libvirt_hosts", "libvirt_start", "local_vms")
TWO_SIDES = re.compile(
    r"the destination|\bthe source\b(?! (?:image|file|disk|volume|snapshot|pool|of)\b)|both sides|"
    r"other side|migrate again|then migrate|--copy-storage|virsh migrate"
)
HEADS = {
    Operation.START: "error: Failed to start domain 'web1'",
    Operation.SAVE: "error: Failed to save domain 'web1' to /srv/web1.save",
    Operation.SNAPSHOT: "$ virsh snapshot-create-as web1 before-update",
}


@pytest.mark.parametrize("operation", HEADS, ids=str)
@pytest.mark.parametrize("group", sorted({one.group for one in STATED}))
def test_one_host_s_operation_speaks_of_one_host(group: str, operation: Operation) -> None:
    """What a start, a save or a snapshot meets is said without migration's two sides."""
    if not group.startswith(OF_A_START):
        return
    for message in STATED:
        if message.group != group:
            continue
        line = wrapped(message, message.texts[0].template, Random(message.id))
        log = f"{HEADS[operation]}\n{line}\n"
        for item in explain(io.BytesIO(log.encode())).explanations[:1]:
            if item.message == message.id and item.operation is operation:
                said = " ".join((item.meaning, item.now, item.prevent, *item.details))
                assert TWO_SIDES.findall(said) == [], (message.id, said)
