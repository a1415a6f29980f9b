"""``migration/ram.c: ram_load``: the list of RAM blocks, and RAM records that the loader refuses.

The contents of pages are the guest's own; what is around them is not. :mod:`migratable.stream.ram`
finds the records that no intact source sends, this says what a release makes of each.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from migratable.check import events, stderr
from migratable.check.findings import finding_of
from migratable.check.problem import MessageRef, Problem, UnexaminedError
from migratable.check.record import Record
from migratable.errors import StreamError
from migratable.facts.behaviour import behaves
from migratable.stream.model import Section, Span, Stream
from migratable.stream.ram import RamFault
from migratable.stream.reader import walk_ram
from migratable.stream.wire_format import RamFlag
from migratable.unchecked import Code, Unchecked

IDSTR = "ram"
RULE = "ram-contents"
#: The one version of the section since 2009 (``ram_load``).
VERSION = 4
#: Bytes of RAM records that a check walks; a larger guest's are left out, and that is said.
MOST = 1 << 30


def parse_ramblocks(replay: Record, start: Section) -> None:
    """Compare the blocks of the stream with the destination's.

    :param start: the first RAM section.
    """
    profile = replay.baseline.profile
    for block in replay.stream.ram_blocks:
        local = profile.ram_blocks.get(block.id)
        assumed = profile.assumed_blocks.get(block.id)
        if assumed and local is not None and local[0] != block.used_length:
            replay.add_unexamined(
                f"RAM block {block.id!r} has {block.used_length} bytes in the stream; the "
                f"destination's size is not known: {assumed}",
                Code.ASSUMED,
            )
            continue
        replay.ask(
            events.RamBlockRead(
                release=replay.release,
                block=block,
                local=local,
                page_size=replay.stream.page_size,
                local_page_size=None
                if replay.baseline.pages.host is None
                else profile.block_page_sizes.get(block.id),
            ),
            device=IDSTR,
            instance_id=0,
            links=stderr.ram_links(replay.release, IDSTR, start.version_id),
        )


def ram_load(replay: Record, start: Section) -> None:
    """Examine the records of guest memory, without their contents."""
    if too_many(replay.stream):
        text = "the records of guest memory (more than 1 GiB of them)"
        replay.unchecked.append(Unchecked(text, Code.RAM_CONTENTS))
        return
    blocks = replay.baseline.profile.ram_blocks
    links = stderr.part_links(replay.release, IDSTR, start.section_id, start.version_id)
    try:
        for problem in ram_load_precopy(replay.stream, start.version_id, blocks, replay.release):
            replay.note(finding_of(problem, replay.release, IDSTR, 0, links))
    except UnexaminedError as error:
        replay.add_unexamined(error.reason)


def too_many(stream: Stream) -> bool:
    """Whether the records were not walked and are more than a check walks."""
    size = sum(len(element.data) for element in stream.elements if isinstance(element, Span))
    return stream.ram_statistics is None and size > MOST


def ram_load_precopy(
    stream: Stream, version: int, blocks: Mapping[str, tuple[int, int]], release: tuple[int, int]
) -> Iterator[Problem]:
    """``ram_load``: the section's version, then each record.

    :param blocks: (used, maximum) bytes of the destination's blocks by name.
    :raise UnexaminedError: for what cannot be read, or depends on more than stream and profile.
    """
    if version != VERSION:
        raise UnexaminedError(f"ram: version {version} of the section")
    try:
        statistics = stream.ram_statistics or walk_ram(stream)
    except StreamError as error:
        raise UnexaminedError(f"the RAM records cannot be read: {error}") from None
    yield from problems_of(statistics.faults, blocks, release)


def problems_of(
    faults: list[RamFault], blocks: Mapping[str, tuple[int, int]], release: tuple[int, int]
) -> Iterator[Problem]:
    """The problem that each fault is for a destination with these blocks.

    :raise UnexaminedError: for what depends on the destination's migration capabilities.
    """
    for fault in faults:
        outside: MessageRef = ("ram-offset", {"offset": fault.offset})
        if fault.kind == "block":
            known = blocks.get(fault.block)
            if known is None:
                words: tuple[MessageRef, ...] = (
                    ("ram-page-block", {"block": fault.block}),
                    outside,
                )
                yield Problem(
                    rule=RULE,
                    summary=f"a page belongs to the RAM block {fault.block!r}, which the "
                    "destination does not have",
                    words=words,
                )
            elif fault.offset >= known[0]:
                yield _outside(fault)
        elif fault.kind == "offset":
            yield _outside(fault)
        elif fault.kind == "fill":
            if behaves(release, "ram-zero-page-is-zero"):
                yield Problem(
                    rule=RULE,
                    summary=f"a zero page of {fault.block!r} has the value {fault.value}",
                    words=(("ram-zero-page", {"value": fault.value}),),
                )
        elif fault.kind == "flush":
            if not behaves(release, "ram-multifd-flush"):
                yield Problem(
                    rule=RULE,
                    summary="the source flushes multifd channels, which the destination's release "
                    "does not know",
                    words=(("ram-flags", {"flags": int(RamFlag.MULTIFD_FLUSH)}),),
                )
        elif fault.kind == "xbzrle":
            raise UnexaminedError(f"ram: a delta-encoded page of {fault.block!r} is damaged")
        elif not behaves(release, "ram-compressed-pages"):
            yield Problem(
                rule=RULE,
                summary="the source sends compressed pages, which the destination's release does "
                "not know",
                words=(("ram-flags", {"flags": int(RamFlag.COMPRESS_PAGE)}),),
            )
        else:
            raise UnexaminedError("ram: compressed pages need the capability compress")


def _outside(fault: RamFault) -> Problem:
    return Problem(
        rule=RULE,
        summary=f"a page at {fault.offset:#x} is outside the RAM block {fault.block!r}",
        words=(("ram-offset", {"offset": fault.offset}),),
    )
