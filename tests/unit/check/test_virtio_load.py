"""``virtio_load`` where no recorded pair leads: features of more than 32 bits."""

from __future__ import annotations

from dataclasses import replace

import pytest

from migratable.check import check
from migratable.releases import QemuVersion
from migratable.stream import Stream
from migratable.stream.edit import map_sections
from migratable.stream.model import Section
from migratable.verdict import Outcome, Severity
from tests import recorded

_SCSI = "0000:00:02.0/virtio-scsi"
_SUBSECTION = b"virtio/64bit_features\0\0\0\1"
_VERSION_1 = 1 << 32


def acknowledging(stream: Stream, features: int) -> Stream:
    """The stream of a guest whose driver uses these features of the SCSI controller."""

    def change(section: Section) -> Section:
        if section.idstr != _SCSI:
            return section
        body = bytes(section.body)
        at = body.index(_SUBSECTION) + len(_SUBSECTION)
        return replace(section, body=body[:at] + features.to_bytes(8, "big") + body[at + 8 :])

    return map_sections(stream, change)


@pytest.mark.parametrize(
    ("release", "offered", "used", "outcome"),
    [
        ("10.0", 0x39000006, _VERSION_1, Outcome.LOADS),
        ("10.1", 0x39000006, _VERSION_1, Outcome.LOADS),
        ("10.2", 0x39000006, _VERSION_1, Outcome.REFUSED),
        ("10.0", 0x39000006 | 1 << 40, _VERSION_1, Outcome.REFUSED),
        ("10.0", 0x39000006, 0, Outcome.LOADS),
    ],
)
def test_a_device_without_wide_features_does_not_look_at_them(
    release: str, offered: int, used: int, outcome: Outcome
) -> None:
    """Seen with a virtio-mmio device of 5.2, 7.2, 10.0 and 11.1 (force-legacy on one side)."""
    known = recorded.profile("q35-10.0")
    assert known.loader is not None
    narrow = replace(known.loader.virtio[_SCSI], host_features=offered)
    loader = replace(known.loader, virtio={**known.loader.virtio, _SCSI: narrow})
    version = QemuVersion.parse(f"{release}.0")
    stream = acknowledging(recorded.source("q35-10.0"), used)
    verdict = check(stream, replace(known, loader=loader, version=version))
    assert verdict.outcome is outcome, verdict.unchecked
    found = [(one.rule, one.severity, one.device) for one in verdict.findings]
    if outcome is Outcome.REFUSED:
        assert found == [("virtio-features", Severity.REFUSES, _SCSI)]
    elif used:
        assert found == [("virtio-features", Severity.ENDANGERS, _SCSI)]
        assert "version_1" in verdict.findings[0].summary
    else:
        assert found == []
