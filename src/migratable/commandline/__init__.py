"""A QEMU command line: parse it in any form, read and change options, make it inert.

::

    line = parse(argv_or_text)          # what the user gave
    line.get("machine", "type")         # effective value, as QEMU merges options
    line = line.with_machine("vmport", "off").with_device("net0", "mq", None)
    quiet = inert(line, release=QemuVersion(10, 0), private_dir=folder)
    quiet.argv                          # arguments after the program

:func:`parse` opens no file; :func:`.inert.inert.inert` reads the files that the command line
consists of (``-readconfig`` files, sizes of firmware images) and opens nothing for writing.
"""

from __future__ import annotations

from migratable.commandline.line import CommandLine, Option
from migratable.commandline.option import Fields, is_on, parse_size
from migratable.commandline.parse import parse

__all__ = [
    "CommandLine",
    "Fields",
    "Option",
    "is_on",
    "parse",
    "parse_size",
]
