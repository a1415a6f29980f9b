"""Managers' logs: public reports, and the forms in which people paste such lines."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Callable

import pytest

from tests.explain.reports import explained

# A line of each manager, and the message that it is.
LINES = [
    ("can't migrate VM which uses local devices: hostpci0, usb0", "proxmox-local-resource"),
    ("cannot receive new filesystem stream: destination 'tank/vm-1-disk-0' exists", "zfs-exists"),
    ("cannot migrate VMI: PVC disk0 is not shared, live migration requires that all PVCs must be "
     "shared (using ReadWriteMany access mode)", "kubevirt-pvc"),
    ("Compute service of cmp-3 is unavailable at this time.", "nova-service-down"),
    ("Only additional disks coming from a shared storage pool are supported with "
     "migration.stateful=true", "incus-disk-stateful"),
    ("The host node2 did not satisfy internal filter Memory because its available memory is too "
     "low (812.0 MB) to run the VM", "ovirt-filter-memory"),
    ("Disk of instance is too large(available on destination host:1024 < need:4096)",
     "nova-dest-disk-size"),
]  # fmt: skip


def wrapped(line: str) -> str:
    return "\n".join(textwrap.wrap(f"> > {line}", 72, subsequent_indent="> > "))


FORMS: dict[str, Callable[[str], str]] = {
    "bare": lambda line: line,
    "task log": lambda line: f"2024-01-01 12:00:01 ERROR: {line}\nTASK ERROR: migration aborted",
    "journald": lambda line: f"Nov 12 10:11:12 node1 agent[1234]: {line}",
    "journald JSON": lambda line: json.dumps({"_PID": "12", "MESSAGE": line}),
    "traceback": lambda line: "Traceback (most recent call last):\n"
    f'  File "/usr/lib/python3/x.py", line 7, in migrate\n    raise\nx.y.SomeError: {line}',
    "oslo": lambda line: "2024-01-01 12:00:01.123 7 ERROR nova.compute.manager [req-1 - - -] "
    f"[instance: 6ddd4885] {line}",
    "logfmt": lambda line: f'time="2024-01-01T00:00:00Z" level=error msg="failed" err="{line}"',
    "Go JSON": lambda line: json.dumps(
        {"component": "virt-handler", "level": "error", "msg": "sync", "reason": line}
    ),
    "klog": lambda line: f'E0101 12:00:01.1 1 controller.go:7] "sync failed" err="{line}"',
    "Java": lambda line: "2024-01-01 12:00:01,001 ERROR [c.c.v.Manager] (Job-1) (logid:1) "
    f"com.cloud.utils.exception.CloudRuntimeException: {line}\n\tat com.cloud.X.run(X.java:1)",
    "events table": lambda line: f"  Warning  Failed  3s (x3 over 9s)  virt-handler  {line}",
    "forum quote": lambda line: f"> 2024-01-01 12:00:01 {line}",
    "HTML": lambda line: "<p>" + line.replace("'", "&#39;").replace("<", "&lt;") + "</p>",
    "mail": wrapped,
    "escaped in JSON": lambda line: json.dumps({"status": json.dumps({"message": line})}),
    "YAML": lambda line: "    message: '" + line.replace("'", "''") + "'",
    "ansible": lambda line: 'fatal: [node1]: FAILED! => {"msg": ' + json.dumps(line) + "}",
    "strace": lambda line: '[pid 77] write(2, "' + line.replace('"', '\\"') + '\\n", 99) = 99',
    "multipass": lambda line: f"[2024-01-01T12:00:00.123] [error] [vm1] {line}",
    "docker": lambda line: f"nova_compute-1  | {line}",
    "kubectl prefix": lambda line: f"[pod/virt-launcher-vm1-x2x4z/compute] {line}",
    "RFC 5424": lambda line: f"<11>1 2024-01-01T12:00:00Z host vdsm 77 - - {line}",
    "CRLF": lambda line: f"start\r\n{line}\r\nend\r",
    "colour": lambda line: f"\x1b[31merror\x1b[0m: \x1b[1m{line}\x1b[0m",
    "curses": lambda line: f"│ {line} │",
    "table": lambda line: f"| fault | {{'code': 500, 'message': \"{line}\"}} |",
}  # fmt: skip


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(("line", "message"), LINES, ids=[name for _, name in LINES])
def test_found_in_every_form(line: str, message: str, form: str) -> None:
    found = explained(FORMS[form](line)).explanations
    assert message in {item.message for item in found}


@pytest.mark.parametrize(
    ("log", "inner"),
    [
        ("2024-01-01 12:00:01 ERROR: migration aborted (duration 00:00:02): storage migration for "
         "'a:vm-1-disk-0' to storage 'b' failed - zfs error: cannot create 'b/vm-1-disk-0': "
         "out of space", "zfs-space"),
        ("Instance move to destination failed on source: Failed migration on source: Failed "
         "starting state transfer to target: Migration is disabled when VirtFS export path '/x' "
         "is mounted in the guest using mount_tag 'config'", "fs-mounted"),
        ("VM web is down with error. Exit message: unsupported configuration: domain "
         "configuration does not support video model 'qxl'.", "libvirt"),
        ("can't map rbd volume vm-1: rbd: error opening image vm-1: (2) No such file or directory",
         "rbd-missing"),
        ("AttachVolume.Attach failed for volume \"pvc-1\" : rpc error: code = Internal desc = "
         "volume must be healthy to start migration", "longhorn-degraded"),
    ],
)  # fmt: skip
def test_the_innermost_cause_wins(log: str, inner: str) -> None:
    found = explained(log).explanations[0]
    if inner == "fs-mounted":
        assert found.rule == "not-migratable"
    elif inner == "libvirt":
        assert found.message != "ovirt-down"
        assert str(found.status) == "explained"
    else:
        assert found.message == inner


@pytest.mark.parametrize(
    "line",
    [
        "npm ERR! cannot open './dist/index.js': file does not exist here",
        "Jan  1 00:00:00 host sshd[1]: error: connecting to remote host failed",
        "psql: error: database 'x' is disabled by policy of the site",
        "gitlab: the storage quota of project 7 is nearly used up",
        "Filter results: 3 of 17 shown",
        "app: State change failed: the button is grey",
    ],
)
def test_other_programs_texts_are_none_of_theirs(line: str) -> None:
    assert not explained(line).explanations


NOISE = "Nov 12 10:11:12 host systemd[1]: Started Session 7 of user root.\n" * 2000


@pytest.mark.slow
@pytest.mark.parametrize(
    "line",
    [
        'kubelet[9]: MountVolume.SetUp failed for volume "web" : configmap "web" not found',
        "mount[7]: mount error: could not resolve address for nas",
        "backup[7]: cannot open 'tank/data': dataset does not exist",
        "kube-scheduler[7]: 0/3 nodes are available: 3 Insufficient cpu.",
        "app[7]: Volume 17 could not be found.",
    ],
)
def test_in_a_long_log_a_general_text_counts_only_about_a_guest(line: str) -> None:
    entry = f"Nov 12 10:11:12 host {line}\n"
    assert not explained(NOISE + entry + NOISE).explanations
    about = f"{entry[:-1]} (virt-launcher, instance of pve)\n"
    assert explained(NOISE + about + NOISE).explanations
