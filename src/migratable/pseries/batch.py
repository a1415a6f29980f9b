"""Many pairs at once: one JSON object a line in, one a line out.

In: ``{"id", "source": {"release", "args": [QEMU arguments]}, "destination": {"release", "args"}}``.
Out: ``{"id", "verdict", "source_status": "completed"|"start-failed", "source_stderr",
"destination_status": "completed"|"failed"|"start-failed"|null, "destination_stderr"}``. What the
model does not know is ``"verdict": "unknown"`` with a ``"reason"``, and no status.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from migratable.errors import CommandLineError, PlanError
from migratable.pseries.build import Build, release
from migratable.pseries.load import Loaded, Loader
from migratable.pseries.start import Started, Starter
from migratable.pseries.values import NotModelledError


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """A source, and the answer of a destination; None if there was no stream.

    ``unknown`` is the reason when the model cannot judge.
    """

    source: Started | None = None
    destination: Started | None = None
    loaded: Loaded | None = None
    unknown: str = ""

    @property
    def verdict(self) -> str:
        """``loads``, ``refused`` or ``unknown``."""
        if self.unknown:
            return "unknown"
        return "loads" if self.loaded is not None and not self.loaded.refused else "refused"

    @property
    def source_status(self) -> str | None:
        """``completed`` or ``start-failed``."""
        if self.source is None:
            return None
        return "completed" if self.source.runs else "start-failed"

    @property
    def destination_status(self) -> str | None:
        """``completed``, ``failed``, ``start-failed``, or None when there was no stream."""
        if self.destination is None:
            return None
        if self.loaded is None:
            return "start-failed" if not self.destination.runs else None
        return "failed" if self.loaded.refused else "completed"

    @property
    def destination_stderr(self) -> tuple[str, ...]:
        """Every line that the destination prints, from its start on."""
        if self.destination is None:
            return ()
        return self.destination.stderr + (self.loaded.lines if self.loaded is not None else ())


_SHAPE = 'a pair is {"id", "source": {"release", "args"}, "destination": {"release", "args"}}'


class Model:
    """Judges pairs of command lines; caches intermediate results."""

    def __init__(self, builds: Iterable[Build] = ()) -> None:
        """*builds* are downstream builds, found by their own names before upstream releases."""
        self._named = {build.name: build for build in builds}
        self._starters: dict[str, Starter] = {}
        self._loader = Loader()

    def starter(self, name: str) -> Starter:
        """Starts machines of the build *name*.

        :raise CommandLineError: When no such build or release is known.
        """
        found = self._starters.get(name)
        if found is None:
            build = self._named.get(name) or release(name)
            found = self._starters[name] = Starter(build)
        return found

    def judge(
        self,
        source_release: str,
        source_args: Sequence[str],
        destination_release: str,
        destination_args: Sequence[str],
    ) -> Pair:
        """What happens when the source is migrated right after its start.

        :raise CommandLineError: When a release is not known or *args* are not QEMU arguments.
        """
        try:
            source = self.starter(source_release).start(source_args)
            if not source.runs:
                return Pair(source=source)
            destination = self.starter(destination_release).start(destination_args)
        except NotModelledError as unknown:
            return Pair(unknown=str(unknown))
        return self.migrate(source, destination)

    def migrate(self, source: Started, destination: Started) -> Pair:
        """The same for machines that were started already."""
        if not source.runs:
            return Pair(source=source)
        if not destination.runs:
            return Pair(source=source, destination=destination)
        loaded = self._loader.load(source, destination)
        return Pair(source=source, destination=destination, loaded=loaded)


def judge_lines(
    lines: Iterable[str], model: Model, *, name: str = "batch"
) -> Iterator[dict[str, Any]]:
    """Judge one pair per line; empty lines are skipped.

    :raise PlanError: When a line is not as the module says, with *name*, line number and remedy.
    """
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            yield judge_line(line, model)
        except json.JSONDecodeError as error:
            raise PlanError(f"{name}:{number}: no JSON object on this line: {error}") from None
        except (CommandLineError, PlanError) as error:
            raise PlanError(f"{name}:{number}: {error}") from None


def judge_line(line: str, model: Model) -> dict[str, Any]:
    """One line of a batch.

    :raise PlanError: When a member is missing or of the wrong type.
    :raise CommandLineError: When a release is not known.
    """
    pair = json.loads(line)
    try:
        source, destination = pair["source"], pair["destination"]
        sides = (source["release"], source["args"], destination["release"], destination["args"])
        name = pair["id"]
    except KeyError as error:
        raise PlanError(f"member {error} is missing: {_SHAPE}") from None
    except TypeError:
        raise PlanError(f"not a pair: {_SHAPE}") from None
    for text, args in ((sides[0], sides[1]), (sides[2], sides[3])):
        if type(text) is not str or type(args) is not list:
            raise PlanError("release must be a string and args a list of strings")
        for word in args:
            if type(word) is not str:
                raise PlanError("release must be a string and args a list of strings")
    judged = model.judge(*sides)
    return result(name, judged)


def result(name: object, judged: Pair) -> dict[str, Any]:
    """A judged pair as the batch's JSON has it."""
    source = judged.source
    answer: dict[str, Any] = {
        "id": name,
        "verdict": judged.verdict,
        "source_status": judged.source_status,
        "source_stderr": list(source.stderr) if source is not None else [],
        "destination_status": judged.destination_status,
        "destination_stderr": list(judged.destination_stderr),
    }
    if judged.unknown:
        answer["reason"] = judged.unknown
    return answer
