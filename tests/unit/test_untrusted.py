"""Untrusted names, files and places: what they may not do to a terminal, to time, or to us."""

import gzip
import io
import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from migratable import toml_file
from migratable.errors import ContainerError, ProfileError, StreamError
from migratable.explain.logs import pieces
from migratable.messages.catalogue import messages
from migratable.printable import Terminal, printable, shown
from migratable.profile import store
from migratable.profile.bundled import find, names
from migratable.profile.model import Profile
from migratable.stream import read
from migratable.stream.containers import recognise
from migratable.stream.containers.container import Opening
from migratable.verdict import Basis, Finding, Outcome, Severity, Verdict

HOSTILE = "a\x1b[8mb\n\u202ec\x9bd\x07"
SAFE = r"a\x1b[8mb\x0a\u202ec\x9bd\x07"


def test_one_function_escapes() -> None:
    assert printable(HOSTILE) == SAFE
    assert printable(HOSTILE, lines=True) == SAFE.replace(r"\x0a", "\n")
    assert printable("naïve – plain") == "naïve – plain"


def test_errors_about_a_stream_are_one_line() -> None:
    assert str(StreamError(f"section {HOSTILE}", offset=1)) == f"section {SAFE} at byte 1 (0x1)"


def test_a_verdict_is_shown_line_for_line() -> None:
    finding = Finding(
        rule="x", severity=Severity.REFUSES, summary=HOSTILE, explanation=HOSTILE, stderr=(HOSTILE,)
    )
    verdict = Verdict(
        outcome=Outcome.REFUSED,
        basis=Basis.PREDICTED,
        findings=(finding,),
        source={"name": HOSTILE, "n": 1},
    )
    found = shown(verdict)
    assert found.findings[0].summary == SAFE
    assert found.findings[0].stderr == (SAFE,)
    assert found.findings[0].severity is Severity.REFUSES
    assert found.source == {"name": SAFE, "n": 1}
    assert shown(replace(found)) == found


def test_what_reaches_a_file_or_terminal() -> None:
    class Tty(io.BytesIO):
        def isatty(self) -> bool:
            return True

    for raw, ours in ((io.BytesIO(), r"\x1b[1m"), (Tty(), "\x1b[1m")):
        stream = Terminal(raw, encoding="latin-1", errors="backslashreplace")
        stream.write("\x1b[1mbold \x1b]0;title\x07 \x9b8m \u202e – end\n")
        stream.flush()
        said = raw.getvalue().decode("latin-1")
        assert said == ours + r"bold \x1b]0;title\x07 \x9b8m \u202e \u2013 end" + "\n"


def test_the_cursor_is_moved_by_a_status_line_alone() -> None:
    class Tty(io.BytesIO):
        def isatty(self) -> bool:
            return True

    raw = Tty()
    stream = Terminal(raw, encoding="utf-8")
    drawn = "\r\x1b[2K\x1b[1A\x1b[2K\x1b[32m⠋\x1b[0m loading"
    stream.write(drawn)
    stream.flush()
    assert raw.getvalue().decode() == drawn
    raw.seek(0)
    raw.truncate()
    more = "\x1b[38;5;8md\x1b[18m\n"
    stream.write(f"refused: a\x1b[1A\x1b[2K\x1b[8mb\x1b[0;8mc\rloads\x1b[?25l{more}")
    stream.flush()
    assert raw.getvalue().decode() == (
        r"refused: a\x1b[1A\x1b[2K\x1b[8mb\x1b[0;8mc\x0dloads\x1b[?25l" + more
    )


def test_a_log_has_no_escapes_that_json_hid() -> None:
    hidden = r"\u001b[1A\u001b[2K\u001b[32m"
    line = f'{{"msg":"qemu-system-x86_64: Unknown {hidden}section","level":"error"}}'
    assert [piece.text for piece in pieces(line.encode())] == [
        "qemu-system-x86_64: Unknown section"
    ]
    assert [piece.text for piece in pieces("error: \x9b8mfailed".encode())] == ["error: 8mfailed"]


