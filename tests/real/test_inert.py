"""Inert lines against real QEMU: the same machine as with the real resources, and nothing left."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from migratable.check import check
from migratable.commandline import parse
from migratable.commandline.inert.inert import InertCommandLine, inert
from migratable.errors import DestinationStartError, MigratableError, QemuError
from migratable.profile.collect import collect
from migratable.profile.model import Profile
from migratable.qemu import save
from migratable.qemu.launch import namespaces_work
from migratable.qemu.process import QemuProcess, private_folder
from migratable.rehearse import rehearse
from migratable.releases import QemuVersion
from migratable.stream import Stream, read
from migratable.verdict import Outcome
from tests.conftest import Lab

pytestmark = pytest.mark.real
RELEASES = ["5.2", "7.2", "10.0", "11.1"]


@contextlib.contextmanager
def started(command: list[str], line: str, release: str) -> Iterator[QemuProcess]:
    """The line made inert, running."""
    with private_folder() as folder:
        quiet = inert(
            parse(line), release=QemuVersion.parse(release), private_dir=folder, netns=True
        )
        with QemuProcess(command, quiet, timeout=30) as qemu:
            yield qemu


def streams(command: list[str], line: str, release: str, folder: Path) -> tuple[Stream, Stream]:
    """Own streams of the line with its real resources, and made inert."""
    parsed = parse(line)
    argv = [word for option in parsed.options for word in option.words]
    real = InertCommandLine(
        program=parsed.program,
        plain_argv=[*argv, "-S", "-display", "none"],
        qmp_path=folder / "qmp",
        needs_netns="tap" in line,
    )
    with QemuProcess(command, real, timeout=30, confined=False) as qemu:
        before = save.plain(save.take(qemu, ignore_shared=False))
    with started(command, line, release) as qemu:
        after = save.plain(save.take(qemu, ignore_shared="memory-backend-file" in line))
    return read(before), read(after)


def shape(stream: Stream) -> object:
    """What "same" means: RAM blocks, sections, and all fields' names, types and sizes."""
    assert stream.vmdesc is not None
    document = json.loads(bytes(stream.vmdesc.raw))
    return (
        stream.machine,
        [(block.id, block.used_length) for block in stream.ram_blocks],
        [
            (one.kind, one.idstr, one.instance_id, one.version_id)
            for one in stream.sections
            if one.idstr != "spapr/htab"
        ],
        document["devices"],
    )


LINES = {
    "disks": "-M pc -m 64 -drive file={dir}/a.img,if=virtio,format=raw,cache=none,aio=threads "
    "-hda {dir}/b.img -cdrom {dir}/d.iso -fda {dir}/f.img -drive file={dir}/c.img,if=none,id=s,"
    "format=raw -device lsi -device scsi-hd,drive=s -net none",
    "blockdevs": "-M q35 -m 64 -nodefaults -blockdev driver=file,filename={dir}/a.img,node-name=s "
    "-blockdev driver=raw,file=s,node-name=f -device virtio-blk-pci,drive=f,id=v "
    "-blockdev driver=raw,node-name=g,file.driver=file,file.filename={dir}/b.img "
    "-device ahci,id=a -device ide-hd,drive=g,bus=a.0",
    "flash": "-M q35,pflash1=v -m 64 -nodefaults -drive if=pflash,format=raw,readonly=on,unit=0,"
    "file={dir}/code.fd -blockdev driver=file,filename={dir}/vars.fd,node-name=v",
    "bios and roms": "-M pc -m 64 -nodefaults -bios {dir}/code.fd -device e1000,romfile={dir}/rom",
    "user network": "-M pc -m 64 -netdev user,id=n,hostfwd=tcp:127.0.0.1:0-:22,tftp={dir} "
    "-device virtio-net-pci,netdev=n -nic user,model=e1000",
    "tap": "-M q35 -m 64 -nodefaults -netdev tap,id=n,ifname=t0,script=no,downscript=no,queues=2 "
    "-device virtio-net-pci,netdev=n,mq=on -nic tap,ifname=t1,script=no,downscript=no",
    "sockets": "-M q35 -m 64 -nodefaults -chardev socket,id=c,path={dir}/c,server=on,wait=off "
    "-device isa-serial,chardev=c -chardev pty,id=p -device virtio-serial-pci -device virtconsole,"
    "chardev=p -netdev socket,id=n,listen=127.0.0.1:0 -device virtio-net-pci,netdev=n "
    "-vnc unix:{dir}/v -object rng-random,id=r,filename=/dev/urandom -device virtio-rng-pci,rng=r "
    "-fsdev local,id=h,path={dir},security_model=none -device virtio-9p-pci,fsdev=h,mount_tag=h",
    "memory": "-M q35 -m 128 -nodefaults -object memory-backend-file,id=m,size=128M,share=on,"
    "mem-path={dir} -numa node,memdev=m",
    "memfd of an old machine": "-M pc-q35-3.0 -m 128 -nodefaults -object memory-backend-memfd,id=m,"
    "size=128M -numa node,memdev=m",
    "2 GiB": "-M q35 -m 2G -nodefaults",
    "2 GiB of an old machine": "-M pc-i440fx-2.9 -m 2G -nodefaults",
    "nographic": "-M pc -m 64 -serial null -monitor none -nographic",
    "sound": "-M q35 -m 64 -nodefaults -audiodev wav,id=a,path={dir}/w -device ich9-intel-hda "
    "-device hda-duplex,audiodev=a -device AC97,audiodev=a",
}


