"""The text output of ``migratable route``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.text import Text

from migratable.printable import shown

_STYLE = {"loads": "bold green", "refused": "bold red", "unknown": "bold yellow"}
_SHOWN = ("endangers", "warns", "latent")
_TRIED = 12

Json = Mapping[str, Any]


def show(out: Console, route: Json, via: Sequence[str]) -> None:
    """Print a ``migratable.route/1`` document: the way, why it is not the direct one, the rest.

    :param via: hosts that could be passed.
    """
    route, via = shown(route), shown(list(via))
    source = route["source"]
    machine = source.get("machine") or "no machine type"
    out.print(Text(f"{source.get('name', 'the VM')}   {machine}"))
    out.print(Text(f"to {route['destination']}   {_host(route['direct'])}"))
    out.print()
    hops, outcome = route["hops"], route["outcome"]
    direct = len(hops) == 1
    straight = direct and outcome == "loads"
    label, words = _answer(route, via, straight=straight)
    out.print(Text(f"{label:<12}", style=_STYLE[outcome]) + Text(words))
    if not straight:
        _direct(out, route["direct"])
    if hops and not direct:
        out.print(Text("\n  Route", style="bold"))
        for number, hop in enumerate(hops, 1):
            _hop(out, number, hop)
    elif direct:
        _notes(out, hops[0])
    _tried(out, route)
    for text in route["left_out"]:
        out.print(Text(f"  Not tried: {text}", style="dim"))


def _answer(route: Json, via: Sequence[str], *, straight: bool) -> tuple[str, str]:
    if straight:
        return "DIRECT", "the destination loads it without a hop"
    if route["outcome"] == "loads":
        return "BY A ROUTE", "over " + ", then ".join(hop["host"] for hop in route["hops"][:-1])
    if route["outcome"] == "refused":
        where = f"over {', '.join(via)}" if via else "without intermediate hosts (--via)"
        return "NO WAY", f"there is no route {where}"
    return "NOT KNOWN", "no route is certain"


def _host(verdict: Json) -> str:
    facts = verdict["destination"]
    parts = [f"QEMU {facts.get('qemu') or '?'}"]
    return ", ".join(parts + [str(facts[name]) for name in ("machine", "cpu") if facts.get(name)])


def _direct(out: Console, verdict: Json) -> None:
    how = f"   {verdict['verdict']} ({verdict['basis']})"
    out.print(Text("\n  Directly", style="bold") + Text(how))
    for finding in verdict["findings"]:
        if finding["severity"] == "refuses":
            _finding(out, finding)
    if verdict["first_refusal"] is not None:
        out.print(Text(f"    QEMU prints   {verdict['first_refusal']['message']}"))
    if verdict["verdict"] == "unknown":
        for text in verdict["unchecked"]:
            out.print(Text(f"    not examined: {text}", style="dim"))


def _finding(out: Console, finding: Json) -> None:
    out.print(Text(f"    {_named(finding)}"))
    for hint in finding["hints"]:
        more = f": {hint['command']}" if hint["command"] else ""
        out.print(Text(f"      {hint['side']}: {hint['action']}{more}"))


def _named(finding: Json) -> str:
    where = f" ({finding['device']})" if finding["device"] else ""
    return f"{finding['rule']}{where}: {finding['summary']}"


def _hop(out: Console, number: int, hop: Json) -> None:
    verdict = hop["verdict"]
    how = "loaded by its program" if verdict["basis"] == "rehearsed" else "predicted"
    label = Text(f"  {number}. {hop['host']:<12} ", style="bold")
    out.print(label + Text(f"{_host(verdict)}   {verdict['verdict']}, {how}"))
    _notes(out, hop)


def _notes(out: Console, hop: Json) -> None:
    for finding in hop["verdict"]["findings"]:
        if finding["severity"] in _SHOWN:
            same = finding["rule"] == finding["severity"]
            label = "" if same else f"{finding['severity']}: "
            out.print(Text(f"     {label}{_named(finding)}", style="yellow"))
    for text in hop["assumed"]:
        out.print(Text(f"     assumed: {text}", style="yellow"))
    for text in hop["verdict"]["unchecked"]:
        out.print(Text(f"     not examined: {text}", style="dim"))


def _tried(out: Console, route: Json) -> None:
    others = [one for one in route["tried"] if one["path"] or one["host"] != route["destination"]]
    if not others:
        return
    out.print(Text("\n  Other chains tried", style="bold"))
    for one in others[:_TRIED]:
        refusal = one["verdict"]["first_refusal"]
        if one["stuck"]:
            why = f"cannot leave it again: {one['stuck']}"
        else:
            why = refusal["message"] if refusal else one["verdict"]["verdict"]
        out.print(Text(f"    {' → '.join((*one['path'], one['host']))}: {why}"))
    if len(others) > _TRIED:
        out.print(Text(f"    … and {len(others) - _TRIED} more"))
