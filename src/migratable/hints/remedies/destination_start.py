"""A destination whose program ends at its start: what it names is dropped or replaced."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace

from migratable.commandline import CommandLine, Option
from migratable.commandline.line import global_of
from migratable.hints import (
    absent_properties,
    cpus,
    devices,
    line_edits,
    machine_options,
    memory,
    removed_options,
)
from migratable.hints.candidate import Candidate, Situation
from migratable.hints.start_error import said
from migratable.verdict import Finding

_PROPERTY = re.compile(r"[Pp](?:roperty|arameter) '(?P<what>[^']+?\.)?(?P<name>[^'.]+)'")
_GLOBAL = re.compile(r"can't apply global (?P<what>[^=]+)=")
_NAMED = re.compile(r"'([^']+)'")
_MISSING = re.compile(r"missing '(?P<name>[^']+)' in '-(?:M|machine)'")
_NO_OBJECT = re.compile(r"(?:Bus|Device) '[^']+' not found")
_WORD = re.compile(r"[A-Za-z0-9_-]+")
_PLACE = ("addr", "bus", "port", "reg", "slot")


def candidates(situation: Situation, finding: Finding) -> Iterator[Candidate]:
    """By what the program says; then every option that is not the machine's skeleton."""
    name, which, message = said(finding)
    echoed = list(_echoed(situation, name.removeprefix("-"), which))
    received = situation.stream.machine
    if received and received != situation.line.machine and received in situation.parts.machines:
        yield line_edits.machine("type", received)
    if "unsupported machine type" in message:  # no other member of the line gives it
        yield line_edits.no_machine_type(str(situation.line.machine))
        return
    for option in echoed:
        if message == "invalid option":
            yield from removed_options.candidates(option)
            yield line_edits.removed(option, f"-{option.name} {option.value or ''}".rstrip())
        if (option.value or "").startswith("{"):
            yield Candidate(action="-device as driver,key=value, not JSON", edit=without_json)
    if _NO_OBJECT.search(message):
        yield Candidate(action="-device options after those that they name", edit=in_order)
    yield from absent_properties.candidates(situation, finding)
    yield from _globals(situation, message)
    yield from _properties(situation, message, echoed)
    yield from _machine_named(situation, message)
    if re.search("slot|in use|already|conflict|not available|overflow", message):
        for option in echoed:
            yield from _members(option, _PLACE)
        yield Candidate(action="-device without addr=", edit=_free)
    yield from _cpu(situation, message)
    if re.search("KVM|kernel|APIC|irqchip|dirty", message):
        for option in situation.line.all("accel"):
            keys = [key for key, _ in option.fields.items() if key != "accel"]
            yield from _members(option, keys)
    if re.search("RAM|memory|maxmem|slots|NUMA|memdev", message):
        yield from _memory(situation)
    if re.search(r"CPU|cpu|thread|core|socket|smp|vsmt|SMT|die", message):
        yield from machine_options.smp(situation)
        yield from machine_options.without(situation, "smp")
    for option in echoed:
        keys = [key for key, _ in option.fields.items() if key not in devices.STRUCTURE]
        yield from _members(option, [*keys, *_PLACE])
        if option.name in _SPARE:
            yield line_edits.removed(option, f"-{option.name} {option.value}")
    yield from _machine(situation)
    yield from _options(situation, message)


_SPARE = frozenset({"device", "object", "netdev", "drive", "global", "rtc", "boot", "numa"})


def _echoed(situation: Situation, name: str, which: str) -> Iterator[Option]:
    """Options that the program named before its message."""
    for option in situation.line.all("machine" if name == "M" else name):
        identity = option.fields.get("id")
        if which == identity or (identity is None and (option.value or "").startswith(which)):
            yield option


def without_json(line: CommandLine) -> CommandLine:
    """``-device`` as key=value; JSON came to it with QEMU 6.2."""
    for option in list(line.all("device")):
        if (option.value or "").startswith("{"):
            members = [pair for pair in option.fields.items() if pair[0] != "driver"]
            text = [f"{key}={value.replace(',', ',,')}" for key, value in members]
            new = replace(option, value=",".join([option.fields.get("driver") or "", *text]))
            line = line.replace(option, new)
    return line


def in_order(line: CommandLine) -> CommandLine:
    """``-device`` options behind those whose id they name (``bus=ID.0``, ``bmc=ID``)."""
    waiting = [option for option, _, _ in line.devices()]
    names = {option.fields.get("id") for option in waiting} - {None}
    placed: list[Option] = []
    known: set[str] = set()
    while waiting:
        ready = next(
            (option for option in waiting if _named_by(option) & names <= known),
            waiting[0],
        )
        waiting.remove(ready)
        placed.append(ready)
        known.add(ready.fields.get("id") or "")
    rest = iter(placed)
    options = [next(rest) if option.name == "device" else option for option in line.options]
    return replace(line, options=tuple(options))


