"""What becomes of each option; the real thing is judged in tests/real/test_inert.py."""

from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from migratable.commandline import parse
from migratable.commandline.inert.inert import _HANDLERS, InertCommandLine, inert
from migratable.errors import CommandLineError
from migratable.releases import QemuVersion

FOLDER = Path("/nowhere/private")
_TAIL = ["-accel", "tcg", "-S", "-display", "none"]


def quiet(text: str, **more: object) -> InertCommandLine:
    release = more.pop("release", None)
    return inert(
        parse(text),
        release=None if release is None else QemuVersion.parse(str(release)),
        private_dir=FOLDER,
        **more,  # type: ignore[arg-type]
    )


def words(text: str, **more: object) -> str:
    argv = quiet("qemu-system-x86_64 " + text, **more).plain_argv
    assert argv[-5:] == _TAIL
    return " ".join(argv[:-5])


NULL = "driver=null-co,size=1073741824,read-zeroes=on"
RULES = {
    "-S -daemonize -pidfile /p -D /l -incoming defer -name a -sandbox on -vnc :1 -k de": "",
    "-mon chardev=c -qmp unix:/q,server -monitor stdio -gdb tcp::1 -s -spice port=1": "",
    "-enable-kvm -accel kvm": "-enable-kvm",  # which QEMU refuses
    "-accel kvm -accel tcg,split-wx=off": "-accel tcg,split-wx=off",
    "-machine q35,accel=tcg -accel tcg": "-machine q35,accel=tcg -accel tcg",
    "-object secret,id=s,data=x -object tls-creds-x509,id=t,dir=/e -object filter-dump,id=f": "",
    "-kernel k -initrd i -append 'a b' -dtb d": "",
    "-machine q35,accel=kvm,usb=off": "-machine q35,usb=off",
    "-machine type=pc+pve0": "-machine type=pc",
    "-nographic": "-machine graphics=off",
    "-enable-kvm -cpu host,+vmx,migratable=on": "-cpu max,+vmx",
    "-enable-kvm -cpu kvm64,enforce,+sep,phys-bits=36": "-cpu kvm64,+sep",
    "-cpu host,+vmx": "-cpu host,+vmx",  # under TCG the real program ends, too
    "-cpu kvm64,enforce,+sep,phys-bits=36": "-cpu kvm64,enforce,+sep,phys-bits=36",
    "-drive file=/x,if=none,id=d,format=raw,readonly=on,aio=io_uring": (
        f"-drive if=none,id=d,readonly=on,{NULL}"
    ),
    "-drive if=none,id=d,media=cdrom,aio=io_uring": "-drive if=none,id=d,media=cdrom",
    "-hda a.img": f"-drive index=0,media=disk,{NULL}",
    "-m 1 a.img": f"-m 1 -drive index=0,media=disk,{NULL}",
    "-cdrom a.iso": f"-drive index=2,media=cdrom,{NULL}",
    "-fda a.img": "-drive if=floppy,index=0,driver=null-co,size=1474560,read-zeroes=on",
    "-netdev user,id=n,hostfwd=tcp::1-:2,net=10.0.3.0/24": (
        "-netdev user,id=n,net=10.0.3.0/24,restrict=on"
    ),
    "-netdev socket,id=n,listen=:1": "-netdev hubport,id=n,hubid=101",
    "-netdev tap,id=n,fds=3:4,vhostfds=5:6": (
        "-netdev tap,id=n,ifname=mig0,script=no,downscript=no,queues=2"
    ),
    "-netdev bridge,id=n,br=br0": "-netdev tap,id=n,ifname=mig0,script=no,downscript=no",
    "-nic tap,model=e1000,mac=1": (
        "-nic tap,ifname=mig0,script=no,downscript=no,model=e1000,mac=1"
    ),
    "-net nic -net tap,ifname=t": "-net nic",
    "-net tap": "-net none",
    "-chardev socket,id=c,path=/s,server=on,wait=off": "-chardev null,id=c",
    "-chardev stdio,mux=on,id=c -serial chardev:c": "-chardev null,id=c,mux=on -serial chardev:c",
    "-serial mon:stdio -parallel none -debugcon file:/x": (
        "-serial null -parallel none -debugcon null"
    ),
    "-audiodev pa,id=a,server=x": "-audiodev none,id=a",
    "-fsdev local,id=f,path=/p,security_model=none": "-fsdev synth,id=f",
    "-virtfs local,path=/p,mount_tag=t,id=f": "-virtfs synth,id=f,mount_tag=t",
    "-object rng-random,id=r,filename=/dev/random": "-object rng-builtin,id=r",
    "-object memory-backend-memfd,id=m,size=1M,share=on": (
        "-object memory-backend-ram,id=m,size=1048576"
    ),
    "-device usb-host,hostbus=1,id=u,bus=b.0": (
        "-device usb-host,vendorid=0xffff,productid=0xffff,id=u,bus=b.0"
    ),
    "-device vfio-pci,host=1:0.0,id=h,addr=0x3 -set device.h.x-igd=1": "",
    "-device vfio-pci,host=1:0.0,id=h": "-device pci-testdev,id=h",
    "-device virtio-vga-gl,id=v": "-device virtio-vga,id=v",
    "-boot order=c,splash=/x.jpg": "-boot order=c",
    "-fw_cfg name=opt/a,file=/f": "-fw_cfg name=opt/a,string=x",
    "-global ICH9-LPC.disable_s3=1 -no-hpet": "-global ICH9-LPC.disable_s3=1 -no-hpet",
    "-frobnicate now": "",  # probe_options asks the program whether it knows it
}


