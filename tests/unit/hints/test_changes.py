"""How a remedy changes the machine, by recorded destinations and made-up command lines."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import pytest

from migratable.check import check
from migratable.commandline import CommandLine, parse
from migratable.hints import changes
from migratable.hints.candidate import Candidate, Situation
from migratable.hints.changes import of_profile, of_solution
from migratable.hints.guest import Guest
from migratable.hints.inventory import Parts
from migratable.hints.search import Search
from migratable.hints.solution import Solution, Step
from migratable.profile.model import Profile
from migratable.stream import Stream, read
from migratable.verdict import Basis, Finding, Outcome, Severity, Verdict
from tests import recorded

OWN = Parts(
    buses={"e1000": "PCI", "edu": "PCI", "pvpanic": "ISA", "virtio-rng-pci": "PCI"},
    aliases={"old-edu": "edu"},
    sections={"e1000": "e1000"},
)
LINE = "qemu -machine pc-q35-10.0 -m 256M"
REFUSED = Verdict(outcome=Outcome.REFUSED, basis=Basis.PREDICTED)


class Known(Search):
    """A search that has seen one command line."""

    def seen(self, situation: Situation) -> None:
        self._known[tuple(situation.line.argv)] = situation


def situation(
    line: CommandLine, stream: Stream, profile: Profile | None, verdict: Verdict = REFUSED
) -> Situation:
    made = Situation(
        line=line, stream=stream, guest=Guest.of(stream), verdict=verdict, profile=profile
    )
    made.__dict__["parts"] = OWN
    return made


@cache
def own_verdict() -> Verdict:
    return check(recorded.source("q35-10.0"), recorded.profile("q35-10.0"))


def said(
    old: str,
    new: str,
    *,
    stream: Stream | None = None,
    profile: Profile | None = None,
    started: bool = True,
    origin: Profile | None = None,
    verdict: Verdict | None = None,
) -> str:
    """Of *new* in the place of *old*; both are described by *profile*."""
    if stream is None and profile is None:
        verdict = verdict or own_verdict()
    stream = stream or recorded.source("q35-10.0")
    profile = profile or recorded.profile("q35-10.0")
    before, after = parse(old), parse(new)
    search = Known(stream=stream, release=None, deadline=0.0, origin=origin)
    search.seen(situation(after, stream, profile, verdict or check(stream, profile)))
    base = situation(before, stream, profile if started else None)
    step = Step(
        Finding(rule="x", severity=Severity.REFUSES, summary=""), Candidate(action="x", edit=None)
    )
    return of_solution(search, base, Solution([step], after))


def without(name: str) -> Stream:
    stream = recorded.source("q35-10.0")
    kept = [one for one in stream.elements if getattr(one, "idstr", "") != name]
    return replace(stream, elements=tuple(kept))


def test_the_same_machine() -> None:
    assert said(LINE, f"{LINE} -device e1000") == ""


def test_a_section_more() -> None:
    text = "the destination then has hpet, which the stream lacks"
    assert said(LINE, LINE, stream=without("hpet")) == f"{text}: there is no way back"
    empty = replace(recorded.profile("pseries-10.0"), stream=b"")  # knows nothing of it
    assert said(LINE, LINE, stream=without("hpet"), origin=empty) == text
    own = recorded.profile("q35-10.0")
    assert said(LINE, LINE, stream=without("hpet"), origin=own) == ""


@pytest.mark.parametrize("driver", ["edu", "old-edu", "pvpanic", "not-known"])
def test_a_device_less_that_leaves_no_trace(driver: str) -> None:
    name = "edu" if driver == "old-edu" else driver
    text = f"the destination then lacks {name}, which is not visible in a stream"
    assert said(f"{LINE} -device {driver}", LINE).startswith(text)


@pytest.mark.parametrize("driver", ["e1000", "virtio-rng-pci", "pc-dimm", "qemu64-x86_64-cpu"])
def test_a_device_less_that_the_stream_would_show(driver: str) -> None:
    assert said(f"{LINE} -device {driver}", LINE) == ""


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("-device e1000,id=n,x-new=on", "-device e1000,id=n", "without n x-new the guest"),
        ("-machine smm=off", "", "without -machine smm the guest"),
        ("-global e1000.x-new=on", "", "without e1000.x-new the guest"),
        ("-device e1000,id=n,addr=3", "-device e1000,id=n", ""),
        ("-no-hpet", "-machine hpet=off", ""),
    ],
)
def test_what_a_program_that_does_not_start_is_given_no_more(
    old: str, new: str, words: str
) -> None:
    found = said(f"{LINE} {old}", f"{LINE} {new}".strip(), started=False)
    assert found.startswith(words)
    assert bool(found) is bool(words)
    # where it started, what was dropped is what the stream refused
    assert said(f"{LINE} {old}", f"{LINE} {new}".strip()) == ""


def test_another_processor() -> None:
    text = "another processor than the command line's"
    pair = f"{LINE} -cpu Haswell,+avx", f"{LINE} -cpu Haswell"
    assert said(*pair, started=False).startswith(text)
    bare = replace(recorded.profile("q35-10.0"), cpu_features=())
    assert said(*pair, profile=bare).startswith(text)
    assert said(f"{LINE} -cpu Haswell", f"{LINE} -cpu Haswell -smp 2") == ""
    power = recorded.profile("pseries-10.0")  # its processor's identity is in the stream
    stream = recorded.source("pseries-10.0")
    assert said(f"{LINE} -cpu a", f"{LINE} -cpu b", stream=stream, profile=power) == ""


def word(bits: int) -> tuple[dict[str, object], ...]:
    """CPUID leaf 1, register ECX."""
    return ({"cpuid-input-eax": 1, "cpuid-register": "ECX", "features": bits},)


@pytest.mark.parametrize(
    ("source", "model", "words"),
    [
        (0b1, "qemu64", ""),
        (0b11, "qemu64", "the processor then lacks pclmulqdq, which the guest has"),
        (0b1, "EPYC", "the processor is then qemu64, not EPYC"),
    ],
)
def test_a_processor_beside_the_source_s(source: int, model: str, words: str) -> None:
    """pni is bit 0, pclmulqdq bit 1 (``target/i386/cpu.c: feature_word_info``)."""
    here = replace(recorded.profile("q35-10.0"), cpu_features=word(0b1), cpu_model="qemu64")
    there = replace(here, cpu_features=word(source), cpu_model=model)
    pair = f"{LINE} -cpu a,-pni", f"{LINE} -cpu a"
    assert said(*pair, profile=here, origin=there) == words
    assert said(*pair, profile=here) == ""  # it loses none of the command line's


def test_a_limit_of_memory_is_a_guess() -> None:
    assert said(LINE, LINE.replace("256M", "256M,slots=2,maxmem=1G")) == (
        "maxmem=1G is a guess: the stream does not contain the source's value"
    )
    assert said(f"{LINE},maxmem=1G", f"{LINE},maxmem=2G") == ""


def test_a_capability_less(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the remedy takes and the guest still sees in its copy of the configuration space."""
    profile = recorded.profile("q35-10.0")
    whole = Guest.of(read(profile.stream))
    path, device = next((p, d) for p, d in whole.pci.items() if d.capability(0x05) is not None)
    where = device.capability(0x05)
    assert where is not None
    bare = bytearray(device.config)
    bare[0x34] = 0
    after = replace(profile, command_line=("after",))

    def configs(one: Profile | None) -> dict[str, bytes]:
        return {path: bytes(bare) if one is after else device.config}

    monkeypatch.setattr(changes, "_configs", configs)
    stream = recorded.source("q35-10.0")
    search = Known(stream=stream, release=None, deadline=0.0)
    line = parse(LINE)
    search.seen(situation(line, stream, after, check(stream, profile)))
    base = situation(parse(f"{LINE} -device e1000"), stream, profile)
    found = of_solution(search, base, Solution([], line))
    assert f"{path} then lacks the capability MSI, which the guest sees" in found


def test_a_danger_that_the_remedy_brings() -> None:
    danger = Finding(
        rule="kvm-interrupts", severity=Severity.ENDANGERS, summary="its timer stands still"
    )
    loads = Verdict(outcome=Outcome.LOADS, basis=Basis.PREDICTED, findings=(danger,))
    assert said(LINE, f"{LINE} -S", verdict=loads) == (
        "the guest may break afterwards (kvm-interrupts): its timer stands still"
    )


def test_another_profile_in_the_place() -> None:
    profile = recorded.profile("q35-10.0")
    stream = without("hpet")
    assert of_profile(stream, profile, profile).startswith("the destination then has hpet")
    other = replace(profile, cpu_model="EPYC", loader=None)
    assert of_profile(stream, profile, other).startswith("another processor")
    assert of_profile(recorded.source("q35-10.0"), profile, profile) == ""
