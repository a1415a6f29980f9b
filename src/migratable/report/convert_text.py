"""The text output of ``migratable convert``."""

from __future__ import annotations

import shlex

from rich.console import Console
from rich.text import Text

from migratable.convert.convert import Converted, guest_stops
from migratable.convert.model import Change, EditClass, Operation, StreamEdit
from migratable.printable import printable, shown
from migratable.report.hint_text import printed
from migratable.verdict import Basis, Outcome

_STYLE = {
    EditClass.LOSSLESS: "green",
    EditClass.EQUIVALENT: "green",
    EditClass.LOSSY: "bold red",
}
_MOST = 24
"""Bytes of one change that are shown."""


def show(
    done: Converted, *, source: str, out: str, destination: str, console: Console | None = None
) -> None:
    """Print the answer, every edit with its bytes and reason, and what is in the way."""
    done = shown(done)
    to = console or Console(highlight=False, soft_wrap=True)
    to.print(Text(f"{printable(source)}   to {printable(destination)}\n"))
    label, style, words = _answer(done, printable(out))
    to.print(Text(f"{label:<14}", style=style) + Text(words))
    if done.plan.edits:
        title = "Edits" if done.written else "Edits that were found; nothing was written"
        to.print(Text(f"\n  {title}", style="bold"))
    for edit in done.plan.edits:
        _edit(to, edit, needed=edit in done.needed)
    _in_the_way(to, done)
    for line in printed(done.verdict.stderr):
        to.print(Text(f"  QEMU prints   {line}", style="dim"))


def _answer(done: Converted, out: str) -> tuple[str, str, str]:
    guest = done.verdict.destination.get("guest")
    how = "the real destination loads it" if _proven(done) else "predicted to load, not rehearsed"
    if isinstance(guest, dict):
        how += f", the guest {guest.get('state')}"
    if done.already:
        return "LOADS ALREADY", "bold green", f"{out} is a copy ({how})"
    if done.written:
        return "CONVERTED", "bold green", f"{out} is written ({how})"
    if done.stuck:
        return "NO WAY", "bold red", "no edit makes the destination load this stream"
    if done.needed:
        return (
            "NOT CONVERTED",
            "bold red",
            "only lossy edits make it load; accept them by their ids",
        )
    if stops := guest_stops(done.verdict):
        return "NO WAY", "bold red", f"it loads, but the guest does not run on: {'; '.join(stops)}"
    if done.verdict.outcome is Outcome.UNKNOWN:
        return "NOT KNOWN", "bold yellow", "whether the destination loads the result"
    return "NO WAY", "bold red", "the destination refuses the edited stream, too"


def _proven(done: Converted) -> bool:
    return done.verdict.basis is Basis.REHEARSED


def _edit(to: Console, edit: StreamEdit, *, needed: bool) -> None:
    head = Text(f"    {edit.edit_class!s:<11}", style=_STYLE[edit.edit_class])
    to.print(head + Text(edit.summary or edit.id))
    where = "configuration section" if edit.section is None else f"section {edit.section!r}"
    if edit.section is not None:
        where += f" {edit.instance_id}"
    to.print(Text(f"      {where}   {' / '.join(edit.path)}", style="dim"))
    for change in edit.changes:
        if not change.only_looks:
            to.print(Text(f"      {_bytes(edit, change)}"))
    if edit.why:
        to.print(Text(f"      Why  {edit.why}"))
    if edit.risk:
        to.print(Text(f"      Risk {edit.risk}", style="red"))
    if needed:
        to.print(Text(f"      Make it with   --accept {shlex.quote(edit.id)}"))


def _bytes(edit: StreamEdit, change: Change) -> str:
    whole = edit.operation in {Operation.DROP, Operation.ADD}
    at = "" if change.offset is None or whole else f" at byte {change.offset}"
    return f"{change.name or 'body'}{at}: {_hex(change.old)} → {_hex(change.new)}"


def _hex(data: bytes) -> str:
    if not data:
        return "(nothing)"
    more = f" … ({len(data)} bytes)" if len(data) > _MOST else ""
    return data[:_MOST].hex(" ") + more


def _in_the_way(to: Console, done: Converted) -> None:
    if done.stuck:
        to.print(Text("\n  Remaining refusals", style="bold"))
    for stuck in done.stuck:
        to.print(Text(f"    {stuck.finding.rule}: {stuck.finding.summary}"))
        for reason in stuck.reasons or ("no kind of edit answers this rule",):
            to.print(Text(f"      {reason}"))
    if not done.written and done.verdict.outcome is Outcome.UNKNOWN:
        to.print(Text("\n  Not examined", style="bold"))
        for text in done.verdict.unchecked[:8]:
            to.print(Text(f"    {text}"))
