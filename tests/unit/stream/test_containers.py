"""What is around a stream."""

from __future__ import annotations

import bz2
import gzip
import importlib
import lzma
import struct
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest

from migratable.errors import ContainerError
from migratable.stream import containers, read, write
from migratable.stream.containers import decompress as unpack
from migratable.stream.containers import libvirt, lzo, open_data, open_image, qcow2
from tests.unit.stream import tiny

FOLDER = Path(__file__).resolve().parents[2] / "golden" / "containers"
DATA = tiny.data()


def zstd(data: bytes) -> bytes:
    zstandard = importlib.import_module("zstandard")
    packed: bytes = zstandard.ZstdCompressor().compress(data)
    return packed


PACKERS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "bzip2": bz2.compress,
    "xz": lzma.compress,
    "zstd": zstd,
}


@pytest.mark.parametrize("kind", PACKERS)
def test_compressed(kind: str) -> None:
    packed = PACKERS[kind](DATA)
    image = open_data(packed)
    assert (image.kind, bytes(image.data)) == (kind, DATA)
    twice = open_data(PACKERS[kind](DATA[:500]) + PACKERS[kind](DATA[500:]) + bytes(10))
    assert bytes(twice.data) == DATA


@pytest.mark.parametrize("kind", PACKERS)
def test_compressed_and_cut_or_damaged(kind: str) -> None:
    packed = PACKERS[kind](DATA)
    for length in range(9, len(packed), 7):
        with pytest.raises(ContainerError, match=r"early|damaged|unpack"):
            open_data(packed[:length])
    with pytest.raises(ContainerError, match="follow"):
        open_data(packed + b"rubbish")
    broken = bytearray(packed)
    broken[len(packed) // 2] ^= 0xFF
    with pytest.raises(ContainerError):
        read_all(bytes(broken))


def read_all(data: bytes) -> None:
    image = open_data(data)
    if bytes(image.data) != DATA:
        raise ContainerError("unpacked to something else, unnoticed")


@pytest.mark.parametrize("kind", PACKERS)
def test_bombs(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    packed = PACKERS[kind](b"QEVM" + bytes(8 << 20))
    with pytest.raises(ContainerError, match="more than 1048576 bytes"):
        open_data(packed, limit=1 << 20)
    monkeypatch.setattr(unpack, "RATIO_FLOOR", 1 << 20)
    monkeypatch.setattr(unpack, "MAX_RATIO", 100)
    with pytest.raises(ContainerError, match="more than 100 times its size"):
        open_data(packed)


def test_large_streams_are_unpacked_into_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unpack, "SPOOL", 1000)
    image = open_data(gzip.compress(DATA))
    assert type(image.data.obj).__name__ == "mmap"
    assert bytes(image.data) == DATA


def test_nested() -> None:
    assert open_data(lzma.compress(gzip.compress(DATA))).kind == "xz/gzip"
    data = DATA
    for _ in range(6):
        data = gzip.compress(data)
    with pytest.raises(ContainerError, match="more than 4 containers"):
        open_data(data)


def test_bombs_in_each_other_are_measured_by_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    """Equal members: each of the two containers alone unpacks to little more than it is."""
    monkeypatch.setattr(unpack, "RATIO_FLOOR", 1 << 20)
    monkeypatch.setattr(unpack, "MAX_RATIO", 100)
    member = gzip.compress(Random(1).randbytes(700) + bytes(20_000), mtime=0)
    file = lzma.compress(member * 100)
    assert len(file) < 5000
    with pytest.raises(ContainerError, match="more than 100 times its size"):
        open_data(file)
    with pytest.raises(ContainerError, match="is not a migration stream"):
        open_data(member * 100)


@pytest.mark.parametrize("name", ["tiny.lzo", "tiny.lzo9"])
def test_lzop(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda program: None)  # ours, not the program
    packed = (FOLDER / name).read_bytes()
    image = open_data(packed)
    assert (image.kind, bytes(image.data)) == ("lzop", DATA)
    for length in range(9, len(packed), 5):
        with pytest.raises(ContainerError):
            open_data(packed[:length])
    for at in range(60, len(packed), 11):
        broken = bytearray(packed)
        broken[at] ^= 0x55
        with pytest.raises(ContainerError):
            read_all(bytes(broken))


def test_lzo_instructions() -> None:
    """Each kind of match (``Documentation/staging/lzo.rst``); made by hand."""
    end = b"\x11\0\0"
    assert lzo.decompress(bytes([17 + 5]) + b"abcde" + end, 5) == b"abcde"
    # 64..127: length 3-4, here 3 at distance 2
    assert lzo.decompress(bytes([17 + 4]) + b"abcd" + bytes([0x44, 0]) + end, 7) == b"abcdcdc"
    # 32..63: length 2+n, distance 1, with one literal after
    packed = bytes([17 + 4]) + b"abcd" + bytes([0x23, 1, 0]) + b"X" + end
    assert lzo.decompress(packed, 10) == b"abcdddddd"[:9] + b"X"
    with pytest.raises(ContainerError):
        lzo.decompress(bytes([17 + 1]) + b"a" + bytes([0x5C, 9]) + end, 4)


def test_an_lzo_length_is_looked_at_before_it_is_made() -> None:
    zeros = 4_000_000  # 255 bytes each, of the last one: a gigabyte
    packed = bytes([17 + 4]) + b"abcd" + b"\x20" + b"\0" * zeros + b"\1\0\0" + b"\x11\0\0"
    tracemalloc.start()
    try:
        with pytest.raises(ContainerError, match="points outside"):
            lzo.decompress(packed, 64 << 20)
        assert tracemalloc.get_traced_memory()[1] < 32 << 20
    finally:
        tracemalloc.stop()


def save_image(
    body: bytes, *, order: str = "<", kind: int = 0, magic: bytes = b"LibvirtQemudSave"
) -> bytes:
    xml = b"<domain type='qemu'/>\0"
    cookie = b"<cookie/>\n\0"
    data = xml + cookie + bytes(100)
    head = struct.pack(f"{order}5I", 2, len(data), 1, kind, len(xml)) + bytes(56)
    return magic + head + data + body


@pytest.mark.parametrize("order", ["<", ">"])
def test_libvirt(order: str) -> None:
    for number, kind in enumerate(libvirt.COMPRESSIONS):
        if kind == "lzop" or (kind is None and number):
            continue
        body = DATA if kind is None else PACKERS[kind](DATA)
        image = open_data(save_image(body, order=order, kind=number))
        assert bytes(image.data) == DATA
        assert image.kind == ("libvirt" if kind is None else f"libvirt/{kind}")
        assert image.facts["domain_xml"] == "<domain type='qemu'/>"
        assert image.facts["cookie_xml"] == "<cookie/>\n"
        assert image.facts["was_running"] is True


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (save_image(DATA, magic=b"LibvirtQemudPart"), "unfinished"),
        (save_image(DATA)[:50], "cut short"),
        (save_image(b"")[:-3], "cut short"),
        (save_image(DATA, kind=9), "format 9 is unknown"),
        (save_image(DATA)[:16] + b"\x09" + save_image(DATA)[17:], "version 9"),
        (b"", "cut short"),
        (b"QE", "cut short inside the first four"),
        (bytes(100), "zero bytes"),
        (b"\x11\x22\x33\x44\0\0\0\1" + bytes(80), "multifd"),
        (b"PK\3\4 what is this", "50 4b 03 04"),
    ],
)
def test_refused(data: bytes, words: str) -> None:
    with pytest.raises(ContainerError, match=words):
        open_data(data)


