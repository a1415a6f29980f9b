"""Lines that a mail, a commit message or a terminal broke are read as one.

Every message of the groups below is rendered into a line of more than 78 characters and broken in
each way; the answer must be the one of the whole line. Behind a line that is whole, whatever
stands in the next one changes nothing.
"""

from __future__ import annotations

import io
import textwrap
from collections.abc import Callable

import pytest

from migratable.explain.story import explain
from migratable.explain.wrapping import wrapped
from migratable.messages.catalogue import Message, Role, messages
from tests.explain.grouped import by_first_word, word_of
from tests.explain.test_composed import value

GROUPS = {"loader", "ram", "devices", "blockers", "libvirt", "admission", "channels", "start"}
ALL = [
    one
    for one in messages()
    if one.group in GROUPS and one.role is Role.CAUSE and one.rank >= 0 and not one.unless
]


def _words(line: str, margin: str, width: int = 72) -> str:
    parts = textwrap.wrap(line, width - len(margin), break_long_words=False, break_on_hyphens=False)
    return "\n".join(margin + part for part in parts)


WAYS: dict[str, Callable[[str], str]] = {
    "mail": lambda line: _words(line, ""),
    "commit": lambda line: _words(line, "    "),
    "quoted": lambda line: _words(line, "> "),
    "narrow": lambda line: _words(line, "", 68),
}
FOLLOWERS = (
    "My hosts are two Dell R640 with Debian 12.",
    "The second attempt went well",
    "<domain type='kvm'>",
    "loadvm_state_cleanup",
    "migrate_set_state new state failed",
)


def answer(text: str) -> tuple[str | None, str]:
    report = explain(io.BytesIO(f"{text}\n".encode()))
    found = report.explanations[0] if report.explanations else None
    return (found.message, found.meaning) if found else (None, "")


def lines(message: Message) -> list[str]:
    prefix = {"QEMU": "qemu-system-x86_64: ", "libvirt": "error: "}.get(message.program, "")
    found = []
    for text in message.texts[:1]:
        params = {one.name: value(one) for one in text.template.parameters}
        found.append(prefix + text.template.render(params))
    return found


@pytest.mark.parametrize("entries", by_first_word(ALL), ids=word_of)
def test_a_broken_line_means_what_the_whole_one_means(entries: list[Message]) -> None:
    for line in (line for one in entries for line in lines(one)):
        if len(line) <= 78:
            continue
        whole = answer(line)
        for way, broken in WAYS.items():
            assert answer(broken(line))[0] == whole[0], (way, broken(line))


@pytest.mark.slow
@pytest.mark.parametrize("entries", by_first_word(ALL), ids=word_of)
@pytest.mark.parametrize("follower", FOLLOWERS)
def test_what_follows_a_whole_line_is_no_part_of_it(entries: list[Message], follower: str) -> None:
    for line in (line for one in entries for line in lines(one)):
        message, meaning = answer(line)
        assert follower.strip() not in answer(f"{line}\n{follower}")[1], line
        assert message is None or answer(f"{line}\n{follower}")[0] == message, line
        assert meaning or message is None


@pytest.mark.parametrize("width", [80, 100, 120])
def test_a_terminal_cuts_inside_words(width: int) -> None:
    line = (
        "error: unsupported configuration: Target CPU model Skylake-Server-IBRS-noTSX-noAVX512 of "
        "the definition of web1 does not match source Pentium Pro"
    )
    parts = [line[at : at + width] for at in range(0, len(line), width)]
    assert wrapped(parts, 0) == (line, len(parts) - 1) or not answer(line)[0]


@pytest.mark.parametrize(
    ("text", "message", "said"),
    [
        (
            "  error: unsupported configuration: Target CPU model <null> does not\n"
            "  match source Pentium Pro\n",
            "libvirt-abi-device",
            "Pentium Pro",
        ),
        (
            "Live migration failed error encountered during MigrateToURI3 libvirt api\n"
            "call: virError(Code=38, Domain=0, Message=''Unable to create multiple\n"
            "fds for tap device tap0 (maybe existing device was created without\n"
            "multi_queue flag): Invalid argument'')\n",
            "tap-multiqueue",
            "virt-handler",
        ),
    ],
)
def test_public_reports(text: str, message: str, said: str) -> None:
    found = answer(text)
    assert message == found[0]
    assert said in found[1]


def test_the_head_of_a_message_goes_with_it() -> None:
    head = "error : virCommandWait:2423 : internal error: Child process (ovs-vsctl --timeout=5 get"
    text = (
        f"{head} Interface\n"
        "vnet1 external_ids:PortData) unexpected exit status 1: "
        'ovs-vsctl: no key "PortData" in Interface\n'
        'record "vnet1" column external_ids\n'
    )
    story = explain(io.BytesIO(text.encode()))
    assert story.to_json()["failures"][0]["line_number"] == 1
    assert not story.to_json()["unknown_lines"]
