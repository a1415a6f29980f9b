"""The facts as data: capability tables and defaults of each release and machine type."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from migratable.pseries import release, releases, start
from migratable.pseries.build import PREFIX

COUNTS = {"4.0": 10, "4.2": 10, "5.0": 11, "6.0": 11, "6.1": 12, "8.0": 12, "8.1": 13, "8.2": 13}
COUNTS |= {"9.0": 14, "9.2": 14, "10.0": 15, "11.1": 15}


@pytest.mark.parametrize(("name", "count"), COUNTS.items())
def test_number_of_capabilities(name: str, count: int) -> None:
    found = release(name).capabilities
    assert [cap.index for cap in found] == list(range(count))


@pytest.mark.parametrize("name", releases())
def test_every_machine_type_of_every_release_starts(name: str) -> None:
    build = release(name)
    for machine in build.machines.values():
        # TCG has no transactional memory, and no ccf-assist before 5.0
        off = ",cap-htm=off,cap-ccf-assist=off"
        started = start(build, ["-M", machine.name + off])
        assert started.runs, started.stderr
        assert started.machine is machine


def test_releases_that_were_not_looked_at_are_flagged() -> None:
    flagged = {name for name in releases() if not release(name).verified}
    assert {"8.0", "9.1", "11.0"} <= flagged
    assert not flagged & {"4.1", "4.2", "5.2", "7.2", "10.0", "10.2", "11.1"}


def test_newest_machine_type_is_the_alias() -> None:
    for name in releases():
        started = start(name, ["-M", "pseries"])
        assert started.machine is not None
        assert started.machine.short == name


def test_capability_tables_are_the_facts(shared_folder: Path) -> None:
    facts = json.loads((shared_folder / "facts" / "spapr.json").read_text("utf-8"))
    for name in releases():
        for cap, fact in zip(release(name).capabilities, facts["capabilities"][name], strict=True):
            assert (cap.name, cap.index, cap.kind) == (fact["name"], fact["index"], fact["type"])
            assert cap.subsection in (fact["subsection"] or "", "")
            assert cap.description == fact["description"]
            if cap.kind == "string":
                assert {value: at for at, value in enumerate(cap.values)} == fact["values"]


def test_class_defaults_and_machine_types_are_the_facts(shared_folder: Path) -> None:
    facts = json.loads((shared_folder / "facts" / "spapr.json").read_text("utf-8"))
    for name in releases():
        build = release(name)
        here = facts["machines"][name]
        if build.verified and name not in ("10.2",):
            assert set(here) == {machine.short for machine in build.machines.values()}, name
        for short, fact in here.items():
            machine = build.machines.get(PREFIX + short)
            if machine is None:
                continue
            for cap in build.capabilities:
                expected = fact["class_defaults"][cap.name]
                got = cap.class_default(short, machine.version)
                # 0 stands for "decided at start" in 2.12 and older
                assert got == (expected or 34 if cap.kind == "size" else expected), (name, short)
            assert machine.ic_mode == fact["flags"]["default_ic"], (name, short)
