"""The text output of ``migratable preflight`` for one guest and one host."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from migratable.printable import printable, shown
from migratable.report.check_text import show as show_verdict
from migratable.report.hint_text import piped_width
from migratable.verdict import Verdict

Json = Mapping[str, Any]
_STYLE = {"loads": "green", "refused": "bold red", "unknown": "yellow"}
_MOST = 8


def show(document: Json, verdict: Verdict, *, console: Console | None = None) -> None:
    """Print the whole result.

    :param document: ``migratable.preflight/1``.
    :param verdict: all of it as one verdict.
    """
    out = console or Console(highlight=False)
    if console is None and not out.is_terminal:
        out = Console(highlight=False, width=piped_width())
    document = shown(document)
    guest = document["guest"]
    show_verdict(
        verdict,
        name=f"{guest['name']} on {guest['host']}",
        to=str(document["destination"]["name"]),
        console=out,
    )
    table = Table.grid(padding=(0, 2))
    table.add_column(width=16, no_wrap=True)
    table.add_column(overflow="fold")
    for label, text in _rows(document):
        table.add_row(Text(f"  {label}", "bold"), text)
    with out.capture() as captured:
        out.print()
        out.print(table)
    for line in captured.get().splitlines():
        out.file.write(line.rstrip() + "\n")


def _rows(document: Json) -> Iterator[tuple[str, Text]]:
    yield "Way back", _back(document)
    line = document["command_line"]
    origin = {
        "libvirt": "made by the destination's libvirt",
        "same": "the guest's own, with the destination's program",
        "live": "the guest's own",
    }[line["from"]]
    changes = line["changes"]
    yield "Command line", Text(origin + ("; what differs:" if changes else ""))
    for text in changes[:_MOST]:
        yield "", Text(text, "dim")
    if len(changes) > _MOST:
        yield "", Text(f"and {len(changes) - _MOST} more: --json", "dim")
    pause = guest_pause(document)
    if pause:
        yield "Guest", Text(pause)
    seconds = sum(step["seconds"] for step in document["steps"])
    slow = sorted(document["steps"], key=lambda step: -float(step["seconds"]))[:3]
    most = ", ".join(f"{one['step']} {one['seconds']:.1f}" for one in slow)
    yield "Took", Text(f"{seconds:.1f} s ({most})", "dim")


def guest_pause(document: Json) -> str:
    """What happened to the guest."""
    state = document["guest"]["state"]
    if "pause_ms" not in state or state.get("status") is None:
        return "was not paused: its state is that at power-on"
    if state["pause_ms"] is None:
        return f"paused for {state.get('command_ms', 0.0):.1f} ms at most, and runs on"
    if state["status"] != "running":
        return f"was {state['status']} and stays {state['status']}"
    return f"paused for {state['pause_ms']:.1f} ms, and runs on"


def _back(document: Json) -> Text:
    back = document["back"]
    if back is None:
        return Text(
            "not tried" + (f": {document['no_way_back']}" if document["no_way_back"] else "")
        )
    words = {
        "loads": "the guest could come back",
        "refused": "the guest could not come back",
        "unknown": "no prediction possible",
    }[back["verdict"]]
    if back["basis"] == "rehearsed":
        words += ", tried with the real QEMU"
    return Text(f"{back['verdict'].upper()}  ", _STYLE[back["verdict"]]) + Text(words)


class Progress:
    """Which host does what now: a line on stderr, on a terminal only."""

    def __init__(self, *, shown: bool) -> None:
        """Prepare."""
        self._status: Any = None
        self._shown = shown and sys.stderr.isatty()
        self._now: dict[str, str] = {}

    def __enter__(self) -> Callable[[str, str], None]:
        """Begin; what is called with a host and its step."""
        if self._shown:
            self._status = Console(stderr=True, highlight=False).status("connecting …")
            self._status.__enter__()
        return self._told

    def __exit__(self, *_: object) -> None:
        """Remove the line."""
        self.pause()

    def pause(self) -> None:
        """Remove the line before something else is asked on the terminal."""
        if self._status is not None:
            self._status.__exit__(None, None, None)
            self._status = None

    def _told(self, host: str, step: str) -> None:
        self._now[host] = step
        if self._status is not None:
            text = "   ".join(f"{name}: {what}" for name, what in sorted(self._now.items()))
            self._status.update(Text(printable(text)))
