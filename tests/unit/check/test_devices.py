"""What the hooks of devices refuse, each from its source's own conditions."""

from __future__ import annotations

import pytest

from migratable.check import devices
from migratable.check.state import LoadedState, Memory
from migratable.profile.tables import Flag, LoaderTables, PciMasks, VmField
from tests.unit.check.bodies import body, entered, lines, loaded, profile


def test_every_function_is_documented_by_its_hook() -> None:
    for name, hooks in devices.registered().items():
        for hook in hooks:
            assert hook.function.__doc__, name
            assert hook.since <= hook.until


@pytest.mark.parametrize(
    ("lsr", "retry", "said"),
    [
        (0x60, None, []),
        (0x60, 0, []),
        (0x20, 3, []),
        (0x60, 3, ["inconsistent state in serial device (tsr empty, tsr_retry=3"]),
        (0x20, None, ["inconsistent state in serial device (tsr not empty, tsr_retry=0"]),
        (0x20, 0, ["inconsistent state in serial device (tsr not empty, tsr_retry=0"]),
        (
            0x60,
            0xFFFFFFFE,
            ["inconsistent state in serial device (tsr empty, tsr_retry=-2"],
        ),
    ],
)
def test_serial(lsr: int, retry: int | None, said: list[str]) -> None:
    more = () if retry is None else (body("serial/tsr", {"tsr_retry": retry}),)
    problems = loaded(body("serial", {"lsr": lsr}, version=3, subsections=more))
    assert lines(problems) == said
    assert all(problem.errno == 1 for problem in problems)


def ahci_port(command: int, busy: int = 0xFFFFFFFF, **queued: int) -> object:
    empty = {"used": 0, "halt": 0, "cmd": 0, "slot": 0, "tag": 0}
    return body(
        "ahci port",
        {"port_regs.cmd": command, "busy_slot": busy},
        children={"ncq_tfs": [body("ncq state", {**empty, **queued})]},
    )


@pytest.mark.parametrize(
    ("port", "words"),
    [
        (ahci_port(0xC017), None),
        (ahci_port(0x8006), "port 0 is stopped"),
        (ahci_port(0x4006), "port 0: FIS receive disabled, engine running"),
        (ahci_port(6, used=1), "not halted"),
        (ahci_port(6, halt=1), "not in use"),
        (ahci_port(6, used=1, halt=1, cmd=0x25), "which cannot be queued"),
        (ahci_port(6, used=1, halt=1, cmd=0x60, slot=3, tag=4), "slot 3 and tag 4"),
        (ahci_port(6, used=1, halt=1, cmd=0x60, slot=3, tag=3), None),
        (ahci_port(6, busy=31), None),
        (ahci_port(6, busy=32), "busy with command 32"),
        (ahci_port(6, busy=0xFFFFFFFE), "busy with command -2"),
    ],
)
def test_ahci(port: LoadedState, words: str | None) -> None:
    problems = loaded(body("ahci", children={"dev": [port]}))
    if words is None:
        assert problems == []
    else:
        assert words in problems[0].summary
        assert problems[0].errno == 1


@pytest.mark.parametrize(
    ("release", "ports", "said"),
    [
        ("7.2.0", 1, ["AHCI: Failed to start FIS receive engine: bad FIS receive buffer address"]),
        ("10.0.13", 3, []),
        ("10.0.13", 4, ["AHCI: Failed to start DMA engine: bad command list buffer address"]),
    ],
)
def test_ahci_behind_the_memory(
    monkeypatch: pytest.MonkeyPatch, release: str, ports: int, said: list[str]
) -> None:
    """Measured with max-ram-below-4g=128M on the destination alone: one bounce buffer, or 4 KiB."""
    from migratable.check.devices import ide
    from migratable.check.devices.pc_memory import PcMemory

    memory = PcMemory(below=128 << 20, above=128 << 20)
    monkeypatch.setattr(ide, "of_profile", lambda profile: memory)
    addresses = {"lst_addr": 0xFE00000, "fis_addr": 0xFE00400, "lst_addr_hi": 0, "fis_addr_hi": 0}
    registers = {f"port_regs.{name}": value for name, value in addresses.items()}
    port = body("ahci port", {"port_regs.cmd": 0xC017, "busy_slot": 0xFFFFFFFF, **registers})
    problems = loaded(body("ahci", children={"dev": [port] * ports}), profile(release))
    assert lines(problems)[:1] == said
    assert all(problem.errno == 1 for problem in problems)


