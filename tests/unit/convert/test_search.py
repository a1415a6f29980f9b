"""What the search finds between recorded destinations, without QEMU."""

from __future__ import annotations

import json
import lzma
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from migratable.check import check
from migratable.cli import cli
from migratable.convert import EditClass, apply_to_stream
from migratable.convert.destination import of_profile
from migratable.convert.planned import planned
from migratable.convert.proposals import PROPOSALS
from migratable.convert.proposals.proposal import Proposal
from migratable.convert.search import Found, search
from migratable.errors import MigratableError
from migratable.stream import Stream, edit, read, write
from migratable.stream.non_vmstate import virtio_of
from migratable.verdict import Outcome
from tests import recorded
from tests.unit.stream import tiny


def found(source: str, destination: str, **options: object) -> Found:
    one = of_profile(recorded.profile(destination), name=destination)
    return search(recorded.source(source), one, **options)  # type: ignore[arg-type]


CONVERTIBLE = [
    ("q35-10.0", "q35-11.1", {"virtio-queue-size"}, EditClass.LOSSLESS),
    ("i440fx-10.0", "i440fx-11.1", {"virtio-queue-size"}, EditClass.LOSSLESS),
    ("pseries-10.0", "pseries-11.1", {"virtio-queue-size"}, EditClass.LOSSLESS),
    ("pseries-10.0", "pseries-5.2", {"newer-version"}, EditClass.EQUIVALENT),
    ("pseries-11.1", "pseries-5.2", {"newer-version"}, EditClass.EQUIVALENT),
    ("i440fx-11.1", "i440fx-10.0", {"section-layout"}, EditClass.EQUIVALENT),
]


@pytest.mark.parametrize(("source", "destination", "kinds", "worst"), CONVERTIBLE)
def test_converted_without_loss_and_back(
    source: str, destination: str, kinds: set[str], worst: EditClass
) -> None:
    one = found(source, destination)
    assert one.before.outcome is Outcome.REFUSED
    assert one.loads and not one.stuck and not one.needed
    assert {each.kind for each in one.plan.edits} == kinds
    assert max(each.edit_class.rank for each in one.plan.edits) == worst.rank
    assert all(each.why and each.summary and not each.risk for each in one.plan.edits)
    assert {each.rule for each in one.plan.edits} <= {each.rule for each in one.before.findings}
    converted = read(write(one.stream))
    assert check(converted, recorded.profile(destination)).outcome is Outcome.LOADS
    assert all(
        section.description is not None and not section.description.opaque
        for section, old in zip(converted.devices, recorded.source(source).devices, strict=True)
        if old.description is not None and not old.description.opaque
    )
    back = apply_to_stream(one.plan.inverse(), converted)
    assert write(back) == write(recorded.source(source))


def test_every_virtqueue_gets_the_destinations_own_size() -> None:
    one = found("q35-10.0", "q35-11.1")
    tables = recorded.profile("q35-11.1").loader
    assert tables is not None
    seen = 0
    for section in one.stream.devices:
        blob = virtio_of(section)
        if blob is None:
            continue
        for queue, (size, _) in zip(blob.queues, tables.virtio[section.idstr].queues, strict=False):
            assert queue.num == size
            seen += 1
    assert seen > 8


def with_queue_in_use(stream: Stream) -> Stream:
    """The first virtio-rng's queue has an address."""
    section = next(one for one in stream.devices if one.idstr.endswith("/virtio-rng"))
    blob = virtio_of(section)
    assert blob is not None
    vq = blob.body.field("vq")
    assert vq is not None
    desc = vq.children[0].field("desc")
    assert desc is not None and section.body_offset is not None
    body = bytearray(section.body)
    at = desc.offset - section.body_offset
    body[at : at + 8] = (0x1000).to_bytes(8, "big")
    return edit.replace_section(stream, section, replace(section, body=bytes(body)))


def test_a_queue_in_use_stays_as_it_is() -> None:
    stream = with_queue_in_use(recorded.source("q35-10.0"))
    one = search(stream, of_profile(recorded.profile("q35-11.1")))
    assert not one.loads
    (stuck,) = one.stuck
    assert stuck.finding.rule == "virtio-queues"
    assert any("in use with 1024 entries (descriptors at 0x1000)" in each for each in stuck.reasons)


