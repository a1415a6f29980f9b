"""The lines that a destination prints when it refuses, in its release's form."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from errno import EINVAL

from migratable.check.problem import MessageRef, RefusedError
from migratable.facts.behaviour import assertion, behaves
from migratable.messages import strerror, text
from migratable.releases import Release

#: Types of ``migration/vmstate-types.c`` whose ``get`` functions speak for themselves where they
#: take an Error, beside those that compare.
_SPEAK = frozenset({"tmp", "nullptr", "qtailq", "qlist", "gtree"})


def pointer_assertion(release: Release) -> MessageRef:
    """``migration/vmstate.c: vmstate_load_state``: a pointer must not be null."""
    return ("pointer-assertion", assertion(release, "null-pointer") or {})


def links_element(release: Release, info: str) -> bool:
    """Whether ``vmstate_load_state`` puts a link around the error of a type's ``get`` function."""
    speaks = info in _SPEAK or info.endswith((" equal", " le"))
    return not (speaks and behaves(release, "get-takes-error"))


def reports_body(release: Release) -> bool:
    """Whether ``get_tmp``, ``get_qtailq`` and the like report the error of a body inside them.

    They did so as long as they could not hand it on.
    """
    return not behaves(release, "get-takes-error")


def configuration_links(release: Release, *, read: bool) -> tuple[MessageRef, ...]:
    """The links around an error of the configuration section."""
    if not read or not behaves(release, "get-takes-error"):
        return ()
    words: dict[str, str | int] = {"vmsd": "configuration", "version": 1, "minimum": 0}
    return (("post-load-hook-error", words),)


def device_links(idstr: str, instance_id: int) -> tuple[MessageRef, ...]:
    """``qemu_loadvm_section_start_full``."""
    return (("device-error", {"device": idstr, "instance_id": instance_id}),)


def part_links(
    release: Release, idstr: str, section_id: int, version_id: int
) -> tuple[MessageRef, ...]:
    """``qemu_loadvm_section_part_end``, and from 10.2 on ``vmstate_load`` in the chain."""
    if behaves(release, "chained-errors"):
        return (("vmstate-load-failed", {"version": version_id, "ret": -EINVAL}),)
    return (("section-error", {"section_id": section_id, "device": idstr}),)


def ram_links(release: Release, idstr: str, version_id: int) -> tuple[MessageRef, ...]:
    """The list of RAM blocks is read by a loader of the old style (``vmstate_load``)."""
    failed: tuple[MessageRef, ...] = ()
    if behaves(release, "chained-errors"):
        failed = (("vmstate-load-failed", {"version": version_id, "ret": -EINVAL}),)
    return (*failed, *device_links(idstr, 0))


def footer_links(section_id: int) -> tuple[MessageRef, ...]:
    """``check_section_footer``."""
    return (("footer-chain", {"section_id": section_id}),)


def said(words: MessageRef, release: Release) -> str:
    """One message as that release words it."""
    return text(words[0], release, **words[1])


def of_refusal(refused: RefusedError, outer: Iterable[MessageRef], release: Release) -> list[str]:
    """All lines from the cause to ``load of migration failed``.

    :param outer: what the loader's main loop adds, in the order of unwinding; up to 10.1 lines
        and from 10.2 on links.
    """
    if refused.problem.aborts:  # nothing after the assertion's own line
        return [said(words, release) for words in refused.problem.words]
    lines = _printed(refused, outer, release)
    if refused.problem.unended and len(lines) > 1:  # a line without its end, then the next
        lines[:2] = [lines[0] + refused.problem.unended + lines[1]]
    return lines


def _printed(refused: RefusedError, outer: Iterable[MessageRef], release: Release) -> list[str]:
    if not behaves(release, "chained-errors"):
        printed = [*refused.printed, *outer]
        lines = [said(words, release) for words in printed if _has(words, release)]
        return [*lines, _closing(refused.errno, release)]
    lines = [
        ": ".join(said(words, release) for words in group if _has(words, release))
        for group in refused.separate
    ]
    around = list(outer)
    links = [*refused.chain, *around]
    chain = [said(words, release) for words in reversed(links) if _has(words, release)]
    einval = bool(around) and behaves(release, "section-start-returns-einval")
    errno = EINVAL if einval else refused.errno
    return [*lines, ": ".join([_closing(errno, release), *chain])]


def abort_after(
    printed: Sequence[str], failed: Sequence[str], abort: Sequence[str], release: Release
) -> tuple[list[str], bool]:
    """Lines of a program that aborts after a failed load, before it reports the failure.

    :param printed: all lines up to the failure's, which ends with *failed*.
    :return: the lines, and whether the abort's are all that is said of the failure: from 10.2 on
        its causes are links of the line that is never printed.
    """
    before = list(printed[: len(printed) - len(failed)])
    if behaves(release, "chained-errors"):
        return [*before, *abort], True
    return [*before, *failed[:-1], *abort], False


def _closing(errno: int, release: Release) -> str:
    return text("load-failed", release, error=strerror(errno))


def _has(words: MessageRef, release: Release) -> bool:
    """Whether the release prints the message at all."""
    from migratable.messages import message  # noqa: PLC0415 -- only for refusals

    return message(words[0]).printed_by(release)
