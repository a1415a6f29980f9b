"""``migratable capture``: device state of a running VM, milliseconds of pause, VM keeps running."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click

from migratable.cli import _options
from migratable.printable import quoted


@click.command()
@click.argument("source", metavar="qmp:SOCKET|libvirt:DOMAIN")
@_options.file(
    "-o", "--output", required=True, help="Write the stream to this file, with mode 0600."
)
@click.option("--yes", is_flag=True, help="Do not ask before the VM is paused.")
@click.option(
    "--untried",
    is_flag=True,
    help="Capture the VM without the trial save in a copy.",
)
@click.option("--force", is_flag=True, help="Overwrite FILE if it exists.")
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text")
@click.option("--json", "as_json", is_flag=True, help="The same as --format json.")
def command(
    source: str,
    output: Path,
    form: str,
    *,
    yes: bool,
    untried: bool,
    force: bool,
    as_json: bool,
) -> None:
    r"""Save the device state of a running VM, in a pause of milliseconds.

    FILE is a stream; check and rehearse read it like the stream of an ordinary migration. It has
    all devices, and only the few pages of RAM that loaders read. capture first sends read-only QMP
    commands, and refuses a VM with a running migration, job or dump. Then it starts an inert copy
    of the VM, which saves itself: if that QEMU crashes or refuses, the VM is not touched. FILE
    contains the VM's command line (and libvirt's definition), without secrets.

    \b
    migratable capture qmp:/run/guest/qmp.sock -o guest.mig
    migratable capture libvirt:guest -o guest.mig --yes
    """
    from migratable.capture.output import write_private
    from migratable.capture.running import capture_live
    from migratable.capture.source import is_live
    from migratable.cli._confirm import asker
    from migratable.errors import CaptureError

    if not is_live(source):
        raise click.UsageError(
            f"{quoted(source)} is not a running VM; give qmp:SOCKET or libvirt:DOMAIN"
        )
    if output.exists() and not force:
        raise CaptureError(f"{output} exists; name another file, or add --force")
    if not output.absolute().parent.is_dir():
        raise CaptureError(f"{output}: its folder does not exist")
    captured = capture_live(source, confirm=asker(yes=yes), untried=untried)
    write_private(output, captured.data, replace=force)
    facts = {"file": str(output), "bytes": len(captured.data), **captured.facts()}
    if as_json or form == "json":
        click.echo(json.dumps({"schema": "migratable.capture/1", "source": source, **facts}))
        return
    standing = captured.standing
    if not standing.running:
        pause = f"the VM was {standing.status} and stays {standing.status}"
    elif captured.pause is None:
        pause = f"paused for {captured.command_seconds * 1000:.1f} ms at most"
    else:
        pause = f"paused for {captured.pause * 1000:.1f} ms"
    click.echo(
        f"{output}: {standing.machine} of QEMU {standing.version}, {len(captured.data):,} bytes; "
        f"{pause}"
    )
    for text in captured.undescribed:
        click.echo(f"not described: {text}", err=True)
    for text in captured.unchecked:
        click.echo(f"not examined: {text}", err=True)
    sys.stdout.flush()
