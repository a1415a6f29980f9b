"""Parameters of a message in the catalogue's texts."""

from __future__ import annotations

import re

from migratable.messages.recognise import Match


def fill(text: str, match: Match) -> str:
    """Parameters into a text; one that the match does not have stays as it is."""

    def value(found: re.Match[str]) -> str:
        name, _, spec = found[1].partition(":")
        if name not in match.params:
            return found[0]
        content = match.params[name]
        if isinstance(content, int):
            return format(content, spec) if spec else str(content)
        return _trimmed(unquoted(content))

    return re.sub(r"\{([a-z_0-9]+(?::[#0-9xd]+)?)\}", value, text)


def unquoted(text: str) -> str:
    """*text* up to a closing quote or markup that it did not open: a quotation ends there."""
    for closing, opening in (("”", "“"), ("’", "‘"), ("»", "«"), ("**", "**"), ("`", "`")):
        at = text.find(closing)
        if at >= 0 and opening not in text[:at] and text.count(closing) % 2:
            text = text[:at]
    return text


def _trimmed(text: str) -> str:
    """*text* without the quotes and brackets that only close what a wrapper opened."""
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
