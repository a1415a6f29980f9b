"""A matrix for a terminal: a table, folded where VMs or hosts are equal, and the causes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from migratable.report.matrix_html import counted

SYMBOLS = {
    "loads": ("✓", "green", "loads"),
    "latent": ("~", "cyan", "loads now, may not later"),
    "warns": ("!", "yellow", "loads with a warning"),
    "endangers": ("▲", "bold yellow", "loads and endangers the guest"),
    "refused": ("✗", "bold red", "refused"),
    "unknown": ("?", "magenta", "unknown"),
    "failed": ("E", "bold magenta", "not examined: the tool failed"),
    "none": ("·", "dim", "no such pair"),
}
_MOST_ROWS = 60
_UNFOLDED = 25
_MOST_CAUSES = 12
_MOST_DANGERS = 8
_BACK = {"comes_back": ("✓", "green"), "does_not": ("✗", "bold red"), "not_known": ("?", "magenta")}
_BACKS = (
    ("comes_back", "come back"),
    ("does_not", "do not"),
    ("not_known", "not known"),
)
_GRAVEST = ("endangers", "warns", "latent")
_NAME = 34
_SHORT = 60


@dataclass(frozen=True, slots=True)
class Fold:
    """VMs (or hosts) with the same answers."""

    names: tuple[str, ...]
    at: int

    @property
    def label(self) -> str:
        """The first name, and how many more there are."""
        first = _printable(self.names[0])
        first = first if len(first) <= _NAME else first[: _NAME - 1] + "…"
        return first if len(self.names) == 1 else f"{first} (+{len(self.names) - 1})"


def show(console: Console, document: Mapping[str, Any], *, unfolded: bool = False) -> None:
    """Print a ``migratable.matrix/1`` document.

    :param unfolded: a row for every VM, however many there are.
    """
    _head(console, document)
    if unfolded:
        rows = [Fold((line["name"],), index) for index, line in enumerate(document["vms"])]
    else:
        rows = _fold(document["vms"], [tuple(row) for row in document["cells"]])
    columns = _fold(
        document["hosts"],
        list(zip(*(document["cells"][row.at] for row in rows), strict=True)),
        keep=not unfolded and len(document["hosts"]) > _UNFOLDED,
    )
    if not unfolded and not _fits(console, rows, columns):  # equal hosts say the same once
        columns = _fold(
            document["hosts"],
            list(zip(*(document["cells"][row.at] for row in rows), strict=True)),
            few=1,
        )
    _grid(console, document, rows, columns, most=len(rows) if unfolded else _MOST_ROWS)
    _releases(console, document)
    _causes(console, document)
    _dangers(console, document)
    _not_back(console, document)
    _unexamined(console, document)


def _head(console: Console, document: Mapping[str, Any]) -> None:
    pairs = sum(document["counts"].values())
    title = Text(_printable(document["title"] or "fleet"), style="bold")
    title.append(
        f"  {counted(len(document['vms']), 'VMs')} x {counted(len(document['hosts']), 'hosts')}, "
        f"{counted(pairs, 'pairs')} ({document['checked']:,} different)",
        style="default",
    )
    resting = sum(line["facts"].get("state") == "at power-on" for line in document["vms"])
    if resting:
        title.append(f"  {counted(resting, 'VMs')} at power-on", style="yellow")
    console.print(title)
    line = Text()
    for state, number in document["counts"].items():
        symbol, style, words = SYMBOLS[state]
        line.append(f"  {symbol} {number:,} {words}", style=style)
    console.print(line)
    backs = document.get("way_back")
    if backs is not None:
        line = Text("  second mark, the way back:")
        for member, words in _BACKS:
            symbol, style = _BACK[member]
            line.append(f"  {symbol} {backs[member]:,} {words}", style=style)
        console.print(line)
    console.print()


def _fold(
    lines: Sequence[Mapping[str, Any]],
    values: Sequence[tuple[int, ...]],
    *,
    keep: bool = True,
    few: int = _UNFOLDED,
) -> list[Fold]:
    """Lines with equal values (and groups) become one; few lines stay as they are."""
    if len(lines) <= few or not keep:
        return [Fold((line["name"],), index) for index, line in enumerate(lines)]
    found: dict[tuple[str, tuple[int, ...]], list[int]] = {}
    for index, line in enumerate(lines):
        found.setdefault((line["group"], values[index]), []).append(index)
    return [
        Fold(tuple(lines[place]["name"] for place in places), places[0])
        for places in found.values()
    ]


def _fits(console: Console, rows: Sequence[Fold], columns: Sequence[Fold]) -> bool:
    """Is there room for the names of all columns?"""
    wide = max((len(row.label) for row in rows[:_MOST_ROWS]), default=2)
    return wide + 3 + sum(len(column.label) + 2 for column in columns) <= console.width


def _grid(
    console: Console,
    document: Mapping[str, Any],
    rows: Sequence[Fold],
    columns: Sequence[Fold],
    *,
    most: int,
) -> None:
    marks = [_mark(answer) for answer in document["answers"]]
    wide = max((len(row.label) for row in rows[:most]), default=2)
    named = wide + 3 + sum(max(len(column.label), 1) + 2 for column in columns) <= console.width
    if not named:
        columns = columns[: max(1, (console.width - wide - 3) // 4)]
    labels = [column.label if named else str(number) for number, column in enumerate(columns, 1)]
    least = max((len(symbol) for symbol, _ in marks), default=1)
    widths = [max(len(label), least if named else 2) + 2 for label in labels]
    head = " VM".ljust(wide + 3)
    head += "".join(label.center(width) for label, width in zip(labels, widths, strict=True))
    console.print(Text(head.rstrip(), style="bold"), no_wrap=True, overflow="ignore", crop=False)
    for row in rows[:most]:
        cells = document["cells"][row.at]
        line = [marks[cells[column.at]] for column in columns]
        _row(console, f" {row.label}".ljust(wide + 3), line, widths)
    if len(rows) > most:
        console.print(f"… and {len(rows) - most:,} more rows (all of them: --all, or -o page.html)")
    shown = sum(len(column.names) for column in columns)
    if shown < len(document["hosts"]):
        left = len(document["hosts"]) - shown
        console.print(f"… and {left} more hosts (a wider terminal, or -o page.html)")
    if not named:
        console.print()
        for number, column in enumerate(columns, 1):
            console.print(Text(f"  {number:>3}  {column.label}"))
    console.print()


def _mark(answer: Mapping[str, Any]) -> tuple[str, str]:
    """An answer's mark and style; with the way back a second mark."""
    symbol, style, _ = SYMBOLS[answer["state"]]
    if "comes_back" not in answer:
        return symbol, style
    member = {True: "comes_back", False: "does_not"}.get(answer["comes_back"], "not_known")
    back, worse = _BACK[member]
    return symbol + back, style if member == "comes_back" else worse


