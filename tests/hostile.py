"""Command lines that try to write, connect, listen and run: made from a seed.

Every line has a machine and a few options that name something of the host, in every form that an
option has (plain, JSON, ``-set``, ``-readconfig``, ``-global``). What they name is in one folder::

    disk.img notes.txt   files with contents          new-N       names that must stay free
    script               leaves the file ``mark``     fifo        a FIFO
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from pathlib import Path

FILES = ("disk.img", "notes.txt", "vars.json", "rom.bin")

MACHINES = {
    "x86_64": ["pc", "q35", "microvm", "none", "q35,usb=on", "pc,vmport=off"],
    "ppc64": ["pseries", "powernv9", "pseries,ic-mode=xics"],
    "aarch64": ["virt", "virt,gic-version=3"],
    "s390x": ["s390-ccw-virtio"],
}

# {w} names a file to be destroyed or made, {r} one to be read, {x} a script, {u} a socket's path,
# {p} a port on which the test listens, {h} a HOST:PORT to reach, {f} a FIFO, {i} a fresh id.
PLAIN = """
-chardev file,id={i},path={w}
-chardev file,id={i},path={w},append=on,input-path={f}
-chardev null,id={i},logfile={w}
-chardev pipe,id={i},path={f}
-chardev socket,id={i},path={u},server=on,wait=off
-chardev socket,id={i},host=127.0.0.1,port={p}
-chardev socket,id={i},host=127.0.0.1,port=0,server=on,wait=off,websocket=on
-chardev udp,id={i},host=127.0.0.1,port={p}
-chardev serial,id={i},path={w}
-chardev ringbuf,id={i},logfile={w}
-chardev vc,id={i},logfile={w} -serial chardev:{i}
-serial file:{w}
-serial tcp:127.0.0.1:{p}
-serial telnet::0,server,nowait
-serial unix:{u},server,nowait
-serial mon:file:{w}
-parallel file:{w}
-debugcon file:{w}
-virtioconsole file:{w}
-monitor unix:{u},server,nowait
-qmp tcp:127.0.0.1:{p}
-qmp-pretty unix:{u},server,nowait
-mon chardev={i},mode=control -chardev socket,id={i},path={u},server=on,wait=off
-gdb tcp::0
-gdb chardev:{i} -chardev file,id={i},path={w}
-s
-vnc 127.0.0.1:9
-vnc unix:{u}
-vnc 127.0.0.1:{p},reverse=on
-spice port=0,disable-ticketing=on
-spice unix=on,addr={u},disable-ticketing=on
-display vnc=127.0.0.1:9
-display vnc=unix:{u}
-display dbus,p2p=on
-display egl-headless
-D {w} -d exec
-d trace:* -D {w}
-trace file={w}
-trace events={r},file={w}
-trace enable=*,file={w}
-pidfile {w}
-daemonize -pidfile {w}
-writeconfig {w}
-dump-vmstate {w}
-plugin {x}
-plugin file={r},arg=x
-incoming exec:{x}
-incoming unix:{u}
-incoming tcp:127.0.0.1:0
-incoming file:{w}
-loadvm x -drive file={w},if=none,id={i}
-snapshot -hda {w}
-chroot {d}
-runas nobody
-run-with chroot={d}
-sandbox off
-qtest unix:{u},server=on,wait=off
-qtest-log {w}
-perfmap
-jitdump
-mem-path {d}
-mem-path {w} -mem-prealloc
-netdev tap,id={i},script={x},downscript={x}
-netdev tap,id={i},ifname=tap9,helper={x}
-netdev bridge,id={i},helper={x}
-netdev user,id={i},hostfwd=tcp:127.0.0.1:0-:22
-netdev user,id={i},guestfwd=tcp:10.0.2.100:1-cmd:{x}
-netdev user,id={i},guestfwd=tcp:10.0.2.100:1-tcp:127.0.0.1:{p}
-netdev user,id={i},smb={d},tftp={d},bootfile={r}
-netdev socket,id={i},listen=127.0.0.1:0
-netdev socket,id={i},connect=127.0.0.1:{p}
-netdev socket,id={i},mcast=230.0.0.1:1234
-netdev socket,id={i},udp=127.0.0.1:{p},localaddr=127.0.0.1:0
-netdev stream,id={i},server=on,addr.type=unix,addr.path={u}
-netdev stream,id={i},server=off,addr.type=inet,addr.host=127.0.0.1,addr.port={p}
-netdev dgram,id={i},local.type=unix,local.path={u}
-netdev vde,id={i},sock={u}
-netdev l2tpv3,id={i},src=127.0.0.1,dst=127.0.0.1,txsession=1
-netdev vhost-user,id={i},chardev={i}c -chardev socket,id={i}c,path={u},server=on
-netdev vhost-vdpa,id={i},vhostdev={w}
-netdev af-xdp,id={i},ifname=lo
-netdev passt,id={i},path={x}
-nic tap,script={x},downscript=no
-nic user,hostfwd=tcp:127.0.0.1:0-:22
-nic user,smb={d}
-nic socket,listen=127.0.0.1:0
-net nic -net tap,script={x}
-net nic -net user,hostfwd=tcp:127.0.0.1:0-:22
-net nic -net dump,file={w}
-object filter-dump,id={i},netdev={i}n,file={w} -netdev user,id={i}n
-object memory-backend-file,id={i},size=1M,mem-path={w},share=on
-object memory-backend-file,id={i},size=1M,mem-path={d},discard-data=on
-object memory-backend-shm,id={i},size=1M,share=on
-object rng-random,id={i},filename={r}
-object rng-random,id={i},filename={f}
-object rng-egd,id={i},chardev={i}c -chardev socket,id={i}c,path={u}
-object secret,id={i},file={r}
-object secret,id={i},file={f}
-object tls-creds-x509,id={i},dir={d},endpoint=server
-object authz-list-file,id={i},filename={r}
-object pr-manager-helper,id={i},path={u}
-object input-linux,id={i},evdev={w}
-object input-barrier,id={i},name=x,server=127.0.0.1,port={p}
-object can-bus,id={i} -object can-host-socketcan,id={i}h,if=can0,canbus={i}
-object cryptodev-vhost-user,id={i},chardev={i}c -chardev socket,id={i}c,path={u}
-object dbus-vmstate,id={i},addr=unix:path={u}
-object qtest,id={i},chardev={i}c,log={w} -chardev null,id={i}c
-object x-remote-object,id={i},fd=3,devid=x
-object iommufd,id={i},fd=3
-object sev-guest,id={i},dh-cert-file={r},session-file={r}
-object colo-compare,id={i},primary_in=a,secondary_in=b,outdev=c,iothread=d
-object monitor-qmp,id={i},chardev={i}c -chardev socket,id={i}c,path={u},server=on,wait=off
-device usb-tablet,pcap={w} -usb
-device usb-kbd,pcap={w} -device qemu-xhci
-device usb-host,vendorid=1,pcap={w} -device qemu-xhci
-device usb-storage,pcap={w},drive={i} -drive if=none,id={i} -usb
-device uefi-vars-x64,jsonfile={r}
-device uefi-vars-x64,pcapfile={w}
-device uefi-vars-sysbus,jsonfile={w}
-device ipmi-bmc-sim,sdrfile={r},frudatafile={f}
-device cxl-type3,cdat={r}
-device spapr-tpm-proxy,host-path={w}
-device hv-syndbg,host_ip=127.0.0.1,host_port={p}
-device vfio-pci,sysfsdev={d}
-device vfio-pci,host=00:00.0
-device vfio-user-pci,socket.path={u},socket.type=unix
-device vhost-user-fs-pci,chardev={i},tag=x -chardev socket,id={i},path={u}
-device vhost-vsock-pci,guest-cid=3
-device vhost-vdpa-device-pci,vhostdev={w}
-device vhost-scsi-pci,wwpn=naa.1
-device virtio-input-host-pci,evdev={w}
-device u2f-passthru,hidraw={w} -usb
-device u2f-emulated,dir={d} -usb
-device canokey,file={w} -usb
-device ccid-card-emulated,backend=certificates,db={d}
-device usb-mtp,rootdir={d} -usb
-device e1000,romfile={f}
-device e1000,romfile={r}
-device loader,file={f}
-device loader,file={r},addr=0x1000
-device guest-loader,kernel={f},addr=0x1000
-device isa-debugcon,chardev={i} -chardev file,id={i},path={w}
-device pvpanic,events=1
-device ivshmem-doorbell,chardev={i} -chardev socket,id={i},path={u}
-device ivshmem-plain,memdev={i} -object memory-backend-file,id={i},size=1M,mem-path={w},share=on
-device nvdimm,memdev={i} -object memory-backend-file,id={i},size=1M,mem-path={w},share=on
-device virtio-9p-pci,fsdev={i},mount_tag=x -fsdev local,id={i},path={d},security_model=none
-device virtio-pmem-pci,memdev={i} -object memory-backend-file,id={i},size=1M,mem-path={w}
-device virtio-serial -device virtconsole,chardev={i} -chardev file,id={i},path={w}
-device x-pci-proxy-dev,fd=3
-global usb-tablet.pcap={w} -usb -device usb-tablet
-global driver=usb-tablet,property=pcap,value={w} -usb -device usb-tablet
-global e1000.romfile={f} -device e1000
-global uefi-vars-x64.jsonfile={w} -device uefi-vars-x64
-global kvm-accel.device={w}
-global s390-ipl.firmware={f}
-machine dumpdtb={w}
-machine kernel={f},initrd={f},dtb={f}
-machine firmware={f}
-machine boot.splash={r}
-machine memory-backend={i} -object memory-backend-file,id={i},size=256M,mem-path={w},share=on
-M accel=xen
-accel qtest
-accel tcg,rapl-helper-socket={u}
-fsdev local,id={i},path={d},security_model=mapped-xattr
-fsdev proxy,id={i},socket={u}
-virtfs local,path={d},mount_tag=x,security_model=none,writeout=immediate
-drive file={w},if=none,id={i}
-drive file={w},format=raw,if=virtio,snapshot=on
-drive file=nbd://127.0.0.1:{p}/x,if=none,id={i}
-drive file=nbd+unix:///x?socket={u},if=none,id={i}
-drive file=http://127.0.0.1:{p}/x,if=none,id={i}
-drive file=ssh://root@127.0.0.1:{p}/x,if=none,id={i}
-drive file=blkdebug:{r}:{w},if=none,id={i}
-drive file.driver=file,file.filename={w},if=none,id={i}
-drive driver=vvfat,dir={d},rw=on,if=none,id={i}
-drive file=fat:rw:{d},if=none,id={i}
-drive driver=blklogwrites,file.driver=file,file.filename={w},log.filename={w},if=none,id={i}
-drive file={f},if=pflash
-hda {w}
-hdb {f}
-cdrom {f}
-fda fat:floppy:rw:{d}
-sd {w}
-mtdblock {w}
-pflash {w}
-blockdev driver=file,filename={w},node-name={i}
-blockdev driver=nbd,server.type=inet,server.host=127.0.0.1,server.port={p},node-name={i}
-blockdev driver=nbd,server.type=unix,server.path={u},node-name={i}
-blockdev driver=ssh,server.host=127.0.0.1,server.port={p},path={w},node-name={i}
-blockdev driver=vvfat,dir={d},rw=on,node-name={i}
-blockdev driver=host_device,filename={w},node-name={i}
-tpmdev passthrough,id={i},path={w},cancel-path={w}
-tpmdev emulator,id={i},chardev={i}c -chardev socket,id={i}c,path={u}
-audiodev wav,id={i},path={w}
-audiodev spice,id={i}
-audiodev pa,id={i},server={u}
-audio driver=wav,path={w}
-smbios file={f}
-smbios type=11,path={f}
-acpitable file={f}
-acpitable data={r}
-fw_cfg name=opt/x,file={f}
-fw_cfg opt/x,file={r}
-option-rom {f}
-option-rom romfile={r},bootindex=1
-bios {f}
-bios {r}
-kernel {f} -initrd {r} -append x
-dtb {f}
-shim {f}
-L {d}
-boot splash={f},splash-time=1
-icount shift=7,rr=record,rrfile={w}
-icount shift=7,rr=replay,rrfile={r}
-semihosting-config enable=on,target=native,chardev={i} -chardev file,id={i},path={w}
-semihosting
-usbdevice braille
-usbdevice disk:{w}
-usbdevice serial:file:{w}
-add-fd fd=3,set=2,opaque=x
-iscsi initiator-name=x
-k {f}
-compat deprecated-input=reject
-prom-env x={w}
-numa node,memdev={i} -object memory-backend-file,id={i},size=256M,mem-path={w}
-frobnicate {w}
{w}
-netdev tap,id={i}t -netdev {"type":"x,type=tap,id={i},script={x},ifname=a"}
-object {"qom-type":"x,qom-type=memory-backend-file,id={i},size=4096,share=on,mem-path={w}"}
-device {"driver":"x,driver=usb-tablet,pcap={w}"} -usb
-device {"driver":"x,driver=uefi-vars-x64,jsonfile={w}"}
-global .x=1,driver=usb-tablet,property=pcap,value=notes.txt -usb -device usb-tablet
-machine q35,memory_encryption={i}
"""

# A harmless option, and what -set makes of it: GROUP, members.
SET = """
-nic none,id={i} | nic type=tap script={x} downscript=no
-nic none,id={i} | nic type=user hostfwd=tcp:127.0.0.1:0-:22
-nic none,id={i} | nic type=socket listen=127.0.0.1:0
-netdev user,id={i} | netdev hostfwd=tcp:127.0.0.1:0-:22
-netdev hubport,id={i},hubid=0 | netdev type=tap script={x}
-chardev null,id={i} | chardev backend=file path={w}
-chardev null,id={i} | chardev logfile={w}
-chardev null,id={i} | chardev backend=socket path={u} server=on wait=off
-fsdev synth,id={i} | fsdev fsdriver=local path={d} security_model=none
-object rng-builtin,id={i} | object qom-type=memory-backend-file mem-path={w} size=1M share=on
-object rng-builtin,id={i} | object qom-type=filter-dump file={w} netdev=x
-object iothread,id={i} | object qom-type=rng-random filename={f}
-device usb-tablet,id={i} -usb | device pcap={w}
-device e1000,id={i} | device romfile={f}
-device e1000,id={i} | device driver=uefi-vars-x64 jsonfile={w}
-device usb-kbd,id={i} -usb | device driver=u2f-passthru hidraw={w}
-drive if=none,id={i} | drive file={w}
-drive if=none,id={i} | drive driver=vvfat dir={d}
-tpmdev emulator,id={i},chardev=x | tpmdev type=passthrough path={w}
-mon id={i},chardev=x | mon mode=control
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """What the lines name.

    :ivar folder: with the files of ``FILES``, ``script`` and ``fifo``.
    :ivar port: on which somebody listens and counts.
    """

    folder: Path
    port: int


