"""A fleet: virtual machines, hosts, and settings, read from a TOML file.

::

    title = "Debian 12 to 13"

    [[vm]]
    name = "web1"                     # or names = ["web1", "web2"]: VMs that are equal
    source = "captures/web1.mig"      # stream file, profile, qmp:SOCKET, libvirt:DOMAIN
    command-line = "qemu-system-…"    # with it, a host's own program starts this VM's machine
    group = "shop"                    # for reading: sort, fold, search
    guest = "web"                     # which of a host's profiles is this VM's machine
    back-to = "deb12-web"             # its source, for --and-back; a capture says that itself

    [[vm]]
    files = "captures/*.mig"          # a VM for each file, named by it

    [[host]]
    name = "node1"
    profile = "deb13-web"             # the same machine for every VM
    profiles = { web = "deb13-web" }  # or one for each kind of guest
    release = "10.0"                  # or the host's own QEMU: a lab release,
    command = ["/usr/bin/qemu-system-x86_64"]              # a program here,
    remote = ["ssh", "node1", "migratable"]                # or migratable on the host (with
                                                           # command: what it starts there)

Every mistake is a :class:`~migratable.errors.PlanError` with file, place and remedy.
"""

from __future__ import annotations

import glob
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from migratable.errors import PlanError
from migratable.printable import quoted
from migratable.pseries.tables import Table, read_table

MOST = 200_000
"""VMs, and hosts, of one fleet."""
_MOST_CELLS = 20_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Vm:
    """One virtual machine.

    :ivar source: as :func:`migratable.capture.source.open_source` takes it, paths made absolute;
        empty: the machine of :attr:`command_line` is started, and is as it is at power-on.
    :ivar command_line: the VM's own QEMU command line, as text or words; empty when not given.
    :ivar release: lab release that starts :attr:`command_line` when there is no :attr:`source`.
    :ivar guest: name under which a host keeps this VM's machine among its profiles.
    :ivar group: a label for reports.
    :ivar back_to: name or file of a profile of its source, where :attr:`source` says nothing of it.
    :ivar place: where in the file it is.
    """

    name: str
    source: str = ""
    command_line: str | tuple[str, ...] = ""
    release: str = ""
    guest: str = ""
    group: str = ""
    back_to: str = ""
    place: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """One host: its profiles, or a way to its own QEMU.

    :ivar profiles: profile by guest name; the name ``""`` is for every other guest.
    :ivar command: words that start the host's QEMU, here or by :attr:`remote`.
    :ivar release: lab release that stands for the host's QEMU.
    :ivar remote: words that run ``migratable`` where the host's QEMU is.
    """

    name: str
    profiles: Mapping[str, str] = field(default_factory=dict)
    command: tuple[str, ...] = ()
    release: str = ""
    remote: tuple[str, ...] = ()
    group: str = ""
    place: str = ""

    @property
    def has_program(self) -> bool:
        """Whether its own QEMU can be asked."""
        return bool(self.command or self.release or self.remote)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fleet:
    """VMs and hosts, names unique among either."""

    vms: tuple[Vm, ...]
    hosts: tuple[Host, ...]
    title: str = ""
    name: str = ""

    def __post_init__(self) -> None:
        """Check what no part can know by itself.

        :raise PlanError: When a name is there twice, or there is nothing to compare.
        """
        for what, ones in (("vm", self.vms), ("host", self.hosts)):
            if not ones:
                raise PlanError(f"{self.name or 'fleet'}: no [[{what}]]; at least one is needed")
            seen: dict[str, Vm | Host] = {}
            for one in ones:
                other = seen.setdefault(one.name, one)
                if other is not one:
                    raise PlanError(
                        f"{one.place}: the {what} {quoted(one.name)} is there already "
                        f"({other.place})"
                    )
        if len(self.vms) * len(self.hosts) > _MOST_CELLS:
            raise PlanError(
                f"{self.name}: {len(self.vms)} VMs x {len(self.hosts)} hosts are more than "
                f"{_MOST_CELLS} pairs; split the fleet"
            )


def read_fleet(path: Path) -> Fleet:
    """Read a fleet file; paths in it are relative to its folder.

    :raise PlanError: When it cannot be read or something in it is wrong, with the place.
    """
    return parse(read_table(path), folder=path.absolute().parent, name=path.name)


def parse(table: Table, *, folder: Path, name: str = "") -> Fleet:
    """Read the table of a fleet file.

    :param folder: to which paths are relative.
    :raise PlanError: As :func:`read_fleet`.
    """
    title = table.get("title", str, "")
    vms: list[Vm] = []
    for item in table.tables("vm"):
        vms += _vms(item, folder)
        _few(table, "vm", len(vms))
    hosts: list[Host] = []
    for item in table.tables("host"):
        hosts += _hosts(item, folder)
        _few(table, "host", len(hosts))
    table.finish()
    return Fleet(vms=tuple(vms), hosts=tuple(hosts), title=title, name=name)


