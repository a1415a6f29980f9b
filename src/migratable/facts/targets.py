"""Targets whose loading code was read, so that ``loads`` is possible.

The tables of a destination say how a stream is read on any target. What they cannot say is in the
program's code: hooks (``pre_load``, ``post_load``) and tests (``field_exists``). On an audited
target all of that code was read, from QEMU's sources 5.2, 7.2 and 10.0 and the texts of 11.1, and
modelled in :mod:`migratable.check.devices` where it refuses. ``targets.toml`` has the names;
``tools/scan_hooks.py`` lists what a new release adds to them.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

X86 = frozenset({"x86_64", "i386"})


@cache
def _document() -> Mapping[str, Any]:
    text = Path(__file__).with_name("targets.toml").read_text("utf-8")
    return tomllib.loads(text)


@cache
def audited(target: str) -> bool:
    """Whether *target* (``query-target``'s ``arch``) is audited at all.

    An unnamed target is that of a profile made by hand, which is trusted.
    """
    return not target or target in _document()["target"]


@cache
def wholly(target: str) -> bool:
    """Whether all code that *target* can have was read, not only that of the named descriptions."""
    return not target or _document()["target"].get(target, {}).get("all", False) is True


@cache
def _names(target: str) -> frozenset[str]:
    entry = _document()["target"].get(target, {})
    groups = _document()["group"]
    return frozenset(name for group in entry.get("groups", ()) for name in groups[group]["names"])


def examined(target: str, description: str) -> bool:
    """Whether the code of a description was read for *target*."""
    return wholly(target) or description in _names(target)


def unaudited(target: str) -> str:
    """Why nothing of an unaudited target is said to load."""
    return (
        f"the target {target}: its devices' own code (hooks, tests of fields) was not examined, "
        "the tables alone were; rehearse tells"
    )


def unexamined(target: str, description: str) -> str:
    """Why no section with this description is said to load."""
    return f"the code of {description} (its hooks or tests of fields) was not examined on {target}"


def other_accelerator(target: str, *, wants_kvm: bool, accelerator: str) -> str | None:
    """Why no section is judged by a profile that was taken under another accelerator.

    On x86 and ppc64 the two differ in few fields, which are known. Elsewhere KVM has another
    interrupt controller (s390-flic for qemu-s390-flic, an ITS of its own, no aclint) and asks the
    kernel for every register of a processor.

    :return: None where the profile stands for the destination.
    """
    known = wholly(target)
    if known or not wants_kvm or accelerator == "kvm":
        return None
    return (
        f"the destination asks for KVM and its profile was taken under TCG: on {target} interrupt "
        "controllers and processors differ between the two; rehearse under KVM"
    )


def under_kvm(target: str, accelerator: str) -> str | None:
    """Why a processor's registers are not judged under KVM."""
    if wholly(target) or accelerator != "kvm":
        return None
    return f"on {target} KVM's kernel decides about registers and interrupt controllers"
