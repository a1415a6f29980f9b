"""What a command line may name of the host, and in which forms: none of it reaches QEMU."""

import os
from pathlib import Path

import pytest

from migratable.commandline import option as option_text
from migratable.commandline import parse
from migratable.commandline.inert import guard
from migratable.commandline.inert.inert import inert
from migratable.commandline.inert.work import Work
from migratable.commandline.line import CommandLine, Option
from migratable.commandline.option import Fields
from migratable.errors import CommandLineError
from migratable.releases import QemuVersion

FOLDER = Path("/nowhere/private")


def words(*argv: str, release: str | None = "10.0", strict: bool = False) -> str:
    found = inert(
        parse(["qemu-system-x86_64", *argv]),
        release=QemuVersion.parse(release) if release else None,
        private_dir=FOLDER,
        strict=strict,
    )
    return " ".join(found.plain_argv[:-5])


@pytest.mark.parametrize(
    ("given", "made"),
    [
        (
            ["-nic", "none,id=n", "-set", "nic.n.type=tap", "-set", "nic.n.script=/x"],
            "-nic tap,ifname=mig0,script=no,downscript=no,id=n",
        ),
        (
            ["-nic", "user,id=n", "-set", "nic.n.hostfwd=tcp:0.0.0.0:1-:2"],
            "-nic user,restrict=on,id=n",
        ),
        (["-fsdev", "synth,id=f", "-set", "fsdev.f.path=/x"], "-fsdev synth,id=f"),
        (["-fsdev", "synth,id=f", "-set", "fsdev.f.fsdriver=local"], "-fsdev synth,id=f"),
        (
            ["-object", "rng-builtin,id=r", "-set", "object.r.qom-type=filter-dump"],
            "",
        ),
        (["-device", "usb-tablet,id=t", "-set", "device.t.pcap=/x"], "-device usb-tablet,id=t"),
        (
            ["-chardev", "null,id=c", "-set", "chardev.c.backend=file", "-set", "chardev.c.path=x"],
            "-chardev null,id=c",
        ),
        (
            ["-device", "virtio-blk-pci,id=b", "-set", "device.b.num-queues=2"],
            "-device virtio-blk-pci,id=b,num-queues=2",
        ),
        (["-drive", "if=none,id=d", "-set", "drive.d.file=x"], None),  # a null device
    ],
)
def test_set_is_folded_before_anything_is_looked_at(given: list[str], made: str | None) -> None:
    found = words(*given)
    assert "-set" not in found.split()
    assert "null-co" in found if made is None else found == made


@pytest.mark.parametrize(
    "given",
    [
        ["-set", "nonsense"],
        ["-set", "machine.m.type=pc"],
        ["-set", "device.absent.pcap=x"],
        ["-set", "frobnicate.f.x=1"],
        ["-device", "e1000,id=e", "-set", "device.e.id=x"],
        ["-device", "e1000,id=e", "-set", "device.e.a,romfile=x"],
        ["-device", '{"driver":"e1000","id":"e"}', "-set", "device.e.mac=1"],
        ["-set", "device.e.mac=1", "-device", "e1000,id=e"],
    ],
)
def test_what_cannot_be_folded_is_refused(given: list[str]) -> None:
    with pytest.raises(CommandLineError):
        words(*given)


@pytest.mark.parametrize(
    ("option", "text"),
    [
        ("-netdev", '{"type":"x,type=tap,id=n,script=/x,ifname=a"}'),
        ("-object", '{"qom-type":"x,qom-type=memory-backend-file,mem-path=/x,id=m","id":"m"}'),
        ("-device", '{"driver":"x,driver=usb-tablet,pcap=x,serial=a"}'),
        ("-device", '{"driver":"x,server,pcap=x"}'),
        ("-compat", '{"deprecated-input":"x,y=z"}'),
    ],
)
def test_json_is_not_read_as_a_plain_form(option: str, text: str) -> None:
    for release in ("5.2", None):
        with pytest.raises(CommandLineError, match="within a text"):
            words(option, text, release=release)
    words(option, text, release="10.0")


def test_a_line_costs_what_its_length_costs() -> None:
    """Every node was read again for every other, and a note quoted its option for each member."""
    nodes = [
        word
        for number in range(1000)
        for word in (
            "-blockdev",
            f'{{"driver":"raw","node-name":"n{number}","file":"n{number + 1}"}}',
        )
    ]
    line = parse(["qemu-system-x86_64", *nodes])
    option_text._parsed.cache_clear()
    inert(line, release=None, private_dir=FOLDER)
    read = option_text._parsed.cache_info()
    assert read.hits + read.misses <= 3 * 1000  # as given, and as made
    with pytest.raises(CommandLineError, match="more than 2000 members"):
        words("-device", "usb-tablet," + ",".join(f"pcap=/x{number}" for number in range(3000)))


