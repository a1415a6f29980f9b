"""Reports of people, by the set in which they were collected."""

from __future__ import annotations

from typing import Any

import pytest

from tests.explain.reports import compare, reports

SETS = {
    "managers": "logs of managers",
    "mg": "managers, from their sources",
    "m": "an error inside a tool's words",
    "n": "plain QEMU and libvirt",
    "p": "managers, of local guests too",
    "q": "what a judge found wrong",
    "ql": "QEMU's and libvirt's own messages, from their sources",
    "qv": "what people post of bare QEMU and libvirt",
    "r": "what the judge of set R left wrong, half or unknown",
    "s": "starts, restores, single hosts",
    "t": "managers, with their own remedies",
    "u": "one host that starts or loads",
    "v": "what stands beside the line, and patterns that were too wide",
    "w": "the program that the line names, harmless lines after a move, and careful remedies",
    "y": "Proxmox VE and other managers, task logs",
    "z": "OpenStack, KubeVirt, oVirt and CloudStack in their own codes",
    "w2": "set W: the operation, the side and the manager's own fix",
    "x2": "what the judge of set X left half right, by its kind",
    "wr": "what two judges left unmended, by its kind",
}


@pytest.mark.parametrize(
    "report",
    [
        pytest.param(report, id=f"{letter}-{report['name']}")
        for letter in SETS
        for report in reports(f"public_logs_{letter}")
    ],
)
def test_a_report(report: dict[str, Any]) -> None:
    compare(report)
