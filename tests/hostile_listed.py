"""Command lines made from a program's own listings: every option, device, property, object, backend.

Nothing here says which of them is dangerous: whatever takes text is given names of files to
destroy, scripts, sockets, hosts and FIFOs, in every form that the option has, with repeated keys,
doubled commas, flags and values that look like options. A new release brings its own lines.
"""

from __future__ import annotations

import functools
import json
import random
import re
import subprocess
from collections.abc import Callable, Sequence

from tests.hostile import MACHINES, Place

Words = list[str]


@functools.cache
def listing(command: tuple[str, ...], *words: str) -> str:
    """What the program prints; it is started as it is, with nothing hostile."""
    done = subprocess.run(
        [*command, *words], capture_output=True, text=True, check=False, timeout=60
    )
    return done.stdout + done.stderr


def options(command: tuple[str, ...]) -> list[str]:
    """Names of all options of ``-help``."""
    found = re.findall(r"^-([A-Za-z][\w-]*)(?:,-|/-(\w[\w-]*)| |$)", listing(command, "-help"), re.M)
    return sorted({name for pair in found for name in pair if name} - {"h", "help", "version"})


def devices(command: tuple[str, ...]) -> list[str]:
    """Names of all devices."""
    return sorted(set(re.findall(r'^name "([^"]+)"', listing(command, "-device", "help"), re.M)))


def members(command: tuple[str, ...], option: str, kind: str) -> list[str]:
    """Members of a kind of *option* that take text, links and what else is no number or switch."""
    text = listing(command, f"-{option}", f"{kind},help")
    found = re.findall(r"^\s*(?:\S*\.)?([\w-]+)=<?([\w ]*)", text, re.M)
    numbers = re.compile(r"u?int\d*(_t)?|bool|size|OnOff\w*|FeatureBits|int")
    return sorted({name for name, of in found if not numbers.fullmatch(of.strip())})


def kinds(command: tuple[str, ...], option: str) -> list[str]:
    """Kinds of an option that lists them: ``-object help``, ``-netdev help``."""
    text = listing(command, f"-{option}", "help")
    found = re.findall(r"^\s*([a-z][\w-]*)\s*$", text, re.M)
    return sorted({*found, *KNOWN.get(option, "").split()})


KNOWN = {
    "chardev": "file pipe pty socket udp stdio ringbuf vc serial tty parport spicevmc dbus hub null",
    "netdev": "tap bridge user socket stream dgram l2tpv3 vde vhost-user vhost-vdpa passt af-xdp",
}
"""Kinds that some programs do not list but have."""
BLOCK = """
blkdebug blklogwrites blkreplay blkverify bochs cloop compress copy-before-write copy-on-read dmg
file ftp ftps gluster host_cdrom host_device http https io_uring iscsi luks nbd nfs null-aio null-co
nvme nvme-io_uring parallels preallocate qcow qcow2 qed quorum raw rbd replication snapshot-access
ssh throttle vdi vhdx virtio-blk-vhost-user virtio-blk-vhost-vdpa vmdk vpc vvfat
""".split()
URLS = """
nbd://127.0.0.1:{p}/x nbd+unix:///x?socket={u} nbd:127.0.0.1:{p} nbd:unix:{u} http://127.0.0.1:{p}/x
https://127.0.0.1:{p}/x ftp://127.0.0.1:{p}/x ssh://root@127.0.0.1:{p}{w} nfs://127.0.0.1:{p}/x
iscsi://127.0.0.1:{p}/iqn.x:y/0 rbd:pool/image:conf={w} gluster://127.0.0.1:{p}/v/x
gluster+unix:///v/x?socket={u} fat:rw:{d} fat:floppy:rw:{d} vvfat:rw:{d} file:{w} json:{json}
blkdebug:{r}:{w} blkverify:{w}:{w} blklogwrites:{w} host_device:{w} sheepdog:127.0.0.1:{p}:x
vxhs://127.0.0.1:{p}/x null-co:// //./PhysicalDrive0 /dev/fdset/1 /dev/stdin /proc/self/fd/3
/proc/self/mem {w}.vmdk {folder}/chain.qcow2 {folder}/data.qcow2 {folder}/extent.vmdk ../../{w}
""".split()
JSON_FILES = (
    '{"driver":"file","filename":"%s"}',
    '{"driver":"raw","file":{"driver":"host_device","filename":"%s"}}',
    '{"driver":"blkverify","test":{"driver":"file","filename":"%s"},"raw":"%s"}',
    '{"file.driver":"nbd","file.server.path":"%s","file.server.type":"unix"}',
)
CHARACTER = """
file:{w} pipe:{f} pty unix:{u},server,nowait unix:{u} tcp:127.0.0.1:{p} tcp::0,server,nowait
telnet:127.0.0.1:0,server,nowait websocket:127.0.0.1:0,server=on,wait=off udp:127.0.0.1:{p}@:0
udp::{p} {w} /dev/tty /dev/fdset/1 COM1 msmouse braille vc:80Cx24C stdio mon:stdio mon:pty mon:file:{w}
con: tty:{w} serial:{w} parport:{w} fdset:1 wctablet spicevmc testdev mon:mon:file:{w} mon:chardev:x
""".split()
AUDIO = "alsa coreaudio dbus dsound jack oss pa pipewire sdl sndio spice wav none".split()
DISPLAYS = """
gtk,show-cursor=on sdl,gl=on curses,charset=CP437 egl-headless,rendernode={w} spice-app,gl=on
dbus,addr=unix:path={u} dbus,p2p=on,rendernode={w} vnc=unix:{u} vnc=127.0.0.1:9,password=on cocoa none
""".split()
MIGRATION = """
exec:{x} unix:{u} tcp:127.0.0.1:0 rdma:127.0.0.1:1 fd:3 file:{w} file:{w},offset=1 defer vsock:1:1
{{"channel-type":"main","addr":{{"transport":"exec","args":["{x}"]}}}} main,addr.transport=exec,addr.args.0={x}
""".split()


