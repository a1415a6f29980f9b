"""What a line with an error's word is: an error, an outcome, a sentence, or none of them."""

from __future__ import annotations

import enum
import re
from collections.abc import Iterator

from migratable.explain.logs import PROGRAM

ERROR_WORDS = re.compile(
    r"\b(?:error|fail|failed|fails|failure|unable|cannot|can't|couldn't|invalid|unsupported|refus\w*|"
    r"mismatch|missing|(?<!<)unknown|abort\w*|assert\w*|not supported|incompatible|could not|"
    r"denied|reject\w*|timed out|no such|not found|exception|panic|fatal|forbidden|insufficient|"
    r"unavailable|unreachable|corrupt\w*|crashed|unexpected\w*|disallowed|exceed(?:s|ed)|"
    r"(?:does not|doesn't) (?:support|exist|match|have)|"
    r"not (?:allowed|available|permitted|possible|enough|recogni[sz]ed|ready)|"
    r"not (?:yet )?implemented|must (?:not )?be (?:at (?:least|most)|less|greater|larger|smaller|"
    r"equal)|requires that|cannot be used|already (?:in use|exists?|migrating))\b|"
    r"\w(?:Error|Exception): |must be [<>]=?|^[EF]\d{4} \d\d:\d\d:|"
    r"\b(?:erro|falha|fehler|fehlgeschlagen|erreur|échec|errore|fallit[oa]|impossible de|"
    r"impossibile|falló|ошибка|не удалось)\b|错误|失败|无法|エラー|失敗|"
    r"\bat /\S{1,300}\.p[ml] line \d+(?:, <\S{1,40}> \w+ \d+)?\.?\W{0,3}$",  # Perl's die
    re.IGNORECASE,
)
# Of what a person shows and asks about, where nothing else looks like an error: so many bytes, and
# so few lines that any of them may be it.
SNIPPET, FEW = 4 << 10, 4
WEAK_WORDS = re.compile(
    r"\b(?:not?|never|only|already|busy|conflicts?|lost|wrong|incorrect|bad|requires?|required|needs?|"
    r"must|too (?:many|much|large|small|long|old|new)|in use|used|twice|double|duplicate|killed|"
    r"out of|stuck|hangs?|timeout|disabled|without|unacceptable|ineligible|different|differs?|"
    r"expected|ended|exit(?:ed)?|died|dead|left|rejecting|deny|stopp?ed|cancel\w*|shut ?off|paused|"
    r"segfault|signal|core dumped|unimplemented|"
    r"violat\w+|overlaps?|full|empty|locked|reset)\b|n't\b|NotLive|"
    r"(?-i:\w(?:Error|Exception|Failed|NotFound)\b|\b[A-Z]{2,}(?:_[A-Z]+)+\b(?!=))",
    re.IGNORECASE,
)
# A step that began or went well, of a service or of a move.
STEP = re.compile(
    r"\b(?:start(?:ed|ing|s)|reached|created|creating|listening|mounted|loaded|finished|connected|"
    r"initiating|entered|activated|version:?|using|set migration)\b",
    re.IGNORECASE,
)
# The end of what went well.
WENT_WELL = re.compile(
    r"\bmigration (?:finished|completed|status: completed)|\bsuccessful|\bsucceeded|\bTASK OK\b|"
    r"\[ ?100 ?%\]|\bstatus\W{1,4}completed",
    re.IGNORECASE,
)
# A member of a JSON or Python object that only opens another one.
OPENS = re.compile(r"""[\s{[,]*["']?\w+["']?\s*[:=]\s*[{[(]*,?""")


