"""Run the program's first command on the example that is part of it, as the README shows it."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path

from migratable.profile import bundled

ANSWERS = {0: "the guest loads", 1: "the guest is refused", 3: "the answer is not known"}
EXAMPLE = "guest-q35.mig.gz"
DESTINATION = "q35-11.1"


def main() -> None:
    """Ask, show the question as one would type it, and end with 0 if an answer came."""
    example = bundled.FOLDER / EXAMPLE
    if not example.exists() or DESTINATION not in bundled.names():
        sys.exit("the example that is part of the program is missing in this checkout")
    program = Path(sys.executable).with_name("migratable")
    command = [str(program), "check", str(example), "--to", DESTINATION]
    shown = [os.path.relpath(word) if os.sep in word else word for word in command]
    print(f"$ {shlex.join(shown)}", flush=True)
    status = subprocess.run(command, check=False).returncode
    if status not in ANSWERS:
        sys.exit(status)
    print(f"\nExit status {status}: {ANSWERS[status]}. Another destination: --to NAME, NAME one of")
    print(", ".join(name for name in bundled.names() if name.startswith("q35")))
    print(
        "Other guests: guest-pseries.mig.gz --to pseries-10.0, "
        "guest-aarch64.mig.gz --to aarch64-10.0"
    )


if __name__ == "__main__":
    main()
