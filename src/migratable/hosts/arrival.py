"""Load a guest's state on its possible next host, and save the result."""

from __future__ import annotations

import base64
import os
import shlex
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any
from xml.etree import ElementTree as ET

from migratable.check import check, not_started
from migratable.commandline import CommandLine, parse
from migratable.errors import (
    CommandLineError,
    DestinationStartError,
    HostError,
    MigratableError,
)
from migratable.hosts import guests
from migratable.printable import quoted
from migratable.profile.collect import collect
from migratable.profile.model import Profile
from migratable.qemu.ownership import changeable
from migratable.rehearse.destination import Destination, try_destination
from migratable.rehearse.disagreement import joined
from migratable.rehearse.resave import Resave
from migratable.rehearse.verdict import verdict as rehearsed_verdict
from migratable.stream import Stream
from migratable.unchecked import Code, Unchecked
from migratable.verdict import Outcome, Verdict

Tell = Callable[[str], None]
_MOST_XML = 4 << 20
_SAME_MACHINE_PATHS = ("/usr/bin", "/usr/libexec", "/usr/local/bin")


def arrive(
    tell: Tell,
    stream: Stream,
    guest: Mapping[str, Any],
    *,
    home: Sequence[str],
    program: str,
    uri: str,
    origin: Profile | None,
    hint_seconds: float,
    timeout: float,
    keep: bool = False,
) -> dict[str, Any]:
    """Everything that one host can say; the members are those of ``migratable.preflight/1``.

    :param home: words that start the guest's own program, on the host on which it runs.
    :param keep: give what a destination with a remedy saves after its load: the source is asked.
    :raise MigratableError: when no command line can be had, or its program is not there.
    """
    steps: dict[str, float] = {}
    clock = _Clock(tell, steps)
    clock.step("command line")
    try:
        line, line_from, changes = command_line(guest, home=home, program=program, uri=uri)
    except LibvirtRefusedError as error:
        return _refused_by_libvirt(str(error), stream)
    clock.step("profile")
    profile, predicted = _predicted(stream, line, origin, clock, timeout)
    again = Resave()
    verdict, rehearsed = predicted, None
    not_rehearsed = ""
    remedies: list[dict[str, Any]] = []
    if profile is not None and not profile.refused:
        clock.step("rehearse")
        try:
            done = try_destination(
                stream, Destination(command_line=line), timeout=timeout, loaded=again
            )
            rehearsed = rehearsed_verdict(done)
            verdict = joined(predicted, rehearsed)
        except MigratableError as error:
            not_rehearsed = str(error)
            reason = Unchecked(f"not rehearsed: {not_rehearsed}", Code.REHEARSAL)
            verdict = replace(predicted, unchecked=(*predicted.unchecked, reason))
    if verdict.outcome is Outcome.REFUSED and hint_seconds:
        clock.step("remedies")
        verdict, remedies = _with_hints(verdict, stream, line, hint_seconds, origin, keep=keep)
    clock.step("")
    return {
        "command_line": line.argv,
        "command_line_from": line_from,
        "command_line_changes": changes,
        "predicted": predicted.to_json(),
        "rehearsed": None if rehearsed is None else rehearsed.to_json(),
        "verdict": verdict.to_json(),
        "after": base64.b64encode(again.data).decode("ascii") if again.data else None,
        "stuck": again.why,
        "not_rehearsed": not_rehearsed,
        "remedies": remedies,
        "steps": steps,
        "profile": None if profile is None else _without_stream(profile),
    }


class LibvirtRefusedError(HostError):
    """The host's libvirt takes no such definition; its words."""


def _refused_by_libvirt(text: str, stream: Stream) -> dict[str, Any]:
    verdict = not_started([text], stream=stream).to_json()
    return {
        "command_line": [],
        "command_line_from": "libvirt",
        "command_line_changes": [],
        "libvirt_refused": text,
        "predicted": verdict,
        "rehearsed": None,
        "verdict": verdict,
        "after": None,
        "stuck": "",
        "not_rehearsed": "the destination's libvirt refuses the definition",
        "remedies": [],
        "steps": {},
        "profile": None,
    }


class _Clock:
    """Tells the steps, and how long each took."""

    def __init__(self, tell: Tell, seconds: dict[str, float]) -> None:
        self._tell = tell
        self._seconds = seconds
        self._name = ""
        self._since = time.monotonic()

    def step(self, name: str) -> None:
        now = time.monotonic()
        if self._name:
            self._seconds[self._name] = round(now - self._since, 3)
        self._name, self._since = name, now
        if name:
            self._tell(name)


def _without_stream(profile: Profile) -> dict[str, Any]:
    """The profile as the other side needs it to compare: no tables, no stream."""
    document = replace(profile, stream=b"", loader=None).to_json()
    return {**document, "pci_devices": []}


def _predicted(
    stream: Stream, line: CommandLine, origin: Profile | None, clock: _Clock, timeout: float
) -> tuple[Profile | None, Verdict]:
    sizes = {block.id: block.used_length for block in stream.ram_blocks}
    try:
        profile = collect(line, ram_sizes=sizes, timeout=timeout)
    except DestinationStartError as error:
        return None, not_started(error.stderr, stream=stream, only_kvm=error.only_kvm)
    clock.step("check")
    return profile, check(stream, profile, origin=origin)


