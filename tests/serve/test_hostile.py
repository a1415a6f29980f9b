"""What the network may send: every answer is ours, in JSON, and memory stays where it was."""

from __future__ import annotations

import contextlib
import gzip
import http.client
import json
import lzma
import shutil
import socket
import ssl
import subprocess
import sys
import time
import zlib
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path

import pytest

from migratable.profile.model import Profile
from migratable.profile.store import Store
from migratable.releases import QemuVersion
from tests.absent import absent, needs
from tests.serve.service import Service, service, until

needs("starlette", "the extra 'serve' is not installed")

TOKEN = "correct-horse-battery-staple"
GOLDEN = Path(__file__).parent.parent / "golden/streams"
HEAD = (
    "POST /check?to=host HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/octet-stream\r\n"
)


def stream() -> bytes:
    return lzma.decompress((GOLDEN / "7.2-q35.mig.xz").read_bytes())


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one stored profile, ``host``."""
    folder = tmp_path_factory.mktemp("data")
    profile = Profile(
        version=QemuVersion(7, 2, 22), machine="pc-q35-7.2", target="x86_64", stream=stream()
    )
    Store(folder).save("host", profile)
    return folder


@pytest.fixture(scope="module")
def uploads(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("uploads")


@pytest.fixture(scope="module")
def running(data: Path, uploads: Path) -> Iterator[Service]:
    options = ["--max-stream", "8", "--max-profile", "4", "--memory", "256", "--idle", "1"]
    options += ["--timeout", "20", "--workers", "1", "--temporary", str(uploads)]
    with service(data, *options) as found:
        yield found
        assert list(uploads.iterdir()) == []
        assert found.files(uploads) == 0
        # 40 MB are Python, Starlette and the stream package.
        assert found.memory() < 300 << 20
        assert found.stop() == 0


def read_all(connection: socket.socket) -> bytes:
    found = bytearray()
    while piece := connection.recv(65536):
        found += piece
    return bytes(found)


def answer(connection: socket.socket) -> tuple[int, dict[str, object]]:
    """The last answer on a connection that the service closes."""
    head, _, body = read_all(connection).rpartition(b"\r\n\r\n")
    return int(head[head.rindex(b"HTTP/1.1") :].split()[1]), json.loads(body)


def refused(found: tuple[int, object], status: int, error: str) -> str:
    assert found[0] == status, found
    document = found[1]
    assert isinstance(document, dict)
    assert document["schema"] == "migratable.error/1"
    assert (document["status"], document["error"]) == (status, error), document
    assert "Traceback" not in document["message"]
    return str(document["message"])


def test_too_large_by_its_own_word(running: Service) -> None:
    """A length that is announced is refused before a byte of it is taken."""
    with running.raw() as connection:
        connection.sendall(f"{HEAD}Content-Length: {10**15}\r\n\r\n".encode())
        refused(answer(connection), 413, "too-large")
    refused(running.check(bytes(9 << 20)), 413, "too-large")


def test_a_client_that_asks_first_need_not_send(running: Service) -> None:
    with running.raw() as connection:
        text = f"{HEAD}Expect: 100-continue\r\nContent-Length: {1 << 40}\r\n\r\n"
        connection.sendall(text.encode())
        refused(answer(connection), 413, "too-large")


def test_endless_chunks(running: Service) -> None:
    """A body without an announced end stops at the limit; the words of that arrive."""
    with running.raw() as connection:
        connection.sendall(f"{HEAD}Transfer-Encoding: chunked\r\n\r\n".encode())
        piece = b"10000\r\n" + bytes(65536) + b"\r\n"
        sent = 0
        try:
            while sent < 200 << 20:
                connection.sendall(piece)
                sent += 65536
        except OSError:
            pass
        assert 8 << 20 <= sent < 60 << 20


def test_endless_chunks_are_told_why(running: Service) -> None:
    with running.raw() as connection:
        connection.sendall(f"{HEAD}Transfer-Encoding: chunked\r\n\r\n".encode())
        piece = b"10000\r\n" + bytes(65536) + b"\r\n"
        for _ in range((8 << 20) // 65536 + 2):
            connection.sendall(piece)
        refused(answer(connection), 413, "too-large")


def test_broken_chunks(running: Service) -> None:
    with running.raw() as connection:
        connection.sendall(f"{HEAD}Transfer-Encoding: chunked\r\n\r\nzz\r\nhello\r\n".encode())
        connection.settimeout(10)
        found = read_all(connection)
        assert b"200 OK" not in found


def test_cut_short(running: Service, uploads: Path) -> None:
    """A connection that ends inside the body leaves nothing behind."""
    with running.raw() as connection:
        connection.sendall(f"{HEAD}Content-Length: 5000\r\n\r\nQEVM".encode())
    assert until(lambda: running.files(uploads) == 0)


@pytest.mark.parametrize("size", [0, 1, 3, 4, 7, 8, 40, 1000, 100_000])
def test_truncated_streams(running: Service, size: int) -> None:
    found = running.check(stream()[:size])
    if size == 0:
        refused(found, 400, "empty")
    else:
        assert refused(found, 422, "container" if size < 4 else "stream")


def test_truncated_vmdesc(running: Service) -> None:
    """QEMU has loaded all by then and passes over it; the answer is that of the whole stream."""
    whole = running.check(stream())
    cut = running.check(stream()[:822_000])
    assert whole[0] == cut[0] == 200
    assert cut[1]["verdict"] == whole[1]["verdict"]


def test_bombs(running: Service) -> None:
    """What unpacks to more than the limit ends at the limit."""
    zeros = gzip.compress(b"QEVM" + bytes(300 << 20), 9)
    assert len(zeros) < 1 << 20
    refused(running.check(zeros), 422, "container")
    refused(running.check(gzip.compress(zeros)), 422, "container")


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"[",
        b"null",
        b"[1, 2]",
        b"{}",
        b'{"schema": "migratable.profile/9"}',
        b'{"schema": "migratable.profile/1"}',
        b'{"schema": "migratable.profile/1", "version": {"number": "1' + b"0" * 5000 + b'.0"}}',
        b"[" * 1_000_000,
        b'{"a":' * 300_000,
        b'{"schema": NaN}',
        b"\xff\xfe{}",
        b"1" * 3_000_000,
    ],
)
def test_profiles_that_are_none(running: Service, text: bytes) -> None:
    status, document = running.check(text, kind="application/json")
    assert 400 <= status < 500, document
    assert document["schema"] == "migratable.error/1"


def test_profiles_that_are_bombs(running: Service) -> None:
    """Many small members take more memory than bytes; a packed member unpacks to much."""
    many = b"[" + b"[]," * 1_300_000 + b"[]]"
    status, _ = running.check(many, kind="application/json")
    assert 400 <= status < 500
    document = Profile(version=QemuVersion(7, 2), machine="none", stream=b"QEVM").to_json()
    document["stream"] = b64encode(zlib.compress(bytes(300 << 20), 1)).decode()
    found = running.check(json.dumps(document).encode(), kind="application/json")
    assert refused(found, 422, found[1]["error"])


def test_after_all_that_it_still_answers(running: Service) -> None:
    refused(running.check(b"no stream"), 422, "container")


@pytest.mark.parametrize(
    "name",
    [
        "../host",
        "/etc/passwd",
        "..%2Fhost",
        "%00",
        "host%00.json",
        "a" * 5000,
        "",
        "./host",
        "\u00e4",
    ],
)
def test_names_are_no_paths(running: Service, name: str) -> None:
    from urllib.parse import quote

    status, document = running.check(b"QEVM", to=quote(name, safe="%"))
    assert status in (400, 404), document
    assert document["error"] in ("bad-name", "no-profile")


def test_an_exported_file_is_no_destination(running: Service, uploads: Path, data: Path) -> None:
    """What `--to` takes as a file on the command line is only a name here."""
    path = data / "exported.json"
    path.write_text(Store(data).load("host").dumps())
    refused(running.check(b"QEVM", to=str(path)), 400, "bad-name")


def test_the_sources_name_is_only_shown(running: Service) -> None:
    refused(running.check(b"QEVM", more="&name=%0d%0aX:%20y"), 400, "bad-name")
    refused(running.check(b"QEVM", more="&name=" + "n" * 201), 400, "bad-name")


def test_how_many_destinations(running: Service) -> None:
    status, document, _ = running.request(
        "POST", "/check", b"QEVM", {"Content-Type": "application/octet-stream"}
    )
    refused((status, document), 400, "to")
    more = "".join(f"&to=h{number}" for number in range(100))
    refused(running.check(b"QEVM", more=more), 400, "to")


def test_content_types(running: Service) -> None:
    """What a page of another site may send without being asked is not taken."""
    for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""):
        refused(running.check(b"QEVM", kind=kind), 415, "content-type")
    headers = {"Content-Type": "application/octet-stream", "Content-Encoding": "gzip"}
    status, document, _ = running.request("POST", "/check?to=host", b"QEVM", headers)
    refused((status, document), 415, "content-encoding")


def test_other_hosts_names(running: Service) -> None:
    """A name that a page of another site points at us is refused: it may be in a browser."""
    for host in (
        "evil.example",
        "evil.example:80",
        "127.0.0.1.evil.example",
        "",
        "[::2]",
        "1.2.3.4",
    ):
        status, document, _ = running.request("GET", "/profiles", headers={"Host": host})
        refused((status, document), 421, "bad-host")
    for host in ("localhost", "127.0.0.1:99", "[::1]:80", "LOCALHOST"):
        status, _, _ = running.request("GET", "/profiles", headers={"Host": host})
        assert status == 200, host


def test_unknown_paths_and_methods(running: Service) -> None:
    for path in ("/nothing", "/check/../profiles", "/%2e%2e/etc/passwd", "//profiles"):
        status, document, _ = running.request("GET", path)
        refused((status, document), 404, "no-path")
    status, document, headers = running.request("DELETE", "/profiles")
    refused((status, document), 405, "method")
    assert headers["allow"]


def test_no_http(running: Service) -> None:
    for text in (b"hello\r\n\r\n", b"\x16\x03\x01\x02\x00\x01" + bytes(300)):
        with running.raw() as connection:
            connection.sendall(text)
            refused(answer(connection), 400, "no-http")


def test_endless_head(running: Service) -> None:
    with running.raw() as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n")
        try:
            for number in range(20_000):
                connection.sendall(f"X-{number}: {'y' * 100}\r\n".encode())
        except OSError:
            return
        refused(answer(connection), 400, "no-http")


def test_a_slow_head_is_ended(running: Service) -> None:
    """A byte now and then keeps no connection open; the second request is no different."""
    for before in (b"", b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n"):
        with running.raw() as connection:
            if before:
                connection.sendall(before)
                assert b"200 OK" in connection.recv(65536)
            connection.sendall(b"GET / HT")
            time.sleep(0.5)
            connection.sendall(b"TP/1.1\r\n")
            refused(answer(connection), 408, "too-slow")


def test_a_silent_connection_is_ended(running: Service) -> None:
    with running.raw() as connection:
        refused(answer(connection), 408, "too-slow")


def test_a_pausing_body_is_ended(running: Service, uploads: Path) -> None:
    with running.raw() as connection:
        connection.sendall(f"{HEAD}Content-Length: 5000\r\n\r\nQEVM".encode())
        refused(answer(connection), 408, "too-slow")
    assert until(lambda: running.files(uploads) == 0)


def test_a_trickling_body_is_ended(running: Service) -> None:
    """A byte in time is not enough: a body has a minimum speed."""
    with running.raw() as connection:
        connection.sendall(f"{HEAD}Content-Length: 5000\r\n\r\n".encode())
        with pytest.raises(OSError):
            for _ in range(4000):  # fewer than it announced
                connection.sendall(b"Q")
                time.sleep(0.2)


def test_a_body_where_none_belongs(running: Service) -> None:
    """A GET with an endless body is answered and its connection closed."""
    with running.raw() as connection:
        text = b"GET /health HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
        connection.sendall(text)
        with pytest.raises(OSError):
            for _ in range(20_000):
                connection.sendall(b"1\r\nx\r\n")
                time.sleep(0.02)


def test_an_answer_that_is_not_taken(running: Service) -> None:
    """Pipelined requests whose answers are never read do not pile up."""
    with running.raw() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        one = b"GET /openapi.json HTTP/1.1\r\nHost: localhost\r\n\r\n"
        connection.settimeout(3)
        try:
            for _ in range(100_000):
                connection.sendall(one)
        except OSError:
            pass
        assert until(lambda: running.request("GET", "/health")[0] == 200)


def test_many_connections(running: Service) -> None:
    """More connections than there may be are told so; when they go, all is as before."""
    idle = [running.raw() for _ in range(140)]
    try:
        with running.raw() as connection:
            connection.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
            found = read_all(connection)
        assert b"503" in found.split(b"\r\n")[0]
        assert b"Retry-After: 5" in found
    finally:
        for one in idle:
            one.close()
    assert until(lambda: running.request("GET", "/health")[0] == 200)


def test_a_token_is_needed_where_others_can_reach_it(data: Path) -> None:
    command = [sys.executable, "-m", "migratable", "serve", "--host", "0.0.0.0", "--port", "0"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 2
    assert "a token is needed" in done.stderr


def test_a_token_is_asked_for(data: Path) -> None:
    with service(data, "--host", "0.0.0.0", token=TOKEN) as found:
        basic = b64encode(f"me:{TOKEN}".encode()).decode()
        for given in (None, "Bearer wrong", "Bearer", f"Digest {TOKEN}", "Basic !", "Basic eA=="):
            headers = {} if given is None else {"Authorization": given}
            status, document, answered = found.request("GET", "/profiles", headers=headers)
            refused((status, document), 401, "token")
            assert answered["www-authenticate"].startswith("Bearer")
        for given in (f"Bearer {TOKEN}", f"bearer {TOKEN}", f"Basic {basic}"):
            status, document, _ = found.request(
                "GET", "/profiles", headers={"Authorization": given}
            )
            assert status == 200
            assert document["profiles"][0]["name"] == "host"
        # By whatever name it is reached; and who watches over it needs no token.
        assert found.request("GET", "/health", headers={"Host": "vm-gate.example"})[0] == 200
        body = found.check(b"QEVM")
        refused(body, 401, "token")
        assert found.stop() == 0


def test_tokens(tmp_path: Path) -> None:
    path = tmp_path / "token"
    command = [
        sys.executable,
        "-m",
        "migratable",
        "serve",
        "--port",
        "0",
        "--token-file",
        str(path),
    ]
    for text, mode, words in (
        (None, 0o600, "No such file"),
        ("short\n", 0o600, "16 to 512"),
        ("", 0o600, "16 to 512"),
        (TOKEN, 0o644, "others may read"),
    ):
        if text is not None:
            path.write_text(text)
            path.chmod(mode)
        done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
        assert done.returncode == 2
        assert words in done.stderr
        assert TOKEN not in done.stderr


def test_where_it_cannot_listen(data: Path, tmp_path: Path) -> None:
    with service(data) as found:
        taken = str(found.port)
        for options, words in (
            (["--port", taken], "cannot listen on 127.0.0.1"),
            (["--host", "no.such.host.invalid", "--port", "0"], "cannot listen on"),
            (["--tls", str(tmp_path / "c"), str(tmp_path / "k"), "--port", "0"], "certificate"),
        ):
            (tmp_path / "c").write_text("no certificate")
            (tmp_path / "k").write_text("no key")
            command = [sys.executable, "-m", "migratable", "serve", *options]
            done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
            assert done.returncode == 2, done
            assert words in done.stderr
            assert "Traceback" not in done.stderr


def test_ipv6(data: Path) -> None:
    with socket.socket(socket.AF_INET6) as probe:
        try:
            probe.bind(("::1", 0))
        except OSError:
            pytest.skip("no IPv6 here")
    with service(data, "--host", "::1") as found:
        assert found.host == "::1"
        assert found.request("GET", "/profiles")[0] == 200
        assert found.stop() == 0


def test_tls(data: Path, tmp_path: Path) -> None:
    """With a certificate it speaks HTTPS and nothing else, and no handshake holds a connection."""
    if shutil.which("openssl") is None:
        absent("openssl is not installed")
    certificate, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"]
    command += ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    command += ["-keyout", str(key), "-out", str(certificate)]
    subprocess.run(command, check=True, capture_output=True)
    options = ["--host", "0.0.0.0", "--tls", str(certificate), str(key)]
    with service(data, *options, token=TOKEN) as found:
        assert found.scheme == "https"
        context = ssl.create_default_context(cafile=str(certificate))
        connection = http.client.HTTPSConnection("localhost", found.port, context=context)
        connection.request("GET", "/profiles", headers={"Authorization": f"Bearer {TOKEN}"})
        answered = connection.getresponse()
        assert answered.status == 200
        assert json.loads(answered.read())["profiles"]
        connection.close()
        with found.raw() as plain:
            plain.sendall(b"GET /profiles HTTP/1.1\r\nHost: localhost\r\n\r\n")
            with contextlib.suppress(ConnectionResetError):
                assert not read_all(plain)
        assert found.stop() == 0


def test_the_page_before_anything_was_asked(data: Path) -> None:
    with service(data) as found:
        page, kind = found.text("/")
        assert kind.startswith("text/html")
        assert "Asked of this service" in page
        assert found.request("GET", "/matrix")[1]["vms"] == []


@pytest.mark.parametrize(
    ("name", "admitted"),
    [
        ("127.0.0.1", True),
        ("[::1]", True),
        ("127.8.9.10", True),
        ("cafe", False),  # a name of hexadecimal digits, whatever it resolves to
        ("dead.beef", False),
        ("2130706433", False),
        ("0x7f000001", False),
        ("10.0.0.1", False),
        ("", False),
    ],
)
def test_no_host_name_is_looked_up(
    name: str, admitted: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    from migratable.serve.application import _literal_loopback

    def resolve(*_: object, **__: object) -> None:
        raise AssertionError("a look-up")

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    assert _literal_loopback(name) is admitted
