from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from migratable.errors import LabError
from migratable.lab.apt import Apt, explain, only_expired, past_its_date, tool

EXPIRED = (
    "E: Release file for http://m.example/debian/dists/forky/InRelease is expired "
    "(invalid since 16d 12h 1min 3s). Updates for this repository will not be applied.\n"
)
UNSIGNED = "E: The repository 'http://m.example/debian forky Release' is not signed.\n"

FAKE = """\
#!/bin/sh
echo "$0 $*" >>"$LOG"
case $* in
*Check-Valid-Until=false*update*) exit 0 ;;
*update*) cat "$STDERR" >&2; [ ! -s "$STDERR" ]; exit ;;
*--print-uris*)
    echo "'http://m.example/pool/b_1%3a2.0_amd64.deb' b_1%3a2.0_amd64.deb 7 SHA256:00"
    echo "'http://m.example/pool/a_1-1_all.deb' a_1-1_all.deb 5 SHA256:00" ;;
*--download-only*)
    fd=$(echo "$*" | sed 's/.*Status-Fd=\\([0-9]*\\).*/\\1/')
    {
        echo 'dlstatus:1:50:Retrieving file 1 of 2'
        echo 'pmstatus:x'
        echo 'dlstatus:2:100.0:Retrieving: file 2'
    } >/proc/self/fd/$fd
    [ -z "$HANG" ] || { echo $$ >"$HANG"; exec sleep 100; } ;;
*policy*here*) printf 'here:\\n  Installed: (none)\\n  Candidate: 1:2.0-3\\n' ;;
*policy*virtual*) printf 'virtual:\\n  Installed: (none)\\n  Candidate: (none)\\n' ;;
*--print-architecture*) echo amd64 ;;
esac
"""


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Programs of apt's names that say what the test wants; returns the log of their calls."""
    folder = tmp_path / "fake"
    folder.mkdir()
    for name in ("apt-get", "apt-cache", "dpkg"):
        (folder / name).write_text(FAKE)
        (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    monkeypatch.setenv("LOG", str(folder / "log"))
    monkeypatch.setenv("STDERR", str(folder / "stderr"))
    monkeypatch.setenv("HANG", "")
    (folder / "stderr").touch()
    return folder


def test_nothing_is_said_of_a_suite_within_its_date(fake: Path, tmp_path: Path) -> None:
    assert Apt(tmp_path / "apt", "").update(lambda share, words: None) is None
    assert "Check-Valid-Until" not in (fake / "log").read_text()


def test_an_expired_suite_is_refused(fake: Path, tmp_path: Path) -> None:
    (fake / "stderr").write_text(EXPIRED)
    with pytest.raises(LabError, match=r"past their date(?s:.*)--allow-expired"):
        Apt(tmp_path / "apt", "").update(lambda share, words: None)
    assert "Check-Valid-Until=false" not in (fake / "log").read_text()


def test_an_expired_suite_is_taken_when_that_is_allowed(fake: Path, tmp_path: Path) -> None:
    (fake / "stderr").write_text(EXPIRED)
    apt = Apt(tmp_path / "apt", "", allow_expired=True)
    (tmp_path / "apt/lists/x_InRelease").write_text("Valid-Until: Fri, 06 Nov 2020 08:08:01 UTC\n")
    assert apt.update(lambda share, words: None) == "Fri, 06 Nov 2020 08:08:01 UTC"
    assert "Check-Valid-Until=false" in (fake / "log").read_text()


@pytest.mark.parametrize("more", [UNSIGNED, "W: GPG error: NO_PUBKEY 0E98404D386FA1D9\n"])
def test_an_expired_suite_with_another_fault_does_not(
    fake: Path, tmp_path: Path, more: str
) -> None:
    (fake / "stderr").write_text(EXPIRED + more)
    with pytest.raises(LabError, match="the signature of the package lists cannot be verified"):
        Apt(tmp_path / "apt", "").update(lambda share, words: None)
    assert "Check-Valid-Until=false" not in (fake / "log").read_text()


def test_only_expired() -> None:
    assert only_expired(EXPIRED)
    assert only_expired(EXPIRED * 2 + "some other line\n")
    assert not only_expired("")
    assert not only_expired(UNSIGNED)
    assert not only_expired(EXPIRED + UNSIGNED)
    assert not only_expired(EXPIRED.replace("is expired (invalid since", "is not valid yet (until"))


def test_past_its_date() -> None:
    assert past_its_date("Suite: x\nValid-Until: Sat, 07 Nov 2020 08:00:00 UTC\nX: y\n")
    assert past_its_date("Valid-Until: Sat, 07 Nov 2020 08:00:00 +0100")
    assert past_its_date("Valid-Until: Sat, 07 Nov 2999 08:00:00 UTC") is None
    assert past_its_date("Date: Sat, 07 Nov 2020 08:00:00 UTC") is None
    assert past_its_date("Valid-Until: whenever") is None


@pytest.mark.parametrize(
    ("said", "cause"),
    [
        (UNSIGNED, "signature"),
        ("W: GPG error: … The following signatures couldn't be verified", "signature"),
        ("E: The repository 'x' does not have a Release file.", "the mirror does not have it"),
        ("E: Failed to fetch http://m/x.deb  404  Not Found", "the mirror does not have it"),
        ("E: Failed to fetch … Temporary failure resolving 'm'", "cannot be reached"),
        ("E: Failed to fetch … Hash Sum mismatch", "being renewed"),
        ("E: Release file … is not valid yet (invalid for another 3h)", "set this machine's clock"),
        ("E: You don't have enough free space in /x", "disk is full"),
        ("E: Something new", "apt failed"),
        ("", "apt failed without a message"),
    ],
)
def test_causes_keep_apts_own_words(said: str, cause: str) -> None:
    assert cause in explain(said)
    assert said.strip() in explain(said)


def test_resolve_and_candidate(fake: Path, tmp_path: Path) -> None:
    apt = Apt(tmp_path / "apt", "")
    first, second = apt.resolve(["b"])
    assert (first.name, first.version, first.size) == ("a", "1-1", 5)
    assert (second.name, second.version, second.file) == ("b", "1:2.0", "b_1%3a2.0_amd64.deb")
    assert apt.candidate("here") == "1:2.0-3"
    assert apt.candidate("virtual") is None
    assert apt.candidate("gone") is None


def test_progress(fake: Path, tmp_path: Path) -> None:
    seen: list[tuple[float, str]] = []
    Apt(tmp_path / "apt", "").fetch(["b"], lambda share, words: seen.append((share, words)))
    assert seen == [(0.5, "Retrieving file 1 of 2"), (1.0, "Retrieving: file 2")]


def test_an_interruption_leaves_no_apt_behind(
    fake: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HANG", str(tmp_path / "pid"))

    def interrupt(share: float, words: str) -> None:
        if share == 1.0:
            while not (tmp_path / "pid").exists() or not (tmp_path / "pid").read_text():
                pass
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Apt(tmp_path / "apt", "").fetch(["b"], interrupt)
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 0)


def test_everything_apt_writes_is_in_its_folder(fake: Path, tmp_path: Path) -> None:
    Apt(tmp_path / "an apt", "the sources")
    text = (tmp_path / "an apt/apt.conf").read_text()
    folders = re.findall(r'^(?:Dir::\S+) "(.*)";$', text, re.MULTILINE)
    assert len(folders) > 8
    assert all(Path(folder).is_relative_to(tmp_path / "an apt") for folder in folders)
    assert ("Sandbox" in text) == (os.geteuid() == 0)
    assert (tmp_path / "an apt/lab.sources").read_text() == "the sources"


@pytest.mark.parametrize("name", ["apt-get", "dpkg-deb"])
def test_a_missing_tool(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(LabError, match=f"{name} is not on this machine.*package (apt|dpkg);"):
        tool(name)
