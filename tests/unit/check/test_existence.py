"""Tests of optional fields, from what was loaded."""

from __future__ import annotations

import pytest

from migratable.check import field_exists as existence
from migratable.check.state import LoadedState, Memory
from migratable.profile.tables import Flag, Handler, LoaderTables, PciMasks, VmField, Vmsd
from tests.unit.check.bodies import body, profile


def told(what: LoadedState, name: str, memory: Memory | None = None, flags: int = 0) -> bool | None:
    return existence.field_exists(what, VmField(name=name, test=1, flags=flags), profile(), memory)


@pytest.mark.parametrize(
    ("vmsd", "values", "field", "read"),
    [
        ("ide_drive", {"identify_set": 1}, "identify_data", True),
        ("ide_drive", {"identify_set": 0}, "identify_data", False),
        ("ide_drive", {}, "identify_data", None),
        ("xhci-intr", {"er_full_unused": 1}, "ev_buffer", False),
        ("xhci-intr", {"er_full_unused": 0}, "ev_buffer_put", False),
        ("virtio-net-device", {"mac_table.in_use": 64}, "mac_table.macs", True),
        ("virtio-net-device", {"mac_table.in_use": 65}, "mac_table.macs", False),
        ("virtio-net-device", {"mac_table.in_use": 65}, "unused", True),
        ("e1000e", {}, "core.timadj", None),
        ("pxa2xx-ssp", {"rx_start": 63}, "fifo is 16 bytes", True),
        ("pxa2xx-ssp", {"rx_start": 64}, "fifo is 16 bytes", False),
        (
            "scoop",
            {"prev_level": 1, "gpio_level": 1 << 16, "gpio_dir": 0},
            "irq levels are 16 bit",
            False,
        ),
        ("cpu/m/csselr", {"env.v7m.csselr": b"\0\0\0\x0f" * 2}, "CSSELR is valid", True),
        ("cpu/m/csselr", {"env.v7m.csselr": b"\0\0\0\x10" * 2}, "CSSELR is valid", False),
    ],
)
def test_by_values(
    vmsd: str, values: dict[str, int | bytes], field: str, read: bool | None
) -> None:
    assert told(body(vmsd, values), field) is read


@pytest.mark.parametrize(
    ("vmsd", "field", "versions"),
    [
        ("pcnet", "unused", {2}),
        ("scoop", "unused", {0}),
        ("pxa2xx_dma", "unused", {0}),
        ("ac97", "unused", {2}),
        ("e1000", "unused", {1}),
        ("fw_cfg", "cur_offset", {1}),
        ("spapr", "rtc_offset", {0, 1, 2}),
        ("ipmi-interface", "kcs", {0, 1}),
    ],
)
def test_by_version(vmsd: str, field: str, versions: set[int]) -> None:
    for version in range(4):
        assert told(body(vmsd, version=version), field) is (version in versions)


@pytest.mark.parametrize(
    ("sent", "version", "field", "read"),
    [
        (8, 8, "lun", True),
        (5, 8, "lun", False),
        (None, 8, "mig_dma_left", True),  # a container of version 1: QEMU 5.2
        (None, 8, "fifo.data", False),
        (6, 8, "mig_ti_cmd", True),
        (7, 8, "mig_ti_cmd", False),
        (8, 6, "asc_mode", False),
    ],
)
def test_esp(sent: int | None, version: int, field: str, read: bool) -> None:
    container = body("pciespscsi", {} if sent is None else {"esp.mig_version_id": sent})
    assert told(body("esp", version=version, parent=container), field) is read


def test_hpet_timers() -> None:
    def at(values: dict[str, int], own: dict[str, int] | None = None) -> bool | None:
        name = "num_timers must match" if "num_timers_save" in values else "num_timers in range"
        return told(body("hpet", values, own=own), name, flags=Flag.MUST_EXIST)

    assert at({"num_timers_save": 3}, {"num_timers_save": 3}) is True
    assert at({"num_timers_save": 3}, {"num_timers_save": 8}) is False
    assert at({"num_timers": 3}) is at({"num_timers": 32}) is True
    assert at({"num_timers": 2}) is False
    assert at({"num_timers": 33}) is False


def test_aer_log() -> None:
    name, flags = "log_num <= log_max", Flag.MUST_EXIST
    aer = "PCIE_AER_ERROR_LOG"
    assert told(body(aer, {"log_num": 8, "log_max": 8}), name, flags=flags) is True
    assert told(body(aer, {"log_num": 9, "log_max": 8}), name, flags=flags) is False


def test_validation_without_predicate_passes() -> None:
    assert told(body("scoop"), "irq levels are 16 bit", flags=Flag.MUST_EXIST) is True


@pytest.mark.parametrize(("here", "read"), [(1, False), (4, True), (None, None)])
def test_queue_pairs(here: int | None, read: bool | None) -> None:
    field = VmField(name="max_queue_pairs", offset=0x20, test=1)
    words = {} if here is None else {(0x1020, 2): here}
    device = body("virtio-net-device", fields=[field])
    memory = Memory(words)
    memory.set(0x1020, 2, 9)  # what was loaded does not decide
    assert told(device, "curr_queue_pairs", memory) is read
    assert not existence.depends_on_state(device, field)


@pytest.mark.parametrize(("version", "read"), [(20061112, True), (20061113, False)])
def test_an_eeprom_of_old(version: int, read: bool) -> None:
    """hw/nvram/eeprom93xx.c: is_old_eeprom_version."""
    assert told(body("eeprom", version=version), "size") is read


@pytest.mark.parametrize(("features", "read"), [(1 << 2, True), (1 << 3, False)])
def test_guest_offloads(features: int, read: bool) -> None:
    blob = body("virtio-net", {"guest_features": features})
    device = body("virtio-net-device", parent=blob)
    assert told(device, "curr_guest_offloads") is read
    assert existence.depends_on_state(device, VmField(name="curr_guest_offloads", test=1))


