"""``migratable convert``: rewrite a stream for a destination that refuses it."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from migratable.cli import _options
from migratable.cli._status import Status

if TYPE_CHECKING:
    from migratable.commandline import CommandLine
    from migratable.convert.convert import Converted, Proof
    from migratable.convert.model import Plan
    from migratable.convert.situation import Destination
    from migratable.profile.model import Profile

_FILE = click.Path(path_type=Path, dir_okay=False)


@click.command(context_settings={"ignore_unknown_options": False})
@click.argument("source", type=click.Path(path_type=Path, dir_okay=False, exists=True))
@click.argument("command_line", metavar="[-- QEMU-COMMAND-LINE]", nargs=-1)
@click.option(
    "-o", "--output", "out", metavar="OUT", type=_FILE, required=True, help="The converted stream."
)
@_options.to
@_options.from_file
@_options.release
@_options.program
@click.option(
    "--planned",
    metavar="PLAN:POLICY",
    help="A pseries destination with a planned change (migratable whatif), judged by the model.",
)
@click.option(
    "--accept",
    metavar="ID",
    multiple=True,
    help="Make this lossy edit too; repeatable.",
)
@_options.file("--plan", "plan_file", help="Write the edits to this file.")
@_options.file(
    "--apply",
    "apply_file",
    exists=True,
    help="Make the edits of this plan; look for no others.",
)
@_options.file("--undo", "undo_file", exists=True, help="Revert the edits of this plan.")
@click.option(
    "--rehearse/--no-rehearse",
    "rehearses",
    default=True,
    help="Load the result into the real destination before it is kept.  [default: rehearse]",
)
@click.option(
    "--alive", is_flag=True, help="Load guest memory too, and check that the guest keeps running."
)
@_options.watch
@click.option("--force", is_flag=True, help="Overwrite OUT if it exists.")
@_options.timeout("Seconds for the destination to start and load.")
@_options.text_or_json
def command(
    source: Path,
    command_line: tuple[str, ...],
    out: Path,
    to: str | None,
    command_file: Any,
    release: str | None,
    program: str | None,
    planned: str | None,
    accept: tuple[str, ...],
    plan_file: Path | None,
    apply_file: Path | None,
    undo_file: Path | None,
    rehearses: bool,
    alive: bool,
    watch: float | None,
    force: bool,
    timeout: float,
    form: str,
) -> None:
    r"""Rewrite SOURCE for a destination that refuses it.

    convert finds the smallest set of edits of the device state, each with its reason: lossless
    (the destination assumes the same without the edit), equivalent (another form of the same
    state), or lossy (the guest may notice; only made with --accept ID). The real destination,
    paused and inert, loads the result before OUT gets its name. SOURCE is a file; it is not
    changed. OUT has the same container and the same guest memory. If SOURCE loads already, OUT is
    a copy.

    Exit status: 0 OUT is written, 1 no edit helps, or only a lossy one, 3 not known; 2 usage or
    failure of this tool. OUT is written only with status 0.

    \b
    migratable convert guest.save -o new.save --to host7
    migratable convert guest.mig -o new.mig -- qemu-system-x86_64 -M pc-q35-10.0 -m 4G …
    migratable convert guest.mig -o new.mig --plan edits.json --accept unknown-section:slirp --to h
    migratable convert new.mig -o old.mig --undo edits.json --to host5
    """
    given = _options.given_line(command_line, command_file)
    _usage(to, given, planned, program, apply_file, undo_file, alive=alive, watch=watch)
    if alive and not rehearses:
        raise click.UsageError("--alive is a rehearsal; leave --no-rehearse out")
    if planned is not None:
        rehearses = False
    proof = _proof(to, given, program, release, timeout, rehearses, alive, watch)
    with Status("converting", form) as progress:
        tell: Callable[[str], None] = progress or (lambda _: None)
        if planned is not None:
            from migratable.convert.planned import planned as modelled

            destination = modelled(planned, list(command_line))
        else:
            destination = _destination(source, to, given, release, timeout)
        done = _done(
            source, out, destination, apply_file or undo_file, undo_file, proof, accept, force, tell
        )
    if plan_file is not None and done.written:
        _write_plan(plan_file, done.plan, force=force)
    if form == "json":
        click.echo(json.dumps(done.to_json(out=str(out)), ensure_ascii=False))
    else:
        from migratable.report.convert_text import show

        show(done, source=str(source), out=str(out), destination=destination.name)
    sys.exit(done.exit_status)


def _usage(
    to: str | None,
    given: object,
    planned: str | None,
    program: str | None,
    apply_file: Path | None,
    undo_file: Path | None,
    *,
    alive: bool,
    watch: float | None,
) -> None:
    if (to is None) == (given is None):
        raise click.UsageError(
            "one destination is needed: --to NAME, or its command line after --, or --from FILE"
        )
    if planned is not None and to is not None:
        raise click.UsageError("--planned needs the machine's options after --, not --to")
    if program is not None and to is None:
        raise click.UsageError("--program needs --to")
    if apply_file is not None and undo_file is not None:
        raise click.UsageError("give --apply or --undo, not both")
    if watch is not None and not alive:
        raise click.UsageError("--watch needs --alive")


def _proof(
    to: str | None,
    given: list[str] | str | None,
    program: str | None,
    release: str | None,
    timeout: float,
    rehearses: bool,
    alive: bool,
    watch: float | None,
) -> Proof | None:
    if not rehearses:
        return None
    from migratable.convert.convert import Proof
    from migratable.rehearse import Destination

    line: CommandLine | list[str] | str
    if given is not None:
        line = given
    else:
        try:
            line = _options.for_profile(to or "", program, release)
        except click.UsageError as error:
            raise click.UsageError(
                f"{error.message}; the rehearsal needs it: run this on the destination's host, "
                "give --program or --release, or add --no-rehearse to rely on the prediction"
            ) from None
    destination = Destination(command_line=line, release=release, name=to or "")
    destination.program()  # nothing is searched for a destination that is not there
    return Proof(program=destination, timeout=timeout, watch=(watch or 20.0) if alive else None)


def _destination(
    source: Path,
    to: str | None,
    given: list[str] | str | None,
    release: str | None,
    timeout: float,
) -> Destination:
    from migratable.convert.destination import of_profile
    from migratable.profile.bundled import find
    from migratable.profile.collect import collect
    from migratable.stream import read

    if to is not None:
        return of_profile(find(to), name=to, others=_at_hand)
    assert given is not None
    profile = collect(
        given,
        release=release,
        ram_sizes={block.id: block.used_length for block in read(source).ram_blocks},
        timeout=timeout,
    )
    return of_profile(profile, others=_at_hand)


def _at_hand() -> Iterable[tuple[str, Profile]]:
    """Profiles whose own streams show what a just started machine sends."""
    from migratable.profile.bundled import find, names

    return ((name, find(name)) for name in names())


def _done(
    source: Path,
    out: Path,
    destination: Destination,
    plan_file: Path | None,
    undo_file: Path | None,
    proof: Proof | None,
    accept: tuple[str, ...],
    force: bool,
    progress: Callable[[str], None],
) -> Converted:
    from migratable.convert.convert import carry_out, convert

    if plan_file is None:
        return convert(
            source,
            out,
            destination,
            proof=proof,
            accept=accept,
            force=force,
            progress=progress,
        )
    from migratable.convert.model import Plan

    plan = Plan.load(plan_file)
    if undo_file is not None:
        plan = plan.inverse()
        accept = tuple(edit.id for edit in plan.edits)  # nothing is lost by taking them back
    return carry_out(
        plan,
        source,
        out,
        proof=proof,
        judge=destination.judge,
        accept=accept,
        force=force,
        progress=progress,
    )


def _write_plan(path: Path, plan: Plan, *, force: bool) -> None:
    from migratable.capture.output import write_private

    text = json.dumps(plan.to_json(), indent=1) + "\n"  # ASCII: names are any bytes
    write_private(path, text.encode("ascii"), replace=force)
