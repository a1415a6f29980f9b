"""What a destination has more than a stream, by recorded machines."""

from __future__ import annotations

from dataclasses import replace

import pytest

from migratable.check import check, way_back
from migratable.check.baseline import Baseline
from migratable.check.way_back import more_than
from migratable.stream.model import Section
from migratable.stream.wire_format import SectionKind
from migratable.verdict import Outcome, Severity
from tests import recorded
from tests.unit.check.test_replay import destination, handler, section


def baseline(name: str) -> Baseline:
    profile = recorded.profile(name)
    assert profile.loader is not None
    return Baseline(profile, profile.loader)


@pytest.mark.parametrize("name", recorded.names())
def test_a_machine_has_no_more_than_its_own_stream(name: str) -> None:
    assert more_than(baseline(name), recorded.source(name).sections) == ()


@pytest.mark.parametrize("missing", ["hpet", "fw_cfg", "acpi_build", "i8254"])
def test_what_the_stream_lacks(missing: str) -> None:
    sections = recorded.source("q35-10.0").sections
    assert any(one.idstr == missing for one in sections)
    less = [one for one in sections if one.idstr != missing]
    found = more_than(baseline("q35-10.0"), less)
    assert [one.idstr for one in found] == [missing]
    assert way_back.names(found) == missing


def test_a_source_that_knows_it_takes_it_back() -> None:
    less = [one for one in recorded.source("q35-10.0").sections if one.idstr != "hpet"]
    assert more_than(baseline("q35-10.0"), less, recorded.profile("q35-10.0")) == ()


def test_an_empty_section_is_no_device() -> None:
    """5.2 sends ``audio``, which has no field; later releases read it and send it no more."""
    here = baseline("q35-5.2")
    sections = recorded.source("q35-10.0").sections
    assert here.stream is not None
    assert any(one.idstr == "audio" for one in here.stream.sections)
    assert all(one.idstr != "audio" for one in sections)
    assert more_than(here, sections) == ()


def test_many_names() -> None:
    of_cpus = {"cpu_common", "cpu", "apic"}
    every = baseline("q35-10.0").tables.handlers
    cpus = [one for one in every if one.idstr in of_cpus]
    handlers = [one for one in every if one.idstr not in of_cpus]
    assert way_back.names(cpus) == "2 CPUs more"
    assert way_back.names(cpus[:3]) == "one CPU more"
    assert way_back.names([handler("hpet"), *cpus]) == "2 CPUs more, hpet"
    names = list(dict.fromkeys(one.idstr for one in handlers))
    assert len(names) > 5
    assert way_back.names(handlers) == f"{', '.join(names[:4])} and {len(names) - 4} more"


def test_a_destination_that_loads_with_more_warns() -> None:
    """A q35 of 10.0 with a device taken out of its own stream."""
    stream = recorded.source("q35-10.0")
    less = [
        one for one in stream.elements if not (isinstance(one, Section) and one.idstr == "hpet")
    ]
    verdict = check(replace(stream, elements=tuple(less)), recorded.profile("q35-10.0"))
    assert verdict.outcome is Outcome.LOADS
    (found,) = [one for one in verdict.findings if one.rule == "no-way-back"]
    assert found.severity is Severity.WARNS
    assert found.summary == ("no way back: the destination has hpet, which the stream lacks")
    assert found.stderr == ()


def test_four_names_are_all() -> None:
    handlers = baseline("q35-10.0").tables.handlers
    several = {one.idstr: one for one in handlers}
    four = list(several.values())[:4]
    assert way_back.names(four) == ", ".join(one.idstr for one in four)
    five = list(several.values())[:5]
    assert way_back.names(five).endswith(" and 1 more")


def test_a_section_by_its_old_name_is_the_devices() -> None:
    """An old stream has ``dev`` 7 for ``pci/dev``; the destination sends it under its own name."""
    named = replace(handler("pci/dev"), compat=("dev", 7))
    to = destination(named, own=(section("pci/dev"),))
    assert more_than(to, [section("dev", instance_id=7)]) == ()
    assert more_than(to, [section("pci/dev", kind=SectionKind.PART)]) == (named,)
    assert more_than(to, []) == (named,)
    assert more_than(destination(named), []) == ()  # it has no stream of its own
    assert more_than(destination(named, own=(section("pci/dev"),), wants_kvm=True), []) == ()
