"""The network backend: with or without vnet_hdr."""

from __future__ import annotations

from collections.abc import Iterator

from migratable.hints import devices, network
from migratable.hints.candidate import Candidate, Situation
from migratable.verdict import Finding


def candidates(situation: Situation, finding: Finding) -> Iterator[Candidate]:
    """A tap, which has it."""
    option, _ = devices.option_of(situation, finding.device or "")
    netdev = None if option is None else option.fields.get("netdev")
    if netdev is not None:
        yield network.with_tap(netdev, "it has vnet_hdr")
