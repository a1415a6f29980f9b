"""QEMU's errors without an entry of their own: recognised by text, explained by place and words."""

from __future__ import annotations

import io
import re
import tomllib
from pathlib import Path

import pytest

from migratable.check.registry import rules
from migratable.explain.explanation import Explanation
from migratable.explain.story import explain
from migratable.messages import qemu_errors
from migratable.messages.catalogue import Fault, Role
from migratable.messages.recognise import recognise


def only(log: str) -> Explanation:
    (found,) = explain(io.BytesIO(log.encode() + b"\n")).explanations
    return found


@pytest.mark.parametrize(
    ("line", "kind", "origin", "words"),
    [
        ('qemu-system-x86_64: -device {"driver":"virtio-blk-pci","frob":1}: '
         "Property 'virtio-blk-pci.frob' not found",
         "qemu-property-missing", "qom/object.c", "-device virtio-blk-pci,help"),
        ("2026-01-01T00:00:00.1Z qemu-system-x86_64: -device usb-host,hostbus=1,hostaddr=4: "
         "failed to find host usb device 1:4",
         "qemu-usb-host", "hw/usb/host-libusb.c: usb_host_realize", "lsusb"),
        ("qemu-system-s390x: -device virtio-blk-ccw,devno=fe.0.0001: "
         "Device fe.0.0001 already exists",
         "qemu-ccw-taken", "hw/s390x/css.c", "fe.SSID.NUMBER"),
        ("kvm: -numa node,nodeid=0: total memory for NUMA nodes (0x1000) should equal RAM size "
         "(0x2000)", "qemu-numa", "hw/core/numa.c: numa_complete_configuration", "memdev"),
        ("error: internal error: process exited while connecting to monitor: "
         "2026-01-01T00:00:00.1Z qemu-system-x86_64: -device hda-duplex: "
         "HDA audio codec address is full", "qemu-audio", "hw/audio/intel-hda.c", "audiodev"),
        ("error: internal error: unable to execute QEMU command 'device_add': "
         "Bus 'pci.9' does not support hotplugging",
         "qemu-hotplug", "qdev", "pcie-root-port"),
        ('{"error": {"class": "DeviceNotFound", "desc": "Device \'disk9\' not found"}}',
         "qemu-name-unknown", "", "qom-list"),
        ('{"error": {"class": "GenericError", "desc": "Background-snapshot '
         'is not supported by host kernel"}}', "", "migration/options.c", ""),
    ],
)  # fmt: skip
def test_kind_and_origin(line: str, kind: str, origin: str, words: str) -> None:
    hit = qemu_errors.find(line)
    if hit is None:
        pytest.fail(f"not recognised: {line}")
    assert origin in qemu_errors.origin(hit.known)
    found = only(line)
    assert found.message
    if kind and found.message.startswith("qemu-") and found.message == hit.message.id:
        assert found.message == kind
        assert words in found.now
        assert origin in found.origin[0]
    assert not any("certain" in str(case) for case in found.cases)


