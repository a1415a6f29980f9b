"""``rules/latent``: what loads now and may not after the guest has done something."""

from __future__ import annotations

from dataclasses import replace

import pytest

from migratable.check.events import StreamLoaded
from migratable.check.rules.latent import RULE
from migratable.check.state import LoadedState
from migratable.profile.model import Profile
from migratable.profile.tables import Flag, Handler, LoaderTables, VirtioLive, VmField, Vmsd
from migratable.stream.model import Section
from migratable.stream.wire_format import SectionKind
from tests.unit.check.bodies import body, profile


def section(idstr: str, data: bytes = b"", *, instance_id: int = 0) -> Section:
    return Section(
        kind=SectionKind.FULL,
        section_id=3,
        idstr=idstr,
        instance_id=instance_id,
        version_id=1,
        body=data,
    )


def said(
    to: Profile, *sections: Section, origin: Profile | None = None, **more: object
) -> list[tuple[str | None, str]]:
    event = StreamLoaded(
        release=to.version.release,
        profile=to,
        sections=sections,
        origin=origin,
        **more,  # type: ignore[arg-type]
    )
    problems = list(RULE.check(event))
    assert not any(problem.refuses for problem in problems)
    return [(problem.device, problem.summary) for problem in problems]


# a reboot (target/ppc/machine.c: cpu_post_load)

POWER8, POWER9 = 0x004D0200, 0x004E1202


def cpu(pvr: int | None, compat: int | None = None, *, sent: bool = True) -> LoadedState:
    sprs = bytearray(8 * 1024)
    if pvr is not None:
        sprs[8 * 287 : 8 * 288] = pvr.to_bytes(8, "big")
    mode = body("cpu/compat", {} if compat is None else {"compat_pvr": compat})
    return body("cpu", {"env.spr": bytes(sprs)}, subsections=[mode] if sent else [])


def rebooted(*cpus: LoadedState, own: LoadedState | None, target: str = "ppc64") -> list[str]:
    to = profile("10.0.13", target, machine="pseries-10.0", cpu_model="power9")
    return [summary for _, summary in said(to, cpus=cpus, own_cpu=own)]


def test_a_compatibility_mode_ends_with_a_reboot() -> None:
    guest, here = cpu(POWER8, 0x0F000004), cpu(POWER9, sent=False)
    (text,) = rebooted(guest, own=here)
    assert text.startswith("after a reboot, and until its kernel has set its compatibility mode")
    assert "(PVR 0x004d0200), the destination's power9_v2.2" in text
    assert rebooted(cpu(POWER9, 0x0F000004), own=here) == []  # the same processor
    assert rebooted(cpu(POWER8, 0), own=here) == rebooted(cpu(POWER8), own=here) == []
    assert rebooted(cpu(POWER8, sent=False), own=here) == []
    assert rebooted(own=here) == []
    assert rebooted(cpu(POWER9), guest, own=here) == []  # the first one decides
    assert rebooted(guest, own=here, target="x86_64") == []


def test_max_cpu_compat_gives_each_reset_a_mode() -> None:
    assert rebooted(cpu(POWER8, 0x0F000004), own=cpu(POWER9, 0)) == []


# virtio

NAME = "virtio-mmio@000000000a003e00/virtio-rng"


def device(
    *, features: int = 0, sizes: tuple[int, ...] = (8,), defaults: int = 0, packed: bool = False
) -> Section:
    """hw/virtio/virtio.c: virtio_save; the default sizes and packed rings are subsections."""
    data = bytes(12) + bytes(4) + features.to_bytes(4, "big") + bytes(4)
    data += len(sizes).to_bytes(4, "big")
    for size in sizes:
        data += size.to_bytes(4, "big") + bytes(4 + 8 + 2)
    if defaults:
        table = b"".join(defaults.to_bytes(4, "big") for _ in sizes).ljust(4096, b"\0")
        data += b"\x05\x0fvirtio/ringsize" + (1).to_bytes(4, "big") + table
    if packed:
        data += b"\x05\x18virtio/packed_virtqueues" + (1).to_bytes(4, "big") + bytes(10240)
    return section(NAME, data)


