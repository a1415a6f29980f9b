"""From the lines of a failed migration to cause, side and remedy.

What is said about a failure comes from the catalogue of messages, from decoded numbers and from
public cases. A line that nothing recognises is called unknown and shown; its cause is not guessed.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, BinaryIO

from migratable.explain import advice, decode
from migratable.explain.cases import Case, matching
from migratable.explain.failures import Scan, scan
from migratable.explain.grouping import Failure, Line
from migratable.explain.logs import without_prefix
from migratable.explain.together import Log, joined
from migratable.explain.verify import Reproducible, command
from migratable.facts import pci
from migratable.messages.catalogue import Fault, Message, Role, message, origins
from migratable.messages.recognise import Match

SCHEMA = "migratable.explain/1"


class Status(enum.StrEnum):
    """How much could be said.

    ``WARNING``: the lines are only warnings; nothing failed because of them.
    ``SYMPTOM``: the log only says that something failed; the cause stands in another log.
    """

    EXPLAINED = "explained"
    WARNING = "warning"
    SYMPTOM = "symptom"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """One failed migration, explained as far as it can be.

    :ivar line: the line that matters, as its program wrote it.
    :ivar number: its place in the input, counted from 1.
    :ivar count: how often the same failure occurs.
    :ivar verify: which command of migratable shows the cause again, "" for none.
    :ivar proof: that command, ready to run; "" without a log that holds the command line.
    :ivar programs: log, QEMU's version and machine type, for each of several logs.
    :ivar details: decoded numbers and names, one sentence each.
    :ivar origin: where the text stands, when the message's own origins do not say it.
    """

    status: Status
    line: str
    number: int
    last: int
    count: int
    message: str | None
    rule: str | None
    side: Fault
    meaning: str
    details: tuple[str, ...] = ()
    cases: tuple[Case, ...] = ()
    references: tuple[str, ...] = ()
    now: str = ""
    ever: str = ""
    verify: str = ""
    proof: str = ""
    device: str | None = None
    instance_id: int | None = None
    errno: str | None = None
    qemu_version: str = ""
    machine: str = ""
    lines: tuple[Line, ...] = ()
    unknown: tuple[Line, ...] = ()
    programs: tuple[tuple[str, str, str], ...] = ()
    log: str = ""
    origin: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """The explanation as the JSON contract has it."""
        return {
            "status": str(self.status),
            "line": self.line,
            "line_number": self.number,
            "last_line_number": self.last,
            "count": self.count,
            "message": self.message,
            "origin": list(self.origin) or origins().get(self.message or "", {}).get("origin", []),
            "rule": self.rule,
            "side": str(self.side),
            "meaning": self.meaning,
            "details": list(self.details),
            "known_cases": [case.to_json() for case in self.cases],
            "references": list(self.references),
            "do_now": self.now,
            "do_for_ever": self.ever,
            "proof": self.proof,
            "device": self.device,
            "instance_id": self.instance_id,
            "errno": self.errno,
            "qemu_version": self.qemu_version or None,
            "machine": self.machine or None,
            "logs": [
                {"log": log, "qemu_version": version or None, "machine": machine or None}
                for log, version, machine in self.programs
            ],
            "lines": [_line_json(line) for line in self.lines],
            "unknown_lines": [_line_json(line) for line in self.unknown],
        }


def _line_json(line: Line) -> dict[str, Any]:
    return {
        **({"log": line.log} if line.log else {}),
        "line_number": line.number,
        "text": line.text,
        "messages": [match.message.id for match in line.matches],
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """Everything that a log says about failed migrations.

    :ivar suspicious: lines of a small input that look like errors and that nothing recognised.
    """

    explanations: tuple[Explanation, ...]
    suspicious: tuple[Line, ...]
    lines: int
    bytes: int

    @property
    def exit_status(self) -> int:
        """0: all explained (or nothing found); 3: something is unknown.

        A line of QEMU that looks like an error and is not known may be a cause; another program's
        counts when no cause was found.
        """
        unknown = any(item.status is Status.UNKNOWN for item in self.explanations)
        unknown |= any(line.qemu for item in self.explanations for line in item.unknown)
        unknown |= any(line.qemu for line in self.suspicious)
        told = any(item.status is not Status.SYMPTOM for item in self.explanations)
        return 3 if unknown or (self.suspicious and not told) else 0

    def to_json(self) -> dict[str, Any]:
        """One object for a program (schema ``migratable.explain/1``)."""
        return {
            "schema": SCHEMA,
            "input": {"lines": self.lines, "bytes": self.bytes},
            "failures": [item.to_json() for item in self.explanations],
            "unknown_lines": [_line_json(line) for line in self.suspicious],
        }


def explain(stream: BinaryIO, again: Reproducible | None = None) -> Report:
    """Read a log (text, JSON lines, gzip of either) and explain the failed migrations in it.

    :param again: the log as a file that holds the command line.
    :raise OSError: reading or unpacking failed.
    """
    return report(scan(stream), {"": again} if again else {})


def explain_together(logs: Sequence[Log], again: Mapping[str, Reproducible]) -> Report:
    """Explain several logs (of both sides) as one story.

    :param again: the logs that hold a command line, by name.
    """
    return report(joined(logs), again)


def report(found: Scan, again: Mapping[str, Reproducible] | None = None) -> Report:
    """The explanations of what a scan found."""
    explanations = [explain_failure(failure) for failure in found.failures]
    return Report(
        explanations=tuple(
            replace(item, proof=command(item.verify, (again or {}).get(item.log)))
            for item in explanations
        ),
        suspicious=tuple(found.suspicious),
        lines=found.lines,
        bytes=found.bytes,
    )


# Printed as an error; whether it stops the load depends on the release (up to 4.2 it does).
_SOMETIMES_FATAL = frozenset({"virtio-queue-index"})

# Which line matters: a cause before all others; among causes the first, unless ranks differ.
_WEIGHT = {Role.CAUSE: 4, Role.WHERE: 3, Role.CLOSING: 2, Role.SYMPTOM: 1, Role.WARNING: 0}


def _main(failure: Failure) -> tuple[Line, Match] | None:
    best: tuple[Line, Match] | None = None
    best_key: tuple[int, int, int] | None = None
    for number, (line, match) in enumerate(failure.matches):
        role = match.message.role
        if role is Role.WARNING and not failure.has(
            Role.CAUSE, Role.WHERE, Role.CLOSING, Role.SYMPTOM
        ):
            weight = 5
        elif match.message.id in _SOMETIMES_FATAL and not failure.has(Role.CAUSE):
            weight = 4
        elif role is Role.CLOSING and not line.qemu and failure.has(Role.SYMPTOM):
            weight = 0  # libvirt's words about a QEMU whose own log is not here
        else:
            weight = _WEIGHT[role]
        # Among "where" lines the outermost (device) tells most; it stands last up to 10.1.
        where = 1 if match.message.id in ("device-error", "section-error") else 0
        specific = 0 if match.message.rule in ("destination-start", "management") else 1
        # A manager's general words about what it quotes tell less than what it quotes.
        quotes = 1 if match.message.program != "QEMU" and match.message.rank < 0 else 0
        wraps = match.message.program != "QEMU" and match.message.rank <= 0
        if wraps and _holds_another(line, match):
            weight = 0
        if role is Role.CAUSE:
            key = (weight, match.message.rank * 2 + specific - quotes, -number)
        elif role is Role.SYMPTOM:
            key = (weight, match.message.rank * 8 + len(match.params) * 2 + specific, -number)
        else:
            key = (weight, where, -number)
        if best_key is None or key > best_key:
            best, best_key = (line, match), key
    return best


def _holds_another(line: Line, match: Match) -> bool:
    """Does a manager's message quote one that says more?"""
    return any(
        other is not match and match.start <= other.start and other.end <= match.end
        for other in line.matches
        if other.message.role in (Role.CAUSE, Role.SYMPTOM)
    )


