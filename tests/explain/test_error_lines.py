"""No error line is lost, whatever is written around it, and the right one is the cause."""

from __future__ import annotations

import html
import io
import json
import tomllib
from pathlib import Path
from random import Random

import pytest

from migratable.explain.explanation import Report, Status
from migratable.explain.story import explain
from migratable.messages import messages
from migratable.messages.catalogue import Message, Role
from tests.explain.test_recognise import value

# What people, managers and loggers put around an error. {e} is the error, {j} as JSON, {q} with
# its quotes escaped, {h} as HTML, {y} in YAML's single quotes.
FORMS = {
    "bare": "{e}",
    "virsh": "error: {e}",
    "bracket": "click [ Migrate ] button, display error [ {e} ], please help",
    "sentence": 'Then live migration of my VM stopped with "{e}" on the second node.',
    "single": "Migrating the guest fails with '{e}'",
    "backtick": "I get `{e}` when I migrate the VM",
    "row": "| vm-12 | migrate to node2 | {e} | open |",
    "html": "<p>Migration of the VM fails:<br/><code>{h}</code></p>",
    "bullet": "* {e}",
    "bold": "**{e}**",
    "quoted": "> > {e}",
    "numbered": "1. {e}",
    "json-msg": '{{"level":"error","msg":{j},"ts":"2024-01-01T00:00:00Z"}}',
    "json-error": '{{"level":"info","msg":"migration failed","error":{j}}}',
    "json-reason": '{{"level":"error","msg":"Live migration failed.","reason":{j}}}',
    "json-fault": '{{"fault":{{"code":500,"message":{j}}}}}',
    "logfmt": 'time="2024-01-01T00:00:00Z" level=error msg="{q}" vm=web1',
    "logfmt-err": 'level=warning msg="Failed to migrate instance" err="{q}" instance=web1',
    "log15": 'ERROR[01-01|00:00:00] Failed migrating instance instance=web1 err="{q}"',
    "grpc": "rpc error: code = Unknown desc = failed to migrate domain: {e}",
    "klog": "E0101 00:00:00.000000    1 m.go:12] failed to migrate VM default/web1: {e}",
    "klog-kv": 'E0101 00:00:00.000000    1 c.go:12] "Reconciler error" err="{q}" c="vm"',
    "zap": '2024-01-01T00:00:00Z\tERROR\tvm\tReconciler error\t{{"name": "web1", "error": {j}}}',
    "ansible": 'fatal: [node1]: FAILED! => {{"changed": false, "msg": {j}}}',
    "ansible-item": 'failed: [n1] (item=web1) => {{"cmd": ["virsh"], "rc": 1, "stderr": {j}}}',
    "ansible-lines": 'fatal: [n1]: FAILED! => {{\n    "changed": false,\n    "msg": {j}\n}}',
    "terraform": "│ Error: error creating libvirt domain: {e}\n│ \n│   on main.tf line 33, in x:",
    "vagrant": "There was an error talking to Libvirt. The error message is shown\nbelow:\n\n"
    "Call to virDomainCreateWithFlags failed: {e}",
    "python": 'Traceback (most recent call last):\n  File "/x/libvirt.py", line 12, in create\n'
    "    raise libvirtError('virDomainCreateWithFlags() failed')\nlibvirt.libvirtError: {e}",
    "java": "01:00 ERROR [c.c.X] (W) Unable to migrate due to org.libvirt.LibvirtException: {e}",
    "java-cause": "Caused by: org.libvirt.LibvirtException: {e}\n\tat org.libvirt.Error.x(Y.java)",
    "ruby": "/x/fog-libvirt/lib/x.rb:12:in `create': Call to virDomainCreate failed: {e} (X::Y)",
    "vdsm": "2024-01-01 00:00:00,123 ERROR (migsrc/5f) [virt.vm] (vmId='5f') {e} (migration:290)",
    "event": "Warning  SyncFailed  3s (x3 over 12s)  virt-handler  server error. command SyncVMI "
    "failed: \"LibvirtError(Code=1, Domain=10, Message='{e}')\"",
    "yaml": "status:\n  conditions:\n  - message: '{y}'\n    reason: MigrationFailed",
    "next-line": 'When I live migrate the VM I will get an error\n"{e}"',
    "indented": "Migration of the guest failed with the following error:\n\n    {e}\n",
    "chinese": "迁移虚拟机时报错：{e}，请问如何解决",
    "german": "Die Migration der VM schlägt fehl mit „{e}“",
    "subprocess": "Command '['virsh', 'migrate']' returned non-zero exit status 1: {e}",
    "bytes": "subprocess.CalledProcessError: virsh migrate failed: b'error: {e}\\n'",
    "rust": 'Error: Custom {{ kind: Other, error: "{q}" }}',
    "proxmox": "TASK ERROR: {e}",
    "avocado": "(1/1) virsh.migrate: FAIL: error: {e} (12.34 s)",
}
KNOWN = {
    "domain is not running": "Requested operation is not valid: domain is not running",
    "beginning cut off": "does not support machine type 'pc-i440fx-noble'",
    "file": "Failed to open file '/data/vm/a.qcow2': No such file or directory",
    "QEMU's": "unsupported machine type 'pc-q35-9.9'",
    "quotes": 'Failed to get "write" lock',
    "of the table": "internal error: Unable to find 'efi' firmware that is compatible with "
    "the current configuration",
    "class cut off": "loader attribute 'type' cannot be specified when firmware autoselection is "
    "enabled",
}
UNKNOWN = (
    "unable to migrate volume pvc-1 from node-1 to node-3 since it is migrating to node-2",
    "cannot move guest web1: widget table is full",
    "flubber allocation failed for vcpu 3",
)