def with_virtio(
    features: int, *queues: tuple[int, int], name: str = NAME, release: str = "11.1.0"
) -> Profile:
    live = VirtioLive(host_features=features, queues=queues)
    return profile(release, loader=LoaderTables(handlers=(), vmsds=(), virtio={name: live}))


def test_features_that_the_guest_has_not_taken() -> None:
    """Bit 33 (ACCESS_PLATFORM) and 28 (INDIRECT_DESC)."""
    to, origin = with_virtio(1 << 28), with_virtio(1 << 28 | 1 << 33)
    ((name, text),) = said(to, device(), origin=origin)
    assert name == NAME
    assert text.startswith("the source offers what the destination does not: ")
    assert "iommu_platform" in text or "access_platform" in text
    assert said(to, device(), origin=to) == []
    assert said(to, device(features=1 << 29), origin=with_virtio(1 << 28 | 1 << 29)) == []
    assert said(to, device()) == []  # of the source nothing is known
    assert said(to, device(), origin=replace(origin, loader=None)) == []
    assert said(replace(to, loader=None), device(), origin=origin) == []
    assert said(with_virtio(0, name="other"), device(), origin=origin) == []


def test_a_device_that_is_not_known_hides_none_after_it() -> None:
    to, origin = with_virtio(0), with_virtio(1 << 33)
    other = replace(device(), idstr="virtio-mmio@0/virtio-net")
    assert len(said(to, other, section(NAME, b"short"), device(), origin=origin)) == 1


@pytest.mark.parametrize(
    ("features", "explanation"),
    [(0, "No driver has started yet."), (1 << 28, "The driver has not accepted it.")],
)
def test_whether_a_driver_has_started(features: int, explanation: str) -> None:
    to, origin = with_virtio(1 << 28), with_virtio(1 << 28 | 1 << 33)
    sections = [device(features=features)]
    event = StreamLoaded(release=(11, 1), profile=to, sections=sections, origin=origin)
    (problem,) = RULE.check(event)
    assert problem.explanation == explanation


def test_packed_rings_show_what_the_source_offers() -> None:
    """The subsection is sent when the device offers them (virtio_packed_virtqueue_needed)."""
    ((_, text),) = said(with_virtio(0), device(packed=True))
    assert "packed" in text
    assert said(with_virtio(1 << 34), device(packed=True)) == []
    assert len(said(with_virtio(0, (8, 8)), device(packed=True, defaults=8))) == 1


def test_rings_that_the_driver_has_made_smaller() -> None:
    """From 11.0 on the size at reset must fit what the destination has allocated."""
    small = device(sizes=(8,), defaults=256)
    ((name, text),) = said(with_virtio(0, (64, 64)), small)
    assert name == NAME
    assert text.startswith("after the driver resets the device: queue 0 of ")
    assert "has 256 entries, the destination has allocated 64" in text
    assert said(with_virtio(0, (256, 256)), small) == []
    assert said(with_virtio(0, (64, 64), release="10.2.0"), small) == []
    # As large as it was: that the loader itself refuses.
    assert said(with_virtio(0, (64, 64)), device(sizes=(256,), defaults=256)) == []
    two = device(sizes=(256, 8), defaults=256)
    ((_, text),) = said(with_virtio(0, (256, 256), (64, 64)), two)
    assert "queue 1 of" in text


# tables


def vmsd(name: str, *subsections: int, inner: int | None = None) -> Vmsd:
    field = VmField(name="s", size=4, vmsd=inner, flags=int(Flag.STRUCT))
    plain = VmField(name="s", size=4, info="uint32", flags=int(Flag.SINGLE))
    fields = (plain,) if inner is None else (field,)
    return Vmsd(name=name, version=1, minimum=1, fields=fields, subsections=subsections)


def handler(idstr: str, number: int | None = 0, *, instance_id: int = 0) -> Handler:
    return Handler(
        idstr=idstr, instance_id=instance_id, alias_id=-1, version=1, vmsd=number, opaque=0x1000
    )