# Headings of the error that follows: virsh's two lines ("error: Failed to start domain x", then
# libvirt's own words), Incus's list, a report's "this error:".
_VIRSH = re.compile(
    r"\berror: (?:(?:Failed|Disconnected|Unable|Could not) ?(?:to|from)? ?\w+|"
    r"(?:cannot|failed to|could not|unable to) (?:\w+ ){1,3}"
    r"(?:volume|network|pool|domain|device|interface|secret|snapshot|checkpoint)s?\b[^:]{0,100}$|"
    r"(?:Domain|Network|Pool|Device) [^:]{1,100} (?:could not|cannot) be \w+$)"
)
_NEXT_ERROR = re.compile(r"\berror: ")
_TITLE = re.compile(
    r"[\W_]*(?:errors?|logs?|problem|failure|bug|output|actual results?|error details)[\W_]*", re.I
)
# The outcome and nothing else, a line of a traceback, a count of a test runner's or of make's.
_OUTCOME = re.compile(
    r"[\W\d]*(?:(?:the )?(?:live )?(?:migration|instance|vm|domain|failed|job|task)[\W_]*)?"
    r"(?:has |is )?(?:failed|true|error|aborted)(?:[\W_]*true)?[\W\d_]*|raise [\w.]+\(.*|"
    r"(?:instance|domain|vm) failed to (?:spawn|start|launch|boot|build|resume|reboot)\W*|"
    r"make: \*.*|[\w ]*\btoo few tests run.*|(?:.*\s)?\d* ?Abort trap: \d+.*|: unknown|"
    r"(?:\S+\s*:\s*)?ok=\d+.*\bfailed=\d+.*|"
    r"(?:.*\s)?(?:migration )?[\"']?status[\"']?: [\"']?fail(?:ed|ure)[\"']?,?",
    re.IGNORECASE,
)
# An argument of gdb's that it could not read.
_ARGUMENT = re.compile(r"\w+=\S+ <error: Cannot access memory at address .*")
# gdb's and coredumpctl's own lines around a backtrace, which is read for itself; a frame of
# Java's, Ruby's, Python's or Go's.
_FRAME = re.compile(
    r"==\d+==.*|#\d+ .*|.*\breceived signal SIG.*|Program terminated with signal.*|"
    r".*\(core dumped\)|Thread \d+ .*|"
    r"at (?:async |new )?[\w.$<>/#\[\]]+(?: \[as \w+\])? ?\(.*\)|"
    r"\.\.\. \d+ (?:more|common frames omitted)|"
    r"(?:from )?\S+:\d+:in [`'][^']*'?|File \".*\", line \d+, in .*|goroutine \d+ .*|"
    r"(?:at )?\S{0,400}\.(?:rb|py|java|[cm]?js|ts|go):\d+(?::\d+|:in [^:]*)?\)?|"
    r"\S+\.go:\d+(?: \+0x[0-9a-f]+)?|(?:try|except|finally)\b.*:|"
    r"(?:if\b.{1,200}: )?raise\b.*"
)
_CLASS = re.compile(r"\(?[\w.:]*(?:Error|Exception)\)?:?|Exception (?:Type|Location): .*")
# Terraform's and Ansible's words around an error: where it stands in their own files, and a count.
_PLACE = re.compile(
    r"(?:on \S+ line \d+, in .*|with (?:module|provider|data|libvirt_\w+)[\w.\[\]\"/-]*,|"
    r"\d+: *(?:resource|terraform|provider|module|data) .*|"
    r"(?:\* )?(?:[\w.\[\]-]+: )?\d+ errors? occurred:|"
    r"(?:\* )?(?:[\w.\[\]-]+: )?\d+ error\(s\) occurred:|Error: Error applying plan:|"
    r"Build '.*' errored.*|(?:==> )?Some builds didn't complete.*|.*\bBuild was halted\.\W*|"
    r".* error-count \[\]string.*|"
    r"(?:Major|Minor) opcode of failed request: .*|"
    r".* is tainted: [\w-]+|(?:TASK|PLAY|RUNNING HANDLER) \[.*\][ *]*)"
)
# A setting or a counter, whatever its name ("decompress-error-check: on", "errors: 0").
_SETTING = re.compile(
    r"[\w.\[\]\"'-]{1,60}(?: [\w.\[\]\"'-]{1,30}){0,3} ?[:=]\s*[\"']?"
    r"(?:on|off|true|false|yes|no|none|null|enabled|disabled|"
    r"\d[\d.,]*(?: ?\w{1,12})?)[\"']?[,;]?",
    re.IGNORECASE,
)
# An element of libvirt's XML.
_ELEMENT = re.compile(r"</?[\w:-]+(?:\s[^<>]*)?/?>(?:[^<>]{0,60}</[\w:-]+>)?")
# QEMU's trace events (log backend): a name from trace-events, then its values.
_TRACE = re.compile(
    r"(?:\d+@\d+\.\d+:)?(?:migrate|migration|savevm|loadvm|qemu_loadvm|vmstate|cpr|postcopy|"
    r"multifd|ram|source_return_path|process_incoming|vfio|qio_channel|nbd|mirror|qemu_file)"
    r"_\w+(?: [^:]*| \w+=.*)?"
)
_PERSON = re.compile(r"\b(?:I|we|you|my|our|I'm|I've|it's|anyone|thanks)\b|\?$", re.IGNORECASE)
# Words that sentences of people are full of, and those that a program puts before its own.
_SMALL_WORD = re.compile(
    r"\b(?:the|a|an|is|are|was|were|and|or|but|when|while|after|before|this|that|there|which|then|"
    r"because|since|so|if|in|on|at|of|with|as|by|has|have|had|be|been|will|would)\b",
    re.IGNORECASE,
)
_LOGGED = re.compile(
    r"^\W{0,4}(?:\d{2,4}[-:/.]\d\d|\w{3} [ \d]\d \d\d:|[A-Z]{4,8}\b|[EWF]\d{4} |"
    r"(?:[\w.-]{2,40} ){0,2}[\w./-]{2,60}(?:\[\d+\])?: |\w+=)"
)
_MANY, _SHARE = 12, 0.25
# A line that ends so is read on in the next one; where it speaks of an error, that one is it.
_INTRODUCES = re.compile(
    r"(?:errors?|error messages?|messages?|exceptions?|failures?|logs?|output|traceback|"
    r"(?:shown|seen|see|as) below|following|says?|saying|shows?|with|"
    r"报错|错误|提示|Fehler\w*|erreur)(?:\s+(?:below|is|are|was|shown|follows))*\W{0,6}$",
    re.IGNORECASE,
)
OF_AN_ERROR = re.compile(r"\berror|exception|fail|报错|错误|Fehler|fehl|erreur", re.IGNORECASE)
_HEADS = re.compile(
    r"\bThere was an error talking to Libvirt|\b(?:FAILED! =>|failed: \[[^]]*\].* =>)(?: *\{)?\W*$"
)
COMMAND = re.compile(
    r"\s*(?:[$#>❯]|(?:\S{1,60}[$#]) |sudo |virsh |qm |kubectl |virtctl |lxc |incus |qemu-|"
    r"openstack |nova |ssh |cat |ls |echo |dmesg)"
)
# What a command line holds that is no error's word: options, and what it would print.
OPTIONS = re.compile(r"(?<=\s)--[a-z][\w-]*|\becho\s.*")
# What a sentence quotes; behind words that say that it is an error it needs no error's word.
_QUOTED = re.compile(
    r"\"(?P<a>[^\"]{8,500})\"|(?<!\w)'(?P<b>[^']{8,500})'(?!\w)|`(?P<c>[^`]{8,500})`|"
    r"\[ ?(?P<d>[^][]{8,500})\]"
)
_SAYS = re.compile(
    r"(?:error|errors|fail\w*|abort\w*|stop\w*|messages?|says?|said|saying|reports?|prints?|"
    r"complain\w*|报错|错误|提示|Fehler|fehl|erreur)"
    r"(?: (?:with|of|as|message|is|was|that|mit|like))*\W{0,4}$",
    re.IGNORECASE,
)


