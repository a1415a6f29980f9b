"""The last answers of the service, as a matrix of who was asked about which destination."""

from __future__ import annotations

import time
from array import array
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

from migratable.fleet.cells import NO_PAIR, Answer, Answers
from migratable.fleet.matrix import Line, Matrix
from migratable.fleet.results import from_json

_PAIRS = 2_000
_FACTS = ("machine", "qemu", "cpu", "release")


class Record:
    """The newest answer for each pair of names; the oldest pairs give way."""

    def __init__(self) -> None:
        """Begin with none."""
        self._pairs: OrderedDict[tuple[str, str], Answer] = OrderedDict()
        self._vms: dict[str, dict[str, Any]] = {}
        self._hosts: dict[str, dict[str, Any]] = {}

    def add(self, name: str, verdicts: Mapping[str, Mapping[str, Any]]) -> None:
        """Keep the answers about the machine that was called *name*."""
        for to, document in verdicts.items():
            verdict = from_json(document)
            self._pairs.pop((name, to), None)
            self._pairs[name, to] = Answer.of(verdict)
            asked = {"asked": time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime()) + " UTC"}
            self._vms[name] = {**_facts(verdict.source), **asked}
            self._hosts[to] = _facts(verdict.destination)
        while len(self._pairs) > _PAIRS:
            self._pairs.popitem(last=False)
            vms = {vm for vm, _ in self._pairs}
            hosts = {host for _, host in self._pairs}
            self._vms = {vm: facts for vm, facts in self._vms.items() if vm in vms}
            self._hosts = {host: facts for host, facts in self._hosts.items() if host in hosts}

    def matrix(self) -> Matrix:
        """Everything as it is now."""
        answers = Answers()
        cells = array("I")
        for vm in self._vms:
            for host in self._hosts:
                cells.append(answers.add(self._pairs.get((vm, host), NO_PAIR)))
        return Matrix(
            title="Asked of this service",
            vms=tuple(Line(name=name, facts=facts) for name, facts in self._vms.items()),
            hosts=tuple(Line(name=name, facts=facts) for name, facts in self._hosts.items()),
            answers=tuple(answers.found),
            cells=cells,
            checked=len(self._pairs),
        )


def _facts(given: Mapping[str, Any]) -> dict[str, Any]:
    return {name: given[name] for name in _FACTS if isinstance(given.get(name), (str, int))}
