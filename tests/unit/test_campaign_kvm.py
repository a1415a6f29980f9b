"""Cases of the campaign under KVM: drawn anew for the accelerator, the same for the same seed."""

from __future__ import annotations

from migratable.campaign.accelerators import accelerated
from migratable.campaign.case import Group, Side


def group(number: int) -> Group:
    argv = ("-machine", "pc-q35-5.2", "-cpu", "qemu64", "-m", "64M")
    sides = [Side(release=one, arch="x86_64", argv=argv) for one in ("5.2", "11.1")]
    return Group(label=f"1:{number}:kvm", source=sides[0], destinations=(sides[0], sides[1]))


def test_the_same_seed_gives_the_same_cases() -> None:
    assert accelerated(group(1)) == accelerated(group(1))
    assert len({accelerated(group(number)).source for number in range(30)}) > 10


def test_most_are_under_kvm_and_some_cross_over() -> None:
    made = [accelerated(group(number)) for number in range(400)]

    def kvm(side: Side) -> bool:
        return "kvm" in " ".join(side.argv[6:])

    pairs = [(kvm(one.source), kvm(to)) for one in made for to in one.destinations]
    assert {(True, True), (True, False), (False, True), (False, False)} == set(pairs)
    assert pairs.count((True, True)) > len(pairs) / 2


def test_an_accelerator_is_named_once() -> None:
    for number in range(200):
        for side in (accelerated(group(number)).source, *accelerated(group(number)).destinations):
            words = " ".join(side.argv)
            assert side.argv.count("-cpu") == 1
            assert not ("-accel" in side.argv and "accel=" in words)
