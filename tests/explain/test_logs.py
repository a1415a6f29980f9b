"""Kinds of input, grouping, honesty about what is unknown, output."""

from __future__ import annotations

import gzip
import io
import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from migratable.cli.explain import command
from migratable.explain import decode
from migratable.explain.explanation import Report, Status
from migratable.explain.logs import pieces
from migratable.explain.story import explain
from migratable.report.explain_html import render

FOOTER = "qemu-kvm: Missing section footer for 0000:00:01.3/piix4_pm"
CLOSING = "qemu-kvm: load of migration failed: Invalid argument"


def said(log: str | bytes) -> Report:
    return explain(io.BytesIO(log.encode() if isinstance(log, str) else log))


def only(log: str | bytes) -> tuple[str | None, str | None]:
    found = said(log)
    assert len(found.explanations) == 1, [item.line for item in found.explanations]
    return found.explanations[0].message, found.explanations[0].rule


JOURNAL = {"_PID": "77", "_HOSTNAME": "h", "SYSLOG_IDENTIFIER": "libvirtd"}
BYTES = list(FOOTER.encode())
KINDS = {
    "stderr": f"{FOOTER}\n{CLOSING}\n",
    "carriage returns": f"{FOOTER}\r\n{CLOSING}\r\n",
    "libvirt's log": f"2024-05-01T12:00:00.123456Z {FOOTER}\n2024-05-01T12:00:00.2Z {CLOSING}\n"
    "2024-05-01 12:00:00.300+0000: shutting down, reason=failed\n",
    "full path": f"/usr/libexec/{FOOTER}\n/usr/libexec/{CLOSING}\n",
    "colour": f"\x1b[31m{FOOTER}\x1b[0m\n\x1b[1m{CLOSING}\x1b[0m\n",
    "quoted in a mail": f"> > {FOOTER}\n> > {CLOSING}\n",
    "broken in a mail": "> qemu-kvm: Missing section footer for\n> 0000:00:01.3/piix4_pm\n"
    f"> {CLOSING}\n",
    "syslog": f"May  1 12:00:00 host QEMU[4711]: {FOOTER}\nMay  1 12:00:00 host QEMU[4711]: "
    f"{CLOSING}\n",
    "journal, JSON": "".join(
        json.dumps({**JOURNAL, "MESSAGE": text}) + "\n" for text in (FOOTER, CLOSING)
    ),
    "journal, bytes": "".join(
        json.dumps({**JOURNAL, "MESSAGE": list(text.encode())}, separators=(",", ":")) + "\n"
        for text in (FOOTER, CLOSING)
    ),
    "KubeVirt": "".join(
        json.dumps({"component": "virt-launcher-monitor", "level": "info", "msg": text}) + "\n"
        for text in (FOOTER, CLOSING)
    ),
    "wrapped by libvirt": "error: internal error: process exited while connecting to monitor: "
    f"2024-05-01T12:00:00.1Z {FOOTER}\n2024-05-01T12:00:00.2Z {CLOSING}\n",
    "wrapped by libvirt in JSON": json.dumps(
        {
            "component": "virt-launcher",
            "level": "error",
            "msg": f"internal error: QEMU unexpectedly closed the monitor (vm='x'): {FOOTER}\n"
            f"{CLOSING}",
        }
    ),
    "HTML": f"internal error: QEMU unexpectedly closed the monitor (vm=&#39;x&#39;): {FOOTER}"
    f"&#10;{CLOSING}",
    "container": json.dumps({"log": f"{FOOTER}\n{CLOSING}\n", "stream": "stderr"}),
    "Kubernetes event": json.dumps(
        {"kind": "Event", "reason": "Migrated", "message": f"failed: {FOOTER}", "items": []}
    ),
    "in words": f"we see `{FOOTER}` and then `{CLOSING}`, what is it?",
}


@pytest.mark.parametrize("log", KINDS.values(), ids=KINDS)
def test_kinds_of_input(log: str) -> None:
    assert only(log) == ("footer-missing", "section-footer")


def test_gzip() -> None:
    data = gzip.compress(KINDS["stderr"].encode())
    found = explain(io.BufferedReader(io.BytesIO(data)))
    assert [item.message for item in found.explanations] == ["footer-missing"]


CHAIN = (
    "load of migration failed: Invalid argument: error while loading state for instance 0x0 of "
    "device 'spapr': post load hook failed for: spapr, version_id: 3, minimum_version: 1, ret: -22"
)


def test_qmp_answers() -> None:
    answer = {"return": {"status": "failed", "error-desc": f"{CHAIN.replace('spapr', 'timer')}"}}
    assert only(json.dumps(answer))[0] == "device-error"
    event = {"timestamp": {"seconds": 1}, "event": "MIGRATION", "data": {"status": "active"}}
    assert not said(json.dumps(event)).explanations
    error = {
        "id": "libvirt-9",
        "error": {
            "class": "GenericError",
            "desc": "State blocked by non-migratable device '0000:00:04.0/ivshmem'",
        },
    }
    assert only(json.dumps(error)) == ("not-migratable", "not-migratable")
    pretty = json.dumps(
        {"return": {"status": "failed", "error-desc": "Unable to write to socket: Broken pipe"}},
        indent=4,
    )
    assert said(pretty).explanations[0].status is Status.SYMPTOM