def test_global_is_scanned_as_qemu_scans_it() -> None:
    more = "driver=usb-tablet,property=pcap,value=x"
    for head in (f"{'d' * 64}.p=1", ".p=1", "p=1"):
        assert words("-global", f"{head},{more}") == ""
    assert words("-global", f"a.b=1,{more}") == f"-global a.b=1,{more}"  # one long value


def test_machine_properties_are_spelled_with_underscores_too() -> None:
    for name in ("memory_encryption", "confidential_guest_support", "memory-encryption"):
        with pytest.raises(CommandLineError, match="encrypted"):
            words("-machine", f"q35,{name}=sev0")
    assert words("-machine", "q35,igd_passthru=on") == "-machine q35"


def test_a_tpms_name_adds_nothing_to_its_stand_in() -> None:
    made = words("-tpmdev", "emulator,id=x,,path=/run/s,chardev=c").split()
    assert made[1] == f"socket,id=migratable-x,,path=/run/s,path={FOLDER}/tpm0"


@pytest.mark.parametrize(
    "text",
    [
        '[-chardev "x"]\n backend = "file"\n',
        '[chardev,x]\n backend = "file"\n',
        '[readconfig]\n file = "/x"\n',
        '[set]\n x = "y"\n',
        '[incoming]\n x = "y"\n',
        '[qmp]\n x = "y"\n',
    ],
)
def test_readconfig_groups_that_are_none(text: str, tmp_path: Path) -> None:
    path = tmp_path / "q.cfg"
    path.write_text(text)
    with pytest.raises(CommandLineError, match=r"no option group|neither a section"):
        words("-readconfig", str(path))


def test_readconfig_goes_through_the_handlers(tmp_path: Path) -> None:
    path = tmp_path / "q.cfg"
    path.write_text(
        '[chardev "c"]\n backend = "file"\n path = "/x"\n[netdev "n"]\n type = "user"\n'
        ' hostfwd = "tcp::1-:2"\n[spice]\n port = "1"\n[trace]\n file = "/x"\n'
        '[global]\n driver = "usb-kbd"\n property = "pcap"\n value = "/x"\n'
    )
    assert words("-readconfig", str(path)) == "-chardev null,id=c -netdev user,id=n,restrict=on"
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    with pytest.raises(CommandLineError, match="not a regular file"):
        words("-readconfig", str(fifo))
    with pytest.raises(CommandLineError, match="not a regular file"):
        words("-readconfig", "/dev/zero")
    with pytest.raises(CommandLineError, match="No such file"):
        words("-readconfig", "\0")


@pytest.mark.parametrize(
    ("given", "made"),
    [
        (["-device", "uefi-vars-x64,jsonfile=nv.json"], "-device uefi-vars-x64"),
        (["-device", "uefi-vars-x64,pcapfile=x,id=u"], "-device uefi-vars-x64,id=u"),
        (["-device", '{"driver":"usb-kbd","pcap":"x"}'], '-device {"driver":"usb-kbd"}'),
        (["-device", "usb-kbd,pcap"], "-device usb-kbd"),
        (["-device", "usb-kbd,nopcap"], "-device usb-kbd"),
        (["-device", "usb-kbd,pcap=a,pcap=b"], "-device usb-kbd"),
        (["-device", "usb-kbd,a,,pcap=x"], "-device usb-kbd,a"),
        (["-global", "usb-kbd.pcap=x"], ""),
        (["-global", "driver=usb-kbd,property=pcap,value=x"], ""),
        (["-global", "ipmi-bmc-sim.sdrfile=/no/such"], ""),
        (["-device", "ipmi-bmc-sim,frudatafile=/no/such,id=i"], "-device ipmi-bmc-sim,id=i"),
        (["-device", "usb-host,vendorid=1,pcap=x,id=u"], None),
        (["-device", "e1000,frobnicate=/x"], "-device e1000,frobnicate=x"),
        (["-global", "e1000.frobnicate=/x"], ""),
        (["-device", "spapr-tpm-proxy,host-path=/dev/null,addr=1"], ""),
        (["-M", "q35,boot.splash=/x"], "-M q35"),
        (["-M", "q35,dumpdtb=/x,kernel=/x,initrd=/x,dtb=/x"], "-M q35"),
        (["-accel", "tcg,rapl-helper-socket=/x"], "-accel tcg"),
        (["-semihosting", "-semihosting-config", "enable=on,chardev=c"], ""),
        (["-boot", "splash=/a,splash=/b,menu=on"], "-boot menu=on"),
        (["-virtfs", "local,path=/,mount_tag=t,security_model=none"], None),
        (["-netdev", '{"type":"user","id":"n","hostfwd":[{"str":"tcp::1-:2"}]}'], None),
        (["-netdev", "carrier-pigeon,id=n,path=/x"], "-netdev carrier-pigeon,id=n"),
        (["-object", "frobnicate,id=f,file=/x"], "-object frobnicate,id=f"),
        (["-object", '{"qom-type":"secret","id":"s","file":"/x"}'], ""),
        (["-object", "iothread,id=i,path=/x"], "-object iothread,id=i"),
        (["-frobnicate", "/x"], ""),
        (["-usbdevice", "braille"], None),
        (["-memdev", "x"], ""),
    ],
)
def test_names_of_the_host_are_taken_out(given: list[str], made: str | None) -> None:
    for release in (None, "5.2", "11.1"):
        found = words(*given, release=release)
        if made is not None:
            assert found == made
        for bad in ("pcap", "jsonfile", "/x", "hostfwd", "path=/", "security_model"):
            assert bad not in found


