"""What a failure's numbers and names stand for: sentences for people, facts for the cases."""

from __future__ import annotations

import re
from typing import Any

from migratable.explain import arm_registers, decode
from migratable.explain.errnos import ERRNOS
from migratable.explain.grouping import Failure
from migratable.facts import pci
from migratable.messages.catalogue import Role
from migratable.messages.recognise import Match
from migratable.messages.setting import HERE, SENT


def errno_hint(text: str) -> str:
    """What the C library's error text at the end of a line says by itself, "" without one."""
    words = text.rstrip(" .'\")")
    found = next((known for known in ERRNOS if words.endswith(known)), "")
    return found and f"Its error, taken alone, means: {ERRNOS[found].means}"


def architecture(failure: Failure) -> str:
    """The target's architecture by the program's name, else by what only one has; "" unknown."""
    text = "\n".join(line.text for line in failure.lines)
    arch = re.search(r"qemu-system-(\w+)", text) or re.search(r"qemu-system-(\w+)", failure.command)
    if arch:
        return arch[1]
    if "pseries" in failure.machine or re.search(r"spapr|pseries|POWER", text):
        return "ppc"
    return ""


def device_of(failure: Failure, main: Match | None) -> tuple[str | None, int | None]:
    """Name and instance of the section that failed, as far as the lines name them."""
    own = main.params if main is not None else {}
    for params in (own, *(match.params for _, match in failure.matches)):
        if "device" in params and params is own and "instance_id" not in params:
            continue
        if "device" in params:
            number = params.get("instance_id")
            return str(params["device"]), int(number) if number is not None else None
    if "device" in own:
        return str(own["device"]), None
    return None, None


def details_of(
    failure: Failure, main: Match, subject: str | None, number: int | None, errno: str | None
) -> tuple[list[str], dict[str, str]]:
    """Sentences about the failure, and the facts that cases ask for."""
    details: list[str] = []
    params = main.params
    facts = {"errno": errno or "", "alone": "" if failure.has(Role.CAUSE) else "yes"}
    facts["arch"] = architecture(failure)
    facts["version"], facts["machine"] = failure.qemu_version, failure.machine
    facts["accel"] = _accelerator(failure)
    details.extend(_beside(failure, main))
    if params.get("more"):
        details.append(str(params["more"]))
    device = str(params.get("device", subject or ""))
    if device and decode.section(device):
        details.append(f"'{device}' is {decode.section(device)}.")
    if number is not None and device and decode.instance(device, number):
        details.append(f"Instance {number:#x} is {decode.instance(device, number)}.")
    if main.message.id == "virtio-features":
        _features(params, device, details, facts)
    elif main.message.id in ("pci-config", "pci-config-short"):
        _pci(params, device, details, facts, ".".join(failure.qemu_version.split(".")[:2]))
    elif main.message.id == "kvm-set-msr" and decode.msr(int(params["msr"])):
        details.append(f"MSR {int(params['msr']):#x} is {decode.msr(int(params['msr']))}.")
    elif main.message.id in ("ram-flags", "multifd-sync") and any(
        match.message.id == "ram-flags" and match.params["flags"] == 0
        for _, match in failure.matches
    ):
        details.append(
            "Flags 0: zeros stand where a page record should be, so nothing more came from {the "
            "source}; {the destination's} words follow from that."
        )
    elif main.message.id == "ram-block-unknown":
        block = str(params["block"])
        details.extend([f'"{block}" is {what}.'] if (what := decode.ram_block(block)) else [])
    elif main.message.id == "start-cpu-features":
        details.extend(_lacking(failure))
    elif main.message.id == "start-refused":
        hint = errno_hint(str(params.get("option", "")))
        if hint:
            details.append(hint)
    elif main.message.id in ("kvm-register-raw", "kvm-system-register"):
        details.extend(_arm_register(params))
    elif main.message.id in ("capability-higher", "capability-lower"):
        details.extend(_capabilities(failure))
    elif "stream" in params and "local" in params and main.message.rule == "ram-block-size":
        stream, local = int(params["stream"]), int(params["local"])
        details.append(
            f"{{loading: Saved state|Source}} {decode.size(stream)}, {HERE} {decode.size(local)}."
        )
    return details, facts


def _lacking(failure: Failure) -> list[str]:
    """The CPU's features that the warnings before a refusal name."""
    names = [
        str(match.params["feature"]).partition(" [bit")[0].rpartition(":")[2].rpartition(".")[2]
        for _, match in failure.matches
        if match.message.id == "start-cpu-feature"
    ]
    if not names:
        return []
    without = ",".join(f"-{name}" for name in dict.fromkeys(names[:6]))
    tsx = " Microcode updates took hle and rtm away." if {"hle", "rtm"} & set(names) else ""
    return [
        f"Lacking: {', '.join(dict.fromkeys(names))}.{tsx} Without them the guest starts (-cpu "
        f"MODEL,{without}; libvirt: <feature policy='disable' name='…'/> for each)."
    ]


def _arm_register(params: dict[str, Any]) -> list[str]:
    """What a register of an Arm CPU is, by KVM's number or by its fields."""
    if "register" in params:
        fields = arm_registers.of_number(int(params["register"]))
    else:
        names = ("op0", "op1", "crn", "crm", "op2")
        op0, op1, crn, crm, op2 = (int(params[name]) for name in names)
        fields = (op0, op1, crn, crm, op2)
    said = arm_registers.described(fields) if fields else ""
    return [f"The register is {said}."] if said else []


