"""The list of rules, one file per rule (:mod:`migratable.check.rule` explains a rule).

The ids in :data:`RULES` are the only ones: ``explain``, ``rehearse``, ``caps`` and the messages
use them and no others. The order is the loader's: where two rules look at the same event, the
first of them is the one that QEMU refuses by.
"""

from __future__ import annotations

from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Any

from migratable.check.rule import Rule

if TYPE_CHECKING:
    RULES: tuple[Rule, ...]

_FILES = (
    "management",
    "source_start",
    "source_save",
    "transport",
    "storage",
    "destination_start",
    "not_migratable",
    "configuration",
    "machine_type",
    "target_page_size",
    "option_rom",
    "ram_block_page_size",
    "ram_block_size",
    "ram_block_unknown",
    "ram_contents",
    "section_version",
    "unknown_section",
    "version_too_new",
    "version_too_old",
    "unknown_subsection",
    "layout",
    "field_equal",
    "pci_config",
    "virtio_queues",
    "virtio_vnet_header",
    "virtio_features",
    "field_validation",
    "cpu_identity",
    "capability_higher",
    "capability_lower",
    "external_state",
    "kernel_state",
    "kvm_registers",
    "post_load",
    "section_footer",
    "stream_broken",
    "multifd",
    "postcopy",
    "cpu_features",
    "kvm_interrupts",
    "kvm_host",
    "latent",
    "no_way_back",
    "memory_map",
    "sleeping_cpu",
    "destination_crash",
    "unrecognised",
    "guest_goes_on",
)


def rule(rule_id: str) -> Rule | None:
    """One rule, its file alone imported; None when there is none of that id."""
    file = rule_id.replace("-", "_")
    return _rule(file) if file in _FILES else None


def _rule(file: str) -> Rule:
    found: Rule = import_module(f"{__name__}.{file}").RULE
    return found


@cache
def _rules() -> tuple[Rule, ...]:
    return tuple(map(_rule, _FILES))


def __getattr__(name: str) -> Any:
    """:data:`RULES`, all files imported when they are asked for."""
    if name != "RULES":
        raise AttributeError(name)
    return _rules()
