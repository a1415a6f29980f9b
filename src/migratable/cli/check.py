"""``migratable check``: will this VM load on that destination, and if not, why?"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from migratable.cli import _options, _way_back
from migratable.cli._status import Status

if TYPE_CHECKING:
    from migratable.capture.model import Source
    from migratable.commandline import CommandLine
    from migratable.profile.model import Profile
    from migratable.rehearse.way_back import Home
    from migratable.verdict import Verdict


@click.command(context_settings={"ignore_unknown_options": False})
@click.argument("source")
@click.argument("command_line", metavar="[-- QEMU-COMMAND-LINE]", nargs=-1)
@_options.to
@_options.from_file
@_options.release
@_options.program
@click.option(
    "--rehearse/--no-rehearse",
    "rehearses",
    default=None,
    help="Load the device state into the real destination too, and compare.  [default: where the "
    "program is given and is a build whose code is not known]",
)
@_way_back.options
@_options.hints
@click.option(
    "--hint-seconds",
    type=click.FloatRange(min=0.0),
    default=4.0,
    show_default=True,
    help="Seconds to search for remedies.",
)
@click.option(
    "--project",
    "project_file",
    metavar="FILE",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    help="Project file that lowers, raises or silences rules.  [default: migratable.toml in this "
    "folder or above]",
)
@click.option("--no-project", is_flag=True, help="Do not look for a project file.")
@_options.timeout("Seconds for the destination to start, and for each step.")
@_options.yes
@click.option(
    "--latent", is_flag=True, help="Show every latent difference, not only the first few."
)
@_options.text_or_json
def command(
    source: str,
    command_line: tuple[str, ...],
    to: str | None,
    command_file: Any,
    release: str | None,
    program: str | None,
    rehearses: bool | None,
    and_back: bool,
    back_to: str | None,
    hints: bool,
    hint_seconds: float,
    project_file: Path | None,
    no_project: bool,
    timeout: float,
    yes: bool,
    latent: bool,
    form: str,
) -> None:
    r"""Predict whether SOURCE loads on a destination, with every cause and QEMU's own lines.

    The destination is a profile (--to), or its QEMU command line. check starts that command line
    paused and inert: QEMU opens and changes nothing of the host, and listens nowhere.

    SOURCE is a stream file (raw, compressed, libvirt save image, qcow2 snapshot, mapped-ram), a
    profile, qmp:SOCKET or libvirt:DOMAIN.

    Exit status: 0 loads, 1 refused, 3 unknown; 2 usage or failure of this tool. With --and-back
    it covers both ways.

    \b
    migratable check guest.mig --to host7
    migratable check guest.mig --to host7 --and-back --back-to host3
    migratable check guest.mig -- qemu-system-ppc64 -M pseries-4.1 -cpu POWER9 -m 4G …
    migratable check captured.mig --release 10.0
    migratable check qmp:/run/guest.sock --from /var/log/libvirt/qemu/guest.log
    """
    given = _options.given_line(command_line, command_file)
    if (to is not None and given is not None) or (to is None and given is None and not release):
        raise click.UsageError(
            "one destination is needed: --to NAME, or its command line after --, or --from FILE; "
            "for a capture, which contains its VM's command line, --release X.Y is enough"
        )
    if program is not None and to is None:
        raise click.UsageError("--program needs --to")
    started: list[str] | str | CommandLine | None = given
    if rehearses and to is not None:
        started = _options.for_profile(to, program, release)
    from migratable.capture.source import open_source
    from migratable.cli._confirm import asker

    opened = open_source(source, confirm=asker(yes=yes))
    if to is None and given is None:
        given = started = _own_line(opened)
    home = _way_back.home_of(opened, back_to, asked=and_back, timeout=timeout)
    profile, verdict = _predict(opened, to, given, release, timeout)
    if rehearses is None and to is None and profile is not None and not _code_known(profile):
        verdict = _made_final(opened, started, release, timeout, verdict, profile)
    elif rehearses:
        verdict = _rehearsed(opened, started, release, timeout, verdict, profile)
    if home is not None:
        line = started if to is None else _startable(to, program, release)
        verdict = _way_back.with_way_back(
            verdict, opened, line, profile, home, release=release, timeout=timeout
        )
    if hints:
        verdict = _with_hints(
            verdict, opened, to, started, release, program, form, hint_seconds, home
        )
    verdict = _decided(verdict, None if no_project else project_file, look=not no_project)
    if form == "json":
        click.echo(json.dumps(verdict.to_json(), ensure_ascii=False))
    else:
        from migratable.report.check_text import show

        show(verdict, name=opened.name, to=to or "", latent=latent)
    sys.exit(_way_back.exit_status(verdict, home))


def _startable(to: str, program: str | None, release: str | None) -> CommandLine | None:
    """A profile's command line where its program is here."""
    try:
        return _options.for_profile(to, program, release)
    except click.UsageError:
        if program is not None or release is not None:
            raise
        return None


