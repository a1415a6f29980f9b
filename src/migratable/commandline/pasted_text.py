r"""From text as people paste it to words: logs, ``ps`` output, mail, forum posts.

Forms that are told apart here (all met in public threads):

* a shell command, also over many lines with `` \\`` at their ends (libvirt's log, ``qm showcmd``),
  with environment words before it;
* a whole libvirt log: its last start counts;
* Proxmox's ``start failed: command '…' failed: exit code 1``, quotes within quotes;
* the NUL-separated ``/proc/PID/cmdline``;
* ``ps`` and ``pstree`` output: no quoting, JSON stands bare, values with blanks are in pieces;
* JSON, lists of strings, rows of ``ps`` and Multipass's log: :mod:`.pasted_forms`;
* any of these after mail and forum software: quoted-printable, ``> ``, hard wraps within words,
  HTML and BBCode, Markdown's fences, typographic quotes and dashes.
"""

from __future__ import annotations

import html
import quopri
import re
import shlex

from migratable.commandline.pasted_forms import (
    ended,
    from_brackets,
    from_json,
    from_list,
    from_multipass,
    from_ps,
    from_yaml,
)
from migratable.errors import CommandLineError
from migratable.facts.options import BLANKS_IN_VALUE, FLAGS, KNOWN

_BASE = r"(?:qemu-system-[a-z0-9_]+|qemu-kvm|qemu-kiwi|kvm-spice|kvm|qemu)(?:\.real|\.bin|w?\.exe)?"
PROGRAM = re.compile(r"(?:[^\s'\"=]*[/\\])?" + _BASE)
_WINDOWS_PROGRAM = re.compile(r"""(["'])[A-Za-z]:\\[^"'\n]*\\(qemu-system-[a-z0-9_]+\.exe)\1""")
_BASE_IN_TEXT = re.compile(_BASE + r"(?:,\d{1,20})?(?=['\"]?(?:\s|$))")
_ENVIRONMENT = re.compile(r"[A-Za-z_]\w*=.*", re.S)
_LONGEST = 1 << 20
"""Characters. Whatever is done with them takes a time that grows with their number alone."""
_TYPOGRAPHY = str.maketrans(
    {"‘": "'", "’": "'", "“": '"', "”": '"', "\u00a0": " ", "\u200b": None, "\ufeff": None}
)
_DASHES = re.compile(r"(?:(?<=\s)|^)[–—―−](?=[A-Za-z-])", re.M)
_MARKUP = re.compile(
    r"</?(?:code|pre|p|br|tt|span|div)\b[^<>\n]{0,200}>|\[/?(?:code|quote|spoiler|icode)[^\[\]\n]{0,99}\]"
    r"|^[ \t]{0,20}(?:```|~~~)[\w+-]{0,20}[ \t]{0,20}$",
    re.M | re.I,
)
_OTHER_SHELLS = re.compile(r"(?<=[ \t])[`^][ \t]{0,20}\n[ \t]{0,200}")
"""How PowerShell and cmd.exe go on in the next line."""
_LIBVIRT_START = re.compile(r"^\S+ \S+: starting up\b.*$", re.M)


def words(text: str) -> list[str]:
    """Words of a command line in *text*, the program first (environment words left out).

    :raise CommandLineError: When there is no QEMU command line in it, or its quotes do not close.
    """
    if len(text) > _LONGEST and (last := text.rfind(": starting up")) >= 0:  # a libvirt log
        last = text.rfind("\n", 0, last) + 1
        text = text[last : last + _LONGEST]
    if len(text) > _LONGEST:
        raise CommandLineError(f"{len(text)} characters are too long for a QEMU command line")
    if "\0" in text:
        return text.strip("\n").rstrip("\0").split("\0")
    text = from_json(_tidy(text))
    found = from_list(text) or from_yaml(text) or from_multipass(text)
    if found:
        return found
    text = from_brackets(text)
    text = from_ps(text)
    if re.search(r"[A-Za-z]:\\", text):  # a backslash stands in paths, it quotes nothing
        text = _WINDOWS_PROGRAM.sub(r"\2", text).replace("^\n", "\n")
        # Inside single quotes (an escaped one is not a quote) it does not quote and is kept.
        text = re.sub(r"(\"'\"|'[^'\n]*')|\\(?!\n)", lambda match: match[1] or r"\\", text)
    text = _from_libvirt_log(text)
    start = _program_at(text)
    lab = _LAB.match(text)
    if lab is not None and (start is None or start >= lab.end() - 1):
        text = text.strip()
    elif start is None:
        variable = _VARIABLE.search(text)
        named = (
            f"; {variable[1]} is a shell's variable: write what it stands for" if variable else ""
        )
        raise CommandLineError(
            "no QEMU program in the text; expected a command line with a word like "
            f"qemu-system-x86_64, qemu-system-ppc64, qemu-kvm or /usr/bin/kvm{named}"
        )
    else:
        text = ended(_from_quoted_command(text, start))
    if _is_unquoted(text):
        return _own(_bare_words(_without_redirections(_unwrap(text))))
    if "\\\n" not in text:
        text = _unwrap(text)
    try:
        found = shlex.split(re.sub(r"\\[ \t]*\n\s*", " ", text), comments=False)
    except ValueError as error:
        raise CommandLineError(
            f"the quotes of the command line do not close ({error}); "
            "give it whole, or as separate words after --"
        ) from None
    return _own(_before_shell_syntax(found))