@pytest.mark.parametrize(
    ("line", "kind", "meaning", "now"),
    [
        # public: set F, 25, 24, 27, 23, 04
        ("qemu-system-s390x: Some features requested in the CPU model are not available in the "
         "configuration: ctop", "qemu-s390-features", "the CPU features ctop,", "NAME=off"),
        ("qemu-system-s390x: Some features requested in the CPU model are not available in the "
         "current configuration: ap, apft, vxp2", "qemu-s390-features", "ap, apft, vxp2", "ap, "),
        ("qemu-system-s390x: KVM PV command 2 (KVM_PV_SET_SEC_PARMS) failed: header rc 108 rrc 5 "
         "IOCTL rc: -22", "qemu-s390-pv-image", "encrypted for this machine", "genprotimg"),
        ("qemu-system-s390x: KVM PV command 0 (KVM_PV_ENABLE) failed: header rc 10 rrc 5 IOCTL rc: "
         "-22", "qemu-s390-pv", "KVM_PV_ENABLE (return code 10)", "prot_virt=1"),
        ("qemu-system-ppc64: kernel_irqchip requested but unavailable: "
         "IRQ_XIVE capability must be present for KVM",
         "qemu-irqchip-capability", "POWER9", "ic-mode=xics"),
        ('2024-07-08T12:51:42.8Z qemu-system-s390x: -device {"driver":"zpci","uid":17}: '
         "uid 17 already in use", "qemu-zpci-taken", "same uid (17)", "another uid"),
        ("qemu-system-s390x: Selected CPU generation is too new. Maximum supported model in the "
         "configuration: 'z14.2'", "qemu-s390-generation", "z14.2 is the newest", "-cpu z14.2"),
        ("qemu-system-aarch64: KVM does not support GICv3 emulation",
         "qemu-arm-gic", "GICv3", "gic-version="),
        ("qemu-system-x86_64: -device vhost-vsock-pci,guest-cid=3: vhost-vsock: unable to set guest"
         " cid: Address already in use", "qemu-vsock-cid", "same guest-cid", "cid auto"),
        ("qemu-system-ppc64: Failed to allocate KVM HPT of order 27 (try smaller maxmem?): "
         "Cannot allocate memory", "qemu-hpt", "2^27", "maxmem"),
    ],
)  # fmt: skip
def test_single_errors_have_their_own_remedy(line: str, kind: str, meaning: str, now: str) -> None:
    found = only(line)
    assert found.message == kind
    assert meaning in found.meaning
    assert now in found.now
    assert found.side is Fault.DESTINATION
    assert "the destination" not in found.now
    assert not found.cases


def test_a_firmware_of_another_size_in_the_wording_of_qemu_10() -> None:
    arm = only("kvm: cfi.pflash01 device '/machine/virt.flash1' requires 67108864 bytes, "
               "drive-efidisk0 block backend provides 4194304 bytes")  # fmt: skip
    x86 = only("kvm: cfi.pflash01 device '/machine/system.flash1' requires 131072 bytes, "
               "pflash1 block backend provides 540672 bytes")  # fmt: skip
    assert arm.message == x86.message == "firmware-size"
    assert "64 MiB" in arm.meaning
    assert "64 MiB" not in x86.meaning


def test_arms_flash_is_not_x86s() -> None:
    arm = only("qemu-system-aarch64: device requires 67108864 bytes, block backend provides "
               "3653632 bytes")  # fmt: skip
    x86 = only("qemu-system-x86_64: device requires 131072 bytes, block backend provides "
               "540672 bytes")  # fmt: skip
    assert arm.message == x86.message == "firmware-size"
    assert "AAVMF_CODE" in arm.now
    assert "OVMF_CODE_4M" in x86.now


def _rendered(text: str) -> str:
    values = {"%s": "net0", "%d": "17", "%x": "1f"}
    return re.sub(r"%[sdx]", lambda hit: values[hit[0]], text)


@pytest.mark.slow
def test_each_text_renders_and_is_recognised_as_its_own() -> None:
    for held in qemu_errors.errors().values():
        for known in held:
            said = _rendered(known.text)
            hit = qemu_errors.find(f"qemu-system-x86_64: {said}")
            if hit is None:
                pytest.fail(f"not recognised: {said}")
            # as this text, or as one that has as much fixed text in the same words
            assert hit.known.letters >= known.letters or known.code == "wrap", known
            name, _ = qemu_errors.kind(known, said)
            assert name


def test_every_kind_is_complete_and_used() -> None:
    known_rules = set(rules())
    messages = {message.id: message for message in qemu_errors.kinds()}
    used = {
        qemu_errors.kind(known, _rendered(known.text))[0]
        for held in qemu_errors.errors().values()
        for known in held
    }
    # their words are names and numbers that no text has
    by_value = {"qemu-property-value", "qemu-s390-features", "qemu-vfio-mdev-file"}
    assert set(messages) - used <= by_value
    named = {name for entry in qemu_errors.groups() for name in entry} | {"said"}
    for message in messages.values():
        assert message.rule in known_rules, message.id
        assert message.fault in set(Fault)
        assert message.now, message.id
        assert message.prevent, message.id
        for text in (message.meaning, message.now):
            assert set(re.findall(r"\{(\w+)\}", text)) <= named, message.id