@pytest.mark.parametrize("text", RULES)
def test_rule(text: str) -> None:
    assert words(text) == RULES[text]


def test_blockdev_chain() -> None:
    found = words(
        '-blockdev \'{"driver":"qcow2","node-name":"f","read-only":true,"file":'
        '{"driver":"file","filename":"/x","node-name":"s"}}\''
    )
    assert found == (
        '-blockdev {"driver":"null-co","node-name":"s","size":1073741824,"read-zeroes":true} '
        '-blockdev {"driver":"null-co","node-name":"f","size":1073741824,"read-zeroes":true,'
        '"read-only":true}'
    )
    dotted = words("-blockdev driver=qcow2,node-name=f,file.driver=file,file.node-name=s")
    assert '"node-name":"s"' in dotted
    assert '"node-name":"f"' in dotted


def test_flash_sizes(tmp_path: Path) -> None:
    image = tmp_path / "vars.fd"
    image.write_bytes(b"\0" * 4096)
    line = f"qemu-system-x86_64 -drive if=pflash,file={image},unit=1"
    assert "size=4096" in quiet(line).plain_argv[1]
    qcow = tmp_path / "vars.qcow2"
    qcow.write_bytes(b"QFI\xfb" + bytes(20) + (540672).to_bytes(8, "big") + bytes(8))
    assert "size=540672" in quiet(line.replace("vars.fd", "vars.qcow2")).plain_argv[1]
    absent = "qemu-system-x86_64 -drive if=pflash,file=/no/OVMF_CODE_4M.fd"
    found = quiet(absent)
    assert "size=3653632" in found.plain_argv[1]
    assert "assumed from its name" in found.unchecked[0]
    found = quiet(absent, ram_sizes={"system.flash0": 8192})
    assert "size=8192" in found.plain_argv[1]
    assert "taken from the incoming stream" in found.unchecked[0]


def test_flash_node_by_machine_property() -> None:
    found = quiet(
        "qemu-system-x86_64 -machine q35,pflash0=f -blockdev driver=file,filename=/n/OVMF_CODE.fd,"
        "node-name=s -blockdev driver=raw,file=s,node-name=f"
    )
    assert '"node-name":"f","size":1966080' in " ".join(found.plain_argv)


def test_missing_firmware_is_a_private_file() -> None:
    found = quiet("qemu-system-x86_64 -bios /no/such.fd", ram_sizes={"pc.bios": 65536})
    assert list(found.files.values()) == [65536]
    assert str(FOLDER) in " ".join(found.plain_argv)


def test_block_names_of_old_machines() -> None:
    line = (
        "qemu-system-x86_64 -machine pc-q35-{} -object memory-backend-file,id=m,size=1M,mem-path=/x"
    )
    assert "ramblock-id" not in " ".join(quiet(line.format("4.0")).plain_argv)
    assert "ramblock-id=on" in " ".join(quiet(line.format("3.1")).plain_argv)
    said = line.format("3.1") + ",x-use-canonical-path-for-ramblock-id=off"
    assert "ramblock-id=off" in " ".join(quiet(said).plain_argv)


def test_big_memory_costs_nothing() -> None:
    found = quiet("qemu-system-ppc64 -machine pseries-3.1 -m 64G")
    text = " ".join(found.plain_argv)
    assert "memory-backend-file,id=ppc_spapr.ram,size=68719476736" in text
    assert "ramblock-id=off" in text
    assert list(found.files.values()) == [64 << 30]
    assert not quiet("qemu-system-x86_64 -m 64G", save_memory=False).files
    assert "id=microvm.ram" in " ".join(quiet("qemu-system-x86_64 -M microvm -m 4G").plain_argv)


