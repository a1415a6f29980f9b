"""The ``field_exists`` tests of devices' tables, by the names of their description and field.

Sources: all ``VMSTATE_*_TEST`` and ``VMSTATE_VALIDATE`` of 5.2, 7.2, 10.0 and 10.2 that a machine
of an audited target (facts/targets.toml) can have. Left to the destination's own stream, because
the machine type or a property decides: piix4_pm and ich9_smb (smbus), pxa2xx_timer,
qemu-s390-flic, acpi_pcihp, PCIDevice's two forms of ``config``, the MSI-X tables of
pcie-root-port and vfio, pvscsi's parent, e1000e's ``core.timadj``, virtio-gpu's ``fb.*``,
spapr_pci's and the ppc cpu's fields of machine types before 2.8 and 3.0.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from migratable.check.state import LoadedState, Memory
from migratable.profile.model import Profile
from migratable.profile.tables import VmField

_CTRL_GUEST_OFFLOADS = 2
_MAC_TABLE_ENTRIES = 64
_OLD_EEPROM_VERSION = 20_061_112


@dataclass(frozen=True, slots=True)
class State:
    """The values that a test may read."""

    body: LoadedState
    item: VmField
    profile: Profile
    memory: Memory | None


Test = Callable[[State], bool | None]


def _version(test: Callable[[int], bool]) -> Test:
    def wrapped(state: State) -> bool:
        return test(state.body.version)

    return wrapped


def _nonzero(name: str) -> Test:
    """The loaded field *name* is not 0."""

    def test(state: State) -> bool | None:
        value = state.body.number(name)
        return None if value is None else value != 0

    return test


def _esp(test: Callable[[int], bool]) -> Test:
    """hw/scsi/esp.c: the smaller of the body's version and the container's ``mig_version_id``.

    A container of version 1 does not have it, and a device that was just started has 0 there.
    """

    def wrapped(state: State) -> bool | None:
        parent = state.body.parent
        if parent is None:
            return None
        sent = parent.number("esp.mig_version_id")
        return test(min(state.body.version, sent or 0))

    return wrapped


def _mac_table_fits(state: State) -> bool | None:
    in_use = state.body.number("mac_table.in_use")
    return None if in_use is None else in_use <= _MAC_TABLE_ENTRIES


def _mac_table_does_not_fit(state: State) -> bool | None:
    if state.item.name != "unused":
        return None
    fits = _mac_table_fits(state)
    return None if fits is None else not fits


def _several_queue_pairs(state: State) -> bool | None:
    """hw/net/virtio-net.c: max_queue_pairs_gt_1 (up to 5.2 max_queues_gt_1), a property."""
    if state.memory is None:
        return None
    for item in state.body.vmsd.fields:
        if item.name in {"max_queue_pairs", "max_queues"}:
            local = state.memory.was(state.body.opaque + item.offset, 2)
            return None if local is None else local > 1
    return None


def _ctrl_guest_offloads(state: State) -> bool | None:
    """hw/net/virtio-net.c: has_ctrl_guest_offloads; ``virtio_load`` has set the low features."""
    parent = state.body.parent
    features = parent.number("guest_features") if parent is not None else None
    return None if features is None else bool(features >> _CTRL_GUEST_OFFLOADS & 1)


def _not_early(state: State) -> bool | None:
    """hw/virtio/virtio-mem.c: with the property ``x-early-migration`` there is a second handler."""
    tables = state.profile.loader
    if tables is None:
        return None
    return not any(
        handler.vmsd is not None and tables.vmsds[handler.vmsd].name == "virtio-mem-device-early"
        for handler in tables.handlers
    )


def _hpet_timers(state: State) -> bool | None:
    """hw/timer/hpet.c: hpet_validate_num_timers; 10.0 and later want the destination's number."""
    sent = state.body.number("num_timers_save")
    if sent is None:
        sent = state.body.number("num_timers")
        return None if sent is None else 3 <= sent <= 32
    local = state.body.owned("num_timers_save")
    return None if local is None else sent == local


def _aer_log(state: State) -> bool | None:
    """hw/pci/pcie_aer.c: pcie_aer_state_log_num_valid."""
    number, most = state.body.number("log_num"), state.body.number("log_max")
    return None if number is None or most is None else number <= most


def _within(**limits: int) -> Test:
    """Each of these loaded fields is below its limit."""

    def test(state: State) -> bool | None:
        values = [(state.body.number(name), limit) for name, limit in limits.items()]
        if any(value is None for value, _ in values):
            return None
        return all(value < limit for value, limit in values if value is not None)

    return test


def _region(number: str, regions: str) -> Test:
    """target/arm/machine.c: the number of a region is one of the processor's own regions.

    :param number: the field with the number; before ``:`` the subsection that it is in.
    :param regions: an array that has an element for each region.
    """
    subsection, _, field = number.rpartition(":")

    def test(state: State) -> bool | None:
        parent = state.body.parent
        place = state.body if not subsection else parent and parent.subsections.get(subsection)
        number = None if not place else place.number(field)
        item = next(
            (candidate for candidate in state.body.vmsd.fields if candidate.name == regions), None
        )
        if number is None or item is None or item.counter is None or state.memory is None:
            return None
        offset, width = item.counter
        count = state.memory.get(state.body.opaque + offset, width)
        return None if count is None else number < count

    return test