def machine(*vmsds: Vmsd, handlers: tuple[Handler, ...] = (), **more: object) -> Profile:
    found = handlers or (handler("dev"),)
    tables = LoaderTables(handlers=found, vmsds=vmsds, **more)  # type: ignore[arg-type]
    return profile("10.0.13", loader=tables)


def unknown(*names: str) -> str:
    return f"the source can send {', '.join(names)}, which the destination does not know"


OLD = machine(vmsd("dev"))
NEW = machine(vmsd("dev", 1, 2), vmsd("dev/a"), vmsd("dev/b"))


def test_subsections_of_the_source_alone() -> None:
    assert said(OLD, section("dev"), origin=NEW) == [("dev", unknown("dev/a", "dev/b"))]
    assert said(NEW, section("dev"), origin=OLD) == said(NEW, section("dev"), origin=NEW) == []
    # What came was judged by the loader.
    assert said(OLD, section("dev", b"..dev/a.."), origin=NEW) == [("dev", unknown("dev/b"))]
    first = [section("dev", b"dev/a"), section("dev", b"dev/b", instance_id=1)]
    assert said(OLD, *first, origin=NEW) == []
    assert said(OLD, section("dev"), section("x", b"dev/a dev/b"), origin=NEW) != []


def test_capabilities_of_a_pseries_are_sent_at_once_or_never() -> None:
    there = machine(vmsd("spapr", 1), vmsd("spapr/cap/new"), handlers=(handler("spapr"),))
    here = machine(vmsd("spapr"), handlers=(handler("spapr"),))
    assert said(here, section("spapr"), origin=there) == []


def test_subsections_further_inside() -> None:
    """Of a subsection that both have, and of a structure."""
    below = vmsd("dev/a/x")
    there = machine(vmsd("dev", 1), vmsd("dev/a", 2), below)
    here = machine(vmsd("dev", 1), vmsd("dev/a"))
    assert said(here, section("dev"), origin=there) == [("dev", unknown("dev/a/x"))]
    there = machine(vmsd("dev", inner=1), vmsd("part", 2), vmsd("part/x"))
    here = machine(vmsd("dev", inner=1), vmsd("part"))
    assert said(here, section("dev"), origin=there) == [("dev", unknown("part/x"))]
    # A structure that only one side has is the loader's.
    assert said(machine(vmsd("dev")), section("dev"), origin=there) == []
    assert said(here, section("dev"), origin=machine(vmsd("dev"))) == []


def test_tables_that_lead_to_themselves() -> None:
    loop = machine(vmsd("dev", inner=0))
    assert said(loop, section("dev"), origin=loop) == []


def test_a_structure_of_two_devices_is_named_once() -> None:
    """Under the first that has it, and each name once."""
    two = (handler("dev"), handler("dev", instance_id=1))
    there = machine(vmsd("dev", 1, 1), vmsd("dev/a"), handlers=two)
    here = machine(vmsd("dev"), vmsd("dev"), handlers=(two[0], replace(two[1], vmsd=1)))
    assert said(here, section("dev"), origin=there) == [("dev", unknown("dev/a"))]


def test_sections_of_the_source_alone() -> None:
    more = (handler("ram", None), handler("dev"), handler("wd"), handler("wd", instance_id=1))
    there = machine(vmsd("dev"), handlers=(*more, handler("old", None)))
    words = "the source can send {} named 'wd', which the destination does not have"
    assert said(OLD, section("dev"), origin=there) == [("wd", words.format("2 sections"))]
    assert said(OLD, section("dev"), section("wd"), origin=there) == [
        ("wd", words.format("1 section"))
    ]
    both = (section("wd"), section("wd", instance_id=1))
    assert said(OLD, section("dev"), *both, origin=there) == []


def test_a_handler_of_the_old_style_has_no_subsections() -> None:
    here = machine(handlers=(handler("dev", None),))
    assert said(here, section("dev"), origin=NEW) == []


