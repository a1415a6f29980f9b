"""ACPI tables given to the firmware: hw/nvram/fw_cfg.c."""

from __future__ import annotations

from collections.abc import Iterator

from migratable.check.devices import post_load
from migratable.check.events import BodyLoaded
from migratable.check.problem import Problem, UnexaminedError

_BLOCKS = (
    ("table_mr_size", "/rom@etc/acpi/tables"),
    ("linker_mr_size", "/rom@etc/table-loader"),
    ("rsdp_mr_size", "/rom@etc/acpi/rsdp"),
)
_PAGE = 4096
#: fw_cfg_modify_bytes_read asserts that lengths are below.
_LARGEST = 0xFFFF_FFFF
#: Where qemu_ram_resize says so, in Debian's builds.
_PLACES = {
    (5, 2): ("../../softmmu/physmem.c", 1766),
    (7, 2): ("../../softmmu/physmem.c", 1852),
    (10, 0): ("system/physmem.c", 1742),
}
_LAST_PLACE = ("system/physmem.c", 2051)


@post_load("fw_cfg/acpi_mr")
def tables(event: BodyLoaded) -> Iterator[Problem]:
    """fw_cfg_acpi_mr_restore_post_load: each block gets the source's size, or the program aborts.

    The sizes are those of the RAM blocks, which come first; only a stream that contradicts itself
    gets as far as this.
    """
    for field, name in _BLOCKS:
        sent = event.body.number(field)
        here = event.profile.ram_blocks.get(name)
        if sent is None or here is None:
            continue
        if sent >= _LARGEST:
            raise UnexaminedError(f"fw_cfg: {field} of {sent:#x} bytes; QEMU aborts")
        wanted = (sent + _PAGE - 1) & ~(_PAGE - 1) & ((1 << 64) - 1)
        if wanted > here[1]:
            file, line = _PLACES.get(event.release, _LAST_PLACE)
            yield Problem(
                rule="ram-block-size",
                summary=f"{name} would have {wanted:#x} bytes; the destination allows {here[1]:#x}",
                explanation="The program aborts (qemu_ram_resize).",
                words=(
                    (
                        "unexpected-error",
                        {"function": "qemu_ram_resize", "file": file, "line": line},
                    ),
                    (
                        "ram-block-too-large",
                        {"block": name, "stream": wanted, "maximum": here[1]},
                    ),
                ),
                field=field,
                aborts=True,
            )
            return