def resources(folder: Path) -> None:
    for name, size in {
        "a.img": 3 << 20,
        "d.iso": 1 << 20,
        "b.img": 1 << 20,
        "c.img": 5 << 20,
        "f.img": 1474560,
    }.items():
        (folder / name).write_bytes(bytes(size))
    for name, size in {"code.fd": 1 << 18, "vars.fd": 1 << 17, "rom": 3 << 15}.items():
        (folder / name).write_bytes(bytes(size))


@pytest.mark.slow
@pytest.mark.parametrize("name", LINES)
@pytest.mark.parametrize("release", RELEASES)
def test_same_machine(release: str, name: str, lab: Lab, tmp_path: Path) -> None:
    if name == "tap" and not namespaces_work():
        pytest.skip("no user namespace with taps here")
    if "old machine" in name and release == "11.1":
        pytest.skip("11.1 has no machine that old")
    folder = Path("/tmp") / f"mig-{os.getpid()}" if len(str(tmp_path)) > 80 else tmp_path
    folder.mkdir(exist_ok=True)
    resources(folder)
    line = f"qemu-system-x86_64 {LINES[name].format(dir=folder)}"
    before, after = streams(lab(release).command, line, release, folder)
    assert shape(after) == shape(before)
    assert before.configuration is not None
    assert after.configuration is not None
    assert after.configuration.subsections == before.configuration.subsections


@pytest.mark.parametrize("release", RELEASES)
def test_pseries_with_real_resources(release: str, lab: Lab, tmp_path: Path) -> None:
    resources(tmp_path)
    line = (
        f"qemu-system-ppc64 -M pseries -m 256 -drive file={tmp_path}/a.img,if=none,id=d,format=raw "
        "-device spapr-vscsi -device scsi-hd,drive=d -netdev user,id=n -device spapr-vlan,netdev=n "
        f"-serial file:{tmp_path}/s"
    )
    before, after = streams(lab(release, "ppc64").command, line, release, tmp_path)
    assert shape(after) == shape(before)


def cases(folder: Path) -> list[dict[str, object]]:
    text = (folder / "oracle/command-lines/commandlines.jsonl").read_text()
    return [json.loads(line) for line in text.splitlines()]


_ONLY_KVM_TAKES_IT = "kernel doesn't allow setting HyperV VP_INDEX"