def explain_failure(failure: Failure) -> Explanation:
    """Everything that can be said about one failure."""
    chosen = _main(failure)
    unknown = _unknown(failure)
    if chosen is None:
        line = (unknown or failure.lines or [Line(number=failure.first, text="")])[-1]
        return _nothing_known(failure, line, unknown)
    line, main = chosen
    errno = next(
        (str(m.params["error"]) for _, m in failure.matches if m.message.id == "load-failed"), None
    )
    if main.message.role in (Role.WHERE, Role.CLOSING, Role.WARNING) and unknown:
        return _nothing_known(failure, unknown[0], unknown, errno)
    subject, number = _device(failure, main)
    details, facts = _details(failure, main, subject, number, errno)
    known = tuple(matching(failure, main, facts))
    unknown = [line for line in unknown if not any(case.names(line.text) for case in known)]
    deciding = next((case for case in known if case.certainty != "possible"), None)
    derived = _derived(main, errno, subject) if deciding is None else None
    text = main.message
    rule = (deciding and deciding.rule) or (derived and derived.rule) or text.rule or None
    own, common = advice.of_message(text), advice.of_rule(rule)
    if derived is not None:
        own = replace(advice.of_message(derived), verify=own.verify)
    side = Fault((deciding and deciding.side) or own.side)
    if side is Fault.CANNOT_TELL and text.program == "QEMU" and _starts(failure):
        side = Fault.DESTINATION
    if deciding is not None and deciding.rule and deciding.rule != text.rule:
        now, ever = common.now, common.ever
        if not deciding.side:
            side = common.side
    else:
        now, ever = own.now, own.ever
    status = Status.EXPLAINED
    if text.role is Role.WARNING and not (
        text.id in _SOMETIMES_FATAL and failure.has(Role.WHERE, Role.CLOSING)
    ):
        status = Status.WARNING
    elif text.role is Role.SYMPTOM:
        status = Status.SYMPTOM
    elif text.role in (Role.CLOSING, Role.WHERE) and not known and derived is None:
        status = Status.UNKNOWN
    meaning = _fill(text.meaning, main)
    if derived is not None:
        meaning = f"{meaning} {derived.meaning}"
    if status is Status.UNKNOWN:
        meaning += " QEMU printed no reason, and no public case fits."
        if errno in _ERRNO_ALONE:
            details.append(f'"{errno}" alone {_ERRNO_ALONE[errno]}')
    references = dict.fromkeys(
        [*text.references, *(reference for case in known for reference in case.references)]
    )
    return Explanation(
        status=status,
        line=line.text,
        number=line.number,
        last=failure.last,
        count=failure.count,
        message=text.id,
        rule=rule,
        side=side,
        meaning=meaning,
        details=tuple(details),
        cases=known,
        references=tuple(references),
        now=_fill((deciding and deciding.now) or now, main),
        ever=_fill((deciding and deciding.ever) or ever, main),
        verify=own.verify if not (deciding and deciding.rule) else common.verify,
        device=subject,
        instance_id=number,
        errno=errno,
        qemu_version=failure.qemu_version,
        machine=failure.machine,
        lines=tuple(failure.lines),
        unknown=tuple(unknown),
        programs=tuple(failure.programs),
        log=line.log,
        origin=(main.origin,) if main.origin else (),
    )