def told(log: str) -> Report:
    return explain(io.BytesIO(log.encode()))


def wrapped(form: str, error: str) -> str:
    return form.format(
        e=error,
        j=json.dumps(error),
        q=error.replace('"', '\\"'),
        h=html.escape(error),
        y=error.replace("'", "''"),
    )


@pytest.mark.parametrize("error", KNOWN.values(), ids=KNOWN)
def test_a_known_error_is_known_whatever_is_around_it(error: str) -> None:
    expected = told(f"error: {error}\n").explanations[0].message
    for name, form in FORMS.items():
        report = told(wrapped(form, error) + "\n")
        assert [item.message for item in report.explanations] == [expected], name
        assert not report.suspicious, name
        assert report.exit_status == 0, name


@pytest.mark.parametrize("error", UNKNOWN)
def test_an_unknown_error_comes_first_whatever_is_around_it(error: str) -> None:
    for name, form in FORMS.items():
        report = told(wrapped(form, error) + "\n")
        assert report.exit_status == 3, name
        if report.explanations:
            first = report.explanations[0]
            assert error in first.line or error in first.meaning, name
        else:
            assert error in report.suspicious[0].text, name


# What only tells that something ended, or is a warning after which its program goes on.
ECHOES = (
    "error: End of file while reading data: Input/output error",
    "error: operation failed: migration job: unexpectedly failed",
    "error: operation failed: job 'migration out' unexpectedly failed",
    "qemu-system-x86_64: Unable to write to socket: Broken pipe",
    "qemu-system-x86_64: Unable to read from socket: Connection reset by peer",
    "qemu-system-x86_64: Unable to shutdown socket: Transport endpoint is not connected",
    "qemu-system-x86_64: failed to save SaveStateEntry with id(name): 2(ram): -5",
    "error: internal error: client socket is closed",
    "error: Cannot recv data: Connection reset by peer",
    "libvirtd[3]: Unable to write to '/sys/fs/cgroup/devices/x/devices.deny': Operation not "
    "permitted",
    "libvirtd[3]: Group devices ACL is not accessible, disabling whitelisting",
    "qemu-system-x86_64: warning: TSC frequency mismatch between VM (2000000 kHz) and host "
    "(2100000 kHz), and TSC scaling unavailable",
    "2024-01-01 00:00:00.1+0000: 9: error : qemuMonitorIO:577 : internal error: End of file from "
    "qemu monitor",
    "TASK ERROR: migration aborted",
    "ERROR: migration finished with problems (duration 00:00:03)",
    "error: Failed to create domain from vm.xml",
    "Live migration failed.",
    "error: operation aborted: migration out: canceled by client",
    "error: internal error: qemu unexpectedly closed the monitor",
    "error: internal error: process exited while connecting to monitor",
    "error: Failed to start domain 'web1'",
    "error: Disconnected from qemu:///system due to end of file",
    "make: *** [migrate] Error 1",
)
_PREFIX = {"QEMU": "qemu-system-x86_64: ", "libvirt": "error: "}


def causes(count: int) -> list[Message]:
    """Messages of the catalogue that name a cause by themselves, a fixed draw of them."""
    found = [
        message
        for message in messages()
        if message.role is Role.CAUSE
        and message.rank >= 0
        and message.program in _PREFIX
        and not message.unless  # which made-up values may meet
    ]
    return Random(20).sample(found, count)