@pytest.mark.slow
def test_real_lines_start_where_they_should(shared_folder: Path, lab: Lab) -> None:
    """44 real lines; the words that were read, whether it starts, and the machine's own error."""
    wrong = []
    for case in cases(shared_folder):
        parsed = parse(str(case["text"]))
        assert parsed.argv[1:] == case["argv"], case["id"]
        arch = "ppc64" if (parsed.machine or "").startswith("pseries") else "x86_64"
        starts, errors = case["starts"], case.get("errors", {})
        assert isinstance(starts, dict)
        assert isinstance(errors, dict)
        for release, expected in starts.items():
            said: tuple[str, ...] = ()
            try:
                with started(lab(release, arch).command, str(case["text"]), release):
                    really = True
            except DestinationStartError as error:
                really, said = False, error.stderr
            except MigratableError as error:
                really, said = False, (str(error),)
            cause = (errors.get(release) or [""])[-1].rpartition(": ")[2]
            if cause == _ONLY_KVM_TAKES_IT:  # hv-vpindex is left out under TCG
                expected, cause = True, ""  # noqa: PLW2901 -- the oracle's line had it
            if really != expected or (not really and cause not in "\n".join(said)):
                wrong.append((case["id"], release, really, said))
    assert wrong == []


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            "-chardev socket,id=c,path=/x,server=on,wait=off,reconnect-ms=5",
            "-chardev socket,id=c,path=/x,server=on,wait=off,reconnect-ms=5: "
            "Invalid parameter 'reconnect-ms'",
        ),
        ("-realtime mlock=off", "-realtime: invalid option"),
    ],
)
def test_a_line_that_is_refused_for_the_hosts_part(words: str, said: str, lab: Lab) -> None:
    """The machine is described; that the program does not take the line is not forgotten."""
    line = f"qemu-system-x86_64 -M pc-q35-5.2 -m 64 -nodefaults {words}"
    lab("7.2")
    found = collect(line, release="7.2")
    assert found.refused == (said,)
    assert found.machine == "pc-q35-5.2"
    for verdict in (
        check(read(found.stream), Profile.loads(found.dumps())),
        rehearse(read(found.stream), line, release="7.2"),
    ):
        assert verdict.outcome is Outcome.REFUSED
        assert verdict.first_refusal is not None
        assert verdict.first_refusal.rule == "destination-start"
        assert verdict.first_refusal.message == said
    with pytest.raises(DestinationStartError) as caught:
        collect(f"{line} -device nosuch", release="7.2")
    assert caught.value.stderr == (said,)
    assert "'nosuch' is not a valid device model name" in str(caught.value)


@pytest.mark.parametrize("release", RELEASES)
@pytest.mark.parametrize("arch", ["x86_64", "ppc64"])
def test_profile(release: str, arch: str, lab: Lab) -> None:
    machine = "pseries -cpu POWER9" if arch == "ppc64" else "q35 -cpu qemu64"
    command = [*lab(release, arch).command, *f"-M {machine} -m 64G -device virtio-rng-pci".split()]
    collect([*command[:-2], "-device", "virtio-rng-pci"])  # fills the cache
    profile = collect(command)
    assert profile.version.release == QemuVersion.parse(release).release
    assert sum(size == 64 << 30 for size, _ in profile.ram_blocks.values()) == 1
    assert len(profile.stream) < 5 << 20
    assert read(profile.stream).ram_blocks
    assert "x-ignore-shared" not in str(profile.stream[:4000])
    assert (profile.pvr is not None) == (arch == "ppc64")
    if arch == "ppc64":
        assert profile.pvr == (0x4E1200 if release in {"5.2", "7.2"} else 0x4E1202)
    assert type(profile).loads(profile.dumps()) == profile


def test_a_program_that_does_not_start(lab: Lab) -> None:
    with pytest.raises(DestinationStartError) as caught:
        collect([*lab("10.0").command, "-M", "no-such-machine"])
    assert 'unsupported machine type: "no-such-machine"' in caught.value.stderr


@pytest.mark.slow
def test_a_program_that_is_none(tmp_path: Path) -> None:
    path = tmp_path / "qemu-system-x86_64"
    path.write_text("#!/bin/sh\necho hello\nexec sleep 60\n")
    path.chmod(0o755)
    with pytest.raises(QemuError):
        collect([str(path)], timeout=1)


