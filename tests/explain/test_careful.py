"""A remedy that starts, ends or undefines a guest says first how to see where the guest runs."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import migratable

ROOT = Path(migratable.__file__).parent
FILES = sorted(
    path
    for pattern in ("messages/*.toml", "messages/*/kinds.toml", "explain/*/*.toml")
    for path in ROOT.glob(pattern)
    if path.name != "origins.toml"
)
_TEXTS = re.compile(
    r"virsh (?:start|destroy|undefine)\b|--force-boot|onevm recover|qm unlock|"
    r"qm (?:stop|destroy)|\b[Ss]tart it (?:first|anew)\b|[Ee]nd both QEMUs|kill -9",
)
_LOOKS = re.compile(
    r"virsh (?:-r )?list|both (?:hosts|nodes)|runs? (?:nowhere|on (?:the|that|no|neither))|"
    r"where (?:the guest|it|the VM|the instance|the domain) runs|other (?:node|host)|does not run|"
    r"on no (?:host|node)|none runs|no task|gone|(?:guest|it) is off|shut off|qm status|qm config|"
    r"nothing needs it|ps ax|Tasks|migration runs",
)
_NOT_SAID = frozenset(
    {"text", "texts", "also", "unless", "line", "log", "id", "meaning", "prevent"}
)
# Of one host, or of what cannot run elsewhere, by its words.
_ONE_HOST = re.compile(
    r"vagrant|multipass|podman|UTM|lima|shut the guest down|Shut it down|hung|hangs|virsh reset|"
    r"named CPU model|restore again|qmrestore|look at its disks|the plugin|then again|"
    r"brings the guest|snapshot-revert|it is not whole|saved image|wanted|"
    r"kernel_irqchip|max_concurrent|XML|migration list|roll back again",
    re.IGNORECASE,
)


def remedies(value: Any, name: str = "") -> Iterator[str]:
    """The remedies below *value*."""
    if isinstance(value, dict):
        for key, one in value.items():
            yield from () if key in _NOT_SAID and not isinstance(one, list) else remedies(one, key)
    elif isinstance(value, list):
        for one in value:
            if isinstance(one, dict):
                yield from remedies(one, name)
    elif isinstance(value, str):
        yield value


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_a_remedy_looks_before_it_starts_or_ends_a_guest(path: Path) -> None:
    table = tomllib.loads(path.read_text(encoding="utf-8"))
    rash = [
        text
        for text in remedies(table)
        if _TEXTS.search(text) and not _LOOKS.search(text) and not _ONE_HOST.search(text)
    ]
    assert not rash, rash
