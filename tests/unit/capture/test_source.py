"""What a user may call a source, and what is said of what is none."""

from __future__ import annotations

import gzip
import subprocess
import sys
import uuid
from pathlib import Path

import pytest

from migratable.capture.libvirt import LibvirtMonitor
from migratable.capture.source import is_live, open_source
from migratable.errors import CaptureError, ProfileError, StreamError
from migratable.profile import store
from migratable.profile.model import Profile
from migratable.releases import QemuVersion
from migratable.stream import write
from migratable.stream.edit import full_section, make_stream

STREAM = make_stream("pc-q35-7.2", [full_section("timer", 0, 2, bytes(24), section_id=0)])


def _profile(data: bytes = b"", why: str = "") -> Profile:
    return Profile(
        version=QemuVersion(7, 2, 22),
        machine="pc-q35-7.2",
        stream=data,
        no_stream=why,
        taken="2026-11-01T00:00:00+00:00",
    )


@pytest.fixture
def stream_file(tmp_path: Path) -> Path:
    path = tmp_path / "guest.mig"
    path.write_bytes(write(STREAM))
    return path


def test_stream_file(stream_file: Path) -> None:
    source = open_source(str(stream_file))
    assert source.name == str(stream_file)
    assert source.stream.machine == "pc-q35-7.2"
    assert source.profile is None
    assert source.facts["kind"] == "stream"
    assert source.facts["container"] == "raw"


def test_compressed_stream(stream_file: Path) -> None:
    packed = stream_file.with_suffix(".mig.gz")
    packed.write_bytes(gzip.compress(stream_file.read_bytes()))
    source = open_source(str(packed))
    assert source.stream.device("timer") is not None
    assert "gzip" in str(source.facts["container"])


@pytest.mark.parametrize("name", ["host7.json", "host7.json.gz"])
def test_exported_profile(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    store.export(_profile(write(STREAM)), path)
    if name.endswith(".gz"):
        path.write_bytes(gzip.compress(path.read_bytes()))
    source = open_source(str(path))
    assert source.profile is not None
    assert source.stream.machine == "pc-q35-7.2"
    assert source.facts["release"] == "7.2.22"


def test_stored_profile(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("MIGRATABLE_DATA", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    store.Store().save("host9", _profile(write(STREAM)))
    assert open_source("host9").facts["kind"] == "profile"


def test_profile_without_stream(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    store.export(_profile(why="State blocked by non-migratable device 'nvme'"), path)
    with pytest.raises(ProfileError, match=r"refuses to save itself.*nvme"):
        open_source(str(path))


@pytest.mark.parametrize("name", ["absent.mig", "dir/absent", "absent"])
def test_nothing_there(name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("MIGRATABLE_DATA", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ProfileError, match="no such file"):
        open_source(name)


def test_no_stream(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("hello\n")
    with pytest.raises(StreamError):
        open_source(str(path))


def test_folder(tmp_path: Path) -> None:
    with pytest.raises(ProfileError, match="not a regular file"):
        open_source(str(tmp_path))


@pytest.mark.parametrize("text", ["qmp:", "libvirt:"])
def test_live_without_name(text: str) -> None:
    assert is_live(text)
    with pytest.raises(CaptureError, match="names no VM"):
        open_source(text)


def test_any_user_may_call_a_process_like_a_domain(monkeypatch: pytest.MonkeyPatch) -> None:
    identity = str(uuid.uuid4())
    monitor = object.__new__(LibvirtMonitor)
    monitor._domain = "web1"
    done = subprocess.CompletedProcess([], 0, stdout=f"{identity.upper()}\n", stderr="")
    monkeypatch.setattr(monitor, "_run", lambda *_words: done)
    sleeper = [sys.executable, "-c", "import time; print(flush=True); time.sleep(60)"]
    started: list[subprocess.Popen[bytes]] = []
    try:
        for words in (
            ["-uuid"],
            ["-uuid", identity],
            ["-uuid", identity],
        ):
            process = subprocess.Popen([*sleeper, *words], stdout=subprocess.PIPE)
            started.append(process)
            assert process.stdout is not None
            process.stdout.readline()
            found = monitor.process()
            assert found == (process.pid if len(started) == 2 else None)
    finally:
        for process in started:
            process.kill()
            process.communicate()
