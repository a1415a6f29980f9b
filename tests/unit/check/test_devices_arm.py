"""Arm's processor and devices of its boards."""

from __future__ import annotations

import re
import struct
from collections.abc import Mapping
from dataclasses import replace

import pytest

from migratable.check.devices.arm import name
from migratable.check.problem import UnexaminedError
from migratable.check.state import LoadedState
from migratable.problem_facts import RegistersFacts
from migratable.profile.model import Profile
from migratable.profile.tables import LoaderTables
from tests.unit.check.bodies import body, lines, loaded, profile

MIDR, SCTLR, VBAR, ISAR = (
    0x6030_0000_0013_C000,
    0x6030_0000_0013_C080,
    0x6030_0000_0013_C600,
    0x6030_0000_0013_C030,
)


def cpu(registers: Mapping[int, int], own: Mapping[int, int] | None = None) -> LoadedState:
    def one(of: Mapping[int, int]) -> LoadedState:
        numbers = sorted(of)
        return body(
            "cpu",
            {
                "cpreg_vmstate_indexes": struct.pack(f">{len(of)}Q", *numbers),
                "cpreg_vmstate_values": struct.pack(f">{len(of)}Q", *(of[n] for n in numbers)),
            },
            version=22,
        )

    made = one(registers)
    made.own = None if own is None else one(own)
    return made


def arm(release: str = "10.0.13", constants: tuple[int, ...] = (MIDR, ISAR)) -> Profile:
    tables = LoaderTables(handlers=(), vmsds=(), constants={0: constants} if constants else {})
    return replace(profile(release, "aarch64", machine="virt-10.0"), loader=tables)


BOTH = {MIDR: 0x411F_D070, SCTLR: 0, VBAR: 0}


def test_guests_registers_may_differ() -> None:
    assert loaded(cpu({**BOTH, SCTLR: 0x30D0_198D, VBAR: 0x8000}, BOTH), arm()) == []


def test_another_processor() -> None:
    (problem,) = loaded(cpu({**BOTH, MIDR: 0x410F_D034}, BOTH), arm())
    assert (problem.rule, problem.errno) == ("cpu-identity", 1)
    assert problem.facts == RegistersFacts(registers=(MIDR,))


def test_a_register_that_only_the_stream_has() -> None:
    (problem,) = loaded(cpu({**BOTH, ISAR: 1}, BOTH), arm())
    assert problem.rule == "cpu-identity"
    assert problem.words == ()  # QEMU says nothing of it up to 10.x


def test_what_is_behind_the_last_own_register_is_not_looked_at() -> None:
    """The loop ends with the shorter list, up to 10.x."""
    own = {MIDR: BOTH[MIDR], SCTLR: 0}
    assert loaded(cpu(BOTH, own), arm()) == []
    (problem,) = loaded(cpu(BOTH, own), arm("11.1.2"))
    assert problem.refuses


def test_a_register_that_only_the_destination_has() -> None:
    assert loaded(cpu(BOTH, {**BOTH, ISAR: 1}), arm()) == []


def test_11_names_the_registers() -> None:
    problems = loaded(cpu({**BOTH, ISAR: 1}, {**BOTH, 0x4020_0000_000F_6800: 0}), arm("11.1.2"))
    assert lines(problems, (11, 1)) == [
        "warning: handle_cpreg_missing_in_incoming_stream: system register 0x200f6800 expected by "
        "the destination but not in the incoming stream: skip it",
        "handle_cpreg_only_in_incoming_stream: system register 0x1013c030 in the incoming stream "
        "but unknown on the destination: fail migration",
    ]
    (warning,) = loaded(cpu(BOTH, {**BOTH, ISAR: 1}), arm("11.1.2"))
    assert not warning.refuses


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0x6030_0000_0013_C030, "0x1013c030"),
        (0x4020_0000_000F_6801, "0x200f6801"),
        (0x4030_0000_000F_0010, "0x200f8010"),
    ],
)
def test_names(number: int, text: str) -> None:
    assert name(number) == f"system register {text}"


