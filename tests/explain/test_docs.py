"""The reference page is what the catalogue says."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]


def test_messages_page_is_current() -> None:
    script = REPOSITORY / "tools/write_messages.py"
    done = subprocess.run([sys.executable, str(script), "--check"], check=False)
    assert done.returncode == 0, "run tools/write_messages.py"