def test_sigkill_of_the_tool_leaves_nothing(lab: Lab, tmp_path: Path) -> None:
    """PR_SET_PDEATHSIG: QEMU goes with the tool, its private files went at its start."""
    script = (
        "import sys, time\n"
        "from tests.real.test_inert import started\n"
        f"with started({lab('10.0').command!r}, 'qemu-system-x86_64 -m 2G', '10.0') as qemu:\n"
        "    print(qemu.pid, flush=True)\n"
        "    time.sleep(60)\n"
    )
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    with subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, text=True, env=environment
    ) as tool:
        assert tool.stdout is not None
        pid = int(tool.stdout.readline())
        assert Path(f"/proc/{pid}").exists()
        tool.send_signal(signal.SIGKILL)

    def alive() -> bool:
        try:
            return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
        except OSError:
            return False

    deadline = time.monotonic() + 60
    while alive() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not alive()
    assert not list(tmp_path.glob("migratable-*"))


def test_it_listens_nowhere_and_opens_no_image(lab: Lab, tmp_path: Path) -> None:
    image = tmp_path / "disk.img"
    image.write_bytes(bytes(1 << 20))
    line = (
        f"qemu-system-x86_64 -m 64 -hda {image} -vnc :77 -qmp tcp:127.0.0.1:47123,server,nowait "
        f"-chardev socket,id=c,path={tmp_path}/c,server=on,wait=off -device isa-serial,chardev=c "
        "-netdev user,id=n,hostfwd=tcp::47124-:22 -device e1000,netdev=n -gdb tcp::47125"
    )
    with started(lab("10.0").command, line, "10.0") as qemu:
        opened = {str(one.readlink()) for one in Path(f"/proc/{qemu.pid}/fd").iterdir()}
        sockets = {one[8:-1] for one in opened if one.startswith("socket:")}
        tables = [
            Path(f"/proc/{qemu.pid}/net/{name}").read_text() for name in ("tcp", "tcp6", "udp")
        ]
        for table in tables:
            assert not sockets & {row.split()[9] for row in table.splitlines()[1:]}
        assert str(image) not in opened
    for port in (47123, 47124, 47125, 5977):
        with socket.socket() as one:
            assert one.connect_ex(("127.0.0.1", port)) != 0
    assert [path.name for path in tmp_path.iterdir()] == ["disk.img"]


@pytest.mark.parametrize("release", RELEASES)
@pytest.mark.parametrize("device", ["tpm-tis", "tpm-crb"])
def test_stand_in_tpm(release: str, device: str, lab: Lab) -> None:
    """It has the sections and blocks of a TPM, and its own stream loads into it again."""
    line = (
        "qemu-system-x86_64 -M q35 -m 64 -chardev socket,id=c,path=/no/swtpm.sock "
        f"-tpmdev emulator,id=t,chardev=c -device {device},tpmdev=t"
    )
    command = lab(release).command
    with started(command, line, release) as qemu:
        data = save.plain(save.take(qemu, ignore_shared=False))
    stream = read(data)
    assert {"tpm-emulator", device} <= {section.idstr for section in stream.devices}
    assert "tpm-ppi" in {block.id for block in stream.ram_blocks}
    with private_folder() as folder:
        quiet = inert(parse(line), release=None, private_dir=folder)
        with QemuProcess(command, quiet, extra=["-incoming", "defer"]) as qemu:
            reading, writing = os.pipe()
            qemu.send_fd("s", reading)
            os.close(reading)
            qemu.qmp("migrate-incoming", uri="fd:s")
            with os.fdopen(writing, "wb") as pipe:
                pipe.write(data)
            deadline = time.monotonic() + 120
            while (status := qemu.qmp("query-migrate").get("status")) not in {
                "completed",
                "failed",
            }:
                assert time.monotonic() < deadline
                time.sleep(0.01)
    assert status == "completed"
