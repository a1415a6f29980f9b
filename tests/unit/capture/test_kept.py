"""What a capture keeps of its VM, and the secrets that it does not keep."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from migratable import redact
from migratable.capture.kept import SCHEMA, Kept, kept_in, put
from migratable.capture.source import open_source
from migratable.errors import StreamError
from migratable.profile.bundled import find
from migratable.profile.model import Profile
from migratable.profile.store import Store, without_secrets
from migratable.releases import QemuVersion
from migratable.stream import Stream, read, write

LINE = ("/opt/qemu/bin/qemu-system-ppc64", "-M", "pseries-10.0", "-name", "guest=db\u00e9")


def _stream() -> Stream:
    return read(find("pseries-10.0").stream)


def _kept(**altered: Any) -> Kept:
    profile = Profile(
        version=QemuVersion(10, 0, 13, "Debian"),
        machine="pseries-10.0",
        target="ppc64",
        cpu_model="power9_v2.2",
        cpu_features=({"features": 5, "cpuid-register": "EDX"},),
        wants_kvm=True,
        command_line=LINE,
        taken="2026-01-01T00:00:00+00:00",
    )
    return Kept(profile=replace(profile, **altered), guest="db", status="running")


def test_there_and_back(tmp_path: Path) -> None:
    stream = _stream()
    data = write(put(stream, _kept()))
    again = read(data)
    assert [bytes(one.body) for one in again.sections] == [
        bytes(one.body) for one in stream.sections
    ]
    assert again.vmdesc is not None
    assert stream.vmdesc is not None
    assert again.vmdesc.devices == stream.vmdesc.devices
    path = tmp_path / "db.mig"
    path.write_bytes(data)
    source = open_source(str(path))
    assert source.profile is not None
    assert source.profile.command_line == ("qemu-system-ppc64", *LINE[1:])
    assert source.profile.version == QemuVersion(10, 0, 13, "Debian")
    assert source.profile.cpu_features == ({"features": 5, "cpuid-register": "EDX"},)
    assert source.profile.accelerator == "kvm"
    assert source.facts["release"] == "10.0.13"
    assert source.facts["kind"] == "stream"
    assert kept_in(stream) is None


def test_program_of_a_file_is_never_a_path_or_another_command() -> None:
    for first, expected in (
        ("/tmp/evil/qemu-system-x86_64", "qemu-system-x86_64"),
        ("/bin/rm", None),
        ("qemu-system-x86_64;rm", None),
    ):
        kept = kept_in(read(write(put(_stream(), _kept(command_line=(first, "-S"))))))
        assert kept is not None
        assert kept.profile.command_line == ((expected, "-S") if expected else ())


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("command_line", "qemu", "list expected, got str"),
        ("command_line", ["a", 1], "string expected, got int"),
        ("command_line", ["a\0b"], "words expected"),
        ("command_line", ["a"] * 20_000, "at most 10000 words"),
        ("release", "ten", "release"),
        ("machine", 7, "string expected, got int"),
        ("cpu_features", [1], "object expected, got int"),
    ],
)
def test_damaged_member_names_its_place(name: str, value: object, words: str) -> None:
    stream = put(_stream(), _kept())
    assert stream.vmdesc is not None
    document = {**stream.vmdesc.extra["migratable"], name: value}
    raw = stream.vmdesc.raw.replace(
        json.dumps(stream.vmdesc.extra["migratable"]).encode(), json.dumps(document).encode()
    )
    data = write(replace(stream, vmdesc=replace(stream.vmdesc, raw=raw)))
    with pytest.raises(StreamError, match=words) as raised:
        kept_in(read(data))
    assert f"vmdesc.migratable.{name}" in str(raised.value)


def test_another_schema_is_passed_over() -> None:
    stream = _stream()
    assert stream.vmdesc is not None
    for extra in ({"schema": "migratable.captured/2"}, ["x"], None):
        vmdesc = replace(stream.vmdesc, extra={"migratable": extra})
        assert kept_in(replace(stream, vmdesc=vmdesc)) is None
    assert SCHEMA == "migratable.captured/1"


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("-object secret,id=s0,data=hunter2", "-object secret,id=s0,data=redacted"),
        ("-object secret,id=s,data=a,,b,x=1", "-object secret,id=s,data=redacted,x=1"),
        ("-object rng-random,id=r,filename=/dev/random", None),
        ('-object {"qom-type":"secret","id":"s","data":"x"}',
         '-object {"qom-type":"secret","id":"s","data":"redacted"}'),
        ("-spice port=5900,password=pw,seamless-migration=on",
         "-spice port=5900,password=redacted,seamless-migration=on"),
        ("-vnc :1,password=on,password-secret=s0", None),
        ("-vnc :1,password", None),
        ("-iscsi user=u,password=p", "-iscsi user=u,password=redacted"),
        ("-drive file=iscsi://u%25p@host/iqn/0,if=none",
         "-drive file=iscsi://redacted@host/iqn/0,if=none"),
        ("-drive file=rbd:pool/i:id=a:key=AQ==:conf=/c",
         "-drive file=rbd:pool/i:id=a:key=redacted:conf=/c"),
        ('-blockdev {"driver":"https","url":"https://h","cookie":"k=v","password-secret":"s"}',
         '-blockdev {"driver":"https","url":"https://h","cookie":"redacted","password-secret":"s"}'),
        ("-blockdev {broken", "-blockdev redacted"),
        ("-fw_cfg name=opt/x,string=token", "-fw_cfg name=opt/x,string=redacted"),
        ("-smbios type=11,value=io.systemd.credential:x=y", "-smbios type=11,value=redacted"),
        ("-smbios type=1,serial=abc", None),
        ("-kernel /k -append root=/dev/vda", "-kernel /k -append redacted"),
        ("-device virtio-net-pci,netdev=n,mac=52:54:00:00:00:01", None),
        ("-S -m 1G", None),
        ("-append --- -m 1G", "-append redacted -m 1G"),  # an argument that looks like an option
        ("-set object.s0.data=hunter2", "-set object.s0.data=redacted"),
        ("-set device.d.password=hunter2", "-set device.d.password=redacted"),
        ("-set drive.d.file=x", None),
        ("-machine q35,append=token=x", "-machine q35,append=redacted"),
        ("-global driver=d,property=password,value=hunter2",
         "-global driver=d,property=password,value=redacted"),
        ('-drive if=none,file=json:{"driver":"ssh",,"password":"a,,b"}',
         '-drive if=none,file=json:{"driver":"ssh",,"password":"redacted"}'),
        ('-blockdev {"driver":"ssh","password":1234}',
         '-blockdev {"driver":"ssh","password":"redacted"}'),
        ("-drive file=nbd://u:p@ss@host/x", "-drive file=nbd://redacted@host/x"),
        ("nbd://u:hunter2@host/x", "nbd://redacted@host/x"),
        ("-incoming exec:cat", "-incoming redacted"),
        ("-smbios value=x,type=0xb", "-smbios value=redacted,type=0xb"),
        ("-enable-kvm -object secret,id=s,data=x", "-enable-kvm -object secret,id=s,data=redacted"),
    ],
)  # fmt: skip
def test_secrets_of_a_command_line(given: str, expected: str | None) -> None:
    assert " ".join(redact.words(given.split(" "))) == (expected or given)


def test_what_repeats_an_option_has_no_secret_either(tmp_path: Path) -> None:
    line = ("qemu-system-x86_64", "-fw_cfg", "opt/x,string=hunter2", "-append", "-- pw=geheim")
    said = ("-fw_cfg opt/x,string=hunter2: string=x", "-append -- pw=geheim: left out")
    profile = Profile(
        version=QemuVersion(major=10, minor=0, micro=0),
        machine="pc-q35-10.0",
        command_line=line,
        inert=line,
        notes=said,
        unchecked=said,
        stderr=said,
        refused=said,
        no_stream=said[0],
    )
    store = Store(tmp_path)
    store.save("p", profile)
    assert store.path.stat().st_mode & 0o777 == 0o600
    for text in (without_secrets(profile).dumps(), store.load("p").dumps()):
        assert "hunter2" not in text
        assert "geheim" not in text


def test_a_definition_costs_what_its_length_costs() -> None:
    for unit in ("<cmdline>", " passwd='x", "<qemu:env value=", "<oemStrings>", "<cookie a"):
        text = unit * 100_000
        assert len(redact.domain_xml(text)) >= len(text) // 2


def test_secrets_of_a_definition() -> None:
    xml = """<domain><os><cmdline>password=1</cmdline></os>
<devices><graphics type='vnc' passwd='geheim' port='-1'/><disk><source><cookies>
<cookie name='a'>geheim</cookie></cookies></source></disk></devices>
<sysinfo type='smbios'><oemStrings><entry>geheim</entry></oemStrings>
<system><entry name='serial'>kept</entry></system></sysinfo>
<sysinfo type='fwcfg'><entry name='opt/x'>geheim</entry></sysinfo>
<qemu:commandline><qemu:arg value='-object'/><qemu:arg value='secret,id=a,data=geheim'/>
<qemu:arg value='-m'/><qemu:arg value='1&lt;2'/><qemu:env name='T' value='geheim'/>
</qemu:commandline></domain>"""
    found = redact.domain_xml(xml)
    assert "geheim" not in found
    assert "password=1" not in found
    assert "<entry name='serial'>kept</entry>" in found
    assert "value='secret,id=a,data=redacted'" in found
    assert "<qemu:arg value='1&lt;2'/>" in found