@pytest.mark.parametrize(
    ("options", "thrifty"),
    [
        ("-M pc-i440fx-2.3", False),
        ("-M pc-i440fx-2.4", True),
        ("-M pseries-2.1 -global migration.send-configuration=on", True),
        ("-M q35 -global migration.send-configuration=off", False),
    ],
)
def test_stream_without_configuration_has_its_memory(options: str, thrifty: bool) -> None:
    program = "qemu-system-ppc64" if "pseries" in options else "qemu-system-x86_64"
    assert bool(quiet(f"{program} {options} -m 4G").files) is thrifty


def test_without_a_namespace_taps_become_hub_ports() -> None:
    found = quiet("qemu-system-x86_64 -netdev tap,id=n,queues=4", netns=False)
    assert not found.needs_netns
    assert "hubport" in found.plain_argv[1]
    assert "4 queues" in " ".join(found.unchecked)
    assert "hub port" in found.assumed_backends["virtio-net"]
    assert not quiet("qemu-system-x86_64 -netdev tap,id=n,queues=4").assumed_backends


def test_kvmclock() -> None:
    assert quiet("qemu-system-x86_64 -accel kvm").kvmclock
    assert not quiet("qemu-system-x86_64 -accel tcg").kvmclock
    assert not quiet("qemu-system-ppc64 -accel kvm").kvmclock
    assert not quiet("qemu-system-x86_64 -M pc-q35-4.2,accel=kvm -cpu qemu64,kvm=off").kvmclock


def test_releases() -> None:
    line = "qemu-system-x86_64 -device intel-iommu,intremap=on,eim=on"
    assert "x-buggy-eim" not in " ".join(quiet(line, release="7.2").plain_argv)  # it refuses that
    line += " -accel kvm"
    assert "x-buggy-eim" in " ".join(quiet(line, release="7.2").plain_argv)
    assert "x-buggy-eim" not in " ".join(quiet(line, release="11.1").plain_argv)
    line = "qemu-system-ppc64 -M pseries,accel=kvm -smp 16,cores=2,threads=8"
    assert "16,cores=16,threads=1" in " ".join(quiet(line, release="7.2").plain_argv)
    assert "threads=8" in " ".join(quiet(line, release="10.0").plain_argv)
    line = "qemu-system-x86_64 -netdev stream,id=n,addr.type=unix,addr.path=/x"
    assert "stream" in quiet(line, release="5.2", strict=True).plain_argv[1]
    assert (
        "carrier-pigeon,id=n" in quiet("qemu-system-x86_64 -netdev carrier-pigeon,id=n").plain_argv
    )


def test_readconfig(tmp_path: Path) -> None:
    path = tmp_path / "q.cfg"
    path.write_text(
        '# a machine\n[machine]\n  type = "q35"\n  accel = "kvm"\n[device "d"]\n'
        '  driver = "ich9-usb-uhci1"\n  addr = "1d.0"\n[memory]\n  size = "512M"\n'
    )
    assert words(f"-readconfig {path}") == (
        "-machine q35 -device ich9-usb-uhci1,id=d,addr=1d.0 -m 512M"
    )
    found = quiet(f"qemu-system-x86_64 -readconfig {path}")
    assert ("-device ich9-usb-uhci1,id=d,addr=1d.0", f"{path}:5") in found.given
    path.write_text("[machine]\nnonsense\n")
    with pytest.raises(CommandLineError, match="line 2"):
        words(f"-readconfig {path}")
    with pytest.raises(CommandLineError, match="No such file"):
        words("-readconfig /no/such.cfg")


@pytest.mark.parametrize(
    "text",
    [
        "-object sev-guest,id=s",
        "-machine q35,confidential-guest-support=s",
        "-xen-domid 1",
        "-object memory-backend-epc,id=e,size=1M",
        "-object memory-backend-file,id=m,size=many",
        '-blockdev {"driver":',
    ],
)
def test_refusals(text: str) -> None:
    with pytest.raises(CommandLineError):
        inert(parse(["qemu-system-x86_64", *text.split()]), release=None, private_dir=FOLDER)


HOSTILE = st.text(alphabet="abc=,{}\":./\\' 0123", max_size=40)


@given(
    st.lists(
        st.tuples(
            st.sampled_from(sorted(_HANDLERS)),
            HOSTILE,
        ),
        max_size=4,
    )
)
def test_any_argument_is_made_inert_or_refused(options: list[tuple[str, str]]) -> None:
    argv = ["qemu-system-x86_64", *(word for name, v in options for word in (f"-{name}", v))]
    try:
        found = inert(parse(argv), release=None, private_dir=FOLDER)
    except CommandLineError:
        return
    assert found.plain_argv[-5:] == _TAIL


