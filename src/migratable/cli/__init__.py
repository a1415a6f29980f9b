"""The command line: one small file per command, imported only when the command is called.

A new command is a new module here with a click command named ``command``; there is no list to edit.
A module name's underscore is a hyphen on the command line.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import os
import pkgutil
import sys
from typing import Any

import click

from migratable import __version__
from migratable.errors import MigratableError


class _Commands(click.Group):
    """Find commands by the names of this package's modules, import one when it is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names of all commands, without importing them."""
        names = (module.name for module in pkgutil.iter_modules(__path__))
        return sorted(name.replace("_", "-") for name in names if not name.startswith("_"))

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List them by what they are for, with their whole first sentences."""
        from migratable.cli import _help

        for title, names in _help.grouped(self.list_commands(ctx)):
            rows = []
            for name in names:
                command = self.get_command(ctx, name)
                assert command is not None
                rows.append((name, _help.summary(command)))
            with formatter.section(title):
                formatter.write_dl(rows)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command; a mistyped one is told what it may have been."""
        name = args[0]
        if not name.startswith("-") and self.get_command(ctx, name) is None:
            import difflib

            close = difflib.get_close_matches(name, self.list_commands(ctx), 1)
            hint = f"; did you mean {close[0]}?" if close else "; see migratable --help"
            from migratable.printable import quoted

            ctx.fail(f"no such command {quoted(name)}{hint}")
        return super().resolve_command(ctx, args)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the module of one command."""
        if cmd_name not in self.list_commands(ctx):
            return None
        module = importlib.import_module(f"{__name__}.{cmd_name.replace('-', '_')}")
        command = module.command
        assert isinstance(command, click.Command)
        _mark_examples(command)
        return command

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command. What click would end with status 1, which here is an answer, is ours."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            sys.exit(130)
        except click.ClickException as error:
            from migratable.printable import shortened

            vars(error)["message"] = shortened(error.message)
            raise
        except (BrokenPipeError, SystemExit) as stop:
            # `migratable inspect … | head` is not a failure. rich turns it into status 1.
            if not isinstance(stop.__context__ or stop, BrokenPipeError):
                raise
            # Drop the rest of the buffer, so that Python prints no message at exit.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            sys.exit(141)


def _mark_examples(command: click.Command) -> None:
    r"""Turn the two letters ``\b`` of raw docstrings into click's mark: keep these lines."""
    if command.help:
        command.help = command.help.replace("\\b\n", "\b\n")
    for sub in command.commands.values() if isinstance(command, click.Group) else ():
        _mark_examples(sub)


@click.group(
    cls=_Commands,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Exit status: 0 loads, 1 refused, 2 usage or tool failure, 3 unknown.",
)
@click.version_option(__version__, prog_name="migratable")
def cli() -> None:
    """Will this QEMU virtual machine load on that destination, and if not, exactly why?"""


def _standard_streams() -> None:
    """Open what is closed, so that no file of ours becomes standard output; escape what is said."""
    from migratable.printable import wrapped

    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number, which is this one
    sys.stdout = wrapped(sys.stdout or open(1, "w", encoding="utf-8"))  # noqa: SIM115
    sys.stderr = wrapped(sys.stderr or open(2, "w", encoding="utf-8"))  # noqa: SIM115


def _say(text: str) -> None:
    """A last line, also when nothing can be written any more."""
    try:
        sys.stderr.write(text + "\n")
        sys.stderr.flush()
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, 1)  # what is still in the buffer cannot be written
    except OSError:
        pass
    os._exit(2)


def main() -> None:
    """Entry point: a MigratableError becomes one line on stderr and status 2.

    A bug of ours has a traceback and status 2 too: it must not look like an answer.
    """
    # A start makes about 10,000 permanent objects; scanning them costs 5 % of a check.
    gc.set_threshold(50_000, 20, 20)
    _standard_streams()
    import faulthandler

    from migratable import shrinking
    from migratable.printable import shortened

    shrinking.wanted = True
    with contextlib.suppress(OSError, ValueError, AttributeError):
        faulthandler.enable()
    try:
        try:
            cli.main(prog_name="migratable")
        except SystemExit:
            sys.stdout.flush()  # a full disk is seen here, and not after our end
            raise
    except MigratableError as error:
        click.echo(f"migratable: {shortened(str(error))}", err=True)
    except OSError as error:
        # A full disk, a folder that is gone, no room for temporary files.
        _say(f"migratable: {shortened(str(error))}")
    except MemoryError:
        _say("migratable: not enough memory")
    except Exception:  # noqa: BLE001 -- Python would end with status 1, "refused"
        import traceback

        traceback.print_exc()
        click.echo("migratable: this is a bug of migratable, not an answer", err=True)
    sys.exit(2)
