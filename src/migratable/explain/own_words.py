"""What a line that no message describes says of itself.

Managers have tens of thousands of errors, and most of them are sentences: they name the command
that helps ("use --delete-emptydir-data to override"), or what is missing, in the way, locked, too
small or not allowed. Such a line stays unknown (its cause is not in the catalogue), but what its
own words ask for is said, with the log in which its program tells more.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from migratable.explain import errnos
from migratable.explain.grouping import Line
from migratable.explain.logs import without_prefix
from migratable.explain.managers import who_wrote


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """A kind of sentence.

    :ivar rank: of several lines the one with the highest is explained.
    :ivar meaning, now: the pattern's groups may stand in braces.
    """

    pattern: re.Pattern[str]
    meaning: str
    now: str
    rank: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """What a line's own words say: a sentence about it, and what to do first."""

    meaning: str
    now: str
    rank: int


_END = r"(?=[.;,\"'\]})]*(?:\s|$))"
_TO_END = r"(?P<what>[^.;\"\]}\n]{4,160}(?:\.\w[^.;\"\]}\n]{0,80}){0,4})"
_QUOTED = r"['\"“`\[(]?(?P<what>[^\s'\"”`\])]{2,120})['\"”`\])]?"


def _kind(pattern: str, meaning: str, now: str, rank: int = 1) -> Kind:
    return Kind(pattern=re.compile(pattern, re.IGNORECASE), meaning=meaning, now=now, rank=rank)


# The first that fits a line is taken.
_KINDS = (
    _kind(
        rf"\((?:hint: ?)?(?P<what>(?:use|try|run|set|specify|pass|add|see|did you) [^)]{{4,160}})\)"
        rf"|\bhint: {_TO_END.replace('what', 'need')}",
        "The line names the way itself.",
        "Do what the line says: {what}{need}.",
        4,
    ),
    _kind(
        rf"\b(?:please (?:try (?:again )?(?:to )?)?|"
        rf"you (?:must|need to|have to|should) (?:first )?|"
        rf"try (?:to )?(?=\w+(?:ing)? )|make sure (?:that )?|consider |to fix this,? |"
        rf"you can (?=\w+ ))(?!note|report|file|open|visit|include|contact|check the log){_TO_END}",
        "The line names the way itself.",
        "Do what the line says: {what}.",
        4,
    ),
    _kind(
        r"\bmust (?:first )?(?P<what>(?:be|have|match|use|contain|run|not)\b"
        r"(?:[^.;\"\n]|\.(?=\w)){2,140})|"
        r"\b(?:requires?|needs?) (?P<need>(?:[^.;\"\n]|\.(?=\w)){3,140})",
        "The line names the condition that is not met.",
        "Meet the condition that the line names ({what}{need}), or leave out what asks for it.",
        3,
    ),
    _kind(
        r"\b(?:timed[ -]?out|timeout|(?:deadline|period) exceeded|"
        r"took too long|not respond\w*|no response|"
        r"did(?: not|n't) (?:start|respond|come up|become|get) )",
        "What the line waits for did not answer in time; it does not say why.",
        "See whether what it waits for runs (the service, the guest, the agent, the storage) and "
        "what its own log says at that time; a longer timeout helps only where it was slow.",
        2,
    ),
    _kind(
        r"\b(?:no space left|disk (?:is )?full|not enough (?:free )?(?:disk )?space|quota|"
        r"insufficient|not enough|exhausted|out of (?:memory|disk)|cannot allocate memory|"
        r"too (?:large|big|small|low)|"
        r"too many (?:open|requests|instances|VMs|guests|devices|files)|"
        r"exceed(?:s|ed|ing)?|limit (?:of|reached)|"
        r"resource limit|maximum)\b",
        "There is too little of what the line names (memory, disk, a quota or a limit).",
        "Free or raise what the line names on the host, pool or project that it names: memory, "
        "space of the storage, the quota; or ask for less.",
        3,
    ),
    _kind(
        r"\balready (?:exists?|defined|in use|used|taken|allocated|registered|created|present|"
        r"assigned|mapped|owned)\b|\bduplicate\b|\bFile exists\b|\bname .{1,80} is taken",
        "Something of that name is there already, left by an earlier attempt or owned by another "
        "guest.",
        "Look who uses what the line names; remove it if it is a leftover of an earlier attempt, "
        "or choose another name; then try again.",
        3,
    ),
    _kind(
        r"\b(?:is|are|was|still|currently|been|being) (?:locked|busy|in use|migrating|in progress|"
        r"being (?:used|migrated|deleted|created))\b|\bin progress\b|\block(?:ed)? by\b|"
        r"\bunable to (?:acquire|get) (?:the )?lock|\balready (?:running|migrating|in progress|"
        r"locked|attached|started)\b|\bresource busy\b|\bconflict(?:s|ing)?\b",
        "Something else uses or holds what the line names at this moment.",
        "See what holds it (another task, migration, backup or snapshot of the guest), let that "
        "end or cancel it, and try again; a lock whose owner is gone is removed with the "
        "manager's own command.",
        3,
    ),
    _kind(
        r"\b(?:permission denied|access denied|not permitted|forbidden|unauthori[sz]ed|"
        r"not (?:authori[sz]ed|allowed)|authentication (?:failed|required)|"
        r"invalid (?:credentials|token)|denied|\b40[13]\b|polkit)\b",
        "The caller lacks the right to what the line names.",
        "Give the user, token or service account that asks the right which the line names (owner "
        "and mode of a file, group libvirt or kvm, a role, SELinux or AppArmor), or ask as one "
        "that has it.",
        3,
    ),
    _kind(
        r"\b(?:connection (?:was )?(?:refused|reset|closed|lost|aborted)|unable to connect|"
        r"can(?:not|'t) connect|could not connect|failed to connect|unreachable|no route to host|"
        r"broken pipe|dial (?:tcp|unix)|unexpected EOF|name or service not known|no such host|"
        r"x509:|certificate|tls:|ssl)\b",
        "A connection that the program needs could not be made, or broke.",
        "From the host of this log try the address and port, or the socket, that the line names "
        "(nc -vz HOST PORT): the service behind it must run, its name must resolve, no firewall "
        "may be between, and certificates must be valid; read the other end's log at that time.",
        2,
    ),
    _kind(
        r"\b(?:not found|no such|does(?: not|n't) exist|do not exist|could(?: not|n't) find|"
        r"can(?:not|'t) find|unable to (?:find|locate)|not available|unavailable|missing|"
        r"no (?:matching|valid|suitable|available|usable|free)|unknown|not (?:present|installed|"
        r"defined|registered)|is not there|undefined|nonexistent)\b",
        "What the line names is not there, or not under that name.",
        "Create, install, start or attach what the line names on the host that it speaks of, or "
        "correct the name; see whether it was removed or renamed meanwhile.",
        2,
    ),
    _kind(
        r"\b(?:not (?:running|active|started|ready|enabled|connected|online|up|mounted|attached|"
        r"initiali[sz]ed|in (?:the )?(?:state|\w+ state))|(?:is|are) (?:disabled|stopped|paused|"
        r"suspended|down|offline|shut ?(?:off|down)|in (?:an )?error)|is (?:still )?running|"
        r"invalid state|wrong state|bad state)\b",
        "What the line names is in a state that does not allow this.",
        "Bring it into the state that the line asks for (start, stop, enable, resume or repair "
        "it), and try again.",
        2,
    ),
    _kind(
        r"\b(?:not (?:supported|implemented|compatible|possible|capable)|unsupported|incompatible|"
        r"does(?: not|n't) support|cannot be (?:migrated|used|combined|hot)\w*|deprecated|"
        r"removed in|feature gate|mismatch|differs?|different (?:from|version|than))\b",
        "The program does not do this for such a guest, host, storage or release.",
        "Take out of the guest or the request what the line names, or use a host, storage or "
        "release that supports it.",
        2,
    ),
    _kind(
        r"\b(?:invalid|malformed|illegal|bad|wrong|cannot parse|"
        r"failed to (?:parse|decode|unmarshal|convert)|cannot be empty|"
        r"expected .{1,60}?(?:but|got|found|received)|unexpected (?:value|type|format|token|"
        r"character|argument|parameter|option|field|key|element|attribute|keyword)|"
        r"out of range|not a valid|is required)\b",
        "A value or a setting is not one that the program takes.",
        "Correct what the line names in the guest's definition or the request.",
        2,
    ),
    _kind(
        r"\b(?:exit(?:ed)?(?: with)? (?:status|code):? ?-?\d+|returned (?:non-?zero|error)|"
        r"crashed|core dumped|killed|signal|SIG[A-Z]{3,5}|OOM|segfault|panic)",
        "A program that it started ended; the line does not say why.",
        "Read what that program printed before it ended, or run the same command by hand.",
    ),
)  # fmt: skip