def _starts(failure: Failure) -> bool:
    """Do libvirt's words say that the QEMU which printed this was being started?"""
    return any(match.message.id == "libvirt-process-exited" for _, match in failure.matches)


# What the C library's error text at the end of an unknown line says by itself.
_ERRNO_HINTS = (
    ("Cannot allocate memory", "the host had no memory (or no huge pages) left for it."),
    ("No space left on device", "a disk or file system of that host is full."),
    ("Permission denied", "the program lacks the right: owner, mode, SELinux, AppArmor."),
    ("No such file or directory", "a file is missing on that host, or a part is in the stream."),
    ("Address already in use", "another program has the port or socket."),
    ("Connection refused", "nothing listens at the other end, or a firewall refuses."),
    ("Connection timed out", "the other end does not answer: network or firewall."),
    ("No route to host", "the other host cannot be reached: network or firewall."),
    ("Connection reset by peer", "the other end went away; its log says why."),
    ("Broken pipe", "the other end went away; its log says why."),
    ("Device or resource busy", "something else uses the device or file."),
    ("No such device", "the host lacks the device (kernel module, hardware, interface)."),
    ("Too many open files", "a limit of the process (ulimit -n) is too low."),
)


def _errno_hint(text: str) -> str:
    """What the C library's error text at the end of a line says by itself, "" without one."""
    words = text.rstrip(" .'\")")
    found = next((hint for error, hint in _ERRNO_HINTS if words.endswith(error)), "")
    return found and f"Its error, taken alone, means: {found}"


# What the errno of the closing line narrows down when nothing else was printed.
_ERRNO_ALONE = {
    "Invalid argument": "mostly means that the loader refused what it read: a section or version "
    "that it does not have, a value out of range, or RAM of another size.",
    "Operation not permitted": "is -1: a device's own code refused its state (features, registers, "
    "queue positions); it has nothing to do with rights.",
    "Cannot allocate memory": "means that the host had no memory (or huge pages) left.",
}


