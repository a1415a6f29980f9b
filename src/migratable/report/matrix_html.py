"""A matrix as one HTML page without external parts; it draws only the visible cells.

The page's data are the document's, with everything that is there twice kept once: rows of answers,
findings, lines of text, facts.
"""

from __future__ import annotations

import base64
import datetime
import hashlib
import itertools
import json
import textwrap
from collections.abc import Hashable, Mapping, Sequence
from importlib import resources
from importlib.resources.abc import Traversable
from typing import Any

import jinja2

from migratable import __version__
from migratable.units import size

STATES = (
    ("refused", "refused", "the destination will not load it"),
    ("failed", "failed", "not examined: the tool failed"),
    ("unknown", "unknown", "something that matters was not examined"),
    ("endangers", "endangers", "loads, and the guest may break"),
    ("warns", "warns", "loads with a warning"),
    ("latent", "latent", "loads now, and may not later"),
    ("loads", "loads", "the destination loads it"),
    ("none", "no pair", "there is no such pair"),
    ("mended", "would load", "only fixed causes refused it"),
)
BACKS = (
    ("comes_back", "comes back", "its source loads it again"),
    (
        "does_not",
        "does not come back",
        "its source refuses the stream that the destination then sends",
    ),
    ("not_known", "way back not known", "the way back could not be tried"),
)
_NUMBER = {name: index for index, (name, _, _) in enumerate(STATES)}
_MOST_CAUSES = 100
_MOST_KINDS = 200
_MOST_NAMES = 12
_FOLD_FROM = 60
_FACTS = {"machines": "command lines tried", "release": "QEMU", "ram": "RAM"}
"""How facts are called for people."""
_INTERNAL = frozenset({"shape"})


def counted(number: int, what: str) -> str:
    """``1 VM``, ``1,200 VMs``, ``1 pair of releases``."""
    if number == 1:
        head, of, tail = what.partition(" of ")
        what = head.removesuffix("s") + of + tail
    return f"{number:,} {what}"


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC")


_SCRIPTS = (
    "data", "shown", "geometry", "drawing", "moving", "panel", "wiring", "printing", "start",
)  # fmt: skip
"""Files of the page's script, in order; they share one scope."""


def _script(folder: Traversable) -> str:
    parts = [folder.joinpath(f"{name}.js").read_text("utf-8") for name in _SCRIPTS]
    return '"use strict";\n(() => {\n' + textwrap.indent("\n".join(parts), "  ") + "})();\n"


def render(document: Mapping[str, Any]) -> str:
    """The page of a ``migratable.matrix/1`` document."""
    folder = resources.files("migratable.report").joinpath("templates")
    script = _script(folder.joinpath("matrix"))
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    environment = jinja2.Environment(
        autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
    )
    template = environment.from_string(folder.joinpath("matrix.html.j2").read_text("utf-8"))
    compared = document.get("releases")
    counts = document["counts"]
    return template.render(
        title=document["title"] or "Fleet",
        rows_are="VMs",
        columns_are="pairs of releases" if compared else "hosts",
        vms=len(document["vms"]),
        hosts=len(document["hosts"]),
        pairs=sum(counts.values()),
        checked=document["checked"],
        states=[
            {"name": name, "short": short, "long": long, "count": counts[name]}
            for name, short, long in STATES
            if counts.get(name)
        ],
        backs=[
            {"number": at, "name": name, "short": short, "long": long, "count": number}
            for at, (name, short, long) in enumerate(BACKS, 1)
            if (number := document.get("way_back", {}).get(name))
        ],
        causes=_causes(document),
        more_causes=max(0, len(document["causes"]["ranked"]) - _MOST_CAUSES),
        plan=_plan(document),
        unmended=document["causes"]["without_a_tried_remedy"],
        own=document["causes"].get("with_a_remedy_tried_on_them", 0),
        own_back=document["causes"].get("of_these_come_back"),
        reasons=_reasons(document),
        releases=_releases(document),
        left_out=compared["left_out"] if compared else [],
        version=__version__,
        made=str(document.get("made") or _now()),
        counted=counted,
        at_power_on=sum(line["facts"].get("state") == "at power-on" for line in document["vms"]),
        style=folder.joinpath("matrix.css").read_text("utf-8"),
        script=script,
        script_hash=digest,
        data=_embedded(page_data(document)),
    )


def _embedded(value: object) -> str:
    """JSON that ends no script element, whatever its strings have in them."""
    text = json.dumps(value, separators=(",", ":"), ensure_ascii=False)
    for letter in "<>&\u2028\u2029":
        text = text.replace(letter, f"\\u{ord(letter):04x}")
    # A lone surrogate cannot be written as UTF-8.
    return text.encode("utf-8", "replace").decode("utf-8")


class _Table:
    """Values by number, each once."""

    def __init__(self) -> None:
        self.values: list[Any] = []
        self._places: dict[Hashable, int] = {}

    def add(self, value: Any, key: Hashable = None) -> int:
        key = value if key is None else key
        at = self._places.get(key)
        if at is None:
            at = self._places[key] = len(self.values)
            self.values.append(value)
        return at