def test_a_device_more_is_lossy_and_only_left_out_when_accepted() -> None:
    stream = recorded.source("q35-10.0")
    extra = edit.full_section("0000:00:1e.0/foo", 0, 1, b"state", section_id=900)
    one = edit.append_section(stream, extra)
    to = of_profile(recorded.profile("q35-10.0"))
    first = search(one, to)
    assert not first.loads and [each.id for each in first.needed] == [
        "unknown-section:0000:00:1e.0/foo"
    ]
    assert first.needed[0].risk
    again = search(one, to, accept=["unknown-section:0000:00:1e.0/foo"])
    assert again.loads
    assert write(read(write(again.stream))) == write(stream)


def test_another_format_is_no_version_to_be_changed() -> None:
    """ESP's FIFOs of 10.0 are other fields than 5.2's buffers: nothing is made up."""
    one = found("i440fx-10.0", "i440fx-5.2")
    assert not one.loads and not one.plan.edits
    (stuck,) = one.stuck
    assert stuck.finding.rule == "section-version"
    assert any("ti_buf" in each and "cannot be derived" in each for each in stuck.reasons)


def test_what_no_edit_answers_is_named_with_its_reason() -> None:
    one = found("q35-10.0", "q35-10.0-other")
    assert not one.loads
    assert {"ram-block-size", "pci-config"} <= {each.finding.rule for each in one.stuck}


STORY = [
    ("4.1-pseries-4.1-xics", "xics", "spapr/cap/xive"),
    ("4.1-pseries-4.1-xive", "xive", "spapr/cap/xics"),
]
QUIET = "cap-cfpc=broken,cap-sbbc=broken,cap-ibs=broken"


def machine(mode: str) -> list[str]:
    return ["-M", f"pseries-4.1,ic-mode={mode},{QUIET}", "-cpu", "POWER9", "-m", "256M"]


@pytest.mark.parametrize(("name", "mode", "subsection"), STORY)
def test_october_2019(name: str, mode: str, subsection: str) -> None:
    """4.1's own streams (tests/unit/convert/streams) into the 4.2 of that month."""
    folder = Path(__file__).parent / "streams"
    stream = read(lzma.decompress((folder / f"{name}.mig.xz").read_bytes()))
    to = planned("intc-capabilities:as-posted", machine(mode))
    one = search(stream, to)
    wire = subsection.rpartition("/")[2]
    assert one.before.stderr[0] == (
        f"cap-{wire} higher level (1) in incoming stream than on destination (0)"
    )
    assert one.loads
    (only,) = one.plan.edits
    assert only.edit_class is EditClass.LOSSLESS and only.path == (subsection,)
    assert only.changes[0].new == b"\x05\x0e" + subsection.encode() + b"\0\0\0\1\0"
    again = read(write(one.stream))
    spapr = again.device("spapr")
    assert spapr is not None and spapr.description is not None
    assert spapr.description.body.subsections[-1].name == subsection
    assert write(apply_to_stream(one.plan.inverse(), again)) == write(stream)


def test_october_2019_a_dual_guest_is_lossy() -> None:
    """The stream has XIVE's sections: to say that it has none would be a lie."""
    stream = read(tiny.golden("4.1-pseries-4.1-dual"))
    one = search(stream, planned("intc-capabilities:as-posted", machine("xics")))
    assert not one.loads


def run(*args: str) -> tuple[int, str]:
    result = CliRunner().invoke(cli, ["convert", *args])
    if isinstance(result.exception, MigratableError):  # cli.main ends with 2
        return 2, str(result.exception)
    return result.exit_code, result.output


def profile_file(folder: Path, name: str) -> str:
    path = folder / f"{name}.json"
    path.write_text(recorded.profile(name).dumps(), encoding="utf-8")
    return str(path)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "guest.mig"
    path.write_bytes(write(recorded.source("q35-10.0")))
    return path


