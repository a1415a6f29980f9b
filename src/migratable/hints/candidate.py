"""A candidate remedy, and the data that the modules of :mod:`.remedies` use to propose one.

A remedy module is named as the rule that it is for (hyphens as underscores) and has one function::

    def candidates(situation: Situation, finding: Finding) -> Iterator[Candidate]: …

most likely or cheapest first. There is no list to edit; a rule without a module has what
:mod:`.default_candidates` proposes for any section. What is proposed is tried before it is shown,
so it may be a guess.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property

from migratable.commandline import CommandLine
from migratable.hints.guest import Guest
from migratable.hints.inventory import Parts, parts_of
from migratable.hints.qtree import Tree, tree_of
from migratable.profile.model import Profile
from migratable.qemu.program import resolve
from migratable.stream import Stream
from migratable.verdict import Hint, Side, Verdict

Edit = Callable[[CommandLine], CommandLine]


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """One thing to try.

    :ivar action: what to do, in words: an option as it must be, or a sentence.
    :ivar edit: the same on a command line; None for advice that cannot be tried here (the source
        side, another release).
    :ivar last_resort: advice for where nothing on the destination helps: said only then.
    :ivar sole: when it helps, other ways to the same end are wrong: they are not looked for.
    """

    action: str
    edit: Edit | None = None
    side: Side = Side.DESTINATION
    needs_guest_restart: bool = False
    sole: bool = False
    last_resort: bool = False

    def advice(self) -> Hint:
        """As a hint that was not tried."""
        return Hint(
            action=self.action, side=self.side, needs_guest_restart=self.needs_guest_restart
        )


@dataclass(kw_only=True)
class Situation:
    """A command line that is refused, and everything that remedies may ask about it.

    :ivar profile: None when the destination does not start.
    :ivar doubts: what of the stream could not be read, so that remedies may be missing.
    """

    line: CommandLine
    stream: Stream
    guest: Guest
    verdict: Verdict
    profile: Profile | None = None
    release: str | None = None
    timeout: float = 10.0
    doubts: set[str] = field(default_factory=set)
    probe: Callable[[CommandLine, Stream], tuple[Verdict, Profile | None] | None] = field(
        default=lambda line, stream: None
    )

    @cached_property
    def tree(self) -> Tree:
        """The destination's devices (``info qtree``); empty when it does not start."""
        if self.profile is None:
            return Tree()
        return tree_of(self.line, release=self.release, timeout=self.timeout)

    @cached_property
    def parts(self) -> Parts:
        """What the destination's program has."""
        return parts_of(self.command)

    @property
    def command(self) -> tuple[str, ...]:
        """Words that start the destination's program."""
        return resolve(self.line, release=self.release).command

    @property
    def machine(self) -> str:
        """Machine type: the running one's, else as written."""
        return self.profile.machine if self.profile is not None else self.line.machine or ""

    @property
    def pseries(self) -> bool:
        """Is it a pseries machine?"""
        return self.machine.startswith("pseries")

    @property
    def program_release(self) -> tuple[int, int]:
        """Major and minor number, (0, 0) when it is not known."""
        return (0, 0) if self.profile is None else self.profile.version.release
