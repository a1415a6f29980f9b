"""``migratable diff``: what differs between two streams or profiles."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from collections.abc import Iterator

    from migratable.profile.model import Profile
    from migratable.stream import Section, Stream
    from migratable.stream.compare import Difference

SCHEMA = "migratable.diff/1"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Side:
    """One argument: its name, what a profile says, and the stream."""

    name: str
    stream: Stream
    facts: dict[str, Any]


@click.command()
@click.argument("a")
@click.argument("b")
@click.option(
    "--section",
    "sections",
    multiple=True,
    metavar="NAME[/INSTANCE]",
    help="Compare only these sections; * and ? are wildcards; repeatable.",
)
@click.option("--layout", is_flag=True, help="Compare names, versions and sizes, not values.")
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text")
@click.option("--json", "as_json", is_flag=True, help="The same as --format json.")
def command(
    a: str,
    b: str,
    sections: tuple[str, ...],
    form: str,
    *,
    layout: bool,
    as_json: bool,
) -> None:
    """Compare two streams or profiles by section and field.

    A and B are stream files (in any container), profile files, or names of stored or bundled
    profiles; for a profile, diff compares the profile's own stream. Exit status: 0 no differences,
    1 differences, 2 usage or tool failure.
    """
    from migratable.stream.compare import Difference, Kind, compare

    left, right = _side(a), _side(b)
    found = [
        Difference(kind=Kind.CONFIGURATION, path=(name,), a=value, b=right.facts.get(name))
        for name, value in left.facts.items()
        if right.facts and value != right.facts.get(name) and not sections
    ]
    wanted = _wanted(sections, left.stream, right.stream)
    found += compare(left.stream, right.stream, values=not layout, wanted=wanted)
    if as_json or form == "json":
        out = {"schema": SCHEMA, "a": a, "b": b, "equal": not found}
        click.echo(
            json.dumps(out | {"differences": [difference.to_json() for difference in found]})
        )
    else:
        from migratable.cli._tree import show

        show(_lines(found, left, right))
    sys.exit(1 if found else 0)


def _side(name: str) -> _Side:
    from migratable.capture.source import is_document
    from migratable.stream import read

    path = Path(name)
    if path.exists() and not is_document(path):
        return _Side(name=name, stream=read(path), facts={})
    if path.exists() or "/" not in name:
        from migratable.profile.bundled import find

        return _from_profile(name, find(name))
    return _Side(name=name, stream=read(path), facts={})  # says that there is no such file


def _from_profile(name: str, profile: Profile) -> _Side:
    from migratable.errors import ProfileError
    from migratable.stream import read

    if not profile.stream:
        raise ProfileError(f"{name}: this profile has no stream: {profile.no_stream}")
    facts = {
        "qemu": str(profile.version),
        "cpu_model": profile.cpu_model,
        "pvr": profile.pvr,
        "accelerator": profile.accelerator,
    }
    return _Side(name=name, stream=read(profile.stream), facts=facts)


def _wanted(patterns: tuple[str, ...], *streams: Stream) -> Any:
    from migratable.cli.inspect import choose

    if not patterns:
        return None
    known = [section for stream in streams for section in stream.sections]
    chosen = choose(known, patterns)
    names = {(one.idstr, one.instance_id) for one in chosen}

    def wanted(section: Section) -> bool:
        return (section.idstr, section.instance_id) in names

    return wanted


def _lines(found: list[Difference], left: _Side, right: _Side) -> Iterator[str]:
    from migratable.cli._tree import escape

    if not found:
        yield f"{escape(left.name)} and {escape(right.name)} have the same state"
        return
    yield f"[red]A[/] {escape(left.name)}"
    yield f"[green]B[/] {escape(right.name)}"
    last: tuple[str | None, int | None] | None = None
    for one in found:
        key = (one.section, one.instance_id)
        if key != last:
            head = "configuration and RAM" if one.section is None else _head(key)
            yield ""
            yield f"[bold]{escape(head)}[/]"
            last = key
        yield _line(one)
    sections = len(
        {
            (difference.section, difference.instance_id)
            for difference in found
            if difference.section is not None
        }
    )
    yield ""
    where = f" in {_plural(sections, 'section')}" if sections else ""
    yield f"{_plural(len(found), 'difference')}{where}"


def _head(key: tuple[str | None, int | None]) -> str:
    instance = key[1] or 0
    return f"{key[0]} {instance if instance < 1 << 16 else hex(instance)}"


def _plural(count: int, noun: str) -> str:
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def _line(difference: Difference) -> str:
    from migratable.cli._tree import escape
    from migratable.stream.compare import Kind

    place = escape(" / ".join(difference.path))
    if difference.kind is Kind.SECTION:
        return f"  [bold]section[/] {difference.note}"
    if difference.kind is Kind.SUBSECTION:
        return f"  subsection {place}  {difference.note}"
    if difference.kind is Kind.FIELD:
        return f"  {place}  {difference.note}"
    what = {Kind.VERSION: "version ", Kind.LAYOUT: "layout "}.get(difference.kind, "")
    change = ""
    if difference.a is not None or difference.b is not None:
        change = (
            f"[red]{escape(_value(difference.a))}[/] → [green]{escape(_value(difference.b))}[/]"
        )
    note = f"  [dim]{escape(difference.note)}[/]" if difference.note else ""
    return f"  {place}{'  ' if place else ''}{what}{change}{note}"


def _value(value: Any) -> str:
    if value is None:
        return "none"
    if isinstance(value, bool) or not isinstance(value, int):
        return str(value)
    return str(value) if -10 < value < 10 else f"{value} ({value:#x})"
