"""Rehearsals spread over processes and machines, with Dask.

By default a cluster of this machine's own: processes of one thread each; threads of this process
where Dask is not installed. QEMU dies with the thread
that started it (:mod:`migratable.qemu.process`), so each rehearsal starts and ends within its task;
when a worker is killed, its QEMU goes with it, and Dask gives the task to another worker.

A result counts when it is in the file (:mod:`.results`), and it is there once: a task that was done
twice, since a worker died before it could say so, gives the same key.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import importlib.util
import logging
import os
import queue
import socket
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import CancelledError, ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from migratable import __version__
from migratable.errors import MigratableError, ServiceError
from migratable.fleet.results import Result, Results, from_json
from migratable.verdict import Verdict

if TYPE_CHECKING:
    from migratable.fleet.entities import Progress

_ATTEMPTS = 3
"""Workers that may die of one pair before that is the pair's own result."""
_WORKER_SECONDS = 20.0
"""For a worker of somebody's scheduler to be there; ours are waited for longer."""
_AHEAD = 4
"""Tasks a worker thread has waiting; more would only fill the scheduler's memory."""
_LOOK_SECONDS = 1.0
_ALONE_SECONDS = 300.0
"""Without any worker. One that ended is started anew, which takes minutes on a busy machine."""
_CANCELLED = 20
"""Looks at cancelled tasks after which the scheduler must have been started anew."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One rehearsal, as data that can be sent to another machine.

    :ivar stream: the VM's state without RAM contents, as bytes.
    :ivar words: the destination's command line, program first.
    :ivar release: a lab release in the place of the program, or None.
    :ivar program: what the program is, for the key: identity of its files.
    :ivar timeout: seconds.
    """

    stream: bytes
    words: tuple[str, ...]
    release: str | None = None
    program: str = ""
    timeout: float = 60.0

    @property
    def key(self) -> str:
        """What the result depends on, as one word."""
        digest = hashlib.sha256()
        for part in (__version__, self.stream_key, self.release or "", self.program, *self.words):
            digest.update(part.encode("utf-8", "surrogateescape") + b"\0")
        return digest.hexdigest()[:40]

    @property
    def stream_key(self) -> str:
        """The stream as one word."""
        return hashlib.sha256(self.stream).hexdigest()[:40]


Work = Callable[[bytes, tuple[str, ...], str | None, float], Verdict]
"""What a worker does: stream, words, release, timeout to a verdict."""


def rehearse(stream: bytes, words: tuple[str, ...], release: str | None, timeout: float) -> Verdict:
    """Rehearse, in a worker.

    :raise MigratableError: when there is no verdict.
    """
    from migratable.rehearse import rehearse as really  # noqa: PLC0415 -- in the worker
    from migratable.stream import read  # noqa: PLC0415

    return really(read(stream), list(words), release=release, timeout=timeout)


def distribute(
    jobs: Sequence[Job],
    results: Results,
    *,
    scheduler: str | None = None,
    workers: int | None = None,
    resume: bool = False,
    progress: Progress | None = None,
    work: Work = rehearse,
) -> dict[str, Result]:
    """Do all *jobs*, each once, and give their results by key.

    :param results: kept there as they come.
    :param scheduler: address of a Dask scheduler (``tcp://host:8786``); None: a cluster here.
    :param workers: processes of the cluster here; by default one for each processor.
    :param resume: take what *results* has already; else those are done anew.
    :raise ServiceError: when the scheduler cannot be reached or used, or its workers are not of
        this program's version. What is done stays in *results*.
    """
    by_key = {job.key: job for job in jobs}
    if not resume:
        results.forget(by_key)
    done = results.done() if resume else set()
    pending = [job for key, job in by_key.items() if key not in done]
    total = len(by_key)
    if pending:
        with _runs(pending, scheduler, workers or os.cpu_count() or 1, work) as run:
            for number, result in enumerate(run, total - len(pending) + 1):
                results.put(result)
                if progress is not None:
                    progress("rehearsing", number, total)
    found = {key: results.get(key) for key in by_key}
    complete = {key: result for key, result in found.items() if result is not None}
    if len(complete) != total:
        raise ServiceError(
            f"{total - len(complete)} of {total} rehearsals have no result; go on with --resume"
        )
    return complete