def test_chained_line_of_11() -> None:
    found = said(
        "qemu-system-x86_64: load of migration failed: Invalid argument: Unknown section or "
        "instance '0000:00:01.0/virtio-blk' 0. Make sure that your current VM setup matches your "
        "saved VM setup, including any hotplugged devices\n"
    ).explanations
    assert [item.rule for item in found] == ["unknown-section"]
    assert found[0].device == "0000:00:01.0/virtio-blk"
    assert found[0].errno == "Invalid argument"


def test_capabilities_are_all_listed_and_the_first_matters() -> None:
    (found,) = said(
        "qemu-system-ppc64: warning: cap-ibs lower level (0) in incoming stream than on "
        "destination (1)\n"
        "qemu-system-ppc64: cap-cfpc higher level (1) in incoming stream than on destination (0)\n"
        "qemu-system-ppc64: cap-sbbc higher level (1) in incoming stream than on destination (0)\n"
        f"qemu-system-ppc64: {CHAIN}\n"
    ).explanations
    assert found.rule == "capability-higher"
    assert "cap-cfpc" in found.line
    assert sum(detail.startswith("cap-") for detail in found.details) == 3


def test_field_equal_counts_only_as_a_whole_line() -> None:
    (found,) = said(
        "qemu-system-x86_64: 7 != 8\n"
        "qemu-system-x86_64: Failed to load PCIBUS:nirq\n"
        "qemu-system-x86_64: error while loading state for instance 0x0 of device 'PCIBUS'\n"
        "qemu-system-x86_64: load of migration failed: Invalid argument\n"
    ).explanations
    assert (found.message, found.rule) == ("field-equal", "field-equal")
    assert not said("assertion 7 != 8\nexpected 3 != 4 too new\n").explanations


def test_errno_tells_when_nothing_else_does() -> None:
    where = "qemu: error while loading state for instance 0x0 of device 'timer'\n"
    closing = "qemu: load of migration failed: "
    (unknown,) = said(where + closing + "Invalid argument\n").explanations
    assert unknown.status is Status.UNKNOWN
    (subsection,) = said(where + closing + "No such file or directory\n").explanations
    assert subsection.rule == "unknown-subsection"
    (ended,) = said(closing + "Input/output error\n").explanations
    assert (ended.rule, str(ended.side)) == ("stream-broken", "source")


def test_several_failures_repeats_and_two_processes() -> None:
    other = (
        "qemu-system-x86_64: Machine type received is 'pc-q35-9.0' and local is 'pc-q35-9.1'\n"
        "qemu-system-x86_64: load of migration failed: Invalid argument\n"
    )
    found = said((KINDS["stderr"] + other) * 3).explanations
    assert [(item.rule, item.count) for item in found] == [
        ("section-footer", 3),
        ("machine-type", 3),
    ]
    a, b = "May  1 12:00:00 h QEMU[1]: kvm: ", "May  1 12:00:00 h QEMU[2]: kvm: "
    mixed = (
        f"{a}Missing section footer for timer\n"
        f"{b}Machine type received is 'pc-q35-9.0' and local is 'pc-q35-9.1'\n"
        f"{a}load of migration failed: Invalid argument\n"
        f"{b}load of migration failed: Invalid argument\n"
    )
    assert {item.rule for item in said(mixed).explanations} == {"section-footer", "machine-type"}


def test_unknown_line_is_said_to_be_unknown() -> None:
    line = "qemu-system-x86_64: frobnication of the wurble is inconsistent"
    (found,) = said(f"{line}\nqemu-system-x86_64: load of migration failed: Invalid argument\n"
                    ).explanations  # fmt: skip
    assert found.status is Status.UNKNOWN
    assert found.line == line
    assert (found.rule, found.message, found.now) == (None, None, "")
    alone = said(f"{line}\n")
    assert [item.text for item in alone.suspicious] == [line]
    assert alone.exit_status == 3


def test_logs_without_failures() -> None:
    healthy = (
        "2024-05-01 12:00:00.000+0000: starting up libvirt version: 9.0.0, qemu version: 7.2.0\n"
        "/usr/bin/qemu-system-x86_64 -machine pc-q35-7.2,accel=kvm -m 2048\n"
        "char device redirected to /dev/pts/1 (label charserial0)\n"
        "2024-05-01 13:00:00.000+0000: initiating migration\n"
        "2024-05-01 13:00:09.000+0000: shutting down, reason=migrated\n"
        "2024-05-01T13:00:09.000000Z qemu-system-x86_64: terminating on signal 15 from pid 1\n"
    )
    found = said(healthy)
    assert not found.explanations
    assert found.exit_status == 0
    assert said("").exit_status == 0


