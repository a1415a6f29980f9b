"""Where one failure ends and the next begins; what is not known is shown; both sides' logs."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from migratable.cli.explain import command
from migratable.explain.explanation import Report, Status
from migratable.explain.logs import seconds
from migratable.explain.story import explain
from migratable.report.explain_html import page_of, render

REFUSED = (
    "2026-03-01 10:14:07.123+0000: 1234: error : virCPUx86Compare:1 : guest CPU doesn't match "
    "specification: missing features: avx512f\n"
)
START = "2026-03-01 11:30:00.000+0000: starting up libvirt version: 11.3.0, qemu version: 10.0.2\n"
LINE = (
    "LC_ALL=C \\\n/usr/bin/qemu-system-x86_64 \\\n-name guest=web1,debug-threads=on \\\n"
    "-machine pc-q35-7.2,accel=kvm \\\n-m 512 \\\n-incoming defer\n"
)
UNKNOWN = "2026-03-01T11:30:04.000001Z qemu-system-x86_64: frobnicating failed: bad widget\n"
CLOSING = "2026-03-01T11:30:04.1Z qemu-system-x86_64: load of migration failed: Invalid argument\n"
SECTION = (
    "2026-03-01T{time}.5Z qemu-system-x86_64: Unknown savevm section or instance "
    "'0000:00:0{slot}.0/virtio-net' 0\n"
    "2026-03-01T{time}.6Z qemu-system-x86_64: load of migration failed: Invalid argument\n"
)


def said(log: str) -> Report:
    return explain(io.BytesIO(log.encode()))


@pytest.mark.parametrize("closing", ["", CLOSING], ids=["unknown line alone", "with closing line"])
def test_a_failure_ends_at_a_new_start_and_an_unknown_error_is_shown(closing: str) -> None:
    """newcomer.md, High 3: the second attempt's unknown line was swallowed, status 0."""
    found = said(REFUSED + START + LINE + UNKNOWN + closing)
    assert found.explanations[0].rule == "cpu-features"
    assert not any("frobnicating" in line.text for line in found.explanations[0].unknown)
    shown = [line.text for item in found.explanations[1:] for line in item.unknown]
    shown += [line.text for line in found.suspicious]
    assert any("frobnicating" in text for text in shown)
    assert found.exit_status == 3


def test_failures_of_two_starts_are_two() -> None:
    first = SECTION.format(time="11:30:01", slot=3).splitlines(keepends=True)[0]
    second = SECTION.format(time="11:30:09", slot=4)
    found = said(START + LINE + first + START.replace(":00.000", ":08.000") + LINE + second)
    assert [item.device for item in found.explanations] == [
        "0000:00:03.0/virtio-net",
        "0000:00:04.0/virtio-net",
    ]
    # Without a start between them and without a closing line they are one.
    assert len(said(first + second).explanations) == 1


def test_a_gap_in_time_ends_a_failure() -> None:
    first = SECTION.format(time="11:30:01", slot=3).splitlines(keepends=True)[0]
    found = said(first + SECTION.format(time="11:36:02", slot=4))
    assert [item.count for item in found.explanations] == [1, 1]
    assert len(said(first + SECTION.format(time="11:34:00", slot=4)).explanations) == 1


def test_a_refusal_before_the_start_and_what_qemu_then_says_are_two() -> None:
    refused = REFUSED.replace("10:14:07", "11:29:50")
    found = said(refused + SECTION.format(time="11:30:01", slot=3))
    assert [item.rule for item in found.explanations] == ["cpu-features", "unknown-section"]
    # A wrapper of QEMU's own words is no refusal before the start.
    wrapped = (
        "error: internal error: process exited while connecting to monitor: "
        + SECTION.format(time="11:30:01", slot=3)
    )
    assert len(said(wrapped).explanations) == 1


def test_an_unknown_error_behind_a_warning_is_no_warning() -> None:
    """Solus KB: the TSC warning was explained, the line that ended QEMU dropped."""
    log = (
        "qemu-kvm: warning: TSC frequency mismatch between VM (2294608 kHz) and host (2194841 kHz),"
        " and TSC scaling unavailable\nqemu-kvm: Frobnicating failed: Invalid argument\n"
    )
    (found,) = said(log).explanations
    assert found.status is Status.UNKNOWN
    assert "Frobnicating" in found.line


