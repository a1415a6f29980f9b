"""Arm: the processor's registers (target/arm/machine.c) and what boards' devices refuse.

Under KVM the kernel is asked for each register; that is not examined here.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from errno import EPERM

from migratable.check.devices import beyond, post_load
from migratable.check.events import BodyLoaded
from migratable.check.problem import MessageRef, Problem, UnexaminedError
from migratable.check.state import LoadedState
from migratable.problem_facts import RegistersFacts

_NAMES_REGISTERS = (11, 0)
_NON_SECURE = 1 << 29
#: Performance monitors' control register, and its bits that no guest changes: a release's own.
_PMCR, _PMCR_READ_ONLY = 0x6030_0000_0013_DCE0, 0xFFFF_F800
#: What a program up to 10.1 said when it refused its own stream for its first processor.
_REFUSES_CPU = "error while loading state for instance 0x0 of device 'cpu'"
_NUMBERS, _VALUES = "cpreg_vmstate_indexes", "cpreg_vmstate_values"


@post_load("cpu", target="aarch64")
@post_load("cpu", target="arm")
def registers(at: BodyLoaded) -> Iterator[Problem]:
    """cpu_post_load: no register that the destination lacks, no constant with another value.

    write_list_to_cpustate then reads each register back; one that is constant
    (``ARM_CP_CONST``) gives its own value whatever was written.

    :raise UnexaminedError: when the destination's own registers are not known.
    """
    numbers, values = at.body.numbers(_NUMBERS, 8), at.body.numbers(_VALUES, 8)
    if numbers is None or values is None:  # none at all, or a single one that no processor has
        return
    own = at.body.own
    here = own.numbers(_NUMBERS, 8) if own is not None else None
    before = own.numbers(_VALUES, 8) if own is not None else None
    if here is None or before is None:
        raise UnexaminedError("the destination's own coprocessor registers")
    if at.release < _NAMES_REGISTERS:
        unknown = _first_unknown(numbers, here)
        words: tuple[MessageRef, ...] = ()
    else:
        unknown, words = _both_ways(numbers, here)
    if unknown:
        yield Problem(
            rule="cpu-identity",
            summary=f"registers that the destination's processor lacks: {_names(unknown)}",
            explanation=(
                "The source's processor is another model, or its QEMU release gives this model "
                "other registers (under TCG nearly every release does)."
            ),
            errno=EPERM,
            words=words,
            facts=RegistersFacts(registers=tuple(unknown)),
        )
        return
    if words:
        yield Problem(
            rule="cpu-identity",
            summary=f"{len(words)} registers of the destination's processor are not in the stream",
            explanation="They keep their reset values.",
            refuses=False,
            severity="info",
            words=words,
        )
    differing = _differing(dict(zip(numbers, values, strict=True)), here, before)
    if not differing and _REFUSES_CPU in at.profile.refuses_itself and numbers == here:
        yield Problem(
            rule="cpu-identity",
            summary="registers of this processor do not read back as they were written",
            explanation="This QEMU refuses the same registers in its own stream: a fault of "
            "this QEMU.",
            errno=EPERM,
        )
    if not differing:
        return
    constants = _constants(at)
    if constants is None:
        raise UnexaminedError("which registers the destination's processor holds constant")
    if wrong := [one for one in differing if {one, _as_non_secure(one)} & constants]:
        yield Problem(
            rule="cpu-identity",
            summary=f"constants of another processor: {_names(wrong)}",
            explanation="The destination's processor is another model, or has other features.",
            errno=EPERM,
            facts=RegistersFacts(registers=tuple(wrong)),
        )
        return
    values_of, before_of = (
        dict(zip(numbers, values, strict=True)),
        dict(zip(here, before, strict=True)),
    )
    if _PMCR in differing and (values_of[_PMCR] ^ before_of[_PMCR]) & _PMCR_READ_ONLY:
        raise UnexaminedError(
            "a performance monitor of another QEMU release (PMCR_EL0), whose registers may not "
            "read back"
        )


def _first_unknown(incoming: Sequence[int], here: Sequence[int]) -> list[int]:
    """The first register of the stream that the destination lacks, up to 10.x.

    The loop ends with the shorter list: what is behind is not looked at.
    """
    at = 0
    for number in here:
        if at == len(incoming) or incoming[at] < number:
            return list(incoming[at : at + 1])
        at += incoming[at] == number
    return []


def _both_ways(
    incoming: Sequence[int], here: Sequence[int]
) -> tuple[list[int], tuple[MessageRef, ...]]:
    """All registers that only the stream has, and what 11.0 and later say of both sides' own."""
    sides = sorted({*incoming} ^ {*here})
    unknown = {*incoming} - {*here}
    return [one for one in sides if one in unknown], tuple(
        ("cpreg-only-incoming" if one in unknown else "cpreg-missing", {"register": name(one)})
        for one in sides
    )


def _differing(incoming: dict[int, int], here: Sequence[int], before: Sequence[int]) -> list[int]:
    """Registers of both sides with another value than the destination starts with."""
    return [
        number
        for number, value in zip(here, before, strict=True)
        if incoming.get(number, value) != value
    ]