def _own(found: list[str]) -> list[str]:
    """The words without a script's own arguments (``"$@"``): it is taken to have none."""
    return [word for word in found if word not in _ARGUMENTS]


def _program_at(text: str) -> int | None:
    """Where the first word begins that names a QEMU program, with its path.

    A shell's variable, ``sudo -u qemu`` or ``/dev/kvm`` may stand before the program, and a line
    without a program's name still has ``-accel kvm``: a word with options behind it is the program
    before one without, a name that is nothing else (``qemu-kvm``) before ``qemu`` and ``kvm``, and
    the argument of an option of QEMU's is none.
    """
    best, found = 0, None
    for match in _BASE_IN_TEXT.finditer(text):
        at = _word_at(text, match)
        if at is None:
            continue
        worth = 1 + (at < match.start() or match[0] not in _BARE)
        if _OPTION_NEXT.match(text, match.end()):
            worth += 2
        if worth > best:
            best, found = worth, at
        if worth == _SUREST:
            break
    return found


def _word_at(text: str, match: re.Match[str]) -> int | None:
    """Where the program's word begins, with its path; None where the name is no word for one."""
    at = match.start()
    before = text[at - 1 : at]
    window = text[max(0, at - _LONGEST_PATH) : at]
    # From the right: what stands far before costs nothing.
    blank = "" if not window or window[-1].isspace() else window.rsplit(None, 1)[-1]
    earlier = window[: len(window) - len(blank)]
    words = earlier.replace("\\\n", " ").rsplit(None, 1)
    option = words[-1].strip("'\"") if words else ""
    command = before in {"'", '"', "`"} and _OPTION_NEXT.match(text, match.end())
    if _DASHED.match(blank) or (not command and _takes_argument(option)):
        return None
    if before in {"/", "\\"}:
        word = blank[max(map(blank.rfind, "'\"=")) + 1 :]
        return (
            None
            if f"{word}{match[0]}" == "/dev/kvm" or len(word) == _LONGEST_PATH
            else at - len(word)
        )
    prompt = "#;(&" if match[0] in _BARE else "#;(&$>%"
    # pstree draws |-qemu-system-x86,251092
    drawn = before == "-" and text[at - 2 : at - 1] in {"|", "`", "+"}
    return at if not before or before.isspace() or before in "'\"|`=" + prompt or drawn else None


def _takes_argument(word: str) -> bool:
    name = word.lstrip("-")
    return word.startswith("-") and name in KNOWN and name not in FLAGS


_BARE = frozenset({"qemu", "kvm"})
_VARIABLE = re.compile(r"(?:^|[\s;&|])(\$\{?\w{1,99}\}?)[\s\\]{1,99}--?[A-Za-z]")
_SUREST = 4
_OPTION_NEXT = re.compile(r"['\"]?[\s\\]+['\"]?--?[A-Za-z]")
_DASHED = re.compile(r"['\"]?--?[A-Za-z]")
_LONGEST_PATH = 4096
_LAB = re.compile(r"\s*(?:lab:\S+|(?=\S*/\S)\S+(?: [a-z0-9_]+)?\s+-)")  # or any path, options next
_SHELL_END = re.compile(r"(?<!\s)\s+(?:\d?>>?\s*\S+|&)\s*$")
_THEN = re.compile(r"(?<!\s)\s*;\s*(?:(?:then|do|done|fi|else|and|or|exit|echo)\b|$)")
_MOST_REDIRECTIONS = 10