def _nothing_known(
    failure: Failure, line: Line, unknown: list[Line], errno: str | None = None
) -> Explanation:
    subject, number = _device(failure, None)
    details = []
    hint = _errno_hint(line.text)
    if hint:
        details.append(hint)
    if subject and decode.section(subject):
        details.append(f"'{subject}' is {decode.section(subject)}.")
    return Explanation(
        status=Status.UNKNOWN,
        line=line.text,
        number=line.number,
        last=failure.last,
        count=failure.count,
        message=None,
        rule=None,
        side=Fault.CANNOT_TELL,
        meaning="This line is not known. It stands where QEMU prints the cause.",
        details=tuple(details),
        verify="check",
        device=subject,
        instance_id=number,
        errno=errno,
        qemu_version=failure.qemu_version,
        machine=failure.machine,
        lines=tuple(failure.lines),
        unknown=tuple(unknown),
        programs=tuple(failure.programs),
        log=line.log,
    )


def _unknown(failure: Failure) -> list[Line]:
    """Lines of QEMU among the failure's that nothing recognised, one of each text."""
    known = {without_prefix(line.text) for line in failure.lines}
    kept: dict[str, Line] = {}
    for line in failure.unrecognised:
        words = without_prefix(line.text)
        if words not in known:
            kept.setdefault(words, line)
    return list(kept.values())


def _device(failure: Failure, main: Match | None) -> tuple[str | None, int | None]:
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


def _details(
    failure: Failure, main: Match, subject: str | None, number: int | None, errno: str | None
) -> tuple[list[str], dict[str, str]]:
    details: list[str] = []
    params = main.params
    facts = {"errno": errno or "", "alone": "" if failure.has(Role.CAUSE) else "yes"}
    text = "\n".join(line.text for line in failure.lines)
    arch = re.search(r"qemu-system-(\w+)", text)
    facts["arch"] = arch[1] if arch else ("ppc" if "pseries" in failure.machine else "")
    if not facts["arch"] and re.search(r"spapr|pseries|POWER", text):
        facts["arch"] = "ppc"
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
    elif main.message.id == "start-refused":
        hint = _errno_hint(str(params.get("option", "")))
        if hint:
            details.append(hint)
    elif main.message.id in ("capability-higher", "capability-lower"):
        details.extend(_capabilities(failure))
    elif "stream" in params and "local" in params and main.message.rule == "ram-block-size":
        stream, local = int(params["stream"]), int(params["local"])
        details.append(f"Source {decode.size(stream)}, destination {decode.size(local)}.")
    return details, facts


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
            "taking away those that the destination lacks, so the missing bit does not show. "
            "migratable check names it."
        )
        return
    bits = decode.feature_bits(missing, kind)
    facts["missing"] = " ".join(bit.name for bit in bits)
    details.append(
        f"Accepted by the guest and not offered by the destination: {missing:#x}{assumed}"
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
            details.append(f"Offered by the destination and not taken (harmless): {names}")


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


def _capabilities(failure: Failure) -> list[str]:
    found: dict[str, None] = {}
    for _, match in failure.matches:
        if match.message.id not in ("capability-higher", "capability-lower"):
            continue
        name = str(match.params["capability"])
        stream = decode.capability_level(name, int(match.params["stream"]))
        local = decode.capability_level(name, int(match.params["local"]))
        what = decode.capability_name(name)
        grade = "refused" if match.message.id == "capability-higher" else "a warning"
        found[
            f"cap-{name}{f' ({what})' if what else ''}: source {stream}, destination {local}: "
            f"{grade}"
        ] = None
    return list(found)


def _derived(main: Match, errno: str | None, subject: str | None) -> Message | None:
    """What the errno says when QEMU printed no cause (up to 10.1)."""
    if main.message.role not in (Role.WHERE, Role.CLOSING):
        return None
    if errno == "No such file or directory" and main.message.id != "load-failed":
        return message("derived-subsection")
    if errno == "Input/output error" and subject != "block":  # which writes to disks itself
        return message("derived-stream-end")
    return None


def _fill(text: str, match: Match) -> str:
    """Parameters into a text; one that the match does not have stays as it is."""

    def value(found: re.Match[str]) -> str:
        name, _, spec = found[1].partition(":")
        if name not in match.params:
            return found[0]
        content = match.params[name]
        if isinstance(content, int):
            return format(content, spec) if spec else str(content)
        return _trimmed(content)

    return re.sub(r"\{([a-z_0-9]+(?::[#0-9xd]+)?)\}", value, text)


def _trimmed(text: str) -> str:
    """*text* without the quotes and brackets that only close what a wrapper opened."""
    while text and text[-1] in "'\")]}.,":
        last = text[-1]
        if last == "," and text[-2:-1] not in ("'", '"'):
            break
        opening = {")": "(", "]": "[", "}": "{"}.get(last, last)
        if last in "'\"" and text.count(last) % 2 == 0:
            break
        if last in ")]}" and text.count(opening) >= text.count(last):
            break
        text = text[:-1]
    return text.strip()
