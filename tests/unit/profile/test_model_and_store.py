"""Profiles as files and by name; hostile ones are refused with their place."""

import contextlib
import json
import multiprocessing
import zlib
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from migratable.cli import cli
from migratable.errors import ProfileError
from migratable.profile import bundled, store
from migratable.profile.model import Profile
from migratable.profile.store import Store
from migratable.qemu.vmstate_dump import mend
from migratable.releases import QemuVersion


def profile(**more: object) -> Profile:
    members: dict[str, object] = {
        "version": QemuVersion(10, 0, 13, "Debian"),
        "machine": "pc-q35-10.0",
        "stream": b"QEVM" + bytes(1000),
        "ram_blocks": {"pc.ram": (1 << 30, 1 << 30)},
        "notes": ("a", "b"),
        "taken": "2026-01-01T00:00:00+00:00",
        **more,
    }
    return Profile(**members)  # type: ignore[arg-type]


def test_json_round_trip() -> None:
    one = profile()
    again = Profile.loads(one.dumps())
    assert again == one
    assert again.version.package == "Debian"


BAD = {
    "not JSON": ("{", "not JSON"),
    "no profile": ("[]", "no profile"),
    "another schema": ('{"schema": "migratable.profile/99"}', "schema"),
    "no version": ('{"schema": "migratable.profile/1"}', "version"),
    "not a number": ('{"schema": NaN}', "not JSON"),
    "deep": ("[" * 100_000, "not JSON"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_files(name: str) -> None:
    text, says = BAD[name]
    with pytest.raises(ProfileError, match=says):
        Profile.loads(text)


@pytest.mark.parametrize(
    ("member", "value", "says"),
    [
        ("stream", "***", "stream: not base64"),
        ("stream", "AAAA", "stream: damaged"),
        ("machine", 3, "machine: string expected, got int"),
        ("notes", ["a", 1], r"notes\[1\]: string expected, got int"),
        ("ram_blocks", [["a", -1, 0]], r"ram_blocks\[0\]"),
        ("ram_blocks", [["a", True, 0]], r"ram_blocks\[0\]"),
        ("pvr", "x", "pvr"),
        ("kvmclock", 1, "kvmclock"),
        ("block_page_sizes", {"a": "b"}, "block_page_sizes.a"),
    ],
)
def test_bad_members(member: str, value: object, says: str) -> None:
    document = profile().to_json() | {member: value}
    with pytest.raises(ProfileError, match=says):
        Profile.loads(json.dumps(document), origin="f.json")


def test_compression_bomb() -> None:
    import base64

    bomb = base64.b64encode(zlib.compress(bytes(300 << 20), 9)).decode()
    with pytest.raises(ProfileError, match="more than"):
        Profile.from_json(profile().to_json() | {"stream": bomb})


MEMBERS = sorted(profile().to_json())
ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3)
    ),
    max_leaves=6,
)


@given(st.sampled_from(MEMBERS), ANY)
def test_any_member_is_read_or_refused_properly(member: str, value: object) -> None:
    document = profile().to_json() | {member: value}
    with contextlib.suppress(ProfileError):
        Profile.from_json(document)


def test_store(tmp_path: Path) -> None:
    kept = Store(tmp_path / "sub")
    assert kept.list() == ()
    with pytest.raises(ProfileError, match="no stored profile"):
        kept.load("a")
    kept.save("a", profile())
    kept.save("b", profile(machine="x"))
    kept.save("a", profile(machine="y"))
    assert [(one.name, one.machine) for one in kept.list()] == [("a", "y"), ("b", "x")]
    assert kept.load("a").machine == "y"
    kept.remove("a")
    with pytest.raises(ProfileError, match="no stored profile"):
        kept.remove("a")
    with pytest.raises(ProfileError, match="there are: b"):
        kept.load("a")


@pytest.mark.parametrize("name", ["", "../x", "a/b", "-a", "a b", "x" * 101])
def test_names(name: str, tmp_path: Path) -> None:
    with pytest.raises(ProfileError, match="not a name"):
        Store(tmp_path).save(name, profile())


def test_damaged_store(tmp_path: Path) -> None:
    kept = Store(tmp_path)
    kept.path.write_bytes(b"not a database, but long enough to be taken for one" * 20)
    for use in (kept.list, lambda: kept.load("a"), lambda: kept.save("a", profile())):
        with pytest.raises(ProfileError, match="sqlite"):
            use()


def _save_many(folder: str, who: int) -> None:
    for number in range(10):
        Store(Path(folder)).save(f"p{who}-{number}", profile())


def test_several_writers(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=_save_many, args=(str(tmp_path), n)) for n in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    assert [worker.exitcode for worker in workers] == [0, 0, 0]
    assert len(Store(tmp_path).list()) == 30


def test_export(tmp_path: Path) -> None:
    path = tmp_path / "p.json"
    store.export(profile(), path)
    assert store.load_file(path) == profile()
    with pytest.raises(ProfileError):
        store.export(profile(), tmp_path / "no" / "p.json")
    assert [one.name for one in tmp_path.iterdir()] == ["p.json"]
    (tmp_path / "bad.gz").write_bytes(b"\x1f\x8b\x08broken")
    with pytest.raises(ProfileError, match="gzip"):
        store.load_file(tmp_path / "bad.gz")


def test_bundled_names_are_found() -> None:
    for name in bundled.names():
        assert bundled.load(name).machine
    with pytest.raises(ProfileError, match="no bundled profile"):
        bundled.load("nothing")


def test_mend() -> None:
    whole = '{\n  "vmschkmachine": {\n    "Name": "q"\n  },\n  "b": {\n    "Name": "b"\n  }\n}\n'
    assert mend(whole) == (whole, False)
    cut = whole.removesuffix("\n}\n") + ',\n  "c": {\n   '
    text, mended = mend(cut)
    assert mended
    assert sorted(json.loads(text)) == ["b", "vmschkmachine"]
    with pytest.raises(ProfileError):
        mend("")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ([], "nothing to do"),
        (["--list", "--show", "x"], "--list and --show exclude each other"),
        (["--inert", "--", "-m", "1"], "names no program"),
        (["--save", "a/b", "--", "qemu-system-x86_64"], "not a name"),
        (["--", "/no/such/qemu-9"], "no program"),
    ],
)
def test_usage(arguments: list[str], says: str) -> None:
    found = CliRunner().invoke(cli, ["profile", *arguments])
    assert found.exit_code != 0
    assert says in found.output + str(found.exception)


def test_inert_json() -> None:
    found = CliRunner().invoke(
        cli, ["profile", "--inert", "--format", "json", "--", "qemu-system-x86_64", "-hda", "x"]
    )
    document = json.loads(found.output)
    assert "null-co" in " ".join(document["argv"])
