"""Two hosts with a libvirtd each: the destination's libvirt builds the command line."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator

import pytest

from tests.absent import absent
from tests.conftest import Lab
from tests.hosts.machines import Host, Network, network
from tests.real.test_preflight import nothing_left, run

pytestmark = [pytest.mark.real, pytest.mark.slow, pytest.mark.xdist_group("hosts")]
DOMAIN = """
<domain type='qemu'>
  <name>{name}</name>
  <memory unit='MiB'>128</memory>
  <vcpu>1</vcpu>
  <os><type arch='x86_64' machine='pc-q35-7.2'>hvm</type></os>
  <features>{features}</features>
  <devices>
    <emulator>{emulator}</emulator>
    <disk type='file' device='disk'>
      <driver name='qemu' type='raw'/><source file='/run/{name}.img'/>
      <target dev='vda' bus='virtio'/>
    </disk>
    <rng model='virtio'><backend model='random'>/dev/urandom</backend></rng>
  </devices>
</domain>
"""


@pytest.fixture(scope="module")
def net(lab: Lab) -> Iterator[Network]:
    """Two hosts; the program that the domains name is 7.2 on the one and 10.0 on the other."""
    if shutil.which("libvirtd", path="/usr/sbin:/usr/bin") is None:
        absent("libvirtd is not installed")
    with network() as found:
        for name in ("virt-a", "virt-b"):
            host = found.host(name)
            for guest in ("acpi", "bare"):
                (host.folder / f"run/{guest}.img").write_bytes(bytes(1 << 20))
            host.libvirtd()
        emulator = lab("7.2").path
        newer = str(lab("10.0").path)
        found.hosts["virt-b"].run(["mount", "--bind", newer, str(emulator)])
        for name, features in (("acpi", "<acpi/>"), ("bare", "")):
            text = DOMAIN.format(name=name, features=features, emulator=emulator)
            found.hosts["virt-a"].domain(text)
        yield found
        for name in ("acpi", "bare"):
            found.hosts["virt-a"].run(["virsh", "destroy", name], check=False)


def hosts(net: Network) -> list[Host]:
    return list(net.hosts.values())


def test_a_domain_there_and_back(net: Network) -> None:
    done = run(net, "ssh://virt-a/acpi", "--to", "virt-b", "--yes", "--json")
    found = json.loads(done.stdout)
    assert done.returncode == 0, done.stderr
    assert found["guest"]["kind"] == "libvirt"
    assert found["command_line"]["from"] == "libvirt"
    assert found["there"]["destination"]["qemu"].startswith("10.0")
    assert found["back"]["verdict"] == "loads"
    assert found["back"]["destination"]["qemu"].startswith("7.2")
    assert found["source"]["libvirt"] == found["destination"]["libvirt"] != ""
    # Both hosts are this machine, so the disk is the same one and on a local file system.
    assert [one["rule"] for one in found["findings"]] == ["host-disks"]
    nothing_left(*hosts(net))
    state = net.hosts["virt-a"].run(["virsh", "domstate", "acpi"]).stdout
    assert state.strip() == b"running"


def test_what_the_destinations_libvirt_writes_is_what_is_tried(net: Network) -> None:
    """libvirt 9.0 writes -no-acpi, which QEMU 10.0 does not have any more."""
    version = net.hosts["virt-b"].run(["libvirtd", "--version"]).stdout.decode().split()[-1]
    if not version.startswith("9."):
        pytest.skip(f"libvirt {version} writes -machine acpi=off")
    done = run(net, "ssh://virt-a/bare", "--to", "virt-b", "--yes")
    assert done.returncode == 1, done.stderr
    assert "-no-acpi: invalid option" in done.stdout
    nothing_left(*hosts(net))


def test_a_libvirt_uri(net: Network) -> None:
    words = ("qemu+ssh://virt-a/system#acpi", "--to", "qemu+ssh://virt-b/system")
    done = run(net, *words, "--yes", "--no-back", "--copy-storage", "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["back"] is None
    assert found["findings"] == []
    nothing_left(*hosts(net))


def test_a_definition_that_its_libvirt_refuses(net: Network, lab: Lab) -> None:
    there = net.hosts["virt-b"]
    there.run(["umount", str(lab("7.2").path)])
    there.run(["mount", "--bind", "/bin/false", str(lab("7.2").path)])
    try:
        done = run(net, "ssh://virt-a/acpi", "--to", "virt-b", "--yes", "--json")
    finally:
        there.run(["umount", str(lab("7.2").path)])
        there.run(["mount", "--bind", str(lab("10.0").path), str(lab("7.2").path)])
    found = json.loads(done.stdout)
    assert done.returncode == 1, done.stderr
    assert found["findings"][0]["rule"] == "host-libvirt"
    assert (
        "QEMU" in found["findings"][0]["summary"] or "emulator" in found["findings"][0]["summary"]
    )
    nothing_left(*hosts(net))
