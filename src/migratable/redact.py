"""Remove secrets from a VM's definition that a capture keeps.

A word keeps its form: only the value of a secret becomes ``redacted``, so that the command line
is still the machine's.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from migratable.facts.options import FLAGS, KNOWN

GONE = "redacted"
_WHOLE = frozenset({"append"})
_KEYS = re.compile(
    r"(?i)(?:.*[._-])?(?:password|passwd|passphrase|cookie|secret-data|api-?key|append|bootargs"
    r"|boot-args)"
)
_SWITCH = frozenset({"on", "off", "yes", "no", "true", "false", "y", "n"})
_USER = re.compile(r"(?<=://)[^/\s,'\"]+(?=@)")
_RBD_KEY = re.compile(r"(?<=:key=)[^:,\s'\"]+")
_MEMBER = re.compile(r"(?P<key>[^,=]+)=(?P<value>(?:,,|[^,])*)")
_SECRET_OBJECT = re.compile(r"(?:^|,)(?:qom-type=)?secret(?:,|$)")
_ALWAYS = {
    "object": frozenset({"data"}),
    "fw_cfg": frozenset({"string"}),
    "smbios": frozenset({"value"}),
}
"""Members that are secret, or may hold one."""
_SHORTEST = 4
"""Characters of a secret that is looked for in other texts; a shorter one would be everywhere."""


def words(argv: Sequence[str]) -> tuple[str, ...]:
    """A command line's words without secrets."""
    return _Redaction().words(argv)


def secrets(argv: Sequence[str]) -> frozenset[str]:
    """What :func:`words` takes out, where other texts may repeat it: QEMU's messages, notes."""
    redaction = _Redaction()
    redaction.words(argv)
    return frozenset(redaction.found)


def without(text: str, found: Iterable[str]) -> str:
    """*text* without the secrets *found* in a command line."""
    for one in sorted(found, key=len, reverse=True):
        text = text.replace(one, GONE)
    return text


class _Redaction:
    """One command line; *found* are its secrets as they stand there, and as they are meant."""

    def __init__(self) -> None:
        self.found: set[str] = set()

    def words(self, argv: Sequence[str]) -> tuple[str, ...]:
        """An option that takes a value has the next word, whatever that looks like."""
        out: list[str] = []
        option = ""
        for word in argv:
            if option in KNOWN or (option and not word.startswith("-")):
                out.append(self._value(option, word))
                option = ""
                continue
            if not word.startswith("-"):  # the program, or a disk's image
                out.append(self._text(word) if "://" in word else word)
                continue
            out.append(word)
            name = word.lstrip("-")
            option = "" if name in FLAGS else name
        return tuple(out)

    def _gone(self, text: str) -> str:
        for one in (text, text.replace(",,", ",")):
            if len(one) >= _SHORTEST and one not in {GONE, *_SWITCH}:
                self.found.add(one)
        return GONE

    def _value(self, option: str, value: str) -> str:
        if option in _WHOLE or (option == "incoming" and value.startswith("exec:")):
            return self._gone(value)
        if value.startswith("{"):
            return self._json(value)
        named = _ALWAYS.get(option, frozenset())
        if option == "object" and not _SECRET_OBJECT.search(value):
            named = frozenset()
        if option == "set":  # GROUP.ID.KEY=VALUE
            group = value.partition(".")[0]
            head = value.partition("=")[0].rpartition(".")[0]
            named = frozenset(f"{head}.{key}" for key in _ALWAYS.get(group, ()))
        if option == "global" and _KEYS.fullmatch(_property(value)):
            named = frozenset({"value"})

        def member(found: re.Match[str]) -> str:
            key, text = found["key"], found["value"]
            if key in named or (_KEYS.fullmatch(key) and text not in _SWITCH):
                text = self._gone(text)
            elif text.startswith("json:"):
                text = "json:" + self._json(text[5:].replace(",,", ",")).replace(",", ",,")
            return f"{key}={text}"

        return self._text(_MEMBER.sub(member, value))

    def _text(self, text: str) -> str:
        gone = lambda found: self._gone(found[0])  # noqa: E731
        return _RBD_KEY.sub(gone, _USER.sub(gone, text))

    def _json(self, text: str) -> str:
        try:
            document = json.loads(text)
        except (ValueError, RecursionError):
            return self._gone(text)  # it cannot be told what is in it
        return json.dumps(self._document(document), separators=(",", ":"))

    def _document(self, value: Any) -> Any:
        if isinstance(value, dict):
            secret = value.get("qom-type") == "secret"
            return {
                key: self._gone(str(one))
                if (_KEYS.fullmatch(key) or (secret and key == "data"))
                and isinstance(one, (str, int, float))
                and not isinstance(one, bool)
                and one not in _SWITCH
                else self._document(one)
                for key, one in value.items()
            }
        if isinstance(value, list):
            return [self._document(one) for one in value]
        return self._text(value) if isinstance(value, str) else value


def _property(text: str) -> str:
    """The property of a ``-global`` that is written out: ``driver=…,property=…,value=…``."""
    named = re.search(r"(?:^|,)property=([^,]*)", text)
    return named[1] if named else ""


_QUOTED = "'[^']*'|\"[^\"]*\""
_XML: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(rf"(\spasswd=)(?:{_QUOTED})"), rf"\1'{GONE}'"),
    (re.compile(r"(<cmdline>)[^<]*(</cmdline>)"), rf"\1{GONE}\2"),
    (re.compile(r"(<cookie\b[^<>]*>)[^<]*(</cookie>)"), rf"\1{GONE}\2"),
    (re.compile(rf"(<qemu:env\b[^<>]*\bvalue=)(?:{_QUOTED})"), rf"\1'{GONE}'"),
)
_OEM = re.compile(r"<(oemStrings)>|<(sysinfo) type=(['\"])fwcfg\3>")
_ENTRY = re.compile(r"(<entry(?:\s[^<>]*)?>)[^<]*(</entry>)")
_ARGUMENT = re.compile(rf"(<qemu:arg\b[^<>]*\bvalue=)({_QUOTED})")


def domain_xml(text: str) -> str:
    """A libvirt definition without secrets. The time grows with the length of *text* alone."""
    from html import escape, unescape  # noqa: PLC0415 -- libvirt only

    for pattern, new in _XML:
        text = pattern.sub(new, text)
    text = "".join(_without_oem_strings(text))
    given = [unescape(match[2][1:-1]) for match in _ARGUMENT.finditer(text)]
    clean = iter(words(given))
    return _ARGUMENT.sub(lambda match: f"{match[1]}'{escape(next(clean), quote=True)}'", text)


def _without_oem_strings(text: str) -> Iterator[str]:
    at = 0
    while found := _OEM.search(text, at):
        end = text.find(f"</{found[1] or found[2]}>", found.end())
        end = len(text) if end < 0 else end
        yield text[at : found.end()]
        yield _ENTRY.sub(rf"\1{GONE}\2", text[found.end() : end])
        at = end
    yield text[at:]
