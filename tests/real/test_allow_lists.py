"""Every option, object type and text property that a release of the lab lists is classified."""

import contextlib
import json
import re
import socket
import subprocess
from collections.abc import Sequence
from typing import Any

import pytest

from migratable.facts.options import FLAGS, KNOWN
from migratable.facts.properties import (
    OBJECTS_DROPPED,
    OBJECTS_KEPT,
    OBJECTS_REFUSED,
    OBJECTS_REPLACED,
    TEXT,
)
from tests.conftest import Lab

pytestmark = pytest.mark.real
PROGRAMS = [
    (release, target)
    for release in ("5.2", "7.2", "10.0", "11.1")
    for target in ("x86_64", "ppc64", "aarch64", "arm", "s390x", "riscv64")
]
TEXT_TYPES = re.compile(r"str|string|strList|list|StrOrNull|SocketAddress|struct|")
OBJECTS = OBJECTS_KEPT | OBJECTS_REPLACED | OBJECTS_DROPPED | OBJECTS_REFUSED


class Asked:
    """A program without a machine that is asked for its types; asking some of them ends it."""

    def __init__(self, command: Sequence[str]) -> None:
        self._command = command
        self._start()

    def _start(self) -> None:
        self._socket, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                [
                    *(*self._command, "-M", "none", "-nodefaults", "-display", "none", "-S"),
                    *("-chardev", f"socket,id=m,fd={theirs.fileno()}"),
                    *("-mon", "chardev=m,mode=control"),
                ],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
        self._socket.settimeout(30)
        self._lines = self._socket.makefile("rb")
        self._lines.readline()
        self._ask("qmp_capabilities")

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
        self._lines.close()
        self._socket.close()

    def _ask(self, command: str, /, **arguments: Any) -> Any:
        self._socket.sendall(json.dumps({"execute": command, "arguments": arguments}).encode())
        while True:
            answer = json.loads(self._lines.readline())
            if "event" not in answer:
                return answer.get("return")

    def types(self, kind: str) -> list[str]:
        return [one["name"] for one in self._ask("qom-list-types", implements=kind)]

    def properties(self, name: str, command: str) -> list[tuple[str, str]]:
        try:
            found = self._ask(command, typename=name)
        except (OSError, ValueError):
            self.close()
            self._start()
            return []
        return [(one["name"], one["type"]) for one in found or []]


@pytest.mark.parametrize(("release", "target"), PROGRAMS)
def test_options(release: str, target: str, lab: Lab) -> None:
    command = lab(release, target).command
    done = subprocess.run([*command, "-help"], capture_output=True, text=True, check=True)
    listed = dict(re.findall(r"^-([a-zA-Z][\w-]*)(?: or -\w+)?(.*)$", done.stdout, re.M))
    assert len(listed) > 90
    assert set(listed) - KNOWN == set()
    # An option that takes no argument is followed by the column of its text, if that is short.
    shown = {n for n, rest in listed.items() if len(n) < 13 and re.match(r" ?[\[\w]", rest[:2])}
    assert shown & FLAGS == set()


@pytest.mark.parametrize(("release", "target"), PROGRAMS)
def test_types_and_properties(release: str, target: str, lab: Lab) -> None:
    unclassified = set()
    seen = 0
    with contextlib.closing(Asked(lab(release, target).command)) as program:
        assert set(program.types("user-creatable")) - OBJECTS == set()
        for kind, command in (
            ("device", "device-list-properties"),
            ("user-creatable", "qom-list-properties"),
            ("machine", "qom-list-properties"),
            ("accel", "qom-list-properties"),
        ):
            for name in program.types(kind):
                if kind == "user-creatable" and name not in OBJECTS_KEPT | OBJECTS_REPLACED:
                    continue
                for member, type_ in program.properties(name, command):
                    seen += 1
                    if TEXT_TYPES.fullmatch(type_) and member not in TEXT:
                        unclassified.add((name, member, type_))
    assert seen > 2000
    assert unclassified == set()


def test_the_test_can_fail() -> None:
    """An unclassified name of each kind would be seen."""
    assert TEXT_TYPES.fullmatch("string")
    assert not TEXT_TYPES.fullmatch("uint32")
    assert "frobnicate" not in KNOWN | OBJECTS | set(TEXT)
