"""Every pattern of the catalogue is specific: it finds its own text, and nobody else's.

The values of a text are filled with words of other messages; the message must still be found, and
no other may have the very same words. The texts of libvirt's and QEMU's sources must not be taken
for a short message that only stands at their end.
"""

from __future__ import annotations

import re
from collections import defaultdict
from random import Random

import pytest

from migratable.messages.catalogue import Message, Role, messages
from migratable.messages.error_table import rows
from migratable.messages.recognise import WEAK, recognise
from migratable.messages.template import Parameter, Value
from tests.explain.grouped import by_first_word, word_of

ALL = [one for one in messages() if one.role is not Role.CONTEXT and one.rank > WEAK]
WORDS = sorted(
    {
        " ".join(words[place : place + 3])
        for message in ALL
        for text in message.recognised
        for words in [re.findall(r"[A-Za-z][\w-]*", text.template.fixed)]
        for place in range(len(words) - 1)
    }
)
# The same words, told apart by the line of the loader that they stand in.
TWINS = {frozenset({"element-error", "element-error-separate"})}


def filled(parameter: Parameter, draw: Random) -> Value:
    if parameter.numeric:
        return draw.randint(1, 90)
    if parameter.name == "error":
        return draw.choice(("Connection timed out", "Exec format error"))
    words = draw.choice(WORDS)
    return words if parameter.spec in ("line", "phrase") else words.split()[0]


def test_no_two_messages_have_the_same_words() -> None:
    owners: dict[str, set[str]] = defaultdict(set)
    for message in ALL:
        for text in message.recognised:
            words = re.sub(r"\{[^}]*\}", "{}", text.template.text)
            owners[words[:1].lower() + words[1:]].add(message.id)
    twice = {words: ids for words, ids in owners.items() if len(ids) > 1}
    assert {words: ids for words, ids in twice.items() if ids not in TWINS} == {}


@pytest.mark.parametrize("entries", by_first_word(ALL), ids=word_of)
def test_other_messages_words_in_it_do_not_hide_a_message(entries: list[Message]) -> None:
    for message in entries:
        is_found(message)


def is_found(message: Message) -> None:
    draw = Random(message.id)
    for text in message.recognised:
        line = text.template.render(
            {one.name: filled(one, draw) for one in text.template.parameters}
        )
        if message.unless and re.search(message.unless, line):
            continue
        prefix = {"QEMU": "qemu-system-x86_64: ", "libvirt": "error: "}.get(message.program, "")
        found = recognise(prefix + line)
        ids = {match.message.id for match in found}
        longer = any(
            len(match.text.template.fixed) >= len(text.template.fixed)
            or match.end - match.start >= len(line) - 1
            for match in found
        )
        assert message.id in ids or longer, (line, ids)


@pytest.mark.parametrize(
    ("line", "not_this"),
    [
        ("error: host pci device 0000:05:00.0 not found", "guest-pci-absent"),
        ("error: internal error: Unexpected CPU mode 7", "libvirt-cpu-mode"),
        ("error: Unexpected CPU feature policy 9", "def-cpu-no-model"),
        ("error: tcp chardev protocol 'x' not supported", "block-protocol-unknown"),
        ("qemu-kvm: ufs logical unit 3 already exists.", "proxmox-scope"),
    ],
)
def test_the_end_of_another_sentence_is_no_message(line: str, not_this: str) -> None:
    assert not_this not in {match.message.id for match in recognise(line)}


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("error: Device 0000:05:00.0 not found", "guest-pci-absent"),
        ("libvirtError: Device 0000:05:00.0 not found", "guest-pci-absent"),
        ("it failed with Device 0000:05:00.0 not found", "guest-pci-absent"),
    ],
)
def test_a_short_sentence_is_found_where_it_begins(line: str, message: str) -> None:
    assert message in {match.message.id for match in recognise(line)}


# Entries whose values are words of one family: what they take besides is of the same meaning.
FAMILIES = {
    "libvirt-abi-device", "libvirt-abi", "more-whpx", "def-attribute", "def-iommu",
    "def-interface-setting", "start-tpm-passthrough", "op-hotplug-full", "start-smp-topology",
    "more-sev-step", "postcopy-host", "guest-qemu-lacks", "start-kvm-hyperv",
    "libvirt-tune-without", "libvirt-cpu-mode", "def-shmem-ivshmem", "def-graphics-one",
    "def-virtiofs", "guest-device-absent", "block-aio", "def-pci-address", "def-secure-boot",
    "libvirt-json", "guest-usb-many", "start-refused", "start-maxmem", "tsc-tolerance",
    "libvirt-both-hosts", "op-managed-save-undefine", "guest-vcpu-unplug", "dbus-load",
    "dbus-proxies", "block-user-conflict", "option-drive-used", "blocker-text", "libvirt-step",
    "postcopy-userfault", "postcopy-host-short", "libvirt-migrate", "libvirt-start-step",
}  # fmt: skip


@pytest.mark.slow
def test_no_entry_takes_another_error_of_the_sources_by_its_values() -> None:
    """An error of libvirt or QEMU is no entry's that has a third of its words, or less."""
    taken: dict[str, list[str]] = defaultdict(list)
    for folder, prefix in (("messages/libvirt", "error: "), ("messages/qemu", "qemu-kvm: ")):
        for known, _ in rows(folder):
            line = prefix + re.sub(
                "%[sdx]", lambda value: "web1" if value[0] == "%s" else "17", known.text
            )
            for match in recognise(line):
                message = match.message
                own = sum(map(str.isalpha, match.text.template.fixed))
                whole = sum(map(str.isalpha, line[match.start : match.end]))
                outer = message.role in (Role.CONTEXT, Role.SYMPTOM, Role.CLOSING) or match.origin
                if not outer and 3 * own < whole and message.id not in FAMILIES:
                    taken[message.id].append(known.text)
    assert taken == {}
