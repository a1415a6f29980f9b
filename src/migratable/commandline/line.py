"""A QEMU command line as a value: options in order, questions about them, edits."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from migratable.commandline.option import Fields
from migratable.errors import CommandLineError
from migratable.printable import quoted
from migratable.releases import MachineType

IMAGE = "hda"
ALIASES = {"M": "machine"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Option:
    """One option of a command line.

    :ivar name: without dashes, aliases resolved (``-M`` is ``machine``); ``hda`` for a bare image.
    :ivar value: the argument, None for an option that takes none.
    :ivar index: place in the argument list (the first after the program is 1), for messages.
    :ivar spelled: the option as it was written (``-M``, ``--machine``), empty for a bare image.
    :ivar file: ``FILE:LINE`` of an option from ``-readconfig``, which QEMU's messages then name.
    """

    name: str
    value: str | None = None
    index: int = 0
    spelled: str = ""
    file: str = ""

    @property
    def fields(self) -> Fields:
        """The argument taken apart.

        :raise CommandLineError: When it is malformed JSON.
        """
        return Fields.parse(self.value or "", option=self.name)

    @property
    def words(self) -> tuple[str, ...]:
        """The option as words of an argument list."""
        head = (self.spelled or f"-{self.name}",) if self.spelled != IMAGE else ()
        return head if self.value is None else (*head, self.value)

    def with_fields(self, fields: Fields) -> Option:
        """The same option with another argument."""
        return replace(self, value=fields.text())

    def place(self) -> str:
        """Where and what this is, for messages."""
        value = self.value or ""
        text = f"-{self.name} {value[:70]}{'…' if len(value) > 70 else ''}".rstrip()
        return f"word {self.index}, {text}" if self.index else text

    def error(self, message: str) -> CommandLineError:
        """An error at this option."""
        return CommandLineError(f"{self.place()}: {message}")


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandLine:
    """A QEMU command line.

    :ivar program: the words that name the program: one, or a starter with its target's name.
        Empty when the line has none.
    """

    program: tuple[str, ...]
    options: tuple[Option, ...]

    @property
    def argv(self) -> list[str]:
        """All words, the program first."""
        return [*self.program, *(word for option in self.options for word in option.words)]

    def text(self) -> str:
        """One line for a shell."""
        return shlex.join(self.argv)

    # Questions

    def all(self, name: str) -> Iterator[Option]:
        """All options of that name, in order."""
        return (option for option in self.options if option.name == name)

    def get(self, name: str, key: str, default: str | None = None) -> str | None:
        """Value of *key* over all options of *name*, the last wins, as QEMU merges them."""
        found = default
        for option in self.all(name):
            found = option.fields.get(key, found)
        return found

    @property
    def machine(self) -> str | None:
        """Machine type as written, None when the line leaves it to the program."""
        return self.get("machine", "type")

    @property
    def cpu(self) -> str | None:
        """CPU model as written, without its features."""
        return self.get("cpu", "model")

    @property
    def wants_kvm(self) -> bool:
        """Does the line ask for KVM first?"""
        return self.accelerator == "kvm"

    @property
    def accelerator(self) -> str:
        """The accelerator that the line asks for first; empty when it leaves it to the program."""
        return next(iter(self.accelerators), "")

    @property
    def accelerators(self) -> tuple[str, ...]:
        """Accelerators in the order in which QEMU tries them (``system/vl.c``).

        Of ``-accel`` each; of ``-machine accel=``, ``-enable-kvm`` and ``-no-kvm`` the last. Empty:
        the line leaves it to the program.
        """
        named = self.named_accelerators
        if not named and self.program:  # qemu-kvm and kvm have KVM as their default
            name = self.program[0].rpartition("/")[2]
            return ("kvm",) if name in {"kvm", "kvm-spice", "qemu-kvm"} else ()
        return named

    @property
    def named_accelerators(self) -> tuple[str, ...]:
        """:attr:`accelerators`, of the line's own options alone."""
        options = tuple(option.fields.get("accel") or "" for option in self.all("accel"))
        if options:
            return options
        named = None
        for option in self.options:
            if option.name == "machine":
                named = option.fields.get("accel", named)
            elif option.name in {"enable-kvm", "no-kvm"}:
                named = "kvm" if option.name == "enable-kvm" else "tcg"
        return tuple(named.split(":")) if named else ()

    def devices(self) -> Iterator[tuple[Option, str, str]]:
        """All ``-device`` options with driver and id (empty when it has none)."""
        for option in self.all("device"):
            fields = option.fields
            yield option, fields.get("driver", "") or "", fields.get("id", "") or ""

    # Edits; each gives a new line

    def replace(self, old: Option, *new: Option) -> CommandLine:
        """Put *new* options in the place of *old* (none: take it out)."""
        at = next((n for n, option in enumerate(self.options) if option is old), None)
        if at is None:
            raise CommandLineError(f"{old.place()}: no option of this command line")
        return replace(self, options=(*self.options[:at], *new, *self.options[at + 1 :]))

    def append(self, name: str, value: str | None = None) -> CommandLine:
        """Add an option at the end."""
        return replace(self, options=(*self.options, Option(name=name, value=value)))

    def _edit(self, option: Option, key: str, value: str | None) -> CommandLine:
        fields = option.fields
        fields = fields.delete(key) if value is None else fields.set(key, value)
        return self.replace(option, *(() if fields.is_empty() else (option.with_fields(fields),)))

    def with_machine(self, key: str, value: str | None) -> CommandLine:
        """Set a property of the machine (``type`` included), None deletes it everywhere."""
        line = self
        if value is None:
            for option in list(self.all("machine")):
                if key in option.fields:
                    line = line._edit(option, key, None)
            return line
        options = list(self.all("machine"))
        holders = [option for option in options if key in option.fields]
        if holders:
            return line._edit(holders[-1], key, value)
        if options:
            return line._edit(options[-1], key, value)
        text = value if key == "type" else f"{key}={value}"
        return replace(line, options=(Option(name="machine", value=text), *line.options))

    def with_cpu(self, model: str | None = None, /, **features: str | None) -> CommandLine:
        """Set the CPU model and features (``vmx="off"``); None deletes a feature in any spelling.

        Without ``-cpu`` in the line a *model* is needed.

        :raise CommandLineError: When there is neither ``-cpu`` nor *model*.
        """
        options = list(self.all("cpu"))
        if not options:
            if model is None:
                raise CommandLineError("no -cpu in the command line to change features of")
            line = replace(self, options=(*self.options, Option(name="cpu", value=model)))
            return line.with_cpu(**features) if features else line
        option = options[-1]
        fields = option.fields if model is None else option.fields.set("model", model)
        for name, value in features.items():
            key = name.replace("_", "-")
            fields = fields.delete(key, f"+{key}", f"-{key}", name, f"+{name}", f"-{name}")
            if value is not None:
                fields = fields.set(key, value)
        return self.replace(option, option.with_fields(fields))

    def find_device(self, which: str | Callable[[str, str], bool]) -> Option | None:
        """A ``-device`` by id, else by driver, or by a test on driver and id."""
        found = list(self.devices())
        if callable(which):
            return next((option for option, driver, name in found if which(driver, name)), None)
        by_id = (option for option, _, name in found if name == which)
        by_driver = (option for option, driver, _ in found if driver == which)
        return next(by_id, None) or next(by_driver, None)

    def with_device(self, which: str | Option, key: str, value: str | None) -> CommandLine:
        """Set (None: delete) a property of a ``-device``, which is named by id, driver or option.

        :raise CommandLineError: When there is no such device.
        """
        option = self.find_device(which) if isinstance(which, str) else which
        if option is None:
            raise CommandLineError(
                f"no -device with id or driver {quoted(which)} in the command line"
            )
        return self._edit(option, key, value)

    def with_global(self, driver: str, prop: str, value: str | None) -> CommandLine:
        """Set (None: delete) a ``-global driver.prop=value``, whatever its spelling."""
        line = self
        for option in list(self.all("global")):
            if global_of(option)[:2] == (driver, prop):
                line = line.replace(option)
        return line if value is None else line.append("global", f"{driver}.{prop}={value}")


