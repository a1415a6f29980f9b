"""Remove secrets from a VM's definition that a capture keeps.

A word keeps its form: only the value of a secret becomes ``redacted``, so that the command line
is still the machine's.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

GONE = "redacted"
_WHOLE = frozenset({"append"})
_KEYS = re.compile(r"(?i)(?:.*[._-])?(?:password|passwd|passphrase|cookie|secret-data|api-?key)")
_SWITCH = frozenset({"on", "off", "yes", "no", "true", "false", "y", "n"})
_USER = re.compile(r"(?<=://)[^/@\s,'\"]+(?=@)")
_RBD_KEY = re.compile(r"(?<=:key=)[^:,\s'\"]+")
_MEMBER = re.compile(r"(?P<key>[^,=]+)=(?P<value>(?:,,|[^,])*)")
_ALWAYS = {
    "object": (re.compile(r"(?:^|,)(?:qom-type=)?secret(?:,|$)"), frozenset({"data"})),
    "fw_cfg": (re.compile(r""), frozenset({"string"})),
    "smbios": (re.compile(r"(?:^|,)type=11(?:,|$)"), frozenset({"value"})),
}
"""Members that are secret, or may hold one, where the option's value looks like this."""


def words(argv: Sequence[str]) -> tuple[str, ...]:
    """A command line's words without secrets."""
    out: list[str] = []
    option = ""
    for word in argv:
        if word.startswith("-") and len(word) > 1:
            option = word.lstrip("-")
            out.append(word)
        else:
            out.append(_value(option, word))
            option = ""
    return tuple(out)


def _value(option: str, value: str) -> str:
    if option in _WHOLE:
        return GONE
    if value.startswith("{"):
        try:
            document = json.loads(value)
        except (ValueError, RecursionError):
            return GONE  # it cannot be told what is in it
        return json.dumps(_document(document), separators=(",", ":"))
    pattern, members = _ALWAYS.get(option, (None, frozenset()))
    named = members if pattern is not None and pattern.search(value) else frozenset()

    def member(found: re.Match[str]) -> str:
        key, text = found["key"], found["value"]
        if key in named or (_KEYS.fullmatch(key) and text not in _SWITCH):
            text = GONE
        return f"{key}={text}"

    return _text(_MEMBER.sub(member, value))


def _text(text: str) -> str:
    return _RBD_KEY.sub(GONE, _USER.sub(GONE, text))


def _document(value: Any) -> Any:
    if isinstance(value, dict):
        secret = value.get("qom-type") == "secret"
        return {
            key: GONE
            if (_KEYS.fullmatch(key) and isinstance(one, str)) or (secret and key == "data")
            else _document(one)
            for key, one in value.items()
        }
    if isinstance(value, list):
        return [_document(one) for one in value]
    return _text(value) if isinstance(value, str) else value


_XML: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"(\spasswd=)(['\"]).*?\2", re.DOTALL), rf"\1\2{GONE}\2"),
    (re.compile(r"(<cmdline>).*?(</cmdline>)", re.DOTALL), rf"\1{GONE}\2"),
    (re.compile(r"(<cookie\b[^>]*>).*?(</cookie>)", re.DOTALL), rf"\1{GONE}\2"),
    (re.compile(r"(<qemu:env\b[^>]*\bvalue=)(['\"]).*?\2", re.DOTALL), rf"\1\2{GONE}\2"),
)
_OEM = re.compile(r"<(oemStrings)>.*?</\1>|<(sysinfo) type=(['\"])fwcfg\3>.*?</\2>", re.DOTALL)
_ENTRY = re.compile(r"(<entry(?:\s[^>]*[^>/])?>).*?(</entry>)", re.DOTALL)
_ARGUMENT = re.compile(r"(<qemu:arg\b[^>]*?\bvalue=)(['\"])(?P<text>.*?)\2", re.DOTALL)


def domain_xml(text: str) -> str:
    """A libvirt definition without secrets."""
    from html import escape, unescape  # noqa: PLC0415 -- libvirt only

    for pattern, new in _XML:
        text = pattern.sub(new, text)
    text = _OEM.sub(lambda match: _ENTRY.sub(rf"\1{GONE}\2", match[0]), text)
    given = [unescape(match["text"]) for match in _ARGUMENT.finditer(text)]
    clean = iter(words(given))
    return _ARGUMENT.sub(
        lambda match: f"{match[1]}{match[2]}{escape(next(clean), quote=True)}{match[2]}", text
    )
