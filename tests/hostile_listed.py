"""Command lines made from a program's own listings: every option, device, property and backend.

Nothing here says which of them is dangerous: whatever takes text is given names of files to
destroy, scripts, sockets, hosts and FIFOs, in every form that the option has, with repeated keys,
doubled commas, flags and values that look like options. A new release brings its own lines.
"""

from __future__ import annotations

import functools
import json
import random
import re
import subprocess
import tomllib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from tests.hostile import MACHINES, Place

Words = list[str]


@functools.cache
def listing(command: tuple[str, ...], *words: str) -> str:
    """What the program prints; it is started as it is, with nothing hostile."""
    done = subprocess.run(
        [*command, *words], capture_output=True, text=True, check=False, timeout=60
    )
    return done.stdout + done.stderr


def options(command: tuple[str, ...]) -> list[str]:
    """Names of all options of ``-help``."""
    found = re.findall(
        r"^-([A-Za-z][\w-]*)(?:,-|/-(\w[\w-]*)| |$)", listing(command, "-help"), re.M
    )
    return sorted({name for pair in found for name in pair if name} - {"h", "help", "version"})


def devices(command: tuple[str, ...]) -> list[str]:
    """Names of all devices."""
    return sorted(set(re.findall(r'^name "([^"]+)"', listing(command, "-device", "help"), re.M)))


def members(command: tuple[str, ...], option: str, kind: str) -> list[str]:
    """Members of a kind of *option* that take text, links and what else is no number or switch."""
    text = listing(command, f"-{option}", f"{kind},help")
    found = re.findall(r"^\s*(?:\S*\.)?([\w-]+)=<?([\w ]*)", text, re.M)
    numbers = re.compile(r"u?int\d*(_t)?|bool|size|OnOff\w*|FeatureBits|int")
    return sorted({name for name, of in found if not numbers.fullmatch(of.strip())})


def kinds(command: tuple[str, ...], option: str) -> list[str]:
    """Kinds of an option that lists them: ``-object help``, ``-netdev help``."""
    text = listing(command, f"-{option}", "help")
    found = re.findall(r"^\s*([a-z][\w-]*)\s*$", text, re.M)
    return sorted({*found, *POOLS["known"].get(option, ())})


POOLS: dict[str, Any] = tomllib.loads(
    Path(__file__).with_suffix(".toml").read_text(encoding="utf-8")
)


_KEYS = ("file", "path", "backend", "driver", "qom-type", "mem-path", "id", "logfile", "script")


