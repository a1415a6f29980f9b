"""Parameters of a message in the catalogue's texts."""

from __future__ import annotations

import re

from migratable.explain.errnos import ERRNOS, begins, general
from migratable.messages.recognise import Match
from migratable.messages.setting import Setting, said

# What the runner of a test (avocado) puts behind the error that it quotes.
_RUNNER = re.compile(r"\s*\((?:exit status: ?\d*|\d+\.\d+ ?s?|\w+:\d+)\.?\)?\.?$")


def fill(
    text: str, match: Match, setting: Setting = Setting.MOVING, *, both_logs: bool = False
) -> str:
    """A text as it reads in a setting, with parameters; one that this wording lacks by its name.

    :param both_logs: the reader has given the logs of both sides.
    """

    def value(found: re.Match[str]) -> str:
        name, _, spec = found[1].partition(":")
        if name not in match.params:
            return f"the {name.replace('_', ' ')}"
        content = match.params[name]
        if isinstance(content, int):
            return format(content, spec) if spec else str(content)
        if name == "condition":
            content = content.partition("' failed")[0]
        text = unquoted(_RUNNER.sub("", content))
        # What a phrase takes along behind an errno is the next sentence of whoever quotes it.
        return begins(text) if name in phrases and begins(text) else _trimmed(text)

    phrases = {part.name for part in match.text.template.parameters if part.spec == "phrase"}
    text = said(text, setting, both_logs=both_logs)
    text = text.replace("{{", "{").replace("}}", "}")  # of a QMP command
    # What another wording of the message has, in brackets.
    text = re.sub(
        r" \(\{([a-z_0-9]+)\}\)", lambda found: found[0] if found[1] in match.params else "", text
    )
    return re.sub(r"\{([a-z_0-9]+(?::[#0-9xd]+)?)\}", value, text)


# The end of a Python call and of its quotation: "Message='…')'".
_WRAPPED_END = re.compile(r"['\"]\)+['\"]?\.?$")
# The end of a string in an object, and what follows it there.
_MEMBER_END = re.compile(r'\\*"\s*(?:[}\]]|,\s*\\*"\w|\)[A-Z])')
# A bracket that closes what a wrapper opened, and the wrapper's next sentence behind it.
_CLOSED = re.compile(r"(['\"\w)])\][.;:,]? +\S")


def unquoted(text: str) -> str:
    """*text* up to a closing quote or markup that it did not open: a quotation ends there."""
    for closing, opening in (("”", "“"), ("’", "‘"), ("»", "«"), ("**", "**"), ("`", "`")):
        at = text.find(closing)
        if at >= 0 and opening not in text[:at] and text.count(closing) % 2:
            text = text[:at]
    member = _MEMBER_END.search(text)
    if member and '"' not in text[: member.start()]:
        text = text[: member.start()]
    call = text.find('")')  # the end of a call in whose string the text stands
    if call > 0 and '"' not in text[:call]:
        text = text[:call]
    bracket = _CLOSED.search(text)
    return text[: bracket.end(1)] if bracket and "[" not in text[: bracket.start()] else text


def _trimmed(text: str) -> str:
    """*text* without the quotes and brackets that only close what a wrapper opened."""
    if "(" not in text:
        text = _WRAPPED_END.sub("", text)
    while text and text[-1] in "'\")]}.,":
        last = text[-1]
        if last == "," and text[-2:-1] not in ("'", '"'):
            break
        opening = {")": "(", "]": "[", "}": "{"}.get(last, last)
        if last in "'\"" and text.count(last) % 2 == 0:
            break
        if last in ")]}" and text.count(opening) >= text.count(last):
            break
        text = text[:-1]
    return text.strip()


# The C library's error texts that a remedy may have a clause for ("Permission denied: …").
# libvirt's words for an errno (virCommandExec).
_ALSO = {"no permission": "Permission denied"}
_NAMES = "|".join(
    re.escape(name)
    for name in sorted((*ERRNOS, "No such file", "No space", "Otherwise"), key=len, reverse=True)
)
_CLAUSE = re.compile(rf"(?:^|(?<=[.;:] ))(?=(?:{_NAMES})(?:(?:,| or|,? and) (?:{_NAMES}))*: )")


def for_error(remedy: str, error: str) -> str:
    """*remedy* without the clauses for other errors than the one that was printed.

    A clause begins with an error's text and a colon, and ends at the next. Where none fits, an
    errno's general remedy stands in their place; what is no errno leaves the remedy whole.
    """
    error = error.strip(" .'\"")
    error = _ALSO.get(error, error)
    parts = _CLAUSE.split(remedy)
    if not error or len(parts) < 2:
        return remedy
    heads = [part.partition(":")[0] for part in parts]
    named = [bool(re.match(_NAMES, head)) for head in heads]
    fits = [
        any(name == error or error.startswith(name) for name in re.findall(_NAMES, head))
        for head in heads
    ]
    if not any(fit and name for fit, name in zip(fits, named, strict=True)):
        fits = [
            name and head.startswith("Otherwise") for head, name in zip(heads, named, strict=True)
        ]
        if error not in ERRNOS:
            return remedy
    kept = []
    for part, head, name, fit in zip(parts, heads, named, fits, strict=True):
        if not name:
            kept.append(part.strip())
        elif fit:
            words = part[len(head) + 1 :].strip()
            kept.append(words[:1].upper() + words[1:])
    if not any(fits):
        kept.append(general(error))
    return " ".join(word.rstrip(";") + ("." if word.endswith(";") else "") for word in kept if word)
