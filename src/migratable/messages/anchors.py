"""Finding the few lines that matter in gigabytes of log.

Every template has an *anchor*: a stretch of fixed text that any encoding of the line leaves as it
is (no quotes, no escapes). Looking for hundreds of anchors would be slow, so a small set of
*tokens* is looked for first, chosen such that every anchor contains one: one pass of
``bytes.find`` for each token, and only the lines that it hits are looked at more closely.
``messages/tokens.txt`` holds the chosen set; an anchor without a token becomes its own, so that a
new message is never missed.

Some sixty passes are still three times too many for gigabytes. So the first 16 MiB of an input are
searched for everything, and the rest for :data:`HOT` alone: what stands in, or beside, nearly every
failed migration. Around each such hit everything is searched for again.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib import resources

from migratable.messages.catalogue import messages
from migratable.messages.find import Find, finder

_BREAKS = re.compile(r"""["'<>&\\`]|\s{2,}""")

# Signs of a failed migration that no message describes: an unknown text must not pass unseen.
GENERIC = (
    "igration failed",
    "igration Failed",
    "igration failure",
    "igration error",
    "igration aborted",
    "ailed to migrate",
    "loadvm",
    "savevm",
    "error-desc",
    "vmstate",
    "get_pci_config_device",
)
# An anchor that is longer than LONG is looked for in two pieces of HALF characters at most.
LONG, HALF = 56, 34
# Long ones are found fastest.
HOT = (
    b"while loading state",
    b"nexpectedly",
    b"savevm section",
    b"savevm: unsupported",
    b"igration fail",  # "load of migration failed" holds it
    b"igration Fail",
    b"igration aborted",
    b"get_pci_config_device",
    b"section footer",
    b"Allowed features",
    b"Unknown ramblock",
    b"mismatch: ",
    b" incoming ",
    b"error-desc",
    b"t match specification",
    b"achine type ",
    b"non-migratable",
    b"exceeds allocated max",
    b"saved image requires",
    b"igrateToURI",
    b'"MESSAGE":[',
    b'"MESSAGE" : [',
)
FULLY_SEARCHED = 16 << 20
BEFORE, AFTER = 32 << 10, 8 << 10

# A journal entry whose text is an array of numbers; its text is looked at after decoding.
JOURNAL_ARRAY = ('"MESSAGE":[', '"MESSAGE" : [')


def anchor(literal: str) -> str:
    """The longest part of *literal* that no encoding of a log line changes."""
    return max((part.strip() for part in _BREAKS.split(literal)), key=len, default="")


def halves(stretch: str) -> tuple[str, ...]:
    """What is looked for: of a long stretch its beginning or its end, as mails break lines."""
    if len(stretch) < LONG:
        return (stretch,)
    pieces = (stretch[:HALF].rpartition(" ")[0], stretch[-HALF:].partition(" ")[2])
    return pieces if min(map(len, pieces)) > HALF // 2 else (stretch,)


@cache
def anchors() -> frozenset[str]:
    """The anchors of all templates, and the generic ones."""
    found: set[str] = set()
    for message in messages():
        for text in message.recognised:
            fixed = [part for part in text.template.parts if isinstance(part, str)]
            if text.template.sentence:
                fixed[0] = fixed[0][1:]
            found.update(halves(max(map(anchor, fixed), key=len)))
    # "!=" alone (field-equal) is found beside the lines that always follow it.
    return frozenset(item for item in found if len(item) > 3) | {*GENERIC, *JOURNAL_ARRAY}


@dataclass(frozen=True, slots=True)
class Prefilter:
    """Tokens, each with the anchors that contain it."""

    tokens: tuple[tuple[bytes, tuple[bytes, ...]], ...]

    def spans(self, chunk: bytes, *, fully: bool = True) -> list[tuple[int, int]]:
        """Lines of *chunk* that hold an anchor, as (start, end) without the newline, in order."""
        found: dict[int, int] = {}
        find = finder(chunk)
        if fully:
            self._search(chunk, find, 0, len(chunk), found)
            return sorted(found.items())
        done = 0
        for start, end in _regions(chunk, find):
            self._search(chunk, find, max(start, done), end, found)
            done = end
        return sorted(found.items())

    def _search(
        self, chunk: bytes, find: Find, first: int, last: int, found: dict[int, int]
    ) -> None:
        rfind = chunk.rfind
        for token, items in self.tokens:
            position = find(token, first, last)
            while position >= 0:
                start = rfind(b"\n", 0, position) + 1
                end = chunk.find(b"\n", position)
                if end < 0:
                    end = len(chunk)
                if start not in found:
                    line = chunk[start:end]
                    for item in items:
                        if item in line:
                            found[start] = end
                            break
                position = find(token, end, last)


def _regions(chunk: bytes, find: Find) -> Iterator[tuple[int, int]]:
    """Surroundings of the hot tokens, merged, in order."""
    hits: list[int] = []
    for token in HOT:
        position = find(token, 0, len(chunk))
        while position >= 0:
            hits.append(position)
            # Hits close together make one region; one of them is enough.
            position = find(token, min(position + AFTER // 2, len(chunk)), len(chunk))
    start = end = -1
    for hit in sorted(hits):
        if start >= 0 and hit - BEFORE <= end:
            end = hit + AFTER
            continue
        if start >= 0:
            yield start, min(end, len(chunk))
        start, end = max(0, hit - BEFORE), hit + AFTER
    if start >= 0:
        yield start, min(end, len(chunk))


@cache
def prefilter() -> Prefilter:
    """The prefilter of the whole catalogue."""
    data = resources.files("migratable.messages") / "tokens.txt"
    chosen = [
        line
        for line in data.read_text(encoding="utf-8").splitlines()
        if line and not line.startswith("#")
    ]
    by_token: dict[str, list[str]] = {token: [] for token in chosen}
    for item in sorted(anchors()):
        # One token finds a line that holds the anchor; the others need not look for it too.
        holder = next((token for token in chosen if token in item), item)
        by_token.setdefault(holder, []).append(item)
    return Prefilter(
        tuple(
            (token.encode(), tuple(item.encode() for item in items))
            for token, items in by_token.items()
            if items
        )
    )