def _without_redirections(text: str) -> str:
    text = _THEN.split(text, maxsplit=1)[0]
    for _ in range(_MOST_REDIRECTIONS):
        text, count = _SHELL_END.subn("", text)
        if not count:
            break
    return text


_ARGUMENTS = frozenset({"$@", "$*", "${@}", "${*}"})
_SHELL_SYNTAX = re.compile(r"&|&&|\|\|?|;|\d?>>?(?:&\d|\S*)|<\S*|#")


def _before_shell_syntax(found: list[str]) -> list[str]:
    """Cut what a shell would not hand over: redirections, ``&``, the next command."""
    for number, word in enumerate(found):
        before = found[number - 1].lstrip("-") if number else ""
        if before in KNOWN and before not in FLAGS:
            continue  # an option's argument, whatever it looks like
        if _SHELL_SYNTAX.fullmatch(word):
            return found[:number]
        if number and word.endswith(";") and not word.startswith("-"):
            return [*found[:number], word[:-1]]
    return found


def _tidy(text: str) -> str:
    """Undo what mail and forum software does to a text."""
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    equals = re.findall(r"=(?:[0-9A-F]{2}|\n|$)", text)
    if "=3D" in text and len(equals) == text.count("="):
        text = quopri.decodestring(text.encode("utf-8", "surrogateescape")).decode(
            "utf-8", "replace"
        )
    if re.search(r"&(?:quot|amp|gt|lt|#39|#34|nbsp);", text):
        text = html.unescape(text)
    text = _MARKUP.sub("", _DASHES.sub("-", text.translate(_TYPOGRAPHY)))
    text = _OTHER_SHELLS.sub(" ", text)
    lines = text.split("\n")
    marked = [line for line in lines if line.strip()]
    if sum(line.lstrip().startswith(">") for line in marked) > 1:  # a quoted mail, or shell prompts
        lines = [re.sub(r"^\s*(?:>\s?)+", "", line) for line in lines]
    if len(marked) > 1 and all(line.endswith("$") for line in marked):  # cat -A, vi's `list`
        lines = [line[:-1] if line.endswith("$") else line for line in lines]
    return "\n".join(lines)


def _from_libvirt_log(text: str) -> str:
    """The last start of a libvirt log; other text is given back."""
    starts = list(_LIBVIRT_START.finditer(text))
    if starts:
        text = text[starts[-1].end() :].lstrip("\n")
    lines = text.split("\n")
    number = 0
    while number < len(lines):
        last = number
        while last < len(lines) and lines[last].rstrip().endswith("\\"):
            last += 1
        if last > number:
            block = "\n".join(lines[number : last + 1])
            if _program_at(block) is not None:
                return block
        number = last + 1
    if starts:  # libvirt before 6.0 writes one line
        for line in lines:
            if _program_at(line) is not None:
                return line
    return text


def _from_quoted_command(text: str, start: int) -> str:
    """Cut what stands before the program, and the quotes around a whole command."""
    before, text = text[:start], text[start:]
    quote = before[-1:]
    if quote in {"'", '"', "`"}:
        end = text.rfind(quote)
        if quote == "'" and (failed := re.search(r"' failed: ", text)):
            end = failed.start()
        if end > 0 and (quote != "'" or before.rstrip("'").rstrip().endswith(("command", "exec"))):
            return text[:end]
        if end > 0 and text[:end].count(quote) % 2 == 0:
            return text[:end]
    if before.endswith("(") and (end := text.rfind(")")) > 0:
        return text[:end]
    if before.endswith("-"):  # pstree draws |-qemu-system-x86,251092
        text = re.sub(r"^(\S+?),\d+(?=\s)", r"\1", text)
    return text


def _is_unquoted(text: str) -> bool:
    """Is this what ``ps`` shows, in which quotes and backslashes mean themselves?"""
    if re.search(r"""(?:^|\s)-?-?(?:device|object|blockdev|netdev|audiodev)\s+\{""", text):
        return True
    return not re.search(r"""['"\\]""", text)


def _unwrap(text: str) -> str:
    r"""Join hard-wrapped lines; breaks between words stay as ``\n``."""
    lines = text.strip("\n").split("\n")
    if len(lines) < 2:
        return text
    width = max(len(line) for line in lines[:-1])
    full = [len(line) == width for line in lines[:-1]]
    fixed = width >= 40 and len(lines) > 2 and sum(full) >= 0.6 * len(full)
    out = lines[0]
    for number, line in enumerate(lines[1:]):
        stripped = line.strip()
        cut_within_word = (
            out.endswith((",", "=", ":"))
            or stripped.startswith((",", "="))
            or bool(re.search(r"\w-$", out[-2:]))
            or (fixed and full[number])
        )
        if cut_within_word and not re.match(r"-[A-Za-z]", stripped):
            out += line if fixed else stripped
        elif cut_within_word and fixed and not re.match(r"-([\w-]+)(?:\s|$)", line):
            out += line
        else:
            out += "\n" + line
    return out


