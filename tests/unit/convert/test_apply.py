"""Edits are carried out, taken back, and never done where other bytes are found."""

from __future__ import annotations

import json
import os
import random
from dataclasses import replace
from pathlib import Path

import pytest

from migratable.convert import (
    Change,
    EditClass,
    Operation,
    Plan,
    StreamEdit,
    apply,
    apply_to_stream,
    make,
)
from migratable.errors import ConvertError, PlanError
from migratable.stream import Section, Stream, read, write
from migratable.stream.edit import full_section
from migratable.stream.fields import decode
from tests.unit.stream import tiny

NAMES = tiny.NAMES


def random_edit(stream: Stream, rng: random.Random, number: int) -> StreamEdit | None:
    """One edit of a random device section."""
    devices = stream.devices
    if not devices:
        return None
    section = rng.choice(devices)
    if stream.device(section.idstr, section.instance_id) is not section:
        return None
    what = rng.randrange(6)
    made: StreamEdit | None = None
    if what == 0:
        made = make.drop_section(stream, section, "test", EditClass.LOSSY)
    elif what == 1:
        made = make.with_version(section, rng.randrange(1, 9), "test", EditClass.EQUIVALENT)
    elif what == 2 and section.body:
        at = rng.randrange(len(section.body))
        old = bytes(section.body[at : at + 4])
        new = bytes(rng.randrange(256) for _ in old)
        change = Change(old=old, new=new, offset=at)
        made = make.edit(section, "test", EditClass.LOSSLESS, changes=(change,), name=str(at))
    elif what == 3:
        subs = list(decode(section).all_subsections())
        if subs:
            sub = rng.choice(subs)
            found = list(make.find_subsections(section, sub.name))
            if len(found) == 1:
                made = make.drop_subsection(section, *found[0], "test", EditClass.LOSSLESS)
    elif what == 4:
        name = f"{section.idstr}/new{number}".encode()[:200]
        new = b"\x05" + bytes([len(name)]) + name + b"\0\0\0\1" + b"some"
        made = make.edit(
            section, "test", EditClass.LOSSLESS, changes=(Change(old=b"", new=new),), name="new"
        )
    else:
        old = section.instance_id.to_bytes(4, "big")
        new = rng.randrange(1 << 32).to_bytes(4, "big")
        made = make.edit(
            section,
            "test",
            EditClass.EQUIVALENT,
            changes=(Change(old=old, new=new, name="instance_id"),),
            operation=Operation.HEADER,
        )
    return None if made is None else replace(made, id=f"{made.id}#{number}")


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("seed", range(4))
def test_a_plan_taken_back_gives_the_original_bytes(name: str, seed: int) -> None:
    original = read(tiny.golden(name))
    rng = random.Random(f"{name} {seed}")
    stream, edits = original, []
    for number in range(12):
        edit = random_edit(stream, rng, number)
        if edit is not None:
            stream = apply_to_stream((edit,), stream)
            edits.append(edit)
    assert edits or not original.devices
    plan = Plan(edits=tuple(edits), source="a", destination="b")
    again = Plan.loads(json.dumps(plan.to_json()))
    assert again == plan
    changed = write(apply_to_stream(again, original))
    assert changed == write(stream)
    if edits:
        assert changed != write(original)
    back = apply_to_stream(again.inverse(), read(changed))
    assert write(back) == write(original)


@pytest.mark.parametrize("seed", range(3))
def test_sections_alone_get_the_same_bodies(seed: int) -> None:
    original = read(tiny.golden("11.1-q35"))
    rng = random.Random(seed)
    stream, edits = original, []
    for number in range(10):
        edit = random_edit(stream, rng, number)
        if edit is not None:
            stream = apply_to_stream((edit,), stream)
            edits.append(edit)

    def seen(sections: tuple[Section, ...]) -> list[tuple[str, int, int, bytes]]:
        return [(s.idstr, s.instance_id, s.version_id, bytes(s.body)) for s in sections]

    bare = tuple(replace(one, description=None) for one in original.sections)
    assert seen(apply(edits, bare)) == seen(stream.sections)


def timer_edit(**members: object) -> StreamEdit:
    timer = read(tiny.golden("10.0-q35")).device("timer")
    assert timer is not None
    change = Change(old=bytes(timer.body[8:16]), new=bytes(range(8)), offset=8)
    made = make.edit(timer, "test", EditClass.LOSSLESS, changes=(change,), path=("unused",))
    return replace(made, **members)  # type: ignore[arg-type]


def test_other_bytes_are_not_changed() -> None:
    stream = read(tiny.golden("10.0-q35"))
    edit = timer_edit()
    wrong = replace(edit, changes=(replace(edit.changes[0], old=b"otherone"),))
    with pytest.raises(ConvertError, match=r"section 'timer' has other bytes in unused"):
        apply_to_stream((wrong,), stream)
    with pytest.raises(ConvertError, match="no section 'rtc' 7"):
        apply((replace(edit, section="rtc", instance_id=7),), stream.sections)


def device(body: bytes) -> Section:
    return full_section("dev", 0, 1, body, section_id=1)


def test_a_subsection_is_found_where_it_has_moved_to() -> None:
    """A live VM's body has grown since the plan was made."""
    body = b"head" + b"\x05\x05dev/a\0\0\0\1" + b"v"
    old = make.edit(
        device(body), "test", EditClass.LOSSLESS,
        changes=(Change(old=body[4:], new=b"", offset=4),),
    )  # fmt: skip
    later = device(b"longer head" + body[4:] + b"tail")
    (found,) = apply((old,), (later,))
    assert bytes(found.body) == b"longer headtail"
    with pytest.raises(ConvertError):  # twice: which one is not known
        apply((old,), (device(b"x" + body[4:] + body[4:]),))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda d: d.update(schema="migratable.plan/9"), "schema 'migratable.plan/1' expected"),
        (lambda d: d["edits"][0].update({"class": "harmless"}), "harmless"),
        (lambda d: d["edits"][0]["changes"][0].update(old="xy"), "hexadecimal"),
        (lambda d: d["edits"][0].update(operation="drop-section"), "needs its place"),
        (lambda d: d["edits"][0].update(section=None), "only edits of the configuration"),
        (lambda d: d["edits"][0].update(changes=[]), "without changes"),
        (lambda d: d["edits"].append(d["edits"][0]), "occurs twice"),
        (lambda d: d.update(edits={}), "list expected"),
        (lambda d: d["edits"][0].update(instance_id=-1), "number from 0"),
    ],
)
def test_a_damaged_plan_is_refused_with_its_place(change: object, words: str) -> None:
    document = json.loads(json.dumps(Plan(edits=(timer_edit(),)).to_json()))
    change(document)  # type: ignore[operator]
    with pytest.raises(PlanError, match=words):
        Plan.loads(json.dumps(document), name="p.json")


def test_what_is_no_json_is_no_plan() -> None:
    with pytest.raises(PlanError, match="is not JSON"):
        Plan.loads("{", name="p.json")


def test_a_plan_is_a_regular_file(tmp_path: Path) -> None:
    path = tmp_path / "plan"
    os.mkfifo(path)
    with pytest.raises(PlanError, match="cannot be read"):
        Plan.load(path)
    with pytest.raises(PlanError, match="cannot be read"):
        Plan.load(tmp_path / "none")
    named = timer_edit(section="timer\udcff")
    path = tmp_path / "good"
    path.write_text(json.dumps(Plan(edits=(named,)).to_json()), encoding="ascii")
    assert Plan.load(path).edits == (named,)
