"""Facts that a running VM tells about its machine, from commands that only read."""

from __future__ import annotations

import datetime
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from uuid import UUID

from migratable.capture.guard import Standing
from migratable.capture.monitor import Monitor
from migratable.facts.targets import X86
from migratable.qemu.qmp import QmpError

if TYPE_CHECKING:
    from migratable.profile.model import Profile


@dataclass(frozen=True, slots=True, kw_only=True)
class MachineFacts:
    """What is asked besides the device state.

    :ivar uuid: of the VM, sixteen bytes; None when it has none.
    """

    uuid: bytes | None = None
    cpu_type: str = ""
    cpu_features: tuple[Mapping[str, Any], ...] = ()
    kvm: bool = False

    def profile(
        self, standing: Standing, stream: bytes, blocks: Mapping[str, tuple[int, int]]
    ) -> Profile:
        """The same as a profile: what this machine is, and its stream."""
        from migratable.profile.model import Profile  # noqa: PLC0415 -- json and zlib

        suffix = re.compile(rf"-({re.escape(standing.target)}-cpu|[a-z0-9_]+-cpu)$")
        return Profile(
            version=standing.version,
            machine=standing.machine,
            target=standing.target,
            cpu_model=suffix.sub("", self.cpu_type),
            stream=stream,
            ram_blocks=blocks,
            cpu_features=self.cpu_features,
            accelerator="kvm" if self.kvm else "tcg",
            wants_kvm=self.kvm,
            notes=("taken from a running VM",),
            unchecked=standing.unchecked,
            taken=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        )


def machine_facts(monitor: Monitor, standing: Standing) -> MachineFacts:
    """Ask a running VM; only reads, and nothing whose answer is so long that it would be felt."""

    def ask(command: str, **arguments: object) -> Any:
        try:
            return monitor.execute(command, arguments)
        except QmpError:
            return None

    path = str(((ask("query-cpus-fast") or [{}])[0]).get("qom-path", ""))
    words = ()
    if path and standing.target in X86:
        words = tuple(ask("qom-get", path=path, property="feature-words") or ())
    uuid = str((ask("query-uuid") or {}).get("UUID", ""))
    return MachineFacts(
        uuid=UUID(uuid).bytes if re.fullmatch(r"[0-9a-fA-F-]{36}", uuid) else None,
        cpu_type=str(ask("qom-get", path=path, property="type") or "") if path else "",
        cpu_features=words,
        kvm=bool((ask("query-kvm") or {}).get("enabled")),
    )
