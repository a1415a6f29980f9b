"""``migratable caps``: capabilities of a pseries machine, and what they do to a migration."""

from __future__ import annotations

import json
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from migratable.printable import quoted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from migratable.pseries.batch import Model
    from migratable.pseries.build import Build
    from migratable.pseries.start import Started

_MACHINE_OPTIONS = (
    click.option("-M", "-machine", "machine", multiple=True, help="QEMU's -machine, repeatable."),
    click.option("-cpu", "cpu", help="QEMU's -cpu."),
    click.option("-m", "memory", help="QEMU's -m."),
    click.option("-smp", "smp", help="QEMU's -smp."),
)


def _machine_options(command: Any) -> Any:
    for option in reversed(_MACHINE_OPTIONS):
        command = option(command)
    return command


@click.group(invoke_without_command=True)
@click.option("--release", help="QEMU release, such as 7.2, or the name of a --build.")
@_machine_options
@click.option(
    "--build",
    "builds",
    multiple=True,
    type=click.Path(path_type=Path),
    help="File of a downstream build, repeatable.",
)
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text")
@click.option("--json", "as_json", is_flag=True, help="The same as --format json.")
@click.pass_context
def command(
    ctx: click.Context,
    release: str | None,
    machine: tuple[str, ...],
    cpu: str | None,
    memory: str | None,
    smp: str | None,
    builds: tuple[Path, ...],
    form: str,
    as_json: bool,
) -> None:
    """Show the capabilities of a pseries machine: default, effective, sent, and why.

    Example: migratable caps --release 7.2 -M pseries-5.2,ic-mode=xics,cap-htm=off -cpu POWER9
    """
    if ctx.invoked_subcommand is not None:
        return
    if release is None:
        raise click.UsageError("--release is needed: --release 7.2", ctx)
    from migratable.errors import CommandLineError
    from migratable.pseries.values import NotModelledError

    model = _model(builds)
    starter = model.starter(release)
    try:
        started = starter.start(_arguments(machine, cpu, memory, smp))
    except NotModelledError as unknown:
        raise CommandLineError(str(unknown)) from None
    answer = _describe(starter.build, started)
    if as_json or form == "json":
        click.echo(json.dumps(answer, indent=2))
    else:
        _show(answer)
    if not started.runs:
        ctx.exit(1)


def _model(builds: Sequence[Path]) -> Model:
    from migratable.pseries.batch import Model

    if not builds:
        return Model()
    from migratable.pseries.downstream import read

    return Model(read(path) for path in builds)


def _arguments(
    machine: Sequence[str], cpu: str | None, memory: str | None, smp: str | None
) -> list[str]:
    args = [word for text in machine for word in ("-M", text)]
    for option, value in (("-cpu", cpu), ("-m", memory), ("-smp", smp)):
        if value is not None:
            args += [option, value]
    return args


def _describe(build: Build, started: Started) -> dict[str, Any]:
    from migratable.pseries.start import default_reason

    answer: dict[str, Any] = {
        "schema": "migratable.caps/1",
        "release": build.name,
        "origin": build.origin,
        "starts": started.runs,
        "stderr": list(started.stderr),
    }
    if not started.runs:
        return answer
    machine, cpu = started.machine, started.cpu
    assert machine is not None
    assert cpu is not None
    answer |= {
        "machine": machine.name,
        "cpu": cpu.name,
        "max_cpu_compat": None if started.limit is None else started.limit.name,
        "ic_mode": started.ic_mode,
    }
    sent = dict(started.sent)
    rows = []
    for place, cap in enumerate(build.capabilities):
        level, default = started.levels[place], started.defaults[place]
        given = place in started.given
        why = default_reason(build, place, machine, cpu, started.limit).why
        rows.append(
            {
                "index": cap.index,
                "name": cap.name,
                "property": cap.property_name,
                "subsection": cap.subsection or None,
                "default": default,
                "default_value": cap.value_name(default),
                "effective": level,
                "effective_value": cap.value_name(level),
                "given": given,
                "sent": sent.get(cap.subsection),
                "why_default": why,
                "why_sent": _why_sent(cap.subsection in sent, given, level == default, cap),
            }
        )
    answer["capabilities"] = rows
    return answer


def _why_sent(sent: bool, given: bool, at_default: bool, cap: Any) -> str:
    from migratable.pseries.capability import sent_unless_pre_4_1, sent_when_changed

    if not cap.subsection:
        return "this release has no subsection for it"
    if cap.sent is sent_unless_pre_4_1:
        return "its hook alone decides: always from pseries-4.1 on, never before"
    if cap.sent is not sent_when_changed:
        return f"a rule of its own: {cap.sent.__name__}"
    if sent:
        return "given, and not the default"
    if not given:
        return "not given on the command line"
    return "given, but equal to the default" if at_default else "not sent"