def _run(*words: str, **more: object) -> "subprocess.CompletedProcess[bytes]":
    command = [sys.executable, "-m", "migratable", *words]
    return subprocess.run(command, check=False, timeout=120, stderr=subprocess.PIPE, **more)  # type: ignore[call-overload,no-any-return]


@pytest.mark.slow
def test_full_closed_and_foreign_outputs(tmp_path: Path) -> None:
    with Path("/dev/full").open("wb") as full:
        done = _run("rule", "machine-type", stdout=full)
    assert done.returncode == 2
    assert b"No space left" in done.stderr
    assert b"Traceback" not in done.stderr
    done = _run("rule", "machine-type", stdout=subprocess.DEVNULL, preexec_fn=lambda: os.close(0))
    assert done.returncode == 0
    shell = f"{sys.executable} -m migratable rule machine-type >&-"
    assert subprocess.run(["sh", "-c", shell], check=False, timeout=120).returncode == 0
    done = _run(
        "explain",
        "/dev/null",
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONIOENCODING": "latin-1"},
    )
    assert b"Traceback" not in done.stderr
    folder = tmp_path / "gone"
    folder.mkdir()
    shell = f"cd {folder} && rmdir {folder} && exec {sys.executable} -m migratable check x --to y"
    found = subprocess.run(["sh", "-c", shell], check=False, timeout=120, stderr=subprocess.PIPE)
    assert found.returncode == 2
    assert b"bug of migratable" not in found.stderr


@pytest.mark.slow
@pytest.mark.parametrize("name", ["fifo", "/dev/zero"])
def test_no_command_waits_for_a_fifo_or_reads_a_device(name: str, tmp_path: Path) -> None:
    path = name if name.startswith("/") else str(tmp_path / name)
    if not name.startswith("/"):
        os.mkfifo(path)
    for words in (
        ["inspect", path],
        ["diff", path, path],
        ["explain", path],
        ["check", path, "--to", names()[0]],
        ["check", names()[0], "--to", path],
        ["check", names()[0], "--to", names()[0], "--project", path],
        ["profile", "--show", path],
    ):
        done = _run(*words, stdout=subprocess.DEVNULL)
        assert done.returncode == 2, words


def test_many_small_members_are_a_bomb() -> None:
    for pack in (gzip.compress, __import__("bz2").compress):
        data = memoryview(pack(b"") * 20_000)
        container = recognise(data)
        assert container is not None
        with pytest.raises(ContainerError, match="members of"):
            container.open(data, Opening())
    parts = [os.urandom(1000) for _ in range(3000)]  # many that are no bomb
    data = memoryview(b"".join(map(gzip.compress, parts)))
    container = recognise(data)
    assert container is not None
    assert container.open(data, Opening()).data == b"".join(parts)


def test_a_profile_of_millions_of_values() -> None:
    text = json.dumps({"schema": "migratable.profile/1", "pci_devices": []})
    bomb = text.replace("[]", "[" + "[]," * 4_000_001 + "[]]")
    with pytest.raises(ProfileError, match="values"):
        Profile.loads(bomb)
    with pytest.raises(ProfileError, match="values"):
        Profile.loads(bomb.encode())


def test_patterns_have_no_unbounded_repetition_before_text() -> None:
    """What a search costs grows with the line, not with its square: by design, for each pattern.

    A repetition without a bound may only stand at the end, where it cannot fail.
    """
    seen = 0
    for message in messages():
        for text in message.recognised:
            for part, following in zip(
                text.template.parts, [*text.template.parts[1:], ""], strict=True
            ):
                if not isinstance(part, str) and following:
                    after = following if isinstance(following, str) else " "
                    pattern = part.pattern(after)
                    bare = pattern.replace("\\+", "").replace("\\*", "")
                    assert not any(mark in bare.split("[")[0] for mark in "*+"), pattern
                    assert "]*" not in bare, pattern
                    assert "]+" not in bare, pattern
                    seen += 1
    assert seen > 500