def test_without_the_destinations_own_nothing_is_said() -> None:
    with pytest.raises(UnexaminedError, match="own coprocessor registers"):
        loaded(cpu(BOTH), arm())
    with pytest.raises(UnexaminedError, match="holds constant"):
        loaded(cpu({**BOTH, MIDR: 1}, BOTH), arm(constants=()))
    assert loaded(cpu(BOTH, BOTH), arm(constants=())) == []


def test_a_performance_monitor_of_another_release_is_unknown() -> None:
    """5.2 to 7.2 with a security extension: real QEMU refuses registers that are no constants."""
    monitor = 0x6030_0000_0013_DCE0
    own = {**BOTH, monitor: 0x4107_2000}
    with pytest.raises(UnexaminedError, match="PMCR_EL0"):
        loaded(cpu({**BOTH, monitor: 0x4100_2040}, own), arm())
    assert loaded(cpu({**BOTH, monitor: 0x4107_2041}, own), arm()) == []  # a guest's own bits


def test_a_processor_that_refuses_itself() -> None:
    """QEMU 5.2 with a security extension: its registers do not read back."""
    line = "error while loading state for instance 0x0 of device 'cpu'"
    refuses = replace(arm("5.2.0"), refuses_itself=(line, "load of migration failed: …"))
    (problem,) = loaded(cpu(BOTH, BOTH), refuses)
    assert (problem.rule, problem.errno) == ("cpu-identity", 1)
    assert loaded(cpu({**BOTH, VBAR: 8}, BOTH), refuses) == []  # unknown, for the whole stream


@pytest.mark.parametrize(
    ("made", "good"),
    [
        (body("pl011", {"read_pos": 15, "read_count": 16}), True),
        (body("pl011", {"read_pos": 16, "read_count": 0}), False),
        (body("pl022_ssp", {"tx_fifo_head": 7, "rx_fifo_head": 8}), False),
        (body("pl022_ssp", {"tx_fifo_head": 7, "rx_fifo_head": 7}), True),
        (body("nand", {"io": bytes(32), "ioaddr_vmstate": 33}), False),
        (body("nand", {"io": bytes(32), "ioaddr_vmstate": 32}), True),
        (body("tz-mpc", {"blk_idx": 2, "blk_lut": bytes(8)}), False),
        (body("tz-mpc", {"blk_idx": 1, "blk_lut": bytes(8)}), True),
        (body("ssd0323_oled", {"row": 80}), False),
        (body("ssd0323_oled", {"cmd_len": 8, "col": 63, "mode": 1}), True),
        (body("ssi_sd", {"mode": 1, "arglen": 4, "response_pos": 0, "stopping": 0}), False),
        (body("ssi_sd", {"mode": 0, "arglen": 9, "response_pos": 0, "stopping": 0}), True),
        (body("stellaris_enet", {"next_packet": 31}), False),
        (body("onenand", {"current_direction": 3}), False),
        (body("tsc2301", {"precision": 4}), False),
        (body("stellaris_enet", {"np": 31, "tx_fifo_len": 2048}), True),
    ],
)
def test_what_no_device_has(made: LoadedState, good: bool) -> None:
    problems = loaded(made, profile("10.0.13", "arm"))
    assert (problems == []) is good


def test_pl011_of_7_2_looks_at_nothing() -> None:
    assert loaded(body("pl011", {"read_pos": 99}), profile("7.2.22", "aarch64")) == []


def vectors(*priorities: int) -> bytes:
    return b"".join(struct.pack(">h4x", one) for one in priorities)