def test_an_unknown_line_of_qemu_in_a_long_log_is_found() -> None:
    noise = "2026-03-01T00:00:00Z some other program says nothing of interest here\n" * 12000
    found = said(noise + SECTION.format(time="11:30:01", slot=3) + noise + UNKNOWN + noise)
    assert [line.text for line in found.suspicious] == [UNKNOWN.strip()]
    assert found.exit_status == 3


def test_the_text_shows_what_is_not_known_beside_a_known_failure() -> None:
    log = REFUSED + START + LINE + UNKNOWN
    result = CliRunner().invoke(command, input=log)
    assert result.exit_code == 3
    assert "frobnicating failed" in result.output
    assert "not known" in result.output


SOURCE = (
    "2026-03-01 11:30:00.000+0000: initiating migration\n"
    "2026-03-01T11:30:05.362392Z qemu-system-x86_64: Unable to write to socket: Broken pipe\n"
    "2026-03-01 11:30:06.000+0000: shutting down, reason=failed\n"
)
DESTINATION = START + LINE + SECTION.format(time="11:30:04", slot=3)


def both(tmp_path: Path, source: str, destination: str, *options: str) -> Result:
    (tmp_path / "src.log").write_text(source)
    (tmp_path / "dst.log").write_text(destination)
    names = [str(tmp_path / "src.log"), str(tmp_path / "dst.log")]
    # As wide as no folder's name: a name that is folded is not found in the text.
    return CliRunner(env={"COLUMNS": "1000"}).invoke(command, [*names, *options])


def test_logs_of_both_sides_are_one_story(tmp_path: Path) -> None:
    result = both(tmp_path, SOURCE, DESTINATION)
    assert result.exit_code == 0, result.output
    assert "one failure" in result.output
    assert "virtio-net" in result.output
    order = [result.output.find(text) for text in ("dst.log:9", "src.log:2")]
    assert -1 < order[0] < order[1]


def test_logs_of_different_attempts_stay_apart(tmp_path: Path) -> None:
    later = DESTINATION.replace("T11:", "T15:").replace(" 11:30", " 15:30")
    result = both(tmp_path, SOURCE, later)
    assert "2 failures" in result.output
    assert "another log" in result.output.lower() or "ELSEWHERE" in result.output


def test_verify_is_a_command_that_can_be_run_or_nothing(tmp_path: Path) -> None:
    log = tmp_path / "web1.log"
    log.write_text(DESTINATION)
    result = CliRunner().invoke(command, [str(log), "--json"])
    assert f'"proof": "migratable check libvirt:web1 --from {log}"' in result.output
    text = CliRunner().invoke(command, input=DESTINATION)
    assert "Verify" not in text.output
    assert "Fix now" in text.output
    log.write_text(REFUSED + START + LINE)
    assert '"proof": ""' in CliRunner().invoke(command, [str(log), "--json"]).output


def test_a_log_that_is_not_there(tmp_path: Path) -> None:
    result = CliRunner().invoke(command, [str(tmp_path / "none.log")])
    assert result.exit_code != 0
    assert "none.log" in str(result.exception)


@pytest.mark.parametrize(
    ("reference", "page"),
    [
        ("RHBZ 2215819", "https://bugzilla.redhat.com/2215819"),
        ("kubevirt/kubevirt#4629", "https://github.com/kubevirt/kubevirt/issues/4629"),
        ("QEMU 95a3fcc7", "https://gitlab.com/qemu-project/qemu/-/commit/95a3fcc7"),
        ("measured with Debian's packages", ""),
        ("javascript:alert(1)#1", ""),
    ],
)
def test_links(reference: str, page: str) -> None:
    assert page_of(reference) == page


def test_the_page_links_references_and_never_the_log() -> None:
    log = "qemu-kvm: Missing section footer for 0000:00:01.3/piix4_pm\nhttps://evil.example/x\n"
    html = render(said(log), name="x")
    assert 'href="https://gitlab.com/qemu-project/qemu/-/issues/932"' in html
    assert 'href="https://evil' not in html


def test_times() -> None:
    assert seconds("2026-03-01 11:30:00.000+0000") == seconds("2026-03-01T11:30:00.000000Z")
    first, second = seconds("May  1 12:00:00"), seconds("May  1 12:00:09")
    assert first is not None
    assert second is not None
    assert second[0] - first[0] == 9
    assert seconds("") is None
    assert seconds("2026-99-01 00:00:00") is None
