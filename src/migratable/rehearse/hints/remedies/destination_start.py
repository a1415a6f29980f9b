"""A destination whose program ends at its start: what it names is dropped or replaced."""

from __future__ import annotations

import re
from collections.abc import Iterator

from migratable.profile.commandline import CommandLine, Option
from migratable.profile.commandline_line import global_of
from migratable.rehearse.hints import cpus, devices, edits, knobs, memory
from migratable.rehearse.hints.candidate import Candidate, Situation
from migratable.verdict import Finding

_PROPERTY = re.compile(r"[Pp]roperty '(?P<what>[^']+?)\.?(?P<name>[^'.]+)'")
_ECHOED = re.compile(r"^-(?P<option>[a-z-]+) (?P<value>.*?): ")
_GLOBAL = re.compile(r"can't apply global (?P<what>[^=]+)=")
_NAMED = re.compile(r"'([^']+)'")


def candidates(at: Situation, finding: Finding) -> Iterator[Candidate]:
    """By what the line says; then every option that is not the machine's skeleton."""
    said = finding.summary.removeprefix("the destination does not start: ")
    received = at.stream.machine
    if received and received != at.line.machine and received in at.parts.machines:
        yield edits.machine("type", received)
    yield from _globals(at, said)
    yield from _echoed(at, said)
    yield from _properties(at, said)
    yield from _cpu(at, said)
    if re.search("RAM|memory|maxmem|slots|NUMA|memdev", said):
        yield from _memory(at)
    if re.search(r"CPU|cpu|thread|core|socket|smp|vsmt|SMT|die", said):
        yield from knobs.smp(at)
        yield from knobs.without(at, "smp")
    yield from _machine(at, said)
    yield from _places(at, said)
    yield from _options(at, said)


def _globals(at: Situation, said: str) -> Iterator[Candidate]:
    found = _GLOBAL.search(said)
    for option in at.line.all("global"):
        driver, name, value = global_of(option)
        if (found is not None and found["what"].strip() == f"{driver}.{name}") or name in said:
            yield edits.removed(option, f"-global {driver}.{name}={value}")


def _echoed(at: Situation, said: str) -> Iterator[Candidate]:
    """QEMU echoes the option: drop its unknown members, then all but the structure, then it."""
    found = _ECHOED.match(said)
    if found is None:
        return
    name = found["option"]
    identity = re.search(r"id=([^,:\s]+)", found["value"])
    for option in at.line.all("machine" if name == "M" else name):
        fields = option.fields
        if identity is not None and fields.get("id") != identity[1]:
            continue
        if identity is None and (option.value or "")[:30] != found["value"][:30]:
            continue
        keys = [key for key, _ in fields.items() if key not in devices.STRUCTURE]
        keys = [key for key in keys if key not in {"type", "model", "driver"}]
        keys.sort(key=lambda key: key not in said[len(found[0]) :])
        for key in [*keys, "addr", "bus", "port", "reg"]:
            if key in fields:
                said_so = f"-{name} {fields.get('id') or fields.get('driver') or ''}: no {key}"
                yield edits.changed(option, fields.delete(key), said_so)
        if name in {"device", "object", "netdev", "drive", "global", "rtc", "boot", "numa"}:
            yield edits.removed(option, f"-{name} {option.value}")


def _properties(at: Situation, said: str) -> Iterator[Candidate]:
    for found in _PROPERTY.finditer(said):
        key = found["name"]
        for option in at.line.options:
            if option.name in {"machine", "cpu", "device", "smp", "object"}:
                fields = option.fields
                for spelled in (key, f"+{key}", f"-{key}", key.replace("-", "_")):
                    if spelled in fields:
                        said_so = f"-{option.name} without {spelled}"
                        yield edits.changed(option, fields.delete(spelled), said_so)


def _cpu(at: Situation, said: str) -> Iterator[Candidate]:
    if at.line.cpu and re.search(
        r"CPU|cpu|POWER|phys-bits|core|ecrementer|compat|[Cc]apab|cap-", said
    ):
        yield from cpus.models(at)
        yield from cpus.without_features(at)
        yield Candidate(action="without -cpu", edit=lambda line: knobs.drop(line, "cpu"))


def _memory(at: Situation) -> Iterator[Candidate]:
    yield Candidate(
        action=f"-m {memory.text(memory.total(at.stream))}",
        edit=lambda line: memory.with_total(line, at.stream),
    )
    yield Candidate(
        action="-m with slots= and maxmem=", edit=lambda line: memory.with_slots(line, at.stream)
    )
    yield Candidate(
        action="main memory without -numa and backends",
        edit=lambda line: memory.with_total(memory.plain(line), at.stream),
    )

    def whole(line: CommandLine) -> CommandLine:
        for option in list(line.all("m")):
            line = line.replace(option)
        return line.append("m", memory.text(memory.total(at.stream)))

    yield Candidate(action=f"-m {memory.text(memory.total(at.stream))} alone", edit=whole)


def _machine(at: Situation, said: str) -> Iterator[Candidate]:
    keys = [key for one in at.line.all("machine") for key, _ in one.fields.items()]
    keys = [key for key in keys if key not in {"type", "accel"}]
    keys.sort(key=lambda key: key not in said and key.removeprefix("cap-") not in said)
    for key in keys:
        yield edits.machine(key, None)


def _places(at: Situation, said: str) -> Iterator[Candidate]:
    """A place that is taken: the guest's own places for all that sits on PCI are not known yet."""
    if not re.search("slot|in use|already|conflict|Bus|bus", said):
        return

    def free(line: CommandLine) -> CommandLine:
        for option, _, _ in list(line.devices()):
            if "addr" in option.fields:
                line = line.replace(option, option.with_fields(option.fields.delete("addr")))
        return line

    yield Candidate(action="-device without addr=", edit=free)


def _options(at: Situation, said: str) -> Iterator[Candidate]:
    """Options that the message names, then any other that can be left out."""
    names = set(_NAMED.findall(said))
    rest: list[Option] = []
    for option in at.line.options:
        if option.name in {"machine", "m", "display", "nodefaults", "accel", "cpu", "smp"}:
            continue
        text = option.value or ""
        if any(one in text for one in names) or option.name in said:
            yield edits.removed(option, f"-{option.name} {text}".rstrip())
        else:
            rest.append(option)
    for option in rest:
        if option.name not in {"drive", "netdev", "chardev", "object", "blockdev"}:
            yield edits.removed(option, f"-{option.name} {option.value or ''}".rstrip())