def test_exported_profiles_hold_no_secrets(tmp_path: Path) -> None:
    profile = find(names()[0])
    secret = ["-object", "secret,id=s,data=hunter2", "-fw_cfg", "name=opt/x,string=hunter2"]
    profile = replace(profile, command_line=(*profile.command_line, *secret))
    path = tmp_path / "p.json"
    store.export(profile, path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert "hunter2" not in path.read_text()
    assert store.load_file(path).machine == profile.machine


def test_a_full_disk_leaves_no_empty_store(tmp_path: Path) -> None:
    (tmp_path / "profiles.sqlite").touch()
    assert store.Store(tmp_path).list() == ()
    with pytest.raises(ProfileError, match="no stored profile"):
        store.Store(tmp_path).load("x")


def test_another_users_project_file_decides_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / toml_file.PROJECT).write_text("broken [")
    below = tmp_path / "a" / "b"
    below.mkdir(parents=True)
    assert toml_file.find_project(below) == tmp_path / toml_file.PROJECT
    owner = (tmp_path / toml_file.PROJECT).stat().st_uid
    if owner == 0:
        os.chown(tmp_path / toml_file.PROJECT, 12345, -1)
    monkeypatch.setattr(os, "geteuid", lambda: 54321)
    assert toml_file.find_project(below) != tmp_path / toml_file.PROJECT


def test_a_file_that_shrinks(tmp_path: Path) -> None:
    """Small files are read: nobody can take a page away from under us."""
    from migratable.stream.containers import map_file

    path = tmp_path / "s"
    path.write_bytes(bytes(10_000))
    view = map_file(path)
    os.truncate(path, 0)
    assert bytes(view) == bytes(10_000)


@pytest.mark.slow
def test_names_of_a_stream_are_escaped_everywhere(tmp_path: Path) -> None:
    data = find(names()[0]).stream
    section = read(data).sections[-1].idstr.encode()
    bad = (b"\x1b[8m\n\xe2\x80\xae" + b"x" * len(section))[: len(section)]
    path = tmp_path / "s.mig"
    path.write_bytes(data.replace(section, bad, 1))
    for words in (["check", str(path), "--to", names()[0]], ["inspect", str(path)]):
        done = _run(*words, stdout=subprocess.PIPE)
        for text in (
            done.stdout.decode("utf-8", "replace"),
            done.stderr.decode("utf-8", "replace"),
        ):
            assert "\x1b" not in text
            assert "\u202e" not in text


_SHRINK = """
import os, sys, threading, zlib
from pathlib import Path
from migratable import shrinking
from migratable.stream.containers import map_file
shrinking.wanted = sys.argv[2] != "unwanted"
view = map_file(Path(sys.argv[1]))
os.truncate(sys.argv[1], 4096)
way = {
    "index": lambda: view[9 << 20],
    "copy": lambda: bytes(view[4 << 20 :]),
    "released": lambda: zlib.crc32(view),  # without Python's lock
    "unwanted": lambda: view[9 << 20],
}[sys.argv[2]]
thread = threading.Thread(target=way)
thread.start()
thread.join()
print("went on")
"""