def snapshot_image(
    snapshots: list[tuple[str, str, bytes]], *, scatter: bool = False, version: int = 3
) -> bytes:
    """A qcow2 image with 512-byte clusters, an empty disk of 64 KiB and these VM states."""
    bits, cluster = 9, 512
    disk = 64 << 10
    spread = cluster * (cluster // 8)
    first = -(-disk // spread) * spread // spread  # L1 entries before the state
    image = bytearray(4 * cluster)
    table = bytearray()
    for id_, name, state in snapshots:
        clusters = -(-len(state) // cluster)
        order = list(range(clusters))
        if scatter:
            order.reverse()
        places: dict[int, int] = {}
        for number in order:
            piece = state[number * cluster : (number + 1) * cluster]
            if not any(piece):
                continue  # unallocated
            places[number] = len(image)
            image += piece.ljust(cluster, b"\0")
        tables = -(-clusters // (cluster // 8))
        l1 = [0] * first
        for number in range(tables):
            entries = [places.get(number * 64 + entry, 0) for entry in range(64)]
            l1.append(len(image) | 1 << 63)
            image += struct.pack(">64Q", *(one and one | 1 << 63 for one in entries))
        l1_offset = len(image)
        image += struct.pack(f">{len(l1)}Q", *l1).ljust(cluster, b"\0")
        entry = struct.pack(">QIHHIIQII", l1_offset, len(l1), len(id_), len(name), 0, 0, 0, 0, 16)
        entry += struct.pack(">QQ", len(state), disk) + (id_ + name).encode()
        table += entry.ljust(-(-len(entry) // 8) * 8, b"\0")
    offset = len(image)
    image += table
    head = struct.pack(">4sIQIIQIIQQIIQ", b"QFI\xfb", version, 0, 0, bits, disk, 0, 0, 0, 0, 0,
                       len(snapshots), offset)  # fmt: skip
    image[: len(head)] = head
    return bytes(image)


@pytest.mark.parametrize("scatter", [False, True])
def test_qcow2(scatter: bool) -> None:
    state = tiny.data(pages=(("pc.ram", 0, b"\0" * 2000 + b"x" * 2096),))
    other = tiny.data(vmdesc=False)
    data = snapshot_image([("1", "one", state), ("2", "two", other), ("3", "disk", b"")],
                          scatter=scatter)  # fmt: skip
    names = [(one.id, one.name) for one in qcow2.snapshots(memoryview(data))]
    assert names == [("1", "one"), ("2", "two"), ("3", "disk")]
    assert bytes(open_data(data, snapshot="one").data) == state
    assert bytes(open_data(data, snapshot="2").data) == other
    with pytest.raises(ContainerError, match=r"several snapshots.*'one' \(id 1\), 'two'"):
        open_data(data)
    with pytest.raises(ContainerError, match="no snapshot 'three'"):
        open_data(data, snapshot="three")
    with pytest.raises(ContainerError, match="limit is 100"):
        open_data(data, snapshot="one", limit=100)
    single = open_data(snapshot_image([("1", "one", state)], scatter=scatter))
    assert write(read(bytes(single.data))) == state
    assert single.facts == {"snapshot": "one"}


def test_qcow2_broken() -> None:
    data = bytearray(snapshot_image([("1", "one", DATA)]))
    with pytest.raises(ContainerError, match="without VM state"):
        open_data(snapshot_image([("3", "disk", b"")]))
    for length in range(4, len(data), 97):
        try:
            assert bytes(open_data(bytes(data[:length])).data) == DATA
        except Exception as error:
            assert type(error).__name__ in ("ContainerError", "StreamError"), error
    data[60:64] = b"\xff" * 4
    with pytest.raises(ContainerError, match="4294967295 snapshots"):
        open_data(bytes(data))
    data[60:64] = (1).to_bytes(4, "big")
    data[32:36] = (2).to_bytes(4, "big")
    with pytest.raises(ContainerError, match="encrypted"):
        open_data(bytes(data))


def test_qcow2_that_unpacks_to_far_more_than_it_is() -> None:
    state = b"x" * (32 << 10)  # one L2 table
    image = bytearray(snapshot_image([("1", "one", state)]))
    (table,) = struct.unpack_from(">Q", image, 64)
    l1_offset = struct.unpack_from(">Q", image, table)[0]
    size_at = image.index(struct.pack(">QQ", len(state), 64 << 10), table)
    # Every L1 entry names the same L2 table.
    entry = image[l1_offset + 16 : l1_offset + 24]
    image[l1_offset : l1_offset + 512] = entry * 64
    struct.pack_into(">QI", image, table, l1_offset, 64)
    struct.pack_into(">Q", image, size_at, 62 * len(state))
    with pytest.raises(ContainerError, match="mapped twice"):
        open_data(bytes(image))
    struct.pack_into(">QI", image, table, l1_offset, 3)
    struct.pack_into(">Q", image, size_at, 60 << 30)
    with pytest.raises(ContainerError, match="most of which are not in the file"):
        open_data(bytes(image))


def test_files(tmp_path: Path) -> None:
    for path, words in (
        (tmp_path / "none", "No such file"),
        (tmp_path, "not a regular file|directory"),
        (tmp_path / "empty", "is empty"),
    ):
        if path.name == "empty":
            path.touch()
        with pytest.raises(ContainerError, match=words):
            open_image(path)
    packed = tmp_path / "tiny.mig.xz"
    packed.write_bytes(lzma.compress(DATA))
    assert read(packed).container == "xz"
    assert read(packed, ram=True).ram_statistics is not None
    image = tmp_path / "tiny.save"
    image.write_bytes(save_image(tiny.data(pages=(("pc.ram", 0, b"x" * 4096),))))
    found = read(image, ram=True)
    assert found.ram_statistics is not None
    assert found.ram_statistics.blocks["pc.ram"].normal == 1


def test_every_module_of_a_container_is_registered() -> None:
    folder = Path(containers.__file__).parent
    with_one = {path.stem for path in folder.glob("*.py") if "\nCONTAINER = " in path.read_text()}
    assert with_one == set(containers.MODULES)
    names = [recognised.name for recognised in map(containers.named, PACKERS) if recognised]
    assert sorted(names) == sorted(PACKERS)
