"""Files of converted streams: containers, large parts, holes, and nothing left behind."""

from __future__ import annotations

import bz2
import errno
import gzip
import lzma
import os
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from migratable.convert import Change, EditClass, Operation, StreamEdit, apply_to_stream, make
from migratable.convert import write as writing
from migratable.errors import ConvertError
from migratable.stream import RamBlock, Section, SectionKind, Stream, read, write
from migratable.stream.edit import full_section, make_stream
from migratable.stream.pages import ram_start
from migratable.stream.wire_format import RamFlag
from tests.unit.stream import tiny

PAGES = 1200
"""Of RAM: more than what is copied through Python."""


def large() -> bytes:
    """A stream whose RAM rounds are more than 1 MiB, and a device after them."""
    block = RamBlock(id="pc.ram", used_length=PAGES * 4096)
    body = bytearray()
    for number in range(PAGES):
        flags = RamFlag.PAGE | (RamFlag.CONTINUE if number else 0)
        body += (number * 4096 | flags).to_bytes(8, "big")
        body += b"" if number else b"\x06pc.ram"
        body += os.urandom(4096)
    body += int(RamFlag.EOS).to_bytes(8, "big")
    rounds = Section(
        kind=SectionKind.END,
        section_id=1,
        idstr="ram",
        instance_id=0,
        version_id=4,
        body=bytes(body),
    )
    device = full_section("timer", 0, 2, bytes(24), section_id=2)
    stream = make_stream("pc-q35-10.0", [ram_start([block], section_id=1), rounds, device])
    return write(stream)


def edit_of(stream: Stream, *, longer: bool = False) -> StreamEdit:
    timer = stream.device("timer")
    assert timer is not None
    new = b"other bytes, and more of them" if longer else b"12345678"
    change = Change(old=bytes(timer.body[:8]), new=new, offset=0)
    return make.edit(timer, "test", EditClass.LOSSLESS, changes=(change,))


def renamed(stream: Stream, name: str) -> StreamEdit:
    old = (stream.machine or "").encode()
    new = name.encode()
    change = Change(
        old=len(old).to_bytes(4, "big") + old, new=len(new).to_bytes(4, "big") + new, offset=0
    )
    return StreamEdit(
        id="name",
        kind="test",
        edit_class=EditClass.LOSSY,
        operation=Operation.CONFIGURATION,
        section=None,
        changes=(change,),
    )


def converted(path: Path, out: Path, *edits: StreamEdit) -> Stream:
    original = read(path)
    stream = apply_to_stream(edits, original)
    with writing.output(out, source=path, force=False) as file:
        writing.write(stream, original, path, file)
        file.keep(force=False)
    return stream


@pytest.mark.parametrize("longer", [False, True])
def test_large_ram_is_copied_and_devices_are_written(tmp_path: Path, longer: bool) -> None:
    path, out = tmp_path / "a", tmp_path / "b"
    path.write_bytes(large())
    stream = converted(path, out, edit_of(read(path), longer=longer), renamed(read(path), "pc-1.0"))
    assert out.read_bytes() == write(stream)
    assert out.read_bytes() != path.read_bytes()
    assert read(out, ram=True).ram_statistics == read(path, ram=True).ram_statistics


def libvirt_image(body: bytes, kind: int, order: str = "<") -> bytes:
    xml = b"<domain type='kvm'/>\0"
    return (
        b"LibvirtQemudSave"
        + struct.pack(f"{order}5I", 2, len(xml) + 64, 1, kind, 0)
        + bytes(56)
        + xml
        + bytes(64)
        + body
    )


PACKED: list[tuple[str, Callable[[bytes], bytes], Callable[[bytes], bytes]]] = [
    ("gzip", gzip.compress, gzip.decompress),
    ("xz", lzma.compress, lzma.decompress),
    ("bzip2", bz2.compress, bz2.decompress),
]


@pytest.mark.parametrize(("name", "pack", "unpack"), PACKED)
def test_packed_again(
    tmp_path: Path, name: str, pack: Callable[[bytes], bytes], unpack: Callable[[bytes], bytes]
) -> None:
    path, out = tmp_path / "a", tmp_path / "b"
    path.write_bytes(pack(tiny.data()))
    stream = converted(path, out, edit_of(read(path)))
    assert unpack(out.read_bytes()) == write(stream)
    assert read(out).container == name


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize(("kind", "pack"), [(0, bytes), (1, gzip.compress), (3, lzma.compress)])
def test_libvirt_images_keep_header_and_xml(
    tmp_path: Path, kind: int, pack: Callable[[bytes], bytes], order: str
) -> None:
    path, out = tmp_path / "a", tmp_path / "b"
    path.write_bytes(libvirt_image(pack(tiny.data() if kind else large()), kind, order))
    stream = converted(path, out, edit_of(read(path), longer=True))
    head = len(libvirt_image(b"", kind, order))
    assert out.read_bytes()[:head] == path.read_bytes()[:head]
    again = read(out)
    assert again.facts == read(path).facts
    assert write(again) == write(stream)


