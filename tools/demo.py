"""Run the program's first command on the example that is part of it, as the README shows it."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path

import migratable

BUNDLED = Path(migratable.__file__).parent / "profile" / "bundled"
ANSWERS = (0, 1, 3)


def main() -> None:
    """Ask, show the question as one would type it, and end with 0 if an answer came."""
    program = str(Path(sys.executable).with_name("migratable"))
    (example,) = sorted(BUNDLED.glob("example.mig*"))
    arguments = ["check", str(example), "--to", "example-10.0"]
    shown = ["check", os.path.relpath(example), *arguments[2:]]
    print(f"$ .venv/bin/migratable {shlex.join(shown)}", flush=True)
    done = subprocess.run([program, *arguments], check=False)
    sys.exit(0 if done.returncode in ANSWERS else done.returncode)


if __name__ == "__main__":
    main()
