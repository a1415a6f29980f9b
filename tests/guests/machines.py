"""Guests' command lines, and a running guest: its console, its monitor, its migration."""

from __future__ import annotations

import contextlib
import gzip
import os
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import migratable.qemu
from migratable.errors import QemuError
from migratable.qemu.qmp import Qmp
from tests.guests import boot, initrd

_LAUNCHER = Path(migratable.qemu.__file__).with_name("launcher.py")
_COUNT = re.compile(r"^(?:C (\d+)\b|F ([0-9a-f]+) *$)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Guest:
    """A machine that runs something; the same command line is for sources and destinations.

    :ivar target: QEMU's, ``x86_64`` or ``ppc64``.
    :ivar arguments: the command line without program and disk.
    :ivar append: to the kernel's command line; None for a guest of firmware alone.
    :ivar tap: does it need a network namespace with a tap?
    :ivar since: the oldest release that has its machine type.
    """

    name: str
    target: str
    arguments: tuple[str, ...]
    append: str | None = None
    tap: bool = False
    since: float = 5.2

    def runs_in(self, release: str) -> bool:
        """Does this release have its machine type?"""
        return float(release) >= self.since

    def command_line(self, disk: Path) -> list[str]:
        """All arguments that make the machine."""
        drive = f"if=none,id=disk0,format=raw,file={disk}"
        return [*self.arguments, "-drive", drive]

    def boot_arguments(self) -> list[str]:
        """What a source has besides: kernel and initrd. A destination needs none."""
        if self.append is None:
            return ["-prom-env", f"boot-command={boot.FORTH}"] if self.target == "ppc64" else []
        kernel, root = initrd.build(self.target)
        console = "ttyS0" if self.target == "x86_64" else "hvc0"
        append = f"console={console} quiet {self.append}".strip()
        return ["-kernel", str(kernel), "-initrd", str(root), "-append", append]

    def disk(self, folder: Path) -> Path:
        """A new disk image for it."""
        path = folder / "disk.img"
        path.write_bytes(boot.disk())
        return path


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


# A hub of which the second port leads nowhere swallows packets; with one port they would pile up.
_NET = "-netdev hubport,id=net0,hubid=0 -netdev hubport,id=net1,hubid=0 "
_COMMON = "-accel tcg -display none -nodefaults "
_PC = f"{_COMMON}-M pc-q35-5.2 -m 256 "
_PSERIES = f"{_COMMON}-M pseries-5.2 -cpu POWER9 -m 512 "
_MODERN = (
    "-device virtio-blk-pci,drive=disk0,addr=2 -device virtio-net-pci,netdev=net0,addr=3 "
    "-device virtio-rng-pci,addr=4 -device virtio-balloon-pci,addr=5 "
    "-device virtio-scsi-pci,id=scsi0,addr=6 -drive if=none,id=disk1,driver=null-co,size=16M "
    "-device scsi-hd,drive=disk1,bus=scsi0.0 -device qemu-xhci,addr=7 -device usb-kbd"
)

GUESTS = {
    guest.name: guest
    for guest in (
        Guest(
            name="x86-linux",
            target="x86_64",
            arguments=_words(
                f"{_PC}{_NET}{_MODERN} -device pcie-root-port,id=port0,addr=8,chassis=1 "
                "-netdev hubport,id=net2,hubid=0 -device virtio-net-pci,netdev=net2,bus=port0"
            ),
            append="",
        ),
        Guest(
            name="x86-tap",
            target="x86_64",
            arguments=_words(
                f"{_COMMON}-M pc-q35-7.2 -m 256 -device virtio-blk-pci,drive=disk0 "
                "-netdev tap,id=net0,ifname=mig0,script=no,downscript=no "
                "-device virtio-net-pci,netdev=net0,host_uso=on,guest_uso4=on,guest_uso6=on"
            ),
            append="",
            tap=True,
            since=10.0,
        ),
        Guest(
            name="x86-iommu",
            target="x86_64",
            arguments=_words(
                f"{_PC}{_NET}-device intel-iommu,intremap=off "
                "-device virtio-blk-pci,drive=disk0,iommu_platform=on,disable-legacy=on "
                "-device virtio-net-pci,netdev=net0,iommu_platform=on,disable-legacy=on "
                "-drive if=none,id=disk1,driver=null-co,size=16M "
                "-device ide-hd,drive=disk1,bus=ide.0"
            ),
            append="intel_iommu=on",
        ),
        Guest(
            name="x86-firmware",
            target="x86_64",
            arguments=_words(f"{_PC}-device virtio-blk-pci,drive=disk0 -device virtio-rng-pci"),
        ),
        Guest(
            name="ppc-linux", target="ppc64", arguments=_words(_PSERIES + _NET + _MODERN), append=""
        ),
        Guest(
            name="ppc-hash",
            target="ppc64",
            arguments=_words(_PSERIES + _NET + _MODERN),
            append="disable_radix",
        ),
        # Their processor never sleeps: QEMU under TCG may lose the timer of one that did.
        Guest(
            name="ppc-awake",
            target="ppc64",
            arguments=_words(_PSERIES + _NET + _MODERN),
            append="powersave=off",
        ),
        Guest(
            name="ppc-awake-hash",
            target="ppc64",
            arguments=_words(_PSERIES + _NET + _MODERN),
            append="disable_radix powersave=off",
        ),
        Guest(
            name="ppc-firmware",
            target="ppc64",
            arguments=_words(
                f"{_COMMON}-M pseries-5.2 -cpu power9_v2.0 -m 256 "
                "-device virtio-blk-pci,drive=disk0"
            ),
        ),
    )
}


class Running:
    """A QEMU with a guest in it, as a context manager; dies with the thread that started it.

    :ivar lines: what the console printed until now.
    """

    def __init__(
        self,
        program: Sequence[str],
        arguments: Sequence[str],
        *,
        tap: bool = False,
        qmp_path: Path | None = None,
    ) -> None:
        """Prepare; the console is the first serial port.

        :param qmp_path: a second monitor that listens there.
        """
        self._argv = [*program, *arguments, "-serial", "stdio"]
        if qmp_path is not None:
            self._argv += ["-qmp", f"unix:{qmp_path},server=on,wait=off"]
        self._tap = tap
        self.lines: list[str] = []
        self._came = threading.Condition()

    def __enter__(self) -> Self:
        """Start it."""
        ours, theirs = socket.socketpair()
        try:
            monitor = ["-chardev", f"socket,id=mon,fd={theirs.fileno()}"]
            monitor += ["-mon", "chardev=mon,mode=control"]
            launcher = [sys.executable, "-I", "-S", str(_LAUNCHER), str(os.getpid())]
            self._process = subprocess.Popen(
                [*launcher, "taps" if self._tap else "", *self._argv, *monitor],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                pass_fds=(theirs.fileno(),),
                start_new_session=True,
            )
        finally:
            theirs.close()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self.monitor = Qmp(ours)
        try:
            self.monitor.negotiate(30)
        except QemuError as error:
            self.stop()
            raise QemuError(f"{error}; it printed: {self.lines[-5:]}") from None
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """End it."""
        self.stop()

    def stop(self) -> None:
        """Kill it."""
        self._process.kill()
        self._process.wait()
        self._reader.join(5)
        assert self._process.stdout is not None
        self._process.stdout.close()
        self.monitor.close()

    def _read(self) -> None:
        assert self._process.stdout is not None
        with contextlib.suppress(ValueError):
            for line in self._process.stdout:
                with self._came:
                    self.lines.append(line.decode("utf-8", "replace").strip("\r\n"))
                    self._came.notify_all()

    def qmp(self, command: str, /, **arguments: Any) -> Any:
        """Run a QMP command."""
        return self.monitor.execute(
            command, {name.replace("_", "-"): value for name, value in arguments.items()}
        )

    def hmp(self, command: str) -> str:
        """Run a command of the human monitor."""
        return str(self.qmp("human-monitor-command", command_line=command))

    # The guest

    @property
    def count(self) -> int:
        """The last number that the guest printed; 0 when it printed none."""
        for line in reversed(self.lines):
            if found := _COUNT.match(line.lstrip("\x1b[0m?25lh")):
                return int(found[1]) if found[1] else int(found[2], 16)
        return 0

    def await_count(self, least: int, timeout: float = 90.0) -> int:
        """Wait until the guest has counted to *least*.

        :raise QemuError: when it does not in *timeout* seconds; with its last lines.
        """
        deadline = time.monotonic() + timeout
        with self._came:
            while self.count < least:
                ended = self._process.poll() is not None
                if ended or time.monotonic() > deadline:
                    raise QemuError(
                        f"the guest counted to {self.count}, not {least}: {self.lines[-6:]}"
                    )
                self._came.wait(0.5)
        return self.count

    def goes_on(self, timeout: float = 10.0) -> bool:
        """Does the guest count three further?"""
        try:
            self.await_count(self.count + 3, timeout)
        except QemuError:
            return False
        return True

    # Migration

    def save(self, path: Path) -> None:
        """Migrate to a file, compressed with gzip; the guest runs until the last moment."""
        reading, writing = os.pipe()
        try:
            self.monitor.execute("getfd", {"fdname": "out"}, fd=writing)
        finally:
            os.close(writing)

        def drain() -> None:
            with gzip.open(path, "wb", 1) as file:
                while data := os.read(reading, 1 << 20):
                    file.write(data)
            os.close(reading)

        drainer = threading.Thread(target=drain, daemon=True)
        drainer.start()
        self.migrate("fd:out")
        drainer.join(60)

    def migrate(self, uri: str, timeout: float = 120.0) -> str:
        """Migrate away and wait for the end; ``completed`` or ``failed``."""
        self.qmp("migrate-set-parameters", max_bandwidth=1 << 40)
        self.qmp("migrate", uri=uri)
        return self._await_end(timeout)

    def load(self, path: Path, timeout: float = 120.0) -> str:
        """Load a stream that :meth:`save` wrote, or a plain one, into a destination.

        The destination was started with ``-incoming defer``.

        :return: ``completed``, ``failed``, or ``exited`` when the program ended, as QEMU before
            9.1 does.
        """
        reading, writing = os.pipe()
        try:
            self.monitor.execute("getfd", {"fdname": "in"}, fd=reading)
        finally:
            os.close(reading)

        def feed() -> None:
            opener = gzip.open if path.suffix == ".gz" else open
            with contextlib.suppress(BrokenPipeError), opener(path, "rb") as file:
                while data := file.read(1 << 20):
                    view = memoryview(data)
                    while view:
                        view = view[os.write(writing, view) :]
            os.close(writing)

        feeder = threading.Thread(target=feed, daemon=True)
        feeder.start()
        try:
            self.qmp("migrate-incoming", uri="fd:in")
            return self._await_end(timeout)
        except QemuError:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(5)
            if self._process.poll() is None:
                raise
            self._reader.join(5)
            return "exited"

    def _await_end(self, timeout: float) -> str:
        deadline = time.monotonic() + timeout
        while (status := self.qmp("query-migrate").get("status")) not in {"completed", "failed"}:
            if time.monotonic() > deadline:
                raise QemuError(f"a migration of more than {timeout:g} s, now {status}")
            time.sleep(0.01)
        return str(status)
