"""Answers of the service are those of `check`, fit its description, and survive what comes."""

from __future__ import annotations

import importlib
import json
import lzma
import os
import random
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from migratable.check import check
from migratable.profile.collect import collect
from migratable.profile.model import Profile
from migratable.profile.store import Store
from migratable.serve.openapi import describe
from migratable.serve.settings import Settings
from migratable.stream import read
from tests.absent import needs
from tests.conftest import Lab
from tests.serve.service import Service, service, until

needs("starlette", "the extra 'serve' is not installed")

LINE = "-M pc-q35-7.2 -m 64M -nodefaults -device virtio-rng-pci -device virtio-balloon-pci"


@pytest.fixture(scope="module")
def profiles(lab: Lab) -> dict[str, Profile]:
    """The same machine on three releases."""
    found = {}
    for release in ("7.2", "10.0", "11.1"):
        lab(release)
        found[release] = collect(f"qemu-system-x86_64 {LINE}", release=release)
    return found


@pytest.fixture(scope="module")
def data(profiles: dict[str, Profile], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    for name, profile in profiles.items():
        Store(folder).save(f"host-{name}", profile)
    return folder


@pytest.fixture(scope="module")
def running(data: Path) -> Iterator[Service]:
    with service(data, "--max-stream", "32", "--memory", "512", "--workers", "2") as found:
        yield found
        assert found.stop() == 0


def fits(document: Any, name: str) -> None:
    """Hold an answer against the service's own description of it."""
    jsonschema = importlib.import_module("jsonschema")
    description = describe(Settings())
    schema = {"$ref": f"#/components/schemas/{name}", "components": description["components"]}
    jsonschema.Draft202012Validator(schema).validate(document)


def test_the_description_is_openapi(running: Service) -> None:
    validator = importlib.import_module("openapi_spec_validator")
    _, document, _ = running.request("GET", "/openapi.json")
    validator.validate(document)
    assert document == describe(Settings(limits=_limits(document)))
    with_token = describe(Settings(token="x" * 16))
    validator.validate(with_token)
    assert with_token["security"]


def _limits(document: Any) -> Any:
    from migratable.serve.settings import Limits

    numbers = re.findall(r"\d+", document["paths"]["/check"]["post"]["requestBody"]["description"])
    return Limits(stream=int(numbers[0]), profile=int(numbers[1]))


@pytest.mark.real
def test_answers_are_those_of_check(running: Service, profiles: dict[str, Profile]) -> None:
    """A stream and a profile of every release against every release: what `check` says, in JSON."""
    seen = set()
    for profile in profiles.values():
        for to, destination in profiles.items():
            expected = check(read(profile.stream), destination).to_json()
            status, found = running.check(profile.stream, f"host-{to}", more="&name=vm+1")
            assert status == 200, found
            fits(found, "Verdict")
            assert found["source"]["name"] == "vm 1"
            assert {**found, "source": {}} == {**expected, "source": {}}
            body = profile.dumps().encode()
            status, again = running.check(body, f"host-{to}", "application/json")
            assert {**again, "source": {}} == {**expected, "source": {}}
            seen.add(found["verdict"])
    assert seen == {"loads", "refused"}


@pytest.mark.real
def test_several_destinations_at_once(running: Service, profiles: dict[str, Profile]) -> None:
    packed = lzma.compress(profiles["10.0"].stream)
    status, found = running.check(packed, "host-7.2", more="&to=host-10.0&to=host-11.1&to=host-7.2")
    assert status == 200
    fits(found, "Verdicts")
    verdicts = {name: one["verdict"] for name, one in found["verdicts"].items()}
    assert verdicts == {"host-7.2": "loads", "host-10.0": "loads", "host-11.1": "refused"}
    assert found["verdicts"]["host-11.1"]["source"]["container"] == "xz"


@pytest.mark.real
def test_profiles_are_listed(running: Service) -> None:
    status, found, _ = running.request("GET", "/profiles")
    assert status == 200
    fits(found, "Profiles")
    stored = [one for one in found["profiles"] if not one["bundled"]]
    assert [one["name"] for one in stored] == ["host-10.0", "host-11.1", "host-7.2"]
    assert {one["machine"] for one in stored} == {"pc-q35-7.2"}


@pytest.mark.real
def test_broken_streams(running: Service, profiles: dict[str, Profile]) -> None:
    """Bytes changed at random: an answer or our error, and no other; the service lives on."""
    chance = random.Random(5)
    whole = profiles["7.2"].stream
    for _ in range(40):
        broken = bytearray(whole)
        for _ in range(chance.choice([1, 10, 1000])):
            broken[chance.randrange(len(broken))] = chance.randrange(256)
        status, document = running.check(bytes(broken), "host-10.0")
        assert status in (200, 422), document
        fits(document, "Verdict" if status == 200 else "Problem")
    assert "Traceback" not in running.said()


@pytest.mark.real
def test_a_profile_that_changed_is_seen(
    running: Service, profiles: dict[str, Profile], data: Path
) -> None:
    store = Store(data)
    store.save("changing", profiles["10.0"])
    body = profiles["10.0"].stream
    assert running.check(body, "changing")[1]["verdict"] == "loads"
    store.save("changing", profiles["11.1"])
    until(lambda: running.check(body, "changing")[1]["verdict"] == "refused", 5)
    assert running.check(body, "changing")[1]["verdict"] == "refused"
    store.remove("changing")
    assert running.check(body, "changing")[0] == 404


@pytest.mark.real
def test_many_at_once(running: Service, profiles: dict[str, Profile]) -> None:
    """Requests from many threads are all answered, each with its own answer."""
    bodies = {name: profile.stream for name, profile in profiles.items()}
    pairs = [(one, to) for one in bodies for to in bodies] * 6

    def ask(pair: tuple[str, str]) -> str:
        status, found = running.check(bodies[pair[0]], f"host-{pair[1]}", more=f"&name={pair[0]}")
        assert status == 200, found
        assert found["source"]["name"] == pair[0]
        assert found["destination"]["qemu"].startswith(pair[1])
        return str(found["verdict"])

    with ThreadPoolExecutor(16) as threads:
        found = list(threads.map(ask, pairs))
    assert found == [ask(pair) for pair in pairs[:9]] * 6


@pytest.mark.real
def test_the_page_of_what_was_asked(running: Service, profiles: dict[str, Profile]) -> None:
    for to in profiles:
        assert (
            running.check(profiles["10.0"].stream, f"host-{to}", more="&name=<b>web</b>")[0] == 200
        )
    status, found, _ = running.request("GET", "/matrix")
    assert status == 200
    fits(found, "Matrix")
    row = [one["name"] for one in found["vms"]].index("<b>web</b>")
    states = {
        host["name"]: found["answers"][found["cells"][row][at]]["state"]
        for at, host in enumerate(found["hosts"])
    }
    assert states["host-11.1"] == "refused"
    assert states["host-7.2"] != "refused"
    page, kind = running.text("/")
    assert kind.startswith("text/html")
    assert "Asked of this service" in page
    assert "<b>web" not in page


@pytest.mark.real
def test_a_fleets_page(data: Path, profiles: dict[str, Profile], tmp_path: Path) -> None:
    (tmp_path / "vm.mig").write_bytes(profiles["10.0"].stream)
    fleet = tmp_path / "fleet.toml"
    fleet.write_text(
        'title = "The cellar"\n[[vm]]\nname = "web"\nsource = "vm.mig"\n'
        '[[host]]\nname = "n1"\nprofile = "host-10.0"\n'
        '[[host]]\nname = "n2"\nprofile = "host-11.1"\n'
    )
    with service(data, "--fleet", str(fleet)) as found:
        page, kind = found.text("/")
        assert kind.startswith("text/html")
        assert "The cellar" in page
        _, document, _ = found.request("GET", "/matrix")
        assert document["counts"] == {"refused": 1, "loads": 1}
        # A mistake in the file is told when it is read next; what there was is not shown as new.
        assert found.stop() == 0
    fleet.write_text("nonsense")
    with service(data, "--fleet", str(fleet)) as found:
        status, document, _ = found.request("GET", "/matrix")
        assert (status, document["error"]) == (500, "fleet")
        assert "fleet.toml" in document["message"]
        temporary = found.environment("TMPDIR") or "/tmp"
        assert found.stop() == 0
    assert not list(Path(temporary).glob("migratable-serve-*/matrix.json"))


@pytest.mark.real
def test_a_graceful_stop(data: Path, profiles: dict[str, Profile]) -> None:
    """A request that is under way when SIGTERM comes is answered; then nothing is left running."""
    body = profiles["10.0"].stream
    for number in (signal.SIGTERM, signal.SIGINT):
        with service(data, "--workers", "1") as found:
            assert found.check(body, "host-7.2")[0] == 200
            workers = found.children()
            assert len(workers) == 1
            answers: list[Any] = []
            half = len(body) // 2
            connection = found.raw()
            head = (
                "POST /check?to=host-7.2 HTTP/1.1\r\nHost: localhost\r\n"
                f"Content-Type: application/octet-stream\r\nContent-Length: {len(body)}\r\n\r\n"
            )
            connection.sendall(head.encode() + body[:half])
            time.sleep(0.3)
            found.process.send_signal(number)
            time.sleep(0.3)
            connection.sendall(body[half:])

            def answer(connection: Any = connection, answers: list[Any] = answers) -> None:
                data = bytearray()
                while piece := connection.recv(65536):
                    data += piece
                answers.append(bytes(data))

            thread = threading.Thread(target=answer)
            thread.start()
            assert found.process.wait(20) == 0
            thread.join(5)
            connection.close()
            assert answers[0].startswith(b"HTTP/1.1 200"), answers
            assert json.loads(answers[0].partition(b"\r\n\r\n")[2])["verdict"] == "loads"
            assert until(lambda workers=workers: not any(_lives(pid) for pid in workers))


@pytest.mark.real
def test_killed_it_leaves_nothing(data: Path, profiles: dict[str, Profile]) -> None:
    with service(data) as found:
        assert found.check(profiles["10.0"].stream, "host-7.2")[0] == 200
        workers = found.children()
        found.process.kill()
        found.process.wait()
        assert until(lambda: not any(_lives(pid) for pid in workers))


def _lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.real
def test_a_worker_that_hangs_or_dies(data: Path, profiles: dict[str, Profile]) -> None:
    """What happens to a check's process is that check's answer alone."""
    body = profiles["10.0"].stream
    with service(data, "--workers", "1", "--timeout", "10") as found:
        assert found.check(body, "host-7.2")[0] == 200
        (worker,) = found.children()
        os.kill(worker, signal.SIGSTOP)
        status, document = found.check(body, "host-7.2")
        assert (status, document["error"]) == (422, "too-costly")
        assert found.check(body, "host-7.2")[0] == 200
        (worker,) = found.children()
        os.kill(worker, signal.SIGKILL)
        until(lambda: not _lives(worker))
        status, document = found.check(body, "host-7.2")
        assert status == 200, document


def test_without_the_extra_the_command_says_so(tmp_path: Path) -> None:
    """Not installed is words and status 2."""
    code = (
        "import sys; sys.modules['starlette'] = None; sys.modules['uvicorn'] = None\n"
        "sys.argv = ['migratable', 'serve']\nfrom migratable.cli import main\nmain()"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 2
    assert "pip install 'migratable[serve]'" in done.stderr
    assert "Traceback" not in done.stderr
