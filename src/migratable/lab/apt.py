"""apt with private directories: resolve and fetch packages without root and without the system.

The machine's apt configuration is read as always (proxies, certificates, credentials); ours comes
after it and moves every folder that apt reads or writes. apt verifies the signature of the suite
and the checksum of every file; nothing here turns that off. The one check that may be waived is
the *date* of a suite's metadata, see :meth:`Apt.update`.
"""

from __future__ import annotations

import contextlib
import datetime
import email.utils
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from migratable.errors import LabError

Progress = Callable[[float, str], None]
"""Called with a share from 0 to 1 and words for what is going on."""

_EXPIRED = re.compile(r"(?:E|Error): Release file for .* is expired \(invalid since .*?\)")
_COMPLAINTS = ("E:", "W:", "Err:", "Error:", "Warning:")
_URI = re.compile(r"'(?P<uri>[^']+)' (?P<file>\S+) (?P<size>\d+)(?: (?P<hash>\S+))?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Package:
    """A package file as apt resolved it. ``size`` in bytes; ``hash`` as ``SHA256:…``, or empty."""

    name: str
    version: str
    file: str
    size: int
    uri: str
    hash: str = ""


def tool(name: str) -> str:
    """Find one of Debian's tools on PATH.

    :raise LabError: when it is missing; says which package has it.
    """
    found = shutil.which(name)
    if found is None:
        package = {"dpkg-deb": "dpkg"}.get(name, "apt")
        raise LabError(
            f"{name} is not on this machine; the lab unpacks Debian's packages with it. On Debian "
            f"and Ubuntu it is in the package {package}; elsewhere put a QEMU on PATH, which every "
            f"command finds as well"
        )
    return found


def output(*command: str) -> str:
    """Run a short helper and return what it prints.

    :raise LabError: when it fails.
    """
    words = [tool(command[0]), *command[1:]]
    done = subprocess.run(
        words, capture_output=True, text=True, errors="replace", env=_environment(), check=False
    )
    if done.returncode != 0:
        raise LabError(f"{' '.join(command)} failed: {done.stderr.strip()}")
    return done.stdout


class Apt:
    """apt in a folder of its own, for one suite.

    :param base: folder for lists, packages and configuration; kept, so that what was fetched before
        an interruption is used.
    :param sources: text of a ``.sources`` file.
    :param lock: descriptor of the lab's lock, inherited by every apt that is started: should we be
        killed, the lock is held for as long as apt still writes.
    :param allow_expired: take package lists that are past their date; a replayed old list would
        then go unnoticed.
    """

    def __init__(
        self, base: Path, sources: str, *, lock: int | None = None, allow_expired: bool = False
    ) -> None:
        self._base = base
        self._lock = lock
        self._waived = allow_expired
        for folder in ("lists/partial", "archives/partial", "state", "cache", "log", "empty"):
            (base / folder).mkdir(parents=True, exist_ok=True)
        (base / "state/status").touch()
        (base / "lab.sources").write_text(sources, encoding="utf-8")
        (base / "apt.conf").write_text(self._configuration(), encoding="utf-8")

    @property
    def archives(self) -> Path:
        """Folder with the packages that were fetched."""
        return self._base / "archives"

    def update(self, progress: Progress) -> str | None:
        """Fetch the suite's lists of packages.

        A suite that is not renewed (testing's metadata is good for a week) can be past its date
        on a mirror that lags behind. That is refused unless ``allow_expired`` waives the check of
        the date; signatures are verified all the same.

        :return: the date until which the metadata was good, None when it still is. It is read from
            the metadata itself: the machine's configuration may waive apt's check.
        :raise LabError: when they cannot be had, with apt's reason and a remedy.
        """
        errors = self._get(["update", "--error-on=any"], progress)
        if errors is not None:
            if only_expired(errors):
                raise LabError(
                    "the package lists are past their date: the mirror lags behind, or the suite "
                    "is no longer renewed. To accept them anyway (signatures are still "
                    f"verified): --allow-expired.\n  apt says:\n  {errors.strip()}"
                )
            raise LabError(explain(errors))
        for path in sorted((self._base / "lists").glob("*Release")):
            if expired := past_its_date(path.read_text(encoding="utf-8", errors="replace")):
                return expired
        return None

    def candidate(self, package: str) -> str | None:
        """Version of a package that the suite has, None when it has none."""
        text = self._output("apt-cache", "policy", package)
        match = re.search(r"^  Candidate: (\S+)", text, re.MULTILINE)
        return None if match is None or match[1] == "(none)" else match[1]

    def resolve(self, packages: Sequence[str]) -> list[Package]:
        """List the packages and all that they depend on, as files to fetch.

        :raise LabError: when they cannot be resolved.
        """
        # apt does not print packages that are in the archive folder, so use an empty folder.
        empty = f"Dir::Cache::archives={self._base / 'empty'}"
        text = self._output("apt-get", "-o", empty, "install", "--print-uris", *_QUIET, *packages)
        found = []
        for line in _URI.finditer(text):
            name, version, _ = line["file"].removesuffix(".deb").split("_", 2)
            found.append(
                Package(
                    name=name,
                    version=version.replace("%3a", ":"),
                    file=line["file"],
                    size=int(line["size"]),
                    uri=line["uri"],
                    hash=line["hash"] or "",
                )
            )
        if not found:
            raise LabError(f"apt resolved {', '.join(packages)} to nothing: {text.strip()!r}")
        return sorted(found, key=lambda package: package.file)

    def fetch(self, packages: Sequence[str], progress: Progress) -> None:
        """Fetch what :meth:`resolve` lists; apt takes up partial files and verifies checksums.

        :raise LabError: when a file cannot be had.
        """
        errors = self._get(["install", "--download-only", *_QUIET, *packages], progress)
        if errors is not None:
            raise LabError(explain(errors))

    def _configuration(self) -> str:
        base = self._base

        def quoted(path: Path) -> str:
            return f'"{path}"'  # the lab sees to it that there is no quotation mark in it

        architecture = output("dpkg", "--print-architecture").strip()
        lines = [
            f"Dir::State {quoted(base / 'state')};",
            f"Dir::State::lists {quoted(base / 'lists')};",
            f"Dir::State::status {quoted(base / 'state/status')};",
            f"Dir::Cache {quoted(base / 'cache')};",
            f"Dir::Cache::archives {quoted(base / 'archives')};",
            f"Dir::Log {quoted(base / 'log')};",
            f"Dir::Etc::sourcelist {quoted(base / 'lab.sources')};",
            f"Dir::Etc::sourceparts {quoted(base / 'empty')};",
            f"Dir::Etc::preferences {quoted(base / 'empty/none')};",
            f"Dir::Etc::preferencesparts {quoted(base / 'empty')};",
            # The machine's hooks after updates must not run for our lists.
            "#clear APT::Update;",
            "#clear DPkg;",
            # Lists of packages only: no translations, no contents, no icons.
            "#clear Acquire::IndexTargets;",
            'Acquire::IndexTargets::deb::Packages::MetaKey "$(COMPONENT)/binary-$(ARCHITECTURE)'
            '/Packages";',
            'Acquire::IndexTargets::deb::Packages::ShortDescription "Packages";',
            'Acquire::IndexTargets::deb::Packages::Description "$(RELEASE)/$(COMPONENT) '
            '$(ARCHITECTURE) Packages";',
            'Acquire::Languages "none";',
            'Acquire::Retries "3";',
            f'APT::Architecture "{architecture}";',
            "#clear APT::Architectures;",
            f'APT::Architectures "{architecture}";',
            'APT::Default-Release "";',
            'APT::Install-Recommends "false";',
            'APT::Install-Suggests "false";',
            'APT::Keep-Downloaded-Packages "true";',
        ]
        if os.geteuid() == 0:
            # apt would fetch as _apt, who may not write into root's folders.
            lines.append('APT::Sandbox::User "root";')
        return "\n".join(lines) + "\n"

    def _words(self, command: str) -> list[str]:
        words = [tool(command), "-c", str(self._base / "apt.conf")]
        if self._waived:
            words += ["-o", "Acquire::Check-Valid-Until=false"]
        return words

    def _output(self, command: str, *arguments: str) -> str:
        done = subprocess.run(
            [*self._words(command), *arguments],
            capture_output=True,
            stdin=subprocess.DEVNULL,
            text=True,
            errors="replace",
            env=_environment(),
            check=False,
        )
        if done.returncode != 0:
            raise LabError(explain(done.stderr))
        return done.stdout

    def _get(self, arguments: list[str], progress: Progress) -> str | None:
        """Run apt-get with progress; return what it says on stderr when it fails, else None."""
        reader, writer = os.pipe()
        inherited = (writer,) if self._lock is None else (writer, self._lock)
        words = [*self._words("apt-get"), "-q", "-o", f"APT::Status-Fd={writer}", *arguments]
        with (
            tempfile.TemporaryFile("w+", errors="replace") as errors,
            subprocess.Popen(
                words,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=errors,
                env=_environment(),
                pass_fds=inherited,
            ) as process,
        ):
            os.close(writer)
            try:
                with os.fdopen(reader, encoding="utf-8", errors="replace") as status:
                    for share, words_ in _shares(status):
                        progress(share, words_)
                failed = process.wait() != 0
            except BaseException:  # an interruption: leave no apt behind
                with contextlib.suppress(ProcessLookupError):
                    process.terminate()
                process.wait()
                raise
            errors.seek(0)
            return errors.read() if failed else None


_QUIET = ("-qq", "--assume-yes", "--no-install-recommends", "--allow-downgrades")


def _shares(lines: Iterator[str]) -> Iterator[tuple[float, str]]:
    """Read apt's status lines: ``dlstatus:1:33.3:Retrieving file 1 of 9``."""
    for line in lines:
        fields = line.rstrip("\n").split(":", 3)
        if len(fields) == 4 and fields[0] == "dlstatus":
            with contextlib.suppress(ValueError):
                yield min(1.0, float(fields[2]) / 100), fields[3]


def _environment() -> dict[str, str]:
    """Messages in English, which we read; nothing asked of a person."""
    return {**os.environ, "LC_ALL": "C", "LANGUAGE": "", "DEBIAN_FRONTEND": "noninteractive"}


def only_expired(errors: str) -> bool:
    """Whether apt objects to the date until which the metadata is good, and to nothing else."""
    said = [line for line in errors.splitlines() if line.startswith(_COMPLAINTS)]
    return bool(said) and all(_EXPIRED.match(line) for line in said)


def past_its_date(release: str) -> str | None:
    """Return the ``Valid-Until`` of a Release file's text if that date is over, else None."""
    until = re.search(r"^Valid-Until: (.+)$", release, re.MULTILINE)
    if until is None:
        return None
    try:
        date = email.utils.parsedate_to_datetime(until[1])
    except ValueError:
        return None
    if date.tzinfo is None:  # "UTC" is written, which email.utils takes for no zone at all
        date = date.replace(tzinfo=datetime.UTC)
    return until[1].strip() if date < datetime.datetime.now(tz=datetime.UTC) else None


_CAUSES = (
    (
        r"NO_PUBKEY|signatures? (?:couldn't|could not) be verified|signatures were invalid"
        r"|is not signed|BADSIG|EXPKEYSIG|REVKEYSIG|Missing key|Sub-process .*sqv",
        "the signature of the package lists cannot be verified. For a suite newer than this "
        "machine, update the package debian-archive-keyring, or name a newer one: --keyring FILE",
    ),
    (
        r"is not valid yet",
        "the package lists are dated in the future: set this machine's clock",
    ),
    (
        r"does not have a Release file|does no longer have a Release file|404 +Not Found",
        "the mirror does not have it (any more). Suites that Debian no longer supports move to its "
        "archive of old releases; name a mirror that has it: --mirror URL",
    ),
    (
        r"Hash Sum mismatch|File has unexpected size|Hashes of expected file",
        "the mirror is being renewed, or a proxy changes its files; try again later",
    ),
    (
        r"Temporary failure resolving|Could not resolve|Could not connect|Unable to connect"
        r"|Connection (?:timed out|refused)|Network is unreachable|Something wicked",
        "the mirror cannot be reached; look at the network, or name another: --mirror URL",
    ),
    (
        r"You don't have enough free space|No space left",
        "the disk is full; `migratable lab remove` makes room",
    ),
    (r"Unable to locate package|has no installation candidate", "the suite does not have it"),
)


def explain(errors: str) -> str:
    """Turn apt's own words into a cause, a remedy, and the words."""
    said = [line for line in errors.splitlines() if line.startswith(_COMPLAINTS)]
    words = "\n  ".join(dict.fromkeys(said)) or errors.strip() or "apt failed without a message"
    for pattern, cause in _CAUSES:
        if re.search(pattern, errors):
            return f"{cause}.\n  apt says:\n  {words}"
    return f"apt failed:\n  {words}"