def _cache_selection(state: State) -> bool | None:
    """target/arm/machine.c: csselr_vmstate_validate; R_V7M_CSSELR_INDEX_MASK."""
    banks = state.body.numbers("env.v7m.csselr", 4)
    return None if banks is None else all(bank <= 0xF for bank in banks)


TESTS: dict[tuple[str, str], Test] = {
    ("ide_drive", "identify_data"): _nonzero("identify_set"),
    # hw/usb/hcd-xhci.c: xhci_er_full is always false since 2.9, whatever er_full_unused says.
    ("xhci-intr", "ev_buffer_put"): _version(lambda version: False),
    ("xhci-intr", "ev_buffer_get"): _version(lambda version: False),
    ("xhci-intr", "ev_buffer"): _version(lambda version: False),
    ("pcnet", "unused"): _version(lambda version: version == 2),
    ("ac97", "unused"): _version(lambda version: version == 2),
    ("e1000", "unused"): _version(lambda version: version == 1),
    ("fw_cfg", "cur_offset"): _version(lambda version: version == 1),
    ("eeprom", "size"): _version(lambda version: version == _OLD_EEPROM_VERSION),
    ("eeprom", "unused"): _version(lambda version: version == _OLD_EEPROM_VERSION),
    ("ipmi-interface", "kcs"): _version(lambda version: version <= 1),
    ("ipmi-interface-kcs", "unused"): _version(lambda version: version <= 1),
    ("spapr", "rtc_offset"): _version(lambda version: version < 3),
    ("spapr", "unused"): _version(lambda version: version < 3),
    ("pxa2xx_dma", "unused"): _version(lambda version: version == 0),
    ("scoop", "unused"): _version(lambda version: version == 0),
    ("spitz-keyboard", "unused"): _version(lambda version: version == 0),
    ("scoop", "irq levels are 16 bit"): _within(
        prev_level=1 << 16, gpio_level=1 << 16, gpio_dir=1 << 16
    ),
    # hw/arm/pxa2xx.c: 16 words, of which the bytes are counted
    ("pxa2xx-ssp", "fifo is 16 bytes"): _within(rx_start=64),
    ("pxa2xx-fir", "fifo is 64 bytes"): _within(rx_start=64),
    ("pxa2xx-mmci", "fifo size incorrect"): _within(
        tx_start=64, rx_start=32, tx_len=65, rx_len=33, resp_len=10
    ),
    ("cpu/m/csselr", "CSSELR is valid"): _cache_selection,
    ("cpu/pmsav7", "rgnr is valid"): _region(
        "cpu/pmsav7-rnr:env.pmsav7.rnr[M_REG_NS]", "env.pmsav7.drbar"
    ),
    ("cpu/m-security", "secure MPU_RNR is valid"): _region(
        "env.pmsav7.rnr[M_REG_S]", "env.pmsav8.rbar[M_REG_S]"
    ),
    ("cpu/m-security", "SAU_RNR is valid"): _region("env.sau.rnr", "env.sau.rbar"),
    ("hpet", "num_timers must match"): _hpet_timers,
    ("hpet", "num_timers in range"): _hpet_timers,
    ("PCIE_AER_ERROR_LOG", "log_num <= log_max"): _aer_log,
    ("virtio-net-device", "mac_table.macs"): _mac_table_fits,
    ("virtio-net-device", "unused"): _mac_table_does_not_fit,
    ("virtio-net-device", "max_queue_pairs"): _several_queue_pairs,
    ("virtio-net-device", "curr_queue_pairs"): _several_queue_pairs,
    ("virtio-net-device", "max_queues"): _several_queue_pairs,
    ("virtio-net-device", "curr_queues"): _several_queue_pairs,
    ("virtio-net-device", "curr_guest_offloads"): _ctrl_guest_offloads,
    ("virtio-mem-device", "tmp"): _not_early,
    ("virtio-mem-device", "size"): _not_early,
    ("virtio-mem-device", "bitmap"): _not_early,
    **{
        ("esp", name): _esp(lambda version: version < 5)
        for name in (
            *("mig_ti_rptr", "mig_ti_wptr", "mig_ti_buf", "mig_deferred_status"),
            *("mig_deferred_complete", "mig_cmdbuf", "mig_cmdlen", "mig_dma_left"),
        )
    },
    **{
        ("esp", name): _esp(lambda version: version >= 5)
        for name in (
            *("data_ready", "data_in_ready", "cmdfifo_cdb_offset", "ti_cmd"),
            *("fifo.data", "fifo.head", "fifo.num", "fifo"),
            *("cmdfifo.data", "cmdfifo.head", "cmdfifo.num", "cmdfifo"),
        )
    },
    ("esp", "mig_ti_cmd"): _esp(lambda version: 5 <= version <= 6),
    ("esp", "lun"): _esp(lambda version: version >= 6),
    ("esp", "asc_mode"): _esp(lambda version: version >= 8),
}

#: Tests that answer by configuration; the others look at what was loaded.
CONFIGURATION = (_several_queue_pairs, _not_early)