@contextlib.contextmanager
def _runs(
    jobs: Sequence[Job], scheduler: str | None, workers: int, work: Work
) -> Iterator[Iterable[Result]]:
    """Results as they come: from a scheduler's workers, or from this machine without Dask too."""
    if scheduler is None and importlib.util.find_spec("distributed") is None:
        with ThreadPoolExecutor(workers) as pool:
            yield _here(pool, jobs, work)
        return
    with _client(scheduler, workers) as client:
        yield _Run(client, jobs, work)


def _here(pool: ThreadPoolExecutor, jobs: Sequence[Job], work: Work) -> Iterator[Result]:
    """Rehearse in threads of this process, each of which starts and ends its QEMU."""
    futures = {
        pool.submit(_task, job.stream, _Order(job.words, job.release, job.timeout), work): job
        for job in jobs
    }
    try:
        for future in as_completed(futures):
            yield _result(futures[future], future.exception() or future.result())
    finally:
        for future in futures:
            future.cancel()


@contextlib.contextmanager
def _client(scheduler: str | None, workers: int) -> Iterator[Any]:
    try:
        distributed: Any = importlib.import_module("distributed")  # an extra; half of it is typed
        importlib.import_module("cryptography")
    except ImportError as error:
        raise ServiceError(
            f"a scheduler needs the Python package {error.name}: install the extra [dask]"
        ) from None
    with contextlib.ExitStack() as stack:
        settings = {
            "distributed.scheduler.allowed-failures": _ATTEMPTS - 1,
            "distributed.diagnostics.nvml": False,
        }
        stack.enter_context(importlib.import_module("dask.config").set(settings))
        try:
            if scheduler is None:
                cluster = distributed.LocalCluster(
                    n_workers=workers,
                    threads_per_worker=1,
                    processes=True,
                    # Who can reach a scheduler can run anything: TLS with a key of the moment
                    # keeps this machine's other users out.
                    security=True,
                    protocol="tls",
                    host="127.0.0.1",
                    dashboard_address="127.0.0.1:0",
                    memory_limit=0,
                    silence_logs=logging.CRITICAL,
                )
                stack.enter_context(cluster)
                address: Any = cluster
            else:
                address = scheduler
            client = stack.enter_context(distributed.Client(address, set_as_default=False))
        except (OSError, TimeoutError, ValueError, RuntimeError) as error:
            raise ServiceError(
                f"no Dask scheduler at {scheduler or 'this machine'}: {error}"
            ) from None
        _same_version(client, _ALONE_SECONDS if scheduler is None else _WORKER_SECONDS)
        yield client


def _same_version(client: Any, seconds: float) -> None:
    """Workers of another version would answer as that version; the first is waited for."""
    with contextlib.suppress(TimeoutError):
        client.wait_for_workers(1, timeout=seconds)
    try:
        found = client.run(_version)
    except Exception as error:  # noqa: BLE001 -- whatever the workers say
        raise ServiceError(
            f"the workers do not have this program: {error}; install migratable {__version__} there"
        ) from None
    others = {name: version for name, version in found.items() if version != __version__}
    if others:
        shown = ", ".join(f"{name}: {version}" for name, version in sorted(others.items()))
        raise ServiceError(f"this is migratable {__version__}, but the workers have {shown}")
    if not found:
        raise ServiceError("the scheduler has no worker; start some: dask worker ADDRESS")


def _version() -> str:
    import migratable  # noqa: PLC0415 -- in the worker

    return migratable.__version__


def _hold(data: bytes) -> bytes:
    """A stream as a task's result: with its worker it can be made again, scattered data cannot."""
    return data


class _Order(NamedTuple):
    """A job without its stream, which other tasks share."""

    words: tuple[str, ...]
    release: str | None
    timeout: float
    version: str = __version__


