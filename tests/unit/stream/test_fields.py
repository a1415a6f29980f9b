"""Fields by name: descriptions laid over bytes, virtio blobs, handlers without VMState."""

from __future__ import annotations

import struct
from dataclasses import replace

import pytest

from migratable.errors import StreamError
from migratable.facts.virtio import names
from migratable.stream import Section, read, virtio
from migratable.stream.cursor import Cursor
from migratable.stream.decoded import Body
from migratable.stream.fields import decode
from migratable.stream.non_vmstate import virtio_of
from migratable.stream.virtio import devices as virtio_devices
from tests.unit.stream import tiny

GOLDEN = [name for name in tiny.NAMES if name not in ("7.2-q35-xen", "11.1-pc-nodesc")]


def thing() -> Section:
    section = tiny.stream().device("0000:00:01.0/thing")
    assert section is not None
    return section


def test_values() -> None:
    body = decode(thing())
    assert body.value("counts") == (1, 2, 3)
    points = body.field("points")
    assert points is not None
    assert [(one.value("x"), one.value("on")) for one in points.children] == [(7, True), (9, False)]
    queue = body.field("queue")
    assert queue is not None and [one.value("v") for one in queue.children] == [5, 6]
    blob = body.value("blob")
    assert isinstance(blob, memoryview) and bytes(blob) == b"abcd"
    more = body.subsection("thing/more")
    assert more is not None and more.value("extra") is True and more.version == 3
    assert [sub.name for sub in body.all_subsections()] == ["thing/more"]
    paths = [".".join(path) for path, _ in body.walk()]
    assert paths[:4] == ["counts", "points", "points[0].x", "points[0].on"]
    assert paths[-1] == "thing/more.extra"


def test_offsets_are_those_of_the_stream() -> None:
    data = tiny.data()
    body = decode(thing())
    blob = body.field("blob")
    assert blob is not None and data[blob.offset : blob.offset + blob.size] == b"abcd"


@pytest.mark.parametrize("name", GOLDEN)
def test_all_golden_sections_decode_to_the_last_byte(name: str) -> None:
    for section in read(tiny.golden(name)).devices:
        body = decode(section)
        assert body.rest is None, section.name
        assert body.size == len(section.body)


def test_real_values() -> None:
    stream = read(tiny.golden("4.1-pseries-4.1-dual"))
    cpu, spapr = stream.device("cpu"), stream.device("spapr")
    assert cpu is not None and spapr is not None
    assert decode(cpu).value("env.spr[0]") is None  # there is an array `env.spr`
    caps = {sub.name: sub.fields[0].value for sub in decode(spapr).subsections if sub.fields}
    assert caps["spapr/cap/hpt_maxpagesize"] == 16
    state = stream.device("globalstate")
    assert state is not None
    runstate = decode(state).value("runstate")
    assert isinstance(runstate, memoryview) and bytes(runstate).startswith(b"prelaunch\0")


@pytest.mark.parametrize(
    ("cut", "words"), [(1, "thing/more"), (14, "reaches past|subsection|needed"), (25, "list|past")]
)
def test_body_shorter_than_described(cut: int, words: str) -> None:
    section = thing()
    with pytest.raises(StreamError, match=words):
        decode(replace(section, body=section.body[:-cut]))


def test_body_longer_than_described() -> None:
    section = thing()
    body = decode(replace(section, body=bytes(section.body) + b"zz"))
    assert body.rest is not None and bytes(body.rest) == b"zz"


def test_htab_and_ram() -> None:
    stream = read(tiny.golden("4.1-pseries-4.1-dual"))
    bodies = [decode(one) for one in stream.sections if one.idstr == "spapr/htab"]
    assert bodies[0].value("htab_shift") == 21
    chunks = bodies[1].field("chunks")
    assert chunks is not None and all(isinstance(one, Body) for one in chunks.children)


def blobs(name: str) -> dict[str, virtio.Virtio]:
    out = {}
    for section in read(tiny.golden(name)).devices:
        found = virtio_of(section)
        if found is not None:
            out[section.idstr] = found
    return out


@pytest.mark.parametrize("name", ["7.2-q35", "10.0-q35", "11.1-q35", "7.2-q35-xen"])
def test_virtio_of_a_pc(name: str) -> None:
    found = blobs(name)
    on_root_port = found["0000:00:01.0:00.0/virtio-net"]
    assert on_root_port.pci_config is not None and len(on_root_port.pci_config) == 4096
    plain = found["0000:00:02.0/virtio-net"]
    assert plain.pci_config is not None and len(plain.pci_config) == 256
    assert plain.msix_entries == 4
    assert len(plain.queues) == 3 and plain.queues[0].desc == 0
    sizes = [1024, 1024, 1024] if name == "10.0-q35" else [256, 256, 64]
    assert [queue.num for queue in plain.queues] == sizes
    assert plain.body.field("device", "mac") is not None
    assert found["0000:00:03.0/virtio-blk"].body.field("device", "requests") is not None
    console = found["0000:00:07.0/virtio-console"]
    assert console.body.value("device", "max_nr_ports") == 31
    assert found["0000:00:06.0/virtio-balloon"].body.value("device", "actual") == 0