def page_data(document: Mapping[str, Any]) -> dict[str, Any]:
    """What the page's script works on."""
    strings, findings, facts, groups, patterns = (_Table() for _ in range(5))
    causes_of: dict[int, list[int]] = {}
    ranked = document["causes"]["ranked"][:_MOST_CAUSES]
    for number, cause in enumerate(ranked):
        for at in cause["answers"]:
            causes_of.setdefault(at, []).append(number)
    in_all: dict[int, int] = {}
    for cause in document["causes"]["ranked"]:
        for at in cause["answers"]:
            in_all[at] = in_all.get(at, 0) + 1
    answers = []
    for at, answer in enumerate(document["answers"]):
        verdict = answer["verdict"] or {}
        first = verdict.get("first_refusal")
        mine = causes_of.get(at, [])
        if in_all.get(at, 0) > len(mine):
            mine = [*mine, len(ranked) + 3]  # one that the page does not list, so cannot be fixed
        answers.append(
            {
                "s": _NUMBER[answer["state"]],
                "n": answer["pairs"],
                "b": verdict.get("basis"),
                "r": None if first is None else {key: first[key] for key in ("rule", "message")},
                "e": [strings.add(text) for text in verdict.get("stderr", ())],
                "f": [findings.add(one, json.dumps(one)) for one in verdict.get("findings", ())],
                "u": [strings.add(text) for text in verdict.get("unchecked", ())],
                "c": mine,
                **_back(answer, strings),
            }
        )
    rows = [patterns.add(row, tuple(row)) for row in document["cells"]]
    vms = _lines(document["vms"], groups, facts)
    vms["pattern"] = rows
    folded = len(set(zip(rows, vms["group"], strict=True)))
    return {
        "states": [{"name": name, "short": short, "long": long} for name, short, long in STATES],
        "backs": [{"name": name, "short": short, "long": long} for name, short, long in BACKS],
        "rowsAre": "VMs",
        "columnsAre": "pairs of releases" if document.get("releases") else "hosts",
        "vms": vms,
        "hosts": _lines(document["hosts"], groups, facts),
        "groups": groups.values,
        "facts": facts.values,
        "patterns": patterns.values,
        "answers": answers,
        "findings": findings.values,
        "strings": strings.values,
        "causes": [{key: cause[key] for key in ("rule", "device", "summary")} for cause in ranked],
        "fold": len(rows) > _FOLD_FROM and 2 * folded <= len(rows),
        "order": "group" if document.get("releases") else "",
    }


def _back(answer: Mapping[str, Any], strings: _Table) -> dict[str, Any]:
    """The way back of a pair that loads: number in :data:`BACKS` from 1, and why not."""
    if "comes_back" not in answer:
        return {}
    number = {True: 1, False: 2, None: 3}[answer["comes_back"]]
    return {"w": number, "y": strings.add(answer["way_back"]) if answer["way_back"] else None}


def _lines(lines: Sequence[Mapping[str, Any]], groups: _Table, facts: _Table) -> dict[str, Any]:
    found = [
        tuple(
            (_FACTS.get(name, name), _shown(value))
            for name, value in line["facts"].items()
            if value is not None and name not in _INTERNAL
        )
        for line in lines
    ]
    return {
        "names": [line["name"] for line in lines],
        "group": [groups.add(line["group"]) for line in lines],
        "facts": [facts.add(one) for one in found],
    }


def _shown(value: object) -> str:
    if isinstance(value, int) and not isinstance(value, bool) and value >= 1 << 20:
        return size(value)
    return str(value)


def _causes(document: Mapping[str, Any]) -> list[dict[str, Any]]:
    ranked = document["causes"]["ranked"]
    most = max((cause["loads_without"] for cause in ranked), default=0) or 1
    return [
        {**cause, "share": round(100 * cause["loads_without"] / most, 1)}
        for cause in ranked[:_MOST_CAUSES]
    ]


def _plan(document: Mapping[str, Any]) -> list[dict[str, Any]]:
    ranked = document["causes"]["ranked"]
    steps = document["causes"]["tried_plan"][:12]
    if len(steps) < 2:
        return []
    return [
        {
            "rule": ranked[step["cause"]]["rule"],
            "device": ranked[step["cause"]]["device"] or "",
            "more": step["more_pairs_load"],
            "loads": step["pairs_that_load"],
        }
        for step in steps
    ]


def _reasons(document: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Why pairs are unknown or failed: the first reason of each."""
    found: dict[str, int] = {}
    for answer in document["answers"]:
        if answer["state"] in {"unknown", "failed"}:
            for text in answer["verdict"]["unchecked"][:1]:
                found[text] = found.get(text, 0) + answer["pairs"]
    ranked = sorted(found.items(), key=lambda item: -item[1])
    return [{"text": text, "pairs": number} for text, number in ranked[:30]]


def _releases(document: Mapping[str, Any]) -> list[dict[str, Any]]:
    compared = document.get("releases")
    if not compared:
        return []
    out = []
    names = compared["releases"]
    for before, release in itertools.pairwise(names):
        news = [one for one in compared["broken"] if one["release"] == release]
        kinds: dict[tuple[int, str], list[int]] = {}
        for one in news:
            name = document["vms"][one["vm"]]["name"]
            kinds.setdefault((one["host"], one["message"].replace(name, "…")), []).append(one["vm"])
        ranked = sorted(kinds.items(), key=lambda item: -len(item[1]))[:_MOST_KINDS]
        out.append(
            {
                "name": release,
                "before": before,
                "count": len(news),
                "kinds": [
                    {
                        "pair": document["hosts"][host]["name"],
                        "message": message,
                        "vms": [
                            {"vm": vm, "host": host, "name": document["vms"][vm]["name"]}
                            for vm in vms[:_MOST_NAMES]
                        ],
                        "more": max(0, len(vms) - _MOST_NAMES),
                    }
                    for (host, message), vms in ranked
                ],
            }
        )
    return out
