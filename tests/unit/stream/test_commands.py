"""``migratable inspect`` and ``migratable diff``, as a stranger meets them."""

from __future__ import annotations

import json
import lzma
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from migratable.cli import _tree, cli
from migratable.errors import StreamError
from tests.unit.stream import tiny


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(cli, [str(one) for one in arguments])


def output(*arguments: str | Path, status: int = 0) -> str:
    result = run(*arguments)
    assert result.exit_code == status, result.output
    return result.stdout


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    found = {"tiny": tmp_path / "tiny.mig"}
    found["tiny"].write_bytes(tiny.data(pages=(("pc.ram", 0, b"x" * 4096),)))
    for name in ("4.1-pseries-4.1-dual", "10.0-q35", "7.2-q35", "7.2-q35-xen"):
        found[name] = tmp_path / f"{name}.mig"
        found[name].write_bytes(tiny.golden(name))
    return found


def test_a_tree_for_a_person(files: dict[str, Path]) -> None:
    text = output("inspect", files["4.1-pseries-4.1-dual"])
    assert "machine pseries-4.1, page size 4 KiB" in text
    assert "pseries capabilities sent  cap-cfpc=0, cap-sbbc=0" in text
    assert "spapr_iommu 0x80000000" in text
    assert "hash table of 2 MiB" in text
    assert "[" not in text.replace("/[", "")  # no markup is left
    text = output("inspect", files["10.0-q35"])
    assert "commands  SWITCHOVER_START" in text
    assert "guest features none yet (no driver)" in text
    assert "no configuration section" in output("inspect", files["7.2-q35-xen"])


def test_sections(files: dict[str, Path]) -> None:
    text = output("inspect", files["tiny"], "--section", "thing", "--section", "timer/0")
    assert "[1] " not in text
    assert 'blob buffer = "abcd"' in text
    assert "subsection thing/more  version 3" in text
    assert "cpu_ticks_offset int64 = 1" in text
    result = run("inspect", files["tiny"], "--section", "timr")
    assert result.exit_code == 2
    assert "no section 'timr'; the stream has timer" in result.stderr


def test_ram_statistics(files: dict[str, Path]) -> None:
    assert "1 page, 0 zero" in output("inspect", "--ram", files["tiny"])
    found = json.loads(output("inspect", "--ram", "--json", files["tiny"]))
    assert found["ram"]["blocks"][0]["pages"]["normal"] == 1


def test_json(files: dict[str, Path]) -> None:
    found: dict[str, Any] = json.loads(output("inspect", "--json", files["4.1-pseries-4.1-dual"]))
    assert found["schema"] == "migratable.stream/1"
    assert found["configuration"]["machine"] == "pseries-4.1"
    assert found["capabilities"]["cap-hpt-maxpagesize"] == 16
    timer = next(one for one in found["sections"] if one["idstr"] == "timer")
    assert [field["name"] for field in timer["fields"]] == [
        "cpu_ticks_offset",
        "unused",
        "cpu_clock_offset",
    ]
    same = json.loads(output("inspect", "--format", "json", files["4.1-pseries-4.1-dual"]))
    assert same == found
    only = json.loads(output("inspect", "--json", "--section", "cpu", files["10.0-q35"]))
    assert [one["idstr"] for one in only["sections"]] == ["cpu"]
    virtio = json.loads(output("inspect", "--json", "--section", "virtio-rng", files["10.0-q35"]))
    assert virtio["sections"][0]["virtio"]["queues"][0]["num"] == 1024


@pytest.mark.parametrize("name", tiny.NAMES)
def test_every_golden_stream_is_shown(name: str, tmp_path: Path) -> None:
    path = tmp_path / "golden.mig.xz"
    path.write_bytes(lzma.compress(tiny.golden(name), preset=0))
    assert "migration stream in xz" in output("inspect", path)
    for section in json.loads(output("inspect", "--json", path))["sections"]:
        assert "error" not in section, section


def test_trouble(tmp_path: Path) -> None:
    path = tmp_path / "cut.mig"
    path.write_bytes(tiny.data()[:150])
    result = run("inspect", path)
    assert isinstance(result.exception, StreamError)  # main() makes it one line and status 2
    assert result.stdout == ""


def test_diff_of_bundled_profiles() -> None:
    text = output("diff", "--layout", "q35-7.2", "q35-10.0", status=1)
    assert "differences in" in text
    assert "the same state" in output("diff", "q35-7.2", "q35-7.2")
    done = CliRunner().invoke(cli, ["diff", "q35-7.2", "q35-7.3"])
    assert "did you mean q35-7.2?" in str(done.exception)


def test_diff(files: dict[str, Path]) -> None:
    assert "the same state" in output("diff", files["tiny"], files["tiny"])
    text = output("diff", "--layout", files["7.2-q35"], files["10.0-q35"], status=1)
    assert "machine  pc-q35-7.2 → pc-q35-10.0" in text
    assert "virtio / vq[0] / vector  field only in B" in text
    found = json.loads(output("diff", "--json", files["7.2-q35"], files["10.0-q35"], status=1))
    assert found["schema"] == "migratable.diff/1"
    assert found["equal"] is False
    kinds = {one["kind"] for one in found["differences"]}
    assert {"configuration", "section", "field", "layout", "value"} <= kinds
    same = json.loads(output("diff", "--json", files["tiny"], files["tiny"]))
    assert same["equal"] is True
    assert same["differences"] == []
    section = ("--section", "virtio-balloon")
    limited = output("diff", *section, files["7.2-q35"], files["10.0-q35"], status=1)
    assert "machine" not in limited


def test_markup_in_names_is_harmless() -> None:
    tree = _tree.Tree("[bold]x[/]  " + _tree.escape("[red]\x1b[31m\\[b]"))
    assert [_tree.plain(line) for line in tree.lines()] == ["x  [red]\\x1b[31m\\[b]"]


def test_profiles_are_compared_too(files: dict[str, Path], tmp_path: Path) -> None:
    from migratable.profile.model import Profile
    from migratable.profile.store import Store, export
    from migratable.releases import QemuVersion

    old = Profile(
        version=QemuVersion.parse("7.2.22"), machine="pc", cpu_model="qemu64", stream=tiny.data()
    )
    new = Profile(
        version=QemuVersion.parse("10.0.13"), machine="pc", cpu_model="max", stream=tiny.data()
    )
    path = tmp_path / "new.json"
    export(new, path)
    Store().save("old", old)
    text = output("diff", "old", path, status=1)
    assert "qemu  7.2.22 → 10.0.13" in text
    assert "cpu_model  qemu64 → max" in text
    assert text.endswith("\n2 differences\n")
    assert "the same state" in output("diff", "old", "old")
    bare = tmp_path / "bare.mig"
    bare.write_bytes(tiny.data())
    assert "the same state" in output("diff", path, bare)  # a stream knows no release
    empty = tmp_path / "empty.json"
    export(Profile(version=old.version, machine="pc", no_stream="it would not"), empty)
    result = run("diff", empty, bare)
    assert result.exception is not None and "it would not" in str(result.exception)
    assert "no stored profile" in str(run("diff", "nobody", bare).exception)