def _own_line(opened: Source) -> list[str]:
    """The source's own command line, for a destination that is started in the same way."""
    if opened.profile is None or not opened.profile.command_line:
        raise click.UsageError(
            f"{opened.name} does not contain its VM's command line; give the destination's after --"
        )
    return list(opened.profile.command_line)


def _predict(
    opened: Source,
    to: str | None,
    given: list[str] | str | None,
    release: str | None,
    timeout: float,
) -> tuple[Profile | None, Verdict]:
    from migratable.check import check, not_started

    facts = {**opened.facts, "name": opened.name}
    if to is not None:
        from migratable.profile.bundled import find

        profile = find(to)
    else:
        from migratable.errors import DestinationStartError
        from migratable.profile.collect import collect

        assert given is not None
        try:
            profile = collect(
                given,
                release=release,
                ram_sizes={block.id: block.used_length for block in opened.stream.ram_blocks},
                timeout=timeout,
            )
        except DestinationStartError as error:
            verdict = not_started(
                error.stderr,
                stream=opened.stream,
                source=facts,
                only_kvm=error.only_kvm,
                doubt=error.doubt,
            )
            return None, verdict
    return profile, check(opened.stream, profile, source=facts, origin=opened.profile)


def _rehearsed(
    opened: Source,
    given: list[str] | str | CommandLine | None,
    release: str | None,
    timeout: float,
    predicted: Verdict,
    profile: Profile | None,
) -> Verdict:
    """Prove the prediction; where they contradict each other the rehearsal is right."""
    from dataclasses import replace

    from migratable.rehearse.disagreement import both
    from migratable.unchecked import Code, code_of
    from migratable.verdict import Basis, Outcome

    assert given is not None
    rehearsed = both(
        opened.stream,
        given,
        predicted=predicted,
        release=release,
        profile=profile,
        timeout=timeout,
        source={**opened.facts, "name": opened.name},
    )
    if predicted.outcome is Outcome.UNKNOWN or rehearsed.disagreement:
        return rehearsed
    if rehearsed.outcome is Outcome.UNKNOWN:
        return predicted
    return replace(
        predicted,
        basis=Basis.REHEARSED,
        stderr=rehearsed.stderr,
        final=True,
        unchecked=tuple(text for text in predicted.unchecked if code_of(text) is not Code.BUILD),
    )


def _code_known(profile: Profile) -> bool:
    from migratable.facts.code import is_known

    tables = profile.loader
    return tables is not None and is_known(tables.build_id, tables.digests)


def _made_final(
    opened: Source,
    given: list[str] | str | CommandLine | None,
    release: str | None,
    timeout: float,
    predicted: Verdict,
    profile: Profile,
) -> Verdict:
    """Rehearse on a build whose code is not known; what stops the rehearsal is said."""
    from dataclasses import replace

    from migratable.errors import MigratableError
    from migratable.unchecked import Code, Unchecked

    try:
        return _rehearsed(opened, given, release, timeout, predicted, profile)
    except MigratableError as error:
        text = f"the rehearsal that makes it final: {error}"
        reason = Unchecked(text, Code.REHEARSAL)
        return replace(predicted, unchecked=(reason, *predicted.unchecked))


def _with_hints(
    verdict: Verdict,
    opened: Source,
    to: str | None,
    given: list[str] | str | CommandLine | None,
    release: str | None,
    program: str | None,
    form: str,
    seconds: float,
    home: Home | None,
) -> Verdict:
    from migratable.errors import CommandLineError
    from migratable.hints import NO_WAY_BACK, advised, tried
    from migratable.verdict import Outcome

    rules = {finding.rule for finding in verdict.findings}
    if verdict.outcome is not Outcome.REFUSED and NO_WAY_BACK not in rules:
        return verdict
    from migratable.profile.bundled import find

    found = verdict
    try:
        with Status("trying remedies", form) as progress:
            found = tried(
                verdict,
                opened.stream,
                given or _options.for_profile(to or "", program, release),
                release=release,
                budget_seconds=seconds,
                home=home,
                progress=progress,
            )
    except (CommandLineError, click.UsageError):
        if to is None:
            raise
    if verdict.outcome is not Outcome.REFUSED:
        return found
    if to is None or any(hint.verified for finding in found.findings for hint in finding.hints):
        return advised(found)
    from migratable.hints.offline import siblings
    from migratable.profile.bundled import names

    others = ((name, find(name)) for name in names() if name != to)
    return advised(siblings(found, opened.stream, find(to), others))


def _decided(verdict: Verdict, given: Path | None, *, look: bool) -> Verdict:
    from migratable.toml_file import find_project

    path = given or (find_project(Path.cwd()) if look else None)
    if path is None:
        return verdict
    import datetime

    from migratable.check import policy

    return policy.apply(verdict, policy.load(path), today=datetime.date.today())