def _with_hints(
    verdict: Verdict,
    stream: Stream,
    line: CommandLine,
    seconds: float,
    origin: Profile | None,
    *,
    keep: bool,
) -> tuple[Verdict, list[dict[str, Any]]]:
    """The verdict with remedies, and what the destination holds with each of them."""
    from migratable.hints import Kept, tried  # noqa: PLC0415 -- for refusals only

    kept = Kept(profile=origin) if keep else None
    try:
        verdict = tried(verdict, stream, line, budget_seconds=seconds, kept=kept)
    except MigratableError as error:
        reason = Unchecked(f"no remedies tried: {error}", Code.REMEDIES)
        return replace(verdict, unchecked=(*verdict.unchecked, reason)), []
    shown = {hint.command for finding in verdict.findings for hint in finding.hints}
    return verdict, [
        {
            "command": command,
            "after": base64.b64encode(again.data).decode("ascii") if again.data else None,
            "stuck": again.why,
            "blocked": again.blocked,
        }
        for command, again in (() if kept is None else kept.saved.items())
        if command in shown
    ]


def command_line(
    guest: Mapping[str, Any], *, home: Sequence[str], program: str, uri: str
) -> tuple[CommandLine, str, list[str]]:
    """The command line with which this host would start the guest.

    :return: it, where it is from (``libvirt``, ``same``), and what differs from the guest's own.
    :raise HostError: when there is none, or its libvirt refuses to make one.
    """
    own = guests.line_of(list(guest["argv"])) if guest["argv"] else None
    xml = guest.get("migratable_xml")
    if home and own is not None:
        return replace(own, program=tuple(home)), "live", []
    if guest["kind"] == "libvirt" and xml and shutil.which("virsh"):
        line = _libvirts(str(xml), program, uri)
        return line, "libvirt", [] if own is None else list(_changes(own, line))
    if own is None:
        raise HostError(
            f"the command line of {guest['name']} is not known: its process cannot be read on the "
            "source (use --sudo), and that host has no libvirt to build one"
        )
    words = (program,) if program else _program_here(own.program)
    line = replace(own, program=words)
    changed = [] if words == own.program else [f"program: {words[0]}"]
    return line, "same", changed


def _libvirts(xml: str, program: str, uri: str) -> CommandLine:
    for path in _emulators(xml):  # libvirt starts it to ask it for its capabilities
        why = changeable(path) if os.path.lexists(path) else ""
        if not why and not guests.may_be_program(path.rpartition("/")[2]):
            why = f"{path} is not called like a QEMU"
        if why:
            raise HostError(f"the guest's definition names a program that is not started: {why}")
    uri = uri or guests.URIS[0]
    guests.virsh(uri, "uri")  # that it cannot be asked is no refusal
    words = ("domxml-to-native", "--format", "qemu-argv", "--xml", "/dev/stdin")
    try:
        text = guests.virsh(uri, *words, text=xml)
    except HostError as error:
        raise LibvirtRefusedError(str(error).removeprefix("virsh: ")) from None
    try:
        line = parse(text)
    except CommandLineError as error:
        raise HostError(f"libvirt's command line cannot be read: {error}") from None
    return replace(line, program=(program,)) if program else line


def _emulators(xml: str) -> list[str]:
    """Programs that another host's definition names.

    :raise HostError: when it is no XML that libvirt could have written.
    """
    if len(xml) > _MOST_XML or "<!DOCTYPE" in xml:
        raise HostError("the guest's definition is not libvirt's")
    try:
        document = ET.fromstring(xml)  # noqa: S314 -- no document type, so no entities
    except ET.ParseError as error:
        raise HostError(f"the guest's definition cannot be read: {error}") from None
    return ["".join(one.itertext()).strip() for one in document.iter("emulator")]


def _program_here(words: Sequence[str]) -> tuple[str, ...]:
    """Find the program of the same name on this host; the name is another host's word."""
    path = words[-1] if len(words) > 1 and words[-1].startswith("/") else words[0]
    base = path.rpartition("/")[2]
    names = [path, base]
    if base in {"kvm", "qemu-kvm"}:
        names += ["/usr/libexec/qemu-kvm", "qemu-kvm", "kvm", "qemu-system-x86_64"]
    elif base.startswith("qemu-system-"):
        names += [f"{folder}/{base}" for folder in _SAME_MACHINE_PATHS]
        names += ["/usr/libexec/qemu-kvm"]
    why = ""
    for name in names if guests.is_program(base) else ():
        if len(words) > 1 and name == path:
            continue  # a starter's inner program does not run by itself
        found = shutil.which(name)
        if found is None:
            continue
        problem = changeable(found)
        if not problem:
            return (found,)
        why = why or problem
    raise HostError(
        f"no program {quoted(base)} on this host{f' that may be started: {why}' if why else ''}; "
        "install QEMU on it, or name it: --program PATH"
    )


def _changes(own: CommandLine, line: CommandLine) -> Iterator[str]:
    """What this host's libvirt writes otherwise than the source's, host-side names aside."""
    if own.program[-1] != line.program[-1]:
        yield f"program: {own.program[-1]} → {line.program[-1]}"
    for name in ("machine", "cpu", "accel", "m", "smp", "global"):
        before = [option.value or "" for option in own.all(name)]
        after = [option.value or "" for option in line.all(name)]
        if before != after:
            yield f"-{name}: {shlex.join(before) or 'absent'} → {shlex.join(after) or 'absent'}"
    before = sorted(option.value or "" for option, _, _ in own.devices())
    after = sorted(option.value or "" for option, _, _ in line.devices())
    for value in before:
        if value not in after:
            yield f"-device {value} → absent or different"
    for value in after:
        if value not in before:
            yield f"absent or different → -device {value}"
