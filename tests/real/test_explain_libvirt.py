"""A real libvirtd refuses, and ``explain`` names the cause: its words are those of the catalogue.

Skipped by name where libvirtd or virsh is not installed. tests/explain/libvirt_9_0.toml holds what
libvirtd 9.0 said to 79 such definitions and commands.
"""

from __future__ import annotations

import io
import re
import subprocess

import pytest

from migratable.explain.story import explain
from tests.conftest import Lab
from tests.real.test_libvirt import DOMAIN, Libvirt
from tests.real.test_libvirt import libvirt as _libvirt  # the fixture

pytestmark = [pytest.mark.real, pytest.mark.slow]
libvirt = _libvirt

_SERIAL = "<serial type='file'>"


def refused(*words: str) -> str:
    """What virsh says to a command that must fail."""
    done = subprocess.run(
        ["virsh", "--quiet", *words], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode != 0, (words, done.stdout)
    return done.stderr


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("pc-q35-7.2", "pc-q35-99.0", "libvirt-machine"),
        (_SERIAL, "<video><model type='xen'/></video>" + _SERIAL, "def-video-model"),
        (_SERIAL, "<channel type='spicevmc'><target type='virtio' name='x'/></channel>" + _SERIAL,
         "def-spicevmc"),
        ("bus='virtio'", "bus='ide'", "def-ide"),
        ("<vcpu>1</vcpu>", "<vcpu>3</vcpu><cpu><topology sockets='2' cores='1' threads='1'/></cpu>",
         "def-cpu-topology"),
        ("type='raw'/>", "type='raw' io='native' cache='writeback'/>", "def-io-native"),
        (_SERIAL, "<interface type='network'><source network='none'/></interface>" + _SERIAL,
         "libvirt-network"),
        (_SERIAL, "<graphics type='vnc'/><graphics type='vnc'/>" + _SERIAL, "def-graphics-one"),
        ("</domain>", "<seclabel type='dynamic' model='selinux'/></domain>", "def-seclabel"),
        ("<vcpu>1</vcpu>", "<vcpu>x</vcpu>", "libvirt-definition"),
    ],
)  # fmt: skip
def test_a_definition_that_libvirt_refuses(
    libvirt: Libvirt, lab: Lab, old: str, new: str, message: str
) -> None:
    xml = DOMAIN.format(emulator=lab("7.2").path, folder=libvirt.folder)
    changed = xml.replace("<name>counting</name>", "<name>refused</name>").replace(old, new, 1)
    assert new in changed
    # The running guest has that log.
    changed = re.sub("<serial.*?</serial>", "", changed)
    path = libvirt.folder / "refused.xml"
    path.write_text(changed)
    said = refused("create", str(path))
    (found,) = explain(io.BytesIO(said.encode())).explanations
    assert (found.message, str(found.side)) == (message, "destination"), said


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("start", "counting"), "op-already-running"),
        (("snapshot-create-as", "counting", "s1"), "op-snapshot-raw"),
        (("domfsinfo", "counting"), "host-agent-none"),
        (("setvcpus", "counting", "5", "--live"), "op-vcpus-maximum"),
        (("blockcommit", "counting", "vdz"), "op-no-disk"),
        (("migrate", "--live", "counting", "qemu+tcp://127.0.0.1:1/system"), "libvirt-connect"),
    ],
)
def test_a_command_that_libvirt_refuses(
    libvirt: Libvirt, words: tuple[str, ...], message: str
) -> None:
    (found,) = explain(io.BytesIO(refused(*words).encode())).explanations
    assert found.message == message