def _row(
    console: Console, label: str, line: Sequence[tuple[str, str]], widths: Sequence[int]
) -> None:
    """One row; neighbours of one state are one piece, since a piece is what takes time."""
    text = Text(label)
    at = 0
    while at < len(line):
        end = at
        while end < len(line) and line[end] == line[at]:
            end += 1
        symbol, style = line[at]
        text.append("".join(symbol.center(width) for width in widths[at:end]), style=style)
        at = end
    text.rstrip()
    if console.color_system is None:
        console.out(text.plain, highlight=False)
    else:
        console.print(text, no_wrap=True, overflow="ignore", crop=False)


def _printable(text: str) -> str:
    """Make the control characters of a hostile name visible."""
    return "".join(one if one.isprintable() else f"\\x{ord(one):02x}" for one in text)


def _causes(console: Console, document: Mapping[str, Any]) -> None:
    causes = document["causes"]
    ranked = causes["ranked"]
    if not ranked:
        return
    table = Table(box=None, padding=(0, 2, 0, 0), show_edge=False)
    table.add_column("load without it", justify="right")
    table.add_column("it refuses", justify="right")
    table.add_column("cause and remedy")
    for one in ranked[:_MOST_CAUSES]:
        what = Text(_printable(one["rule"]), style="bold")
        if one["device"]:
            what.append(f"  {_printable(one['device'])}", style="cyan")
        what.append(f"\n{_printable(one['summary'])}", style="default")
        if one["hint"] is not None:
            hint = one["hint"]
            tried = "" if hint["verified"] is None else " (tried)"
            command = hint["command"] or ""
            shown = (hint["action"], command if len(command) <= _SHORT else "")
            text = ": ".join(part for part in shown if part)
            what.append(f"\nfix on the {hint['side']}{tried}: {_printable(text)}", style="green")
        table.add_row(f"+{one['loads_without']:,}", f"{one['pairs']:,}", what)
    console.print(Text("Causes, by the number of pairs that load without each", style="bold"))
    console.print(table)
    if len(ranked) > _MOST_CAUSES:
        console.print(f"… and {len(ranked) - _MOST_CAUSES:,} more causes (--format json)")
    _fixes(console, causes)
    console.print()


