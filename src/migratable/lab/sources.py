"""Which mirror to fetch from: what the machine's own apt configuration says.

Reads both forms of sources.list(5): one line a source, and deb822 (``*.sources``). Only sources
that carry Debian's own suites count; a third party's archive is never taken for Debian's mirror.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from migratable.errors import LabError
from migratable.lab.releases import debian_pocket

KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")

_ONE_LINE = re.compile(
    r"deb\s+(?:\[(?P<options>[^]]*)\]\s*)?(?P<uri>\S+)\s+(?P<suite>\S+)(?:\s+(?P<components>.*))?"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """One archive of binary packages in the machine's apt configuration.

    :ivar options: in lower case, as the one-line form names them: ``signed-by``, ``trusted``.
    :ivar place: file (and line) that it comes from.
    """

    uri: str
    suites: tuple[str, ...]
    components: tuple[str, ...]
    options: Mapping[str, str] = field(default_factory=dict)
    place: str = ""

    def has_pocket(self, pocket: str) -> bool:
        """Whether it carries Debian's ``main`` for base suites (``""``) or a pocket of them."""
        pockets = {debian_pocket(suite) for suite in self.suites}
        return pocket in pockets and "main" in self.components


@dataclass(frozen=True, slots=True, kw_only=True)
class Mirror:
    """Where to fetch Debian's packages from.

    :ivar signed_by: keyrings (absolute paths) or an armoured key; empty: :data:`KEYRING`.
    :ivar trusted: the machine's configuration says that this archive needs no signature.
    """

    uri: str
    signed_by: str = ""
    trusted: bool = False


def mirrors(sources: Iterable[Source], pocket: str = "") -> list[Mirror]:
    """Pick the mirrors for base suites, or for a pocket such as ``security``, in their order."""
    found = [
        Mirror(
            uri=source.uri,
            signed_by=source.options.get("signed-by", ""),
            trusted=source.options.get("trusted", "") == "yes",
        )
        for source in sources
        if source.has_pocket(pocket) and not source.uri.startswith("cdrom:")
    ]
    return list(dict.fromkeys(found))


def read(list_file: Path, parts: Path) -> list[Source]:
    """Read the machine's sources: ``sources.list`` and the folder beside it.

    Files of names that apt ignores are ignored; files that are missing are no error.

    :raise LabError: when one of them cannot be read.
    """
    files = [list_file] if list_file.is_file() else []
    if parts.is_dir():
        files += sorted(
            path
            for path in parts.iterdir()
            if re.fullmatch(r"[A-Za-z0-9_.-]+\.(list|sources)", path.name) and path.is_file()
        )
    found: list[Source] = []
    for path in files:
        try:
            text = path.read_text(encoding="utf-8", errors="replace")
        except OSError as error:
            raise LabError(f"apt's {path} cannot be read: {error}") from error
        parse = parse_deb822 if path.suffix == ".sources" else parse_one_line
        found += parse(text, str(path))
    return found


def parse_one_line(text: str, place: str = "") -> list[Source]:
    """Read ``deb [signed-by=…] URI SUITE COMPONENT…`` lines; others are not for us."""
    found = []
    for number, line in enumerate(text.splitlines(), 1):
        fields = _ONE_LINE.fullmatch(line.partition("#")[0].strip())
        if fields is None:
            continue
        options = dict(_option(word) for word in (fields["options"] or "").split())
        found.append(
            Source(
                uri=fields["uri"],
                suites=(fields["suite"],),
                components=tuple((fields["components"] or "").split()),
                options=options,
                place=f"{place}:{number}",
            )
        )
    return found


def parse_deb822(text: str, place: str = "") -> list[Source]:
    """Read stanzas of ``Types``, ``URIs``, ``Suites``, ``Components``; one source per URI."""
    found = []
    for stanza in _stanzas(text):
        if "deb" not in stanza.get("types", "").split():
            continue
        if stanza.get("enabled", "yes").strip().lower() in ("no", "false", "off", "0"):
            continue
        options = {
            name: value for name, value in stanza.items() if name in ("signed-by", "trusted")
        }
        found += [
            Source(
                uri=uri,
                suites=tuple(stanza.get("suites", "").split()),
                components=tuple(stanza.get("components", "").split()),
                options=options,
                place=place,
            )
            for uri in stanza.get("uris", "").split()
        ]
    return found


def _option(word: str) -> tuple[str, str]:
    name, _, value = word.partition("=")
    return name.rstrip("+-").lower(), value


def _stanzas(text: str) -> Iterator[dict[str, str]]:
    """Read deb822: fields go on in lines that begin with a space, ``.`` stands for an empty one."""
    stanza: dict[str, str] = {}
    name = ""
    for line in [*text.splitlines(), ""]:
        if line.startswith("#"):
            continue
        if not line.strip():
            if stanza:
                yield stanza
            stanza, name = {}, ""
        elif line[0] in " \t":
            more = line.strip()
            if name:
                stanza[name] += "\n" + ("" if more == "." else more)
        else:
            name, _, value = line.partition(":")
            name = name.strip().lower()
            stanza[name] = value.strip()


def write(mirror: Mirror, suite: str, keys: Path, keyring: Path | None = None) -> str:
    """Write the private source for one suite, in the deb822 form.

    :param keys: folder in which a key that the configuration carries in its text is put.
    :param keyring: a keyring that the user named, which goes before all.
    :raise LabError: when no keyring is there to verify signatures with.
    """
    lines = ["Types: deb", f"URIs: {mirror.uri}", f"Suites: {suite}", "Components: main"]
    if mirror.trusted and keyring is None:
        lines.append("Trusted: yes")
    else:
        lines.append(f"Signed-By: {_keyring(mirror, keys, keyring)}")
    return "\n".join(lines) + "\n"


def _keyring(mirror: Mirror, keys: Path, keyring: Path | None) -> str:
    if keyring is not None:
        if not keyring.is_file():
            raise LabError(f"the keyring {keyring} is not there")
        return str(keyring.absolute())
    if "BEGIN PGP PUBLIC KEY" in mirror.signed_by:
        path = keys / "mirror-key.asc"
        path.write_text(mirror.signed_by.strip() + "\n", encoding="utf-8")
        return str(path)
    # An administrator may have narrowed the machine's own suite to one release's key, which does
    # not sign the other suites of the same archive: Debian's keyring with all its keys goes first.
    if KEYRING.is_file():
        return str(KEYRING)
    named = [word for word in re.split(r"[,\s]+", mirror.signed_by) if word.startswith("/")]
    if named and Path(named[0]).is_file():
        return named[0]
    raise LabError(
        f"Debian's keyring {KEYRING} is not there, so no signature can be verified; install the "
        f"package debian-archive-keyring, or name a keyring: --keyring FILE"
    )


def configured(apt_config: str) -> tuple[Path, Path]:
    r"""Read the two places of sources from the output of ``apt-config shell``.

    >>> configured("LIST='/etc/apt/sources.list'\nPARTS='/etc/apt/sources.list.d'\n")[0].name
    'sources.list'

    :raise LabError: when they are not in it.
    """
    words = dict(word.split("=", 1) for word in shlex.split(apt_config) if "=" in word)
    try:
        return Path(words["LIST"]), Path(words["PARTS"])
    except KeyError as error:
        raise LabError(f"apt-config does not say where its sources are: {apt_config!r}") from error