# That something failed, without a word of why: "Failed to start domain web1", "X failed, rc=-3".
_TELLS_NO_REASON = re.compile(
    r"[\W\d]*(?:Result|Test|Job|Step|Task|Check|not ok|FAIL(?:ED)?:?)\b[^:]{0,200}"
    r"(?:\b(?:failed|FAILED|aborted)\W*|\bnot ok\b.*)|not ok \d+\b.*|"
    r".*\blibvirtd quit during handshake\b.*|"
    r"(?:.*: )?(?:\[instance: [\w-]+\] )?(?:Instance|VM|Guest|Domain) failed to "
    r"(?:spawn|start|boot|launch|migrate|resume)\W*(?:: .*(?:Traceback|failed).*)?|"
    r"(?:.*: )?(?:[\w /.'-]|:(?=\S)){0,80}\b(?:failed|failure|unsuccessful|aborted)(?: !*)?"
    r"(?:,? ?\(?(?:rc|ret|status|exit(?: status| code)?|code)?[ =:]*-?\d+\)?)?[\W]*|"
    r"(?:.*: )?(?:Failed|Unable|Could not|Cannot|Error)(?: to)? (?:\w+ ){1,3}"
    r"(?:vm|vms|domain|instance|guest|virtual machine|machine|container)\b[^:]{0,60}(?:: -?\d+)?|"
    r".*\b(?:failed|returned|exited)\b[^:]{0,40}\b(?:exit|return)(?:ed)?[ -]?(?:code|status|value)"
    r"[ :=]{0,3}-?\d+\W*(?:: /\S+.*)?|.*: exit (?:status|code):? \d+\W*",
    re.IGNORECASE,
)
# What a log puts before a program's words.
_STAMP = re.compile(
    r"^(?:(?:\w{3} )?\w{3} [ \d]\d [\d:]{8}(?: \d{4})?|"
    r"\d{4}[-/]\d\d[-/]\d\d[T ][\d:.,]+(?:Z|[+-]\d\d:?\d\d)?)[ ,:]*"
    r"(?:\d+ )?(?:[A-Z]{4,8} )?(?:[\w.]+ (?=\[))?(?:\[[^\]]*\])*:? *|"
    r"(?:[A-Z]{4,8}|level=\w+(?: msg=)?)\s+(?:[\w.]+: (?=/))?|level=\w+(?: msg= *)?|│ *|"
    r"[\w.-]{1,60} +\| |\[\w{1,20}\] +"
)


