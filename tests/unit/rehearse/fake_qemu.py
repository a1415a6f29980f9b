"""A program that is started as QEMU is, and misbehaves; ``fake_qemu.py KIND ARGUMENT…``.

Kinds: ``dead`` (ends silently), ``refuses`` (prints a reason), ``mute`` (never says a word),
``greets`` (greets, then answers nothing), ``hangs`` (takes the stream, never finishes), ``floods``
(prints for ever), ``floods-loading``, ``crashes`` (an assertion while loading), ``killed``,
``closes`` (closes its monitor and goes on), ``fails`` (a refusal that nobody knows), ``loads``.
"""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import sys
import time
from collections.abc import Iterator
from typing import Any

ANSWERS: dict[str, Any] = {
    "query-cpus-fast": [],
    "query-target": {"arch": "x86_64"},
    "human-monitor-command": "",
    "qom-get": "pc-q35-7.2-machine",
}


def flood() -> None:
    while True:
        os.write(2, b"qemu-system-x86_64: all work and no play makes Jack a dull boy\n" * 100)


def requests(sock: socket.socket) -> Iterator[dict[str, Any]]:
    """Commands; nothing is between them."""
    text = ""
    while data := sock.recv(65536):
        text += data.decode()
        while text:
            request, end = json.JSONDecoder().raw_decode(text)
            text = text[end:]
            yield request


def main() -> None:
    kind, *arguments = sys.argv[1:]
    if "--version" in arguments:
        print("QEMU emulator version 7.2.22 (fake)")
        return
    if kind == "dead":
        sys.exit(1)
    if kind == "refuses":
        sys.exit(
            "qemu-system-x86_64: -device nonsense: 'nonsense' is not a valid device model name"
        )
    if kind == "mute":
        time.sleep(1000)
    if kind == "floods":
        flood()
    found = next(re.search(r"fd=(\d+)", one) for one in arguments if "migratable-qmp" in one)
    assert found is not None
    sock = socket.socket(fileno=int(found[1]))

    def say(message: dict[str, Any]) -> None:
        sock.sendall(json.dumps(message).encode() + b"\n")

    say({"QMP": {"version": {"qemu": {"major": 7, "minor": 2, "micro": 22}, "package": "fake"}}})
    for request in requests(sock):
        name = request["execute"]
        if kind == "greets" and name != "qmp_capabilities":
            time.sleep(1000)
        if name == "migrate-incoming":
            if kind == "floods-loading":
                flood()
            if kind == "crashes":
                os.write(2, b"qemu-system-x86_64: hw/x.c:1: f: Assertion `a == b' failed.\n")
                os.kill(os.getpid(), signal.SIGABRT)
            if kind == "killed":
                os.kill(os.getpid(), signal.SIGKILL)
            if kind == "closes":
                sock.close()
                time.sleep(1000)
            if kind == "fails":
                os.write(2, b"qemu-system-x86_64: the moon is in the wrong phase\n")
                sys.exit(1)
        status = "completed" if kind == "loads" else "active"
        say({"return": {"status": status} if name == "query-migrate" else ANSWERS.get(name, {})})


main()