def test_ide_transfer_end() -> None:
    assert loaded(body("ide_drive/pio_state", {"end_transfer_fn_idx": 5})) == []
    assert "number 6" in loaded(body("ide_drive/pio_state", {"end_transfer_fn_idx": 6}))[0].summary


def test_e1000e_subsystem() -> None:
    same = {"subsys": 0, "subsys_ven": 0x8086}
    assert loaded(body("e1000e", same, own=same)) == []
    assert loaded(body("e1000e", same)) == []  # the destination's own is not known
    (found,) = loaded(body("e1000e", {**same, "subsys": 4}, own=same))
    assert found.summary == "subsys is 0x4 in the stream and 0x0 on the destination"
    assert found.rule == "field-equal"
    assert found.errno == 1


def test_vmxnet3() -> None:
    def card(tx: int = 1, rx: int = 1, event: int = 0, interrupt: int = 0) -> object:
        return body(
            "vmxnet3",
            {"txq_num": tx, "rxq_num": rx, "event_int_idx": event},
            children={
                "txq_descr": [body("vmxnet3-txq-descr", {"intr_idx": interrupt})] * 8,
                "rxq_descr": [body("vmxnet3-rxq-descr", {"intr_idx": 0})] * 8,
            },
        )

    assert loaded(card(8, 8)) == []  # type: ignore[arg-type]
    assert "9 transmit" in loaded(card(9))[0].summary  # type: ignore[arg-type]
    assert "9 receive" in loaded(card(rx=9))[0].summary  # type: ignore[arg-type]
    assert loaded(card(9), "5.2.0") == []  # type: ignore[arg-type]
    assert "interrupt 25" in loaded(card(event=25))[0].summary  # type: ignore[arg-type]
    assert "aborts" not in loaded(card(event=25))[0].summary  # type: ignore[arg-type]
    assert "aborts" in loaded(card(event=25), "7.2.22")[0].summary  # type: ignore[arg-type]
    assert "interrupt 30" in loaded(card(interrupt=30))[0].summary  # type: ignore[arg-type]
    assert loaded(card(tx=0, interrupt=30)) == []  # type: ignore[arg-type]


@pytest.mark.parametrize(("length", "bad"), [(0, False), (8, False), (9, True), (1 << 31, True)])
def test_lsi(length: int, bad: bool) -> None:
    assert bool(loaded(body("lsiscsi", {"msg_len": length}))) is bad


@pytest.mark.parametrize(
    "wrong",
    [
        {"doorbell_idx": 3},
        {"doorbell_cnt": 257},
        {"doorbell_cnt": 0xFFFFFFFF, "doorbell_idx": 0xFFFFFFFF},
        {"doorbell_reply_idx": 1},
        {"request_post_head": 130},
        {"reply_free_tail": 200},
        {"diagnostic_idx": 5},
    ],
)
def test_mptsas(wrong: dict[str, int]) -> None:
    good = {
        "doorbell_idx": 2,
        "doorbell_cnt": 2,
        "doorbell_reply_idx": 0,
        "doorbell_reply_size": 0,
        **{
            f"{name}_{end}": 129
            for name in ("request_post", "reply_post", "reply_free")
            for end in ("head", "tail")
        },
        "diagnostic_idx": 4,
    }
    assert loaded(body("mptsas", good)) == []
    assert len(loaded(body("mptsas", {**good, **wrong}))) == 1