@pytest.mark.parametrize("message", causes(60), ids=lambda message: message.id)
@pytest.mark.slow
def test_a_cause_wins_over_every_echo_in_either_order(message: Message) -> None:
    draw = Random(3)
    template = message.recognised[0].template
    text = template.render({part.name: value(part, draw) for part in template.parameters})
    line = f"{_PREFIX[message.program]}{text}\n"
    alone = told(line).explanations[0]
    for echo in ECHOES:
        for log in (f"{echo}\n{line}", f"{line}{echo}\n"):
            found = told(log).explanations[0]
            assert (found.message, found.line) == (alone.message, alone.line), log


@pytest.mark.parametrize(
    "unknown",
    [
        "error: the frobnicator of domain web1 is not ready",
        "qemu-system-x86_64: frobnicator table of vcpu 3 is full",
        "9: error : virFlubberAlloc:577 : flubber allocation failed for vcpu 3",
        "flubber[12]: error: widget of vm1 could not be frobnicated",
        "mypkg.FlubberError: no frobnicator in web1",
    ],
)
def test_an_unknown_error_wins_over_every_echo_in_either_order(unknown: str) -> None:
    for echo in ECHOES[:-3]:
        for log in (f"{echo}\n{unknown}\n", f"{unknown}\n{echo}\n"):
            report = told(log)
            assert report.exit_status == 3, log
            assert report.explanations[0].line == unknown, log
            assert report.explanations[0].status is Status.UNKNOWN, log


def test_what_follows_a_heading_is_the_error() -> None:
    for heading in ECHOES[-3:-1]:
        report = told(f"{heading}\nerror: the frobnicator of domain web1 is not ready\n")
        assert report.exit_status == 3
        assert "frobnicator" in report.suspicious[0].text


def test_an_object_of_a_command_line_does_not_hide_the_error_behind_it() -> None:
    log = (
        'qemu-system-x86_64: -blockdev {"driver":"file","filename":"/srv/my vms/a.img"}: Could '
        "not open '/srv/my vms/a.img': No such file or directory\n"
    )
    (found,) = told(log).explanations
    assert found.rule == "storage"
    assert "/srv/my vms/a.img" in found.meaning


def test_what_is_no_error() -> None:
    """Settings, frames, raise lines, headings and counts beside an error add nothing to it."""
    log = (
        "decompress-error-check: on\n"
        "Migration status: failed (Unable to write to socket: Broken pipe)\n"
        "\tat org.libvirt.ErrorHandler.processError(Unknown Source)\n"
        "ERROR vagrant: /x/start_domain.rb:299:in `rescue in call'\n"
        "    raise libvirtError('virDomainMigrate() failed', dom=self)\n"
        "2 error(s) occurred:\n"
        "level=error\n"
        'level=error msg=  on main.tf line 1, in provider "libvirt":\n'
        "node1 : ok=3 changed=0 unreachable=0 failed=1\n"
        "FATAL Error executing openshift-install: exit status 1\n"
        "line 9: 58011 Abort trap: 6           QTEST_QEMU_BINARY=./qemu\n"
    )
    report = told(log)
    assert [item.message for item in report.explanations] == ["channel-write"]
    assert not report.suspicious
    assert report.exit_status == 0


def test_a_person_s_words_are_shown_where_nothing_else_is() -> None:
    words = "The live migration of our guests is refused since the update of the second node.\n"
    report = told(words)
    assert [line.text for line in report.suspicious] == [words.strip()]
    assert report.exit_status == 3
    cause = 'qemu-kvm: Unknown ramblock "0000:00:04.0/e1000.rom", cannot accept migration\n'
    assert not told(words + cause).suspicious
    assert told(words + cause).exit_status == 0


def test_no_sentence_has_a_name_left_open() -> None:
    """A wording that lacks a value its message speaks of names it in words."""
    report = told("error: invalid argument: could not find capabilities for domaintype=kvm \n")
    assert "{" not in report.explanations[0].meaning


MARGINS = {
    "carriage return": "{}\r",
    "indent": "    {}",
    "mail": "> {}",
    "colour": "\x1b[31m{}\x1b[0m",
    "box": "\u2502 {}",
    "spaces behind": "{}   ",
}


@pytest.mark.slow
@pytest.mark.parametrize("name", ["public_logs.toml", "public_logs_2.toml", "public_logs_m.toml"])
def test_what_stands_before_every_line_changes_nothing(name: str) -> None:
    failures = tomllib.loads((Path(__file__).parent / name).read_text(encoding="utf-8"))["failure"]
    for failure in failures[::9]:
        lines = failure["log"].split("\n")
        expected = [item.message for item in told(failure["log"] + "\n").explanations]
        for margin, form in MARGINS.items():
            log = "".join(form.format(line) + "\n" for line in lines)
            found = [item.message for item in told(log).explanations]
            assert found[:1] == expected[:1], (failure["name"], margin)


