"""The processors' registers after all sections (``cpu_synchronize_all_post_init``)."""

from __future__ import annotations

from dataclasses import replace

from migratable.check.baseline import Baseline
from migratable.check.savevm import Replay
from migratable.profile.tables import Flag, LoaderTables, Vmsd
from migratable.stream.edit import make_stream
from migratable.stream.model import Element
from tests.unit.check.bodies import profile
from tests.unit.check.test_replay import MACHINE, NUMBER, STRICT, handler, loaded, rules, section

MCG_CAP = replace(NUMBER, name="env.mcg_cap")
CPU = Vmsd(name="cpu", version=1, minimum=1, fields=(MCG_CAP,))
POINTER = replace(NUMBER, flags=int(Flag.POINTER | Flag.SINGLE))


def registers(release: str, *elements: Element) -> Replay:
    """A destination under KVM whose CPU has no machine check registers; 1 in ``strict``."""
    handlers = (handler("cpu"), handler("strict", vmsd=1), handler("null", vmsd=2))
    tables = LoaderTables(
        handlers=handlers,
        vmsds=(CPU, STRICT, Vmsd(name="null", version=1, minimum=1, fields=(POINTER,))),
        words={(0x1008, 1): 1, (0x1000, 8): 0},
    )
    to = Baseline(profile(release, accelerator="kvm", wants_kvm=True), tables)
    to._stream = make_stream(MACHINE, [section("cpu", bytes(4), footer=True)])
    return loaded(*elements, to=to)


GUEST = section("cpu", (0x100010A).to_bytes(4), number=1)
WRONG = section("strict", b"\5", number=2)


def test_registers_that_kvm_does_not_take_end_the_program() -> None:
    """target/i386/kvm/kvm.c: kvm_buf_set_msrs asserts."""
    replay = registers("10.0.13", GUEST)
    assert rules(replay) == ["kvm-registers"]
    assert replay.refusal is replay.findings[0]
    assert replay.stderr[0] == "error: failed to set MSR 0x17b to 0x0"
    assert "Assertion `ret == cpu->kvm_msr_buf->nmsrs' failed." in replay.stderr[-1]


def test_after_a_load_that_failed_the_program_may_abort_before_it_says_so() -> None:
    """``qemu_loadvm_state`` puts the registers whatever came of the sections.

    Up to 10.1 the failure's lines were printed by then; later they are links of the line that is
    never printed.
    """
    replay = registers("10.0.13", GUEST, WRONG)
    assert rules(replay) == ["field-equal", "kvm-registers"]
    assert replay.refusal is replay.findings[0]
    assert "of device 'strict'" in replay.stderr[-3]
    assert replay.stderr[-2] == "error: failed to set MSR 0x17b to 0x0"
    later = registers("11.1.0", GUEST, WRONG)
    assert rules(later) == ["field-equal", "kvm-registers"]
    assert later.refusal is later.findings[1]
    assert later.stderr[0] == "error: failed to set MSR 0x17b to 0x0"
    assert len(later.stderr) == 2


def test_registers_are_put_of_a_cpu_that_was_loaded_before_the_failure() -> None:
    assert rules(registers("10.0.13", WRONG, GUEST)) == ["field-equal"]
    assert rules(registers("10.0.13", WRONG)) == ["field-equal"]


def test_a_program_that_has_aborted_puts_no_registers() -> None:
    replay = registers("10.0.13", GUEST, section("null", bytes(4), number=2))
    assert rules(replay) == ["layout"]
    assert replay.refusal is not None
    assert replay.refusal.aborts
