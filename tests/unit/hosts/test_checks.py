# ruff: noqa: E501 -- a table
"""Host checks: what is seen on two hosts, and what is said of it."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest

from migratable.hosts.checks import CHECKS, Pair, compare, page
from migratable.hosts.needs import Needs
from migratable.verdict import Severity


def seen(**changes: Any) -> dict[str, Any]:
    found: dict[str, Any] = {
        "machine": "x86_64",
        "root": True,
        "cpu": {"model": "Model", "flags": ["avx", "sse"]},
        "kvm": {"there": True, "why": ""},
        "memory": {"total": 8 << 30, "available": 4 << 30, "free_hugepages": {"2048": 512}},
        "files": {},
        "bridges": {},
        "networks": {},
        "sockets": {},
        "libvirt": "",
        "confinement": {"selinux": "off", "apparmor": "off"},
        "swtpm": "",
        "capabilities": None,
        "not_seen": [],
    }
    return {**found, **changes}


def file(**changes: Any) -> dict[str, Any]:
    found = {"there": True, "why": "", "kind": "file", "size": 100, "format": "raw"}
    return {**found, "file_system": "nfs4", **changes}


def findings(pair: Pair) -> list[tuple[str, str]]:
    return [(one.rule, str(one.severity)) for one in compare(pair)[0]]


CLEAN = Pair(needs=Needs(), source=seen(), destination=seen(), ram=1 << 30)
DISK = Needs(disks=(("/d", "raw", "disk"),))
FIRMWARE = Needs(disks=(("/f", "raw", "firmware"),))
ABSENT = file(there=False, why="No such file or directory", size=None, format="", kind="")


def test_equal_hosts_have_no_findings() -> None:
    assert compare(CLEAN) == ((), ())


@pytest.mark.parametrize(
    ("needs", "source", "destination", "more", "expected"),
    [
        (Needs(kvm=True), {}, {"kvm": {"there": False, "why": "No such file"}}, {}, ("host-kvm", "refuses")),
        (Needs(kvm=True, host_cpu=True), {}, {"cpu": {"model": "Old", "flags": ["sse"]}}, {}, ("host-cpu", "endangers")),
        (Needs(kvm=True), {}, {"cpu": {"model": "Old", "flags": ["sse"]}}, {}, ("host-cpu", "info")),
        (Needs(kvm=True), {}, {"machine": "aarch64"}, {}, ("host-cpu", "refuses")),
        (DISK, {"files": {"/d": file()}}, {"files": {"/d": ABSENT}}, {}, ("host-disks", "refuses")),
        (DISK, {"files": {"/d": file()}}, {"files": {"/d": ABSENT}}, {"copies_storage": True}, ("host-disks", "info")),
        (DISK, {"files": {"/d": file()}}, {"files": {"/d": file(size=200)}}, {}, ("host-disks", "endangers")),
        (DISK, {"files": {"/d": file(file_system="xfs")}}, {"files": {"/d": file(file_system="ext4")}}, {}, ("host-disks", "warns")),
        (Needs(disks=(("/d", "qcow2", "disk"),)), {"files": {"/d": file(format="qcow2")}}, {"files": {"/d": file()}}, {}, ("host-disks", "endangers")),
        (FIRMWARE, {"files": {"/f": file()}}, {"files": {"/f": ABSENT}}, {}, ("host-firmware", "refuses")),
        (FIRMWARE, {"files": {"/f": file()}}, {"files": {"/f": file(size=1)}}, {}, ("host-firmware", "refuses")),
        (Needs(bridges=("br0",)), {}, {"bridges": {"br0": False}}, {}, ("host-networks", "refuses")),
        (Needs(networks=("default",)), {}, {"networks": {"default": False}}, {}, ("host-networks", "refuses")),
        (Needs(), {}, {}, {"ram": 9 << 30}, ("host-memory", "refuses")),
        (Needs(), {}, {}, {"ram": 5 << 30}, ("host-memory", "warns")),
        (Needs(hugepages="/dev/hugepages"), {}, {}, {"ram": 2 << 30}, ("host-memory", "refuses")),
        (Needs(host_devices=("vfio-pci 01:00.0",)), {}, {}, {}, ("host-devices", "endangers")),
        (Needs(sockets=("/run/v.sock",)), {}, {"sockets": {"/run/v.sock": False}}, {}, ("host-sockets", "refuses")),
        (Needs(tpm="2.0"), {"swtpm": "0.8"}, {"swtpm": ""}, {}, ("host-tpm", "refuses")),
        (Needs(tpm="2.0"), {"swtpm": "0.8.1"}, {"swtpm": "0.7.3"}, {}, ("host-tpm", "endangers")),
        (Needs(), {}, {"capabilities": ["xbzrle"]}, {"capabilities": ("mapped-ram",)}, ("host-capabilities", "warns")),
        (Needs(), {}, {"confinement": {"selinux": "enforcing", "apparmor": "off"}}, {}, ("host-confinement", "info")),
        (Needs(), {}, {}, {"release": "10.0.13", "arrived": {"profile": {"version": {"number": "7.2.22"}}}}, ("host-versions", "info")),
        (Needs(), {"libvirt": "11.3.0"}, {"libvirt": "9.0.0"}, {}, ("host-versions", "info")),
        (Needs(), {}, {}, {"skew": -30.0}, ("host-clock", "warns")),
        (Needs(), {}, {}, {"arrived": {"libvirt_refused": "unsupported machine type"}}, ("host-libvirt", "refuses")),
        (Needs(), {}, {}, {"back": {"verdict": {"verdict": "refused", "first_refusal": None}}}, ("no-way-back", "endangers")),
        (Needs(), {}, {}, {"no_way_back": "no program"}, ("no-way-back", "warns")),
    ],
)  # fmt: skip
def test_each_difference_has_its_finding(
    needs: Needs,
    source: dict[str, Any],
    destination: dict[str, Any],
    more: dict[str, Any],
    expected: tuple[str, str],
) -> None:
    pair = replace(
        CLEAN, needs=needs, source=seen(**source), destination=seen(**destination), **more
    )
    assert findings(pair) == [expected]


def test_what_may_not_be_seen_is_said_and_is_no_finding() -> None:
    denied = file(there=False, why="Permission denied", size=None)
    destination = seen(
        files={"/d": denied}, root=False, kvm={"there": True, "why": "Permission denied"}
    )
    needs = Needs(disks=(("/d", "raw", "disk"),), kvm=True)
    pair = replace(
        CLEAN, needs=needs, source=seen(files={"/d": file()}), destination=destination, not_seen=[]
    )
    found, not_seen = compare(pair)
    assert found == ()
    assert [text.split(" (")[0] for text in not_seen] == [
        "destination: /dev/kvm",
        "destination: /d",
    ]


def test_every_check_has_a_page_like_a_rule() -> None:
    assert len({one.id for one in CHECKS}) == len(CHECKS) == 15
    for one in CHECKS:
        headings = re.findall(r"^## (.*)$", page(one), re.MULTILINE)
        assert headings[0] == "What it checks"
        assert headings[-2:] == ["How to fix it", "Verify"]
        assert one.severity in Severity
