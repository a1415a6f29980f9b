"""libvirt's errors without an entry of their own: recognised by text, explained by kind."""

from __future__ import annotations

import io
import re
import tomllib
from pathlib import Path

import pytest

from migratable.check.registry import rules
from migratable.explain import errnos
from migratable.explain.explanation import Explanation
from migratable.explain.story import explain
from migratable.messages import libvirt_errors
from migratable.messages.recognise import recognise


def only(log: str) -> Explanation:
    (found,) = explain(io.BytesIO(log.encode() + b"\n")).explanations
    return found


@pytest.mark.parametrize(
    ("line", "kind", "side", "origin", "words"),
    [
        ("unsupported configuration: domain configuration does not support video model 'qxl'",
         "libvirt-combination", "destination",
         "qemu/qemu_validate.c: qemuValidateDomainDeviceDefVideo", "<video>"),
        ("unsupported configuration: this QEMU binary lacks smartcard host mode support",
         "libvirt-qemu-lacks", "destination", "", "restart libvirtd"),
        ("XML error: Invalid PCI address 0000:05:00.0. slot must be >= 1",
         "libvirt-definition", "destination",
         "conf/domain_addr.c: virDomainPCIAddressValidate", "<address>"),
        ("Requested operation is not valid: vDPA devices cannot be migrated",
         "libvirt-migration-state", "source",
         "qemu/qemu_migration.c: qemuMigrationSrcIsAllowed", "the time of the migration"),
        ("unsupported configuration: Target domain memory device count 2 does not match source 1",
         "libvirt-abi-differs", "destination",
         "conf/domain_conf.c: virDomainDefCheckABIStabilityFlags", "--migratable"),
        ("internal error: Unexpected enum value 7 for virDomainFeature",
         "libvirt-own-fault", "cannot tell", "", "Update libvirt"),
    ],
)  # fmt: skip
def test_kind_side_and_origin(line: str, kind: str, side: str, origin: str, words: str) -> None:
    hit = libvirt_errors.find(f"error: {line}")
    if hit is None:
        pytest.fail(f"not recognised: {line}")
    found = only(f"error: {line}")
    if found.message == kind:
        assert str(found.side) == side
        assert words in found.now
        assert found.origin[0].startswith("libvirt ")
        assert origin in found.origin[0]
    else:  # it has an entry of its own by now
        assert not (found.message or "").startswith("libvirt-class-")


@pytest.mark.parametrize(
    "text",
    [
        # another program's, without libvirt's class or name before it
        "domain configuration does not support video model 'qxl'",
        "myprogram: domain configuration does not support video model 'qxl'",
        # more words than libvirt's
        "error: internal error: Network is already in use by interface virbr0 of my lab, sorry "
        "and something else follows that libvirt does not print: x",
        "error: unsupported configuration: frobnication is not available",
        "error: internal error: foo bar baz",
    ],
)
def test_only_libvirts_own_words_are_taken(text: str) -> None:
    hit = libvirt_errors.find(text)
    assert hit is None or hit.known.text.endswith("%s")


def test_both_forms_of_a_value_are_one_text() -> None:
    texts = {known.text for held in libvirt_errors.errors().values() for known in held}
    assert "domain configuration does not support video model '%s'" in texts
    assert not any(re.search(r"%\d\$", text) for text in texts)


def test_what_daemons_log_again_and_again_counts_only_where_a_user_asked() -> None:
    text = "Requested operation is not valid: domain is not running"
    assert recognise(f"error: {text}")
    logged = f"2026-01-01 10:00:00.000+0000: 12: error : qemuDomainAgentAvailable:1 : {text}"
    assert not explain(io.BytesIO(logged.encode())).explanations


def test_errors_of_the_kernel_keep_its_words() -> None:
    found = only("error: Failed to open file '/srv/vm.img': Permission denied")
    assert "Permission denied" in found.meaning
    assert found.message


