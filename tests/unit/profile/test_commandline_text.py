"""Command lines as people have them."""

import contextlib

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from migratable.commandline import CommandLine, Fields, parse
from migratable.commandline.pasted_text import words
from migratable.errors import CommandLineError

LIBVIRT_LOG = """\
2023-01-01 10:00:00.000+0000: starting up libvirt version: 9.0.0, hostname: a
LC_ALL=C \\
PATH=/usr/bin \\
/usr/bin/qemu-system-x86_64 \\
-name guest=old \\
-m 128
2023-01-01 11:00:00.000+0000: shutting down, reason=shutdown
2023-01-02 10:00:00.000+0000: starting up libvirt version: 9.0.0, hostname: a
LC_ALL=C \\
PATH=/usr/bin \\
QEMU_AUDIO_DRV=none \\
/usr/bin/qemu-system-x86_64 \\
-name guest=new,debug-threads=on \\
-object '{"qom-type":"secret","id":"m","file":"/x y"}' \\
-smbios 'type=1,manufacturer=Red Hat' \\
-m 256
char device redirected to /dev/pts/1 (label charserial0)
2023-01-02T10:00:01.000Z qemu-system-x86_64: warning: something
"""

FORMS = {
    "list": (["qemu-system-x86_64", "-m", "256"], ["-m", "256"]),
    "one string": ("qemu-system-x86_64 -m 256 -name 'a b'", ["-m", "256", "-name", "a b"]),
    "one word in a list": (["qemu-system-x86_64 -m 256"], ["-m", "256"]),
    "long options": ("qemu-system-x86_64 --machine q35", ["--machine", "q35"]),
    "environment": ("A=1 B='x y' qemu-system-x86_64 -m 1", ["-m", "1"]),
    "wrappers": ("sudo numactl -N 0 /usr/bin/qemu-system-ppc64 -m 1", ["-m", "1"]),
    "bare image": ("qemu-system-x86_64 -m 512 disk.img", ["-m", "512", "disk.img"]),
    "dash as a value": ("qemu-system-x86_64 -append -x -m 1", ["-append", "-x", "-m", "1"]),
    "cmdline": ("/usr/bin/kvm\0-name\0a b\0-S\0", ["-name", "a b", "-S"]),
    "libvirt log": (
        LIBVIRT_LOG,
        [
            "-name",
            "guest=new,debug-threads=on",
            "-object",
            '{"qom-type":"secret","id":"m","file":"/x y"}',
            "-smbios",
            "type=1,manufacturer=Red Hat",
            "-m",
            "256",
        ],
    ),
    "Proxmox error": (
        "TASK ERROR: start failed: command '/usr/bin/kvm -id 1 -drive 'file=/a b,id=d' -S' "
        "failed: exit code 1",
        ["-id", "1", "-drive", "file=/a b,id=d", "-S"],
    ),
    "ps": (
        "root  123  0.0  0.1 97 105 ?  Sl  Sep02 42:19 /usr/bin/kvm -smbios "
        'type=1,manufacturer=Red Hat,product=X Y -device {"driver":"e1000","id":"n 1"} -m 1',
        [
            "-smbios",
            "type=1,manufacturer=Red Hat,product=X Y",
            "-device",
            '{"driver":"e1000","id":"n 1"}',
            "-m",
            "1",
        ],
    ),
    "pstree": ("  |-qemu-system-x86,251092 -name a -m 1", ["-name", "a", "-m", "1"]),
    "quoted mail": (
        "> qemu-system-x86_64 -m 1\n> -device e1000,id=n\n",
        ["-m", "1", "-device", "e1000,id=n"],
    ),
    "quoted mail with an introduction": (
        "I wrote:\n> qemu-system-x86_64 -m 1\n> -device e1000,id=n\n",
        ["-m", "1", "-device", "e1000,id=n"],
    ),
    "shell syntax after it": (
        "qemu-system-x86_64 -m 1 -append '> &' -S > log 2>&1 &",
        ["-m", "1", "-append", "> &", "-S"],
    ),
    "shell syntax after it, no quotes": (
        "qemu-system-x86_64 -m 1 -hda a.img > /tmp/log 2>&1 &",
        ["-m", "1", "-hda", "a.img"],
    ),
    "any path": ("/opt/my-vm x86_64 -m 1 -name kvm", ["x86_64", "-m", "1", "-name", "kvm"]),
    "lab": ("lab:10.0/ppc64 -m 1", ["-m", "1"]),
    "quoted-printable": (
        "qemu-system-x86_64 -device e1000,netd=\nev=3Dn -m 1",
        ["-device", "e1000,netdev=n", "-m", "1"],
    ),
    "hard wraps within words": (
        "qemu-system-x86_64 -machine pc-q35-5.2,usb=off -m 2048 -nodefau\n"
        "lts -device pcie-root-port,port=0x10,chassis=1,id=pci.1,bus=pci\n"
        "e.0,multifunction=on,addr=0x2 -display none",
        [
            "-machine",
            "pc-q35-5.2,usb=off",
            "-m",
            "2048",
            "-nodefaults",
            "-device",
            "pcie-root-port,port=0x10,chassis=1,id=pci.1,bus=pcie.0,multifunction=on,addr=0x2",
            "-display",
            "none",
        ],
    ),
    "entities and typography": (
        "qemu-system-x86_64 –m 512 -drive &quot;file=my disk.img&quot; -name “a b”",
        ["-m", "512", "-drive", "file=my disk.img", "-name", "a b"],
    ),
    "one option a line": ("/usr/bin/qemu-kvm\n-m 1\n-S\n", ["-m", "1", "-S"]),
}


