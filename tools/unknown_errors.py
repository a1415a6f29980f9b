#!/usr/bin/env python3
"""List the error texts of a program's source that no message of the catalogue recognises.

``python -m tools.unknown_errors /path/to/source [PART-OF-A-PATH …]`` reads C, Perl, Python, Go,
Java, Ruby and properties files as ``message_origins.py`` does and prints, for each text that stands
where that language raises or logs an error, file, function and text (a value is ``{}``). Only files
whose name holds one of the parts are read. What is worth a message is for a reader to decide.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

from migratable.messages.catalogue import Role
from migratable.messages.recognise import recognise
from tools.message_origins import SUFFIXES, Source, sources

# What stands before an error's text.
_BEFORE = {
    "c": r"(?:error_setg\w*|error_report|error_prepend|virReportError|fprintf|errx?)"
    r"\s*\([^\"]{0,80}",
    "perl": r"(?:\bdie|\bwarn|'err',|\bcroak|log_fail|\braise\w*|\$err\w*\s*=)[\s(]*"
    r"(?:\{[^\"']{0,40})?",
    "python": r"(?:raise [\w.]+\(|(?i:log\w*)\.(?:error|exception|warning|critical)\(|msg_fmt = "
    r"|reason\s*=|msg\s*=|message\s*=|code=\d+,)\s*(?:_\(|_LE\()?\s*[fr]?",
    "go": r"(?:Errorf|errors\.New|errors\.Wrapf?|\.Errorf?|\.Error|\.Warningf?|\.Warn"
    r"|Reason\(err\)\.\w+|Eventf?|Message:|reason :?=|Reason:)\(?[^\"\n]{0,120}",
    "ruby": r"(?:raise|error|log_error|OpenNebula\.log_error|STDERR\.puts|=)\s*\(?",
    "swift": r"(?:error|localized)\w*\(?",
    "java": r"(?:Exception|error|warn|Answer|return|\w+)\s*[(=][^\"\n]{0,80}",
}  # fmt: skip


def texts(source: Source, language: str) -> list[tuple[str, str]]:
    """Function and text of each error in a file."""
    found = []
    if source.name.endswith(".properties"):
        pattern = re.compile(r"^[\w.]+\s*=\s*()(?P<text>.{12,})$", re.M)
    else:
        quoted = r"(?P<q>[\"'`])(?P<text>(?:(?!(?P=q))[^\n]){10,})(?P=q)"
        pattern = re.compile(_BEFORE[language] + quoted)
    for hit in pattern.finditer(source.text):
        text = hit["text"].replace("\\n", "").strip()
        if len(re.findall(r"[A-Za-z]{2,}", text)) >= 2:
            found.append((source.function(hit.start("text")), text))
    return found


def known(text: str) -> bool:
    """Does the catalogue recognise the text, with a value in each place, as a cause or an echo?"""
    return any(
        match.message.role in (Role.CAUSE, Role.SYMPTOM, Role.WHERE)
        for value in ("x1", "1")
        for match in recognise(text.replace("\0", value))
    )


def main(arguments: list[str]) -> int:
    """Print."""
    tree, *parts = arguments
    for source in sources(Path(tree)):
        if parts and not any(part in source.name for part in parts):
            continue
        language = SUFFIXES[Path(source.name).suffix]
        for function, text in dict.fromkeys(texts(source, language)):
            if not known(text):
                print(f"{source.name}: {function}: {text.replace(chr(0), '{}')}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
