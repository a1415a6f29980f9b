#!/usr/bin/env python3
"""Take the wordings of QEMU's errors out of its sources: text, kind of call, place, releases.

``qemu_messages.py 5.2=/path/to/qemu-5.2.0 … 10.0=… [--write] [--lacking FOLDER]``

``--write`` writes ``src/migratable/messages/qemu/errors.tsv``. ``--lacking`` prints the texts under
a folder (``target/s390x``) that have no entry of their own in the catalogue. What the guest may
cause (``qemu_log_mask(LOG_GUEST_ERROR)``) is left out, and so are Windows' and the tests' texts.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

from migratable.messages.recognise import recognise
from tools.libvirt_messages import _FUNCTION, arguments, plain

OUT = Path(__file__).resolve().parents[1] / "src/migratable/messages/qemu/errors.tsv"
FOLDERS = (
    *("accel", "audio", "authz", "backends", "block", "chardev", "crypto", "dump", "fsdev", "hw"),
    *("io", "job-qmp.c", "migration", "monitor", "nbd", "net", "qapi", "qobject", "qom", "replay"),
    *("scsi", "softmmu", "system", "target", "tpm", "ui", "util", "block.c", "blockdev.c"),
    *("blockdev-nbd.c", "blockjob.c", "cpu.c", "cpus-common.c", "cpu-common.c", "cpu-target.c"),
    *("device-hotplug.c", "event-loop-base.c", "exec.c", "gdbstub", "gdbstub.c", "iothread.c"),
    *("job.c", "os-posix.c", "page-vary.c", "qdev-monitor.c", "replication.c", "semihosting"),
    *("tcg", "trace", "vl.c", "hostmem.c", "ebpf"),
    # Before 2.11, where what has a folder now stood at the top.
    *("arch_init.c", "balloon.c", "block-migration.c", "bootdevice.c", "buffered_file.c"),
    *("cpus.c", "device_tree.c", "dump.c", "hmp.c", "kvm-all.c", "memory.c", "memory_mapping.c"),
    *("migration.c", "migration-exec.c", "migration-fd.c", "migration-rdma.c", "migration-tcp.c"),
    *("migration-unix.c", "monitor.c", "net.c", "numa.c", "oslib-posix.c", "qdev.c", "qemu-char.c"),
    *("qemu-config.c", "qemu-file.c", "qemu-file-stdio.c", "qemu-option.c", "qemu-sockets.c"),
    *("qmp.c", "qtest.c", "savevm.c", "spice-qemu-char.c", "tpm.c", "vmstate.c", "xbzrle.c"),
    *("target-alpha", "target-arm", "target-i386", "target-m68k", "target-mips", "target-ppc"),
    *("target-s390x", "target-sparc"),
)
# How a call stands in the table, and how many arguments stand before the format.
CALLS = {
    "error_setg": ("error", 1),
    "error_set": ("error", 2),
    "error_setg_errno": ("errno", 2),
    "error_report": ("error", 0),
    "error_report_once": ("error", 0),
    "error_vreport": ("error", 0),
    "error_reportf_err": ("wrap", 1),
    "error_prepend": ("wrap", 1),
    "error_propagate_prepend": ("wrap", 2),
    "warn_reportf_err": ("warn", 1),
    "warn_report": ("warn", 0),
    "warn_report_once": ("warn", 0),
    "warn_report_once_cond": ("warn", 1),
    "error_report_once_cond": ("error", 1),
    "error_append_hint": ("hint", 1),
    "error_printf": ("hint", 0),
    "qerror_report": ("error", 1),
    "monitor_printf": ("error", 1),
    "virtio_error": ("error", 1),
    "vhost_vdpa_error": ("error", 1),
    "hw_error": ("error", 0),
    "phb_error": ("error", 1),
    "fprintf": ("error", 1),
}
_SKIPPED = re.compile(
    r"(?:^|/)(?:tests?|win32|.*-win32|.*_win32|w32|.*-w32|hvf|whpx|nvmm|xen.*|"
    r"hexagon|avr|rx|tricore|cris|dbus-display.*|coverage|disas.*)(?:[./]|$)"
)
_CALL = re.compile(rf"\b({'|'.join(CALLS)})\s*\(")
_PIECE = re.compile(r'\s*(?:(?:\w+\()?"((?:[^"\\]|\\.)*)"\)?|([A-Za-z_]\w*)(?:\([^()]*\))?)')
_QERR = re.compile(
    r'#define (QERR_\w+) *\\?\n? *(?:ERROR_CLASS_\w+, *\\?\n? *)?"((?:[^"\\]|\\.)*)"'
)
_VALUES = re.compile(r"%[sdx]")
# Where the oldest code writes to stderr itself; elsewhere that is a tool's or a test's.
_TO_STDERR = re.compile(
    r"hw|target|accel|softmmu|system|ui|vl\.c|net|util|savevm|migration|arch_init|block-mig|"
    r"kvm-all|qemu-(?:char|sockets|file)|vmstate|exec|cpus|memory|buffered"
)
# Of what the monitor prints to a person, the errors.
_TO_MONITOR = re.compile(
    r"(?i)error|\bnot?\b|fail|invalid|unknown|unable|can't|cannot|doesn't|already|must|too \w+"
)
HEAD = (
    "# QEMU's errors: kind of call, place, oldest and newest release read that has it, text. "
    "Written by tools/qemu_messages.py; what a kind of error means is in kinds.toml."
)


def formats(argument: str, named: dict[str, str]) -> Iterator[str]:
    """The texts of a format: literals and macros in a row, one text for each arm of a condition."""
    if "?" in argument and ":" in argument and '"' in argument.partition("?")[2]:
        outside = re.sub(r'"(?:[^"\\]|\\.)*"', lambda hit: " " * len(hit[0]), argument)
        first, second = outside.find("?"), outside.rfind(":")
        if 0 <= first < second:
            yield from formats(argument[first + 1 : second].strip(" ()"), named)
            yield from formats(argument[second + 1 :].strip(" ()"), named)
            return
    text, at = "", 0
    argument = argument.strip()
    while at < len(argument):
        piece = _PIECE.match(argument, at)
        if piece is None:
            return
        literal, macro = piece[1], piece[2]
        if literal is not None:
            text += literal
        elif macro in named:
            text += named[macro]
        elif text.endswith("%") or re.search(r"%[-+ #0]*\d*$", text):
            text += "x" if re.search(r"[xX]\d*$|plx|lx|FMT_[xp]", macro) else "d"
        elif text or at + len(piece[0]) < len(argument):
            text += "%s"
        at = piece.end()
    if text:
        yield text


def sources(tree: Path) -> Iterator[tuple[str, str]]:
    """Name and text, without comments, of every file of a tree that is read."""
    for part in FOLDERS:
        found = sorted((tree / part).rglob("*.[ch]")) if (tree / part).is_dir() else [tree / part]
        for file in found:
            name = str(file.relative_to(tree))
            if file.exists() and not _SKIPPED.search(name):
                yield name, re.sub(r"/\*.*?\*/", "", file.read_text(errors="replace"), flags=re.S)


def errors(tree: Path) -> Iterator[tuple[str, str, str]]:
    """``kind, file: function, text`` of every error of a tree."""
    named: dict[str, str] = {}
    for place in ("include/qapi/qmp", "."):
        for header in (tree / place).glob("qerror.h"):
            named |= {hit[1]: hit[2] for hit in _QERR.finditer(header.read_text())}
    for name, text in sources(tree):
        functions = [(hit.start(), hit[1]) for hit in _FUNCTION.finditer(text)]
        for call in _CALL.finditer(text):
            kind, skipped = CALLS[call[1]]
            given = [argument.strip() for argument in arguments(text, call.end())]
            if call[1] == "fprintf" and not (_TO_STDERR.match(name) and given[0] == "stderr"):
                continue
            function = next((n for at, n in reversed(functions) if at < call.start()), "")
            if call[1] in ("error_set", "qerror_report") and given[skipped - 1 :][:1]:
                skipped -= given[skipped - 1] in named  # class and text are one macro
            for argument in given[skipped : skipped + 1]:
                of_function = given[skipped + 1 : skipped + 2] == ["__func__"]
                for words in formats(argument, named):
                    named_first = of_function and words.startswith("%s")
                    said = _said(function + words[2:] if named_first else words)
                    if said.startswith(("warning: ", "Warning: ")):
                        kind, said = "warn", said[9:]
                    if call[1] == "monitor_printf" and not _refuses(function, said):
                        continue
                    if len(re.findall(r"[A-Za-z]", _VALUES.sub("", said))) >= 5:
                        yield kind, f"{name}: {function}", said


def _refuses(function: str, said: str) -> bool:
    """Is what the monitor prints an error, and no row of an ``info``?"""
    return "info" not in function and _TO_MONITOR.search(said) is not None


def _said(words: str) -> str:
    """A format as QEMU prints it, without the level before it."""
    return re.sub(r"^[eE]rror: ", "", plain(words.replace("\\'", "'")))


def _place(places: list[str]) -> str:
    """Of the places of one text in the newest release, one of the part that has most of them."""
    parts = [place.partition(": ")[0].rpartition("/")[0] or "block" for place in places]
    return places[parts.index(max(parts, key=parts.count))]


def _number(release: str) -> tuple[int, ...]:
    return tuple(map(int, release.split(".")))


def main(arguments_: list[str]) -> int:
    """Read, write, compare."""
    table: dict[tuple[str, str], dict[str, list[str]]] = {}
    under = arguments_[arguments_.index("--lacking") + 1] if "--lacking" in arguments_ else None
    for argument in arguments_:
        release, equals, path = argument.partition("=")
        if argument.startswith("--") or not equals:
            continue
        for kind, place, words in errors(Path(path)):
            releases = table.setdefault((kind, words), {}).setdefault(place, [])
            if release not in releases:
                releases.append(release)
    lines = []
    for (kind, words), places in table.items():
        held = sorted({name for names in places.values() for name in names}, key=_number)
        place = _place(sorted(place for place, names in places.items() if held[-1] in names))
        span = held[0] if len(held) == 1 else f"{held[0]}-{held[-1]}"
        lines.append("\t".join((kind, place, span, words)))
        if under is not None and place.startswith(under):
            said = _VALUES.sub("17", words)
            known = [m for m in recognise(f"qemu-system-s390x: {said}") if m.message.rank >= 0]
            if not known:
                print(lines[-1])
    if "--write" in arguments_:
        OUT.parent.mkdir(exist_ok=True)
        lines.sort(key=lambda line: (line.split("\t")[1], line))
        OUT.write_text("\n".join([HEAD, *lines]) + "\n", encoding="utf-8")
    print(f"{len(lines)} texts", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
