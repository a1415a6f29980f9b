"""A part that an answer did not examine: a text for people, with a code for programs.

An :class:`Unchecked` is a string, so it is printed and put into JSON like any other text. No code
reads the text, so its wording may change at any time.
"""

from __future__ import annotations

import enum


class Code(enum.StrEnum):
    """Why something was not examined. Codes are added, never renamed (docs/reference/json.md)."""

    RAM_CONTENTS = "ram-contents"
    NOT_FOLLOWED = "not-followed"
    TARGET = "target"
    BUILD = "build"
    KVM = "kvm"
    ASSUMED = "assumed"
    PROFILE = "profile"
    START = "start"
    STREAM = "stream"
    OTHER_MACHINE = "other-machine"
    AT_POWER_ON = "at-power-on"
    REHEARSAL = "rehearsal"
    REMEDIES = "remedies"
    MODEL = "model"
    FAILED = "failed"
    OTHER = "other"


class Unchecked(str):
    """A text with its code."""

    __slots__ = ("code",)
    code: Code

    def __new__(cls, text: str, code: Code) -> Unchecked:
        """Join both; a text that has a code keeps it."""
        if isinstance(text, Unchecked):
            return text
        made = super().__new__(cls, text)
        made.code = code
        return made

    def __reduce__(self) -> tuple[type[Unchecked], tuple[str, Code]]:
        """For pickling (the fleet's workers)."""
        return Unchecked, (str(self), self.code)

    def of(self, idstr: str) -> Unchecked:
        """The same, said of a section."""
        return Unchecked(f"{idstr}: {self}", self.code)


def code_of(text: str) -> Code:
    """Give the code of a text; ``other`` for one that has none."""
    return text.code if isinstance(text, Unchecked) else Code.OTHER
