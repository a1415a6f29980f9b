"""The processors' hooks."""

from __future__ import annotations

import pytest

from migratable.check.problem import UnexaminedError
from migratable.check.state import LoadedState
from migratable.problem_facts import PvrFacts
from tests.unit.check.bodies import body, lines, loaded, profile

V20, V22, V10 = 0x004E1200, 0x004E1202, 0x004E1100
POWER8, POWER8E, POWER10 = 0x004D0200, 0x004B0201, 0x00801200


def ppc(
    pvr: int, mode: int | None = None, *, own: int | None = None, own_mode: int = 0
) -> LoadedState:
    def one(number: int, compat: int | None) -> LoadedState:
        sprs = bytearray(8 * 1024)
        sprs[8 * 0x11F : 8 * 0x11F + 8] = number.to_bytes(8, "big")
        return body(
            "cpu",
            {"env.spr": bytes(sprs)},
            version=5,
            subsections=[] if compat is None else [body("cpu/compat", {"compat_pvr": compat})],
        )

    made = one(pvr, mode)
    if own is not None:
        made.own = one(own, own_mode or None)
    return made


@pytest.mark.parametrize(
    ("release", "pvr", "here", "good"),
    [
        ("10.0.13", V20, V22, False),
        ("10.0.13", V22, V22, True),
        ("10.0.13", 0x004E1201, V20, True),
        ("10.0.13", 0x004E1203, V22, True),
        ("10.0.13", V10, V20, False),
        ("7.2.22", V22, V20, True),
        ("7.2.22", V20, V10, False),
        ("5.2.0", V20, V10, True),
        ("5.2.0", POWER8E, POWER8, True),
        ("7.2.22", POWER8E, POWER8, False),
        ("10.0.13", 0x004D0100, POWER8, True),
        ("5.2.0", V20, POWER8, False),
        ("10.0.13", 0x00801201, POWER10, True),
        ("10.0.13", 0x00800200, POWER10, True),
        ("10.0.13", 0x00801100, POWER10, False),
        ("10.0.13", 0x00390202, 0x00390201, False),
        ("10.0.13", 0x80040301, 0x80040301, True),
    ],
)
def test_processor_version(release: str, pvr: int, here: int, good: bool) -> None:
    problems = loaded(ppc(pvr, own=here), profile(release, "ppc64", machine="pseries-4.1"))
    assert (problems == []) is good
    for problem in problems:
        assert problem.rule == "cpu-identity"
        assert problem.words == ()  # QEMU gives no reason
        assert problem.errno == 22
        assert f"{pvr:#010x}" in problem.summary


def test_processors_are_named() -> None:
    (problem,) = loaded(ppc(V20, own=V22), profile("10.0.13", "ppc64", cpu_model="power9_v2.2"))
    assert "power9_v2.0 (PVR 0x004e1200)" in problem.summary
    assert "power9_v2.2 (PVR 0x004e1202)" in problem.summary
    assert problem.facts == PvrFacts(pvr=0x004E_1200)


@pytest.mark.parametrize(
    ("mode", "here", "said"),
    [
        (0x0F000005, V22, []),
        (0x0F000004, V22, []),
        (0x0F000005, POWER8, ["Compatibility PVR 0x0f000005 not valid for CPU"]),
        (0x0F000006, V22, ["Compatibility PVR 0x0f000006 not valid for CPU"]),
        (0x0F0000FF, V22, ["Unknown compatibility PVR 0x0f0000ff"]),
    ],
)
def test_compatibility_mode(mode: int, here: int, said: list[str]) -> None:
    assert lines(loaded(ppc(V20, mode, own=here), profile("10.0.13", "ppc64"))) == said


def test_mode_of_the_destination_stays() -> None:
    to = profile("10.0.13", "ppc64", machine="pseries-10.0")
    assert loaded(ppc(V20, own=V22, own_mode=0x0F000005), to) == []
    assert loaded(ppc(V20, own=V22), to) != []


def test_mode_of_old_machine_types_is_not_sent() -> None:
    words = ("-M", "pseries-2.9,max-cpu-compat=power8", "-cpu", "POWER9")
    to = profile("7.2.22", "ppc64", machine="pseries-2.9", command_line=words)
    assert loaded(ppc(POWER8, own=V20), to) == []
    newer = profile("7.2.22", "ppc64", machine="pseries-2.10", command_line=words)
    assert loaded(ppc(POWER8, own=V20), newer) != []


def test_a_release_that_is_new_has_what_the_newest_known_has() -> None:
    assert loaded(ppc(V20, own=V22), profile("12.3.0", "ppc64")) != []
    assert loaded(ppc(V22, 0x0F000005, own=V22), profile("12.3.0", "ppc64")) == []


def x86(
    khz: int | None = None, own: int | None = None, *, flags: int = 0, form: int = 0, **more: int
) -> LoadedState:
    def rate(value: int | None) -> list[LoadedState]:
        return [] if value is None else [body("cpu/tsc_khz", {"env.tsc_khz": value})]

    extra = [
        body(name.replace("__", "/"), {f"env.{name.removeprefix('cpu__')}_control": value})
        for name, value in more.items()
    ]
    made = body(
        "cpu",
        {"env.hflags": flags, "env.fpregs_format_vmstate": form},
        version=12,
        subsections=[*rate(khz), *extra],
    )
    made.own = body("cpu", {}, version=12, subsections=rate(own))
    return made


def test_clock_rate() -> None:
    said = ["Mismatch between user-specified TSC frequency and migrated TSC frequency"]
    assert lines(loaded(x86(2_000_000, 1_000_000))) == said
    assert loaded(x86(2_000_000, 2_000_000)) == []
    assert loaded(x86(2_000_000)) == []
    assert loaded(x86(None, 1_000_000)) == []
    assert loaded(x86(2, 1), profile(accelerator="kvm")) == []


def test_floating_point_of_2005() -> None:
    assert lines(loaded(x86(form=1))) == ["Unsupported old non-softfloat CPU state"]


def test_nested_guest() -> None:
    (problem,) = loaded(x86(flags=1 << 21))
    assert lines([problem])[0].startswith("vCPU set in guest-mode inconsistent")
    assert loaded(body("cpu/nested_state"), profile())[0].rule == "kernel-state"
    with pytest.raises(UnexaminedError):
        loaded(body("cpu/nested_state"), profile(wants_kvm=True))


def test_reenlightenment() -> None:
    def at(control: int, own: int | None, release: str = "10.0.13") -> list[str]:
        cpu = x86(None, own, cpu__msr_hyperv_reenlightenment=control)
        part = cpu.subsections["cpu/msr_hyperv_reenlightenment"]
        part.values = {"env.msr_hv_reenlightenment_control": control}
        return lines(loaded(part, release))

    assert at(1 << 16, None) == [
        "Guest enabled re-enlightenment notifications, 'tsc-frequency=' has to be specified"
    ]
    assert at(1 << 16, 1_000_000) == at(0, None) == at(1 << 16, None, "5.2.0") == []


def test_targets_are_told_apart() -> None:
    assert loaded(ppc(V20, own=V22), profile(target="x86_64")) == []
    assert loaded(x86(2, 1), profile(target="ppc64")) == []
