"""What a test needs and this machine lacks: a failure in CI, which installs it, else a skip.

Skips of their own (``pytest.skip``) are left to what cannot be installed: KVM, the kernel's
Landlock and namespaces, root, another Python, a machine or device that a release does not have.
``tests/unit/test_skips.py`` lists them.
"""

from __future__ import annotations

import importlib.util
import os
from typing import NoReturn

import pytest

IN_CI = os.environ.get("CI", "").lower() in ("true", "1")


def absent(what: str) -> NoReturn:
    """End the test, or the module that is being collected."""
    if IN_CI:
        pytest.fail(f"{what}; CI has to install it (.ci/run, tools/ci-packages.txt)", pytrace=False)
    pytest.skip(what, allow_module_level=True)


def needs(package: str, why: str = "") -> None:
    """End the module when a Python package is not installed."""
    if importlib.util.find_spec(package) is None:
        absent(why or f"the Python package {package} is not installed")