def _constants(at: BodyLoaded) -> frozenset[int] | None:
    tables = at.profile.loader
    found = None if tables is None else tables.constants.get(at.instance_id)
    return None if found is None else frozenset(found)


def _as_non_secure(number: int) -> int:
    """The register that kvm_to_cpreg_id makes of a number: of AArch32 ones the non-secure view."""
    return number if number >> 56 == 0x60 else number | _NON_SECURE


def _names(numbers: Sequence[int]) -> str:
    few = ", ".join(map(name, numbers[:4]))
    return few if len(numbers) <= 4 else f"{few} and {len(numbers) - 4} more"


def name(number: int) -> str:
    """How QEMU writes a register of KVM's *number*: by its own number (kvm_to_cpreg_id)."""
    own = number & 0xFFFF_FFFF
    if number >> 56 == 0x60:
        own |= 1 << 28
    else:
        own |= _NON_SECURE | (1 << 15 if number >> 52 & 0xF == 3 else 0)
    return f"system register {own:#x}"


#: target/arm/cpu.h: PSTATE_nRW, CPSR_T, XPSR_T; FPCR_LTPSIZE.
_AARCH32, _CPSR_THUMB, _XPSR_THUMB = 1 << 4, 1 << 5, 1 << 24
_LTPSIZE, _LTPSIZE_FOUR = 7 << 16, 4 << 16


@post_load("cpu", target="aarch64", since=(7, 0))
@post_load("cpu", target="arm", since=(7, 0))
def program_counter(at: BodyLoaded) -> Iterator[Problem]:
    """cpu_post_load: a Thumb instruction begins at an even address."""
    registers, state = at.body.numbers("env.regs", 4), at.body.data("cpsr")
    if registers is None or state is None:
        return
    status = int.from_bytes(state, "big")
    if "cpu/m" not in (at.body.own or at.body).subsections:
        thumb = status & _AARCH32 and status & _CPSR_THUMB
    else:
        thumb = status & _XPSR_THUMB
    if thumb and registers[15] & 1:
        yield beyond(f"the Thumb program counter {registers[15]:#x} is odd", errno=EPERM)


@post_load("cpu", target="aarch64", since=(6, 0))
@post_load("cpu", target="arm", since=(6, 0))
def low_overhead_loops(at: BodyLoaded) -> Iterator[Problem]:
    """cpu_post_load: a processor with low-overhead loops has FPDSCR.LTPSIZE 4 in both banks."""
    here, sent = _loop_sizes(at.body.own), _loop_sizes(at.body)
    if _LTPSIZE_FOUR in here and any(size != _LTPSIZE_FOUR for size in sent):
        yield beyond("FPDSCR.LTPSIZE is not 4, as it is in every such processor", errno=EPERM)


def _loop_sizes(body: LoadedState | None) -> list[int]:
    """FPDSCR.LTPSIZE of each bank, none where the processor has no such register."""
    for name in ("cpu/m", "cpu/m/fp"):
        body = None if body is None else body.subsections.get(name)
    banks = None if body is None else body.numbers("env.v7m.fpdscr", 4)
    return [bank & _LTPSIZE for bank in banks or ()]


@post_load("pl011", since=(8, 0))
def pl011(at: BodyLoaded) -> Iterator[Problem]:
    """hw/char/pl011.c: pl011_post_load; the FIFO has 16 elements."""
    position, count = at.body.number("read_pos"), at.body.number("read_count")
    if (position or 0) >= 16 or (count or 0) > 16:
        yield beyond(f"position {position} and count {count} in a FIFO of 16", errno=EPERM)