def _fixes(console: Console, causes: Mapping[str, Any]) -> None:
    """What the remedies that were tried mend together, and how many pairs have none."""
    steps = [step for step in causes["tried_plan"] if step["more_pairs_load"]]
    total = causes["loading_pairs"] + causes["refused_pairs"]
    if steps:
        many = min(len(steps), 5)
        loads = steps[many - 1]["pairs_that_load"]
        console.print(
            f"{many} tried {'fixes in the best order make' if many > 1 else 'fix makes'} "
            f"{loads - causes['loading_pairs']:,} more pairs load: {loads:,} of {total:,}"
        )
    own = causes.get("with_a_remedy_tried_on_them")
    if own:
        back = causes.get("of_these_come_back")
        more = "" if back is None else f"; {back:,} of them come back"
        verb, whom = ("loads", "it") if own == 1 else ("load", "them")
        console.print(f"{counted(own, 'refused pairs')} {verb} with a remedy tried on {whom}{more}")
    none = causes["without_a_tried_remedy"]
    if none:
        words = "has" if none == 1 else "have"
        console.print(f"{counted(none, 'refused pairs')} {words} no remedy that was tried")


def _dangers(console: Console, document: Mapping[str, Any]) -> None:
    """What is said of pairs that load: the causes of ~, ! and the triangle."""
    found: Counter[tuple[str, str]] = Counter()
    for answer in document["answers"]:
        if answer["state"] not in {"endangers", "warns", "latent"}:
            continue
        for finding in answer["verdict"]["findings"]:
            if finding["severity"] == answer["state"]:
                found[finding["severity"], f"{finding['rule']}: {finding['summary']}"] += answer[
                    "pairs"
                ]
    _counts(console, found, {state: SYMBOLS[state][:2] for state in _GRAVEST})


def _not_back(console: Console, document: Mapping[str, Any]) -> None:
    """Why pairs that load do not come back, or why that is not known."""
    found: Counter[tuple[str, str]] = Counter()
    for answer in document["answers"]:
        if answer.get("way_back"):
            known = answer["comes_back"] is not None
            words = "no way back" if known else "way back not known"
            member = "does_not" if known else "not_known"
            found[member, f"{words}: {answer['way_back']}"] += answer["pairs"]
    _counts(console, found, {member: _BACK[member] for member in ("does_not", "not_known")})


def _unexamined(console: Console, document: Mapping[str, Any]) -> None:
    found: Counter[tuple[str, str]] = Counter()
    for answer in document["answers"]:
        if answer["state"] in {"unknown", "failed"}:
            for reason in answer["verdict"]["unchecked"][:1]:
                found[answer["state"], reason] += answer["pairs"]
    _counts(console, found, {state: SYMBOLS[state][:2] for state in ("unknown", "failed")})


def _counts(
    console: Console, found: Counter[tuple[str, str]], kinds: Mapping[str, tuple[str, str]]
) -> None:
    """How many pairs each text is said of.

    :param found: by kind and text.
    :param kinds: symbol and style of each, the gravest first.
    """
    order = list(kinds)
    ranked = sorted(found.items(), key=lambda row: (order.index(row[0][0]), -row[1]))
    for (kind, text), number in ranked[:_MOST_DANGERS]:
        symbol, style = kinds[kind]
        line = Text(f"{symbol} {number:,}  ", style=style)
        line.append(_printable(text), style="default")
        console.print(line)
    if len(ranked) > _MOST_DANGERS:
        console.print(f"… and {len(ranked) - _MOST_DANGERS:,} more (--format json)")
    if ranked:
        console.print()


def _releases(console: Console, document: Mapping[str, Any]) -> None:
    compared = document.get("releases")
    if not compared:
        return
    broken = compared["broken"]
    for release in compared["releases"][1:]:
        news = [one for one in broken if one["release"] == release]
        before = compared["releases"][compared["releases"].index(release) - 1]
        head = f"{release} broke {len(news):,} pairs that {before} did not"
        console.print(Text(head, style="bold red" if news else "green"))
        by_words: dict[tuple[str, str], list[str]] = {}
        for one in news:
            pair = document["hosts"][one["host"]]["name"]
            name = document["vms"][one["vm"]]["name"]
            by_words.setdefault((pair, one["message"].replace(name, "…")), []).append(name)
        for (pair, message), names in sorted(by_words.items(), key=lambda item: -len(item[1]))[:15]:
            more = "" if len(names) == 1 else f" (+{len(names) - 1})"
            console.print(Text(_printable(f"  {pair}  {names[0]}{more}: {message}")))
        if len(by_words) > 15:
            console.print(f"  … and {len(by_words) - 15} more kinds (--format json)")
    left = compared["left_out"]
    if left:
        console.print(f"{len(left):,} devices and machines could not be tried; see --format json")
    console.print()