def test_descriptions_that_only_a_class_points_to() -> None:
    """Virtio's own parts, and those that are reached by name."""
    there, here = vmsd("virtio-net", 1), vmsd("virtio-net")
    more = vmsd("virtio-net/rss")
    live = VirtioLive(host_features=0, queues=(), vmsds={"virtio-net": 0, "x": 0})
    idstr = "0:02.0/virtio-net"
    plain = vmsd("pci")
    origin = machine(there, more, plain, handlers=(handler(idstr, 2),), virtio={idstr: live})
    to = machine(
        here,
        plain,
        handlers=(handler(idstr, 1),),
        virtio={idstr: replace(live, vmsds={"virtio-net": 0})},
    )
    expected = [(idstr, unknown("virtio-net/rss"))]
    assert said(to, section(idstr), origin=origin) == expected
    assert said(machine(here, plain, handlers=(handler(idstr, 1),)), origin=origin) == []
    origin = machine(there, more, plain, handlers=(handler("d", 2),), extra={"virtio": 0, "y": 0})
    to = machine(here, plain, handlers=(handler("d", 1),), extra={"virtio": 0})
    assert said(to, section("d"), origin=origin) == [("virtio", unknown("virtio-net/rss"))]
    # Of what no section is named after, each section may have it.
    assert said(to, section("d", b"virtio-net/rss"), origin=origin) == []


def test_without_both_tables_nothing_is_compared() -> None:
    bare = replace(NEW, loader=None)
    assert said(OLD, section("dev"), origin=bare) == said(bare, section("dev"), origin=NEW) == []


AMX = {"cpuid-input-eax": 7, "cpuid-input-ecx": 0, "cpuid-register": "EDX"}


@pytest.mark.parametrize(
    ("more", "possible"),
    [
        ({}, True),  # the CPU is not known
        ({"cpu_features": ({**AMX, "features": 0},)}, False),
        ({"cpu_features": ({**AMX, "features": 1 << 24},)}, True),
        ({"cpu_features": ({**AMX, "features": 0},), "wants_kvm": True}, True),  # TCG's stand in
    ],
)
def test_subsections_of_features_that_the_cpu_lacks(
    more: dict[str, object], possible: bool
) -> None:
    name = "cpu/intel_amx_xtile"
    there = machine(vmsd("cpu", 1), vmsd(name), handlers=(handler("cpu"),))
    here = machine(vmsd("cpu"), handlers=(handler("cpu"),))
    found = said(here, section("cpu"), origin=replace(there, **more))  # type: ignore[arg-type]
    assert found == ([("cpu", unknown(name))] if possible else [])


def test_subsections_that_differ_in_what_is_in_memory() -> None:
    """An element count of each machine; not where the CPU can never send it, or it came."""
    width = VmField(name="w", offset=16, size=4, info="uint32 equal", flags=int(Flag.SINGLE))

    def side(value: int) -> Profile:
        late = [
            Vmsd(name=name, version=1, minimum=1, fields=(width,))
            for name in ("cpu/intel_amx_xtile", "cpu/late")
        ]
        return machine(
            vmsd("cpu", 1, 2), *late, handlers=(handler("cpu"),), words={(0x1010, 4): value}
        )

    text = (
        "once the guest uses it the source sends {}, whose w has 3 as its value at the source "
        "and 5 on the destination: the destination then refuses it"
    )
    names = ["cpu/intel_amx_xtile", "cpu/late"]
    assert said(side(5), section("cpu"), origin=side(3)) == [
        ("cpu", text.format(name)) for name in names
    ]
    event = StreamLoaded(
        release=(10, 0), profile=side(5), sections=[section("cpu")], origin=side(3)
    )
    assert [problem.explanation for problem in RULE.check(event)] == ["", ""]  # no option gives it
    without = replace(side(3), cpu_features=({**AMX, "features": 0},))
    assert said(side(5), section("cpu"), origin=without) == [("cpu", text.format(names[1]))]
    sent = [section("cpu", b"cpu/late"), section("cpu", names[0].encode(), instance_id=1)]
    assert said(side(5), *sent, origin=side(3)) == []
    elsewhere = [section("cpu"), section("x", b"cpu/late cpu/intel_amx_xtile")]
    assert len(said(side(5), *elsewhere, origin=side(3))) == 2