class Listed:
    """Lines for one program from one seed."""

    def __init__(self, command: Sequence[str], target: str, place: Place, seed: int) -> None:
        self._command = tuple(command)
        self._target = target
        self._place = place
        self._random = random.Random(f"listed {seed} {target}")
        self._options = options(self._command)
        self._number = 0

    # Names

    def _fill(self, text: str) -> str:
        folder = self._place.folder
        choose = self._random.choice
        w = choose([*(str(folder / name) for name in ("disk.img", "notes.txt", "vars.json")), "new",
                    str(folder / "new-1"), "notes.txt", "./vars.json", f"{folder}/../named/rom.bin"])
        names = {
            "{w}": w,
            "{r}": str(folder / "rom.bin"),
            "{x}": str(folder / "script"),
            "{u}": choose([str(folder / "socket"), "socket"]),
            "{f}": str(folder / "fifo"),
            "{d}": str(folder),
            "{folder}": str(folder),
            "{p}": str(self._place.port),
            "{i}": self._id(),
            "{json}": (choose(JSON_FILES).replace("%s", w)),
        }
        for name, value in names.items():
            text = text.replace(name, value)
        return text

    def _id(self) -> str:
        self._number += 1
        return f"i{self._number}"

    def _hostile(self) -> str:
        """A value for whatever takes text."""
        return self._fill(
            self._random.choice(
                [
                    *("{w}", "{w}", "{w}", "{f}", "{x}", "{u}", "{d}", "127.0.0.1:{p}", "127.0.0.1"),
                    *("unix:{u}", "tcp:127.0.0.1:{p}", "exec:{x}", "file:{w}", "|{x}", "/dev/zero"),
                    *("/dev/fdset/1", "3", "/proc/self/exe", "-daemonize", "@{w}", "{w},,x", "json:{json}"),
                    *("../{w}", "$({x})", "`{x}`", "{w}\t", " {w}", "\"{w}\"", "%s%n", "a" * 3000),
                ]
            )
        )

    # Options

    def _device(self) -> Words:
        choose = self._random.choice
        driver = choose(devices(self._command))
        words = [driver, f"id={self._id()}"]
        for name in self._some(members(self._command, "device", driver)):
            words += [choose([f"{name}={self._escaped()}"] * 6 + [f"no{name}", name])]
        if self._random.random() < 0.2:
            words += [choose(words), choose(words)]  # repeated keys
        return self._form("device", words)

    def _object(self) -> Words:
        kind = self._random.choice(kinds(self._command, "object") or ["secret"])
        words = [kind, f"id={self._id()}"]
        for name in self._some(members(self._command, "object", kind), most=4):
            words.append(f"{name}={self._escaped()}")
        if "memory" in kind:
            words.append("size=1M")
        if self._random.random() < 0.1:
            words.append("qom-type=memory-backend-file,mem-path=" + self._fill("{w}"))
        return self._form("object", words)

    def _machine(self) -> Words:
        kind = self._random.choice(MACHINES[self._target]).partition(",")[0]
        words = []
        for name in self._some(members(self._command, "machine", kind)):
            spelled = self._random.choice([name, name, name.replace("-", "_")])
            words.append(f"{spelled}={self._escaped()}")
        return ["-machine", ",".join(words)] if words else []

    def _global(self) -> Words:
        driver = self._random.choice(devices(self._command))
        found = members(self._command, "device", driver)
        name = self._random.choice(found or ["x"])
        value = self._hostile()
        plain = f"{driver}.{name}={value}"
        long = f"driver={driver},property={name},value={value}"
        swapped = f"value={value},property={name},driver={driver}"
        return ["-global", self._random.choice([plain, plain, long, swapped]), "-device", driver]

    def _backend(self, option: str, names: Sequence[str]) -> Words:
        kind = self._random.choice(list(names) or ["null"])
        known = {
            "chardev": "path={w} path={u} host=127.0.0.1 port={p} server=on wait=off logfile={w} "
            "logappend=on input-path={f} fd=3 telnet=on tls-creds=x mux=on append=on name={w} "
            "abstract=on signal=off local-addr=127.0.0.1 local-port=0 websocket=on reconnect=1",
            "netdev": "script={x} downscript={x} helper={x} ifname=t0 br=b sock={u} path={u} "
            "hostfwd=tcp:127.0.0.1:0-:1 guestfwd=tcp:10.0.2.9:1-cmd:{x} smb={d} tftp={d} "
            "listen=127.0.0.1:0 connect=127.0.0.1:{p} mcast=230.0.0.1:1 udp=127.0.0.1:{p} "
            "localaddr=127.0.0.1:0 fd=3 vhostdev={w} server=on addr.type=unix addr.path={u} "
            "addr.type=inet addr.host=127.0.0.1 addr.port={p} path={x} param=--log-file={w} "
            "chardev=x src=127.0.0.1 dst=127.0.0.1 txsession=1 hubid=1 queues=2 remote.type=unix",
            "audiodev": "path={w} server=unix:{u} out.dev={w} in.dev={w} try-mmap=on dsp-policy=1 "
            "in.path={w} out.name={w} client-name={w} server-name={w}",
            "tpmdev": "path={w} cancel-path={w} chardev=x",
            "fsdev": "path={d} security_model=none socket={u} sock_fd=3 writeout=immediate",
            "virtfs": "path={d} security_model=none mount_tag=x socket={u} sock_fd=3 readonly=off",
        }[option].split()
        words = [kind] + ([] if option == "virtfs" else [f"id={self._id()}"])
        words += [self._fill(one) for one in self._some(known, most=4)]
        return self._form(option, words)

    def _drive(self) -> Words:
        choose = self._random.choice
        url = self._fill(choose(URLS)).replace(",", ",,")
        deep = choose(
            [
                f"file={url}",
                f"file={url},format={choose(BLOCK)}",
                f"driver={choose(BLOCK)},file={url}",
                f"file.filename={url},file.driver={choose(BLOCK)}",
                f"driver={choose(BLOCK)},file.driver={choose(BLOCK)},file.filename={url}",
                f"driver=qcow2,file={url},backing.driver=file,backing.filename={url}",
                f"driver=qcow2,file.driver=null-co,data-file.driver=file,data-file.filename={url}",
                f"driver=quorum,children.0.file.filename={url},vote-threshold=1",
                f"driver=null-co,file={url}",
                f"file=,file={url}",
                f"driver=blkdebug,image.driver=null-co,config={url}",
                f"driver=luks,key-secret=s,file.filename={url}",
            ]
        )
        rest = choose(["if=none", "if=virtio", "if=pflash", "if=sd", "if=floppy", "if=none,snapshot=on"])
        return ["-drive", f"{deep},{rest},id={self._id()}"]

    def _blockdev(self) -> Words:
        choose = self._random.choice
        url = self._fill(choose(["{w}", "{d}", "{u}", "{f}"])).replace(",", ",,")
        words = [choose(BLOCK), f"node-name={self._id()}"]
        words += self._some(
            [
                f"filename={url}", f"file.driver=file,file.filename={url}", f"path={url}",
                f"server.type=unix,server.path={url}", f"dir={url}", "rw=on", "force-share=on",
                f"server.type=inet,server.host=127.0.0.1,server.port={self._place.port}",
                f"backing.driver=file,backing.filename={url},backing.node-name={self._id()}",
                f"config={url}", f"log.driver=file,log.filename={url}", f"url=http://127.0.0.1:{self._place.port}/",
                f"data-file.driver=file,data-file.filename={url}", f"conf={url}", f"pr-manager={url}",
            ],
            most=4,
        )
        return self._form("blockdev", words)

    def _listed(self) -> Words:
        """Any option of ``-help`` with any value."""
        name = self._random.choice(self._options)
        dashes = self._random.choice(["-", "-", "--"])
        words = [f"{dashes}{name}"]
        if self._random.random() < 0.8:
            words.append(self._hostile())
        if self._random.random() < 0.2:
            words.append(self._random.choice(["-daemonize", "-s", "-S", self._fill("{w}")]))
        return words

    def _long(self) -> Words:
        choose = self._random.choice
        return choose(
            [
                lambda: ["-incoming", self._fill(choose(MIGRATION))],
                lambda: ["-display", self._fill(choose(DISPLAYS))],
                lambda: [f"-{choose('serial parallel debugcon monitor qmp virtioconsole'.split())}",
                         self._fill(choose(CHARACTER))],
                lambda: ["-readconfig", self._config()],
                lambda: ["-readconfig", self._fill(choose(["/dev/stdin", "{f}", "{d}", "/proc/self/cmdline"]))],
                lambda: self._setting(),
            ]
        )()

    def _config(self) -> str:
        """A file whose groups are any option, with and without an id, nested and broken."""
        lines = []
        for _ in range(self._random.choice([1, 2, 3])):
            group = self._random.choice([*self._options, "readconfig", "set", "-chardev", "acpi", "boot-opts"])
            head = self._random.choice([f'[{group}]', f'[{group} "{self._id()}"]', f'[ {group} "x" ] ', f'[{group}'])
            lines.append(head)
            for _ in range(2):
                key = self._random.choice("file path backend driver qom-type mem-path id logfile script type".split())
                lines.append(f'  {key} = "{self._hostile()}"')
        path = self._place.folder / f"config-listed-{self._id()}"
        path.write_text("\n".join(lines) + "\n")
        return str(path)

    def _setting(self) -> Words:
        """A device of any kind, and ``-set`` on one of its members."""
        driver = self._random.choice(devices(self._command))
        name = self._random.choice(members(self._command, "device", driver) or ["x"])
        identity = self._id()
        group = self._random.choice(["device", "device", "drive", "chardev", "object", "machine"])
        setting = f"{group}.{identity}.{name}={self._hostile()}"
        return ["-device", f"{driver},id={identity}", "-set", setting]

    # Forms

    def _some(self, names: Sequence[str], most: int = 3) -> list[str]:
        count = min(len(names), self._random.randint(1, most))
        return self._random.sample(list(names), count)

    def _escaped(self) -> str:
        return self._hostile().replace(",", ",,")

    def _form(self, option: str, words: list[str]) -> Words:
        """Plain, JSON (with a blank before it, too), or with the implied key named."""
        chance = self._random.random()
        plain = [f"-{option}", ",".join(words)]
        if chance > 0.25 or option in {"drive", "tpmdev", "fsdev", "virtfs", "chardev"}:
            return plain
        first = {"device": "driver", "object": "qom-type", "netdev": "type", "audiodev": "driver"}
        document: dict[str, object] = {first.get(option, "driver"): words[0]}
        for word in words[1:]:
            for part in re.split(r"(?<!,),(?!,)", word):
                key, _, value = part.partition("=")
                at, path = document, key.split(".")
                for inner in path[:-1]:
                    nested = at.setdefault(inner, {})
                    if not isinstance(nested, dict):
                        break
                    at = nested
                at[path[-1]] = self._random.choice([value, value, value, [value], {"type": "unix", "path": value}])
        text = json.dumps(document)
        return [f"-{option}", self._random.choice(["", "", " "]) + text]

    def lines(self, count: int) -> list[Words]:
        """Arguments after the program, *count* times."""
        backends = {
            "chardev": kinds(self._command, "chardev"),
            "netdev": kinds(self._command, "netdev"),
            "audiodev": AUDIO,
            "tpmdev": ["passthrough", "emulator"],
            "fsdev": ["local", "proxy", "synth"],
            "virtfs": ["local", "proxy", "synth"],
        }
        makers: list[Callable[[], Words]] = [
            *(self._device, self._device, self._device, self._object, self._object, self._machine),
            *(self._global, self._drive, self._blockdev, self._listed, self._listed, self._listed),
            *(self._long, self._long, self._long),
            *(functools.partial(self._backend, *one) for one in backends.items()),
        ]
        found = []
        for _ in range(count):
            machine = self._random.choice(MACHINES[self._target])
            argv = ["-M", machine, "-m", "256", *self._random.choice([[], ["-nodefaults"]])]
            for _ in range(self._random.choice([1, 1, 1, 2, 3])):
                argv += self._random.choice(makers)()
            found.append([word.replace("\0", "") for word in argv])
        return found
