"""The configuration section alone: places of its parts, and what ends it."""

import pytest

from migratable.errors import StreamError
from migratable.stream.configuration import configuration_section, read_configuration
from migratable.stream.cursor import Cursor

PAGE_BITS = b"\x05\x1econfiguration/target-page-bits" + (1).to_bytes(4, "big")
SECTION = b"\x07" + (7).to_bytes(4, "big") + b"pc-10.0" + PAGE_BITS + (12).to_bytes(4, "big")


def test_places_of_the_section_and_its_subsections() -> None:
    cursor = Cursor(SECTION + b"\x01", base=100)
    found = configuration_section(cursor, None)
    assert (found.machine, found.offset) == ("pc-10.0", 100)
    (subsection,) = found.subsections
    assert (subsection.name, subsection.offset) == ("configuration/target-page-bits", 112)
    assert bytes(subsection.body) == b"\0\0\0\x0c"
    assert cursor.peek() == 1


def test_a_whole_section_has_nothing_behind_it() -> None:
    assert read_configuration(SECTION[1:]).machine == "pc-10.0"
    with pytest.raises(StreamError, match="1 bytes behind the configuration section"):
        read_configuration(SECTION[1:] + b"\0")
    with pytest.raises(StreamError, match="target page bits above 30"):
        read_configuration(SECTION[1:-1] + b"\x1f")