def test_options_of_another_target_stay() -> None:
    assert "800x600" in quiet("qemu-system-x86_64 -g 800x600").plain_argv
    assert "-acpitable" in quiet("qemu-system-ppc64 -acpitable sig=X,data=/x").plain_argv
    assert "-acpitable" not in quiet("qemu-system-x86_64 -acpitable sig=X,data=/x").plain_argv


def test_what_fills_memory_stays_where_its_file_is(tmp_path: Path) -> None:
    (tmp_path / "image").touch()
    for words, stays in (
        ("loader,addr=0x1000,data=1,data-len=4", True),
        (f"loader,file={tmp_path}/image,addr=0x1000", True),
        ("loader,file=/no/such,addr=0x1000", False),
        ("guest-loader,kernel=/no/such,addr=0x1000", False),
    ):
        assert (words in quiet(f"qemu-system-x86_64 -device {words}").plain_argv) is stays


def test_old_usb_devices_stay_for_who_refuses_them() -> None:
    line = "qemu-system-x86_64 -usbdevice host:1.2 -usbdevice tablet"
    assert "host:1.2" not in quiet(line, release="4.2").plain_argv
    assert "tablet" in quiet(line, release="4.2").plain_argv
    assert "host:1.2" in quiet(line, release="5.2").plain_argv


def test_drivers_left_out_are_remembered() -> None:
    found = quiet(
        "qemu-system-x86_64 -device canokey,id=k -device usb-mtp,rootdir=/home -device e1000"
    )
    assert found.removed_drivers == (("canokey", "-device canokey,id=k"),)
    assert "usb-mtp,rootdir=/,readonly=on" in found.plain_argv


@pytest.mark.parametrize(
    ("words", "replaced", "kept"),
    [
        ("-object memory-backend-shm,id=m,size=1M", "10.0", "5.2"),
        ("-object thread-context,id=t", "7.2", "5.2"),
        ("-object memory-backend-ram,id=m,size=1M,reserve=off", "7.2", "5.2"),
        ("-chardev socket,id=s,path=/x,reconnect-ms=5", "10.0", "7.2"),
        ("-object iommufd,id=i", "10.0", "7.2"),
        ("-chardev qemu-vdagent,id=v", "7.2", "5.2"),
        ("-chardev tty,id=t,path=/dev/ttyS0", "7.2", "10.0"),
        ("-audiodev pipewire,id=a", "10.0", "7.2"),
    ],
)
def test_backends_of_other_releases_stay_for_who_refuses_them(
    words: str, replaced: str, kept: str
) -> None:
    value, line = words.partition(" ")[2], f"qemu-system-x86_64 {words}"
    for release in (replaced, kept):
        found = quiet(line, release=release, strict=True)
        # What names something of the host is taken out of it all the same.
        bare = value.replace(",path=/x", "").replace(",path=/dev/ttyS0", "")
        assert (bare in found.plain_argv) == found.stays == (release == kept)
        # The machine behind it can be had from any release.
        found = quiet(line, release=release)
        assert value not in found.plain_argv
        assert not found.stays


def as_given(line: str, *said: str) -> tuple[str, ...]:
    from migratable.errors import DestinationStartError
    from migratable.profile.collect import _as_given

    error = _as_given(DestinationStartError("\n".join(said), stderr=said), quiet(line))
    assert str(error) == "\n".join(error.stderr)
    return error.stderr


def test_errors_name_the_users_own_option() -> None:
    line = (
        "qemu-system-x86_64 -object memory-backend-file,id=m,size=1G,mem-path=/x -netdev tap,id=n"
    )
    small = line.replace("1G", "1M")
    assert as_given(
        small,
        "warning: -object memory-backend-ram,id=m,size=1048576: nothing",
        "-object memory-backend-ram,id=m,size=1048576: Duplicate ID 'm'",
        "-netdev user,id=unknown,restrict=on: no",
        "-device x,id=m: no",
    ) == (
        "warning: -object memory-backend-ram,id=m,size=1048576: nothing",
        "-object memory-backend-file,id=m,size=1M,mem-path=/x: Duplicate ID 'm'",
        "-netdev user,id=unknown,restrict=on: no",
        "-device x,id=m: no",
    )
    private = "-object memory-backend-file,id=m,size=1073741824,mem-path=/proc/self/fd/14,share=on"
    assert as_given(line, f"{private}: no") == (
        "-object memory-backend-file,id=m,size=1G,mem-path=/x: no",
    )


