"""``migratable relay``: relays a live migration, and aborts one that would be refused."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from migratable.cli import _complete, _options

if TYPE_CHECKING:
    from migratable.convert.model import Plan
    from migratable.profile.model import Profile
    from migratable.relay.result import Result
    from migratable.relay.session import Progress

_PRIORITY = -10
_SOURCE = "the source"


@click.command()
@click.argument("command_line", metavar="[-- QEMU-COMMAND-LINE]", nargs=-1)
@click.option(
    "--listen",
    required=True,
    metavar="ADDRESS",
    help="Address for the source's migrate: tcp:HOST:PORT or unix:PATH; port 0 takes a free one.",
)
@click.option(
    "--to",
    required=True,
    metavar="ADDRESS",
    help="Where the destination's -incoming listens: tcp:HOST:PORT or unix:PATH.",
)
@click.option(
    "--profile",
    metavar="NAME",
    shell_complete=_complete.profiles,
    help="A stored, bundled or exported profile of the destination.",
)
@_options.from_file
@_options.release
@_options.file(
    "--plan",
    "plan_file",
    exists=True,
    help="Carry out these edits of the device state (migratable convert … --plan FILE).",
)
@click.option("--accept", metavar="ID", multiple=True, help="Make this lossy edit of the plan.")
@click.option("--strict", is_flag=True, help="Abort also if the verdict is unknown.")
@click.option(
    "--need-return-path",
    is_flag=True,
    help="Abort before RAM is sent if return-path is off on the source.",
)
@_options.timeout("Seconds for the destination's start (with its command line) and connection.")
@_options.text_or_json
def command(
    command_line: tuple[str, ...],
    listen: str,
    to: str,
    profile: str | None,
    command_file: Any,
    release: str | None,
    plan_file: Path | None,
    accept: tuple[str, ...],
    strict: bool,
    need_return_path: bool,
    timeout: float,
    form: str,
) -> None:
    r"""Relay one live migration; abort it if the destination would refuse the guest.

    relay passes RAM on as it comes. It holds the device state for milliseconds, checks it like
    check, and sends it on. If the destination would refuse the guest, relay never sends the end of
    the stream, and the guest continues on the source. Describe the destination by a profile, or by
    its QEMU command line, which relay starts inert before the migration.

    Enable return-path on the source (libvirt does). Without it QEMU counts a migration as
    completed when everything is written; if relay then aborts it, the guest is paused until cont.
    relay refuses postcopy, multifd and TLS before it sends RAM.

    Exit status: 0 migrated, 1 refused and aborted, 2 a failure, 3 aborted as unknown (--strict).

    \b
    migratable relay --listen tcp:192.0.2.7:4444 --to tcp:192.0.2.8:4444 --profile host8
    (qemu) migrate_set_capability return-path on
    (qemu) migrate -d tcp:192.0.2.7:4444
    """
    given = _options.given_line(command_line, command_file)
    if (profile is None) == (given is None):
        raise click.UsageError(
            "one destination is needed: --profile NAME, its command line after --, or --from FILE"
        )
    if release is not None and given is None:
        raise click.UsageError("--release needs a command line")
    from migratable.relay.address import listen as open_listener
    from migratable.relay.address import parse

    here, there = parse(listen), parse(to)
    plan = _plan(plan_file, accept)
    described = _profile(profile, given, release, timeout)
    from migratable.relay import Judge, Settings, run

    judge = Judge(described, source={"name": _SOURCE})
    not_started = judge.refused_anyhow()
    if not_started is not None:
        _show_verdict(not_started, _SOURCE, profile or str(there), form)
        sys.exit(not_started.outcome.exit_status)
    asked: list[int] = []
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda got, _: asked.append(got))
    with contextlib.suppress(OSError):  # a guest stands still for us; only root may
        os.setpriority(os.PRIO_PROCESS, 0, _PRIORITY)
    listener = open_listener(here)
    shown = _Shown(form)
    try:
        shown.say(f"listening on {listener.address}")
        result = run(
            Settings(
                listener=listener,
                to=there,
                judge=judge,
                strict=strict,
                need_return_path=need_return_path,
                plan=plan,
                timeout=timeout,
            ),
            stopped=lambda: bool(asked),
            say=shown.say,
            progress=shown.progress,
        )
    finally:
        listener.close()
        shown.end()
    if form == "json":
        click.echo(json.dumps(result.to_json(), ensure_ascii=False))
    else:
        _show(result, _SOURCE, profile or str(there))
    sys.exit(result.exit_status)


def _plan(path: Path | None, accept: tuple[str, ...]) -> Plan | None:
    if path is None:
        if accept:
            raise click.UsageError("--accept needs --plan")
        return None
    from migratable.convert.model import Plan
    from migratable.relay.planned import usable

    plan = Plan.loads(path.read_bytes(), name=str(path))
    usable(plan, accept)
    return plan


def _profile(
    name: str | None, given: list[str] | str | None, release: str | None, timeout: float
) -> Profile:
    if name is not None:
        from migratable.profile.bundled import find

        return find(name)
    from migratable.profile.collect import collect

    assert given is not None
    return collect(given, release=release, timeout=timeout)


def _show(result: Result, name: str, to: str) -> None:
    from migratable.relay.result import Reason
    from migratable.report.relay_text import lines

    if result.verdict is not None and (result.verdict.findings or result.reason is Reason.UNKNOWN):
        _show_verdict(result.verdict, name, to, "text")
        click.echo()
    for line in lines(result):
        click.echo(line)


def _show_verdict(verdict: Any, name: str, to: str, form: str) -> None:
    if form == "json":
        click.echo(json.dumps(verdict.to_json(), ensure_ascii=False))
        return
    from migratable.report.check_text import show

    show(verdict, name=name, to=to)


class _Shown:
    """What a person sees meanwhile: messages, and on a terminal a line that counts."""

    def __init__(self, form: str) -> None:
        self._counts = sys.stderr.isatty() and form == "text"
        self._line = ""
        self._last = (0.0, 0)

    def say(self, text: str) -> None:
        self.end()
        click.echo(text, err=True)
        sys.stderr.flush()

    def progress(self, now: Progress) -> None:
        if not self._counts or now.phase == "waiting":
            return
        seconds, count = self._last
        if now.seconds - seconds < 0.5 and now.phase == "ram":
            return
        rate = (now.bytes - count) / max(1e-3, now.seconds - seconds)
        self._last = now.seconds, now.bytes
        text = (
            f"{now.phase}: {now.bytes / 1e6:,.0f} MB of {now.total / 1e6:,.0f} MB and changes, "
            f"{rate / 1e6:,.0f} MB/s"
        )
        click.echo("\r" + text.ljust(len(self._line)), err=True, nl=False)
        self._line = text

    def end(self) -> None:
        if self._line:
            click.echo("\r" + " " * len(self._line) + "\r", err=True, nl=False)
            self._line = ""