GO = "qemu cmd: [/usr/bin/qemu-system-x86_64 -M q35 -m 1G]"
AROUND = {
    "YAML, an item each": "command:\n  - qemu-system-x86_64\n  - -M\n  - 'q35'\n  - -m\n  - 1G\n",
    "YAML in brackets": "command: [qemu-system-x86_64, -M, q35, -m, 1G]\n",
    "systemd": "[Service]\nExecStart=/usr/bin/qemu-kvm -M q35 \\\n  -m 1G\nRestart=no\n",
    "systemctl status": "    └─1234 /usr/bin/qemu-system-x86_64 -M q35 -m 1G\n",
    "Dockerfile": 'FROM x\nCMD ["qemu-system-x86_64", "-M", "q35", "-m", "1G"]\n',
    "Go": f"DEBU[0000] {GO}",
    "Go, quoted": f'level=debug msg="{GO}"',
    "Go, JSON": f'{{"level":"debug","msg":"{GO}"}}',
    "Go, words quoted": 'msg="(args=[\\"qemu-kvm\\" \\"-M\\" \\"q35\\" \\"-m\\" \\"1G\\"])"',
    "PowerShell": "qemu-system-x86_64.exe `\n  -M q35 `\n  -m 1G\n",
    "cmd.exe": "qemu-system-x86_64.exe ^\n  -M q35 ^\n  -m 1G\n",
    "tmux": "tmux new -d 'qemu-system-x86_64 -M q35 -m 1G'",
    "Markdown": "```sh\nqemu-system-x86_64 -M q35 -m 1G\n```\n",
    "HTML": "<p><code>qemu-system-x86_64 -M q35 -m 1G</code></p>",
    "BBCode": "[code]qemu-system-x86_64 -M q35 -m 1G[/code]",
    "if": "if ! qemu-system-x86_64 -M q35 -m 1G; then exit 1; fi",
    "fish": "qemu-system-x86_64 -M q35 -m 1G; and echo ok",
    "packages": "packages:\n  - qemu-kvm\n  - libvirt\n\nqemu-system-x86_64 -M q35 -m 1G\n",
    "packages, quoted": 'packages: ["qemu-kvm", "libvirt"]\n\nqemu-system-x86_64 -M q35 -m 1G\n',
    "a script's arguments, bare": "exec qemu-system-x86_64 -M q35 -m 1G $@",
    "a script's arguments": 'exec qemu-system-x86_64 -M q35 -m 1G "$@"',
    "set -x": "++ exec qemu-system-x86_64 -M q35 -m 1G",
}


@pytest.mark.parametrize("form", AROUND)
def test_what_stands_around(form: str) -> None:
    assert parse(AROUND[form]).argv[1:] == ["-M", "q35", "-m", "1G"]


