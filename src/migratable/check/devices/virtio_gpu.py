"""virtio-gpu: hw/display/virtio-gpu.c.

The device's own part has no description that a table leads to: resources with their pixels, then
``virtio-gpu-scanouts``. A scanout has ten words, and sixteen with the property
``x-scanout-vmstate-version=2`` (machine types of 9.0 and later); the destination says which in its
own section. Not examined: whether the guest's pages behind a resource can be mapped.

The test for the six words, ``scanout_vmstate_after_v2``, finds the device from the address of the
*first* scanout. For the others it looks into memory that is not the property: with two to four
outputs into other members of the device, which are the same in each process, and with more into
memory behind it. Measured with 10.0.13 and 11.1.2: up to four outputs always the same, eight and
sixteen different from start to start, so that a guest does not load into its own command line.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

from migratable.check.devices import beyond, post_load, reads
from migratable.check.events import BodyLoaded, ValueRead
from migratable.check.loader import Reading
from migratable.check.problem import Problem, RefusedError, UnexaminedError
from migratable.check.state import LoadedState
from migratable.profile.tables import VmField, Vmsd

_FORMATS = frozenset({1, 2, 3, 4, 67, 68, 121, 134})
_SCANOUTS = Vmsd(name="virtio-gpu-scanouts", version=1, minimum=0)
_OUTPUTS = VmField(name="parent_obj.conf.max_outputs", info="uint32 equal")
_WORDS = (10, 16)
_STEADY_OUTPUTS = 4
_CHECKED_IN_HOOK = (8, 1)
_SMALLEST = 16


@reads("virtio-gpu")
def read(reading: Reading) -> None:
    """virtio_gpu_load: resources, scanouts. Errors of the scanouts arrive as the file's error."""
    loader, body = reading.loader, reading.body
    body.values["resources"] = _resources(reading)
    body.values["enable"] = loader.f.get_be(4)
    outputs = loader.f.get_be(4)
    body.values["max_outputs"] = outputs
    here, size = _layout(reading, outputs)
    try:
        loader.ask(
            ValueRead(
                release=loader.release, vmsd=_SCANOUTS, field=_OUTPUTS, value=outputs, local=here
            )
        )
    except RefusedError as refused:
        refused.old(("field-error", {"vmsd": _SCANOUTS.name, "field": _OUTPUTS.name}))
        refused.report()
        raise
    body.values["scanouts"] = loader.f.get_stored(size)
    if loader.release < _CHECKED_IN_HOOK and not loader.is_baseline:
        for problem in _scanouts(body):
            raise RefusedError(problem, loader.release)


@reads("blob")
def blobs(reading: Reading) -> None:
    """virtio_gpu_blob_load: resources that are the guest's own pages."""
    f = reading.loader.f
    found: list[int] = []
    while identity := f.get_be(4):
        f.skip(4)
        f.skip(12 * f.get_be(4))
        found.append(identity)
    reading.body.values["blobs"] = _packed(found)


def _resources(reading: Reading) -> memoryview:
    f = reading.loader.f
    found: list[int] = []
    while identity := f.get_be(4):
        if identity in found:
            raise _refuse(reading, f"resource {identity} is in the stream twice")
        width, height, form, pages = (f.get_be(4) for _ in range(4))
        if form not in _FORMATS:
            raise _refuse(reading, f"resource {identity} has the format {form}, which is invalid")
        size = 4 * width * height
        if size >> 32:
            raise _refuse(reading, f"resource {identity} has {width} times {height} pixels")
        f.skip(12 * pages + size)
        found.append(identity)
    return _packed(found)


def _refuse(reading: Reading, summary: str) -> RefusedError:
    return RefusedError(beyond(summary), reading.loader.release)


def _packed(numbers: list[int]) -> memoryview:
    return memoryview(b"".join(number.to_bytes(4, "big") for number in numbers))


def _layout(reading: Reading, outputs: int) -> tuple[int, int]:
    """Number of scanouts at the destination, and bytes of all of them."""
    if reading.loader.is_baseline:
        stated = reading.loader.stated_size()
        size = -1 if stated is None else stated - 12
        extra, odd = divmod(size - 4 * _WORDS[0] * outputs, 4 * (_WORDS[1] - _WORDS[0]))
        if odd or not 0 <= extra <= outputs:
            raise UnexaminedError("the destination's virtio-gpu writes scanouts of unknown form")
        return outputs, size
    own = reading.body.own
    data = None if own is None else own.data("scanouts")
    here = None if own is None else own.number("max_outputs")
    if data is None or here is None:
        raise UnexaminedError("how the destination's virtio-gpu reads its scanouts")
    if outputs == here > _STEADY_OUTPUTS and len(data) > 4 * _WORDS[0] * here:
        raise UnexaminedError(
            f"virtio-gpu with {here} outputs: QEMU's test of what a scanout holds looks at a wrong "
            "address, and its answer changes from start to start"
        )
    return here, len(data)


@post_load("virtio-gpu", since=_CHECKED_IN_HOOK)
def gpu(event: BodyLoaded) -> Iterator[Problem]:
    """virtio_gpu_post_load: each output shows a resource that came."""
    yield from _scanouts(event.body)


def _scanouts(body: LoadedState) -> Iterator[Problem]:
    data, outputs = body.data("scanouts"), body.number("max_outputs")
    if not data or not outputs:
        return
    pictures = set(body.numbers("resources", 4) or ())
    blob = body.subsections.get("virtio-gpu/blob")
    pages = set(blob.numbers("blobs", 4) or ()) if blob is not None else set()
    for number, one in enumerate(_each(data, outputs)):
        resource = one[0]
        if not resource:
            continue
        if resource not in pictures | pages:
            yield beyond(f"output {number} shows resource {resource}, which is not in the stream")
            return
        if len(one) > _WORDS[0] and one[10]:
            if not _fits(one):
                yield beyond(f"output {number} shows more than its resource has")
                return
        elif resource not in pictures:
            yield beyond(f"output {number} shows resource {resource}, which has no pixels")
            return


def _each(data: bytes, outputs: int) -> Iterator[tuple[int, ...]]:
    """The scanouts' words; only the first's where they are of two lengths."""
    words = len(data) // 4
    alike = words in {_WORDS[0] * outputs, _WORDS[1] * outputs}
    size = words // outputs if alike else _WORDS[1]
    for number in range(outputs if alike else 1):
        yield struct.unpack_from(f">{size}I", data, 4 * size * number)


def _fits(one: tuple[int, ...]) -> bool:
    """virtio_gpu_do_set_scanout: the rectangle lies within the frame buffer."""
    width, height, x, y = one[1:5]
    frame_width, frame_height = one[12:14]
    return (
        _SMALLEST <= width <= frame_width - x
        and _SMALLEST <= height <= frame_height - y
        and x <= frame_width
        and y <= frame_height
    )
