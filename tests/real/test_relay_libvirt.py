"""``virsh migrate --migrateuri`` through the relay, between two libvirtds."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator

import pytest

from tests.absent import absent
from tests.conftest import Lab
from tests.guests.relayed import Relay
from tests.hosts.machines import Network, network

pytestmark = [pytest.mark.real, pytest.mark.slow, pytest.mark.xdist_group("hosts")]
PORT = 49321
DOMAIN = """
<domain type='qemu'>
  <name>{name}</name>
  <memory unit='MiB'>64</memory>
  <vcpu>1</vcpu>
  <os><type arch='x86_64' machine='pc-q35-10.0'>hvm</type></os>
  <features><acpi/></features>
  <devices><emulator>{emulator}</emulator>{devices}<memballoon model='none'/></devices>
</domain>
"""
RNG = "<rng model='virtio'><backend model='random'>/dev/urandom</backend></rng>"


@pytest.fixture(scope="module")
def net(lab: Lab) -> Iterator[Network]:
    """Two hosts; the emulator of the one is QEMU 10.0, of the other 11.1."""
    if shutil.which("libvirtd", path="/usr/sbin:/usr/bin") is None:
        absent("libvirtd is not installed")
    emulator, newer = lab("10.0").path, lab("11.1").path
    with network() as found:
        for name in ("virt-a", "virt-b"):
            found.host(name).libvirtd()
        found.hosts["virt-b"].run(["mount", "--bind", str(newer), str(emulator)])
        for name, devices in (("plain", ""), ("rng", RNG)):
            text = DOMAIN.format(name=name, emulator=emulator, devices=devices)
            found.hosts["virt-a"].domain(text)
        yield found
        for host in found.hosts.values():
            for name in ("plain", "rng"):
                host.run(["virsh", "destroy", name], check=False)


def _migrate(net: Network, name: str) -> subprocess.CompletedProcess[bytes]:
    """A third host asks both, and the relay is there, too."""
    shell = net.folder / "ssh"
    shell.write_text(f'#!/bin/sh\nexec {net.ssh} "$@"\n')
    shell.chmod(0o755)
    one, other = (f"qemu+ssh://{host}/system?command={shell}&no_tty=1" for host in net.hosts)
    words = ["virsh", "-c", one, "migrate", "--live", "--unsafe", name, other]
    between = f"tcp://{_gateway(net)}:{PORT}"
    return subprocess.run(
        [*words, "--migrateuri", between], check=False, capture_output=True, timeout=120
    )


def _gateway(net: Network) -> str:
    """This machine's address, as the source sees it."""
    return f"{net.hosts['virt-a'].subnet}.1"


def _relay(net: Network, name: str) -> Relay:
    log = net.hosts["virt-a"].folder / f"libvirt-log/qemu/{name}.log"
    to = f"tcp:{net.hosts['virt-b'].address}:{PORT}"
    words = ["--listen", f"tcp:{_gateway(net)}:{PORT}", "--to", to]
    return Relay(arguments=[*words, "--from", str(log), "--release", "11.1"])


def _state(net: Network, host: str, name: str) -> str:
    done = net.hosts[host].run(["virsh", "domstate", name], check=False)
    return done.stdout.decode().strip()


def test_passes(net: Network) -> None:
    with _relay(net, "plain") as relay:
        assert relay.address, relay.said
        done = _migrate(net, "plain")
        assert done.returncode == 0, done.stderr
        status, result = relay.end()
    assert (status, result.get("reason")) == (0, "migrated"), (result, done.stderr)
    assert result["return_path"] is True
    assert done.returncode == 0, done.stderr
    assert _state(net, "virt-b", "plain") == "running"
    assert _state(net, "virt-a", "plain") == ""


def test_breaks_off(net: Network) -> None:
    with _relay(net, "rng") as relay:
        assert relay.address, relay.said
        done = _migrate(net, "rng")
        status, result = relay.end()
    assert (status, result.get("reason"), result.get("guest")) == (1, "refused", "source"), (
        result,
        done.stderr,
    )
    assert result["return_path"] is True
    assert done.returncode != 0
    assert _state(net, "virt-a", "rng") == "running"
    assert _state(net, "virt-b", "rng") == ""