def target_of(line: CommandLine) -> str:
    """Target from the program's name: ``x86_64``, ``ppc64``; empty when it does not tell."""
    for word in reversed(line.program):  # before it: env, ld.so and their arguments
        match = re.match(r"qemu-system-([a-z0-9_]+)", word.rpartition("/")[2])
        if match:
            return match[1]
    if len(line.program) > 1 and re.fullmatch(r"[a-z0-9_]+", line.program[1]):
        return line.program[1]
    family = MachineType.parse(line.machine or "").family
    if family.startswith("pseries"):
        return "ppc64"
    if family in {"pc", "q35", "pc-q35", "pc-i440fx", "isapc", "microvm"}:
        return "x86_64"
    return ""


_SHORT_GLOBAL = re.compile(r"([^.=]{1,63})\.([^=]{1,63})=(.*)", re.S)
"""As ``qemu_global_option`` scans it (``%63[^.=].%63[^=]``); all else is members."""


def global_of(option: Option) -> tuple[str, str, str]:
    """Driver, property and value of a ``-global`` in either spelling (``qemu_global_option``)."""
    short = _SHORT_GLOBAL.fullmatch(option.value or "")
    if short:
        return short[1], short[2], short[3]
    fields = option.fields
    return (fields.get("driver") or "", fields.get("property") or "", fields.get("value") or "")
