"""Lines as libvirt writes them: a device that is added or changed is JSON too."""

from __future__ import annotations

import json

import pytest

from migratable.commandline import CommandLine, parse
from migratable.hints import inventory
from migratable.hints.candidate import Candidate
from migratable.hints.json_devices import typed
from migratable.hints.remedies.destination_start import without_json

KINDS = {
    "addr": ("int32", ""),
    "bus": ("str", ""),
    "chassis": ("uint8", "0"),
    "mq": ("bool", "off"),
    "disable-legacy": ("OnOffAuto", "auto"),
    "romsize": ("uint32", "4294967295"),
    "port": ("str", ""),
}
JSON = parse(
    [
        "qemu",
        "-device",
        '{"driver":"pcie-root-port","id":"pci.1","chassis":1}',
        "-device",
        '{"driver":"virtio-net-pci","bus":"pci.1","mq":true,"romsize":65536}',
    ]
)


@pytest.fixture(autouse=True)
def _help(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inventory, "properties_of", lambda command, driver: KINDS)


def _edited(line: CommandLine, edit: object) -> list[str]:
    candidate = typed(Candidate(action="x", edit=edit), line, ("qemu",))  # type: ignore[arg-type]
    assert candidate.edit is not None
    return [option.value or "" for option in candidate.edit(line).all("device")]


def test_what_is_added_has_qemus_types() -> None:
    text = "virtio-net-pci,id=n,bus=pci.1,addr=0x0,mq=on,chassis=0x10,disable-legacy=on,port=1"
    *before, last = _edited(JSON, lambda line: line.append("device", text))
    assert before == [option.value for option in JSON.all("device")]
    assert json.loads(last) == {
        "driver": "virtio-net-pci",
        "id": "n",
        "bus": "pci.1",
        "addr": "0x0",
        "mq": True,
        "chassis": 16,
        "disable-legacy": "on",
        "port": "1",
    }


def test_what_is_changed_has_them_too() -> None:
    def edit(line: CommandLine) -> CommandLine:
        option = list(line.all("device"))[1]
        fields = option.fields.set("chassis", "7").set("mq", "off").delete("romsize")
        return line.replace(option, option.with_fields(fields))

    first, second = _edited(JSON, edit)
    assert first == '{"driver":"pcie-root-port","id":"pci.1","chassis":1}'
    assert json.loads(second) == {
        "driver": "virtio-net-pci",
        "bus": "pci.1",
        "mq": False,
        "chassis": 7,
    }


def test_the_plain_form_stays_and_can_be_chosen() -> None:
    plain = parse("qemu -device virtio-rng-pci")
    candidate = Candidate(action="x", edit=lambda line: line.append("device", "edu"))
    assert typed(candidate, plain, ("qemu",)) is candidate
    advice = Candidate(action="x")
    assert typed(advice, JSON, ("qemu",)) is advice
    assert _edited(JSON, without_json) == [
        "pcie-root-port,id=pci.1,chassis=1",
        "virtio-net-pci,bus=pci.1,mq=on,romsize=65536",
    ]
