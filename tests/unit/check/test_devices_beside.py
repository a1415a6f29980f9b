"""What stands beside a device: helper processes, UEFI variables, VMBus, video memory, an IOMMU."""

from __future__ import annotations

import pytest

from migratable.check.devices import after
from migratable.check.events import BodyLoaded
from migratable.check.problem import Problem, UnexaminedError
from migratable.check.state import LoadedState
from migratable.profile.model import Profile
from migratable.profile.tables import LoaderTables, PciMasks
from migratable.verdict import Severity
from tests.unit.check.bodies import Value, body, lines, loaded, profile

_NAME = "A".encode("utf-16-le") + b"\0\0"


def variable(name: bytes = _NAME, attributes: int = 7, size: int = 3) -> LoadedState:
    values: dict[str, Value] = {"name": name, "attributes": attributes}
    return body("uefi-variable", {**values, "name_size": len(name), "data_size": size})


@pytest.mark.parametrize(
    ("name", "attributes", "field"),
    [
        (_NAME, 7, None),
        (_NAME, 0x6F, None),
        (_NAME, 0x10, "attributes"),
        (_NAME, 0x8000_0007, "attributes"),
        (b"A\0", 7, "name"),  # without its end
        (b"\0\xd8\0\0", 7, "name"),  # half of a pair
        (b"\xff\xdf\0\0", 7, "name"),
        (b"A\0\0\xd8\0\0", 7, "name"),
        (b"AB\0\xd8\0\0", 7, "name"),
        (b"A\xd8\0\0", 7, "name"),
        (b"A\0B\0\xd8\x30\0\0", 7, None),  # no half at an odd place
        (b"\0\xd8A\0\0\0", 7, "name"),
        (b"\0\xe0\0\0\0\xd8", 7, None),
        (b"\xff\xd7\0\0\0", 7, "name"),  # an odd number of bytes
        (b"", 7, "name"),
    ],
)
def test_a_uefi_variable(name: bytes, attributes: int, field: str | None) -> None:
    """Each seen on 10.0 and 11.1, but for the last two."""
    problems = loaded(variable(name, attributes))
    assert [one.field for one in problems] == ([] if field is None else [field])
    assert [one.errno for one in problems] == [1] * len(problems)
    assert lines(problems) == ["invalid uefi variable"] * len(problems)


@pytest.mark.parametrize("read", [False, True])
def test_the_digest_of_a_uefi_variable_that_nothing_reads(read: bool) -> None:
    values: dict[str, Value] = {
        "name": _NAME,
        "attributes": 7,
        **({"digest_size": 0} if read else {}),
    }
    one = body("uefi-variable", values)
    problems = loaded(body("uefi-vars", children={"variables": [one]}))
    told = [(problem.refuses, problem.severity) for problem in problems]
    assert told == ([] if read else [(False, Severity.ENDANGERS)])


def _policy(size: int, begin: int = 44, tail: bytes = b"A\0\0\0") -> bytes:
    return bytes(4) + size.to_bytes(2, "little") + begin.to_bytes(2, "little") + bytes(36) + tail


@pytest.mark.parametrize(
    ("entry", "good"),
    [
        (_policy(48), True),
        (_policy(48, tail=b"A\0B\0"), True),
        (_policy(46, tail=b"\0\xd8"), False),
        (_policy(50), False),
        (_policy(48, begin=48), False),
        (_policy(48, begin=47, tail=b"A\0\0\0"), False),
        (_policy(44, begin=42)[:44], True),
        (_policy(44, begin=43)[:44], False),
        (_policy(8, begin=6)[:8], True),  # not even one whole entry: seen on 10.0 and 11.1
        (_policy(7, begin=6)[:7], False),
        (b"", False),
    ],
)
def test_a_policy_for_uefi_variables(entry: bytes, good: bool) -> None:
    problems = loaded(body("uefi-var-policy", {"entry": entry}))
    assert lines(problems) == ([] if good else ["invalid uefi variable policy"])


@pytest.mark.parametrize(("size", "good"), [(0x10000, True), (0x10001, False)])
def test_the_buffer_for_uefi_variables(size: int, good: bool) -> None:
    problems = loaded(body("uefi-vars", {"buf_size": size}))
    assert lines(problems) == ([] if good else ["invalid buffer size"])