@pytest.mark.parametrize("errno", ["", ": Input/output error"])
def test_a_load_that_libvirt_ended_itself(errno: str) -> None:
    """LP 1535232: the destination's QEMU is ended because the source has failed."""
    closing = f"2016-01-26T10:30:51.9Z qemu-system-x86_64: load of migration failed{errno}\n"
    log = f"2016-01-26 10:30:51.895+0000: shutting down, reason=failed\n{closing}"
    (found,) = told(log).explanations
    assert found.status is Status.SYMPTOM
    assert "source's log" in found.now
    (alone,) = told(closing).explanations
    assert "shutting down" not in alone.meaning


def test_a_second_refusal_is_told_too() -> None:
    log = (
        "first [ Requested operation is not valid: domain is not running ], after the start\n"
        "[ Failed to open file '/data/a.qcow2': No such file or directory ]\n"
    )
    (found,) = told(log).explanations
    assert found.message == "host-file-open"
    (other,) = found.also
    assert (other.line.number, other.message) == (1, "op-not-running")
    assert "virsh list" in other.now
    assert found.to_json()["also"][0]["do_now"] == other.now


@pytest.mark.parametrize(
    "log",
    [
        "audio: Could not init `oss' audio driver\n"
        "qemu-system-arm: Missing section footer for sd-card\n",
        "qemu-system-x86_64: block.c:5523: bdrv_inactivate_recurse: Assertion "
        "`!(bs->open_flags & BDRV_O_INACTIVE)' failed.\n"
        "libvirtd[3237]: operation failed: domain 'instance-00000ba2' is not running\n",
    ],
)
def test_what_follows_from_an_error_is_no_second_one(log: str) -> None:
    (found,) = told(log).explanations
    assert found.also == ()


HEALTHY = Path(__file__).parent / "healthy"


@pytest.mark.parametrize("path", sorted(HEALTHY.glob("*.log")), ids=lambda path: path.stem)
def test_a_migration_that_succeeded_gets_no_cause(path: Path) -> None:
    report = explain(io.BytesIO(path.read_bytes()))
    assert not [item for item in report.explanations if item.status is not Status.WARNING]


@pytest.mark.parametrize(
    "log",
    [
        "2024-03-01 10:00:00.123+0000: starting up libvirt version: 9.0.0, hostname: h1\n"
        "LC_ALL=C \\\nPATH=/usr/local/sbin:/usr/bin \\\n/usr/bin/qemu-system-x86_64 \\\n"
        "-name guest=web,debug-threads=on \\\n-S\n"
        "char device redirected to /dev/pts/1 (label charserial0)",
        "May 20 18:46:20 h1 systemd[1]: Started Session 12 of user root.\n"
        "May 20 18:46:21 h1 libvirtd[812]: hostname: h1",
        "2025-05-20 18:46:20 starting migration of VM 142 to node 'pve2' (10.0.0.2)",
    ],
)
def test_a_few_lines_of_what_began_well_are_no_errors(log: str) -> None:
    report = explain(io.BytesIO(f"{log}\n".encode()))
    assert not report.explanations
    assert not report.suspicious
    assert report.exit_status == 0


@pytest.mark.parametrize(
    ("warning", "error"),
    [
        (
            "qemu-system-x86_64: warning: Default display 'gtk' is not available in this binary",
            "qemu-system-x86_64: Default display 'gtk' is not available in this binary",
        ),
        (
            "9: warning : qemuBuildInterfaceCommandLine:8 : setting bandwidth on interfaces of "
            "type 'user' is not implemented yet",
            "9: error : qemuBuildInterfaceCommandLine:8 : internal error: setting bandwidth on "
            "interfaces of type 'user' is not implemented yet",
        ),
    ],
)
def test_the_same_words_as_a_warning_are_no_failure(warning: str, error: str) -> None:
    (found,) = told(f"{error}\n").explanations
    assert found.status is Status.EXPLAINED
    cause = "qemu-system-x86_64: unsupported machine type 'pc-q35-9.9'\n"
    for log in (f"{warning}\n{cause}", f"{cause}{warning}\n"):
        assert told(log).explanations[0].message == "start-machine"
    report = told(f"{warning}\n")
    assert not [one for one in report.explanations if one.status is not Status.WARNING]
    assert report.exit_status == 0