class Listed:
    """Lines for one program from one seed."""

    def __init__(self, command: Sequence[str], target: str, place: Place, seed: int) -> None:
        self._command = tuple(command)
        self._target = target
        self._place = place
        self._random = random.Random(f"listed {seed} {target}")
        self._options = options(self._command)
        self._number = 0

    # Names

    def _fill(self, text: str) -> str:
        folder = self._place.folder
        choose = self._random.choice
        w = choose(
            [
                *(str(folder / name) for name in ("disk.img", "notes.txt", "vars.json")),
                "new",
                str(folder / "new-1"),
                "notes.txt",
                "./vars.json",
                f"{folder}/../named/rom.bin",
            ]
        )
        names = {
            "{w}": w,
            "{r}": str(folder / "rom.bin"),
            "{x}": str(folder / "script"),
            "{u}": choose([str(folder / "socket"), "socket"]),
            "{f}": str(folder / "fifo"),
            "{d}": str(folder),
            "{folder}": str(folder),
            "{p}": str(self._place.port),
            "{i}": self._id(),
            "{json}": (choose(POOLS["json_files"]).replace("%s", w)),
        }
        for name, value in names.items():
            text = text.replace(name, value)
        return text

    def _id(self) -> str:
        self._number += 1
        return f"i{self._number}"

    def _hostile(self) -> str:
        """A value for whatever takes text."""
        return self._fill(self._random.choice([*POOLS["hostile"], "a" * 3000]))

    # Options

    def _device(self) -> Words:
        choose = self._random.choice
        driver = choose(devices(self._command))
        words = [driver, f"id={self._id()}"]
        for name in self._some(members(self._command, "device", driver)):
            words += [choose([f"{name}={self._escaped()}"] * 6 + [f"no{name}", name])]
        if self._random.random() < 0.2:
            words += [choose(words), choose(words)]  # repeated keys
        return self._form("device", words)

    def _object(self) -> Words:
        kind = self._random.choice(kinds(self._command, "object") or ["secret"])
        words = [kind, f"id={self._id()}"]
        names = self._some(members(self._command, "object", kind), most=4)
        words += [f"{name}={self._escaped()}" for name in names]
        if "memory" in kind:
            words.append("size=1M")
        if self._random.random() < 0.1:
            words.append("qom-type=memory-backend-file,mem-path=" + self._fill("{w}"))
        return self._form("object", words)

    def _machine(self) -> Words:
        kind = self._random.choice(MACHINES[self._target]).partition(",")[0]
        words = []
        for name in self._some(members(self._command, "machine", kind)):
            spelled = self._random.choice([name, name, name.replace("-", "_")])
            words.append(f"{spelled}={self._escaped()}")
        return ["-machine", ",".join(words)] if words else []

    def _global(self) -> Words:
        driver = self._random.choice(devices(self._command))
        found = members(self._command, "device", driver)
        name = self._random.choice(found or ["x"])
        value = self._hostile()
        plain = f"{driver}.{name}={value}"
        long = f"driver={driver},property={name},value={value}"
        swapped = f"value={value},property={name},driver={driver}"
        return ["-global", self._random.choice([plain, plain, long, swapped]), "-device", driver]

    def _backend(self, option: str, names: Sequence[str]) -> Words:
        kind = self._random.choice(list(names) or ["null"])
        known = POOLS["members"][option]
        words = [kind] + ([] if option == "virtfs" else [f"id={self._id()}"])
        words += [self._fill(one) for one in self._some(known, most=4)]
        return self._form(option, words)

    def _drive(self) -> Words:
        choose = self._random.choice
        url = self._fill(choose(POOLS["urls"])).replace(",", ",,")
        deep = choose(POOLS["drive"]).replace("{url}", url)
        deep = deep.replace("{b}", choose(POOLS["block"])).replace("{c}", choose(POOLS["block"]))
        rest = choose(
            ["if=none", "if=virtio", "if=pflash", "if=sd", "if=floppy", "if=none,snapshot=on"]
        )
        return ["-drive", f"{deep},{rest},id={self._id()}"]

    def _blockdev(self) -> Words:
        choose = self._random.choice
        url = self._fill(choose(["{w}", "{d}", "{u}", "{f}"])).replace(",", ",,")
        words = [choose(POOLS["block"]), f"node-name={self._id()}"]
        some = self._some(POOLS["blockdev"], most=4)
        words += [self._fill(one.replace("{url}", url)) for one in some]
        return self._form("blockdev", words)

    def _listed(self) -> Words:
        """Any option of ``-help`` with any value."""
        name = self._random.choice(self._options)
        dashes = self._random.choice(["-", "-", "--"])
        words = [f"{dashes}{name}"]
        if self._random.random() < 0.8:
            words.append(self._hostile())
        if self._random.random() < 0.2:
            words.append(self._random.choice(["-daemonize", "-s", "-S", self._fill("{w}")]))
        return words

    def _long(self) -> Words:
        choose = self._random.choice
        name = choose(["serial", "parallel", "debugcon", "monitor", "qmp", "virtioconsole"])
        file = self._fill(choose(["/dev/stdin", "{f}", "{d}", "/proc/self/cmdline"]))
        return choose(
            [
                ["-incoming", self._fill(choose(POOLS["migration"]))],
                ["-display", self._fill(choose(POOLS["displays"]))],
                [f"-{name}", self._fill(choose(POOLS["character"]))],
                ["-readconfig", self._config()],
                ["-readconfig", file],
                self._setting(),
            ]
        )

    def _config(self) -> str:
        """A file whose groups are any option, with and without an id, nested and broken."""
        lines = []
        for _ in range(self._random.choice([1, 2, 3])):
            group = self._random.choice(
                [*self._options, "readconfig", "set", "-chardev", "acpi", "boot-opts"]
            )
            head = self._random.choice(
                [f"[{group}]", f'[{group} "{self._id()}"]', f'[ {group} "x" ] ', f"[{group}"]
            )
            lines.append(head)
            for _ in range(2):
                key = self._random.choice(_KEYS)
                lines.append(f'  {key} = "{self._hostile()}"')
        path = self._place.folder / f"config-listed-{self._id()}"
        path.write_text("\n".join(lines) + "\n")
        return str(path)

    def _setting(self) -> Words:
        """A device of any kind, and ``-set`` on one of its members."""
        driver = self._random.choice(devices(self._command))
        name = self._random.choice(members(self._command, "device", driver) or ["x"])
        identity = self._id()
        group = self._random.choice(["device", "device", "drive", "chardev", "object", "machine"])
        setting = f"{group}.{identity}.{name}={self._hostile()}"
        return ["-device", f"{driver},id={identity}", "-set", setting]

    # Forms

    def _some(self, names: Sequence[str], most: int = 3) -> list[str]:
        count = min(len(names), self._random.randint(1, most))
        return self._random.sample(list(names), count)

    def _escaped(self) -> str:
        return self._hostile().replace(",", ",,")

    def _form(self, option: str, words: list[str]) -> Words:
        """Plain, JSON (with a blank before it, too), or with the implied key named."""
        chance = self._random.random()
        plain = [f"-{option}", ",".join(words)]
        if chance > 0.25 or option in {"drive", "tpmdev", "fsdev", "virtfs", "chardev"}:
            return plain
        first = {"device": "driver", "object": "qom-type", "netdev": "type", "audiodev": "driver"}
        document: dict[str, object] = {first.get(option, "driver"): words[0]}
        for word in words[1:]:
            for part in re.split(r"(?<!,),(?!,)", word):
                key, _, value = part.partition("=")
                at, path = document, key.split(".")
                for inner in path[:-1]:
                    nested = at.setdefault(inner, {})
                    if not isinstance(nested, dict):
                        break
                    at = nested
                at[path[-1]] = self._random.choice(
                    [value, value, value, [value], {"type": "unix", "path": value}]
                )
        text = json.dumps(document)
        return [f"-{option}", self._random.choice(["", "", " "]) + text]

    def lines(self, count: int) -> list[Words]:
        """Arguments after the program, *count* times."""
        backends = {
            "chardev": kinds(self._command, "chardev"),
            "netdev": kinds(self._command, "netdev"),
            "audiodev": POOLS["audio"],
            "tpmdev": ["passthrough", "emulator"],
            "fsdev": ["local", "proxy", "synth"],
            "virtfs": ["local", "proxy", "synth"],
        }
        makers: list[Callable[[], Words]] = [
            *(self._device, self._device, self._device, self._object, self._object, self._machine),
            *(self._global, self._drive, self._blockdev, self._listed, self._listed, self._listed),
            *(self._long, self._long, self._long),
            *(functools.partial(self._backend, *one) for one in backends.items()),
        ]
        found = []
        for _ in range(count):
            machine = self._random.choice(MACHINES[self._target])
            argv = ["-M", machine, "-m", "256", *self._random.choice([[], ["-nodefaults"]])]
            for _ in range(self._random.choice([1, 1, 1, 2, 3])):
                argv += self._random.choice(makers)()
            found.append([word.replace("\0", "") for word in argv])
        return found