def _named_by(option: Option) -> set[str]:
    values = [value for key, value in option.fields.items() if key not in {"id", "driver"}]
    return {name for value in values for name in (value, value.rpartition(".")[0])}


def _globals(situation: Situation, message: str) -> Iterator[Candidate]:
    match = _GLOBAL.search(message)
    for option in situation.line.all("global"):
        driver, name, value = global_of(option)
        meant = match is not None and match["what"].strip() == f"{driver}.{name}"
        if meant or name.removeprefix("disable-") in message:  # "neither modern nor legacy mode"
            yield line_edits.removed(option, f"-global {driver}.{name}={value}")


def _members(option: Option, keys: Sequence[str]) -> Iterator[Candidate]:
    """The option without each of its members."""
    for key in keys:
        if key in option.fields and key not in {"type", "model", "driver", "accel"}:
            which = option.fields.get("id") or option.fields.get("driver") or ""
            said_so = " ".join(filter(None, [f"-{option.name}", which]))
            yield line_edits.changed(option, option.fields.delete(key), f"{said_so}: no {key}")


def _properties(
    situation: Situation, message: str, echoed: Sequence[Option]
) -> Iterator[Candidate]:
    """Members that the message names: of the option that it is about, else of any."""
    named = [match["name"] for match in _PROPERTY.finditer(message)]
    words = set(_WORD.findall(message))
    for option in echoed:
        keys = [key for key, _ in option.fields.items()]
        yield from _members(option, [key for key in keys if key in named or key in words])
    for key in named:
        for option in situation.line.options:
            if option.name in {"machine", "cpu", "device", "smp", "object"}:
                for spelled in (key, f"+{key}", f"-{key}", key.replace("-", "_")):
                    yield from _members(option, [spelled])


def _machine_named(situation: Situation, message: str) -> Iterator[Candidate]:
    for match in _MISSING.finditer(message):
        yield from machine_options.machine(situation, match["name"], "on")
    words = set(_WORD.findall(message.lower()))
    for key in line_edits.machine_keys(situation.line):
        if key in message or key in words or key.removeprefix("cap-") in message:
            yield line_edits.machine(key, None)


def _cpu(situation: Situation, message: str) -> Iterator[Candidate]:
    if situation.line.cpu and re.search(
        r"CPU|cpu|POWER|phys-bits|core|ecrementer|compat|[Cc]apab|cap-|feature|kernel|KVM|"
        "MSR",
        message,
    ):
        yield from cpus.models(situation)
        yield from cpus.without_features(situation)
        yield Candidate(action="without -cpu", edit=lambda line: machine_options.drop(line, "cpu"))


def _memory(situation: Situation) -> Iterator[Candidate]:
    yield Candidate(
        action=f"-m {memory.text(memory.main_size(situation.line, situation.stream))}",
        edit=lambda line: memory.with_total(line, situation.stream),
    )
    yield Candidate(
        action="-m with slots= and maxmem=",
        edit=lambda line: memory.with_slots(line, situation.stream),
    )
    yield Candidate(
        action="main memory without -numa and backends",
        edit=lambda line: memory.with_total(memory.plain(line), situation.stream),
    )

    def whole(line: CommandLine) -> CommandLine:
        for option in list(line.all("m")):
            line = line.replace(option)
        return line.append("m", memory.text(memory.main_size(situation.line, situation.stream)))

    yield Candidate(
        action=f"-m {memory.text(memory.main_size(situation.line, situation.stream))} alone",
        edit=whole,
    )


def _machine(situation: Situation) -> Iterator[Candidate]:
    for key in line_edits.machine_keys(situation.line):
        yield line_edits.machine(key, None)


def _free(line: CommandLine) -> CommandLine:
    """No places on PCI: the guest's own are set when the program starts."""
    for option, _, _ in list(line.devices()):
        if "addr" in option.fields:
            line = line.replace(option, option.with_fields(option.fields.delete("addr")))
    return line


def _options(situation: Situation, message: str) -> Iterator[Candidate]:
    """Options that the message names, then any other that can be left out."""
    names = set(_NAMED.findall(message))
    rest: list[Option] = []
    for option in situation.line.options:
        if option.name in {"machine", "m", "display", "nodefaults", "accel", "cpu", "smp"}:
            continue
        text = option.value or ""
        word = rf"(?<![\w-]){re.escape(option.name)}(?![\w-])"
        if any(name in text for name in names) or re.search(word, message):
            yield line_edits.removed(option, f"-{option.name} {text}".rstrip())
            continue
        rest.append(option)
    for option in rest:
        if option.name not in {"drive", "netdev", "chardev", "object", "blockdev"}:
            yield line_edits.removed(option, f"-{option.name} {option.value or ''}".rstrip())