def test_errors_name_the_users_own_driver() -> None:
    assert as_given(
        "qemu-system-x86_64 -device scsi-block,drive=d",
        "-device scsi-hd,drive=d: No 'SCSI' bus found for device 'scsi-hd'",
    ) == ("-device scsi-block,drive=d: No 'SCSI' bus found for device 'scsi-block'",)


def test_errors_name_options_without_an_identifier() -> None:
    assert as_given(
        "qemu-system-x86_64 -M pc-1.0,accel=tcg,usb=on -machine smm=off",
        "-M pc-1.0,usb=on: unsupported machine type",
        "-machine smm=off: no",
        "-M x=y: no",
    ) == (
        "-M pc-1.0,accel=tcg,usb=on: unsupported machine type",
        "-machine smm=off: no",
        "-M x=y: no",
    )
    line = "qemu-system-x86_64 -drive if=scsi,file=/no,snapshot=on"
    here = next(word for word in quiet(line).plain_argv if word.startswith("if=scsi"))
    assert as_given(line, f"-drive {here}: machine type does not support if=scsi") == (
        "-drive if=scsi,file=/no,snapshot=on: machine type does not support if=scsi",
    )


def test_options_that_a_release_lacks(tmp_path: Path) -> None:
    from migratable.profile import probe_options

    program = tmp_path / "qemu-system-x86_64"
    program.write_text(
        "#!/bin/sh\n"
        '[ "$1" = -version ] || { echo started >&2; exit 1; }\n'
        'for word; do case "$word" in\n'
        '-sdl|-no-acpi) echo "qemu-system-x86_64: $word: invalid option" >&2; exit 1;;\n'
        "esac; done\n"
    )
    program.chmod(0o755)
    known = parse(f"{program} -runas nobody -name x")
    probe_options.examine([str(program)], known, timeout=60)
    with pytest.raises(probe_options.HostOptionError) as caught:
        probe_options.examine([str(program)], parse(f"{program} a.img -no-acpi -sdl"), timeout=60)
    assert caught.value.error.stderr == ("-no-acpi: invalid option",)
    probe_options.examine(
        [str(program)], parse(f"{program} -no-acpi"), timeout=60
    )  # the start tells


def test_only_options_left_out_are_shown_first() -> None:
    from migratable.facts.options import DATED, OPTIONS, Part

    assert {OPTIONS[name].part for name in DATED} <= {Part.DROP, Part.SILENT}


def test_long_transmit_queues_of_vhost_user() -> None:
    line = (
        "qemu-system-x86_64 -chardev socket,id=c,path=/x -netdev vhost-user,chardev=c,id=n "
        "-netdev tap,id=t -device virtio-net-pci,netdev=n,tx_queue_size=1024,rx_queue_size=1024 "
        "-device virtio-net-pci,netdev=t,tx_queue_size=1024"
    )
    made = quiet(line)
    devices = [word for word in made.plain_argv if word.startswith("virtio-net-pci")]
    assert "tx_queue_size=256" in devices[0]
    assert "rx_queue_size=1024" in devices[0]
    assert "tx_queue_size=1024" in devices[1]  # the program refuses that itself
    assert any("transmit queues of 1024" in text for text in made.unchecked)


def test_accelerators_of_other_hosts() -> None:
    made = quiet("qemu-system-x86_64 -accel hvf -cpu host -m 1G")
    assert "max" in made.plain_argv
    assert "hvf" not in " ".join(made.plain_argv)
    assert any("hvf" in text for text in made.unchecked)
    assert not made.kvm
    assert "host" in quiet("qemu-system-x86_64 -accel tcg -cpu host").plain_argv


def test_no_pci_device_stands_for_one_on_virtio_mmio() -> None:
    made = quiet(
        "qemu-system-x86_64 -M microvm,accel=tcg -chardev socket,id=c,path=/x "
        "-device vhost-user-fs-device,chardev=c,tag=t -device vhost-user-fs-pci,chardev=c,tag=u"
    )
    devices = [w for f, w in pairwise(made.plain_argv) if f == "-device"]
    assert devices == ["pci-testdev"]


def test_warnings_of_tcg_are_no_reason_to_hope_for_kvm() -> None:
    from migratable.profile.collect import may_start_under_kvm

    made = quiet("qemu-system-x86_64 -accel kvm -cpu Haswell")
    assert made.kvm
    remark = "warning: TCG doesn't support requested feature: CPUID.07H:EBX.rtm [bit 11]"
    assert not may_start_under_kvm(made, [remark, "-no-hpet: invalid option"])
    assert may_start_under_kvm(made, ["cap-nested-hv needs KVM"])
