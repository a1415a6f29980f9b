"""Streams that the model writes and reads."""

from __future__ import annotations

import dataclasses
import json
import lzma
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from migratable.errors import CommandLineError, StreamError
from migratable.pseries import PseriesMachine, release, releases
from migratable.pseries.load import leaving
from migratable.pseries.wire import arriving
from migratable.stream import read, write
from migratable.stream.fields import decode

QUIET = {"cfpc": "broken", "sbbc": "broken", "ibs": "broken"}


@pytest.mark.parametrize(
    ("name", "ic_mode", "expected"),
    [
        ("4.1", "xics", ["ics", "icp/server", "icp/server"]),
        ("4.1", "xive", ["xive-source", "spapr-xive", "xive-tctx", "xive-tctx"]),
        ("4.1", "dual", ["ics", "xive-source", "spapr-xive", *["xive-tctx", "icp/server"] * 2]),
        ("4.2", "dual", ["ics", "xive-source", "spapr-xive", *["icp/server", "xive-tctx"] * 2]),
    ],
)
def test_sections_of_the_mode(name: str, ic_mode: str, expected: list[str]) -> None:
    machine = PseriesMachine(
        release=name, machine="pseries-4.1", cpu="POWER9", ic_mode=ic_mode, smp="2"
    )
    stream = read(machine.save())
    assert [section.idstr for section in stream.devices] == [*expected, "spapr"]
    assert stream.machine == "pseries-4.1"


def test_bodies_are_as_long_as_real_ones(shared_folder: Path) -> None:
    packed = shared_folder / "oracle" / "streams" / "4.1-pseries-4.1-dual.mig.xz"
    real = read(lzma.decompress(packed.read_bytes()))
    mine = PseriesMachine(release="4.1", machine="pseries-4.1", cpu="POWER9", caps=QUIET).stream()
    for section in mine.devices:
        if section.idstr != "spapr":
            twin = real.device(section.idstr, section.instance_id)
            assert twin is not None
            assert (len(twin.body), twin.version_id) == (len(section.body), section.version_id)
            assert twin.description is not None
            assert section.description is not None
            assert [f.name for f in twin.description.body.fields] == [
                f.name for f in section.description.body.fields
            ]


@st.composite
def machines(draw: st.DrawFn) -> PseriesMachine:
    build = release(draw(st.sampled_from([name for name in releases() if name != "4.0"])))
    machine = draw(st.sampled_from(sorted(build.machines)))
    caps = {"htm": "off"}
    if build.release < (5, 0):
        caps["ccf-assist"] = "off"
    for cap in build.capabilities:
        if cap.kind == "string" and draw(st.booleans()):
            caps[cap.name] = draw(st.sampled_from(cap.values))
        elif cap.kind == "size" and draw(st.booleans()):
            caps[cap.name] = draw(st.sampled_from(["4k", "64k", "16M", "16G"]))
        elif cap.name in ("vsx", "dfp", "fwnmi") and draw(st.booleans()):
            caps[cap.name] = draw(st.sampled_from(["on", "off"]))
    return PseriesMachine(
        release=build,
        machine=machine,
        cpu=draw(st.sampled_from(["POWER8", "POWER9"])),
        caps=caps,
        smp=draw(st.sampled_from([None, "2", "1,maxcpus=3"])),
    )


@given(machines())
def test_what_is_written_is_what_arrives(machine: PseriesMachine) -> None:
    """A stream read back says the same of the source as the source itself."""
    started = machine.started
    here = leaving(started)
    there = arriving(read(machine.save()))
    for name in ("machine", "has_xics", "has_xive", "sent"):
        assert getattr(there, name) == getattr(here, name)
    assert there.servers == (started.servers if started.has_xive else None)


@pytest.mark.slow
@given(machines())
def test_written_streams_are_well_formed(machine: PseriesMachine) -> None:
    data = machine.save()
    stream = read(data)
    assert write(stream) == data
    for section in stream.devices:
        body = decode(section)
        assert body.size == len(section.body)
        assert not body.rest


def test_real_streams_load_into_their_own_release(shared_folder: Path) -> None:
    folder = shared_folder / "oracle" / "streams"
    seen = 0
    for entry in json.loads((folder / "index.json").read_text("utf-8")):
        if "pseries" not in entry["file"] or "+" in entry["release"]:
            continue
        stream = read(lzma.decompress((folder / entry["file"]).read_bytes()))
        options = dict(pair.split("=") for pair in entry["args"][1].split(",")[1:])
        machine = PseriesMachine(
            release=entry["release"],
            machine=entry["args"][1].split(",")[0],
            cpu="POWER9",
            ic_mode=options["ic-mode"],
            caps=QUIET,
            memory="256M",
        )
        outcome = machine.load(stream)
        assert (outcome.verdict, outcome.loaded.lines) == ("loads", ())
        assert outcome.unexamined == ()
        assert arriving(stream).sent == machine.started.sent
        seen += 1
    assert seen >= 9


def test_a_stream_of_a_release_that_never_existed(shared_folder: Path) -> None:
    """4.2 with the two capabilities of October 2019 in the stream: 4.2 does not know them."""
    packed = shared_folder / "oracle" / "streams" / "4.2+as-posted-pseries-4.2-xics.mig.xz"
    outcome = PseriesMachine(
        release="4.2", machine="pseries-4.2", cpu="POWER9", ic_mode="xics", caps=QUIET,
        memory="256M",
    ).load(lzma.decompress(packed.read_bytes()))  # fmt: skip
    assert outcome.loaded.rule == "unknown-subsection"
    assert outcome.loaded.lines[-1] == "load of migration failed: No such file or directory"


def test_without_description_qemu_complains_at_the_end() -> None:
    machine = PseriesMachine(release="7.2", machine="pseries-7.2", cpu="POWER9")
    bare = dataclasses.replace(machine.stream(), vmdesc=None)
    outcome = machine.load(write(bare))
    assert outcome.loaded.lines == ("Expected vmdescription section, but got 0",)


def test_old_machine_types_have_no_configuration() -> None:
    """hw_compat_2_3: neither a configuration section nor section footers."""
    old = PseriesMachine(
        release="7.2", machine="pseries-2.3", cpu="POWER8", caps={"htm": "off"}, memory="256M"
    )
    assert old.stream().configuration is None
    assert old.load(old.save()).loaded.lines == ()
    newer = PseriesMachine(
        release="7.2", machine="pseries-2.4", cpu="POWER8", caps={"htm": "off"}, memory="256M"
    )
    assert newer.load(old.stream()).loaded.lines[0] == "Configuration section missing"
    assert old.load(newer.stream()).loaded.lines[0] == "Unknown savevm section type 7"


def test_placeholders_take_presenters_of_absent_processors() -> None:
    """Found by a random run: pseries-2.9 and older register dummy icp/server entries."""

    def machine(name: str, smp: str) -> PseriesMachine:
        return PseriesMachine(
            release="5.2", machine=name, cpu="POWER8", caps={"htm": "off"}, smp=smp
        )

    for name, expected in (("pseries-2.9", "loads"), ("pseries-2.10", "refused")):
        outcome = machine(name, "1").load(machine(name, "4").save())
        assert outcome.verdict == expected


def test_bad_input_is_refused() -> None:
    machine = PseriesMachine(release="7.2", cpu="POWER9")
    with pytest.raises(StreamError):
        machine.load(b"nonsense")
    with pytest.raises(StreamError, match="pseries"):
        machine.load(dataclasses.replace(machine.stream(), elements=()))
    with pytest.raises(CommandLineError, match="ends at start"):
        PseriesMachine(release="7.2", caps={"htm": "on"})
