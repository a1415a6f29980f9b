"""Describe how a remedy's machine differs from the guest's; only none means "no restart"."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from migratable.check import way_back, x86_features
from migratable.check.baseline import Baseline
from migratable.commandline import CommandLine
from migratable.facts import pci
from migratable.hints import devices, line_edits
from migratable.hints.candidate import Situation
from migratable.hints.guest import Guest
from migratable.profile.model import Profile
from migratable.stream import Stream, read
from migratable.stream.virtio import pci_capabilities
from migratable.units import some
from migratable.verdict import Severity

if TYPE_CHECKING:
    from migratable.hints.search import Search
    from migratable.hints.solution import Solution

_MOST = 4
_MORE = "the destination then has {}, which the stream lacks"
_BY_IDENTITY = frozenset({"ppc64", "ppc", "aarch64", "arm"})
"""Targets whose stream holds the processor's identity, so that another one is refused."""
_PROCESSOR = (
    "another processor than the command line's: the stream shows few of its features, so the "
    "guest may lose some"
)
_SEEN_BY_GUESTS = frozenset({"device", "machine", "global"})


def of_solution(search: Search, base: Situation, solution: Solution) -> str:
    """What the guest would find otherwise, several things joined by ``; ``; empty: nothing known.

    :param base: the command line that was refused, before the remedy.
    """
    seen = search.known(solution.line)
    profile = None if seen is None else seen.profile
    found = [
        *_more(search, solution.line),
        *_less(base, solution.line),
        *_left_out(base, solution.line),
        *_processor(search, base, solution.line, profile),
        *_memory(base.line, solution.line),
        *_capabilities(base, profile),
        *(() if seen is None else _dangers(base, seen)),
    ]
    return "; ".join(dict.fromkeys(found))


def of_profile(stream: Stream, old: Profile, new: Profile) -> str:
    """The same of a profile in another's place, whose command lines are data only."""
    found: list[str] = []
    if new.loader is not None:
        more = way_back.more_than(Baseline(new, new.loader), stream.sections)
        if more:
            found.append(_MORE.format(way_back.names(more)) + ": there is no way back")
    if new.target not in _BY_IDENTITY and old.cpu_model != new.cpu_model:
        found.append(_PROCESSOR)
    return "; ".join(found)


def _more(search: Search, line: CommandLine) -> Iterator[str]:
    more = search.more(line)
    if more:
        back = ": there is no way back" if search.origin is None else ""  # else it is tried
        yield _MORE.format(way_back.names(more)) + back


def _less(base: Situation, line: CommandLine) -> Iterator[str]:
    """Devices taken out of which a stream says nothing: the guest may have them."""
    if not _drivers(base.line) - _drivers(line):
        return
    aliases = base.parts.aliases
    taken = _drivers(base.line, aliases) - _drivers(line, aliases)
    gone = [one for one in taken if _silent(base, one)]
    if gone:
        yield (
            f"the destination then lacks {some(gone, _MOST)}, which is not visible in a stream; "
            "the guest may lose it"
        )


def _drivers(line: CommandLine, aliases: Mapping[str, str] | None = None) -> Counter[str]:
    return Counter((aliases or {}).get(name, name) for _, name, _ in line.devices())


def _silent(base: Situation, driver: str) -> bool:
    """Does a device leave no trace in a stream?"""
    if driver.startswith(("virtio-", "vhost-")) or driver in base.parts.displays:
        return False
    if driver.endswith(("-cpu", "-cpu-core", "-dimm", "nvdimm")):  # sections, or RAM blocks
        return False
    return driver not in base.parts.sections


def _left_out(base: Situation, line: CommandLine) -> Iterator[str]:
    """Properties without which a program starts that refused them."""
    if base.profile is not None:
        return  # it started: what was dropped is what the stream refuses
    gone = [
        f"{which.partition('#')[0] or '-' + option} {key}".strip()
        if option != "global"
        else f"{which}.{key}"
        for option, which, key in sorted(line_edits.gone(base.line, line))
        if option in _SEEN_BY_GUESTS and key not in devices.STRUCTURE
    ]
    if gone:
        yield f"without {some(gone, _MOST)} the guest may find another machine than it has"


def _processor(
    search: Search, base: Situation, line: CommandLine, profile: Profile | None
) -> Iterator[str]:
    """Another ``-cpu``: features of the source's processor, else of the command line's, that go."""
    if profile is not None and profile.target in _BY_IDENTITY:
        return
    if _cpu(base.line) == _cpu(line):
        return
    known = search.origin or base.profile
    if known is None or profile is None or not known.cpu_features or not profile.cpu_features:
        yield _PROCESSOR
        return
    if known.cpu_model != profile.cpu_model:
        yield f"the processor is then {profile.cpu_model}, not {known.cpu_model}"
    lost = x86_features.features(known.cpu_features) - x86_features.features(profile.cpu_features)
    if lost:
        has = "which the guest has" if search.origin is not None else "which the guest may have"
        yield f"the processor then lacks {some(sorted(lost), _MOST)}, {has}"


def _cpu(line: CommandLine) -> list[dict[str, str]]:
    return [dict(option.fields.items()) for option in line.all("cpu")]


def _memory(old: CommandLine, new: CommandLine) -> Iterator[str]:
    most = new.get("m", "maxmem")
    if most is not None and old.get("m", "maxmem") is None:
        yield f"maxmem={most} is a guess: the stream does not contain the source's value"


def _capabilities(base: Situation, profile: Profile | None) -> Iterator[str]:
    """PCI capabilities that the guest sees in its copy and the destination's device has no more."""
    after = _configs(profile)
    before = _configs(base.profile)
    for path, device in base.guest.pci.items():
        config = after.get(path, b"")
        if len(device.config) < 0x100 or len(config) != len(device.config):
            continue
        lacks = _listed(device.config) - _listed(config)
        had = before.get(path, b"")
        if len(had) == len(config):
            lacks &= _listed(had)  # only what the remedy takes
        for where, number in sorted(lacks):
            known = (pci.EXTENDED if where >= pci.EXTENDED_FROM else pci.CAPABILITIES).get(number)
            name = f"{number:#x}" if known is None else known.name
            yield f"{path} then lacks the capability {name}, which the guest sees"


def _dangers(base: Situation, seen: Situation) -> Iterator[str]:
    """What QEMU loads and the guest may not survive, with the remedy only."""
    known = {(finding.rule, finding.device) for finding in base.verdict.findings}
    for finding in seen.verdict.findings:
        if finding.severity is Severity.ENDANGERS and (finding.rule, finding.device) not in known:
            yield f"the guest may break afterwards ({finding.rule}): {finding.summary}"


def _configs(profile: Profile | None) -> dict[str, bytes]:
    if profile is None or not profile.stream:
        return {}
    return {path: device.config for path, device in Guest.of(read(profile.stream)).pci.items()}


def _listed(config: bytes) -> set[tuple[int, int]]:
    """Capabilities of a configuration space: offset and number."""
    found = {(at, kind) for kind, at in pci_capabilities(config)}
    if len(config) > pci.EXTENDED_FROM:
        found |= {(at, kind) for kind, at in pci.extended_capabilities(config)}
    return found