def _few(table: Table, what: str, count: int) -> None:
    if count > MOST:
        raise table.error(f"more than {MOST} of [[{what}]]; split the fleet")


def _vms(item: Table, folder: Path) -> Iterator[Vm]:
    line = _line(item, "command-line")
    release = item.get("release", str, "")
    guest = item.get("guest", str, "")
    group = item.get("group", str, "")
    back_to = item.get("back-to", str, "")
    sources = dict(_named(item, folder, "source"))
    item.finish()
    for name, source in sources.items():
        if not source and not line:
            raise item.error("a VM needs source (a stream file, …), files or command-line")
        if release and (source or not line):
            raise item.error("release starts command-line, and only when there is no source")
        yield Vm(
            name=name,
            source=source,
            command_line=line,
            release=release,
            guest=guest,
            group=group,
            back_to=_placed(back_to, folder) if back_to else "",
            place=item.place,
        )


def _hosts(item: Table, folder: Path) -> Iterator[Host]:
    command = tuple(_words(item, "command"))
    remote = tuple(_words(item, "remote"))
    release = item.get("release", str, "")
    group = item.get("group", str, "")
    by_guest = item.table("profiles")
    named = dict(_named(item, folder, "profile"))
    profiles: dict[str, str] = {}
    for guest, value in by_guest.items():
        if not isinstance(value, str) or not value:
            raise by_guest.error(
                f"{guest} must be the name or file of a profile, not {quoted(value)}"
            )
        profiles[guest] = _placed(value, folder)
    item.finish()
    given = [key for key in ("release", "command", "remote") if item.has(key)]
    if given == ["command", "remote"]:
        given = ["remote"]  # the program that migratable starts there
    if len(given) > 1:
        raise item.error(f"{' and '.join(given)} exclude each other; one says which QEMU it is")
    for name, profile in named.items():
        own = {**profiles, "": profile} if profile else profiles
        if not own and not given:
            raise item.error("a host needs profile, profiles, files, release, command or remote")
        yield Host(
            name=name,
            profiles=own,
            command=command,
            release=release,
            remote=remote,
            group=group,
            place=item.place,
        )


def _named(item: Table, folder: Path, key: str) -> Iterator[tuple[str, str]]:
    """Names of a table with the value of *key*, placed: from name, names or files."""
    ways = [way for way in ("name", "names", "files") if item.has(way)]
    if len(ways) != 1:
        raise item.error(
            "give one of name, names and files"
            + (f"; there are {' and '.join(ways)}" if ways else "")
        )
    if ways == ["files"]:
        if item.has(key):
            raise item.error(f"files and {key} exclude each other")
        yield from _globbed(item, folder)
        return
    value = item.get(key, str, "")
    if item.has(key) and not value:
        raise item.error(f"{key} is empty")
    names = [item.get("name", str)] if ways == ["name"] else item.texts("names")
    if not names:
        raise item.error("names is empty")
    for number, name in enumerate(names):
        if not name or not name.isprintable():
            raise item.error(
                f"{quoted(name)} is not a name: it needs a letter and no invisible characters"
            )
        if name in names[:number]:
            raise item.error(f"{quoted(name)} occurs twice")
        yield name, _placed(value, folder) if value else ""


def _globbed(item: Table, folder: Path) -> Iterator[tuple[str, str]]:
    pattern = item.get("files", str)
    found = sorted(
        # Path.glob accepts no absolute pattern.
        glob.glob(str(Path(pattern).expanduser()), root_dir=folder, recursive=True)  # noqa: PTH207
    )
    paths = [folder / name for name in found if (folder / name).is_file()]
    if not paths:
        raise item.error(f"files: nothing here matches {quoted(pattern)} (in {folder})")
    stems = [path.name.split(".", 1)[0] or path.name for path in paths]
    for path, stem, relative in zip(paths, stems, found, strict=True):
        # Files with equal stems keep as much of their names as makes them unique.
        name = stem if stems.count(stem) == 1 else relative
        yield name, str(path)


def _placed(value: str, folder: Path) -> str:
    """Make the path of a file absolute; names of profiles and URIs stay as they are."""
    path = folder / Path(value).expanduser()
    if "/" in value and not value.startswith(("qmp:", "libvirt:")):
        return str(path)
    return str(path) if path.is_file() else value


def _line(item: Table, key: str) -> str | tuple[str, ...]:
    if not item.has(key):
        return ""
    words = _words(item, key, split=False)
    return words[0] if len(words) == 1 else tuple(words)


def _words(item: Table, key: str, *, split: bool = True) -> list[str]:
    """A list of words, or one text, which is split as a shell does when *split*."""
    if not item.has(key):
        return []
    try:
        value = item.get(key, str)
    except PlanError:
        words = item.texts(key)
    else:
        words = [value]
        if split:
            import shlex  # noqa: PLC0415 -- few files have such a text

            try:
                words = shlex.split(value)
            except ValueError as error:
                raise item.error(f"{key}: {error}") from None
    if not words or not words[0].strip():
        raise item.error(f"{key} is empty")
    return words
