"""Hosts for tests: network namespaces of this machine, each with an sshd of its own.

A host has its own processes, network, ``/tmp``, ``/run`` and home; its programs are this
machine's. Needs root and sshd; the tests are skipped by name without them.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from tests.absent import absent

_SBIN = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
_SSHD = """
Port 22
ListenAddress {address}
HostKey {folder}/host_key
AuthorizedKeysFile {folder}/user_key.pub
PidFile none
UsePAM no
StrictModes no
PermitRootLogin yes
PasswordAuthentication no
KbdInteractiveAuthentication no
MaxStartups 100
SetEnv PATH={path} XDG_CACHE_HOME=/tmp/cache {variables}
"""
_CLIENT = """
Host {names}
  User root
  IdentityFile {folder}/user_key
  IdentitiesOnly yes
  UserKnownHostsFile {folder}/known_hosts
  StrictHostKeyChecking yes
  ConnectTimeout 10
"""
_INIT = """
import os, time  # host-init: what is left by its parent is waited for
while True:
    try:
        os.wait()
    except ChildProcessError:
        time.sleep(0.05)
"""
_LIBVIRT = """
security_driver = "none"
user = "root"
group = "root"
cgroup_controllers = [ ]
namespaces = [ ]
stdio_handler = "file"
remember_owner = 0
"""


_LIBVIRTD = """
unix_sock_group = "root"
auth_unix_rw = "none"
"""


class Host:
    """One host; a process with its number in the other namespaces keeps it alive."""

    def __init__(self, name: str, folder: Path, number: int, second: int) -> None:
        self.name = name
        self.folder = folder
        self.namespace = f"mg{os.getpid() % 100000}n{number}"
        self.subnet = f"10.{second}.{number}"
        self.address = f"{self.subnet}.2"
        self._holder: subprocess.Popen[bytes] | None = None
        self._pid = 0
        self._running: list[subprocess.Popen[bytes]] = []

    def start(self, *, path: str, variables: str = "", tmp_size: str = "512m") -> None:
        inside, outside = f"{self.namespace}a", f"{self.namespace}b"
        _ip("netns", "add", self.namespace)
        _ip("link", "add", outside, "type", "veth", "peer", "name", inside)
        _ip("link", "set", inside, "netns", self.namespace)
        _ip("addr", "add", f"{self.subnet}.1/24", "dev", outside)
        _ip("link", "set", outside, "up")
        _ip("-n", self.namespace, "addr", "add", f"{self.address}/24", "dev", inside)
        _ip("-n", self.namespace, "link", "set", inside, "up")
        _ip("-n", self.namespace, "link", "set", "lo", "up")
        script = f"""set -e
        hostname {self.name}
        mkdir -p {self.folder}/run/sshd {self.folder}/home
        mount --bind {self.folder}/run /run
        mount -t tmpfs -o size={tmp_size} none /tmp
        mount -t tmpfs none /var/tmp
        mount -t tmpfs none /dev/shm
        mount --bind /dev/null {Path.home()}/.bashrc 2>/dev/null || true
        touch {self.folder}/up
        exec {sys.executable} -I -S -c '{_INIT}'"""
        self.folder.mkdir(parents=True)
        words = ["ip", "netns", "exec", self.namespace, "unshare", "-m", "-p", "-u", "-f"]
        words += ["--kill-child", "--mount-proc", "sh", "-c", script]
        self._holder = subprocess.Popen(words, env={**os.environ, "PATH": _SBIN})
        _until((self.folder / "up").exists)
        parent = self._holder.pid
        children = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
        self._pid = int(children[0])
        text = _SSHD.format(
            address=self.address, folder=self.folder.parent, path=path, variables=variables
        )
        (self.folder / "sshd_config").write_text(text)
        self.popen(["/usr/sbin/sshd", "-D", "-e", "-f", str(self.folder / "sshd_config")])
        _until(lambda: b":22 " in self.run(["ss", "-ltn"]).stdout)

    def words(self, words: Sequence[str]) -> list[str]:
        """What runs *words* on this host."""
        return ["nsenter", "-t", str(self._pid), "-m", "-p", "-n", "-u", *words]

    def run(
        self, words: Sequence[str], *, check: bool = True
    ) -> subprocess.CompletedProcess[bytes]:
        env = {**os.environ, "PATH": _SBIN}
        return subprocess.run(
            self.words(words), capture_output=True, check=check, timeout=60, env=env
        )

    def popen(self, words: Sequence[str]) -> subprocess.Popen[bytes]:
        log = (self.folder / f"log{len(self._running)}").open("wb")
        env = {**os.environ, "PATH": _SBIN}
        process = subprocess.Popen(
            self.words(words), stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=env
        )
        log.close()
        self._running.append(process)
        return process

    def guest(self, program: Path, name: str, *more: str, accel: str = "tcg") -> str:
        """Start a plain guest; the path of its QMP socket."""
        socket = f"/run/{name}.qmp"
        words = [str(program), "-name", f"guest={name}", "-nodefaults", "-display", "none"]
        words += ["-accel", accel, "-qmp", f"unix:{socket},server=on,wait=off", *more]
        self.popen(words)
        _until((self.folder / "run" / f"{name}.qmp").is_socket)
        time.sleep(0.3)
        return socket

    def end(self, name: str) -> None:
        """End a plain guest, so that the tests behind do not find it."""
        code = (
            "import json, socket\n"
            f"s = socket.socket(socket.AF_UNIX); s.connect('/run/{name}.qmp')\n"
            "f = s.makefile('rw'); f.readline()\n"
            "for c in 'qmp_capabilities', 'quit':\n"
            "    f.write(json.dumps({'execute': c})); f.flush(); f.readline()\n"
            "while f.readline(): pass"
        )
        self.run([sys.executable, "-c", code])

    def libvirtd(self) -> None:
        """Start a libvirtd of its own."""
        for name in ("lib", "cache", "log"):
            (self.folder / f"libvirt-{name}").mkdir()
            self.run(["mkdir", "-p", f"/var/{name}/libvirt"])
            self.run(["mount", "--bind", f"{self.folder}/libvirt-{name}", f"/var/{name}/libvirt"])
        settings = self.folder / "libvirt-etc"
        settings.mkdir()
        (settings / "qemu.conf").write_text(_LIBVIRT)
        own = f'host_uuid = "{uuid.uuid4()}"\n'  # both are this machine, whose own is one
        (settings / "libvirtd.conf").write_text(_LIBVIRTD + own)
        self.run(["mkdir", "-p", "/etc/libvirt"])
        self.run(["mount", "--bind", str(settings), "/etc/libvirt"])
        self.popen(["libvirtd"])
        _until(lambda: self.run(["virsh", "list"], check=False).returncode == 0, seconds=30)

    def domain(self, xml: str) -> None:
        """Create a domain from its XML."""
        path = self.folder / "run" / "domain.xml"
        path.write_text(xml)
        self.run(["virsh", "create", "/run/domain.xml"])

    def processes(self) -> list[str]:
        """What runs there, its own sshd, guests and libvirtd aside."""
        out = self.run(["ps", "-e", "-ww", "-o", "pid=,args="]).stdout.decode()
        known = {"sleep", "sshd:", "ps", "libvirtd", "dnsmasq", "/usr/sbin/libvirtd"}
        return [
            line.strip()
            for line in out.splitlines()
            if line.split()[1] not in known
            and "qmp=" not in line
            and "-qmp unix:/run/" not in line
            and "id=charmonitor" not in line
            and "host-init" not in line
            and "defunct" not in line
        ]

    def files(self) -> list[str]:
        """Files of ours that are there."""
        out = self.run(  # which fails for a folder that is removed meanwhile
            ["find", "/tmp", "/var/tmp", "/dev/shm", "-mindepth", "1", "-not", "-name", "ssh-*"],
            check=False,
        )
        return out.stdout.decode().split()

    def cut(self) -> None:
        """Take the network away."""
        _ip("link", "set", f"{self.namespace}b", "down")

    def mend(self) -> None:
        """Give it back."""
        _ip("link", "set", f"{self.namespace}b", "up")

    def stop(self) -> None:
        if self._holder is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._pid, signal.SIGKILL)
            self._holder.kill()
            self._holder.wait()
        for process in self._running:
            process.kill()
            process.wait()
        subprocess.run(["ip", "netns", "del", self.namespace], check=False, env={"PATH": _SBIN})
        subprocess.run(
            ["ip", "link", "del", f"{self.namespace}b"],
            check=False,
            stderr=subprocess.DEVNULL,
            env={"PATH": _SBIN},
        )


class Network:
    """Hosts, and the ssh client's configuration that leads to them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.hosts: dict[str, Host] = {}
        used = subprocess.run(["ip", "-4", "addr"], capture_output=True, text=True, check=False)
        free = [one for one in range(64, 250) if f" 10.{one}." not in used.stdout]
        self._second = secrets.choice(free)  # other tests run at the same time
        for name in ("host_key", "user_key"):
            words = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name)]
            subprocess.run(words, check=True)

    @property
    def ssh(self) -> str:
        """The value of ``MIGRATABLE_SSH``."""
        return shlex.join(["ssh", "-F", str(self.folder / "ssh_config")])

    def host(
        self, name: str, *, python: str | None = "", variables: str = "", tmp_size: str = "512m"
    ) -> Host:
        """Start a host.

        :param python: of which interpreter (a path) its ``python3`` is; None for none at all.
        """
        host = Host(name, self.folder / name, len(self.hosts) + 1, self._second)
        self.hosts[name] = host
        tools = self.folder / f"{name}-bin"
        tools.mkdir()
        path = f"{tools}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
        if python:
            (tools / "python3").symlink_to(python)
        elif python is None:
            for number in ("", ".13", ".12", ".11", ".10", ".9"):
                fake = tools / f"python3{number}"
                fake.write_text("#!/bin/sh\nexit 127\n")
                fake.chmod(0o755)
        host.start(path=path, variables=variables, tmp_size=tmp_size)
        key = (self.folder / "host_key.pub").read_text()
        with (self.folder / "known_hosts").open("a") as file:
            file.write(f"{host.address} {key}{name} {key}")
        with (self.folder / "ssh_config").open("a") as file:
            file.write(f"Host {name}\n  Hostname {host.address}\n  HostKeyAlias {name}\n")
            file.write(_CLIENT.format(names=name, folder=self.folder))
        return host

    def stop(self) -> None:
        for host in self.hosts.values():
            host.stop()


@contextlib.contextmanager
def network() -> Iterator[Network]:
    """A folder for hosts; all are stopped at the end."""
    missing = [name for name in ("sshd", "ip", "nsenter") if shutil.which(name, path=_SBIN) is None]
    if missing:
        absent(f"hosts in namespaces need {', '.join(missing)}")
    if os.geteuid() != 0:
        pytest.skip("hosts in namespaces need root")
    folder = Path(tempfile.mkdtemp(prefix="mg-", dir="/srv"))
    found = Network(folder)
    try:
        yield found
    finally:
        found.stop()
        shutil.rmtree(folder, ignore_errors=True)


def _ip(*words: str) -> None:
    done = subprocess.run(
        ["ip", *words], capture_output=True, text=True, check=False, env={"PATH": _SBIN}
    )
    if done.returncode != 0:
        pytest.skip(f"no network namespaces here: ip {' '.join(words)}: {done.stderr.strip()}")


def _until(test: Callable[[], bool], seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not test():
        assert time.monotonic() < deadline, "the host did not come up"
        time.sleep(0.05)
