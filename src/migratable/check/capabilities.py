"""pseries' capabilities of a stream against the destination's, for the two rules about them."""

from __future__ import annotations

import itertools
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from migratable.check.events import BodyLoaded
from migratable.check.problem import MessageRef, UnexaminedError
from migratable.errors import MigratableError
from migratable.profile.model import Profile

if TYPE_CHECKING:
    from migratable.pseries import Started

_LINE = re.compile(
    r"(?:warning: )?cap-(?P<name>\S+) (?P<kind>higher|lower) level \((?P<stream>\d+)\) in incoming "
    r"stream than on destination \((?P<local>\d+)\)"
)
_PREFIX = "spapr/cap/"
#: Machine options that decide capabilities.
_DECIDES = ("cap-", "ic-mode", "max-cpu-compat")


@dataclass(frozen=True, slots=True)
class Difference:
    """One capability whose level is not the destination's.

    :ivar wire: its subsection's name after ``spapr/cap/``.
    """

    name: str
    wire: str
    stream: int
    local: int
    higher: bool

    @property
    def words(self) -> MessageRef:
        """The line that QEMU prints."""
        kind = "capability-higher" if self.higher else "capability-lower"
        return (kind, {"capability": self.name, "stream": self.stream, "local": self.local})


def differences(event: BodyLoaded) -> list[Difference]:
    """Compare the loaded ``spapr`` body's capabilities with the destination's.

    :raise UnexaminedError: when the destination's capabilities cannot be worked out.
    """
    if event.body.vmsd.name != "spapr" or event.body.parent is not None:
        return []
    levels: dict[str, int] = {}
    for name, sub in event.body.subsections.items():
        if name.startswith(_PREFIX):
            value = next((v for v in sub.values.values() if isinstance(v, int)), None)
            if value is not None:
                levels[name] = value
    from migratable.pseries import compare  # noqa: PLC0415 -- pseries only

    try:
        found, _ = compare(levels, _started(event.profile))
    except MigratableError as error:
        raise UnexaminedError(f"the destination's machine capabilities: {error}") from None
    out: list[Difference] = []
    for name, line in found:
        matched = _LINE.match(line)
        if matched is None:
            raise UnexaminedError(f"capability {name}: {line}")
        out.append(
            Difference(
                name=matched["name"],
                wire=name.removeprefix(_PREFIX),
                stream=int(matched["stream"]),
                local=int(matched["local"]),
                higher=matched["kind"] == "higher",
            )
        )
    return out


_last: tuple[Profile, Started] | None = None


def _started(profile: Profile) -> Started:
    """The destination's machine as the model starts it; the last one is kept."""
    global _last  # noqa: PLW0603 -- one stream asks for the same one several times
    if _last is not None and _last[0] is profile:
        return _last[1]
    from migratable.pseries import start  # noqa: PLC0415 -- pseries only

    machine = [profile.machine]
    for option, value in itertools.pairwise(profile.command_line):
        if option.lstrip("-") in {"M", "machine"} and option.startswith("-"):
            machine += [
                word for word in value.split(",") if word.partition("=")[0].startswith(_DECIDES)
            ]
    args = ["-M", ",".join(machine), *(["-cpu", profile.cpu_model] if profile.cpu_model else [])]
    found = start(f"{profile.version.major}.{profile.version.minor}", args)
    _last = (profile, found)
    return found