def test_the_kernels_words_are_no_class_of_libvirts() -> None:
    found = only("error: Cannot open log file: '/srv/console': Device or resource busy")
    assert found.message == "host-log-busy"
    hit = libvirt_errors.find(found.line)
    assert hit is not None
    assert hit.known.place == "logging/log_handler.c: virLogHandlerDomainOpenLogFile"


def test_every_kind_is_complete() -> None:
    known = set(rules())
    ids = [message.id for message in libvirt_errors.kinds()]
    assert len(ids) == len(set(ids)) > 25
    for message in libvirt_errors.kinds():
        assert message.rule in known, message.id
        assert message.now, message.id
        assert message.prevent, message.id
        for text in (message.meaning, message.now):
            named = set(re.findall(r"\{(\w+)\}", text))
            assert named <= {"said", "subject", "element", "see"}, message.id


def test_every_error_has_a_kind_and_a_subject() -> None:
    for held in libvirt_errors.errors().values():
        for known in held:
            assert libvirt_errors.kind(known)
            assert libvirt_errors.subject(known)["element"]


def test_no_error_takes_another_programs_line() -> None:
    """QEMU's own lines are QEMU's."""
    line = "2026-01-01T00:00:00Z qemu-system-x86_64: -device qxl: 'qxl' is not a valid device"
    assert all(match.message.program != "libvirt" for match in recognise(line))


REFUSALS = tomllib.loads((Path(__file__).parent / "libvirt_9_0.toml").read_text(encoding="utf-8"))


@pytest.mark.parametrize("refusal", REFUSALS["refusal"], ids=lambda entry: entry["name"])
def test_refusals_of_a_real_libvirtd(refusal: dict[str, str]) -> None:
    found = only(refusal["log"])
    assert (found.message, str(found.side)) == (refusal["message"], refusal["side"])
    assert found.now
    assert str(found.status) == "explained"


@pytest.mark.parametrize(
    ("words", "remedy"),
    [
        ("-chardev socket,id=x,path=/run/a.sock: odd words: Permission denied", "/run/a.sock"),
        ("-blockdev x: no way to open it: No space left on device", "df -h"),
        ("-netdev tap,id=n: frobnicating interface eth7: No such device", "eth7"),
        ("-device frob: a failure without the kernel's words", ""),
    ],
)
def test_the_kernels_error_at_the_end_has_a_remedy(words: str, remedy: str) -> None:
    assert remedy in errnos.remedy(words)
    assert bool(errnos.remedy(words)) is bool(remedy)


def test_the_remedy_of_a_general_refusal_is_its_errors() -> None:
    found = only("qemu-system-x86_64: -netdev tap,id=n0: frobnicated: Device or resource busy")
    assert found.message == "start-refused"
    assert "fuser" in found.now


@pytest.mark.parametrize(
    "line",
    [
        "libvirtd[105]: Cannot find 'dmidecode' in path: No such file or directory",
        "2026-01-01 10:00:00.000+0000: 12: error : qemuDomainAgentAvailable:1 : Guest agent is not "
        "responding: QEMU guest agent is not connected",
        '{"component":"virt-launcher","level":"error","msg":"Guest agent is not responding: QEMU '
        'guest agent is not connected","pos":"qemuDomainAgentAvailable:8494"}',
    ],
)
def test_what_every_log_of_libvirts_holds_is_no_failure(line: str) -> None:
    assert not explain(io.BytesIO(f"{line}\n".encode())).explanations


def test_nothing_to_do_is_said_and_never_covers_a_cause() -> None:
    log = "error: Failed to start network default\nerror: {}\n"
    said = "Requested operation is not valid: network is already active"
    assert only(log.format(said)).message == "op-active-already"
    cause = "error: Cannot get interface MTU on 'br9': No such device"
    found = only(log.format(said) + "error: Failed to start domain 'a'\n" + cause)
    assert found.message == "libvirt-bridge"
