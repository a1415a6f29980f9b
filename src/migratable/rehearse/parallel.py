"""Several destinations at once, each QEMU in a thread of its own."""

from __future__ import annotations

import concurrent.futures
import os
import threading
from collections.abc import Callable, Sequence
from typing import Any

from migratable.errors import MigratableError, QemuError
from migratable.qemu.launch import namespaces_work
from migratable.qemu.process import QemuProcess
from migratable.rehearse.destination import Destination, try_destination
from migratable.rehearse.verdict import verdict
from migratable.stream import Stream
from migratable.verdict import Verdict


class Running:
    """The QEMU processes that run now, so that all can be stopped from outside their threads."""

    def __init__(self) -> None:
        """Begin with none."""
        self._lock = threading.Lock()
        self._processes: list[QemuProcess] = []
        self._stopped = False

    def add(self, process: QemuProcess) -> None:
        """Take one in.

        :raise QemuError: When all were stopped already.
        """
        with self._lock:
            if self._stopped:
                raise QemuError("interrupted")
            self._processes.append(process)

    def stop(self) -> None:
        """Kill all, and whatever is taken in later."""
        with self._lock:
            self._stopped = True
            for process in self._processes:
                process.kill()


def rehearse_all(
    stream: Stream,
    destinations: Sequence[Destination],
    *,
    timeout: float = 60.0,
    jobs: int | None = None,
    source: dict[str, Any] | None = None,
    done: Callable[[int], None] | None = None,
    watch: float | None = None,
) -> list[Verdict | MigratableError]:
    """Rehearse on several destinations at once; answers in the order of *destinations*.

    A destination that hangs or cannot be started does not stop the others: its place holds the
    error.

    :param timeout: seconds for each destination.
    :param jobs: how many at once (default: one and a half for each processor that we may use).
    :param watch: load guest memory too and watch the guest for that many seconds.
    :param done: called with a destination's number when it has answered, from its thread.
    """
    running = Running()
    namespaces_work()  # asked once, before the threads do

    def one(number: int) -> Verdict | MigratableError:
        try:
            answer: Verdict | MigratableError = verdict(
                try_destination(
                    stream,
                    destinations[number],
                    timeout=timeout,
                    started=running.add,
                    watch=watch,
                ),
                source=source,
            )
        except MigratableError as error:
            answer = error
        if done is not None:
            done(number)
        return answer

    workers = jobs or max(1, len(os.sched_getaffinity(0)) * 3 // 2)
    pool = concurrent.futures.ThreadPoolExecutor(max(1, min(workers, len(destinations))))
    try:
        return list(pool.map(one, range(len(destinations))))
    except BaseException:
        running.stop()
        raise
    finally:
        pool.shutdown(cancel_futures=True)
