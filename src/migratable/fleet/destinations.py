"""Profiles of the machines that a fleet's VMs need on its hosts: each is found or started once.

What was started is kept in the user's cache folder, by the program's files and the inert command
line: a second run starts nothing.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import subprocess
import zlib
from array import array
from collections.abc import Callable, Hashable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from migratable import __version__, paths
from migratable.errors import DestinationStartError, MigratableError, ProfileError, StartFailure
from migratable.fleet.entities import Destination, Guest, Progress
from migratable.fleet.model import Host

if TYPE_CHECKING:
    from migratable.commandline import CommandLine
    from migratable.profile.model import Profile

_UNSEEN = re.compile(r",(?:mac|serial|wwn|uuid)=[^,]*")
_LIMIT = 256 << 20


@dataclass(slots=True, kw_only=True)
class Plan:
    """Which destination each pair has, and the work that is to be done for it.

    Guests that a host cannot tell apart, and hosts with the same program or profiles, share one.
    """

    guests: Sequence[Guest]
    hosts: Sequence[Host]
    timeout: float = 60.0
    _places: dict[Hashable, int] = field(default_factory=dict)
    _work: list[Callable[[], Destination]] = field(default_factory=list)

    def run(
        self, *, progress: Progress | None, workers: int
    ) -> tuple[tuple[Destination, ...], array[int]]:
        """Find every destination; see :attr:`.resolve.Resolved.choice`."""
        rows: dict[Hashable, array[int]] = {}
        choice = array("I")
        ways: dict[Hashable, Host] = {_way(host): host for host in self.hosts}
        keys = [_way(host) for host in self.hosts]
        for guest in self.guests:
            key = _guest_key(guest)
            if key not in rows:
                by_way = {way: self._place(guest, host) for way, host in ways.items()}
                rows[key] = array("I", [by_way[way] for way in keys])
            choice.extend(rows[key])
        return self._done(progress, workers), choice

    def _done(self, progress: Progress | None, workers: int) -> tuple[Destination, ...]:
        found: dict[int, Destination] = {}
        with ThreadPoolExecutor(max_workers=max(1, workers)) as pool:
            pending = {pool.submit(work): index for index, work in enumerate(self._work)}
            try:
                for number, future in enumerate(as_completed(pending)):
                    found[pending[future]] = future.result()
                    if progress is not None:
                        progress("destinations", number + 1, len(pending))
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise
        return tuple(found[at] for at in range(len(self._work)))

    def _add(self, key: Hashable, work: Callable[[], Destination]) -> int:
        if key not in self._places:
            self._places[key] = len(self._work)
            self._work.append(work)
        return self._places[key]

    def _place(self, guest: Guest, host: Host) -> int:
        name = host.profiles.get(guest.vm.guest) or host.profiles.get("")
        if name:
            return self._add(("profile", name), lambda: _stored(name))
        if not host.has_program:
            known = ", ".join(sorted(host.profiles)) or "none"
            text = (
                f"{host.place}: no profile for guest {guest.vm.guest!r} of {guest.vm.place} "
                f"(there are: {known}); name one under profiles"
            )
            return self._add(("none", text), lambda: Destination(name=host.name, failure=text))
        if guest.line is None:
            text = f"{guest.vm.place}: the VM's command line is not known; give command-line"
            return self._add(("none", text), lambda: Destination(name=host.name, failure=text))
        line = _canonical(guest)
        sizes = _ram_sizes(guest)
        key = ("start", _way(host), words_key(line.argv), tuple(sorted(sizes.items())))
        return self._add(key, lambda: _started(host, line, sizes, self.timeout))


def _way(host: Host) -> Hashable:
    # Without a program or profile the messages name the host, so its name is in the key.
    return (
        tuple(sorted(host.profiles.items())),
        host.command,
        host.release,
        host.remote,
        "" if host.has_program or "" in host.profiles else host.name,
    )


def _guest_key(guest: Guest) -> Hashable:
    line = None if guest.line is None else words_key(guest.line.argv)
    machine = None if guest.stream is None else guest.stream.machine
    sizes = tuple(sorted(_ram_sizes(guest).items()))
    place = guest.vm.place if line is None or guest.vm.guest else ""
    return (guest.vm.guest, line, machine, sizes, place)


def words_key(words: Sequence[str]) -> tuple[str, ...]:
    """A command line without what no loader sees: names, UUIDs, MAC addresses, serial numbers."""
    out: list[str] = []
    left_out = False
    for word in words:
        if left_out:
            left_out = False
        elif word.lstrip("-") in {"name", "uuid"} and word.startswith("-"):
            left_out = True
        else:
            out.append(_UNSEEN.sub("", word))
    return tuple(out)


def _ram_sizes(guest: Guest) -> dict[str, int]:
    if guest.stream is None:
        return {}
    return {block.id: block.used_length for block in guest.stream.ram_blocks}


def _canonical(guest: Guest) -> CommandLine:
    """Start the machine type that the stream names where the line has an alias (``q35``, ``pc``).

    Management layers do the same: an alias means another machine type on another release.
    """
    line = guest.line
    assert line is not None
    machine = None if guest.stream is None else guest.stream.machine
    if machine and not re.search(r"\d+\.\d+", line.machine or ""):
        return line.with_machine("type", machine)
    return line


def _stored(name: str) -> Destination:
    from migratable.profile.bundled import find  # noqa: PLC0415 -- not for programs

    try:
        return Destination(name=name, profile=find(name))
    except MigratableError as error:
        return Destination(name=name, failure=str(error))


def _started(
    host: Host, line: CommandLine, sizes: Mapping[str, int], timeout: float
) -> Destination:
    own = replace(line, program=host.command) if host.command else line
    try:
        if host.remote:
            return Destination(name=host.name, profile=_remote(host.remote, own, timeout))
        profile = collected(own, release=host.release or None, ram_sizes=sizes, timeout=timeout)
    except DestinationStartError as error:
        lines = error.stderr or (str(error),)
        return Destination(
            name=host.name,
            refused=lines,
            only_kvm=error.only_kvm,
            doubt=error.doubt,
            line=None if host.remote else own,
            release=host.release or None,
        )
    except MigratableError as error:
        return Destination(name=host.name, failure=str(error))
    return Destination(name=host.name, profile=profile)


def _remote(remote: Sequence[str], line: CommandLine, timeout: float) -> Profile:
    """Have migratable on the host itself take the profile."""
    from migratable.profile.model import Profile  # noqa: PLC0415

    command = [*remote, "profile", "--format", "json", "--", *line.argv]
    shown = " ".join(remote)
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=2 * timeout + 30,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ProfileError(f"{shown}: {error}") from None
    if done.returncode != 0:
        said = done.stderr.decode("utf-8", "replace").strip()[-2000:]
        raise ProfileError(
            f"{shown} profile: status {done.returncode}: {said or 'it printed nothing'}"
        )
    return Profile.loads(done.stdout, origin=f"{shown} profile")


def collected(
    line: CommandLine,
    *,
    release: str | None = None,
    ram_sizes: Mapping[str, int] | None = None,
    timeout: float = 60.0,
    remember_refusals: bool = False,
) -> Profile:
    """:func:`~migratable.profile.collect.collect`, from the cache where it was done before.

    :param remember_refusals: keep also that a program refuses to start this machine.
    :raise MigratableError: as ``collect`` does.
    """
    from migratable.profile.collect import collect  # noqa: PLC0415 -- only for programs
    from migratable.profile.store import without_secrets  # noqa: PLC0415

    path = _cache_path(line, release, ram_sizes)
    known = _recall(path)
    if isinstance(known, DestinationStartError):
        if remember_refusals:
            raise known
    elif known is not None:
        return known
    try:
        profile = collect(line, release=release, ram_sizes=ram_sizes, timeout=timeout)
    except DestinationStartError as error:
        if remember_refusals:
            kept = [str(error), error.kind, error.status, error.doubt, *error.stderr]
            _keep(path, b"!" + json.dumps(kept).encode())
        raise
    _keep(path, without_secrets(profile).dumps().encode())
    return profile


def cache_folder() -> Path:
    """Give the folder of profiles that were taken for fleets; anybody may empty it."""
    return paths.cache("fleet")


def _cache_path(
    line: CommandLine, release: str | None, ram_sizes: Mapping[str, int] | None
) -> Path:
    from migratable.facts.options import DATED  # noqa: PLC0415
    from migratable.profile.model import SCHEMA  # noqa: PLC0415
    from migratable.qemu import program_facts  # noqa: PLC0415
    from migratable.qemu.accelerator import choose  # noqa: PLC0415
    from migratable.qemu.program import program_release, resolve  # noqa: PLC0415
    from migratable.qemu.start import inert_line  # noqa: PLC0415

    program = resolve(line, release=release)
    number = program_release(program.command)
    chosen = choose(line, program.command)
    quiet = inert_line(line, release=number, ram_sizes=ram_sizes, accelerator=chosen, strict=True)
    words = words_key(quiet.plain_argv)
    dated = sorted(option.name for option in line.options if option.name in DATED)
    files = sorted((str(path), size) for path, size in quiet.files.items())
    kvm = (
        quiet.kvm,
        chosen,
        os.uname().release,
        quiet.kvmclock,
    )  # what the kernel says is kept too
    seen = (__version__, SCHEMA, words, files, kvm, quiet.helpers, dated)
    digest = hashlib.blake2b(repr(seen).encode("utf-8", "surrogateescape"), digest_size=16)
    return cache_folder() / f"{program_facts.identity(program.command)}-{digest.hexdigest()}"


def _recall(path: Path) -> Profile | DestinationStartError | None:
    """What is kept there; None when nothing (usable) is."""
    from migratable.profile.model import Profile  # noqa: PLC0415

    try:
        machine = zlib.decompressobj()
        text = machine.decompress(path.read_bytes(), _LIMIT)
        if text[:1] == b"!":
            message, *lines = json.loads(text[1:])
            kind, status, doubt, *lines = lines
            return DestinationStartError(
                message, stderr=tuple(lines), kind=StartFailure(kind), status=status, doubt=doubt
            )
        return Profile.loads(text, origin=str(path))
    except (OSError, ValueError, zlib.error, MigratableError):
        return None


def _keep(path: Path, text: bytes) -> None:
    from migratable.qemu import program_facts  # noqa: PLC0415

    with contextlib.suppress(OSError):  # no cache is no failure
        program_facts.keep(path, zlib.compress(text, 3))