@pytest.mark.parametrize(
    "line",
    [
        # the same words without QEMU's name
        "failed to find host usb device 1:4",
        "myprogram: failed to find host usb device 1:4",
        "dockerd[12]: Bus 'pci.9' does not support hotplugging",
        "error: Failed to load ramdisk: No such file or directory",
        "kernel: tpm tpm0: Could not read TPM state",
        "nginx: failed to create socket: Permission denied",
        "ceph-osd: error reading header from image: No such file or directory",
        "libvirtd: internal error: cannot create directory /run/x: Permission denied",
        "Jan  1 00:00:00 host smartd[1]: Device /dev/sda already exists",
        '{"name": "Device \'x\' not found", "desc": "Device \'disk9\' not found"}',
        "[ 12.3] kvm: disabled by bios",
        "kernel: kvm [1234]: vcpu0, guest rIP: 0xfff disabled perfctr wrmsr: 0xc2 data 0xffff",
        # QEMU's name, with words that are not QEMU's
        "qemu-system-x86_64: frobnicating failed: bad widget",
        "qemu-system-x86_64: something about Bus pci.9",
        # near to QEMU's, but with more behind them
        "qemu-system-x86_64: I think that Device fe.0.0001 already exists somewhere",
    ],
)
def test_other_programs_and_other_words_are_left_alone(line: str) -> None:
    assert qemu_errors.find(line) is None
    assert all(match.message.group != qemu_errors.GROUP for match in recognise(line))


def test_an_entry_of_the_catalogue_wins() -> None:
    line = "qemu-system-x86_64: -device foo: 'foo' is not a valid device model name"
    assert qemu_errors.find(line) is not None
    assert all(match.message.group != qemu_errors.GROUP for match in recognise(line))
    found = only(
        "qemu-kvm: -device vfio-pci,host=01:00.0: vfio 0000:01:00.0: group 7 is not viable"
    )
    assert found.message == "option-vfio-viable"


def test_what_wraps_an_error_gives_way_to_it() -> None:
    hit = qemu_errors.find(
        "qemu-system-ppc64: kernel_irqchip requested but unavailable: "
        "IRQ_XIVE capability must be present for KVM"
    )
    if hit is None:
        pytest.fail("not recognised")
    assert hit.known.text == "IRQ_XIVE capability must be present for KVM"


def test_a_warning_alone_is_no_failure() -> None:
    line = "qemu-system-x86_64: warning: KVM dirty ring not available, using bitmap method\n"
    hit = qemu_errors.find(line)
    if hit is None:
        pytest.fail("not recognised")
    assert hit.message.role is Role.WARNING
    assert not explain(io.BytesIO(line.encode())).explanations


def test_a_hint_behind_an_error_is_known() -> None:
    assert qemu_errors.hint("PPC KVM module is not loaded. Try modprobe kvm_hv.")
    assert not qemu_errors.hint("Try modprobe")
    log = (
        "qemu-system-ppc64: -accel kvm: ioctl(KVM_CREATE_VM) failed: Invalid argument\n"
        "PPC KVM module is not loaded. Try modprobe kvm_hv.\n"
    )
    assert not explain(io.BytesIO(log.encode())).suspicious


REFUSALS = tomllib.loads((Path(__file__).parent / "qemu_refusals.toml").read_text(encoding="utf-8"))


@pytest.mark.parametrize("refusal", REFUSALS["refusal"], ids=lambda entry: entry["log"][:60])
def test_refusals_of_real_qemus(refusal: dict[str, str]) -> None:
    found = only(refusal["log"])
    assert found.message == refusal["message"]
    assert str(found.status) == "explained"
    if ": -" in refusal["log"]:
        assert str(found.operation) == "start"
        assert found.side is Fault.DESTINATION
    assert not re.search(r"\{\w+\}", found.meaning + found.now)
