"""``migration/savevm.c: loadvm_process_command``: commands of the stream, in the loader's order.

A postcopy source's handshake is open-return-path, advise, then the package with listen and run;
what comes in that order is taken if the pages have the same sizes, since a manager sets the
capability on both sides. No source sends a command out of that order.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from errno import EPERM, ERANGE

from migratable.check.problem import Problem, UnexaminedError
from migratable.stream.model import Command, Section, Stream, flatten
from migratable.stream.wire_format import CommandKind

#: Bytes of payload; commands that are not in it have several forms.
mig_cmd_args = {
    CommandKind.OPEN_RETURN_PATH: 0,
    CommandKind.PING: 4,
    CommandKind.POSTCOPY_LISTEN: 0,
    CommandKind.POSTCOPY_RUN: 0,
    CommandKind.POSTCOPY_RESUME: 0,
    CommandKind.PACKAGED: 4,
    CommandKind.SWITCHOVER_START: 0,
}
_ADVISE_LENGTHS = {0, 16}


def by_place(stream: Stream) -> dict[int, list[Command]]:
    """Commands by the number of sections before them."""
    commands: dict[int, list[Command]] = {}
    sections = 0
    for element in flatten(stream.elements):
        if isinstance(element, Section):
            sections += 1
        elif isinstance(element, Command):
            commands.setdefault(sections, []).append(element)
    return commands


@dataclass(frozen=True, slots=True, kw_only=True)
class Pages:
    """Sizes of pages in bytes, None for what is not known.

    :ivar host: those behind all RAM blocks, added up as bits (``ram_pagesize_summary``).
    :ivar target: of the guest.
    """

    host: int | None = None
    target: int | None = None


def loadvm_postcopy_handle_advise(payload: bytes, pages: Pages) -> Iterator[Problem]:
    """Compare the sizes of pages of both sides.

    :raise UnexaminedError: when those behind the destination's memory are not known.
    """
    if pages.host is None:
        raise UnexaminedError("postcopy: the sizes of the pages behind the destination's memory")
    for begin, local, rule, message, what in (
        (0, pages.host, "ram-block-page-size", "postcopy-page-sizes", "pages behind its memory"),
        (8, pages.target, "target-page-size", "postcopy-target-page-size", "pages of the guest"),
    ):
        sent = int.from_bytes(payload[begin : begin + 8], "big")
        if local is not None and sent != local:
            yield Problem(
                rule=rule,
                summary=f"postcopy: the source's {what} have {sent:#x} bytes, the destination's "
                f"{local:#x} (sizes added up)",
                words=((message, {"stream": sent, "local": local}),),
                errno=EPERM,
            )
            return


@dataclass(slots=True)
class Commands:
    """What the commands that were met so far have set up.

    :ivar met: their kinds.
    """

    met: set[int] = field(default_factory=set)

    def judge(self, command: Command, pages: Pages) -> Iterator[Problem]:
        """Say what the loader refuses of the next command; its kind is one that it knows.

        :param pages: of the destination.
        :raise UnexaminedError: for one that needs what neither stream nor profile tells.
        """
        kind, length = command.kind, len(command.payload)
        try:
            known = CommandKind(kind)
        except ValueError:
            return
        wanted = mig_cmd_args.get(known)
        if wanted is not None and wanted != length:
            words: dict[str, str | int] = {
                "command": known.name,
                "expected": wanted,
                "length": length,
            }
            yield Problem(
                rule="layout",
                summary=f"the command {known.name} has {length} bytes, not {wanted}",
                words=(("command-length", words),),
                errno=ERANGE,
            )
            return
        if known is CommandKind.PING and CommandKind.OPEN_RETURN_PATH not in self.met:
            value = int.from_bytes(command.payload, "big")
            yield Problem(
                rule="configuration",
                summary="the source requests an answer, but has not opened the return path",
                words=(("command-ping", {"value": value}),),
                errno=EPERM,
            )
        elif self._out_of_order(known, length):
            raise UnexaminedError(f"the command {known.name}, which is out of a migration's order")
        elif known is CommandKind.POSTCOPY_ADVISE and length:
            yield from loadvm_postcopy_handle_advise(bytes(command.payload), pages)
        self.met.add(kind)

    def _out_of_order(self, kind: CommandKind, length: int) -> bool:
        met = self.met
        if kind is CommandKind.POSTCOPY_ADVISE:
            handshake = CommandKind.OPEN_RETURN_PATH in met
            return not handshake or kind in met or length not in _ADVISE_LENGTHS
        if kind is CommandKind.POSTCOPY_LISTEN:
            return CommandKind.POSTCOPY_ADVISE not in met or kind in met
        if kind is CommandKind.POSTCOPY_RUN:
            return CommandKind.POSTCOPY_LISTEN not in met or kind in met
        if kind is CommandKind.POSTCOPY_RAM_DISCARD:
            return CommandKind.POSTCOPY_ADVISE not in met
        return kind in {
            CommandKind.POSTCOPY_RESUME,
            CommandKind.RECV_BITMAP,
            CommandKind.ENABLE_COLO,
        }
