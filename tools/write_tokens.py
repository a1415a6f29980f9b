#!/usr/bin/env python3
"""Add to ``messages/tokens.txt`` what the prefilter needs so that every anchor holds a token.

``python -m tools.write_tokens`` prints what it would add and drop, ``--write`` writes. Tokens that
are there and still used stay, so that the file's changes are small; ``--anew`` chooses all. New
ones are chosen greedily: the stretch that is in most anchors without a token, never in a log's
noise (that of ``benchmarks explain``) and seldom in English (the documentation's).
"""

from __future__ import annotations

import sys
from collections import defaultdict
from pathlib import Path

from benchmarks.bench_explain import NOISE
from migratable.messages.anchors import anchors

TOKENS = Path(__file__).resolve().parents[1] / "src/migratable/messages/tokens.txt"
DOCS = Path(__file__).resolve().parents[1] / "docs"
SHORTEST, LONGEST = 4, 12
SELDOM = 0.03  # of the documentation's lines


def stretches(anchor: str) -> set[str]:
    """All parts of an anchor that may be a token."""
    return {
        anchor[start : start + size]
        for size in range(SHORTEST, LONGEST + 1)
        for start in range(len(anchor) - size + 1)
    }


def main(arguments: list[str]) -> int:
    """Choose, print, write."""
    lines = TOKENS.read_text(encoding="utf-8").splitlines()
    comments = [line for line in lines if line.startswith("#")]
    old = [line for line in lines if line and not line.startswith("#")]
    if "--anew" in arguments:
        old = []
    noise = "\n".join(line.format(n=7) for line in NOISE)
    english = [line for path in DOCS.rglob("*.md") for line in path.read_text().splitlines()]
    often = SELDOM * len(english)
    left = {item for item in anchors() if not any(token in item for token in old)}
    holders: dict[str, set[str]] = defaultdict(set)
    for item in left:
        for part in stretches(item):
            if part not in noise:
                holders[part].add(item)
    holders = {
        part: items
        for part, items in holders.items()
        if len(items) > 1 and sum(part in line for line in english) <= often
    }
    new = []
    while left and holders:
        best = max(holders, key=lambda part: (len(holders[part] & left), len(part), part))
        if len(holders[best] & left) < 2:
            break
        new.append(best)
        left -= holders[best]
    # An anchor that shares nothing with another is its own token; a long one is found fastest.
    new += sorted(item for item in left if len(item) > 3)
    unused = [token for token in old if not any(token in item for item in anchors())]
    kept = [token for token in old if token not in unused]
    print(f"added {new}\ndropped {unused}\n{len(kept) + len(new)} tokens")
    if "--write" in arguments:
        TOKENS.write_text("\n".join([*comments, *kept, *new]) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