def _beside(failure: Failure, main: Match) -> list[str]:
    """What the host's audit lines beside a refused access say."""
    if main.message.group == "evidence":
        return []
    denied = [
        match.params["file"]
        for _, match in failure.matches
        if match.message.group == "evidence" and "file" in match.params
    ]
    refused = any("denied" in str(value) for value in main.params.values())
    if not denied or not refused:
        return []
    files = ", ".join(str(file) for file in dict.fromkeys(denied[:3]))
    return [
        f"AppArmor's lines beside it deny QEMU on this host access to {files}: the guest's profile "
        "is the first place to look (/etc/apparmor.d/local/abstractions/libvirt-qemu)."
    ]


def _accelerator(failure: Failure) -> str:
    """The accelerator of the command line, as far as it names one; QEMU's default is TCG."""
    if not failure.command:
        return ""
    words = re.findall(r"(?:-accel[ =]'?|accel=)(\w+)", failure.command)
    if words:
        return str(words[0])
    return "kvm" if "-enable-kvm" in failure.command else "tcg"


def _features(
    params: dict[str, Any], device: str, details: list[str], facts: dict[str, str]
) -> None:
    features, allowed = int(params["features"]), int(params["allowed"])
    kind = decode.virtio_kind(device)
    missing = features & ~allowed
    facts["features"] = f"{features:x}"
    assumed = ""
    if not kind:
        kind = decode.virtio_kind_of(features | allowed)
        if kind:
            assumed = f" (taken for virtio-{kind}: no other kind of device has all these bits)"
    if not missing:
        details.append(
            "Both words as printed agree: from 11.0 on QEMU prints the guest's features after "
            "taking away those that {the destination} lacks, so the missing bit does not show. "
            "migratable check names it."
        )
        return
    bits = decode.feature_bits(missing, kind)
    facts["missing"] = " ".join(bit.name for bit in bits)
    details.append(
        f"Accepted by the guest and not offered by {{the destination}}: {missing:#x}{assumed}"
    )
    for bit in bits:
        since = f"; brought by {bit.since}" if bit.since else ""
        option = f"; option {bit.option}=off" if bit.option else ""
        note = f"; {bit.note}" if bit.note else ""
        if not kind and bit.bit < 24:
            details.append(f"bit {bit.bit}: its name depends on the kind of device, not shown here")
        else:
            details.append(f"bit {bit.bit} {bit.name}{since}{option}{note}")
    extra = allowed & ~features
    if extra:
        names = ", ".join(
            bit.name for bit in decode.feature_bits(extra, kind) if kind or bit.bit >= 24
        )
        if names:
            details.append(f"Offered by {{the destination}} and not taken (harmless): {names}")


def _pci(
    params: dict[str, Any],
    device: str,
    details: list[str],
    facts: dict[str, str],
    release: str = "",
) -> None:
    offset, read, local = int(params["offset"]), int(params["read"]), int(params["local"])
    facts["extended"] = "yes" if offset >= 0x100 else ""
    masks = None
    if "cmask" in params:
        masks = (int(params["cmask"]), int(params["wmask"]), int(params["w1cmask"]))
    byte = decode.pci_byte(offset, device, masks, release)
    place = byte.place
    if place is None:
        details.append(f"Offset {offset:#x} is: {decode.pci_register(offset, device)}.")
        guess = "" if device else _by_values(offset, read, local, masks, release)
        if guess:
            details.append(guess)
    else:
        of = f" of {byte.devices}" if byte.devices else ""
        details.append(f"Offset {offset:#x} is: {place}{of}.")
    details.append(decode.explain_pci(offset, read, local, masks=masks))
    if place is None:
        return
    facts["register"] = f"{place.capability}: {place.register}"
    said = pci.meaning(place, read, local)
    if said:
        queues = decode.pci_vectors(device, place, read, local)
        details.append(f"{said[:1].upper()}{said[1:]}{'; ' + queues if queues else ''}.")
        facts["register"] += f": {said}"


def _by_values(
    offset: int, read: int, local: int, masks: tuple[int, int, int] | None, release: str
) -> str:
    """What a byte of an unknown device may be: a size of a virtio device's MSI-X table."""
    if masks is not None and (masks[0] != 0xFF or masks[1]):
        return ""
    sizes = [
        place
        for place, layouts in pci.places(offset, "", release).items()
        if place.register == "MSI-X table size"
        and any(name.startswith("virtio-") for layout in layouts for name in layout.devices)
    ]
    if len(sizes) != 1 or max(read, local) > 0x7F:
        return ""
    return (
        f"Possibly a virtio device: there it is the size of the MSI-X table, {read + 1} vectors at "
        f"{{the source}} and {local + 1} at {{the destination}}, so another number of queues: "
        "num-queues= (num_queues=, queues=) follows the number of CPUs at the start (-smp) where "
        "it is not written. Start {moving: the destination|the guest} with {the source's} number"
        "{moving: , or write it on both sides}."
    )


def _capabilities(failure: Failure) -> list[str]:
    found: dict[str, None] = {}
    for _, match in failure.matches:
        if match.message.id not in ("capability-higher", "capability-lower"):
            continue
        name = str(match.params["capability"])
        stream = decode.capability_level(name, int(match.params["stream"]))
        local = decode.capability_level(name, int(match.params["local"]))
        what = decode.capability_name(name)
        higher = match.message.id == "capability-higher"
        grade = (
            f"refused (it needs -machine pseries,cap-{name}={stream})" if higher else "a warning"
        )
        found[
            f"cap-{name}{f' ({what})' if what else ''}: {SENT} {stream}, {HERE} {local}: {grade}"
        ] = None
    return list(found)