def test_room_for_uefi_variables() -> None:
    room = (256 << 10) - 256 - len(_NAME)
    policies = [body("uefi-var-policy", {"entry_size": 100})]
    plain = profile()
    sized = profile(command_line=("qemu", "-device", "uefi-vars-x64,size=1M"))
    other = profile(command_line=("qemu", "-object", "memory-backend-ram,size=1M"))
    for at in (plain, other):
        (one,) = loaded(body("uefi-vars", children={"variables": [variable(size=room)]}), at)
        assert not one.refuses
    for children in (
        {"variables": [variable(size=room + 1)]},
        {"variables": [variable(size=room - 355)], "var_policies": policies},
    ):
        with pytest.raises(UnexaminedError, match=f"room for {(256 << 10) + 1} bytes"):
            loaded(body("uefi-vars", children=children), plain)
    with pytest.raises(UnexaminedError, match="room for 263 bytes"):
        loaded(body("uefi-vars", children={"variables": [variable()]}), sized)
    assert loaded(body("uefi-vars"), sized) == []


@pytest.mark.parametrize("kind", ["permanent", "volatil", "savestate"])
def test_a_tpm_goes_to_swtpm(kind: str) -> None:
    (problem,) = loaded(body("tpm-emulator", {f"state_blobs.{kind}.size": 1}))
    assert (problem.rule, problem.refuses, problem.severity) == (
        "external-state",
        False,
        Severity.INFO,
    )
    assert loaded(body("tpm-emulator", {f"state_blobs.{kind}.size": 0})) == []


def test_helpers_on_d_bus() -> None:
    (problem,) = loaded(body("dbus-vmstate", {"data": b"\0\0\0\2" + bytes(20)}))
    assert (problem.rule, problem.refuses, problem.severity) == (
        "external-state",
        False,
        Severity.INFO,
    )
    assert "of 2 helpers" in problem.summary
    assert loaded(body("dbus-vmstate", {"data": bytes(4)})) == []
    assert loaded(body("dbus-vmstate")) == []


def test_vmbus() -> None:
    assert loaded(body("vmbus", {"target_vp": 0xFFFF_FFFF})) == []
    with pytest.raises(UnexaminedError, match="VMBus"):
        loaded(body("vmbus", {"target_vp": 0}))


_VIDEO = {"0000:00:01.0/vga.vram": (1 << 20, 1 << 20), "vga.vram": (1 << 18, 1 << 18)}
_QXL = {"0000:00:02.0/qxl.vgavram": (1 << 20, 1 << 20)}


@pytest.mark.parametrize(
    ("name", "idstr", "field", "blocks", "last"),
    [
        ("vga", "0000:00:01.0/vga", "bank_offset", _VIDEO, 0xF0000),
        ("vga", "vga", "bank_offset", _VIDEO, 0x30000),
        ("qxl", "0000:00:01.0/qxl", "last_release_offset", _VIDEO, 0xFFFFF),
        ("qxl", "0000:00:02.0/qxl", "last_release_offset", _QXL, 0xFFFFF),
    ],
)
def test_a_place_in_video_memory(
    name: str, idstr: str, field: str, blocks: dict[str, tuple[int, int]], last: int
) -> None:
    """The assertion of a bank was seen on 7.2, 10.0 and 11.1."""
    at = profile(ram_blocks=blocks)

    def problems(place: int, to: Profile = at) -> list[Problem]:
        event = BodyLoaded(
            release=(10, 0), body=body(name, {field: place}), idstr=idstr, instance_id=0, profile=to
        )
        return list(after(event))

    assert problems(last) == problems(0) == problems(1 << 31, profile()) == []
    with pytest.raises(UnexaminedError, match="video memory"):
        problems(last + 1)


@pytest.mark.parametrize(
    ("endpoint", "known"),
    [
        (8, True),
        (0x13, True),
        (0xFA, True),
        (0x0B, False),
        (0x18, False),
        (9, False),
        (0x108, False),
        (0x20, False),
    ],
)
def test_an_endpoint_of_an_iommu_is_there(endpoint: int, known: bool) -> None:
    """The assertion was seen on 10.0 and 11.1 (an endpoint that no device is)."""
    none = PciMasks(config=b"", cmask=b"", wmask=b"", w1cmask=b"")
    idstrs = (
        "0000:00:01.0/virtio-iommu",
        "0000:00:02.3/e1000",
        "0000:00:03.0:00.0/x",
        "vga",
        "0000:00:1f.2/a",
    )
    tables = LoaderTables(handlers=(), vmsds=(), pci=dict.fromkeys(idstrs, none))
    domain = body("domain", children={"endpoint_list": [body("endpoint", {"id": endpoint})]})
    state = body("virtio-iommu-device", children={"domains": [body("domain"), domain]})
    if known:
        assert loaded(state, profile(loader=tables)) == []
    else:
        with pytest.raises(UnexaminedError, match=f"endpoint {endpoint:#x}"):
            loaded(state, profile(loader=tables))
    with pytest.raises(UnexaminedError):
        loaded(state, profile())