def test_what_cannot_be_written_again_is_refused_with_the_remedy(tmp_path: Path) -> None:
    for container in ("zstd", "lzop", "qcow2", "libvirt/zstd", "gzip/xz", "libvirt/lzop"):
        with pytest.raises(ConvertError, match=r"cannot be written again; .+"):
            writing.can_write(container, "guest")
    for container in ("raw", "libvirt", "gzip", "libvirt/xz"):
        writing.can_write(container, "guest")


def mapped_file() -> bytes:
    """A mapped-ram file of one block of four pages, two of them stored, at 1 MiB."""
    pages_offset = 1 << 20
    name = b"pc-q35-10.0"
    head = b"QEVM\0\0\0\3\x07" + len(name).to_bytes(4, "big") + name
    head += b"\x05\x1aconfiguration/capabilities\0\0\0\1\0\0\0\1\x0amapped-ram"
    head += b"\x01\0\0\0\1\x03ram" + bytes(4) + (4).to_bytes(4, "big")
    size = 4 * 4096
    head += (size | RamFlag.MEM_SIZE).to_bytes(8, "big") + b"\x06pc.ram" + size.to_bytes(8, "big")
    bitmap = len(head) + 28
    head += (1).to_bytes(4, "big") + (4096).to_bytes(8, "big")
    head += bitmap.to_bytes(8, "big") + pages_offset.to_bytes(8, "big")
    head += (0b0101).to_bytes(8, "little")
    head = head.ljust(pages_offset, b"\0")
    head += b"a" * 4096 + bytes(4096) + b"c" * 4096 + bytes(4096)
    head += int(RamFlag.EOS).to_bytes(8, "big") + b"\x7e\0\0\0\1"
    tail = write(make_stream(None, [full_section("timer", 0, 2, bytes(24), section_id=2)]))
    return head + tail[8:]


@pytest.mark.parametrize("name", ["pc-q35-10.0", "pc-q35-11.10", "pc-1.0"])
def test_mapped_ram_pages_stay_in_their_places(tmp_path: Path, name: str) -> None:
    path, out = tmp_path / "a", tmp_path / "b"
    path.write_bytes(mapped_file())
    source = read(path)
    edits = [edit_of(source)]
    if name != source.machine:
        edits.append(renamed(source, name))
    converted(path, out, *edits)
    old, new = path.read_bytes(), out.read_bytes()
    assert len(old) == len(new)
    begin, end = 1 << 20, (1 << 20) + 4 * 4096
    assert old[begin:end] == new[begin:end]
    again = read(out)
    assert again.machine == name
    block = again.ram_blocks[0].mapped
    assert block is not None and block.pages_offset == 1 << 20
    bitmap = new[block.bitmap_offset : block.bitmap_offset + 8]
    assert bitmap == (0b0101).to_bytes(8, "little")
    timer = again.device("timer")
    assert timer is not None and bytes(timer.body[:8]) == b"12345678"


def no_nameless_files(monkeypatch: pytest.MonkeyPatch) -> None:
    usual = os.open

    def opened(path: Any, flags: int, *args: Any, **more: Any) -> int:
        if flags & os.O_TMPFILE == os.O_TMPFILE:
            raise OSError(errno.EOPNOTSUPP, "not here")
        return usual(path, flags, *args, **more)

    monkeypatch.setattr(os, "open", opened)


@pytest.mark.parametrize("nameless", [True, False])
@pytest.mark.parametrize("force", [True, False])
def test_a_file_gets_its_name_or_nothing_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, nameless: bool, force: bool
) -> None:
    if not nameless:
        no_nameless_files(monkeypatch)
    out = tmp_path / "out"
    with pytest.raises(ZeroDivisionError), writing.output(out, source=None, force=force) as file:
        file.file.write(b"half")
        assert file.readable.read_bytes() == b"half"
        raise ZeroDivisionError
    assert list(tmp_path.iterdir()) == []
    with writing.output(out, source=None, force=force) as file:
        file.file.write(b"whole")
        file.keep(force=force)
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    assert out.read_bytes() == b"whole"
    assert out.stat().st_mode & 0o777 == 0o600


def test_a_file_that_comes_meanwhile_is_not_written_over(tmp_path: Path) -> None:
    out = tmp_path / "out"
    with writing.output(out, source=None, force=False) as file:
        file.file.write(b"ours")
        out.write_bytes(b"theirs")
        with pytest.raises(ConvertError, match="exists; name another file"):
            file.keep(force=False)
    assert out.read_bytes() == b"theirs"
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_copy_keeps_holes(tmp_path: Path) -> None:
    path, out = tmp_path / "a", tmp_path / "b"
    with path.open("wb") as file:
        file.write(b"x" * 4096)
        file.seek(64 << 20)
        file.write(b"y" * 4096)
        file.truncate(96 << 20)
    with writing.output(out, source=path, force=False) as result:
        writing.copy(path, result)
        result.keep(force=False)
    assert out.stat().st_size == 96 << 20
    assert out.stat().st_blocks <= path.stat().st_blocks + 16
    assert out.read_bytes() == path.read_bytes()