def test_command_writes_undoes_and_leaves_nothing_behind(tmp_path: Path, source: Path) -> None:
    to = profile_file(tmp_path, "q35-11.1")
    out, plan = tmp_path / "out.mig", tmp_path / "plan.json"
    status, text = run(
        str(source), "-o", str(out), "--to", to, "--no-rehearse", "--plan", str(plan), "--json"
    )
    assert status == 0
    answer = json.loads(text)
    assert answer["schema"] == "migratable.convert/1" and answer["converted"]
    assert answer["verdict"]["verdict"] == "loads" and answer["before"]["verdict"] == "refused"
    assert answer["plan"] == json.loads(plan.read_text())
    assert {each["class"] for each in answer["plan"]["edits"]} == {"lossless"}
    assert check(read(out), recorded.profile("q35-11.1")).outcome is Outcome.LOADS
    back = tmp_path / "back.mig"
    here = profile_file(tmp_path, "q35-10.0")
    status, text = run(
        str(out), "-o", str(back), "--to", here, "--no-rehearse", "--undo", str(plan)
    )
    assert status == 0, text
    assert back.read_bytes() == source.read_bytes()
    names = {"guest.mig", "out.mig", "back.mig", "plan.json", "q35-10.0.json", "q35-11.1.json"}
    assert {path.name for path in tmp_path.iterdir()} == names


def test_command_copies_what_loads_already(tmp_path: Path, source: Path) -> None:
    out = tmp_path / "out.mig"
    to = profile_file(tmp_path, "q35-10.0")
    status, text = run(str(source), "-o", str(out), "--to", to, "--no-rehearse")
    assert status == 0 and "LOADS ALREADY" in text
    assert out.read_bytes() == source.read_bytes()


def test_command_writes_nothing_when_there_is_no_way(tmp_path: Path, source: Path) -> None:
    out = tmp_path / "out.mig"
    to = profile_file(tmp_path, "q35-10.0-other")
    status, text = run(str(source), "-o", str(out), "--to", to, "--no-rehearse")
    assert status == 1 and "NO WAY" in text
    assert "--accept unknown-section:" in text and "no kind of edit answers this rule" in text
    assert not out.exists()


def test_command_refuses_wrong_files(tmp_path: Path, source: Path) -> None:
    to = profile_file(tmp_path, "q35-11.1")
    more = ["--to", to, "--no-rehearse"]
    assert run(str(source), "-o", str(source), *more)[0] == 2
    there = tmp_path / "there"
    there.write_bytes(b"mine")
    assert run(str(source), "-o", str(there), *more)[0] == 2
    assert there.read_bytes() == b"mine"
    assert run(str(source), "-o", str(there), "--force", *more)[0] == 0
    assert there.read_bytes() != b"mine"
    broken = tmp_path / "broken"
    broken.write_bytes(source.read_bytes()[:5000])
    out = tmp_path / "out"
    assert run(str(broken), "-o", str(out), *more)[0] == 2
    assert run(str(source), "-o", str(tmp_path / "no" / "out"), *more)[0] == 2
    plan = tmp_path / "plan"
    plan.write_text("[]")
    assert run(str(source), "-o", str(out), "--apply", str(plan), *more)[0] == 2
    assert not out.exists()


def test_a_plan_is_not_carried_out_on_another_stream(tmp_path: Path, source: Path) -> None:
    to = profile_file(tmp_path, "q35-11.1")
    out, plan = tmp_path / "out.mig", tmp_path / "plan.json"
    more = ["--to", to, "--no-rehearse"]
    assert run(str(source), "-o", str(out), "--plan", str(plan), *more)[0] == 0
    other = tmp_path / "other.mig"
    other.write_bytes(write(with_queue_in_use(recorded.source("q35-10.0"))))
    last = tmp_path / "last.mig"
    status, text = run(str(other), "-o", str(last), "--apply", str(plan), *more)
    assert status == 2 and "other bytes in" in text and not last.exists()
    assert run(str(source), "-o", str(last), "--apply", str(plan), *more)[0] == 0
    assert last.read_bytes() == out.read_bytes()


@pytest.mark.parametrize("one", PROPOSALS, ids=lambda one: one.kind)
def test_every_kind_has_a_page(one: Proposal) -> None:
    assert "## What is changed" in one.page and "## Source" in one.page