def _fill(random_: random.Random, place: Place, text: str) -> str:
    names = {
        "w": random_.choice([str(place.folder / random_.choice([*FILES, "new"])), "notes.txt"]),
        "r": str(place.folder / random_.choice(FILES)),
        "x": str(place.folder / "script"),
        "u": str(place.folder / "socket"),
        "f": str(place.folder / random_.choice(["fifo", "fifo", "/dev/zero"])),
        "d": str(place.folder),
        "p": str(place.port),
        "i": f"i{random_.randrange(10**6)}",
    }
    for name, value in names.items():
        text = text.replace("{" + name + "}", value)
    return text


def _quoted(value: str) -> str:
    return value.replace('"', "")


def _as_json(words: list[str]) -> list[str]:
    """The JSON form of what has one."""
    import json

    from migratable.commandline.option import JSON_OPTIONS, Fields

    if len(words) < 2 or words[0][1:] not in JSON_OPTIONS:
        return words
    document: dict[str, object] = {}
    for key, value in Fields.parse(words[1], option=words[0][1:]).items():
        at = document
        *path, last = key.split(".")
        for part in path:
            inner = at.setdefault(part, {})
            if not isinstance(inner, dict):
                return words
            at = inner
        at[last] = {"on": True, "off": False}.get(value, value)
    return [words[0], json.dumps(document), *words[2:]]


