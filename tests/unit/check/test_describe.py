"""Descriptions made by a program's own tables are those that the program writes itself."""

from __future__ import annotations

from dataclasses import replace

import pytest

from migratable.check.describe import describe
from migratable.profile.bundled import find
from migratable.stream import Section, Stream, VmField, VmsdBody, read
from migratable.stream.edit import map_sections
from migratable.stream.fields import decode
from tests import recorded


def _bare(stream: Stream) -> Stream:
    return map_sections(stream, lambda section: replace(section, description=None))


def _plain(body: VmsdBody) -> VmsdBody:
    """Without the numbers of elements, which releases give in three ways."""

    def field(one: VmField) -> VmField:
        struct = None if one.struct is None else _plain(one.struct)
        inner = tuple(map(_plain, one.elements))
        return replace(one, index=None, struct=struct, elements=inner)

    return replace(
        body,
        fields=tuple(map(field, body.fields)),
        subsections=tuple(map(_plain, body.subsections)),
    )


@pytest.mark.parametrize("name", recorded.names())
def test_same_as_the_programs_own(name: str) -> None:
    profile = recorded.profile(name)
    whole = read(profile.stream)
    found = describe(_bare(whole), profile)
    if profile.target in {"x86_64", "ppc64"}:
        assert found.undescribed == ()
    compared = 0
    missing = {id(section) for section, _ in found.undescribed}
    for ours, theirs in zip(found.stream.devices, whole.devices, strict=True):
        assert theirs.description is not None
        if not theirs.description.opaque and id(ours) not in missing:
            assert ours.description is not None, ours.name
            assert _plain(ours.description.body) == _plain(theirs.description.body), ours.name
            compared += 1
    assert compared >= 14


def test_section_that_the_tables_do_not_fit_stays_undescribed() -> None:
    profile = find("pseries-10.0")

    def longer(section: Section) -> Section:
        if section.idstr == "timer":
            return replace(section, body=bytes(section.body) + b"\0", description=None)
        if section.idstr == "globalstate":
            return replace(section, body=bytes(section.body)[:20], description=None)
        return section

    stream = map_sections(read(profile.stream), longer)
    found = describe(stream, profile)
    reasons = {section.idstr: reason for section, reason in found.undescribed}
    assert set(reasons) == {"timer", "globalstate"}
    size = len(next(one for one in stream.devices if one.idstr == "timer").body)
    assert reasons["timer"] == f"{size} bytes came, {size - 1} are the program's tables'"
    timer = next(one for one in found.stream.devices if one.idstr == "timer")
    assert decode(timer).fields[0].name == "data"


def test_section_of_a_device_that_the_program_has_not() -> None:
    profile = find("pseries-10.0")
    stream = map_sections(
        read(profile.stream),
        lambda one: replace(one, idstr="tamer", description=None) if one.idstr == "timer" else one,
    )
    ((section, reason),) = describe(stream, profile).undescribed
    assert (section.idstr, reason) == ("tamer", "the program as it was started has no such section")


def test_profile_without_tables_describes_nothing() -> None:
    profile = replace(find("pseries-10.0"), loader=None, unchecked=("no /proc/PID/mem",))
    found = describe(_bare(read(profile.stream)), profile)
    assert {reason for _, reason in found.undescribed} == {"no /proc/PID/mem"}
    assert len(found.undescribed) == len(found.stream.devices)
