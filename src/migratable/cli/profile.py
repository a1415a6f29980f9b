"""``migratable profile``: describe a destination once, check guests against it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from migratable.cli import _complete, _options
from migratable.units import size

if TYPE_CHECKING:
    from migratable.profile.model import Profile


@click.command(context_settings={"ignore_unknown_options": False})
@click.option("--save", metavar="NAME", help="Keep the profile under this name.")
@_options.file("--export", "export_to", help="Write the profile as one JSON file.")
@click.option("--list", "list_all", is_flag=True, help="Show the stored profiles.")
@click.option(
    "--show",
    metavar="NAME",
    shell_complete=_complete.profiles,
    help="Show a stored, bundled or exported profile.",
)
@click.option(
    "--remove", metavar="NAME", shell_complete=_complete.stored, help="Delete a stored profile."
)
@_options.from_file
@_options.release
@click.option(
    "--inert", "inert_only", is_flag=True, help="Show the inert command line; start nothing."
)
@_options.timeout("Seconds for QEMU to start, and for each step.")
@_options.text_or_json
@click.argument("command_line", metavar="[-- QEMU-COMMAND-LINE]", nargs=-1)
def command(
    save: str | None,
    export_to: Path | None,
    list_all: bool,
    show: str | None,
    remove: str | None,
    command_file: Any,
    release: str | None,
    inert_only: bool,
    timeout: float,
    form: str,
    command_line: tuple[str, ...],
) -> None:
    r"""Describe a destination: start its QEMU command line paused and inert, and read its tables.

    Stand-ins replace disks, networks, sockets and displays of the command line; the guest-visible
    machine stays the same. QEMU opens nothing of the host and listens nowhere; it opens /dev/kvm
    if the command line asks for KVM. The profile lists the replacements, and the questions that
    they leave open.

    \b
    migratable profile --save host7 -- qemu-system-x86_64 -machine pc-q35-7.2 -m 4G …
    migratable profile --save host7 --from /var/log/libvirt/qemu/guest.log
    migratable profile --list
    """
    _one_of(list_all=list_all, show=show, remove=remove, command=command_line or command_file)
    if list_all:
        _list(form)
    elif remove is not None:
        from migratable.profile.store import Store

        Store().remove(remove)
        click.echo(f"removed {remove}", err=True)
    elif show is not None:
        from migratable.profile.bundled import find

        profile = find(show)
        _keep(profile, save, export_to)
        _show(profile, form)
    elif inert_only:
        _inert(command_line, command_file, release, form)
    else:
        from migratable.profile.collect import collect
        from migratable.profile.store import check_name

        if save is not None:
            check_name(save)  # before QEMU is started for nothing
        profile = collect(
            _options.given_line(command_line, command_file) or [], release=release, timeout=timeout
        )
        _keep(profile, save, export_to)
        _show(profile, form)


def _one_of(**given: Any) -> None:
    names = {"list_all": "--list", "command": "a command line"}
    chosen = [names.get(name, f"--{name}") for name, value in given.items() if value]
    if len(chosen) > 1:
        raise click.UsageError(f"{chosen[0]} and {chosen[1]} exclude each other")
    if not chosen:
        raise click.UsageError(
            "nothing to do; give the destination's command line after --, or --list, --show NAME"
        )


def _keep(profile: Profile, save: str | None, export_to: Path | None) -> None:
    from migratable.profile import store

    if save is not None:
        store.Store().save(save, profile)
        click.echo(f"saved as {save}", err=True)
    if export_to is not None:
        store.export(profile, export_to)
        click.echo(f"written to {export_to}", err=True)


def _list(form: str) -> None:
    from migratable.profile import bundled
    from migratable.profile.store import Store

    stored = Store().list()
    if form == "json":
        rows = [
            {
                "name": entry.name,
                "version": entry.version,
                "machine": entry.machine,
                "taken": entry.taken,
            }
            for entry in stored
        ]
        click.echo(json.dumps({"stored": rows, "bundled": list(bundled.names())}))
        return
    for one in stored:
        click.echo(f"{one.name:<24} QEMU {one.version:<9} {one.machine:<24} {one.taken}")
    for name in bundled.names():
        click.echo(f"{name:<24} bundled")
    if not stored and not bundled.names():
        click.echo("no profiles; migratable profile --save NAME -- QEMU-COMMAND-LINE", err=True)


def _inert(
    command_line: tuple[str, ...], command_file: Any, release: str | None, form: str
) -> None:
    import shlex

    from migratable.commandline import parse
    from migratable.qemu.process import private_path
    from migratable.qemu.start import inert_line

    line = parse(
        _options.given_line(command_line, command_file) or [], need_program=release is None
    )
    quiet = inert_line(line, release=None, private_dir=private_path())
    if form == "json":
        document = {
            "program": list(quiet.program),
            "argv": quiet.argv,
            "notes": quiet.notes,
            "unchecked": quiet.unchecked,
            "needs_network_namespace": quiet.needs_netns,
        }
        click.echo(json.dumps(document))
        return
    click.echo(shlex.join([*quiet.program, *quiet.argv]))
    for note in quiet.notes:
        click.echo(f"replaced: {note}", err=True)
    for text in quiet.unchecked:
        click.echo(f"not examined: {text}", err=True)


def _show(profile: Profile, form: str) -> None:
    if form == "json":
        from migratable.profile.store import without_secrets

        click.echo(without_secrets(profile).dumps())
        return
    from rich.console import Console
    from rich.text import Text

    from migratable.check.baseline import Baseline
    from migratable.printable import printable

    console = Console(highlight=False, soft_wrap=True)

    def line(label: str, text: str, style: str = "") -> None:
        console.print(Text(f"{label:<13}", style="bold") + Text(printable(text), style=style))

    package = f" ({profile.version.package})" if profile.version.package else ""
    line("QEMU", f"{profile.version}{package}")
    pvr = "" if profile.pvr is None else f" (PVR {profile.pvr:#010x})"
    line("machine", f"{profile.machine}, {profile.cpu_model or 'no CPU'}{pvr}, {profile.target}")
    real = " in the place of KVM" if profile.stand_in else ""
    kernel = f", Linux {profile.kernel}" if profile.kernel else ""
    line("taken", f"{profile.taken} under {profile.accelerator}{real}{kernel}".strip())
    line("RAM blocks", ", ".join(f"{name} {size(s[0])}" for name, s in profile.ram_blocks.items()))
    if profile.stream:
        from migratable.stream import read

        devices = read(profile.stream).devices
        line("own stream", f"{len(devices)} device sections, {size(len(profile.stream))}")
    else:
        line("own stream", f"none: {profile.no_stream}", "yellow")
    if profile.loader is not None:
        loader = profile.loader
        line("loader", f"{len(loader.handlers)} handlers, {len(loader.vmsds)} descriptions")
        baseline = Baseline(profile, loader)
        known = "is known" if baseline.code_known else "is not known: only its tables are read"
        line("code", f"build {loader.build_id or 'without a build-id'}, whose code {known}")
        for text in (*loader.notes, *baseline.not_understood()):
            line("not found", text, "yellow")
    for text in profile.stderr:
        line("it printed", text, "yellow")
    for text in profile.refused:
        line(
            "refused",
            f"{text} (the program does not start with this command line unchanged)",
            "yellow",
        )
    for text in profile.notes:
        line("replaced", text)
    for text in profile.unchecked:
        line("not examined", text, "yellow")
