"""``--and-back``: the source as a destination, and what it says."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from migratable.cli import _complete, _options

if TYPE_CHECKING:
    from migratable.capture.model import Source
    from migratable.commandline import CommandLine
    from migratable.profile.model import Profile
    from migratable.rehearse.way_back import Home
    from migratable.stream import Stream
    from migratable.verdict import Verdict

Function = TypeVar("Function", bound=Callable[..., Any])


def options(function: Function) -> Function:
    """``--and-back`` and ``--back-to``."""
    to = click.option(
        "--back-to",
        metavar="NAME",
        shell_complete=_complete.profiles,
        help="The source for --and-back: a profile, or a file with its command line.  [default: "
        "the VM that SOURCE describes]",
    )
    asked = click.option(
        "--and-back",
        is_flag=True,
        help="Check the way back too: would the source load the destination's stream?",
    )
    return asked(to(function))


def home_of(opened: Source, back_to: str | None, *, asked: bool, timeout: float) -> Home | None:
    """The source, None when nobody asks for the way back.

    :raise click.UsageError: when it is not known.
    :raise MigratableError: when it cannot be read or started.
    """
    if not asked and back_to is None:
        return None
    from migratable.rehearse.way_back import Home

    sizes = {block.id: block.used_length for block in opened.stream.ram_blocks}
    if back_to is not None and Path(back_to).is_file() and not _is_profile(Path(back_to)):
        with Path(back_to).open(encoding="utf-8", errors="replace") as file:
            line = _options.given_line((), file)
        return Home.started(line or "", ram_sizes=sizes, timeout=timeout)
    if back_to is not None:
        from migratable.profile.bundled import find

        profile = find(back_to)
    elif opened.profile is not None:
        profile = opened.profile
    else:
        raise click.UsageError(
            f"--and-back: {opened.name} does not say how its VM was started; name the source: "
            "--back-to NAME, a profile of it, or a file with its command line"
        )
    return Home.of(profile, ram_sizes=sizes, timeout=timeout)


def _is_profile(path: Path) -> bool:
    with path.open("rb") as file:
        return path.suffix in {".json", ".gz"} or file.read(1) == b"{"


def with_way_back(
    verdict: Verdict,
    opened: Source,
    line: CommandLine | list[str] | str | None,
    destination: Profile | None,
    home: Home,
    *,
    release: str | None,
    timeout: float,
) -> Verdict:
    """Say whether the guest comes back.

    :param line: the destination's, with a program that may be started; None: only its profile is
        here.
    """
    from migratable.errors import MigratableError
    from migratable.rehearse import way_back
    from migratable.verdict import Outcome
    from migratable.verdict import Verdict as Found

    if verdict.outcome is Outcome.REFUSED:
        return replace(verdict, no_back="the destination does not load the guest")
    try:
        if line is not None:
            seen, again = way_back.there(opened.stream, line, release=release, timeout=timeout)
            if seen.outcome is Outcome.LOADS:
                found = way_back.back(again, home, timeout=timeout)
            else:
                why = seen.first_refusal.message if seen.first_refusal else seen.unchecked[0]
                found = f"the rehearsal on the destination does not load the guest: {why}"
        elif destination is not None:
            found = way_back.guessed(opened.stream, destination, home)
        else:
            found = "the destination does not start"
    except MigratableError as error:
        found = str(error)
    if isinstance(found, Found):
        return replace(verdict, back=found)
    return replace(verdict, no_back=found)


def predicted(stream: Stream, line: CommandLine, release: str | None, timeout: float) -> Verdict:
    """What check says of a destination that can be started.

    :raise MigratableError: when it cannot be described.
    """
    from migratable.check import check, not_started
    from migratable.errors import DestinationStartError
    from migratable.profile.collect import collect

    sizes = {block.id: block.used_length for block in stream.ram_blocks}
    try:
        profile = collect(line, release=release, ram_sizes=sizes, timeout=timeout)
    except DestinationStartError as error:
        return not_started(error.stderr, stream=stream)
    return check(stream, profile)


def exit_status(verdict: Verdict, home: Home | None) -> int:
    """Of both ways where both were asked: refused is 1, unknown is 3."""
    from migratable.verdict import Outcome

    status = verdict.outcome.exit_status
    if home is None or status:
        return status
    return (Outcome.UNKNOWN if verdict.back is None else verdict.back.outcome).exit_status
