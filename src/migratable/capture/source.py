"""Open a source by a user's name for it: a file, a profile, a running VM.

======================  ========================================================================
``guest.mig``, ``.xz``  a stream file, whatever is around the stream
``vm.save``             (:mod:`migratable.stream.containers`)
``disk.qcow2``          its internal snapshot; ``disk.qcow2#NAME`` when it has several
``host7.json[.gz]``     an exported profile: the stream that this machine would write itself
``host7``               a stored or bundled profile
``qmp:SOCKET``          a running VM's monitor; see :mod:`migratable.capture.running`
``libvirt:DOMAIN``      a running VM of libvirt; see :mod:`migratable.capture.libvirt`
======================  ========================================================================
"""

from __future__ import annotations

import zlib
from pathlib import Path

from migratable.capture.model import Confirm, Source
from migratable.errors import ProfileError
from migratable.printable import quoted
from migratable.regular_file import open_regular
from migratable.stream import read

LIVE = ("qmp:", "libvirt:")


def is_live(text: str) -> bool:
    """Does *text* name a running VM, so that opening it would pause that?"""
    return text.startswith(LIVE)


def open_source(text: str, *, confirm: Confirm | None = None) -> Source:
    """Open what a user calls a source.

    :param confirm: asked before a running VM is paused; without it no VM is.
    :raise StreamError: When a file is there and is no stream.
    :raise ProfileError: When a profile is damaged, or there is nothing of that name.
    :raise CaptureError: When a running VM cannot be captured, or nobody confirmed it.
    :raise QemuError: When a running VM's monitor does not answer.
    """
    if is_live(text):
        from migratable.capture.running import capture_live  # noqa: PLC0415 -- often unused

        return capture_live(text, confirm=confirm).source(text)
    path, snapshot = _file(text)
    if path is None:
        return _profile(text)
    if is_document(path):
        return _profile(text)
    stream = read(path, snapshot=snapshot)
    facts: dict[str, object] = {"kind": "stream", "file": str(path), "container": stream.container}
    if stream.vmdesc is None or "migratable" not in stream.vmdesc.extra:  # not a capture of ours
        return Source(name=text, stream=stream, facts=facts)
    from migratable.capture.kept import kept_in  # noqa: PLC0415 -- captures only

    kept = kept_in(stream)
    if kept is None:
        return Source(name=text, stream=stream, facts=facts)
    return Source(name=text, stream=stream, profile=kept.profile, facts={**facts, **kept.facts()})


def _file(text: str) -> tuple[Path | None, str | None]:
    """Which file, and which snapshot in it; no file: it is a name."""
    path = Path(text)
    if path.is_file():
        return path, None
    name, mark, snapshot = text.rpartition("#")
    if mark and Path(name).is_file():
        return Path(name), snapshot
    if path.exists():
        raise ProfileError(f"{text} is not a regular file; save the stream to a file first")
    return None, None


def is_document(path: Path) -> bool:
    """Does the file begin as JSON does, compressed or not?"""
    try:
        with open_regular(path) as file:
            head = file.read(4096)
        if head[:2] == b"\x1f\x8b":
            head = zlib.decompressobj(31).decompress(head, 64)
    except (OSError, zlib.error):
        return False  # reading it for real says what is wrong
    return head.lstrip()[:1] == b"{"


def _profile(text: str) -> Source:
    from migratable.profile.bundled import find  # noqa: PLC0415 -- for those who name one

    try:
        profile = find(text)
    except ProfileError as error:
        path = Path(text)
        if path.is_file():
            raise
        if "/" in text or path.suffix:
            raise ProfileError(
                f"{text}: no such file; a source is a stream file, a profile, qmp:SOCKET or "
                "libvirt:DOMAIN"
            ) from None
        raise ProfileError(f"{text}: no such file, and {error}") from None
    if not profile.stream or profile.no_stream:
        raise ProfileError(
            f"profile {quoted(text)} cannot be a source: its machine refuses to save itself"
            + (f" ({profile.no_stream})" if profile.no_stream else "")
        )
    facts: dict[str, object] = {
        "kind": "profile",
        "release": str(profile.version),
        "taken": profile.taken,
    }
    return Source(name=text, stream=read(profile.stream), profile=profile, facts=facts)
