"""Whatever a device derives from its backend's size: kept, or noted as assumed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from migratable.check import check, not_started
from migratable.commandline import parse
from migratable.commandline.inert.inert import InertCommandLine, inert
from migratable.errors import DestinationStartError
from migratable.profile.collect import _with_doubt
from migratable.profile.model import Profile
from migratable.stream import RamBlock, Stream, edit, read, write
from migratable.stream.edit import map_sections
from migratable.stream.pages import ram_start
from migratable.stream.virtio import parse as parse_virtio
from migratable.verdict import Outcome
from tests import recorded

CARD = "qemu-system-x86_64 -device sd-card,drive=d "
PFLASH = "qemu-system-{} -M {} -drive if=pflash,unit=0,file={} -drive if=pflash,unit=1,file={}"


def _quiet(line: str | list[str], **options: Any) -> InertCommandLine:
    return inert(parse(line), release=None, private_dir=Path("/private"), **options)


def _sizes(found: InertCommandLine) -> list[int]:
    text = " ".join(found.plain_argv)
    return [int(part.split(",")[0].split("}")[0]) for part in text.split("size=")[1:]]


@pytest.mark.parametrize(
    ("drive", "size"),
    [
        ("if=none,id=d,format=raw,file=null-co://,file.size=64M", 64 << 20),
        ("if=none,id=d,driver=raw,file.driver=null-co,file.size=128M", 128 << 20),
        ("if=none,id=d,driver=null-co,size=32M", 32 << 20),
        ("if=none,id=d,file.driver=raw,file.file.driver=null-co,file.file.size=2M", 2 << 20),
        ('if=none,id=d,file=json:{"driver":"null-co",,"size":"16M"}', 16 << 20),
        ("if=none,id=d,file.driver=null-co", 1 << 30),
    ],
)  # fmt: skip
def test_size_is_found_in_every_layer(drive: str, size: int) -> None:
    found = _quiet([*CARD.split(), "-drive", drive])
    assert _sizes(found) == [size]
    assert found.assumed_sections == {}


def test_size_of_an_image_at_hand(tmp_path: Path) -> None:
    image = tmp_path / "card.img"
    image.write_bytes(bytes(1 << 20))
    for drive in (f"file={image}", f"driver=raw,file.filename={image}"):
        assert _sizes(_quiet(f"{CARD}-drive if=none,id=d,{drive}")) == [1 << 20]


def test_card_of_unknown_size_is_assumed() -> None:
    for line in (
        f"{CARD}-drive if=none,id=d,file=/no/card.img",
        "qemu-system-arm -M vexpress-a9 -drive if=sd,file=/no/card.img",
        "qemu-system-arm -M vexpress-a9 -sd /no/card.img",
    ):
        found = _quiet(line)
        assert "/no/card.img is not on this machine" in found.assumed_sections["sd-card"]
        assert found.assumed_sizes == {1 << 30}


@pytest.mark.parametrize(
    ("line", "sizes", "assumed"),
    [
        (PFLASH.format("x86_64", "q35", "/no/OVMF_CODE_4M.fd", "/no/v"), [3653632, 540672], True),
        (PFLASH.format("x86_64", "q35", "/no/OVMF_CODE.fd", "/no/v"), [1966080, 131072], True),
        (PFLASH.format("aarch64", "virt-9.0", "/no/a", "/no/b"), [64 << 20] * 2, False),
        (PFLASH.format("riscv64", "virt", "/no/a", "/no/b"), [32 << 20] * 2, False),
    ],
)
def test_flash_that_is_not_here(line: str, sizes: list[int], assumed: bool) -> None:
    found = _quiet(line)
    assert _sizes(found) == sizes
    assert set(found.assumed_blocks) == ({"system.flash0", "system.flash1"} if assumed else set())
    stream = {"system.flash0": 4096, "system.flash1": 8192}
    if assumed:
        found = _quiet(line, ram_sizes=stream)
        assert _sizes(found) == [4096, 8192]
        assert found.assumed_blocks == {}


def test_variables_beside_code_that_is_here(tmp_path: Path) -> None:
    code = tmp_path / "edk2.fd"
    code.write_bytes(bytes(3653632))
    assert _sizes(_quiet(PFLASH.format("x86_64", "q35", code, "/no/v")))[1] == 540672


def _with_block(stream: Stream, name: str, size: int) -> Stream:
    blocks = [*stream.ram_blocks, RamBlock(id=name, used_length=size)]
    number = next(one.section_id for one in stream.sections if one.idstr == "ram")
    start = ram_start(blocks, section_id=number)
    changed = map_sections(
        stream, lambda one: start if one.idstr == "ram" and one.kind == start.kind else one
    )
    return read(write(changed))


def test_assumed_size_that_differs_is_unknown_never_refused() -> None:
    name = next(one for one in recorded.names() if "q35" in one)
    profile = recorded.profile(name)
    stream = _with_block(recorded.source(name), "system.flash1", 540672)
    profile = replace(profile, ram_blocks={**profile.ram_blocks, "system.flash1": (131072, 131072)})
    assert check(stream, profile).outcome is Outcome.REFUSED
    guess = replace(
        profile, assumed_blocks={"system.flash1": "flash 1 (v.fd is not on this machine)"}
    )
    found = check(stream, guess)
    assert found.outcome is Outcome.UNKNOWN
    assert "v.fd is not on this machine" in found.unchecked[0]
    right = replace(guess, ram_blocks={**profile.ram_blocks, "system.flash1": (540672, 540672)})
    assert check(stream, right).outcome is Outcome.LOADS


def test_section_of_assumed_layout_is_unknown() -> None:
    name = next(one for one in recorded.names() if "q35" in one)
    profile = replace(recorded.profile(name), assumed_sections={"timer": "its clock is not here"})
    found = check(recorded.source(name), profile)
    assert found.outcome is Outcome.UNKNOWN
    assert found.unchecked[0] == "timer: its clock is not here"


def test_refusal_for_a_poorer_backend_is_unknown() -> None:
    profile = recorded.profile("q35-10.0")
    section = next(s for s in profile_stream().sections if s.idstr.endswith("/virtio-net"))
    # hw/net/virtio-net.c: vmstate_virtio_net_device: mac, tx_waiting, mergeable_rx_bufs, status,
    # promisc, allmulti, mac_table.in_use, no macs, vlans, has_vnet_hdr.
    place = parse_virtio(section.body, idstr=section.idstr).device_offset
    place += 6 + 4 + 4 + 2 + 1 + 1 + 4 + 512
    body = bytearray(section.body)
    body[place : place + 4] = (1).to_bytes(4, "big")
    stream = edit.replace_section(profile_stream(), section, replace(section, body=bytes(body)))
    found = check(stream, profile)
    assert [one.rule for one in found.findings] == ["virtio-vnet-header"]
    assert found.outcome is Outcome.REFUSED
    poorer = replace(profile, assumed_backends={"virtio-net": "its tap could not be made"})
    found = check(stream, Profile.loads(poorer.dumps(), origin="again"))
    assert found.outcome is Outcome.UNKNOWN
    assert found.unchecked[0] == f"{section.idstr}: its tap could not be made"


def profile_stream() -> Stream:
    return recorded.source("q35-10.0")


def test_start_that_fails_for_an_assumed_size_is_unknown() -> None:
    quiet = _quiet("qemu-system-arm -M ast2500-evb -drive if=mtd,file=/no/flash.img")
    (size,) = quiet.assumed_sizes
    said = f"device requires 33554432 bytes, block backend provides {size} bytes"
    error = _with_doubt(DestinationStartError("no", stderr=(said,)), quiet)
    assert f"the {size} bytes that were put in its place" in error.doubt
    verdict = not_started(error.stderr, doubt=error.doubt)
    assert verdict.outcome is Outcome.UNKNOWN
    assert verdict.unchecked == (error.doubt,)
    other = DestinationStartError("no", stderr=("device requires 7 bytes",))
    assert _with_doubt(other, quiet) is other
    memory = DestinationStartError("no", stderr=("cannot set up guest memory 'ram'",))
    assert "too little memory" in _with_doubt(memory, quiet).doubt


@pytest.mark.parametrize(
    ("device", "stays"),
    [
        ("vhost-user-vsock-pci", True),
        ("vhost-user-blk-pci,chardev=none", True),
        ("vhost-user-blk-pci,chardev=c", False),
        ("vhost-user-fs-pci,chardev=c", True),
        ("vhost-user-fs-pci,chardev=c,tag=home", False),
        ("vhost-vsock-pci", True),
        ("vhost-vsock-pci,guest-cid=3", False),
        ("vfio-pci", True),
        ("vfio-pci,host=00:02.0", False),
        ("xen-platform", True),
        ("xen-pci-passthrough,hostaddr=00:02.0", False),
    ],
)
def test_device_without_its_backend_is_left_to_refuse_itself(device: str, stays: bool) -> None:
    found = _quiet(f"qemu-system-x86_64 -chardev socket,id=c,path=/x -device {device}")
    assert (device in found.plain_argv) == stays
    assert bool(found.removed_devices) != stays
