"""virtio-gpu's own part: resources and scanouts, read and judged."""

from __future__ import annotations

import struct

import pytest

from migratable.check import devices
from migratable.check.baseline import BaselineLoader
from migratable.check.loader import Reading
from migratable.check.problem import RefusedError, UnexaminedError
from migratable.check.qemu_file import QemuFile, StreamEndError
from migratable.check.state import LoadedState, Memory
from migratable.check.vmstate import VMStateLoader
from migratable.profile.tables import Handler, LoaderTables, VmField
from tests.unit.check.bodies import body, loaded, profile

BGRX = 2


def words(*numbers: int) -> bytes:
    return struct.pack(f">{len(numbers)}I", *numbers)


def resource(number: int, form: int = BGRX, width: int = 2, height: int = 2) -> bytes:
    page = (0x1234000).to_bytes(8, "big") + words(4096)
    return words(number, width, height, form, 1) + page + bytes(4 * width * height)


def scanout(shown: int = 0, *frame: int) -> bytes:
    """Ten words, and six more when a frame buffer (format, width, height) is given."""
    rectangle = (32, 16, 0, 0)
    base = words(shown, *rectangle, 0, 0, 0, 0, 0)
    return base + (words(frame[0], 4, frame[1], frame[2], 128, 0) if frame else b"")


NONE = (0, 0, 0)


def state(resources: bytes, *scanouts: bytes) -> bytes:
    return resources + words(0, 1, len(scanouts)) + b"".join(scanouts)


def read(data: bytes, own: LoadedState | None, release: str = "10.0.13") -> LoadedState:
    to = profile(release)
    what = body("virtio-gpu", own=own)
    kind = BaselineLoader if own is None else VMStateLoader
    loader = kind(
        tables=LoaderTables(handlers=(), vmsds=()),
        profile=to,
        f=QemuFile(data),
        memory=Memory({}),
        handler=Handler(
            idstr="0000:00:01.0/virtio-gpu",
            instance_id=0,
            alias_id=-1,
            version=1,
            vmsd=0,
            opaque=0x1000,
        ),
    )
    if own is None:
        loader.stated = len(data)
    reader = devices.reader("virtio-gpu")
    assert reader is not None
    item = VmField(name="virtio-gpu", info="virtio-gpu")
    reader(Reading(loader, what, item, 0, 0, ()))
    assert loader.f.pos == len(data)
    return what


V1 = read(state(b"", scanout()), None)
V2 = read(state(b"", scanout(0, *NONE)), None)
TWO = read(state(b"", scanout(0, *NONE), scanout(0, *NONE)), None)
MIXED = read(state(b"", scanout(0, *NONE), scanout()), None)


@pytest.mark.parametrize("own", [V1, V2])
def test_idle_device(own: LoadedState) -> None:
    data = state(b"", bytes(len(own.data("scanouts") or b"")))
    assert loaded(read(data, own)) == []


def test_shown_resource() -> None:
    good = read(state(resource(3), scanout(3, BGRX, 32, 16)), V2)
    assert good.numbers("resources", 4) == (3,)
    assert loaded(good) == []


def test_resource_that_did_not_come() -> None:
    missing = state(resource(3), scanout(4, BGRX, 32, 16))
    assert "shows resource 4, which is not" in loaded(read(missing, V2))[0].summary
    with pytest.raises(RefusedError, match="shows resource 4"):  # 8.0 and before: while reading
        read(state(resource(3), scanout(4)), V1, "7.2.22")


def test_guest_pages_as_resource() -> None:
    def showing(*frame: int) -> LoadedState:
        made = read(state(b"", scanout(7, *frame)), V2)
        made.subsections["virtio-gpu/blob"] = body("virtio-gpu/blob", {"blobs": words(7)})
        return made

    assert loaded(showing(BGRX, 32, 16)) == []
    assert "which has no pixels" in loaded(showing(0, 32, 16))[0].summary
    assert "shows more than its resource" in loaded(showing(BGRX, 31, 16))[0].summary


@pytest.mark.parametrize(
    ("resources", "said"),
    [
        (resource(3) + resource(3), "is in the stream twice"),
        (resource(3, form=5), "format 5"),
        (words(3, 1 << 16, 1 << 16, BGRX, 0), "times 65536 pixels"),
    ],
)
def test_bad_resources(resources: bytes, said: str) -> None:
    with pytest.raises(RefusedError, match=said) as caught:
        read(state(resources, scanout(0, *NONE)), V2)
    assert caught.value.errno == 22


def test_number_of_outputs() -> None:
    with pytest.raises(RefusedError) as caught:
        read(state(b"", *[scanout(0, *NONE)] * 2), V2)
    assert caught.value.problem.rule == "field-equal"
    names = [name for name, _ in caught.value.printed]
    assert names == ["field-equal", "field-error"]


def test_scanouts_of_another_form() -> None:
    with pytest.raises(StreamEndError):
        read(state(b"", scanout()), V2)


def test_second_output_is_read_by_accident() -> None:
    assert loaded(read(state(b"", scanout(0, *NONE), scanout(9)), MIXED)) == []
    both = read(state(b"", scanout(0, *NONE), scanout(9, *NONE)), TWO)
    assert "output 1 shows resource 9" in loaded(both)[0].summary
    five = read(state(b"", *[scanout(0, *NONE)] * 5), None)
    with pytest.raises(UnexaminedError, match="wrong address"):
        read(state(b"", *[scanout(0, *NONE)] * 5), five)


def test_own_part_of_unknown_form() -> None:
    with pytest.raises(UnexaminedError):
        read(state(b"", scanout() + b"1234"), None)
