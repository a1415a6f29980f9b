"""Rules that are asked when all was loaded: where memory is, processors that sleep."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from migratable.check.baseline import Baseline
from migratable.check.events import StreamLoaded, SubsectionMet
from migratable.check.rules import memory_map, sleeping_cpu, unknown_subsection
from migratable.check.savevm import Replay
from migratable.profile.model import Profile
from migratable.profile.tables import LoaderTables, Vmsd
from migratable.stream import write
from migratable.stream.edit import full_section, make_stream
from migratable.stream.model import Section
from tests.unit.check.bodies import body, profile
from tests.unit.check.test_memory_map import device
from tests.unit.check.test_replay import handler

MIB = 1 << 20


def clock(below: int, above: int) -> Section:
    """hw/i386/pc.c: pc_cmos_init: memory above 16 MiB and above 4 GiB, in 64 KiB."""
    cmos = bytearray(160)
    if below:
        cmos[0x34:0x36] = ((below - 16) * MIB >> 16).to_bytes(2, "little")
    cmos[0x5B:0x5E] = (above * MIB >> 16).to_bytes(3, "little")
    return full_section("mc146818rtc", 0, 3, bytes(cmos), section_id=7)


def pc(*sections: Section, release: str = "5.2.0", target: str = "x86_64") -> Profile:
    return profile(release, target, stream=bytes(write(make_stream("pc-q35-5.2", sections))))


def mapped(
    to: Profile, *sections: Section, handlers: Sequence[str] = ()
) -> list[tuple[str, list[str]]]:
    event = StreamLoaded(
        release=to.version.release, profile=to, sections=sections, handlers=handlers
    )
    problems = list(memory_map.check(event))
    assert not any(problem.refuses for problem in problems)
    return [
        (problem.summary, [reason.partition(": its ")[0] for reason in problem.unexamined])
        for problem in problems
    ]


def test_as_much_memory_in_other_places() -> None:
    to = pc(clock(2048, 2048))
    assert mapped(to, clock(3072, 1024)) == [
        (
            "the guest has 3072 MiB below 4 GiB and 1024 MiB above, the destination 2048 MiB "
            "below 4 GiB and 2048 MiB above",
            [],
        )
    ]
    assert mapped(to, clock(2048, 2048)) == []
    for below, above in ((3072, 2048), (2048, 1024), (1024, 1024)):
        assert mapped(to, clock(below, above)) == []  # ram-block-size says it
    assert mapped(to) == []
    assert mapped(to, clock(0, 4096)) == mapped(pc(clock(0, 4096)), clock(2048, 2048)) == []
    assert mapped(pc(), clock(2048, 2048)) == []


def test_only_a_pcs_own_clock_tells_where_its_memory_is() -> None:
    other = pc(clock(2048, 2048), target="ppc64")
    assert mapped(other, clock(3072, 1024)) == []
    assert len(mapped(pc(clock(2048, 2048), target="i386"), clock(3072, 1024))) == 1
    named = full_section("dev", 0, 1, b"mc146818rtc" + bytes(200), section_id=3)
    assert mapped(pc(named), clock(3072, 1024)) == []  # a name inside of another's bytes
    assert mapped(profile(stream=b"\x04\0\0\0\x0bmc146818rtc"), clock(3072, 1024)) == []


RING = 3 << 30


@pytest.mark.parametrize(
    ("release", "desc", "said"),
    [("5.2.0", RING, True), ("6.2.0", RING, True), ("7.0.0", RING, False), ("5.2.0", 0, False)],
)
def test_rings_are_looked_into_up_to_6_2(release: str, desc: int, said: bool) -> None:
    """hw/virtio/virtio.c: virtio_load compares the ring's index; 7.0 goes on whatever it is."""
    to, virtio = pc(clock(2048, 2048), release=release), device(desc, 9)
    ((_, reasons),) = mapped(to, clock(3072, 1024), virtio)
    assert reasons == ([virtio.idstr] if said else [])


