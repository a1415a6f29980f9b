"""``migratable inspect``: what is in a migration stream."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from migratable.printable import quoted

if TYPE_CHECKING:
    from collections.abc import Iterable

    from migratable.stream import Section


@click.command()
@click.argument("stream", type=click.Path(path_type=Path))
@click.option(
    "--section",
    "sections",
    multiple=True,
    metavar="NAME[/INSTANCE]",
    help="Show the fields of these sections; * and ? are wildcards; repeatable.",
)
@click.option("--ram", is_flag=True, help="Walk all of RAM and count pages.")
@click.option("--all", "full", is_flag=True, help="Show long buffers and arrays completely.")
@click.option("--snapshot", metavar="NAME", help="Internal snapshot of a qcow2 image.")
@click.option(
    "--unpack-limit",
    type=click.IntRange(min=1),
    metavar="GIB",
    help="Size that a compressed stream may unpack to (64 GiB).",
)
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text")
@click.option("--json", "as_json", is_flag=True, help="The same as --format json.")
def command(
    stream: Path,
    sections: tuple[str, ...],
    snapshot: str | None,
    unpack_limit: int | None,
    form: str,
    *,
    ram: bool,
    full: bool,
    as_json: bool,
) -> None:
    """Decode a stream: configuration, RAM blocks, sections, subsections, fields.

    STREAM is a file: bare, compressed, a libvirt save image, a qcow2 image with an internal
    snapshot, a mapped-ram file, or a multifd RAM channel.
    """
    from migratable.stream import read

    if _is_channel(stream):
        _channel(stream, as_json=as_json or form == "json")
        return
    limit = None if unpack_limit is None else unpack_limit << 30
    found = read(stream, ram=ram, snapshot=snapshot, limit=limit)
    chosen = choose(found.sections, sections) if sections else None
    if as_json or form == "json":
        from migratable.stream.summary import summary

        wanted = None if chosen is None else (lambda section: any(section is one for one in chosen))
        click.echo(json.dumps({"file": str(stream)} | summary(found, wanted=wanted, full=full)))
        return
    from migratable.cli import _inspect_text, _tree

    if chosen is None:
        size = stream.stat().st_size
        _tree.show(
            _inspect_text.overview(found, str(stream), size, container=found.container).lines()
        )
        return
    for section in chosen:
        _tree.show(_inspect_text.section_tree(section, full=full).lines())


def choose(sections: Iterable[Section], patterns: tuple[str, ...]) -> list[Section]:
    """Sections that a pattern names by idstr, its last part, or either with the instance.

    :raise click.UsageError: when a pattern names none.
    """
    from fnmatch import fnmatchcase

    from migratable.stream.wire_format import WHOLE

    known = [section for section in sections if section.kind in WHOLE]
    chosen: list[Section] = []
    for pattern in patterns:
        matching = [
            section
            for section in known
            if any(
                fnmatchcase(name, pattern)
                for short in (section.idstr, section.idstr.rpartition("/")[2])
                for name in (
                    short,
                    f"{short}/{section.instance_id}",
                    f"{short}/{section.instance_id:#x}",
                )
            )
        ]
        if not matching:
            raise click.UsageError(f"no section {quoted(pattern)}; {_near(pattern, known)}")
        chosen += [section for section in matching if not any(section is other for other in chosen)]
    return chosen


def _near(pattern: str, known: list[Section]) -> str:
    from difflib import get_close_matches

    names = list(dict.fromkeys(section.idstr for section in known))
    close = get_close_matches(pattern, names, n=3, cutoff=0.4) or names[:5]
    return f"the stream has {', '.join(close)}" + (" …" if len(close) < len(names) else "")


def _is_channel(path: Path) -> bool:
    from migratable.regular_file import open_regular

    try:
        with open_regular(path) as file:
            return file.read(8) == b"\x11\x22\x33\x44\0\0\0\1"  # multifd.is_channel
    except OSError:
        return False  # reading it for real says what is wrong


def _channel(path: Path, *, as_json: bool) -> None:
    from dataclasses import asdict

    from migratable.stream.containers import map_file, multifd

    channel = multifd.read_channel(map_file(path))
    if as_json:
        out = {"schema": "migratable.multifd-channel/1", "file": str(path)} | asdict(channel)
        click.echo(json.dumps(out | {"uuid": str(channel.uuid)}))
        return
    from migratable.cli import _inspect_text, _tree

    _tree.show(_inspect_text.channel(str(path), channel).lines())
