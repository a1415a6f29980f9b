"""The pseries machine's capabilities and interrupt controllers as a model, QEMU 4.0 to 11.1.

Judge a pair of command lines, without a program or a stream::

    from migratable.pseries import Model
    pair = Model().judge("4.1", ["-M", "pseries-4.1,ic-mode=xics", "-cpu", "POWER9"],
                         "10.0", ["-M", "pseries-4.1,ic-mode=xics", "-cpu", "power9_v2.0"])
    pair.verdict, pair.destination_stderr

Judge the capabilities of a stream whose ``spapr`` section was read already::

    destination = start("10.0", ["-M", "pseries-4.1", "-cpu", "POWER9"])
    lines, refused = compare({"spapr/cap/htm": 1}, destination)

:func:`compare` is ``spapr_caps_post_migration``: a capability that is not in the stream counts as
the *destination's* default, because the destination cannot know the source's.

Write and load streams: ``PseriesMachine(release="4.1", machine="pseries-4.1", cpu="POWER9",
ic_mode="xics").save()`` writes what real QEMU can load, ``.load(stream)`` judges a real stream.

The facts are data in ``facts/*.toml``; :func:`release` gives one release as a
:class:`~migratable.pseries.build.Build`, from which downstream builds and planned changes are made
(:mod:`migratable.pseries.downstream`, :mod:`migratable.pseries.whatif`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from migratable.errors import CommandLineError
from migratable.pseries.batch import Model, Pair, judge_lines
from migratable.pseries.build import Build, release, releases
from migratable.pseries.load import Loaded, compare_levels
from migratable.pseries.machine import PseriesMachine
from migratable.pseries.start import Started, Starter
from migratable.pseries.values import NotModelledError

__all__ = [
    "Build",
    "Loaded",
    "Model",
    "Pair",
    "PseriesMachine",
    "Started",
    "compare",
    "judge_lines",
    "release",
    "releases",
    "start",
]


def start(build: str | Build, args: Sequence[str]) -> Started:
    """The machine that QEMU arguments describe (``Started.runs`` is False when QEMU ends).

    :param build: a release (``"10.0"``) or a build of one's own.
    :param args: QEMU's arguments without the program's name.
    :raise CommandLineError: When the release is not known, or an option is not part of the model.
    """
    made = release(build) if isinstance(build, str) else build
    try:
        return Starter(made).start(args)
    except NotModelledError as unknown:
        raise CommandLineError(str(unknown)) from None


def compare(
    levels_in_stream: Mapping[str, int], destination: Started
) -> tuple[list[tuple[str, str]], bool]:
    """(capability, line as QEMU prints it) for each difference, and whether it is refused.

    :param levels_in_stream: level by subsection name as the stream has them
        (``{"spapr/cap/hpt_maxpagesize": 16}``); names that are no capability are passed over.
    :param destination: a machine that runs, from :func:`start`.
    :raise CommandLineError: When the destination did not start.
    """
    if not destination.runs:
        raise CommandLineError("the destination does not start: " + "; ".join(destination.stderr))
    found = compare_levels(levels_in_stream, destination)
    names = [name for name, _ in found.differing]
    return list(zip(names, found.lines, strict=True)), bool(found.higher)