@post_load("cadence_uart")
def cadence_uart(at: BodyLoaded) -> Iterator[Problem]:
    """hw/char/cadence_uart.c: cadence_uart_post_load returns 1, which is no error to the loader.

    :raise UnexaminedError: for divisors that QEMU then goes on with.
    """
    registers = at.body.numbers("r", 4)
    if registers is not None:
        rate, divisor = registers[0x18 // 4], registers[0x34 // 4]
        if not 1 <= rate <= 0xFFFF or not 3 < divisor <= 0xFF:
            raise UnexaminedError(f"baud rate divisors {rate} and {divisor}")
    yield from ()


@post_load("pl022_ssp")
def pl022(at: BodyLoaded) -> Iterator[Problem]:
    """hw/ssi/pl022.c: pl022_post_load."""
    for field in ("tx_fifo_head", "rx_fifo_head"):
        if (at.body.number(field) or 0) >= 8:
            yield beyond(f"{field} is {at.body.number(field)}, of 8", errno=EPERM)
            return


@post_load("nand")
def nand(at: BodyLoaded) -> Iterator[Problem]:
    """hw/block/nand.c: nand_post_load."""
    place, buffer = at.body.number("ioaddr_vmstate"), at.body.values.get("io")
    if place is not None and isinstance(buffer, memoryview) and place > len(buffer):
        yield beyond(f"the place {place} is beyond the buffer of {len(buffer)} bytes")


@post_load("ssi_sd")
def ssi_sd(at: BodyLoaded) -> Iterator[Problem]:
    """hw/sd/ssi-sd.c: ssi_sd_post_load."""
    mode, length = at.body.number("mode"), at.body.signed("arglen", 4)
    position, stopping = at.body.signed("response_pos", 4), at.body.number("stopping")
    if mode is None or length is None or position is None:
        return
    # SSI_SD_CMDARG 1 has 4 bytes; SSI_SD_RESPONSE (3, as 5.2 has it; 4 from 6.0 on) has 5.
    response = 3 if at.release < (6, 0) else 4
    if (
        mode > 10
        or (mode == 1 and not 0 <= length < 4)
        or (mode == response and (not 0 <= position < 5 or (not stopping and length > 5)))
    ):
        yield beyond(f"mode {mode} with {length} and {position} bytes")


@post_load("ssd0323_oled")
def ssd0323(at: BodyLoaded) -> Iterator[Problem]:
    """hw/display/ssd0323.c: ssd0323_post_load."""
    limits = {"cmd_len": 9, "row": 80, "row_start": 80, "row_end": 80}
    limits |= {"col": 64, "col_start": 64, "col_end": 64, "mode": 2}
    for field, limit in limits.items():
        if (at.body.number(field) or 0) >= limit:
            yield beyond(f"{field} is {at.body.number(field)}, of {limit}")
            return


@post_load("onenand")
def onenand(at: BodyLoaded) -> Iterator[Problem]:
    """hw/block/onenand.c: onenand_post_load."""
    direction = at.body.number("current_direction")
    if direction is not None and direction > 2:
        yield beyond(f"the direction is {direction}", errno=EPERM)


@post_load("tsc2102", "tsc2301")
def touch_screen(at: BodyLoaded) -> Iterator[Problem]:
    """hw/input/tsc210x.c: tsc210x_post_load."""
    limits = {"function": 16, "nextfunction": 16, "precision": 4, "nextprecision": 4}
    for field, limit in limits.items():
        if (at.body.number(field) or 0) >= limit:
            yield beyond(f"{field} is {at.body.number(field)}, of {limit}")
            return


@post_load("tz-mpc")
def tz_mpc(at: BodyLoaded) -> Iterator[Problem]:
    """hw/misc/tz-mpc.c: tz_mpc_post_load; the length of ``blk_lut`` is configuration."""
    number, entries = at.body.number("blk_idx"), at.body.numbers("blk_lut", 4)
    if number is not None and entries is not None and number >= len(entries):
        yield beyond(f"block {number} of {len(entries)}", errno=EPERM)


@post_load("stellaris_enet")
def stellaris_enet(at: BodyLoaded) -> Iterator[Problem]:
    """hw/net/stellaris_enet.c: stellaris_enet_post_load; 31 frames of 2048 bytes."""
    limits = {"next_packet": 30, "np": 31, "rx_fifo_offset": 2044, "tx_fifo_len": 2048}
    for field, limit in limits.items():
        if (at.body.number(field) or 0) > limit:
            yield beyond(f"{field} is {at.body.number(field)}, at most {limit}", errno=EPERM)
            return
    if any((frame.number("len") or 0) > 2048 for frame in at.body.children.get("rx", ())):
        yield beyond("a received frame is longer than 2048 bytes", errno=EPERM)


_VECTOR_SIZE = 6  # armv7m_nvic_info: int16 prio, four flags
_RESET_NMI_HARD = range(1, 4)


@post_load("armv7m_nvic")
def nvic(at: BodyLoaded) -> Iterator[Problem]:
    """hw/intc/armv7m_nvic.c: nvic_post_load returns 1, which is no error to the loader.

    :raise UnexaminedError: for priorities that no such controller has.
    """
    priorities = _priorities(at.body)
    own = _priorities(at.body.own)
    for number, priority in enumerate(priorities):
        if number in _RESET_NMI_HARD:  # -4 or -3, -2, -1, as a started one has them
            good = number >= len(own) or priority == own[number]
        else:
            good = not number or not priority & ~0xFF
        if not good:
            raise UnexaminedError(f"exception {number} has priority {priority}")
    yield from ()


def _priorities(body: LoadedState | None) -> list[int]:
    vectors = None if body is None else body.values.get("vectors")
    if not isinstance(vectors, memoryview):
        return []
    return [
        int.from_bytes(vectors[at : at + 2], "big", signed=True)
        for at in range(0, len(vectors), _VECTOR_SIZE)
    ]


@post_load("armv7m_nvic/m-security")
def nvic_security(at: BodyLoaded) -> Iterator[Problem]:
    """hw/intc/armv7m_nvic.c: nvic_security_post_load.

    :raise UnexaminedError: for priorities that no such controller has.
    """
    for number, vector in enumerate(at.body.children.get("sec_vectors", ())):
        priority = vector.signed("prio", 2) or 0
        if priority not in {-1, -3} if number == 3 else number > 3 and priority & ~0xFF:
            raise UnexaminedError(f"secure exception {number} has priority {priority}")
    yield from ()