# Not the end of anything: the program goes on, or tries again by itself.
_GOES_ON = re.compile(
    r"\b(?:re-?enqueu\w+|retrying|will (?:be )?retr\w+|try(?:ing)? again|ignor(?:ed|ing)|"
    r"skipp(?:ed|ing)|warn(?:ing)?)\b",
    re.IGNORECASE,
)


def said(text: str, around: str = "") -> Said | None:
    """What a line's own words say; None when they say nothing that helps, or nobody known said it.

    :param around: other lines of the log, by which its program may be told.
    """
    words = without_prefix(text)
    for kind in _KINDS:
        hit = kind.pattern.search(words)
        if hit is not None:
            break
    else:
        return None
    values = {name: (value or "").strip(" '\"`") for name, value in hit.groupdict().items()}
    now = kind.now.format(**{"what": "", "need": "", **values})
    errno = errnos.remedy(words)
    if errno and kind.rank < 4:
        now = errno
    of = who_wrote(text) or who_wrote(around)
    if of is None:
        return None
    goes_on = (
        " It goes on or tries again by itself: only when it repeats it is what fails."
        if _GOES_ON.search(words)
        else ""
    )
    there = of.target.search(text) if of.target else None
    where = f" It was printed on the node {there[1]}, the migration's target." if there else ""
    return Said(
        meaning=f"This line is not known; these are {of.name}'s own words. {kind.meaning}{goes_on}"
        f"{where}",
        now=f"{now} More is in {of.log}.",
        rank=0 if goes_on else kind.rank,
    )


# What a program writes before the error by which it ends.
_ENDS_BY = re.compile(r"\b(?:TASK ERROR|FATAL|fatal|Failure|Traceback)\b:? ")
_DECIDES = 10


def best(lines: Sequence[Line], log: str = "") -> tuple[Line, Said] | None:
    """The line whose own words say most, the first of these; None when none says anything.

    What a program ends by, or says again at its end, decides.
    """
    around = "\n".join((*(line.text for line in lines), log))

    def worth(line: Line, told: Said) -> int:
        again = any(
            other.number > line.number and other.text.endswith(line.text.strip()) for other in lines
        )
        return told.rank + (_DECIDES if again or _ENDS_BY.search(line.text) else 0)

    found = [(line, told) for line in lines if (told := said(line.text, around)) is not None]
    return max(found, key=lambda one: worth(*one), default=None)