@pytest.mark.parametrize("way", ["index", "copy", "released", "unwanted"])
def test_a_mapped_file_that_shrinks_is_said(way: str, tmp_path: Path) -> None:
    path = tmp_path / "s"
    with path.open("wb") as file:
        file.truncate(10 << 20)
    done = subprocess.run(
        [sys.executable, "-c", _SHRINK, str(path), way],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.stdout == ""
    if way == "unwanted":  # a program of somebody else's is not meddled with
        assert done.returncode == -signal.SIGBUS
        return
    assert done.stderr.startswith("migratable: a file was shortened while it was read")
    assert done.returncode == 2


def test_a_stream_that_shrinks_while_it_is_read(tmp_path: Path) -> None:
    """The whole command: status 2, one line, whatever it was doing."""
    path = tmp_path / "s.mig"
    path.write_bytes(find(names()[0]).stream)
    done: list[subprocess.CompletedProcess[bytes]] = []
    for _ in range(3):
        with path.open("r+b") as file:
            file.truncate(64 << 20)
        process = subprocess.Popen(
            [sys.executable, "-m", "migratable", "inspect", str(path)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
        while str(path) not in Path(f"/proc/{process.pid}/maps").read_text():
            if process.poll() is not None:
                break
        os.truncate(path, 4096)
        _, said = process.communicate(timeout=60)
        done.append(subprocess.CompletedProcess([], process.returncode, b"", said))
    for one in done:
        assert one.returncode == 2
        assert one.stderr.startswith(b"migratable: ")
        assert b"Traceback" not in one.stderr


TOML_BOMBS = {
    "lists": "a = " + "[" * 20_000 + "]" * 20_000,
    "tables": "a = " + "{a=" * 5_000 + "1" + "}" * 5_000,
    "a number": "a = " + "9" * 100_000,
    "a key": ".".join("a" * 20_000) + " = 1\n",
    "a table's name": "[" + ".".join("a" * 20_000) + "]\n",
    "no text": "a=\x00",
}


@pytest.mark.slow
@pytest.mark.parametrize("name", [*TOML_BOMBS, "fifo", "zero"])
def test_tables_of_somebody_else(name: str, tmp_path: Path) -> None:
    path = tmp_path / "t.toml"
    if name == "fifo":
        os.mkfifo(path)
    elif name == "zero":
        path.symlink_to("/dev/zero")
    else:
        path.write_text(TOML_BOMBS[name])
    for words in (
        ["check", names()[0], "--to", names()[0], "--project", str(path)],
        ["matrix", str(path)],
        ["whatif", str(path)],
    ):
        done = _run(*words, stdout=subprocess.DEVNULL)
        assert done.returncode == 2, words
        assert b"Traceback" not in done.stderr, words
        assert str(path).encode() in done.stderr, words


@pytest.mark.parametrize("value", ["null", "1e999", "[]", "{}", '"x"'])
@pytest.mark.parametrize("key", ["flags", "offset", "num", "size"])
def test_a_field_of_a_profile_that_is_no_number(key: str, value: str) -> None:
    document = json.loads(find("q35-10.0").dumps())
    tables = document["loader"]["vmsds"]
    fields = next(one["fields"] for one in tables if len(one["fields"]) > 3)
    fields[1][key] = "@"
    text = json.dumps(document).replace('"@"', value)
    with pytest.raises(ProfileError):
        Profile.loads(text)


def test_a_number_without_end_in_a_profile() -> None:
    document = json.loads(find("q35-10.0").dumps())
    name = next(iter(document["loader"]["extra"]), "x")
    document["loader"]["extra"][name] = "@"
    with pytest.raises(ProfileError):
        Profile.loads(json.dumps(document).replace('"@"', "1e999"))


@pytest.mark.slow
@pytest.mark.parametrize("piece", ['{"a":', ":", "('", "qemu-", "x:/", "kvm["])
def test_long_lines_of_a_log(piece: str, tmp_path: Path) -> None:
    """Forty lines, each of which would take some ten seconds by the square of its length."""
    path = tmp_path / "log"
    path.write_text((piece * (65_000 // len(piece)) + "\n") * 40)
    done = _run("explain", str(path), stdout=subprocess.DEVNULL)
    assert done.returncode == 0
    assert b"Traceback" not in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    ("before", "piece"),
    [
        ("qemu-system-x86_64: Hyper-V", " "),
        ("qemu-system-x86_64: Hyper-V", "\u3000"),
        ("qemu-system-x86_64: Hyper-V", "&nbsp;"),
        ('{"message": "qemu: Hyper-V', "\\t"),
        ("error | ", " "),
        ("error ", "."),
        ("error: ", "-"),
        ("failed ", "1"),
        ("migration ", "_"),
        ("", "12 "),
        ("", "!"),
    ],
)
def test_one_character_without_end(before: str, piece: str, tmp_path: Path) -> None:
    """Twenty lines, each of which took ten seconds and more by its square or cube."""
    path = tmp_path / "log"
    line = f'{before}{piece * (50_000 // len(piece.encode()))} failed x"}}\n'
    path.write_text(line * 20, encoding="utf-8")
    done = _run("explain", str(path), stdout=subprocess.DEVNULL)
    assert done.returncode in (0, 3)
    assert b"Traceback" not in done.stderr