def _task(
    stream: bytes, order: _Order, work: Work
) -> tuple[dict[str, Any] | None, str, str, float]:
    """One rehearsal in a worker: verdict or failure, place, seconds."""
    begun = time.monotonic()
    place = f"{socket.gethostname()}:{os.getpid()}"
    if order.version != __version__:  # a worker that came later
        text = f"worker {place} has migratable {__version__}, not {order.version}"
        return None, text, place, 0.0
    try:
        verdict = work(stream, order.words, order.release, order.timeout)
    except MigratableError as error:
        return None, str(error), place, time.monotonic() - begun
    return verdict.to_json(), "", place, time.monotonic() - begun


class _Run:
    """Results as they come; the scheduler knows only a few tasks ahead."""

    def __init__(self, client: Any, jobs: Sequence[Job], work: Work) -> None:
        self._client = client
        self._work = work
        # Jobs of one stream together, so that the stream can then be freed.
        self._waiting = deque(sorted(jobs, key=lambda job: job.stream_key))
        self._uses = Counter(job.stream_key for job in jobs)
        self._streams: dict[str, Any] = {}
        self._open: dict[str, Job] = {}
        # Dask blames a worker's end on all its jobs, also on jobs that only waited.
        self._suspects: deque[Job] = deque()
        self._ended: queue.Queue[Any] = queue.Queue()

    def __iter__(self) -> Iterator[Result]:
        self._submit()
        while self._open:
            future, ended = self._next()
            job = self._open.pop(str(future.key))
            future.release()
            if type(ended).__name__ == "KilledWorker" and not str(future.key).startswith("alone-"):
                self._suspects.append(job)
                self._submit()
                continue
            result = _result(job, ended)
            self._uses[job.stream_key] -= 1
            if not self._uses[job.stream_key]:
                self._streams.pop(job.stream_key).release()
            yield result
            self._submit()

    def _submit(self) -> None:
        threads = max(1, sum(self._client.nthreads().values()))
        while self._waiting and len(self._open) < threads * _AHEAD:
            self._start(self._waiting.popleft(), "rehearsal")
        if self._suspects and not self._open:  # then whoever ends a worker is found
            self._start(self._suspects.popleft(), "alone")

    def _start(self, job: Job, how: str) -> None:
        if job.stream_key not in self._streams:
            self._streams[job.stream_key] = self._client.submit(
                _hold, job.stream, key=f"stream-{job.stream_key}"
            )
        future = self._client.submit(
            _task,
            self._streams[job.stream_key],
            _Order(job.words, job.release, job.timeout),
            self._work,
            key=f"{how}-{job.key}",
        )
        self._open[str(future.key)] = job
        future.add_done_callback(self._ended.put)

    def _next(self) -> tuple[Any, Any]:
        """The next task that ended, and its result (an exception is one).

        :raise ServiceError: when none can end: the scheduler is gone, or every worker for long.
        """
        alone: float | None = None
        cancelled = 0
        while True:
            with contextlib.suppress(queue.Empty):
                future = self._ended.get(timeout=_LOOK_SECONDS)
                if future.status == "error":
                    return future, future.exception()
                # The worker may have ended before it sent the result: run the job again.
                with contextlib.suppress(TimeoutError, CancelledError):
                    return future, future.result(timeout=_LOOK_SECONDS)
                self._ended.put(future)
                cancelled += future.status == "cancelled"
            if self._client.status != "running" or cancelled > _CANCELLED:
                raise ServiceError("the Dask scheduler is gone; go on with --resume")
            if self._client.nthreads():
                alone = None
            elif alone is None:
                alone = time.monotonic()
            elif time.monotonic() - alone > _ALONE_SECONDS:
                raise ServiceError("no Dask worker is left; go on with --resume")


def _result(job: Job, ended: Any) -> Result:
    if not isinstance(ended, BaseException):
        verdict, failure, place, seconds = ended
        found = None if verdict is None else from_json(verdict)
        return Result(key=job.key, verdict=found, failure=failure, worker=place, seconds=seconds)
    if type(ended).__name__ == "KilledWorker":
        text = "worker after worker ended while it rehearsed this pair"
    else:
        text = f"a bug of migratable in the worker: {type(ended).__name__}: {ended}"
    return Result(key=job.key, failure=text)
