"""The configuration section: machine type, capabilities, page size, UUID.

Source: ``migration/savevm.c`` ``vmstate_configuration``; 4.1 to 11.1.
"""

from __future__ import annotations

import re

from migratable.stream import wire_format as layout
from migratable.stream.cursor import Buffer, Cursor, text
from migratable.stream.model import Configuration, ConfigurationSubsection
from migratable.stream.vmdesc import VmsdBody


def read_configuration(data: Buffer) -> Configuration:
    """Read a configuration section alone; *data* is all of it without its type byte.

    :raise StreamError: when it is malformed, or bytes are left.
    """
    whole = bytes([layout.CONFIGURATION]) + bytes(data)
    cursor = Cursor(whole)
    configuration = configuration_section(cursor, None)
    if cursor.remaining:
        raise cursor.error(f"{cursor.remaining} bytes behind the configuration section")
    return configuration


def configuration_section(cursor: Cursor, described: VmsdBody | None) -> Configuration:
    """Read the section at *cursor*, from its type byte on.

    :param described: what vmdesc says of it.
    :raise StreamError: when it is malformed.
    """
    begin = cursor.offset
    with cursor.within("configuration"):
        cursor.skip(1)
        length = cursor.u32()
        if length > 1024:
            raise cursor.error(f"machine type name of {length} bytes")
        machine = text(cursor.view(length))
        subsections: list[ConfigurationSubsection] = []
        while cursor.peek() == layout.SUBSECTION:
            if len(subsections) >= layout.MAX_NESTING:
                raise cursor.error("too many subsections")
            offset = cursor.offset
            cursor.skip(1)
            name = cursor.counted()
            version = cursor.u32()
            with cursor.within(name):
                body = _body(cursor, name, described)
            subsections.append(
                ConfigurationSubsection(name=name, version=version, body=body, offset=offset)
            )
    return Configuration(machine=machine, subsections=tuple(subsections), offset=begin)


def _body(cursor: Cursor, name: str, described: VmsdBody | None) -> memoryview:
    start = cursor.pos
    if name == "configuration/target-page-bits":
        if cursor.u32() > 30:
            raise cursor.error("target page bits above 30", offset=cursor.offset - 4)
    elif name == "configuration/capabilities":
        count = cursor.u32()
        if count > 1000:
            raise cursor.error(f"{count} capabilities", offset=cursor.offset - 4)
        for _ in range(count):
            cursor.counted()
    elif name == "configuration/uuid":
        cursor.skip(16)
    else:
        known = (
            next((sub for sub in described.subsections if sub.name == name), None)
            if (described is not None)
            else None
        )
        if known is not None:
            cursor.skip(known.size)
        else:
            cursor.pos = _end_of_unknown_subsection(cursor)
    return cursor.data[start : cursor.pos]


def _end_of_unknown_subsection(cursor: Cursor) -> int:
    """Up to the next subsection, ``ram`` or a plausible command: nothing else can follow."""
    window = cursor.data[cursor.pos : min(cursor.end, cursor.pos + 4096)]
    footer = re.search(
        rb"(?s)\x01.{4}\x03ram\x00{4}\x00\x00\x00\x04|\x08\x00[\x01-\x0b]\x00"
        rb"|\x05[\x0e-\xff]configuration/",
        window,
    )
    if footer is None:
        raise cursor.error("end of an unknown configuration subsection is not to be found")
    return cursor.pos + footer.start()