def _show(answer: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(highlight=False)
    for line in answer["stderr"]:
        click.echo(f"qemu-system-ppc64: {line}", err=True)
    verified = "" if answer["origin"] != "interpolated" else "  (interpolated, not verified)"
    if not answer["starts"]:
        console.print(f"QEMU {answer['release']}{verified} does not start this machine.")
        return
    limit = f", max-cpu-compat={answer['max_cpu_compat']}" if answer["max_cpu_compat"] else ""
    console.print(
        f"QEMU {answer['release']}{verified}  {answer['machine']}  {answer['cpu']}{limit}  "
        f"ic-mode={answer['ic_mode']}",
        style="bold",
    )
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("capability", "default", "effective", "sent", "why"):
        table.add_column(name, no_wrap=name != "why", overflow="fold")
    usual = f"class of {answer['machine']}"
    for row in answer["capabilities"]:
        changed = row["effective"] != row["default"]
        table.add_row(
            row["property"],
            row["default_value"],
            Text(row["effective_value"], style="yellow" if changed else ""),
            "-" if row["sent"] is None else str(row["sent"]),
            f"{row['why_default']}; {row['why_sent']}".replace(usual, "machine type").replace(
                " on the command line", ""
            ),
        )
    console.print(table)


@command.command()
@click.option("--from", "source", help="Source: '4.1 -M pseries-4.1 -cpu POWER9'.")
@click.option("--to", "destination", help="Destination, in the same form.")
@click.option(
    "--batch", type=click.File("r", encoding="utf-8"), help="File of pairs, one JSON object a line."
)
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text")
@click.option("--json", "as_json", is_flag=True, help="The same as --format json.")
@click.option(
    "--build",
    "builds",
    multiple=True,
    type=click.Path(path_type=Path),
    help="File of a downstream build, repeatable.",
)
@click.pass_context
def compare(
    ctx: click.Context,
    source: str | None,
    destination: str | None,
    batch: Any,
    form: str,
    as_json: bool,
    builds: tuple[Path, ...],
) -> None:
    """Judge a pair of command lines without QEMU and without a stream.

    A side is a release (or the name of a --build) and QEMU's arguments.
    """
    model = _model(builds)
    if batch is not None:
        from migratable.errors import PlanError
        from migratable.pseries.batch import judge_lines

        dumps = json.JSONEncoder(ensure_ascii=False).encode
        try:
            for answer in judge_lines(batch, model, name=batch.name):
                sys.stdout.write(dumps(answer) + "\n")
        except UnicodeDecodeError as error:
            raise PlanError(f"{batch.name}: not UTF-8: {error.reason}") from None
        return
    if source is None or destination is None:
        raise click.UsageError("give --from and --to, or --batch FILE", ctx)
    from migratable.pseries.verdict import judge

    verdict = judge(model, _side(source), _side(destination))
    if as_json or form == "json":
        click.echo(json.dumps(verdict.to_json(), indent=2))
    else:
        _show_verdict(verdict)
    ctx.exit(verdict.outcome.exit_status)


def _side(text: str) -> tuple[str, list[str]]:
    from migratable.errors import CommandLineError

    try:
        words = shlex.split(text)
    except ValueError as error:
        raise CommandLineError(f"{quoted(text)}: {error}") from None
    if not words or words[0].startswith("-"):
        raise CommandLineError(
            f"{quoted(text)}: begin with a release: '4.1 -M pseries-4.1 -cpu POWER9'"
        )
    return words[0], words[1:]


def _show_verdict(found: Any) -> None:
    for side in ("source", "destination"):
        facts = getattr(found, side)
        click.echo(f"{side:<12}QEMU {facts['release']} {shlex.join(facts['args'])}")
    click.echo("")
    words = {
        "loads": "LOADS       the destination will load this guest",
        "refused": "REFUSED     the destination will not load this guest",
        "unknown": "UNKNOWN     no prediction possible with this model",
    }
    click.echo(words[str(found.outcome)])
    for finding in found.findings:
        click.echo(f"\n  {finding.rule}: {finding.summary}")
        if finding.explanation:
            click.echo(f"    {finding.explanation}")
        for hint in finding.hints:
            tried = "tried" if hint.verified else "clears this cause; others remain"
            click.echo(f"    Fix ({tried})  {hint.command}   {hint.side} only")
    if found.stderr:
        click.echo("\n  QEMU prints")
        for line in found.stderr:
            click.echo(f"    {line}")
    for text in found.unchecked:
        click.echo(f"\n  Not examined: {text}" if text == found.unchecked[0] else f"    {text}")


@command.command(short_help="Write the stream that the model would send.")
@click.option("--release", required=True, help="QEMU release or the name of a --build.")
@_machine_options
@click.option(
    "--build",
    "builds",
    multiple=True,
    type=click.Path(path_type=Path),
    help="File of a downstream build, repeatable.",
)
@click.option(
    "-o", "--output", required=True, type=click.Path(path_type=Path), help="File to write."
)
def save(
    release: str,
    machine: tuple[str, ...],
    cpu: str | None,
    memory: str | None,
    smp: str | None,
    builds: tuple[Path, ...],
    output: Path,
) -> None:
    """Write the stream that the model would send: real QEMU can load it."""
    from migratable.errors import CommandLineError
    from migratable.pseries.values import NotModelledError
    from migratable.pseries.wire import save as write

    starter = _model(builds).starter(release)
    try:
        started = starter.start(_arguments(machine, cpu, memory, smp))
    except NotModelledError as unknown:
        raise CommandLineError(str(unknown)) from None
    data = write(started)
    try:
        output.write_bytes(data)
    except OSError as error:
        raise CommandLineError(f"cannot write {output}: {error.strerror}") from None
    sent = ", ".join(f"{name}={level}" for name, level in started.sent) or "no capability"
    click.echo(f"{output}: {len(data)} bytes, {sent}", err=True)