def test_members_inside_lists() -> None:
    with pytest.raises(CommandLineError, match="names a host resource"):
        words("-device", '{"driver":"x","socket":[{"path":"/x"}]}')
    assert words("-device", '{"driver":"x","a":[1,2]}') == '-device {"driver":"x","a":[1,2]}'


def test_the_reading_of_an_option_is_qemus_own() -> None:
    """A key ends at the first = or comma (``get_opt_name_value``), so two commas in it are two."""
    assert Fields.parse("X,a,,romfile=/etc", option="device").get("romfile") == "/etc"
    assert Fields.parse("a,,b=c,d=e", option="device").pairs == (("driver", "a,b=c"), ("d", "e"))
    assert Fields.parse("a=b,,c", option="device").get("a") == "b,c"


@pytest.mark.parametrize(
    "option",
    [
        Option(name="set", value="a.b.c=d"),
        Option(name="readconfig", value="/x"),
        Option(name="incoming", value="exec:x"),
        Option(name="frobnicate"),
        Option(name="chardev", value="file,id=c,path=/x"),
        Option(name="chardev", value="null,id=c,logfile=/x"),
        Option(name="chardev", value="socket,id=c,path=/x"),
        Option(name="drive", value="file=/x"),
        Option(name="blockdev", value='{"driver":"file","filename":"/x"}'),
        Option(name="netdev", value="tap,id=n,ifname=mig0,script=/x,downscript=no"),
        Option(name="netdev", value="user,id=n"),
        Option(name="netdev", value="socket,id=n,listen=:1"),
        Option(name="serial", value="file:/x"),
        Option(name="fsdev", value="local,id=f,path=/x"),
        Option(name="tpmdev", value="passthrough,id=t"),
        Option(name="vga", value="/x"),
        Option(name="machine", value='{"type":"q35"}'),
        Option(name="object", value="filter-dump,id=f,file=/x"),
    ],
)
def test_the_guard_needs_no_handler(option: Option) -> None:
    """What a handler forgot would not pass: refused, or without anything of the host."""
    line = CommandLine(program=("qemu-system-x86_64",), options=(option,))
    work = Work(
        line=line,
        release=None,
        private_dir=FOLDER,
        ram_sizes={},
        accel="tcg",
        netns=True,
    )
    try:
        made = guard.passes(work, option)
    except CommandLineError:
        return
    for one in made:
        assert "/x" not in (one.value or "")
        assert "listen" not in (one.value or "")


def test_files_are_regular_and_named_in_full(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "f.bin").write_bytes(bytes(512))
    os.mkfifo(tmp_path / "fifo")
    assert words("-bios", "f.bin") == f"-bios {tmp_path}/f.bin"
    assert words("-device", "e1000,romfile=f.bin") == f"-device e1000,romfile={tmp_path}/f.bin"
    assert words("-option-rom", "f.bin") == f"-option-rom {tmp_path}/f.bin"
    assert words("-bios", "bios.bin") == "-bios bios.bin"  # looked for in QEMU's own folders
    assert words("-device", "loader,file=fifo") == ""
    assert "fifo" not in words("-device", "e1000,romfile=./fifo")
    assert "fifo" not in words("-device", "e1000,romfile=fifo")
    assert f"{tmp_path}/fifo" not in words("-bios", f"{tmp_path}/fifo")
    with pytest.raises(CommandLineError, match="neither a file nor a folder"):
        words("-L", str(tmp_path))
    for name in (f"{tmp_path}/fifo", "/dev/zero"):
        assert "null-co" in words("-drive", f"file={name},if=none,id=d")
        assert "null-co" in words("-drive", f"file={name},if=pflash")