def _as_config(words: list[str], place: Place, number: int) -> list[str]:
    """The same in a file of ``-readconfig``."""
    from migratable.commandline.option import Fields

    groups = {"m": "memory", "smp": "smp-opts", "boot": "boot-opts"}
    name = words[0][1:]
    if len(words) < 2 or name not in {
        *(
            "chardev",
            "device",
            "drive",
            "netdev",
            "nic",
            "net",
            "fsdev",
            "object",
            "global",
            "spice",
        ),
        *("mon", "tpmdev", "machine", "accel", "boot", "trace", "plugin", "fw_cfg", "smbios"),
    }:
        return words
    lines: list[str] = []
    for key, value in Fields.parse(words[1], option=name).items():
        if key == "id":
            lines.insert(0, f'[{groups.get(name, name)} "{_quoted(value)}"]')
        else:
            lines.append(f'  {key} = "{_quoted(value)}"')
    if not lines or not lines[0].startswith("["):
        lines.insert(0, f"[{groups.get(name, name)}]")
    path = place.folder / f"config-{number}"
    path.write_text("\n".join(lines) + "\n")
    return ["-readconfig", str(path), *words[2:]]


def _set(random_: random.Random, place: Place, text: str) -> list[str]:
    option, _, members = _fill(random_, place, text).partition(" | ")
    words = option.split()
    identity = next(word for word in words[1].split(",") if word.startswith("id="))[3:]
    group, *pairs = members.split()
    for pair in pairs:
        words += ["-set", f"{group}.{identity}.{pair}"]
    return words


def lines(seed: int, count: int, target: str, place: Place) -> list[list[str]]:
    """Arguments after the program, *count* times."""
    random_ = random.Random(f"{seed} {target}")
    plain, set_ = PLAIN.strip().splitlines(), SET.strip().splitlines()
    found = []
    for number in range(count):
        machine = random_.choice(MACHINES[target])
        argv = ["-M", machine, "-m", "256", *random_.choice([[], ["-nodefaults"]])]
        for _ in range(random_.choice([1, 1, 1, 2, 3])):
            if random_.random() < 0.2:
                argv += _set(random_, place, random_.choice(set_))
                continue
            words = _fill(random_, place, random_.choice(plain)).split()
            form = random_.random()
            if form < 0.15:
                words = _as_json(words)
            elif form < 0.3:
                words = _as_config(words, place, number)
            argv += words
        found.append(argv)
    return found
