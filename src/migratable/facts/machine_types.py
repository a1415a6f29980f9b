"""Machine types by name: which distribution's they are, and the release that a name stands for."""

from __future__ import annotations

UBUNTU = {
    "trusty": ("14.04", "2.0"), "xenial": ("16.04", "2.5"), "zesty": ("17.04", "2.8"),
    "artful": ("17.10", "2.10"), "bionic": ("18.04", "2.11"), "cosmic": ("18.10", "2.12"),
    "disco": ("19.04", "3.1"), "eoan": ("19.10", "4.0"), "focal": ("20.04", "4.2"),
    "groovy": ("20.10", "5.0"), "hirsute": ("21.04", "5.2"), "impish": ("21.10", "6.0"),
    "jammy": ("22.04", "6.2"), "kinetic": ("22.10", "7.0"), "lunar": ("23.04", "7.2"),
    "mantic": ("23.10", "8.0"), "noble": ("24.04", "8.2"), "oracular": ("24.10", "9.0"),
    "plucky": ("25.04", "9.2"), "questing": ("25.10", "10.1"),
}  # fmt: skip
"""Ubuntu's code names: its release, and that of its QEMU (``hw/i386/pc_piix.c`` and ``pc_q35.c`` of
its package)."""

OLDEST_KEPT = (5, 2)
"""The oldest x86 type that QEMU 11.1 has; 10.0 begins at 2.4 (``-machine help`` of both)."""

ALIASES = frozenset({"pc", "q35", "virt", "pseries", "s390-ccw-virtio", "s390-ccw"})
"""Names that mean another machine in every release (``alias`` of ``MachineClass``)."""
