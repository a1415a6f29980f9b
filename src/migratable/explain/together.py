"""Logs of both sides as one story: failures of several logs that are the same attempt.

The source's log says that the connection broke, the destination's says why; or the other way
round. Two failures of different logs are one when they lie within :data:`NEAR_SECONDS` of each
other (clocks of hosts differ, managers retry later), or, without times, when neither log holds
another failure. A guest's name that differs keeps them apart.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from migratable.explain import crashes
from migratable.explain.failures import Scan
from migratable.explain.grouping import MAX_LINES, Failure, Line
from migratable.explain.logs import seconds
from migratable.messages.catalogue import Fault

NEAR_SECONDS = 120.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Log:
    """A log and what a pass over it found.

    :ivar name: as the user gave it.
    """

    name: str
    scan: Scan


def joined(logs: Sequence[Log]) -> Scan:
    """Everything that several logs hold, the same attempt's failures put together."""
    if len(logs) == 1:
        return logs[0].scan
    total = Scan()
    left: list[list[Failure]] = []
    for log in logs:
        total.lines += log.scan.lines
        total.bytes += log.scan.bytes
        total.suspicious += [replace(line, log=log.name) for line in log.scan.suspicious]
        total.weak += [replace(line, log=log.name) for line in log.scan.weak]
        left.append([_named(failure, log.name) for failure in log.scan.failures])
    alone = all(len(failures) <= 1 for failures in left)
    for number, failures in enumerate(left):
        for failure in failures:
            story = [failure]
            for others in left[number + 1 :]:
                near = [(_distance(failure, other, alone), other) for other in others]
                fitting = [(far, other) for far, other in near if far is not None]
                if fitting:
                    other = min(fitting, key=lambda item: item[0])[1]
                    others.remove(other)
                    story.append(other)
            total.failures.append(_merged(story))
    return total


def _named(failure: Failure, name: str) -> Failure:
    return replace(
        failure,
        lines=[replace(line, log=name) for line in failure.lines],
        unrecognised=[replace(line, log=name) for line in failure.unrecognised],
        programs=[(name, failure.qemu_version, failure.machine)],
    )


def _span(failure: Failure) -> tuple[float, float, bool] | None:
    """The first and last moment of a failure, and whether they name their zone."""
    lines = [*failure.lines, *failure.unrecognised]
    found = [moment for line in lines if (moment := seconds(line.time)) is not None]
    if not found or len({aware for _, aware in found}) > 1:
        return None
    return min(found)[0], max(found)[0], found[0][1]


def _distance(one: Failure, other: Failure, alone: bool) -> float | None:
    """Seconds between two failures of different logs, None when they are not one attempt."""
    if one.guest and other.guest and one.guest != other.guest:
        return None
    first, second = _span(one), _span(other)
    if first is None or second is None or first[2] != second[2]:
        return 0.0 if alone else None
    apart = max(0.0, first[0] - second[1], second[0] - first[1])
    return apart if apart <= NEAR_SECONDS else None


def _merged(story: list[Failure]) -> Failure:
    if len(story) == 1:
        return story[0]
    return replace(
        story[0],
        lines=_in_time([line for failure in story for line in failure.lines])[: 2 * MAX_LINES],
        unrecognised=_in_time([line for failure in story for line in failure.unrecognised]),
        count=max(failure.count for failure in story),
        qemu_version=next((one.qemu_version for one in story if one.qemu_version), ""),
        machine=next((one.machine for one in story if one.machine), ""),
        command=next((one.command for one in reversed(story) if one.command), ""),
        around=b"\n".join(one.around for one in story),
        programs=[program for failure in story for program in failure.programs],
        sides=_sides(story),
    )


def _sides(story: list[Failure]) -> dict[str, Fault]:
    """The side of each log, by its own lines; of two logs the one tells the other."""
    found = {}
    for failure in story:
        side = crashes.side_of_log(failure)
        if side is not None:
            found[failure.programs[0][0]] = side
    names = [failure.programs[0][0] for failure in story]
    if len(names) == 2 and len(found) == 1:
        (known,) = found
        other = names[1 - names.index(known)]
        found[other] = Fault.SOURCE if found[known] is Fault.DESTINATION else Fault.DESTINATION
    return found if len(set(found.values())) == len(found) else {}


def _in_time(lines: list[Line]) -> list[Line]:
    """Lines by their time; one without a time stays behind the line before it."""
    moments: list[tuple[float, int, Line]] = []
    now = 0.0
    zones = {moment[1] for line in lines if (moment := seconds(line.time)) is not None}
    if len(zones) > 1:
        return lines
    for number, line in enumerate(lines):
        moment = seconds(line.time)
        now = moment[0] if moment is not None else now
        moments.append((now, number, line))
    return [line for _, _, line in sorted(moments, key=lambda item: item[:2])]