class _Value:
    """A word that may get more pieces; what is asked of it costs the same however long it is."""

    __slots__ = ("_is_json", "_open", "pieces")

    def __init__(self, word: str) -> None:
        self.pieces = [word]
        self._is_json = word.startswith("{")
        self._open = word.count("{") - word.count("}")

    def add(self, glue: str, word: str) -> None:
        self.pieces += [glue, word]
        self._open += word.count("{") - word.count("}")

    def is_open_json(self) -> bool:
        return self._is_json and self._open > 0

    def text(self) -> str:
        return "".join(self.pieces)


def _bare_words(text: str) -> list[str]:
    """Split ``ps`` output: a word that is no option belongs to the value before it."""
    out: list[_Value] = []
    pieces = re.findall(r"(\s*)(\S+)", text.strip())
    takes_value = False
    option = ""
    for number, (gap, word) in enumerate(pieces):
        name = word.lstrip("-") if word.startswith("-") and len(word) > 1 else ""
        if number == 0 or takes_value:
            out.append(_Value(word))
            takes_value = False
        elif name in KNOWN or (name and not option):
            out.append(_Value(word))
            option = name
            takes_value = name not in FLAGS
        elif option and _belongs_to(option, out[-1], word):
            glue = "" if "\n" in gap and option not in {"append", "name", "smbios"} else " "
            out[-1].add(glue, word)
        else:
            out.append(_Value(word))
            if name:
                option, takes_value = name, False
    return [value.text() for value in out]


_IMAGE = re.compile(r"\.(?:img|iso|qcow2?|raw|vmdk|vdi|vhdx?|qed|dsk)$", re.I)


def _belongs_to(option: str, value: _Value, word: str) -> bool:
    """Is *word* a piece of *value*, torn off at a blank, rather than a disk image's name?"""
    if option in FLAGS:
        return False
    if value.is_open_json() or word.startswith(",") or value.pieces[-1].endswith((",", "=")):
        return True
    if option in BLANKS_IN_VALUE:
        return not (_IMAGE.search(word) and "=" not in word and option not in {"append", "smbios"})
    return "=" in word or "," in word


def join_torn(argv: list[str]) -> list[str]:
    """Mend a list of words in which a shell has split values with blanks (``-smbios``).

    Only where the word cannot be anything else: it holds a comma and an equals sign, or the value
    before it is open JSON, and no option or file name stands there.
    """
    out: list[_Value] = []
    option = ""
    takes_value = False
    for word in argv:
        name = word.lstrip("-") if word.startswith("-") and len(word) > 1 else ""
        if takes_value:
            takes_value = False
        elif name:
            option, takes_value = name, name in KNOWN and name not in FLAGS
        elif (
            out
            and option in BLANKS_IN_VALUE | {"object"}
            and (out[-1].is_open_json() or ("," in word and "=" in word))
        ):
            out[-1].add(" ", word)
            continue
        out.append(_Value(word))
    return [value.text() for value in out]


_WRAPPERS = re.compile(
    "sudo|env|exec|nice|ionice|numactl|taskset|chrt|nohup|time|command|strace|unshare|setpriv"
    "|systemd-run|prlimit|doas"
)


def drop_environment(argv: list[str]) -> list[str]:
    """Leave out environment words and wrappers (``sudo``, ``numactl …``) before the program."""
    wrapped = False
    while argv and (
        (_ENVIRONMENT.fullmatch(argv[0]) and "/" not in argv[0].partition("=")[0])
        or _WRAPPERS.fullmatch(argv[0].rpartition("/")[2])
    ):
        wrapped = wrapped or _WRAPPERS.fullmatch(argv[0].rpartition("/")[2]) is not None
        argv = argv[1:]
    if wrapped:
        programs = [number for number, word in enumerate(argv) if PROGRAM.fullmatch(word)]
        # sudo -u qemu -g kvm /usr/libexec/qemu-kvm -m …
        named = [number for number in programs if argv[number] not in _BARE]
        return argv[(named or programs or [0])[0] :]
    return argv
