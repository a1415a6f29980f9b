"""Live migrations of real QEMUs through the relay; the guest counts, so that it is seen to run."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from migratable.qemu.accelerator import missing
from tests.conftest import Lab
from tests.guests import multiboot
from tests.guests.machines import Running
from tests.guests.relayed import PROGRAM, Relay, ended, migrate, pair, settled, state

pytestmark = pytest.mark.real
RELEASES = ["5.2", "7.2", "10.0", "11.1"]
RNG = ("-device", "virtio-rng-pci")
#: What the helper gives every machine.
CONSOLE = ("-serial", "null")


def _line(folder: Path, machine: str = "pc-q35-5.2", more: Sequence[str] = ()) -> list[str]:
    accelerator = "tcg" if missing() else "kvm"
    words = f"-M {machine} -m 64 -display none -nodefaults -accel {accelerator} -cpu qemu64"
    return [*words.split(), "-kernel", str(multiboot.kernel(folder)), *more]


@contextmanager
def _relayed(
    lab: Lab, folder: Path, source: str, destination: str, line: Sequence[str], *more: str
) -> Iterator[tuple[Running, Running, Relay]]:
    """Source, destination and relay, when the guest counts."""
    incoming = f"unix:{folder}/incoming"
    there = lab(destination).command
    arguments = ["--listen", "tcp:127.0.0.1:0", "--to", incoming, *more, "--", *there, *line]
    with pair(lab(source).command, there, line, incoming) as (one, other):
        one.await_count(2)
        with Relay(arguments=[*arguments, *CONSOLE]) as relay:
            assert relay.address, relay.said
            yield one, other, relay


def _goes_on(machine: Running) -> bool:
    before = machine.count
    try:
        machine.await_count(before + 2, 20)
    except Exception:
        return False
    return True


def _stands_still(machine: Running) -> bool:
    before = machine.count
    time.sleep(0.5)
    return machine.count == before


@pytest.mark.parametrize("release", RELEASES)
def test_the_same_release_passes(release: str, lab: Lab, tmp_path: Path) -> None:
    with _relayed(lab, tmp_path, release, release, _line(tmp_path)) as (one, other, relay):
        migrate(one, relay.address)
        status, result = relay.end()
        assert (status, result["reason"]) == (0, "migrated"), result
        assert result["guest"] == "destination"
        assert result["return_path"] is True
        assert result["verdict"]["verdict"] == "loads"
        assert ended(one) == "completed"
        assert settled(one) == "postmigrate"
        assert settled(other) == "running"
        assert _goes_on(other)
        assert _stands_still(one)


@pytest.mark.parametrize(("source", "destination"), [("5.2", "11.1"), ("11.1", "7.2")])
def test_other_releases_pass(source: str, destination: str, lab: Lab, tmp_path: Path) -> None:
    with _relayed(lab, tmp_path, source, destination, _line(tmp_path)) as (one, other, relay):
        migrate(one, relay.address, return_path=False)
        status, result = relay.end()
        assert (status, result["return_path"]) == (0, False), result
        assert ended(one) == "completed"
        assert _goes_on(other)
        assert _stands_still(one)


def test_the_source_goes_on_when_the_destination_would_refuse(lab: Lab, tmp_path: Path) -> None:
    line = _line(tmp_path, "pc-q35-10.0", RNG)
    with _relayed(lab, tmp_path, "10.0", "11.1", line) as (one, other, relay):
        migrate(one, relay.address)
        status, result = relay.end()
        assert (status, result["reason"], result["guest"]) == (1, "refused", "source"), result
        first = result["verdict"]["first_refusal"]
        assert first["rule"] == "virtio-queues"
        assert first["message"] == "VQ 0 vring.num 1024 exceeds allocated max 8"
        assert ended(one) == "failed"
        assert state(one) == "running"
        assert _goes_on(one)
        assert settled(other) == "dead"
        assert other.count == 0
        assert not any("vring.num" in text for text in other.lines)


@pytest.mark.parametrize("release", RELEASES)
def test_a_destination_that_refuses_after_all(release: str, lab: Lab, tmp_path: Path) -> None:
    """The relay was told of another destination than there is; the source goes on all the same."""
    line, bare = _line(tmp_path, more=RNG), _line(tmp_path)
    incoming = f"unix:{tmp_path}/incoming"
    program = lab(release).command
    arguments = ["--listen", "tcp:127.0.0.1:0", "--to", incoming, "--", *program, *line]
    with pair(program, program, line, incoming, into=bare) as (one, other):
        one.await_count(2)
        with Relay(arguments=[*arguments, *CONSOLE]) as relay:
            assert relay.address, relay.said
            migrate(one, relay.address)
            status, result = relay.end()
        assert result["verdict"]["verdict"] == "loads"
        assert (status, result["reason"]) == (1, "destination-refused"), result
        assert result["guest"] == "source"
        assert ended(one) == "failed"
        assert _goes_on(one)
        assert settled(other) == "dead"
        assert other.count == 0


def test_without_return_path_the_source_stands_still(lab: Lab, tmp_path: Path) -> None:
    line = _line(tmp_path, "pc-q35-10.0", RNG)
    with _relayed(lab, tmp_path, "10.0", "11.1", line) as (one, other, relay):
        migrate(one, relay.address, return_path=False)
        status, result = relay.end()
        assert (status, result["guest"]) == (1, "source-stopped"), result
        assert any("no return path" in text for text in relay.said)
        assert settled(one) == "postmigrate"
        assert settled(other) == "dead"
        assert other.count == 0
        one.qmp("cont")
        assert _goes_on(one)


def test_a_plan_makes_it_pass(lab: Lab, tmp_path: Path) -> None:
    line = _line(tmp_path, "pc-q35-10.0", RNG)
    there = [*lab("11.1").command, *line, *CONSOLE]
    monitor = tmp_path / "monitor"
    plan, capture = tmp_path / "plan", tmp_path / "guest.mig"
    with Running(lab("10.0").command, line, qmp_path=monitor) as running:
        running.await_count(2)
        words = [str(PROGRAM), "capture", f"qmp:{monitor}", "-o", str(capture), "--yes"]
        subprocess.run([*words, "--untried"], check=True)
    words = [str(PROGRAM), "convert", str(capture), "-o", str(tmp_path / "new"), "--no-rehearse"]
    subprocess.run([*words, "--plan", str(plan), "--", *there], check=True)
    with _relayed(lab, tmp_path, "10.0", "11.1", line, "--plan", str(plan)) as (one, other, relay):
        migrate(one, relay.address)
        status, result = relay.end()
        assert (status, result["reason"]) == (0, "migrated"), result
        assert [edit["section"] for edit in result["edits"]] == ["0000:00:01.0/virtio-rng"]
        assert settled(one) == "postmigrate"
        assert _goes_on(other)


def test_a_plan_of_another_guest_is_no_harm(lab: Lab, tmp_path: Path) -> None:
    change = {"name": "x", "offset": 0, "old": "0102030405", "new": "0102030406"}
    edit: dict[str, object] = {"id": "x:timer", "kind": "x", "class": "lossless"}
    edit |= {"operation": "body", "section": "timer", "changes": [change]}
    plan = tmp_path / "plan"
    plan.write_text(json.dumps({"schema": "migratable.plan/1", "edits": [edit]}))
    line = _line(tmp_path)
    with _relayed(lab, tmp_path, "10.0", "10.0", line, "--plan", str(plan)) as (one, _, relay):
        migrate(one, relay.address)
        status, result = relay.end()
        assert (status, result["reason"], result["guest"]) == (2, "plan", "source"), result
        assert "other bytes" in result["message"]
        assert _goes_on(one)


def test_wrong_ram_is_refused_before_it_moves(lab: Lab, tmp_path: Path) -> None:
    line, incoming = _line(tmp_path), f"unix:{tmp_path}/incoming"
    other_line = ["32" if word == "64" else word for word in line]
    there = lab("10.0").command
    arguments = ["--listen", "tcp:127.0.0.1:0", "--to", incoming, "--", *there, *other_line]
    with pair(there, there, line, incoming, into=other_line) as (one, other):
        one.await_count(2)
        with Relay(arguments=[*arguments, *CONSOLE]) as relay:
            migrate(one, relay.address)
            status, result = relay.end()
            assert (status, result["reason"], result["guest"]) == (1, "refused", "source")
            assert result["verdict"]["first_refusal"]["rule"] == "ram-block-size"
            assert result["ram_rounds"] == 0
            assert state(other) == "inmigrate"  # it waits for the next try
            assert _goes_on(one)


@pytest.mark.parametrize("release", RELEASES)
@pytest.mark.parametrize("capability", ["multifd", "postcopy-ram"])
def test_kinds_that_are_refused(capability: str, release: str, lab: Lab, tmp_path: Path) -> None:
    with _relayed(lab, tmp_path, release, release, _line(tmp_path)) as (one, other, relay):
        migrate(one, relay.address, **{capability.replace("-", "_"): True})
        status, result = relay.end()
        assert (status, result["reason"], result["guest"]) == (2, "unsupported", "source"), result
        assert capability.partition("-")[0] in result["message"]
        assert result["ram_rounds"] == 0
        assert ended(one) == "failed"
        assert _goes_on(one)
        assert state(other) == "inmigrate"


@pytest.mark.parametrize(
    ("release", "capability"), [("10.0", "xbzrle"), ("5.2", "compress"), ("7.2", "auto_converge")]
)
def test_kinds_that_pass(release: str, capability: str, lab: Lab, tmp_path: Path) -> None:
    line, incoming = _line(tmp_path), f"unix:{tmp_path}/incoming"
    there = lab(release).command
    arguments = ["--listen", f"unix:{tmp_path}/relay", "--to", incoming, "--", *there, *line]
    with pair(there, there, line, "defer") as (one, other):
        if capability == "compress":
            on = [{"capability": capability, "state": True}]
            other.qmp("migrate-set-capabilities", capabilities=on)
        other.qmp("migrate-incoming", uri=incoming)
        one.await_count(2)
        with Relay(arguments=[*arguments, *CONSOLE]) as relay:
            migrate(one, relay.address, **{capability: True})
            status, result = relay.end()
            assert (status, result["reason"]) == (0, "migrated"), result
            assert _goes_on(other)
    assert not (tmp_path / "relay").exists()


def test_pseries_with_its_hash_table(lab: Lab, tmp_path: Path) -> None:
    words = "-M pseries-7.2,cap-cfpc=broken,cap-sbbc=broken,cap-ibs=broken,cap-ccf-assist=off "
    words += "-cpu POWER8 -m 256 -nodefaults -display none -accel tcg"
    incoming = f"unix:{tmp_path}/incoming"
    there = lab("10.0", "ppc64").command
    arguments = ["--listen", "tcp:127.0.0.1:0", "--to", incoming, "--", *there, *words.split()]
    with pair(lab("7.2", "ppc64").command, there, words.split(), incoming) as (one, other):
        with Relay(arguments=[*arguments, *CONSOLE]) as relay:
            migrate(one, relay.address)
            status, result = relay.end()
            assert (status, result["reason"]) == (0, "migrated"), result
        assert settled(one) == "postmigrate"
        assert settled(other) == "running"


def test_the_user_ends_it(tmp_path: Path) -> None:
    arguments = ["--listen", f"unix:{tmp_path}/relay", "--to", f"unix:{tmp_path}/incoming"]
    with Relay(arguments=[*arguments, "--profile", "q35-10.0"]) as relay:
        assert (tmp_path / "relay").is_socket()
        relay.process.send_signal(signal.SIGTERM)
        status, result = relay.end()
    assert (status, result["reason"]) == (2, "interrupted")
    assert list(tmp_path.iterdir()) == []


def _killed(lab: Lab, folder: Path, release: str, victim: str, delay: float) -> None:
    """Kill one of the three a moment after the migration began, and see who runs the guest."""
    with _relayed(lab, folder, release, release, _line(folder)) as (one, other, relay):
        number = {
            "source": one._process.pid,
            "destination": other._process.pid,
            "relay": relay.process.pid,
        }[victim]
        timer = threading.Timer(delay, os.kill, (number, signal.SIGKILL))
        migrate(one, relay.address)
        timer.start()
        timer.join()
        time.sleep(1.0)
        here, there = one.count, other.count
        time.sleep(0.7)
        runs = {"source": one.count > here, "destination": other.count > there}
        told = f"{victim} of {release} after {delay:.3f} s: {runs}, source {state(one)}"
        assert not all(runs.values()), told
        if not any(runs.values()) and victim != "source":
            assert state(one) == "postmigrate", told
            one.qmp("cont")
            assert _goes_on(one), told


@pytest.mark.parametrize("victim", ["relay", "source", "destination"])
def test_one_killed(victim: str, lab: Lab, tmp_path: Path) -> None:
    _killed(lab, tmp_path, "10.0", victim, 0.05)


@pytest.mark.slow
@pytest.mark.parametrize("number", range(21))
def test_killed_at_random_moments(number: int, lab: Lab, tmp_path: Path) -> None:
    chance = random.Random(number)
    victim = ("relay", "source", "destination")[number % 3]
    _killed(lab, tmp_path, chance.choice(RELEASES), victim, chance.uniform(0, 0.25))
