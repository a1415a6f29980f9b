"""A test is skipped only for what CI cannot install; everything else that is absent fails there."""

from __future__ import annotations

import ast
from collections import Counter
from pathlib import Path

import pytest

import tests.absent

KERNEL = "the kernel: KVM, Landlock, namespaces, IPv6, what it offers on a tap"
RELEASE = "a machine, device or migration capability that a QEMU release does not have"
PYTHON = "a Python that Debian does not have"
PLACE = "how the machine is used: not root, no git checkout, a QEMU of its own"

ALLOWED = {
    "tests/conftest.py": [KERNEL],
    "tests/e2e/test_dist.py": [PYTHON],
    "tests/e2e/test_wheel.py": [PLACE],
    "tests/hosts/machines.py": [PLACE, KERNEL],
    "tests/real/test_altered.py": [RELEASE],
    "tests/real/test_capture.py": [KERNEL],
    "tests/real/test_check.py": [RELEASE],
    "tests/real/test_foreign.py": [RELEASE],  # 8.2 is not Debian's
    "tests/real/test_guests.py": [KERNEL],
    "tests/real/test_hints.py": [KERNEL],
    "tests/real/test_inert.py": [KERNEL, RELEASE],
    "tests/real/test_kvm.py": [RELEASE],
    "tests/real/test_lab.py": [PLACE],
    "tests/real/test_preflight_libvirt.py": [RELEASE],  # of libvirt
    "tests/real/test_releases_present.py": [PLACE],  # outside CI
    "tests/real/test_stream.py": [RELEASE],
    "tests/serve/test_hostile.py": [KERNEL],
    "tests/unit/check/test_policy.py": [PLACE],
    "tests/unit/hosts/test_old_python.py": [PYTHON],
    "tests/unit/lab/conftest.py": [PLACE],
    "tests/unit/qemu/test_confinement.py": [KERNEL, KERNEL, KERNEL],
    "tests/unit/test_house.py": [PLACE],
}


def skips(text: str) -> int:
    """How often the text of a module asks pytest to skip something."""
    names = {"skip", "importorskip", "skipif"}
    found = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Attribute)]
    return sum(
        node.attr in names and ast.unparse(node.value) in ("pytest", "pytest.mark")
        for node in found
    )


def test_every_skip_has_a_reason_that_ci_cannot_mend(repository: Path) -> None:
    paths = sorted((repository / "tests").rglob("*.py"))
    there = {str(path.relative_to(repository)): skips(path.read_text("utf-8")) for path in paths}
    del there["tests/absent.py"], there["tests/unit/test_skips.py"]
    allowed = Counter({name: len(reasons) for name, reasons in ALLOWED.items()})
    assert {name: count for name, count in there.items() if count} == dict(allowed)


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("pytest.skip('x')", 1),
        ("x = pytest.importorskip('x')", 1),
        ("@pytest.mark.skipif(True, reason='x')\ndef f(): ...", 1),
        ("cursor.skip(1)\nabsent('x')", 0),
    ],
)
def test_skips_are_counted(text: str, count: int) -> None:
    assert skips(text) == count


def test_what_is_absent_fails_in_ci_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tests.absent, "IN_CI", True)
    with pytest.raises(pytest.fail.Exception, match=r"no dpkg-deb; CI has to install it"):
        tests.absent.absent("no dpkg-deb")
    with pytest.raises(pytest.fail.Exception, match="package no_such is not installed"):
        tests.absent.needs("no_such")
    tests.absent.needs("json")
    monkeypatch.setattr(tests.absent, "IN_CI", False)
    with pytest.raises(pytest.skip.Exception):
        tests.absent.absent("no dpkg-deb")
