"""A matrix as JUnit's XML: a suite for each host, a case for each VM.

Refused is a ``failure``, unknown is ``skipped`` with what was not examined, and where the tool
failed there is an ``error``; with the way back, a VM that loads and does not come back is a
``failure`` too. Of releases compared with one another, a pair that was refused before
the new release too is skipped: what turns a run red is what is new.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from xml.sax.saxutils import escape, quoteattr

# Characters that XML 1.0 cannot represent.
_UNWRITABLE = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def write(document: Mapping[str, Any]) -> Iterator[str]:
    """Lines of the file, from a ``migratable.matrix/1`` document."""
    answers = [_body(answer) for answer in document["answers"]]
    states = [answer["state"] for answer in document["answers"]]
    old = _known_before(document)
    yield '<?xml version="1.0" encoding="UTF-8"?>'
    suites = [
        _suite(document, host, answers, states, old) for host in range(len(document["hosts"]))
    ]
    total = [sum(numbers) for numbers in zip(*(suite[0] for suite in suites), strict=True)]
    yield f"<testsuites name={_quoted(document['title'] or 'migratable')} {_counts(total)}>"
    for numbers, name, lines in suites:
        yield f" <testsuite name={name} {_counts(numbers)}>"
        yield from lines
        yield " </testsuite>"
    yield "</testsuites>"


def _counts(numbers: Sequence[int]) -> str:
    tests, failures, errors, skipped = numbers
    return f'tests="{tests}" failures="{failures}" errors="{errors}" skipped="{skipped}" time="0"'


def _suite(
    document: Mapping[str, Any],
    host: int,
    answers: Sequence[str],
    states: Sequence[str],
    old: set[tuple[int, int]],
) -> tuple[list[int], str, list[str]]:
    name = _quoted(document["hosts"][host]["name"])
    numbers = [0, 0, 0, 0]
    lines = []
    for vm, line in enumerate(document["vms"]):
        at = document["cells"][vm][host]
        if states[at] == "none":
            continue
        body = answers[at]
        if (vm, host) in old:
            body = '   <skipped message="refused before this release too"/>\n'
        numbers[0] += 1
        for place, tag in enumerate(("<failure", "<error", "<skipped"), 1):
            numbers[place] += tag in body
        head = f"  <testcase classname={name} name={_quoted(line['name'])}"
        lines.append(f"{head}>\n{body}  </testcase>" if body else f"{head}/>")
    return numbers, name, lines


def _known_before(document: Mapping[str, Any]) -> set[tuple[int, int]]:
    """Refused pairs of releases that are no news."""
    compared = document.get("releases")
    if not compared:
        return set()
    new = {(one["vm"], one["host"]) for one in compared["broken"]}
    states = [answer["state"] for answer in document["answers"]]
    return {
        (vm, host)
        for vm, row in enumerate(document["cells"])
        for host, at in enumerate(row)
        if states[at] == "refused" and (vm, host) not in new
    }


def _body(answer: Mapping[str, Any]) -> str:
    state, verdict = answer["state"], answer["verdict"]
    if state == "refused":
        first = verdict["first_refusal"] or {}
        causes = [finding for finding in verdict["findings"] if finding["severity"] == "refuses"]
        message = first.get("message") or (causes[0]["summary"] if causes else "refused")
        rule = first.get("rule") or (causes[0]["rule"] if causes else "refused")
        text = "\n\n".join(_finding(finding) for finding in verdict["findings"])
        return _element("failure", message, rule, text)
    if state == "failed":
        return _element("error", verdict["unchecked"][0], "tool", "")
    if state == "unknown":
        return _element("skipped", "unknown: " + "; ".join(verdict["unchecked"]), "", "")
    if answer.get("comes_back", True) is not True:
        why = answer["way_back"]
        if answer["comes_back"] is None:
            return _element("skipped", f"unknown: the way back: {why}", "", "")
        return _element("failure", f"it does not come back: {why}", "no-way-back", "")
    if state in {"endangers", "warns", "latent"}:
        text = "\n\n".join(_finding(finding) for finding in verdict["findings"])
        return f"   <system-out>{_text(text)}</system-out>\n"
    return ""


def _finding(one: Mapping[str, Any]) -> str:
    place = "" if one["device"] is None else f" at {one['device']} {one['instance_id']}"
    lines = [f"{one['severity']}: {one['rule']}{place}: {one['summary']}"]
    lines += [f"  QEMU prints: {line}" for line in one["stderr"]]
    for hint in one["hints"]:
        tried = f" (tried: {hint['verified']})" if hint["verified"] else ""
        what = ": ".join(text for text in (hint["action"], hint["command"]) if text)
        lines.append(f"  fix on the {hint['side']}{tried}: {what}")
    return "\n".join(lines)


def _element(tag: str, message: str, kind: str, text: str) -> str:
    typed = f" type={_quoted(kind)}" if kind else ""
    head = f"   <{tag} message={_quoted(message)}{typed}"
    return f"{head}>{_text(text)}</{tag}>\n" if text else f"{head}/>\n"


def _text(text: str) -> str:
    return escape(_UNWRITABLE.sub("\ufffd", text))


def _quoted(text: str) -> str:
    return quoteattr(_UNWRITABLE.sub("\ufffd", text))
