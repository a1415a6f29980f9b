"""The lines that a destination prints when it refuses, in its release's form."""

from __future__ import annotations

from collections.abc import Iterable

from migratable.check.problem import CHAINED, EINVAL, MessageRef, RefusedError
from migratable.messages import strerror, text

Release = tuple[int, int]


def said(words: MessageRef, release: Release) -> str:
    """One message as that release words it."""
    return text(words[0], release, **words[1])


def warnings(words: Iterable[MessageRef], release: Release) -> list[str]:
    """Lines of what does not refuse."""
    return [said(one, release) for one in words]


def of_refusal(refused: RefusedError, outer: Iterable[MessageRef], release: Release) -> list[str]:
    """All lines from the cause to ``load of migration failed``.

    :param outer: what the loader's main loop adds, in the order of unwinding; up to 10.1 lines
        and from 10.2 on links.
    """
    if refused.problem.facts.get("aborts"):  # nothing after the assertion's own line
        return [said(words, release) for words in refused.problem.words]
    lines = _printed(refused, outer, release)
    unended = refused.problem.facts.get("unended")
    if isinstance(unended, str) and len(lines) > 1:  # a line without its end, then the next
        lines[:2] = [lines[0] + unended + lines[1]]
    return lines


def _printed(refused: RefusedError, outer: Iterable[MessageRef], release: Release) -> list[str]:
    if release < CHAINED:
        printed = [*refused.printed, *outer]
        lines = [said(words, release) for words in printed if _has(words, release)]
        return [*lines, _closing(refused.errno, release)]
    lines = [
        ": ".join(said(words, release) for words in group if _has(words, release))
        for group in refused.separate
    ]
    links = [*refused.chain, *outer]
    chain = [said(words, release) for words in reversed(links) if _has(words, release)]
    # 11.x: qemu_loadvm_section_start_full returns -EINVAL whatever the device returned.
    errno = EINVAL if release >= (11, 0) and links else refused.errno
    return [*lines, ": ".join([_closing(errno, release), *chain])]


def _closing(errno: int, release: Release) -> str:
    return text("load-failed", release, error=strerror(errno))


def _has(words: MessageRef, release: Release) -> bool:
    from migratable.messages import message  # noqa: PLC0415 -- only for refusals

    try:
        message(words[0]).wording(release)
    except Exception:  # noqa: BLE001 -- the release has no such message
        return False
    return True
