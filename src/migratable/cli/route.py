"""``migratable route``: intermediate hosts over which a VM reaches a destination."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import click

from migratable.cli import _options

if TYPE_CHECKING:
    from migratable.route.hop import Host


@click.command()
@click.argument("source")
@click.option(
    "--to", "destination", required=True, metavar="DEST", help="Profile of the destination."
)
@click.option(
    "--via",
    multiple=True,
    metavar="PROFILES",
    help="Profiles of intermediate hosts, separated by commas; repeatable.  [default: every stored "
    "profile of the VM's machine type]",
)
@click.option(
    "--most",
    type=click.IntRange(0, 10),
    default=3,
    show_default=True,
    help="Maximum number of intermediate hosts.",
)
@click.option(
    "--predict",
    is_flag=True,
    help="Start no program, even if a profile's program is on this machine.",
)
@_options.timeout("Seconds for each rehearsal.")
@_options.yes
@_options.text_or_json
def command(
    source: str,
    destination: str,
    via: tuple[str, ...],
    most: int,
    predict: bool,
    timeout: float,
    yes: bool,
    form: str,
) -> None:
    r"""Find the shortest chain of hosts over which SOURCE reaches a destination.

    route checks each hop with the VM's state after the previous hop. If a host's program is on
    this machine, it loads and saves the VM; else route predicts that state and lists the
    assumptions. Exit status 0: there is a route; 1: there is none; 3: not known.

    \b
    migratable route guest.mig --to host11 --via host7,host9
    """
    from migratable.capture.source import open_source
    from migratable.cli._confirm import asker
    from migratable.route.search import find_route

    opened = open_source(source, confirm=asker(yes=yes))
    goal = _host(destination)
    hosts = _via(via, opened.stream.machine, destination)
    with _telling() as told:
        route = find_route(
            opened.stream,
            goal,
            hosts,
            source={"name": opened.name, "machine": opened.stream.machine, **opened.facts},
            most=most,
            rehearse=not predict,
            timeout=timeout,
            told=told,
        )
    if form == "json":
        click.echo(json.dumps(route.to_json()))
    else:
        from rich.console import Console

        from migratable.report.route_text import show

        show(
            Console(highlight=False, soft_wrap=True),
            route.to_json(),
            [host.name for host in hosts],
        )
    sys.exit(route.outcome.exit_status)


def _host(name: str) -> Host:
    from migratable.profile.bundled import find
    from migratable.route.hop import Host

    return Host(name=name, profile=find(name))


def _via(given: Sequence[str], machine: str | None, destination: str) -> list[Host]:
    """The intermediate hosts, by name or all stored profiles."""
    if given:
        names = [word for text in given for word in text.split(",") if word]
    else:
        from migratable.profile.store import Store

        names = [entry.name for entry in Store().list() if entry.machine == machine]
    return [_host(name) for name in dict.fromkeys(names) if name != destination]


class _telling:  # noqa: N801 -- used like a function
    """What is being tried, on stderr where that is a terminal."""

    def __enter__(self) -> Callable[[Sequence[str], str], None] | None:
        self._status: Any = None
        if not sys.stderr.isatty():
            return None
        from rich.console import Console
        from rich.text import Text

        from migratable.printable import printable

        self._status = Console(stderr=True).status("")
        self._status.start()
        return lambda path, host: self._status.update(Text(printable(" → ".join((*path, host)))))

    def __exit__(self, *_: object) -> None:
        if self._status is not None:
            self._status.stop()
