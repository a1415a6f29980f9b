"""ACPI tables given to the firmware: hw/nvram/fw_cfg.c."""

from __future__ import annotations

from collections.abc import Iterator

from migratable.check.devices import post_load
from migratable.check.points import BodyLoaded
from migratable.check.trouble import Problem

_BLOCKS = (
    ("table_mr_size", "/rom@etc/acpi/tables"),
    ("linker_mr_size", "/rom@etc/table-loader"),
    ("rsdp_mr_size", "/rom@etc/acpi/rsdp"),
)
_PAGE = 4096


@post_load("fw_cfg/acpi_mr")
def tables(at: BodyLoaded) -> Iterator[Problem]:
    """fw_cfg_acpi_mr_restore_post_load: each block gets the source's size, or the program aborts.

    The sizes are those of the RAM blocks, which come first; only a stream that contradicts itself
    gets as far as this.
    """
    for field, name in _BLOCKS:
        sent = at.body.number(field)
        here = at.profile.ram_blocks.get(name)
        if sent is None or here is None:
            continue
        wanted = (sent + _PAGE - 1) & ~(_PAGE - 1) & ((1 << 64) - 1)
        if wanted > here[1]:
            yield Problem(
                rule="ram-block-size",
                summary=f"{name} would have {wanted:#x} bytes, here it has at most {here[1]:#x}",
                explanation="The program aborts (qemu_ram_resize).",
                field=field,
                facts={"aborts": True},
            )
            return