@pytest.mark.parametrize(
    ("release", "refuses"),
    [("7.2.22", False), ("10.0.2", False), ("10.0.13", True), ("10.2.2", False), ("11.1.0", True)],
)
def test_checks_of_2026(release: str, refuses: bool) -> None:
    sound = body("sb16", {"in_index": 11, "out_data_len": 0})
    rss = body("virtio-net-device/rss", {"rss_data.indirections_len": 3})
    endpoint = body(
        "usb-redir-ep",
        {"max_packet_size": 0},
        subsections=[body("usb-redir-ep/bulk-receiving", {"bulk_receiving_started": 1})],
    )
    redirected = body("usb-redir", children={"endpoint": [body("usb-redir-ep"), endpoint]})
    for what in (sound, rss, redirected):
        assert bool(loaded(what, release)) is refuses, what.vmsd.name


@pytest.mark.parametrize(
    ("length", "bad"), [(0, True), (1, False), (96, True), (128, False), (256, True)]
)
def test_rss_table(length: int, bad: bool) -> None:
    problems = loaded(body("virtio-net-device/rss", {"rss_data.indirections_len": length}))
    assert bool(problems) is bad
    if bad:
        assert lines(problems) == [
            f"virtio-net: saved image has invalid RSS indirections_len: {length}"
        ]


def test_sound_buffers() -> None:
    assert loaded(body("sb16", {"in_index": 10, "out_data_len": 50})) == []
    assert (
        "out_data_len is 51" in loaded(body("sb16", {"in_index": 0, "out_data_len": 51}))[0].summary
    )
    assert "in_index is -1" in loaded(body("sb16", {"in_index": 0xFFFFFFFF}))[0].summary


@pytest.mark.parametrize(
    ("name", "field", "line"),
    [
        ("virtio-net-vnet", "has_vnet_hdr", "virtio-net: saved image requires vnet_hdr=on"),
        ("virtio-net-ufo", "has_ufo", "virtio-net: saved image requires TUN_F_UFO support"),
    ],
)
def test_network_backend(name: str, field: str, line: str) -> None:
    for sent, here, said in ((1, 0, [line]), (1, 1, []), (0, 1, []), (0, 0, []), (1, None, [])):
        own = None if here is None else {field: here}
        problems = loaded(body(name, {field: sent}, own=own))
        assert lines(problems) == said
        assert all(problem.rule == "virtio-vnet-header" for problem in problems)


COUNTER = VmField(name="vqs_1", flags=Flag.VARRAY_UINT16, num_offset=16)


@pytest.mark.parametrize(
    ("current", "most", "entries"), [(1, None, 0), (4, 4, 3), (1, 4, 0), (0, 4, 0)]
)
def test_queue_pairs_in_use(current: int, most: int | None, entries: int) -> None:
    values = {} if most is None else {"curr_queue_pairs": current, "max_queue_pairs": most}
    device = body("virtio-net-device", values)
    flags = body("virtio-net-tx_waiting", parent=device, fields=[COUNTER])
    assert entered(flags) == []
    memory = Memory({})
    devices.prepare(flags, memory, profile())
    assert memory.get(0x1010, 2) == entries


def test_too_many_queue_pairs_in_use() -> None:
    device = body("virtio-net-device", {"curr_queues": 18, "max_queues": 2})
    problems = entered(body("virtio-net-tx_waiting", parent=device, fields=[COUNTER]), "5.2.0")
    assert lines(problems, (5, 2)) == ["virtio-net: curr_queues 12 > max_queues 2"]
    device = body("virtio-net-device", {"curr_queue_pairs": 18, "max_queue_pairs": 2})
    problems = entered(body("virtio-net-tx_waiting", parent=device, fields=[COUNTER]))
    assert lines(problems) == ["virtio-net: curr_queue_pairs 12 > max_queue_pairs 2"]


