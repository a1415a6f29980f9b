"""Work for Dask's workers in tests: it writes down who did what, and takes its time."""

from __future__ import annotations

import os
import time
from pathlib import Path

from migratable.errors import QemuError
from migratable.verdict import Basis, Finding, Hint, Outcome, Refusal, Severity, Verdict


def work(stream: bytes, words: tuple[str, ...], release: str | None, timeout: float) -> Verdict:
    """Do as *words* say: a log file, seconds to take, and what happens."""
    log, seconds, what = words[:3]
    with Path(log).open("ab", buffering=0) as file:
        file.write(f"{os.getpid()} {' '.join(words[3:])}\n".encode())
    time.sleep(float(seconds))
    if what == "fails":
        raise QemuError("it hung")
    if what == "bug":
        raise ZeroDivisionError("oops")
    if what == "dies":
        os._exit(9)
    refusal = Refusal(rule="r", message=stream.decode(), stderr=(str(release), str(timeout)))
    hint = Hint(action="a", verified=Basis.REHEARSED)
    finding = Finding(rule="r", severity=Severity.REFUSES, summary="s", hints=(hint,))
    return Verdict(
        outcome=Outcome.REFUSED,
        basis=Basis.REHEARSED,
        source={"n": 1},
        first_refusal=refusal,
        findings=(finding,),
        stderr=("x",),
    )