def test_virtio_legacy_packed_and_pseries() -> None:
    pc = blobs("10.0-pc-xis")
    legacy = pc["0000:00:02.0/virtio-balloon"]
    assert "virtio/virtqueues" not in legacy.subsections
    packed = pc["0000:00:03.0/virtio-rng"]
    assert "virtio/packed_virtqueues" in packed.subsections
    assert not packed.packed  # the host offers it, no guest took it
    assert all(one.transport == "pci" for one in blobs("7.2-pseries").values())


def test_virtio_blob_that_is_cut() -> None:
    section = read(tiny.golden("10.0-q35")).device("0000:00:05.0/virtio-rng")
    assert section is not None
    for cut in (1, 100, 40_000, len(section.body) - 3):
        with pytest.raises(StreamError):
            found = virtio.parse(section.body[:-cut], idstr=section.idstr)
            assert found.device  # the subsections became an opaque device part
            raise StreamError("as good as refused")


def test_legacy_ring_addresses() -> None:
    queue = virtio.Queue(num=256, desc=0x10000, last_avail_idx=5)
    assert queue.avail_address == 0x11000
    assert queue.used_address == 0x12000


def test_feature_names() -> None:
    assert names("virtio-net", 1 << 32 | 1 << 5 | 1) == ("csum", "mac", "version_1")
    assert names("virtio-rng", 1 << 1) == ("bit 1",)
    assert names("virtio-blk", 1 << 3) == ("bit 3",)


def test_virtio_gpu_without_a_description() -> None:
    """Its own fields follow the blob; the blob's end is where its subsections end."""
    described = blobs("7.2-q35")["0000:00:0a.0/virtio-gpu"]
    bare = blobs("7.2-q35-xen")["0000:00:0a.0/virtio-gpu"]
    assert (bare.size, bare.subsections) == (described.size, described.subsections)
    assert bare.queues == described.queues
    section = read(tiny.golden("7.2-q35-xen")).device("0000:00:0a.0/virtio-gpu")
    assert section is not None
    assert [field.name for field in decode(section).fields] == ["virtio", "data"]


def device_part(kind: str, data: bytes, *, features: int = 0, queues: int = 1) -> Body | None:
    return virtio_devices.decode(kind, Cursor(data), features=features, queues=queues)


def test_device_parts() -> None:
    domain = b"\1" + struct.pack(">QII", 7, 3, 1) + b"\1" + struct.pack(">QQQI", 0, 4095, 8192, 3)
    domain += b"\0\1" + struct.pack(">I", 9) + b"\0\1"
    iommu = device_part("virtio-iommu", struct.pack(">I", 1) + domain + b"\0\1")
    assert iommu is not None
    assert iommu.value("domains", "mappings", "phys_addr") == 8192
    assert iommu.value("domains", "endpoint_list", "id") == 9
    assert iommu.value("config.bypass") == 1

    port = struct.pack(">IBBI", 0, 1, 1, 0)
    little = struct.pack(">HHIII", 0, 0, 31, 1, 1) + port
    big = struct.pack(">HHIII", 0, 0, 31 << 24, 1, 1) + port
    for data in (little, big):
        console = device_part("virtio-console", data)
        assert console is not None and console.value("ports", "host_connected") is True

    element = bytes(virtio_devices.ELEMENT_SIZE)
    for data, several in ((b"\1" + element + b"\0", 1), (b"\1\0\0\0\2" + element + b"\0", 4)):
        blk = device_part("virtio-blk", data, queues=several)
        assert blk is not None
        requests = blk.field("requests")
        assert requests is not None and len(requests.children) == 1
    assert device_part("virtio-blk", b"\2\3") is None

    net = bytes(6 + 4 + 4 + 2 + 1 + 1) + struct.pack(">I", 2) + bytes(12 + 512 + 4 + 7)
    pairs = struct.pack(">HHI", 2, 2, 1)
    rss = b"\x05\x15virtio-net-device/rss\0\0\0\1" + b"\1\0\0" + struct.pack(">IHH", 5, 2, 0)
    rss += bytes(40) + struct.pack(">HH", 0, 1)
    found = device_part("virtio-net", net + pairs + bytes(8) + rss, features=4, queues=5)
    assert found is not None
    assert found.value("curr_queue_pairs") == 2
    assert found.subsections[0].value("rss_data.indirections_table") == (0, 1)

    mem = device_part("virtio-mem", struct.pack(">QQQIQQQ", 1, 2, 3, 0, 4, 5, 6) + bytes(16))
    assert mem is not None and mem.value("requested_size") == 6
    early = device_part("virtio-mem", struct.pack(">QQ", 4, 6))
    assert early is not None and early.value("requested_size") == 6
