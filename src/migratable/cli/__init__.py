"""The command line: one small file a command, imported only when it is called.

A new command is a new module here with a click command named ``command``; there is no list to edit.
A module name's underscore is a hyphen on the command line.
"""

from __future__ import annotations

import importlib
import pkgutil
import sys

import click

from migratable import __version__
from migratable.errors import MigratableError


class _Commands(click.Group):
    """Find commands by the names of this package's modules, import one when it is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names of all commands, without importing them."""
        names = (module.name for module in pkgutil.iter_modules(__path__))
        return sorted(name.replace("_", "-") for name in names if not name.startswith("_"))

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the module of one command."""
        if cmd_name not in self.list_commands(ctx):
            return None
        module = importlib.import_module(f"{__name__}.{cmd_name.replace('-', '_')}")
        command = module.command
        assert isinstance(command, click.Command)
        return command


@click.group(
    cls=_Commands,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Exit status: 0 loads, 1 refused, 2 usage or tool failure, 3 unknown.",
)
@click.version_option(__version__, prog_name="migratable")
def cli() -> None:
    """Will this QEMU virtual machine load on that destination, and if not, exactly why?"""


def main() -> None:
    """Entry point: our errors become one line on stderr and status 2, never a traceback."""
    try:
        cli.main(prog_name="migratable")
    except MigratableError as error:
        click.echo(f"migratable: {error}", err=True)
        sys.exit(2)
    except BrokenPipeError:  # `migratable inspect … | head` is not a failure
        sys.stderr.close()
        sys.exit(141)