@pytest.mark.parametrize(
    "text",
    [
        "qemu-system-x86_64 -M q35 $EXTRA -m 1G",
        "qemu-system-x86_64 ${ARGS[@]} -m 1G",
        "qemu-system-x86_64 $(cat args) -m 1G",
        "qemu-system-x86_64 -M q35 \\ # a comment\n -m 1G",
        "qemu-system-x86_64 -M q35 \\\n  `# memory` \\\n  -m 1G",
        "qemu-system-x86_64 -M q35 - -m 1G",
    ],
)
def test_what_is_no_disk_image(text: str) -> None:
    with pytest.raises(CommandLineError, match="neither an option nor a disk image"):
        parse(text)


def test_wrappers_before_words() -> None:
    argv = ["sudo", "-u", "qemu", "-g", "kvm", "/usr/libexec/qemu-kvm", "-M", "q35"]
    assert parse(argv).argv == argv[5:]


@pytest.mark.parametrize("form", FORMS)
def test_forms(form: str) -> None:
    given_form, expected = FORMS[form]
    assert parse(given_form).argv[1:] == expected


@pytest.mark.parametrize(
    ("text", "program"),
    [
        ("sudo -u qemu -g kvm /usr/libexec/qemu-kvm -M q35", "/usr/libexec/qemu-kvm"),
        ("docker run -v /dev/kvm:/dev/kvm image qemu-system-x86_64 -M q35", "qemu-system-x86_64"),
        ("I use kvm and qemu on Debian: qemu-system-x86_64 -M q35", "qemu-system-x86_64"),
        ("qemu 1 0 /usr/bin/qemu-system-x86_64 -M q35", "/usr/bin/qemu-system-x86_64"),
        ("#qemu-kvm -M q35", "qemu-kvm"),
        ("host:~>qemu-kvm -M q35", "qemu-kvm"),
        ("cd /x;kvm -M q35", "kvm"),
        ("(qemu-system-x86_64 -M q35)", "qemu-system-x86_64"),
        ("`-qemu-system-x86,251092 -M q35", "qemu-system-x86"),
    ],
)
def test_what_stands_before_the_program(text: str, program: str) -> None:
    line = parse(text)
    assert line.program == (program,)
    assert line.argv[1:] == ["-M", "q35"]


@pytest.mark.parametrize("program", ["", "$QEMU ", "${qemu} ", "my-qemu-kvm "])
@pytest.mark.parametrize(
    "kvm",
    ["-enable-kvm", "--enable-kvm", "-accel kvm", "-M accel=kvm", "-name kvm", "-u x -cpu kvm"],
)
def test_an_option_is_no_program(program: str, kvm: str) -> None:
    """Nothing before ``kvm`` may be lost: the machine would be another."""
    with pytest.raises(CommandLineError, match="no QEMU program") as caught:
        parse(f"{program}-machine q35 {kvm} -m 1G")
    assert ("shell's variable" in str(caught.value)) == program.startswith("$")


def test_starter_with_a_target() -> None:
    line = parse(["/opt/q.sh", "ppc64", "-machine", "pseries"])
    assert line.program == ("/opt/q.sh", "ppc64")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "no QEMU program"),
        ("-m 512 -machine q35", "no QEMU program"),
        ("hello world", "no QEMU program"),
        ("qemu-system-x86_64 -name 'open", "quotes"),
        ("qemu-system-x86_64 -m", "word 1, -m: requires an argument"),
    ],
)
def test_errors(text: str, says: str) -> None:
    with pytest.raises(CommandLineError, match=says):
        parse(text)


def test_list_without_program() -> None:
    with pytest.raises(CommandLineError, match="names no program"):
        parse(["-m", "512"])
    assert parse(["-m", "512"], need_program=False).program == ()


def test_json_that_lost_its_quotes() -> None:
    line = parse(["qemu-system-x86_64", "-device", "{driver:e1000}"])
    with pytest.raises(CommandLineError, match="a shell removed them"):
        _ = line.options[0].fields


@given(st.text(max_size=300))
def test_any_text_parses_or_is_refused_properly(text: str) -> None:
    with contextlib.suppress(CommandLineError):
        parse("qemu-system-x86_64 " + text)


