"""CPU models of a program on this host's KVM: the features that each lacks here, and its CPUID.

``query-cpu-definitions`` and ``query-cpu-model-expansion`` of the started machine (x86, 5.2 to
11.1). The answer is the same for a program, machine type and host, and is kept for these.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

from migratable.errors import QemuError
from migratable.profile.host_kvm import CpuModel, HostKvm
from migratable.qemu import program_facts
from migratable.qemu.process import QemuProcess
from migratable.qemu.qmp import QmpError

_NO_MODELS = frozenset({"host", "max", "base"})
"""Not a model that another host could have."""


def models(
    qemu: QemuProcess, host: HostKvm, *, command: Sequence[str], machine: str
) -> Mapping[str, CpuModel]:
    """Ask the started machine; empty when its program does not answer.

    :param command: words that start the program.
    :param machine: its machine type, which decides about the names without a version.
    """
    facts = repr((machine, host.kernel, host.cpuid, host.feature_msrs)).encode()
    key = hashlib.sha256(facts).hexdigest()[:16]
    path = program_facts.path(command, f"-{key}.models")
    with contextlib.suppress(OSError, ValueError, TypeError, AttributeError):
        return {name: _of_json(one) for name, one in json.loads(path.read_bytes()).items()}
    try:
        found = _ask(qemu)
    except QmpError:
        return {}
    document = {
        name: [list(model.unavailable), list(model.features), model.alias_of]
        for name, model in found.items()
    }
    with contextlib.suppress(OSError):  # no cache is no failure
        program_facts.keep(path, json.dumps(document).encode())
    return found


def _of_json(row: Any) -> CpuModel:
    unavailable, features, alias_of = row
    return CpuModel(unavailable=tuple(unavailable), features=tuple(features), alias_of=alias_of)


def _ask(qemu: QemuProcess) -> dict[str, CpuModel]:
    found = {}
    for row in qemu.qmp("query-cpu-definitions"):
        name = str(row.get("name", ""))
        if not name or name in _NO_MODELS or row.get("deprecated"):
            continue
        unavailable = tuple(dict.fromkeys(map(str, row.get("unavailable-features") or ())))
        features: tuple[str, ...] = ()
        if not unavailable:
            with contextlib.suppress(QmpError, QemuError):
                features = _features(qemu, name)
        alias = str(row.get("alias-of", ""))
        found[name] = CpuModel(unavailable=unavailable, features=features, alias_of=alias)
    return found


def _features(qemu: QemuProcess, name: str) -> tuple[str, ...]:
    answer = qemu.qmp("query-cpu-model-expansion", type="full", model={"name": name})
    properties = answer.get("model", {}).get("props", {})
    return tuple(sorted(key for key, value in properties.items() if value is True))