def test_buffers_of_a_disk_behind_an_iommu() -> None:
    """Without one its hook has judged them."""
    to, disk = (
        pc(clock(2048, 2048)),
        full_section("0000:00:1f.2/ich9_ahci", 0, 1, b"", section_id=9),
    )
    other = full_section("serial", 0, 3, b"", section_id=8)
    for handlers, reasons in (
        (["serial"], []),
        (["serial", "amd-IOMMU"], [disk.idstr]),
        (["intel-iommu", "serial"], [disk.idstr]),
    ):
        ((_, found),) = mapped(to, clock(3072, 1024), other, disk, handlers=handlers)
        assert found == reasons


# sleeping processors

EE = 0x8000


def asleep(
    release: str,
    *cpus: tuple[int, int | None],
    machine: str = "spapr",
    target: str = "ppc64",
    wants_kvm: bool = False,
    loaded: int | None = None,
) -> list[str]:
    sections = [
        full_section("cpu_common", number, 1, halted.to_bytes(4, "big") + bytes(4), section_id=9)
        for number, (halted, _) in enumerate(cpus)
    ]
    states = [body("cpu", {} if msr is None else {"env.msr": msr}) for _, msr in cpus]
    to = profile(release, target, wants_kvm=wants_kvm)
    event = StreamLoaded(
        release=to.version.release,
        profile=to,
        sections=[*sections, full_section(machine, 0, 3, b"", section_id=1)],
        cpus=states[:loaded],
    )
    problems = list(sleeping_cpu.check(event))
    assert not any(problem.refuses for problem in problems)
    return [problem.summary.partition(",")[0] for problem in problems]


@pytest.mark.parametrize(
    ("release", "cpus", "said"),
    [
        ("11.0.0", [(1, EE)], "1 of the guest's 1 processors sleep"),
        ("10.2.0", [(1, EE)], None),  # a single one woke up each time
        ("10.2.0", [(1, EE), (1, EE)], "2 of the guest's 2 processors sleep"),
        ("10.0.0", [(0, EE), (1, EE)], "1 of the guest's 2 processors sleep"),
        ("9.2.0", [(1, EE), (1, EE)], None),
        ("11.0.0", [(1, 0x7FFF)], None),  # EE is clear: never started
        ("11.0.0", [(1, None)], None),
        ("11.0.0", [(0, EE)], None),
        ("11.0.0", [(2, EE)], None),
        ("11.0.0", [], None),
    ],
)
def test_processors_that_nothing_wakes(
    release: str, cpus: list[tuple[int, int | None]], said: str | None
) -> None:
    assert asleep(release, *cpus) == ([] if said is None else [said])
    assert asleep(release, *cpus, wants_kvm=True) == []
    assert asleep(release, *cpus, machine="pnv") == []
    assert asleep(release, *cpus, target="ppc") == []


def test_processors_of_which_nothing_was_loaded_are_not_counted() -> None:
    assert asleep("11.0.0", (1, EE), (1, EE), loaded=1) == ["1 of the guest's 2 processors sleep"]


# subsections


@pytest.mark.parametrize(("release", "printed"), [((10, 1), 0), ((10, 2), 1), ((11, 0), 1)])
def test_an_unknown_subsection_is_a_link_of_the_chain(
    release: tuple[int, int], printed: int
) -> None:
    """Up to 10.1 vmstate_subsection_load returns -ENOENT without a word."""
    parent = Vmsd(name="cpu", version=5, minimum=5)
    event = SubsectionMet(release=release, parent=parent, name="cpu/new", known=False)
    (problem,) = unknown_subsection.check(event)
    assert len(problem.words) == printed
    assert problem.errno == 2


def test_what_a_rule_leaves_open_is_undecided() -> None:
    """A ring in memory that moved: the whole replay, up to 6.x."""
    virtio = device(RING, 9)
    to = pc(clock(2048, 2048))
    handlers = tuple(handler(idstr, vmsd=None) for idstr in ("mc146818rtc", virtio.idstr))
    baseline = Baseline(to, LoaderTables(handlers=handlers, vmsds=()))
    stream = make_stream("pc-q35-10.0", [clock(3072, 1024), virtio])
    replay = Replay(stream, baseline).qemu_loadvm_state()
    text = f"{virtio.idstr}: its vrings: guest RAM has other addresses on the destination"
    assert text in [str(reason) for reason in replay.undecided]