def test_virtio_mem() -> None:
    own = {"addr": 1 << 32, "region_size": 1 << 30, "block_size": 1 << 21, "node": 0}
    name = "virtio-mem-device/sanity-checks"
    assert loaded(body(name, own, own=own)) == []
    for field, value, line in (
        ("addr", 1 << 33, "Property 'memaddr' changed from 0x200000000 to 0x100000000"),
        ("region_size", 1 << 29, "Property 'memdev' size changed from 0x20000000 to 0x40000000"),
        ("block_size", 1 << 22, "Property 'block-size' changed from 0x400000 to 0x200000"),
        ("node", 10, "Property 'node' changed from 10 to 0"),
    ):
        assert lines(loaded(body(name, {**own, field: value}, own=own))) == [line]


def test_nvdimm() -> None:
    def at(sent: int, here: int, release: str = "10.0.13") -> list[str]:
        return lines(
            loaded(
                body(
                    "spapr_nvdimm_states",
                    {"hcall_flush_required": sent},
                    own={"hcall_flush_required": here},
                ),
                profile(release, "ppc64"),
            )
        )

    assert at(1, 1) == at(0, 0) == at(1, 0, "5.2.0") == []
    assert at(1, 0)[0].startswith("The guest expects hcall-flush support")
    assert at(0, 1)[0].startswith("The file backend for the spapr-nvdimm device")


@pytest.mark.parametrize(
    ("state", "release", "good"),
    [
        (b"running", "10.0.13", True),
        (b"preconfig", "5.2.0", True),
        (b"preconfig", "7.2.22", False),
        (b"foostate", "5.2.0", False),
        (b"", "10.0.13", False),
    ],
)
def test_run_state(state: bytes, release: str, good: bool) -> None:
    problems = loaded(body("globalstate", {"runstate": state.ljust(32, b"\0")}), release)
    said = [] if good else [f"invalid parameter value: {state.decode()}"]
    assert lines(problems) == said


def test_run_state_without_end() -> None:
    problems = loaded(body("globalstate", {"runstate": b"x" * 100}))
    assert lines(problems) == ["invalid parameter value: " + "x" * 99]


def test_shared_memory_peer() -> None:
    why = "Migration is disabled when using feature 'peer mode' in device 'ivshmem'"
    assert lines(entered(body("ivshmem-plain"), profile(no_stream=why))) == [
        "'peer' devices are not migratable"
    ]
    assert entered(body("ivshmem-plain"), profile()) == []


def test_xhci_without_msix_aborts_newer_programs() -> None:
    interrupter = body("xhci-intr", {"msix_used": 0})
    core = body("xhci-core", children={"intr": [interrupter, interrupter]})
    config = bytearray(256)
    config[0x34], config[0x90:0x94] = 0x90, bytes((0x11, 0, 1, 0))

    def at(release: str, config: bytes) -> list[str]:
        masks = PciMasks(config=config, cmask=b"", wmask=b"", w1cmask=b"")
        tables = LoaderTables(handlers=(), vmsds=(), pci={"xhci": masks})
        problems = loaded(body("xhci", children={"xhci": [core]}), profile(release, loader=tables))
        assert all(problem.aborts for problem in problems)
        return lines(problems, (10, 0))

    assert at("10.0.13", bytes(config)) == []
    aborts = [
        "hw/pci/msix.c:591: msix_vector_unuse: Assertion `vector < dev->msix_entries_nr' failed."
    ]
    assert at("10.0.13", bytes(256)) == aborts
    config[0x92] = 0  # one vector for two interrupters
    assert at("11.1.2", bytes(config)) == aborts
    assert at("5.2.0", bytes(256)) == []


def test_acpi_tables() -> None:
    to = profile(ram_blocks={"/rom@etc/acpi/tables": (0x20000, 0x200000)})
    sizes = {"linker_mr_size": 1 << 40, "rsdp_mr_size": 0}
    assert loaded(body("fw_cfg/acpi_mr", {**sizes, "table_mr_size": 0x1FF001}), to) == []
    (found,) = loaded(body("fw_cfg/acpi_mr", {**sizes, "table_mr_size": 0x200001}), to)
    assert lines([found]) == [
        "Unexpected error in qemu_ram_resize() at system/physmem.c:1742:",
        "Size too large: /rom@etc/acpi/tables: 0x201000 > 0x200000: Invalid argument",
    ]
    assert found.aborts