def test_memory_and_time_do_not_grow(tmp_path: Path) -> None:
    noise = b"2026-01-01 sshd[1]: Failed password for invalid user\n" * 200_000
    found = said(noise + KINDS["stderr"].encode() + noise)
    assert [item.message for item in found.explanations] == ["footer-missing"]
    assert found.explanations[0].number == 200_001
    assert found.lines == 400_002
    one_line = b"x" * (9 << 20) + b" Missing section footer for timer\n"
    assert said(one_line).lines == 1


@given(st.binary(max_size=2000))
def test_arbitrary_bytes(data: bytes) -> None:
    said(data)


PARTS = [
    *KINDS.values(),
    '{"MESSAGE":[300,-1]}',
    "{" * 40,
    '{"msg":"\\ud800 load of migration failed: x"}',
    "\x00\xff",
    "qemu: 1 != 2",
    "&#10;&#xffffffff;",
    "''",
    "\\n\\",
]


@given(st.lists(st.sampled_from(PARTS), max_size=8), st.integers(0, 400))
def test_pieces_of_logs_in_any_order(parts: list[str], cut: int) -> None:
    log = "\n".join(parts)
    said(log.encode("utf-8", "replace")[cut:]).to_json()


def test_decoding() -> None:
    assert decode.virtio_kind("0000:00:02.0:00.0/virtio-net") == "net"
    assert decode.virtio_kind("fe.0.0001/virtio-blk-ccw") == "blk"
    assert [bit.name for bit in decode.feature_bits(1 << 40 | 1 << 56, "net")] == [
        "RING_RESET",
        "HOST_USO",
    ]
    assert decode.pci_register(0x1A, "0000:00:02.0/pcie-root-port") == "Subordinate Bus Number"
    assert decode.pci_register(0x1A, "0000:00:02.0/e1000").startswith("BAR 2")
    assert "capability" in decode.pci_register(0x9A)
    assert "extended" in decode.pci_register(0x110)
    assert decode.instance("spapr_iommu", 0x80000000).endswith("bridge 0, DMA window 0")
    assert decode.capability_level("ibs", 3) == "fixed-ccd"
    assert decode.capability_level("hpt-max-page-size", 24) == "16 MiB"
    assert "Virtual" not in decode.section("0000:00:02.0/virtio-net")
    assert decode.section("no such thing") == ""


def test_pci_bits_that_matter() -> None:
    text = decode.explain_pci(0x10, 0xA1, 0x01, masks=(0xFF, 0xC0, 0))
    assert "bits that matter: 5." in text


def run(*arguments: str, log: str = "") -> tuple[int, str]:
    result = CliRunner().invoke(command, list(arguments), input=log)
    assert result.exception is None or isinstance(result.exception, SystemExit)
    return result.exit_code, result.output


def test_command_text_json_html(tmp_path: Path) -> None:
    status, text = run(log=KINDS["stderr"])
    assert status == 0
    assert "Missing section footer" in text
    assert "At fault" in text
    assert "\x1b[" not in text
    status, output = run("--format", "json", log=KINDS["stderr"])
    document = json.loads(output)
    assert document["schema"] == "migratable.explain/1"
    assert document["failures"][0]["rule"] == "section-footer"
    log = tmp_path / "x.log"
    log.write_text(
        "qemu: Unknown ramblock \"<script>alert('x')</script>\", cannot accept migration"
    )
    page = tmp_path / "x.html"
    status, _ = run(str(log), "--html", str(page))
    assert "<script>" not in page.read_text()
    assert "&lt;script&gt;" in page.read_text()
    status, output = run("--format", "html", log="nothing here\n")
    assert "No failed migration found" in output


def test_command_statuses(tmp_path: Path) -> None:
    assert run(log="all is well\n")[0] == 0
    assert run(log="qemu-system-x86_64: frobnicate failed\n")[0] == 3
    broken = tmp_path / "broken.gz"
    broken.write_bytes(gzip.compress(bytes(range(256)) * 9)[:60])
    from migratable.errors import MigratableError

    result = CliRunner().invoke(command, [str(broken)])
    assert isinstance(result.exception, MigratableError)
    result = CliRunner().invoke(command, [str(tmp_path / "missing")])
    assert isinstance(result.exception, MigratableError)


def test_html_of_every_status() -> None:
    page = render(
        said(KINDS["stderr"] + "\n" * 500 + "qemu: wurble\nqemu: load of migration failed: x\n"),
        name="<log>",
    )
    assert "&lt;log&gt;" in page
    assert "the cause is unknown" in page


def test_a_deep_or_endless_line_is_searched_once() -> None:
    """Each quote and colon begins a search for the program's name, which must end soon."""
    deep = b'{"a":' * 14_000
    found = list(pieces(deep + b" qemu-kvm: load of migration failed: Invalid argument"))
    assert [piece.qemu for piece in found] == [False]  # cut off before
    short = b'{"a":' * 1_000 + b" qemu-kvm: load of migration failed: Invalid argument"
    assert [piece.qemu for piece in pieces(short)] == [True]
