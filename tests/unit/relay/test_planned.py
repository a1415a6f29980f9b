"""Edits of a plan, carried out on the way."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import pytest

from migratable.convert.apply import configuration_bytes
from migratable.convert.model import Change, EditClass, Operation, Place, Plan, StreamEdit
from migratable.errors import ConvertError, RelayError
from migratable.profile.bundled import find
from migratable.relay import Judge, Reason
from migratable.relay.planned import edited, usable
from migratable.relay.result import Guest
from migratable.relay.return_path import PING
from migratable.stream import Command, CommandKind, Stream, read, write
from migratable.stream.edit import append_section, full_section, without_vmdesc
from tests.unit.relay.sides import Destination, Source, relayed

STRANGE = full_section("strange", 0, 1, b"\x01\x02\x03", section_id=250)
DROP = StreamEdit(
    id="unknown-section:strange",
    kind="unknown-section",
    edit_class=EditClass.LOSSY,
    operation=Operation.DROP,
    section="strange",
    changes=(Change(old=b"\x01\x02\x03", new=b"", offset=0),),
    place=Place(section_id=250, version_id=1),
    summary="the section is dropped",
    risk="the device begins anew",
)


@cache
def judge() -> Judge:
    return Judge(find("q35-10.0"))


@cache
def own() -> Stream:
    stream = read(find("q35-10.0").stream)
    asks = Command(kind=CommandKind.OPEN_RETURN_PATH, payload=b"")
    return replace(stream, elements=(asks, *stream.elements))


@pytest.mark.parametrize("described", [True, False])
def test_a_section_is_dropped_on_the_way(described: bool) -> None:
    stream, expected = append_section(own(), STRANGE), own()
    if not described:
        stream, expected = without_vmdesc(stream), without_vmdesc(expected)
    data = write(stream)
    source, destination = Source(data=data), Destination(end=len(write(expected)))
    result, _ = relayed(judge(), source, destination, plan=Plan(edits=(DROP,)))
    assert result.reason is Reason.MIGRATED, result.message
    got = read(bytes(destination.got).replace(PING, b"", 1))
    assert [one.idstr for one in got.devices] == [one.idstr for one in own().devices]
    assert [bytes(one.body) for one in got.devices] == [bytes(one.body) for one in own().devices]
    if described:
        assert got.vmdesc is not None
        assert b"strange" not in got.vmdesc.raw
    assert [edit["id"] for edit in result.to_json()["edits"]] == ["unknown-section:strange"]


def test_the_configuration_is_edited_before_ram_passes() -> None:
    configuration = own().configuration
    assert configuration is not None
    other = replace(configuration, machine="pc-q35-9.2")
    edit = StreamEdit(
        id="machine",
        kind="machine",
        edit_class=EditClass.EQUIVALENT,
        operation=Operation.CONFIGURATION,
        section=None,
        changes=(
            Change(
                old=configuration_bytes(other), new=configuration_bytes(configuration), offset=0
            ),
        ),
    )
    data = write(replace(own(), configuration=other))
    destination = Destination(end=len(data))
    result, _ = relayed(judge(), Source(data=data), destination, plan=Plan(edits=(edit,)))
    assert result.reason is Reason.MIGRATED, result.message
    assert bytes(destination.got).replace(PING, b"", 1) == write(own())


def test_a_plan_that_does_not_fit() -> None:
    data = write(own())
    source, destination = Source(data=data), Destination(end=len(data))
    result, _ = relayed(judge(), source, destination, plan=Plan(edits=(DROP,)))
    assert (result.reason, result.exit_status) == (Reason.PLAN, 2)
    assert "has no section 'strange'" in result.message
    assert result.guest is Guest.SOURCE
    assert result.edits == ()
    assert not destination.started


def test_a_plan_that_does_not_help() -> None:
    data = write(append_section(append_section(own(), STRANGE), replace(STRANGE, idstr="other")))
    source, destination = Source(data=data), Destination(end=len(data))
    result, _ = relayed(judge(), source, destination, plan=Plan(edits=(DROP,)))
    assert result.reason is Reason.REFUSED
    assert result.verdict is not None
    assert result.verdict.first_refusal is not None
    assert result.verdict.first_refusal.device == "other"
    assert not destination.started


def test_what_was_sent_already_cannot_be_changed() -> None:
    timer = next(one for one in own().sections if one.idstr == "timer")
    early = replace(timer, idstr="early", section_id=251)
    elements = own().elements
    place = next(n for n, one in enumerate(elements) if getattr(one, "idstr", "") == "ram")
    stream = replace(own(), elements=(*elements[:place], early, *elements[place:]))
    edit = replace(
        DROP,
        section="early",
        edit_class=EditClass.LOSSLESS,
        operation=Operation.BODY,
        changes=(Change(old=bytes(early.body[:2]), new=b"\xff\xff", offset=0),),
        place=None,
    )
    with pytest.raises(ConvertError, match="sent before RAM already"):
        edited(Plan(edits=(edit,)), read(write(without_vmdesc(stream))))


def test_lossy_edits_are_accepted_by_name() -> None:
    with pytest.raises(RelayError, match="--accept unknown-section:strange"):
        usable(Plan(edits=(DROP,)), ())
    usable(Plan(edits=(DROP,)), (DROP.id,))


def test_edits_of_ram_are_refused() -> None:
    edit = replace(DROP, section="ram", edit_class=EditClass.EQUIVALENT)
    with pytest.raises(RelayError, match="cannot be made on the way"):
        usable(Plan(edits=(edit,)), ())
