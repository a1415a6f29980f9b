"""What the package hands out, and when."""

from __future__ import annotations

import pytest

from migratable import check as package
from migratable.check import verdict


@pytest.mark.parametrize("name", package.__all__)
def test_a_function_of_the_package(name: str) -> None:
    assert getattr(package, name) is getattr(verdict, name)


def test_no_other_name() -> None:
    with pytest.raises(AttributeError, match="savevm_state"):
        _ = package.savevm_state
