"""Phrases of runtimes and system programs: the cause of a line that is not known as a whole."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path

import pytest

from migratable.explain.explanation import Explanation, Status
from migratable.explain.phrases import filled, find, phrases
from tests.explain.reports import explained

WORDINGS: dict[str, list[str]] = tomllib.loads(
    (Path(__file__).parent / "phrases.toml").read_text(encoding="utf-8")
)
# What nobody knows, around a phrase: {p} as it is, {j} as JSON, {q} with its quotes escaped.
OUTER = {
    "nova": "2024-01-01 00:00:00.123 4321 ERROR nova.compute.manager [req-0f0f0f0f-1 - - -] "
    "[instance: 0b1c2d3e] Pre-migration widget setup broke: {p}",
    "vdsm": "2024-01-01 00:00:00,123+0000 ERROR (migsrc/0b1c2d3e) [virt.vm] (vmId='0b1c2d3e') "
    "Widget of the migration broke: {p} (migration:301)",
    "cloudstack": "2024-01-01 00:00:00,123 ERROR [c.c.v.VirtualMachineManagerImpl] (Work-Job-1) "
    "(logid:1) Widget preparation of the VM migration broke: {p}",
    "proxmox": "2024-01-01 00:00:00 ERROR: widget step ended - {p}",
    "kubevirt": '{{"component":"virt-handler","level":"error","msg":"Failed to frobnicate the '
    'target for vmi default/vm1","reason":{j},"timestamp":"2024-01-01T00:00:00Z"}}',
    "incus": 'time="2024-01-01T00:00:00Z" level=error msg="Widget transfer of the migration" '
    'err="{q}" instance=vm1 project=default',
    "pacemaker": "VirtualDomain(vm1)[1234]: ERROR: vm1: widget of the live migration broke: {p}",
    "sentence": "migrating the guest vm1 to node2: {p}",
}
# One that only tells an outcome is no failure's line without an error's word.
QUIET = {phrase.id for phrase in phrases() if phrase.weak}


def first(log: str) -> Explanation:
    return explained(log).explanations[0]


def wrapped(outer: str, words: str) -> str:
    escaped = words.replace("\\", "\\\\").replace('"', '\\"')
    return OUTER[outer].format(p=words, j=json.dumps(words), q=escaped)


def test_every_phrase_has_a_wording() -> None:
    assert [phrase.id for phrase in phrases()] == list(WORDINGS)


@pytest.mark.parametrize("name", WORDINGS)
def test_a_phrase_is_found_at_the_end_of_any_text(name: str) -> None:
    for words in WORDINGS[name]:
        for text in (words, f"widget of vm1 broke: {words}", f"ERROR - {words} (x:12)"):
            found = find(text)
            assert found is not None, text
            assert found.phrase.id == name, text


@pytest.mark.slow
@pytest.mark.parametrize("outer", OUTER)
def test_an_unknown_line_is_explained_by_its_phrase(outer: str) -> None:
    by_phrase = 0
    for name, all_words in WORDINGS.items():
        report = explained(wrapped(outer, all_words[0]))
        if not report.explanations:
            assert name in QUIET
            continue
        told = report.explanations[0]
        assert not any(case.certainty == "certain" for case in told.cases)
        if told.message == f"phrase-{name}":
            by_phrase += 1
            weak = next(phrase.weak for phrase in phrases() if phrase.id == name)
            assert told.status is (Status.SYMPTOM if weak else Status.EXPLAINED)
            assert told.likely is not weak
            assert str(told.side) == "cannot tell"
            assert told.now
            assert not re.search(r"[{}]|  |\(\)|\( ", told.meaning.replace(all_words[0], ""))
    assert by_phrase > 110


def test_a_known_error_beside_it_comes_first() -> None:
    known = 'qemu-kvm: Unknown ramblock "0000:00:04.0/e1000.rom", cannot accept migration\n'
    for all_words in WORDINGS.values():
        line = wrapped("nova", all_words[0]) + "\n"
        for log in (known + line, line + known):
            report = explained(log)
            told = report.explanations[0]
            if not told.message or not told.message.startswith("phrase-"):
                continue
            assert any(one.message == "ram-block-unknown" for one in report.explanations), log
            raise AssertionError(log)


def test_an_echo_beside_it_comes_second() -> None:
    log = (
        "qemu-system-x86_64: Unable to write to socket: Broken pipe\n"
        "virt-handler: widget: dial tcp [fd00::5]:49152: connect: no route to host\n"
    )
    told = first(log)
    assert told.message == "phrase-no-route"
    assert "[fd00::5]:49152" in told.meaning
    assert "only tells the outcome" in told.meaning


def test_an_unknown_error_of_qemu_is_not_explained_by_its_errno() -> None:
    log = "qemu-kvm: frobnicating the widget failed: Cannot allocate memory\n"
    report = explained(log)
    assert not report.explanations
    assert report.exit_status == 3
    told = first(f"{log}qemu-kvm: load of migration failed: Cannot allocate memory\n")
    assert told.status is Status.UNKNOWN


@pytest.mark.parametrize(
    ("line", "frame", "cause", "fix"),
    [
        (
            "incus: Error: Migration operation failure: Failed widget: tls: failed to verify "
            "certificate: x509: certificate signed by unknown authority",
            "",
            "does not trust the authority",
            "incus remote",
        ),
        (
            "ERROR nova.virt.libvirt.driver [-] Live Migration failure: widget: "
            "FileNotFoundError: [Errno 2] No such file or directory: 'qemu-img'",
            "OpenStack: the migration failed",
            "qemu-img is not installed",
            "Install qemu-img",
        ),
        (
            "TASK ERROR: storage migration for 'local:100/vm.raw' to storage 'b' failed - command "
            "'pvesm export x' failed: zfs error: cannot open 'tank': no such pool",
            "ZFS refused",
            "pool is not imported",
            "zpool import",
        ),
    ],
)
def test_a_known_line_keeps_its_frame_and_gets_the_cause(
    line: str, frame: str, cause: str, fix: str
) -> None:
    told = first(line)
    assert frame in told.meaning
    assert cause in told.meaning
    assert fix in told.now


def test_an_outcome_is_none_where_the_reason_follows_it() -> None:
    assert (
        find("Command '['virsh', 'x']' returned non-zero exit status 1: the widget is full now")
        is None
    )
    assert find("Command '['virsh', 'x']' returned non-zero exit status 1") is not None


def test_the_port_names_its_service() -> None:
    told = first("ERROR nova.x widget: dial tcp 10.0.0.1:5672: connect: connection refused\n")
    assert "Port 5672 is mostly RabbitMQ's." in told.details


def test_a_missing_value_leaves_no_gap() -> None:
    text = "{who} broke (at {at}) on {name}: {a}{b}."
    assert filled(text, {"who": "vdsm", "b": "x"}) == "Vdsm broke on: x."
