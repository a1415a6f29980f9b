"""Two hosts, one command: hosts as network namespaces, each with an sshd of its own."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Lab
from tests.hosts.machines import Host, Network, network
from tests.unit.hosts.test_old_python import old_pythons

# One worker at a time: both files make network namespaces of the machine.
pytestmark = [pytest.mark.real, pytest.mark.xdist_group("hosts")]
GUEST = ("-machine", "pc-q35-7.2", "-m", "128", "-device", "virtio-rng-pci")


@pytest.fixture(scope="module")
def net() -> Iterator[Network]:
    with network() as found:
        yield found


@pytest.fixture(scope="module")
def source(net: Network, lab: Lab) -> Host:
    """A host with the oldest Python that is here, and two equal guests of QEMU 7.2."""
    old = old_pythons()
    host = net.host("node-a", python=old[0] if old else "")
    for name in ("web1", "web2"):
        host.guest(lab("7.2").path, name, *GUEST)
    return host


@pytest.fixture(scope="module")
def destination(net: Network) -> Host:
    old = old_pythons()
    return net.host("node-b", python=old[-1] if old else "")


def run(net: Network, *words: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "migratable", "preflight", *words],
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
        timeout=300,
        env={**os.environ, "MIGRATABLE_SSH": net.ssh, **variables},
    )


def document(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    assert done.stdout, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def nothing_left(*hosts: Host) -> None:
    """Whatever happened, hosts are as they were; what is being ended has two minutes."""
    deadline = time.monotonic() + 120
    for host in hosts:
        while (left := host.processes() + host.files()) and time.monotonic() < deadline:
            time.sleep(0.1)
        assert left == []


def goes_on(host: Host, name: str) -> None:
    """The guest runs."""
    code = (
        "import json, socket\n"
        f"s = socket.socket(socket.AF_UNIX); s.connect('/run/{name}.qmp'); f = s.makefile('rw')\n"
        "f.readline()\n"
        "for c in 'qmp_capabilities', 'query-status':\n"
        "    f.write(json.dumps({'execute': c})); f.flush(); r = json.loads(f.readline())\n"
        "print(r['return']['status'])"
    )
    assert host.run([sys.executable, "-c", code]).stdout.strip() == b"running"


def test_there_and_back(net: Network, source: Host, destination: Host, lab: Lab) -> None:
    done = run(
        net,
        "ssh://node-a/web1",
        "--to",
        "ssh://node-b",
        "--yes",
        "--json",
        "--program",
        str(lab("10.0").path),
    )
    found = document(done)
    assert done.returncode == 0, done.stderr
    assert found["schema"] == "migratable.preflight/1"
    assert found["outcome"] == "loads"
    assert found["guest"]["name"] == "web1"
    assert found["guest"]["host"] == "node-a"
    assert found["guest"]["ram_bytes"] > 128 << 20
    assert found["guest"]["state"]["release"].startswith("7.2")
    assert found["guest"]["state"]["pause_ms"] > 0
    assert found["there"]["verdict"] == "loads"
    assert found["there"]["basis"] == "rehearsed"
    assert found["there"]["destination"]["qemu"].startswith("10.0")
    assert found["back"]["verdict"] == "loads"
    assert found["back"]["basis"] == "rehearsed"
    assert found["back"]["destination"]["qemu"].startswith("7.2")
    assert found["command_line"]["from"] == "same"
    steps = [step["step"] for step in found["steps"]]
    assert steps[:3] == ["find", "capture", "command line"]
    assert {"profile", "check", "rehearse", "back: rehearse", "hosts"} <= set(steps)
    nothing_left(source, destination)
    goes_on(source, "web1")


def test_a_refusal_has_its_cause_and_a_remedy(
    net: Network, source: Host, destination: Host, lab: Lab
) -> None:
    source.guest(lab("10.0").path, "new", "-machine", "pc-q35-10.0", "-m", "128")
    done = run(
        net, "ssh://node-a/new", "--to", "node-b", "--yes", "--program", str(lab("7.2").path)
    )
    assert done.returncode == 1, done.stderr
    assert "unsupported machine type" in done.stdout
    assert "Fix" in done.stdout
    nothing_left(source, destination)
    goes_on(source, "new")
    source.end("new")


def test_a_remedy_is_tried_for_the_way_back_too(
    net: Network, source: Host, destination: Host, lab: Lab
) -> None:
    """``-no-hpet`` is gone since 8.0; with its replacement the guest goes and comes home."""
    source.guest(lab("7.2").path, "nohpet", "-machine", "pc-q35-7.2", "-m", "128", "-no-hpet")
    words = ("ssh://node-a/nohpet", "--to", "node-b", "--yes", "--hint-seconds", "30")
    program = ("--program", str(lab("10.0").path))
    done = run(net, *words, *program, "--json")
    assert done.returncode == 1, done.stderr
    found = document(done)
    (finding,) = (one for one in found["there"]["findings"] if one["severity"] == "refuses")
    hint = finding["hints"][0]
    assert "hpet=off" in hint["command"]
    assert hint["verified"] == "rehearsed"
    assert (hint["comes_back"], hint["way_back"]) == (True, "")
    assert "back: rehearse" in {step["step"] for step in found["steps"]} or found["back"] is None
    done = run(net, *words, *program, "--no-back", "--json")
    (finding,) = (
        one for one in document(done)["there"]["findings"] if one["severity"] == "refuses"
    )
    assert "comes_back" not in finding["hints"][0]
    nothing_left(source, destination)
    goes_on(source, "nohpet")
    source.end("nohpet")


def test_without_a_pause(net: Network, source: Host, destination: Host, lab: Lab) -> None:
    program = str(lab("7.2").path)
    words = ("ssh://node-a/web1", "--to", "node-b", "--no-pause", "--json", "--program", program)
    done = run(net, *words)
    found = document(done)
    assert done.returncode == 3
    assert found["outcome"] == "unknown"
    assert found["there"]["verdict"] == "loads"
    assert "the guest was not paused" in found["unchecked"][0]


def test_nobody_agreed(net: Network, source: Host, destination: Host) -> None:
    done = run(net, "ssh://node-a/web1", "--to", "node-b")
    assert done.returncode == 2
    assert "add --yes, or --no-pause" in done.stderr
    nothing_left(source, destination)


def test_every_guest_of_a_host(
    net: Network, source: Host, destination: Host, lab: Lab, tmp_path: Path
) -> None:
    page, results = tmp_path / "fleet.html", tmp_path / "results.jsonl"
    words = ["ssh://node-a", "--to", "node-b", "--yes", "--json", "--page", str(page)]
    words += ["--program", str(lab("10.0").path), "--results", str(results)]
    first = run(net, *words)
    found = document(first)
    assert first.returncode == 0, first.stderr
    names = {one["name"]: row for row, one in enumerate(found["vms"])}
    assert {"web1", "web2"} <= set(names)
    assert found["counts"] == {"loads": len(names)}
    assert {one["guest"]["name"] for one in found["preflights"]} == set(names)
    assert "web2" in page.read_text()
    kept = results.read_text().splitlines()
    assert len(kept) == len(names)
    # A run that was ended while it wrote its last line.
    results.write_text("\n".join([*kept[:-1], kept[-1][:50]]))
    again = run(net, *words, "--resume")
    assert document(again)["counts"] == found["counts"]
    assert document(again)["checked"] <= 1
    nothing_left(source, destination)


def test_one_of_two_hosts_cannot_be_reached(
    net: Network, source: Host, destination: Host, lab: Lab
) -> None:
    words = ("ssh://node-a/web1", "--to", "node-b", "node-gone.invalid", "--yes", "--json")
    done = run(net, *words, "--program", str(lab("10.0").path))
    found = document(done)
    assert done.returncode == 2
    assert found["counts"] == {"loads": 1, "failed": 1}
    assert "failed: node-gone.invalid: no connection" in done.stderr
    nothing_left(source, destination)


def test_no_such_guest(net: Network, source: Host, destination: Host) -> None:
    done = run(net, "ssh://node-a/web9", "--to", "node-b", "--yes")
    assert done.returncode == 2
    assert "no running guest 'web9'; there are: " in done.stderr
    assert "web1" in done.stderr
    nothing_left(source, destination)


def test_no_such_host(net: Network, source: Host) -> None:
    done = run(net, "ssh://node-a/web1", "--to", "192.0.2.1.invalid", "--yes")
    assert done.returncode == 2
    assert "192.0.2.1.invalid: no connection" in done.stderr
    nothing_left(source)


def test_a_host_without_python(net: Network, source: Host) -> None:
    bare = net.host("node-bare", python=None)
    done = run(net, "ssh://node-a/web1", "--to", "node-bare", "--yes")
    assert done.returncode == 2
    assert "node-bare: no Python 3.9 or newer there" in done.stderr
    nothing_left(source, bare)


def test_a_host_without_that_qemu(net: Network, source: Host, destination: Host) -> None:
    done = run(net, "ssh://node-a/web1", "--to", "node-b", "--yes", "--program", "/no/qemu")
    assert done.returncode == 2
    assert "node-b" in done.stderr
    assert "/no/qemu" in done.stderr
    nothing_left(source, destination)


def test_a_full_tmp(net: Network, source: Host, lab: Lab) -> None:
    """Another place is taken; without any the error says what is full."""
    full = net.host("node-full", tmp_size="64k")
    words = ("ssh://node-a/web1", "--to", "node-full", "--yes", "--program", str(lab("10.0").path))
    assert run(net, *words).returncode == 0
    for place in ("/var/tmp", "/dev/shm"):
        full.run(["mount", "-t", "tmpfs", "-o", "size=64k", "none", place])
    done = run(net, *words)
    assert done.returncode == 2
    assert "node-full: no place for temporary files: /tmp is full; /var/tmp is full" in done.stderr
    nothing_left(source, full)


def test_kept_for_the_next_time(net: Network, source: Host, destination: Host, lab: Lab) -> None:
    words = ("ssh://node-a/web1", "--to", "node-b", "--yes", "--json", "--keep", "--program")
    for _ in range(2):
        done = run(net, *words, str(lab("7.2").path))
        assert done.returncode == 0, done.stderr
    kept = [path for path in destination.files() if path.endswith("/whole")]
    assert len(kept) == 1
    assert kept[0].startswith("/tmp/cache/migratable/hosts/")
    for host in (source, destination):
        host.run(["rm", "-rf", "/tmp/cache"])
    nothing_left(source, destination)


@pytest.mark.parametrize("how", ["killed", "cut"])
def test_the_other_side_goes_away(
    how: str, net: Network, source: Host, destination: Host, lab: Lab
) -> None:
    words = ("ssh://node-a/web1", "--to", "node-b", "--yes", "--program", str(lab("10.0").path))
    for seconds in (0.5, 1.5, 2.5):
        process = subprocess.Popen(
            [sys.executable, "-m", "migratable", "preflight", *words],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, "MIGRATABLE_SSH": net.ssh},
        )
        time.sleep(seconds)
        if how == "killed":
            process.send_signal(signal.SIGKILL)
        else:  # a router that answers for the host: the connection is reset
            destination.run(["ss", "-K", "sport", "=", ":22"], check=False)
        error = process.communicate(timeout=120)[1].decode()
        assert how == "killed" or process.returncode in {0, 2}
        assert "Traceback" not in error
        nothing_left(source, destination)
    goes_on(source, "web1")


@pytest.mark.slow
def test_nothing_is_left_after_many(
    net: Network, source: Host, destination: Host, lab: Lab
) -> None:
    """``MIGRATABLE_PREFLIGHTS=50`` for a campaign; every second one is killed somewhere."""
    words = ("ssh://node-a/web1", "--to", "node-b", "--yes", "--program", str(lab("10.0").path))
    many = int(os.environ.get("MIGRATABLE_PREFLIGHTS", "4"))
    chance = random.Random(many)
    for number in range(many):
        began = time.monotonic()
        assert run(net, *words).returncode == 0
        whole = time.monotonic() - began
        nothing_left(source, destination)
        process = subprocess.Popen(
            [sys.executable, "-m", "migratable", "preflight", *words],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "MIGRATABLE_SSH": net.ssh},
        )
        time.sleep(chance.uniform(0.1, whole))
        how = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)[number % 3]
        process.send_signal(how)
        process.wait()
        nothing_left(source, destination)
    goes_on(source, "web1")