@pytest.mark.parametrize(("number", "read"), [(7, True), (8, False)])
def test_a_region_is_one_of_the_processor(number: int, read: bool) -> None:
    """target/arm/machine.c: pmsav7_rgnr_vmstate_validate."""
    regions = VmField(name="env.pmsav7.drbar", num_offset=16, flags=int(Flag.VARRAY_UINT32))
    number_at = body("cpu/pmsav7-rnr", {"env.pmsav7.rnr[M_REG_NS]": number})
    made = body(
        "cpu/pmsav7", fields=(regions,), parent=body("cpu", subsections=[number_at]), version=1
    )
    memory = Memory({(made.opaque + 16, 4): 8})
    assert told(made, "rgnr is valid", memory, int(Flag.MUST_EXIST)) is read


@pytest.mark.parametrize(
    ("handlers", "read"), [((), True), (("virtio-mem-device-early",), False), (("other",), True)]
)
def test_virtio_mem_has_one_place(handlers: tuple[str, ...], read: bool) -> None:
    """hw/virtio/virtio-mem.c: with x-early-migration the bitmap is in a section of its own."""
    tables = LoaderTables(
        handlers=tuple(
            Handler(idstr="d", instance_id=0, alias_id=-1, version=1, vmsd=index, opaque=0)
            for index in (None, *range(len(handlers)))
        ),
        vmsds=tuple(Vmsd(name=name, version=1, minimum=1) for name in handlers),
    )
    item = VmField(name="bitmap", test=1)
    device = body("virtio-mem-device")
    assert existence.field_exists(device, item, profile(loader=tables)) is read
    assert existence.field_exists(device, item, profile()) is None
    assert not existence.depends_on_state(device, item)


def test_the_two_forms_of_pci_config() -> None:
    """hw/pci/pci.c: 256 bytes, or 4096 for a device on PCIe."""
    masks = PciMasks(config=bytes(4096), cmask=bytes(4096), wmask=bytes(4096), w1cmask=bytes(4096))
    to = profile(loader=LoaderTables(handlers=(), vmsds=(), pci={"dev": masks}))
    told = [
        existence.field_exists(
            body("PCIDevice"),
            VmField(name="config", info="pci config", size=size, test=1),
            to,
            idstr=idstr,
        )
        for size, idstr in ((256, "dev"), (4096, "dev"), (256, "other"))
    ]
    assert told == [False, True, None]


def test_what_lacks_its_parent_is_not_told() -> None:
    assert told(body("esp"), "lun") is None
    assert told(body("virtio-net-device"), "curr_guest_offloads") is None
    assert told(body("virtio-net-device"), "max_queue_pairs") is None
    assert told(body("virtio-net-device"), "mac_table.macs") is None
    assert told(body("virtio-net-device"), "unused") is None
    assert told(body("cpu/m/csselr"), "CSSELR is valid") is None
    assert told(body("PCIE_AER_ERROR_LOG", {"log_num": 1}), "log_num <= log_max") is None


@pytest.mark.parametrize(("here", "read"), [(2, True), (1, False)])
def test_two_queue_pairs_are_several(here: int, read: bool) -> None:
    field = VmField(name="max_queues", offset=0x20, test=1)
    device = body("virtio-net-device", fields=[VmField(name="x"), field])
    assert told(device, "curr_queues", Memory({(0x1020, 2): here})) is read


def test_a_device_that_was_just_started_has_version_0() -> None:
    container = body("pciespscsi")
    assert told(body("esp", version=4, parent=container), "mig_dma_left") is True
    assert told(body("esp", version=9, parent=container), "mig_dma_left") is True
    assert told(body("esp", version=9, parent=container), "data_ready") is False
    low = body("pciespscsi", {"esp.mig_version_id": 5})
    assert told(body("esp", version=9, parent=low), "data_ready") is True
    assert told(body("esp", version=4, parent=low), "data_ready") is False


def test_a_region_of_which_something_is_not_known() -> None:
    """The check then counts as passed, as one that nothing models."""
    regions = VmField(name="env.pmsav7.drbar", num_offset=16, flags=int(Flag.VARRAY_UINT32))
    fixed = VmField(name="env.pmsav7.drbar", num=8, flags=int(Flag.ARRAY))
    there = body("cpu/pmsav7-rnr", {"env.pmsav7.rnr[M_REG_NS]": 9})
    memory = Memory({(0x1000 + 16, 4): 8})
    for fields, sent, known in (
        ((), there, memory),
        ((fixed,), there, memory),
        ((regions,), body("cpu/pmsav7-rnr"), memory),
        ((regions,), there, None),
        ((regions,), there, Memory({})),
    ):
        made = body("cpu/pmsav7", fields=fields, parent=body("cpu", subsections=[sent]))
        assert told(made, "rgnr is valid", known) is None
        assert told(made, "rgnr is valid", known, int(Flag.MUST_EXIST)) is True
    made = body("cpu/pmsav7", fields=(regions,), parent=body("cpu", subsections=[there]))
    assert told(made, "rgnr is valid", memory) is False


def test_only_the_configuration_of_a_pci_device_has_two_forms() -> None:
    masks = PciMasks(config=bytes(256), cmask=b"", wmask=b"", w1cmask=b"")
    tables = LoaderTables(handlers=(), vmsds=(), pci={"0:1.0/ide": masks})
    field = VmField(name="identify_data", size=512, info="buffer", test=1)
    drive = body("ide_drive", {"identify_set": 1})
    assert existence.field_exists(drive, field, profile(loader=tables), None, "0:1.0/ide") is True