def test_priorities() -> None:
    own = body("armv7m_nvic", {"vectors": vectors(0, -3, -2, -1, 0, 0)})
    good = body("armv7m_nvic", {"vectors": vectors(0, -3, -2, -1, 0xFF, 0x20)}, own=own)
    assert loaded(good, profile("10.0.13", "arm")) == []
    for wrong in (vectors(0, -4, -2, -1, 0, 0), vectors(0, -3, -2, -1, 0x100, 0)):
        bad = body("armv7m_nvic", {"vectors": wrong}, own=own)
        with pytest.raises(UnexaminedError, match=re.escape("has priority")):
            loaded(bad, profile("10.0.13", "arm"))


_ARM32, _THUMB = 0x4000_01D3, 0x4000_01F3


@pytest.mark.parametrize(
    ("release", "status", "counter", "odd"),
    [
        ("10.0.13", _THUMB, 0x8001, True),
        ("7.2.22", _THUMB, 0x8001, True),
        ("5.2.0", _THUMB, 0x8001, False),  # loads it, and asserts when it goes on
        ("10.0.13", _THUMB, 0x8000, False),
        ("10.0.13", _ARM32, 0x8001, False),
        ("10.0.13", _THUMB & ~0x10, 0x8001, False),  # AArch64, whose registers are others
        ("10.0.13", 1 << 24, 0x8001, False),  # of a microcontroller's XPSR
    ],
)
def test_a_thumb_instruction_begins_at_an_even_address(
    release: str, status: int, counter: int, odd: bool
) -> None:
    """Seen with cortex-a15 on 5.2, 7.2, 10.0 and 11.1."""
    registers = bytes(60) + counter.to_bytes(4, "big")
    values = {"env.regs": registers, "cpsr": status.to_bytes(4, "big")}
    for target in ("arm", "aarch64"):
        problems = loaded(body("cpu", values), profile(release, target))
        assert [one.errno for one in problems] == [1] * odd
        assert all("0x8001" in one.summary for one in problems)


@pytest.mark.parametrize(("status", "odd"), [(1 << 24, True), (_THUMB, False)])
def test_a_microcontroller_has_its_thumb_bit_elsewhere(status: int, odd: bool) -> None:
    values = {"env.regs": bytes(63) + b"\1", "cpsr": status.to_bytes(4, "big")}
    part = body("cpu/m")
    sent = body("cpu", values, subsections=[part])
    assert bool(loaded(sent, profile("10.0.13", "arm"))) is odd
    own = body("cpu", values, own=body("cpu", subsections=[part]))
    assert bool(loaded(own, profile("10.0.13", "arm"))) is odd


def _floating(*banks: int) -> LoadedState:
    data = b"".join(bank.to_bytes(4, "big") for bank in banks)
    inner = body("cpu/m/fp", {"env.v7m.fpdscr": data})
    return body("cpu", subsections=[body("cpu/m", subsections=[inner])])


@pytest.mark.parametrize(
    ("release", "sent", "here", "refuses"),
    [
        ("10.0.13", (0x40000, 0x20000), (0x40000, 0x40000), True),
        ("10.0.13", (0, 0x40000), (0x40000, 0x40000), True),
        ("6.0.0", (0, 0x40000), (0x40000, 0x40000), True),
        ("5.2.0", (0, 0x40000), (0x40000, 0x40000), False),
        ("10.0.13", (0x1040000, 0x40000), (0x40000, 0x40000), False),
        ("10.0.13", (0x20000, 0), (0, 0), False),  # a processor without such loops
    ],
)
def test_the_size_of_a_low_overhead_loop_is_constant(
    release: str, sent: tuple[int, int], here: tuple[int, int], refuses: bool
) -> None:
    """Seen with cortex-m55 (mps3-an547) on 7.2, 10.0 and 11.1."""
    state = _floating(*sent)
    state.own = _floating(*here)
    problems = loaded(state, profile(release, "arm"))
    assert [one.errno for one in problems] == [1] * refuses


def test_a_stream_without_those_registers_leaves_them() -> None:
    state = body("cpu")
    state.own = _floating(0x40000, 0x40000)
    assert loaded(state, profile("10.0.13", "arm")) == []