VALUE = st.text(
    alphabet=st.characters(codec="ascii", exclude_characters="\0\n\r", min_codepoint=32),
    max_size=20,
)


@given(
    st.lists(st.tuples(st.from_regex(r"[a-z][a-z0-9.-]{0,9}", fullmatch=True), VALUE), max_size=6)
)
def test_fields_survive_writing(pairs: list[tuple[str, str]]) -> None:
    """ "a value's comma is doubled": what was written reads back the same."""
    fields = Fields(pairs=tuple(pairs))
    assert Fields.parse(fields.text(), option="drive").pairs == tuple(pairs)


@example([("-name", "A:\\\\")])
@example([("-name", "it's in C:\\dir")])
@given(
    st.lists(st.tuples(st.sampled_from(["-m", "-name", "-append", "-device"]), VALUE), min_size=1)
)
def test_a_line_for_the_shell_reads_back(options: list[tuple[str, str]]) -> None:
    argv = ["qemu-system-x86_64", *(word for option in options for word in option)]
    line = parse(argv)
    if "\\" in line.text() or "'" in line.text():  # quoted: the shell form
        assert parse(line.text()).argv == line.argv


def device_line() -> CommandLine:
    return parse(
        [
            "qemu-system-x86_64",
            "-M",
            "q35,vmport=off",
            "-machine",
            "hpet=off",
            "-cpu",
            "Haswell,+vmx,-rtm,enforce",
            "-device",
            "e1000,id=n0,mac=1",
            "-device",
            '{"driver":"virtio-blk-pci","id":"d0","packed":true}',
            "-global",
            "driver=e1000,property=x,value=1",
        ]
    )


def test_questions() -> None:
    line = device_line()
    assert line.machine == "q35"
    assert line.get("machine", "hpet") == "off"
    assert line.cpu == "Haswell"
    assert not line.wants_kvm
    assert [identity for _, _, identity in line.devices()] == ["n0", "d0"]
    assert parse("kvm -m 1").wants_kvm
    assert parse("qemu-system-x86_64 -accel kvm -accel tcg").wants_kvm
    assert parse("qemu-system-x86_64 -M accel=tcg:kvm").wants_kvm is False


def test_edits() -> None:
    line = device_line()
    assert line.with_machine("type", "pc-q35-7.2").machine == "pc-q35-7.2"
    assert line.with_machine("vmport", None).get("machine", "vmport") is None
    assert line.with_machine("smm", "off").get("machine", "smm") == "off"
    text = line.with_cpu("max", vmx=None, rtm="on").text()
    assert "max,enforce,rtm=on" in text
    assert "id=n0,mac=2" in line.with_device("n0", "mac", "2").text()
    assert '"packed":false' in line.with_device("d0", "packed", "off").text()
    assert "mac=" not in line.with_device("e1000", "mac", None).text()
    changed = line.with_global("e1000", "x", "2")
    assert [option.value for option in changed.all("global")] == ["e1000.x=2"]
    with pytest.raises(CommandLineError, match="no -device"):
        line.with_device("nothing", "a", "b")


def test_windows_paths() -> None:
    text = (
        '"C:\\Program Files\\qemu\\qemu-system-x86_64.exe" -accel whpx -hda C:\\vm\\disk.qcow2 '
        "-cdrom D:\\iso\\a.iso -m 1G"
    )
    found = words(text)
    assert found[0].endswith("qemu-system-x86_64.exe")
    assert "C:\\vm\\disk.qcow2" in found
    assert found[-1] == "1G"
    assert words("D:\\qemu\\qemu-system-i386.exe -m 64")[1:] == ["-m", "64"]


@pytest.mark.parametrize("text", ['{"driver": "e1000", "id": "n"}', '{"driver":"e1000","id":"n"}'])
def test_json_keeps_its_blanks(text: str) -> None:
    """QEMU 5.2 quotes the text up to its first comma as a driver's name."""
    fields = Fields.parse(text, option="device")
    assert fields.text() == text
    blank = " " if " " in text else ""
    assert fields.set("id", "m").delete("driver").text() == f'{{"id":{blank}"m"}}'
