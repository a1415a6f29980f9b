"""Sections whose names the engine must know, whatever device they are of.

What stands behind a section's name in words is in ``sections.toml``.
"""

from __future__ import annotations

from collections.abc import Mapping

CPU = "cpu"
"""The state of a virtual CPU (``target/*/machine.c: vmstate_*_cpu``)."""

OF_EACH_CPU = frozenset(
    {"cpu_common", CPU, "apic", "icp/server", "xive-tctx", "spapr_cpu", "kvm-tpr-opt"}
)
"""Sections of which each CPU has one."""

CONTENT_ONLY = frozenset({"ram", "block", "dirty-bitmap"})
"""Iterated sections whose rounds carry contents of memory and disks."""

START_TIMES: Mapping[str, frozenset[str]] = {
    "mc146818rtc": frozenset(
        [
            "cmos_data",
            "base_rtc",
            "last_update",
            "offset",
            "next_alarm_time",
            "update_timer",
            "periodic_timer",
            "next_periodic_time",
        ]
    ),
    "cpu": frozenset({"env.spr"}),
    "spapr": frozenset({"guest_timebase", "time_of_the_day_ns", "fdt_blob"}),
    "spapr/rtc": frozenset({"ns_offset"}),
}
"""Fields of a destination's own sections that tell when it was started, and no more.

``fdt_blob`` has a random seed in it, ``env.spr`` the time base beside the processor's version.
"""
