"""CPU models for the destination, from the stream's facts about the guest's processor."""

from __future__ import annotations

from collections.abc import Iterator

from migratable.commandline import CommandLine
from migratable.errors import CommandLineError, StreamError
from migratable.facts.ppc import SPR_PVR
from migratable.hints import boards
from migratable.hints.candidate import Candidate, Situation
from migratable.problem_facts import PvrFacts
from migratable.stream.fields import decode


def pvr(situation: Situation) -> int | None:
    """Processor version register of the guest's first CPU."""
    for (
        finding
    ) in situation.verdict.findings:  # the loader has read it by the destination's own tables
        if isinstance(finding.facts, PvrFacts):
            return finding.facts.pvr
    section = situation.guest.sections.get(("cpu", 0))
    if section is None or not situation.pseries:
        return None
    try:
        registers = decode(section).value("env.spr")
    except StreamError as error:
        situation.doubts.add(f"remedies by the guest's processor: {error}")
        return None
    if isinstance(registers, tuple) and len(registers) > SPR_PVR:
        return int(registers[SPR_PVR]) & 0xFFFFFFFF
    return None


def compat(situation: Situation) -> int | None:
    """Logical PVR of the guest's compatibility mode, None without."""
    section = situation.guest.sections.get(("cpu", 0))
    if section is None:
        return None
    try:
        sub = decode(section).subsection("cpu/compat")
    except StreamError as error:
        situation.doubts.add(f"remedies by the guest's compatibility mode: {error}")
        return None
    value = None if sub is None else sub.value("compat_pvr")
    return value if isinstance(value, int) and value else None


def models(situation: Situation) -> Iterator[Candidate]:
    """``-cpu`` with the very processor of the guest, then its family's others."""
    if not situation.pseries:
        yield from boards.processors(situation)
        return
    from migratable.pseries import release, releases  # noqa: PLC0415 -- pseries only

    wanted = pvr(situation)
    if wanted is None:
        return
    names = [
        f"{situation.program_release[0]}.{situation.program_release[1]}",
        *reversed(releases()),
    ]
    seen: set[str] = set()
    for name in names:
        try:
            build = release(name)
        except CommandLineError:
            continue
        exact = [model.name for model in build.models.values() if model.pvr == wanted]
        for model in exact:
            if model not in seen:
                seen.add(model)
                yield with_model(situation, model)
        if exact and name == names[0]:
            return


def with_model(situation: Situation, model: str) -> Candidate:
    """Another model, its features kept; ``-device MODEL-spapr-cpu-core`` go with it."""
    old = (situation.line.cpu or "").lower()

    def edit(line: CommandLine) -> CommandLine:
        line = line.with_cpu(model)
        for option, driver, _ in list(line.devices()):
            if driver.endswith("-spapr-cpu-core") and driver.lower().startswith(old or "power"):
                fields = option.fields.set("driver", f"{model}-spapr-cpu-core")
                line = line.replace(option, option.with_fields(fields))
        return line

    return Candidate(action=f"-cpu {model}", edit=edit)


def without_features(situation: Situation) -> Iterator[Candidate]:
    """``-cpu`` without each of its features; QEMU's own default."""
    for option in situation.line.all("cpu"):
        for key in [key for key, _ in option.fields.items() if key != "model"]:

            def edit(line: CommandLine, key: str = key) -> CommandLine:
                now = next(line.all("cpu"))
                return line.replace(now, now.with_fields(now.fields.delete(key)))

            yield Candidate(action=f"-cpu without {key}", edit=edit)


def families(situation: Situation) -> Iterator[Candidate]:
    """For a guest in a compatibility mode: newer families, which have the mode."""
    if compat(situation) is None or not situation.pseries:
        return
    for model in ("POWER8", "POWER9", "POWER10"):
        if (situation.line.cpu or "").lower() != model.lower():
            yield with_model(situation, model)
