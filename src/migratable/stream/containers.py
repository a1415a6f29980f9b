"""What may be around a stream in a file."""

from __future__ import annotations

import mmap
from dataclasses import dataclass
from pathlib import Path

from migratable.errors import ContainerError


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """A stream taken out of its file; ``data`` keeps mapping and temporary file alive."""

    data: memoryview
    kind: str


def open_image(path: Path, *, snapshot: str | None = None) -> Image:
    """Find the stream in a file."""
    try:
        with path.open("rb") as file:
            data = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
    except (OSError, ValueError) as error:
        raise ContainerError(f"cannot read {path}: {error}") from error
    return Image(data=data, kind="raw")