PYTHON = re.compile(rb"\bFile \".*\", line \d+, in \S+\s*$")


def only_a_class(text: str) -> bool:
    """Is the line nothing but the name of an error's class?"""
    return _CLASS.fullmatch(text.strip()) is not None


class Kind(enum.Enum):
    """What a line with an error's word is.

    ``PRINTED``: an error; ``OUTCOME``: that something failed, without a reason; ``SENTENCE``: a
    person's words; ``NONE``: a heading, a trace event, a class name, a frame, a setting.
    """

    PRINTED = "printed"
    OUTCOME = "outcome"
    SENTENCE = "sentence"
    NONE = "none"


def kind_of(text: str, following: str = "", *, qemu: bool = False) -> Kind:
    """What is a line with an error's word?

    :param following: the next line that is not empty.
    """
    if qemu:
        return Kind.PRINTED
    stripped = text.strip().lstrip("> ")
    for _ in range(2):  # a margin or a container's name, and then the log's own
        stripped = _STAMP.sub("", stripped, count=1)
    bare = stripped.strip("*#_` ")
    if not bare:
        return Kind.NONE
    for pattern in (
        _PLACE,
        _TITLE,
        _CLASS,
        _TRACE,
        _OUTCOME,
        _ARGUMENT,
        _FRAME,
        _SETTING,
        _ELEMENT,
    ):
        if any(pattern.fullmatch(one) for one in (bare, stripped, text.strip())):
            return Kind.NONE
    if (bare.endswith(":") and following) or _HEADS.search(bare):
        return Kind.NONE
    if _VIRSH.search(stripped) and _NEXT_ERROR.search(following):
        return Kind.NONE
    if sentence(stripped):
        return Kind.SENTENCE
    return Kind.OUTCOME if _TELLS_NO_REASON.fullmatch(bare) else Kind.PRINTED


def sentence(text: str) -> bool:
    """Did a person write this line, rather than a program?"""
    words = text.split()
    if re.search(r"\b(?:error|fatal|ERROR|FATAL)\b:? ?:", text):
        return False
    if len(words) > 5 and _PERSON.search(text):
        return True
    return (
        len(words) >= _MANY
        and not _LOGGED.match(text)
        and len(_SMALL_WORD.findall(text)) >= _SHARE * len(words)
    )


def quoted(text: str) -> Iterator[str]:
    """The errors that a person's sentence quotes."""
    for hit in _QUOTED.finditer(text):
        words = next(part for part in hit.groups() if part).strip()
        said = _SAYS.search(text, 0, hit.start()) is not None
        if len(words.split()) >= 3 and (said or ERROR_WORDS.search(words)):
            yield words


def introduces(text: str, following: str) -> bool:
    """Is the line an announcement, and what it announces stands in the next one?"""
    bare = text.strip().strip("*#_` ")
    if _HEADS.search(bare):
        return True
    if _INTRODUCES.search(bare) is None or re.search(r"\b(?:error|ERROR) ?: \S", bare):
        return False
    set_off = following[:1] in "\"'`>|" or following.startswith(("    ", "\t"))
    return PROGRAM.search(bare) is None and (bare.endswith(":") or set_off or sentence(bare))
