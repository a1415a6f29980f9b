"""Who else could put another program where we start one."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from migratable.errors import HostError, MigratableError
from migratable.hosts import arrival
from migratable.qemu.ownership import changeable


@pytest.fixture
def program(tmp_path: Path) -> Path:
    folder = tmp_path / "bin"
    folder.mkdir(mode=0o755)
    path = folder / "qemu-system-x86_64"
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)
    return path


def test_a_program_of_ours(program: Path) -> None:
    assert changeable(program) == ""
    assert changeable("/bin/sh") == ""


def test_what_others_can_write(program: Path, tmp_path: Path) -> None:
    link = tmp_path / "qemu-kvm"
    link.symlink_to(program)
    assert changeable(link) == ""
    program.parent.chmod(0o777)
    assert "bin can be written by others" in changeable(program)
    assert "bin can be written by others" in changeable(link)
    program.parent.chmod(0o1777)
    assert changeable(program) == ""
    program.chmod(0o775)
    assert "can be written by others" in changeable(program)
    if os.geteuid() == 0:
        program.chmod(0o755)
        os.chown(link, 12345, -1, follow_symlinks=False)
        assert "another user's" in changeable(link)
    assert "is not a file" in changeable(tmp_path)
    assert "No such file" in changeable(tmp_path / "gone")


@pytest.mark.parametrize("words", [["/bin/sh"], ["/usr/bin/env"], ["sh"], ["/bin/sh", "-c"], [""]])
def test_a_source_does_not_choose_the_destinations_program(words: list[str]) -> None:
    guest = {"name": "g", "kind": "qemu", "argv": [*words, "-m", "1G"]}
    with pytest.raises(MigratableError):
        arrival.command_line(guest, home=(), program="", uri="")


def test_nor_one_that_others_can_write(program: Path) -> None:
    guest = {"name": "g", "kind": "qemu", "argv": [str(program), "-m", "1G"]}
    line, _, _ = arrival.command_line(guest, home=(), program="", uri="")
    assert line.program == (str(program),)
    program.parent.chmod(0o777)
    try:
        line, _, _ = arrival.command_line(guest, home=(), program="", uri="")
    except HostError as error:
        assert "can be written by others" in str(error)
    else:
        assert line.program != (str(program),)  # another of that name


@pytest.mark.parametrize(
    "text",
    ["{0}", "<![CDATA[{0}]]>", "<!-- x -->{0}", " {0} ", "<x>{0}</x>"],
)
def test_nor_the_emulator_that_libvirt_would_ask(text: str, program: Path) -> None:
    program.parent.chmod(0o777)
    inner = text.format(program)
    xml = f"<domain><devices><emulator>{inner}</emulator></devices></domain>"
    with pytest.raises(HostError, match="can be written by others"):
        arrival._libvirts(xml, "", "")
    for other in ("/bin/sh", "/usr/bin/env", "/gone/reboot", "reboot"):
        with pytest.raises(HostError, match="not called like a QEMU"):
            arrival._libvirts(xml.replace(inner, other), "", "")
    with pytest.raises(HostError, match="is not libvirt's"):
        arrival._libvirts(f"<!DOCTYPE x [<!ENTITY e '{program}'>]>{xml}", "", "")
