"""From words or text to a :class:`~migratable.commandline.line.CommandLine`."""

from __future__ import annotations

import re
from collections.abc import Sequence

from migratable.commandline.line import ALIASES, IMAGE, CommandLine, Option
from migratable.errors import CommandLineError
from migratable.facts.options import FLAGS, KNOWN
from migratable.printable import quoted

_TARGETS = frozenset(
    [
        "x86_64",
        "i386",
        "ppc64",
        "ppc",
        "aarch64",
        "arm",
        "s390x",
        "riscv64",
        "riscv32",
        "loongarch64",
        "mips64el",
        "sparc64",
    ]
)


_NO_IMAGE = re.compile(r"\$[\w@*#{(].*|[`^\\\]\[(){}|&;-]+|\s*[`#].*", re.S)
"""A shell's variable, a comment, or what a paste left over: QEMU would look for such a disk."""
MOST_WORDS = 10_000
"""A machine with hundreds of disks has some two thousand."""


def parse(argv_or_text: Sequence[str] | str, *, need_program: bool = True) -> CommandLine:
    """Read a QEMU command line.

    :param argv_or_text: words (the program first), or text in any form that
        :mod:`migratable.commandline.pasted_text` lists. A list of one word with blanks is text.
    :param need_program: whether a line that begins with an option is an error.
    :raise CommandLineError: When there is no program, quotes do not close, or an option's argument
        is missing.
    """
    from migratable.commandline import pasted_text as text_forms  # noqa: PLC0415 -- 5 ms

    if isinstance(argv_or_text, str):
        argv = text_forms.words(argv_or_text)
    else:
        argv = list(argv_or_text)
        if len(argv) == 1 and re.search(r"\s", argv[0].strip()):
            argv = text_forms.words(argv[0])
        else:
            argv = text_forms.join_torn(argv)
    if len(argv) > MOST_WORDS:
        raise CommandLineError(f"{len(argv)} words are too many for a QEMU command line")
    argv = text_forms.drop_environment(argv)
    if not argv:
        raise CommandLineError(
            "no command line; give the destination's QEMU command after --, "
            "for example: -- qemu-system-x86_64 -machine q35 -m 2G"
        )
    program: tuple[str, ...] = ()
    if not argv[0].startswith("-"):
        program = (argv[0],)
        if len(argv) > 1 and argv[1] in _TARGETS:  # a starter script that takes the target's name
            program = (argv[0], argv[1])
    elif need_program:
        raise CommandLineError(
            f"the command line begins with {quoted(argv[0])} and names no program; put the "
            "destination's QEMU in front, for example /usr/bin/qemu-system-x86_64"
        )
    return CommandLine(program=program, options=tuple(_options(argv, len(program))))


def _options(argv: list[str], first: int) -> list[Option]:
    options: list[Option] = []
    at = first
    while at < len(argv):
        word = argv[at]
        index = at
        at += 1
        if _NO_IMAGE.fullmatch(word):
            raise CommandLineError(
                f"word {index}, {quoted(word)}: neither an option nor a disk image; write what a "
                "shell's variable stands for, or take the word out"
            )
        if not word.startswith("-"):
            options.append(Option(name="hda", value=word, index=index, spelled=IMAGE))
            continue
        name = word[2:] if word.startswith("--") else word[1:]
        value: str | None = None
        if name in FLAGS:
            pass
        elif name in KNOWN:
            if at >= len(argv):
                raise CommandLineError(f"word {index}, {word}: requires an argument")
            value = argv[at]
            at += 1
        elif at < len(argv) and not argv[at].startswith("-"):  # unknown: QEMU will say so itself
            value = argv[at]
            at += 1
        name = ALIASES.get(name, name)
        options.append(Option(name=name, value=value, index=index, spelled=word))
    return options
