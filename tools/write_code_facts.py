"""Write facts/code.json and facts/builds.toml: what the code of the lab's builds has.

    python tools/write_code_facts.py

A description's table says which hooks it has, which of its fields have a test and of what types
they are; the code behind them is not read. What the lab's builds have was gone through
(migratable.check.devices, field_exists, vmstate_types). A build that has more is not known.
"""

from __future__ import annotations

import hashlib
import json
import sys
from array import array
from collections.abc import Iterator
from pathlib import Path

from migratable.campaign.process import Qemu
from migratable.facts.code import HOOKS, TESTS, fact_of_field
from migratable.lab import installed
from migratable.lab.releases import WHEELS
from migratable.profile.memory.image import Image
from migratable.profile.memory.layout import find_handlers, find_layout
from migratable.profile.memory.probe import Layout, Probe
from migratable.profile.memory.process import ProcessMemory
from migratable.profile.memory.tables import TableReader
from migratable.profile.tables import Vmsd

MACHINES = {
    "x86_64": "q35",
    "i386": "q35",
    "ppc64": "pseries",
    "ppc": "mac99",
    "aarch64": "virt",
    "arm": "virt",
    "s390x": "s390-ccw-virtio",
    "riscv64": "virt",
    "riscv32": "virt",
}
_EEPROM = {"x86_64", "ppc64", "aarch64"}
FACTS = Path(__file__).parents[1] / "src/migratable/facts"


def descriptions(memory: ProcessMemory, layout: Layout, image: Image) -> Iterator[int]:
    """Addresses of everything in the image that is a description by its structure."""
    low = min(one.start for one in image.regions)
    high = max(one.end for one in image.regions)
    step = layout.fields // 8
    for region in image.tables:
        content = memory.content(region)
        words = array("Q", content[: len(content) // 8 * 8])
        for number in range(len(words) - step - 1):
            if not low <= words[number] < high or words[number + 1] & 0xFFFF_FE00_FEFE_FEFE:
                continue
            if not low <= words[number + step] < high:
                continue
            address = region.start + 8 * number
            if Probe(memory, layout).sensible(address):
                yield address


def read(command: list[str], machine: str, arch: str) -> tuple[str, tuple[str, ...], list[Vmsd]]:
    """The build-id of a program, and all descriptions in it and its modules."""
    words = ["-S", "-M", machine, "-display", "none", "-nodefaults"]
    if arch in _EEPROM:  # the only description that is made at run time
        words += ["-device", "i82557b"]
    if arch.startswith("riscv"):
        words += ["-bios", "none"]
    with Qemu(command, words) as qemu:
        if not qemu.running or qemu.pid is None:
            raise SystemExit(f"{command}: {qemu.lines()}")
        qemu.qmp("qom-list-types")  # loads all modules
        with ProcessMemory(qemu.pid) as memory:
            entries = find_handlers(memory)
            layout = find_layout(memory, entries)
            first = sorted(entries, key=lambda entry: entry.idstr != "timer")
            image = Image(memory, [entry.vmsd for entry in first if entry.vmsd])
            reader = TableReader(memory, layout, image)
            for entry in entries:
                reader.handler(entry)
            for address in descriptions(memory, layout, image):
                reader.probe(address)
            reader.settle_types()
            return image.build_id, image.digests(), reader.vmsds


def sha256(path: Path) -> str:
    """The file's digest."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def main() -> None:
    """Write both files."""
    builds: list[tuple[str, str, str, str, str]] = []
    modules: dict[str, set[str]] = {}
    hooks: dict[str, dict[str, set[str]]] = {}
    tests: dict[str, dict[str, set[str]]] = {}
    releases: list[str] = []
    for program in installed(system=False):
        if program.arch not in MACHINES or program.release in WHEELS:
            continue
        build, digests, vmsds = read(list(program.command), MACHINES[program.arch], program.arch)
        print(program.release, program.arch, build, len(vmsds), file=sys.stderr)
        builds.append((program.release, program.arch, program.version.package, build, digests[0]))
        tree = program.path.parents[1] / "root"
        modules[program.version.package] = {
            sha256(path) for path in tree.glob("usr/lib/*-linux-gnu*/qemu/*.so")
        }
        if program.release not in releases:
            releases.append(program.release)
        for vmsd in vmsds:
            for hook in vmsd.hooks & HOOKS.keys():
                hooks.setdefault(vmsd.name, {}).setdefault(HOOKS[hook], set()).add(program.release)
            for field in vmsd.fields:
                if field.test:
                    known = tests.setdefault(vmsd.name, {})
                    known.setdefault(fact_of_field(field), set()).add(program.release)

    def masks(found: dict[str, dict[str, set[str]]]) -> dict[str, dict[str, int]]:
        return {
            name: {
                fact: sum(1 << number for number, one in enumerate(releases) if one in where)
                for fact, where in sorted(facts.items())
            }
            for name, facts in sorted(found.items())
        }

    document = {"releases": releases, HOOKS_NAME: masks(hooks), TESTS: masks(tests)}
    text = json.dumps(document, separators=(",", ":"), ensure_ascii=True)
    (FACTS / "code.json").write_text(text.replace('},"', '},\n"') + "\n", encoding="utf-8")
    lines = [
        "# Builds whose code was gone through (the lab's): GNU build-id of a program, SHA-256 of",
        "# its file; SHA-256 of the modules. Written by tools/write_code_facts.py.",
        "",
        "[programs]",
    ]
    for release, arch, package, build, digest in sorted(builds):
        lines.append(f'{build} = ["{release}", "{arch}", "{package}",\n  "{digest}"]')
    lines += ["", "[modules]"]
    for package, found in sorted(modules.items()):
        if found:
            lines += [f'"{package}" = [', *(f'  "{one}",' for one in sorted(found)), "]"]
    (FACTS / "builds.toml").write_text("\n".join(lines) + "\n", encoding="utf-8")


HOOKS_NAME = "hooks"

if __name__ == "__main__":
    main()
