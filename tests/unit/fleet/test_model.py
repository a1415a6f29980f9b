"""Fleet files: what they mean, and where the mistakes in them are said to be."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from migratable.errors import PlanError
from migratable.fleet.model import Fleet, parse, read_fleet
from migratable.pseries.tables import Table

HOST = '[[host]]\nname = "h"\nrelease = "10.0"\n'
VM = '[[vm]]\nname = "v"\ncommand-line = "qemu-system-x86_64 -M q35"\n'


def fleet(text: str, folder: Path = Path("/nowhere")) -> Fleet:
    return parse(Table(tomllib.loads(text), "fleet.toml"), folder=folder, name="fleet.toml")


def test_every_way_to_name_a_vm(tmp_path: Path) -> None:
    (tmp_path / "captures").mkdir()
    for name in ("a.mig", "b.mig.xz", "c.mig", "c.save"):
        (tmp_path / "captures" / name).write_bytes(b"")
    file = tmp_path / "fleet.toml"
    file.write_text(
        'title = "T"\n'
        '[[vm]]\nname = "one"\nsource = "captures/a.mig"\ngroup = "g"\nguest = "web"\n'
        '[[vm]]\nnames = ["x", "y"]\nsource = "stored-profile"\n'
        '[[vm]]\nname = "live"\nsource = "qmp:/run/x.sock"\n'
        '[[vm]]\nfiles = "captures/*"\n'
        '[[vm]]\nname = "line"\ncommand-line = ["qemu-system-x86_64", "-M", "q35"]\n' + HOST
    )
    found = read_fleet(file)
    assert found.title == "T"
    sources = {vm.name: vm.source for vm in found.vms}
    captures = tmp_path / "captures"
    assert sources == {
        "one": str(captures / "a.mig"),
        "x": "stored-profile",
        "y": "stored-profile",
        "live": "qmp:/run/x.sock",
        "a": str(captures / "a.mig"),
        "b": str(captures / "b.mig.xz"),
        "captures/c.mig": str(captures / "c.mig"),
        "captures/c.save": str(captures / "c.save"),
        "line": "",
    }
    by_name = {vm.name: vm for vm in found.vms}
    assert (by_name["one"].group, by_name["one"].guest) == ("g", "web")
    assert by_name["line"].command_line == ("qemu-system-x86_64", "-M", "q35")
    assert by_name["y"].place == "fleet.toml: vm 2" or by_name["y"].place.endswith(": vm 2")


def test_every_way_to_name_a_host(tmp_path: Path) -> None:
    found = fleet(
        VM + '[[host]]\nname = "p"\nprofile = "plain"\n'
        '[[host]]\nname = "q"\nprofile = "plain"\nprofiles = { web = "sub/web.json", db = "db" }\n'
        '[[host]]\nname = "r"\nrelease = "10.0"\ngroup = "rack"\n'
        '[[host]]\nnames = ["s", "t"]\ncommand = "/usr/bin/qemu-system-x86_64"\n'
        '[[host]]\nname = "u"\nremote = ["ssh", "u", "migratable"]\ncommand = ["qemu-kvm"]\n',
        tmp_path,
    )
    hosts = {host.name: host for host in found.hosts}
    assert hosts["p"].profiles == {"": "plain"}
    assert hosts["q"].profiles == {"": "plain", "web": str(tmp_path / "sub/web.json"), "db": "db"}
    assert (hosts["r"].release, hosts["r"].group) == ("10.0", "rack")
    assert hosts["t"].command == ("/usr/bin/qemu-system-x86_64",)
    assert hosts["u"].remote == ("ssh", "u", "migratable")
    assert hosts["u"].command == ("qemu-kvm",)
    assert [host.has_program for host in found.hosts] == [False, False, True, True, True, True]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (HOST, "no [[vm]]"),
        (VM, "no [[host]]"),
        ("[[vm]]\n" + HOST, "vm 1: give one of name, names and files"),
        ('[[vm]]\nname = "a"\n' + HOST, "vm 1: a VM needs source"),
        ('[[vm]]\nname = ""\nsource = "x"\n' + HOST, "vm 1: '' is not a name"),
        ('[[vm]]\nname = "a\\nb"\nsource = "x"\n' + HOST, "is not a name"),
        ('[[vm]]\nname = 3\nsource = "x"\n' + HOST, "vm 1: name must be a str, not 3"),
        ('[[vm]]\nname = "a"\nfiles = "*"\n' + HOST, "there are name and files"),
        ('[[vm]]\nfiles = "*.mig"\nsource = "x"\n' + HOST, "files and source exclude each other"),
        ('[[vm]]\nfiles = "*.mig"\n' + HOST, "nothing here matches '*.mig'"),
        ('[[vm]]\nnames = []\nsource = "x"\n' + HOST, "names is empty"),
        ('[[vm]]\nnames = ["a", "a"]\nsource = "x"\n' + HOST, "'a' occurs twice"),
        ('[[vm]]\nname = "a"\nsource = ""\n' + HOST, "vm 1: source is empty"),
        ('[[vm]]\nname = "a"\nsource = "x"\nhots = "y"\n' + HOST, "vm 1: unknown member: hots"),
        ('[[vm]]\nname = "a"\nsource = "x"\nrelease = "7.2"\n' + HOST, "only when there is no"),
        ('[[vm]]\nname = "a"\ncommand-line = []\n' + HOST, "command-line is empty"),
        (VM + VM + HOST, "vm 2: the vm 'v' is there already (fleet.toml: vm 1)"),
        (VM + HOST + HOST, "host 2: the host 'h' is there already"),
        (VM + '[[host]]\nname = "a"\n', "host 1: a host needs profile"),
        (VM + HOST + 'command = ["q"]\n', "release and command exclude each other"),
        (VM + HOST + 'remote = ["q"]\n', "release and remote exclude each other"),
        (VM + HOST + 'command = "a \'b"\n', "command: No closing quotation"),
        (VM + '[[host]]\nname = "a"\nprofiles = { web = 3 }\n', "profiles: web must be the name"),
        (VM + HOST + "[other]\nx = 1\n", "unknown member: other"),
        ('vm = "x"\n' + HOST, "vm must be a list"),
        ("vm = [1]\n" + HOST, "vm must be a list of tables"),
    ],
)
def test_mistakes_have_a_place(text: str, words: str) -> None:
    with pytest.raises(PlanError) as error:
        fleet(text)
    assert words in str(error.value)
    assert str(error.value).startswith("fleet.toml")


def test_a_file_that_is_no_fleet(tmp_path: Path) -> None:
    with pytest.raises(PlanError, match="No such file"):
        read_fleet(tmp_path / "fleet.toml")
    (tmp_path / "fleet.toml").write_text("[[vm]\n")
    with pytest.raises(PlanError, match=r"no TOML: .*line 1"):
        read_fleet(tmp_path / "fleet.toml")


MEMBERS = (
    "vm",
    "host",
    "name",
    "names",
    "files",
    "source",
    "profile",
    "profiles",
    "release",
    "command",
    "remote",
    "command-line",
    "guest",
    "group",
    "title",
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(MEMBERS),
            inner,
            max_size=5,
        )
    ),
    max_leaves=20,
)


@given(
    VALUES.filter(lambda value: isinstance(value, dict))
    | st.builds(lambda a, b: {"vm": [a], "host": [b]}, VALUES, VALUES)
)
def test_any_table_is_a_fleet_or_a_plan_error(value: object) -> None:
    assert isinstance(value, dict)
    try:
        found = parse(Table(value, "f"), folder=Path("/nowhere"))
    except PlanError as error:
        assert str(error)
    else:
        assert found.vms
        assert found.hosts
