"""A connection to a host: the user's own ssh client, with our program at the other end.

Nothing is configured here: names, keys, jump hosts, agents and multiplexing are those of the
user's ``~/.ssh/config``. ``MIGRATABLE_SSH`` names another client, or the same with options.
"""

from __future__ import annotations

import base64
import contextlib
import itertools
import json
import os
import queue
import secrets
import shlex
import shutil
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from importlib import resources
from typing import Any, Self

from migratable.errors import CaptureError, HostError, MigratableError, QemuError
from migratable.hosts import answers as shapes
from migratable.hosts.address import Address
from migratable.hosts.bundle import bundle

CONNECT_SECONDS = 60.0
SILENT_SECONDS = 600.0
"""A host that works tells its steps; each has limits of its own that are far below this."""
_PING_SECONDS = 10.0
_FIRST = 'import base64;exec(base64.b64decode(open(0,\\"rb\\",0,closefd=False).readline()))'
_NEEDS = "import sys; sys.exit(sys.version_info < (3, 9))"
_PYTHONS = "python3 python3.13 python3.12 python3.11 python3.10 python3.9"
_LONGEST_ERROR = 16 << 10
_ERRORS: dict[str, type[MigratableError]] = {"CaptureError": CaptureError, "QemuError": QemuError}

Tell = Callable[[str], None]


class Connection:
    """A host that answers requests; a context manager, usable from several threads."""

    def __init__(
        self,
        address: Address,
        *,
        keep: bool = False,
        sudo: bool = False,
        ssh: str = "",
        seconds: float = CONNECT_SECONDS,
    ) -> None:
        """Prepare; nothing is started before the ``with``.

        :param keep: leave the program on the host for the next time.
        :param sudo: run it as root there, by ``sudo -n`` (which asks for no password).
        :param ssh: words that start the ssh client; ``MIGRATABLE_SSH``, else ``ssh``.
        """
        self.address = address
        self._keep = keep
        self._sudo = sudo
        self._ssh = shlex.split(ssh or os.environ.get("MIGRATABLE_SSH", "") or "ssh")
        self._seconds = seconds
        self._process: subprocess.Popen[bytes] | None = None
        self._answers: dict[int, queue.SimpleQueue[dict[str, Any]]] = {}
        self._numbers = itertools.count(1)
        self._writing = threading.Lock()
        self._ended = threading.Event()
        self._stderr: deque[str] = deque(maxlen=12)
        self._errors: threading.Thread | None = None
        self.facts: dict[str, Any] = {}

    @property
    def name(self) -> str:
        """The host's name for reports."""
        return self.address.name

    def __enter__(self) -> Self:
        """Connect, and start the program there.

        :raise HostError: when that is not possible, with the client's or the host's own words.
        """
        try:
            self._connect()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        """End the program there, which removes what it made."""
        self.close()

    def request(self, operation: str, *, tell: Tell | None = None, **arguments: Any) -> Any:
        """Ask the host to do something.

        :param tell: told each step.
        :raise MigratableError: as the operation raised it there; the host's name is in front.
        :raise HostError: when the connection ends before, or the answer is not the operation's.
        """
        number = next(self._numbers)
        answers: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
        self._answers[number] = answers
        try:
            self._send({"id": number, "op": operation, "arguments": arguments})
            while True:
                answer = self._answer(answers)
                if "step" not in answer:
                    return self._result(operation, answer)
                if tell is not None:
                    tell(str(answer["step"]))
        except BaseException as error:
            if not isinstance(error, MigratableError):
                with contextlib.suppress(HostError):
                    self._send({"op": "cancel", "id": number})
            raise
        finally:
            self._answers.pop(number, None)

    def _result(self, operation: str, answer: dict[str, Any]) -> Any:
        if "error" in answer:
            kind = _ERRORS.get(str(answer.get("kind")), HostError)
            raise kind(f"{self.name}: {str(answer['error'])[:_LONGEST_ERROR]}")
        return self._checked(operation, answer.get("result"))

    def _checked(self, what: str, answer: Any) -> Any:
        try:
            return shapes.checked(what, answer)
        except HostError as error:
            raise HostError(f"{self.name}: {error}") from None

    def close(self) -> None:
        """End the program on the host and wait until it has tidied up."""
        process = self._process
        self._ended.set()
        if process is None:
            return
        with contextlib.suppress(OSError):
            assert process.stdin is not None
            process.stdin.close()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        for file in (process.stdout, process.stderr):
            if file is not None and not file.closed:
                with contextlib.suppress(OSError):
                    file.close()

    # Inside

    def _connect(self) -> None:
        nonce = secrets.token_hex(8)
        local = not self.address.host
        words = self._local_words(nonce) if local else self._remote_words()
        try:
            self._process = subprocess.Popen(
                words,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=self._environment(),
                start_new_session=local,  # ctrl-C is ours to handle; ssh may ask on the terminal
            )
        except OSError as error:
            raise HostError(f"{self.name}: cannot start {words[0]}: {error.strerror}") from None
        self._errors = threading.Thread(target=self._read_errors, daemon=True)
        self._errors.start()
        timer = threading.Timer(self._seconds, self._too_late)
        timer.daemon = True
        timer.start()
        try:
            if not local:
                self._send_program(nonce)
            self.facts = self._checked("ready", self._first(self._await(nonce, "ready")))
        finally:
            timer.cancel()
        threading.Thread(target=self._read, daemon=True).start()
        threading.Thread(target=self._ping, daemon=True).start()

    def _local_words(self, nonce: str) -> list[str]:
        words = [sys.executable, "-m", "migratable.hosts.agent", nonce]
        return ["sudo", "-n", *words] if self._sudo else words

    def _environment(self) -> dict[str, str]:
        environment = dict(os.environ)
        if not self.address.host:
            environment["PYTHONPATH"] = os.pathsep.join(path for path in sys.path if path)
        return environment

    def _remote_words(self) -> list[str]:
        if shutil.which(self._ssh[0]) is None:
            raise HostError(
                f"{self.name}: no ssh client {self._ssh[0]!r} here (Debian: openssh-client, "
                "Fedora: openssh-clients)"
            )
        words = [*self._ssh, "-T", "-a", "-x", "-o", "ClearAllForwardings=yes"]
        words += ["-o", "PermitLocalCommand=no", "-o", "RemoteCommand=none"]
        words += ["-o", "ServerAliveInterval=15", "-o", "ServerAliveCountMax=3"]
        if not sys.stdin.isatty():
            words += ["-o", "BatchMode=yes"]  # nobody is there to answer
        if self.address.port is not None:
            words += ["-p", str(self.address.port)]
        if self.address.user:
            words += ["-l", self.address.user]
        run = f'exec {"sudo -n " if self._sudo else ""}"$p" -I -c "{_FIRST}"'
        script = (
            f"for p in {_PYTHONS}; do "
            f'"$p" -c "{_NEEDS}" 2>/dev/null && {run}; done; '
            'echo "no Python 3.9 or newer there (python3 is $(python3 -V 2>&1 || true))" >&2; '
            "exit 97"
        )
        return [*words, "--", self.address.host, f"sh -c '{script}'"]

    def _send_program(self, nonce: str) -> None:
        program = bundle()
        header = json.dumps(
            {
                "digest": program.digest,
                "size": len(program.data),
                "keep": self._keep,
                "nonce": nonce,
            }
        )
        text = (resources.files("migratable.hosts") / "bootstrap.py").read_text(encoding="utf-8")
        first = base64.b64encode(f"HEADER = {header!r}\n{text}".encode())
        self._write(first + b"\n")
        if self._keep and self._await(nonce, "have", "need") == "have":
            return
        self._write(program.data)

    def _await(self, nonce: str, *wanted: str) -> str:
        """Wait for one of the host's first words; what follows it, or the word itself."""
        assert self._process is not None
        assert self._process.stdout is not None
        mark = f"migratable-host {nonce} ".encode()
        while line := self._process.stdout.readline(1 << 16):
            if not line.startswith(mark):
                continue  # what a shell's start-up files print
            what, _, text = line[len(mark) :].decode("utf-8", "replace").strip().partition(" ")
            if what == "error":
                raise HostError(f"{self.name}: {text}")
            if what in wanted:
                return text or what
        raise self._failure("the program could not be started on the host")

    def _first(self, text: str) -> Any:
        try:
            return shapes.parsed(text.encode())
        except ValueError as error:
            raise HostError(f"{self.name}: unexpected greeting ({error})") from None

    def _failure(self, what: str) -> HostError:
        assert self._process is not None
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(2.0)
        if self._errors is not None:
            self._errors.join(1.0)
        said = [line for line in self._stderr if line.strip()]
        status = self._process.poll()
        if status == 97 and said:
            return HostError(
                f"{self.name}: {said[-1]}; install python3 on the host (it needs nothing else)"
            )
        why = "; ".join(said[-3:]) or (
            "" if status is None else f"the connection ended with status {status}"
        )
        if status == 255:
            return HostError(f"{self.name}: no connection: {why}; try `ssh {self.name} true`")
        return HostError(f"{self.name}: {what}: {why}")

    def _too_late(self) -> None:
        self._stderr.append(f"no answer in {self._seconds:g} s")
        if self._process is not None:
            self._process.kill()

    def _write(self, data: bytes) -> None:
        assert self._process is not None
        assert self._process.stdin is not None
        try:
            with self._writing:
                self._process.stdin.write(data)
                self._process.stdin.flush()
        except (OSError, ValueError):
            raise self._failure("the connection ended") from None

    def _send(self, request: dict[str, Any]) -> None:
        self._write(json.dumps(request, separators=(",", ":")).encode() + b"\n")

    def _answer(self, answers: queue.SimpleQueue[dict[str, Any]]) -> dict[str, Any]:
        deadline = time.monotonic() + SILENT_SECONDS
        while time.monotonic() < deadline:
            try:
                answer = answers.get(timeout=1.0)
            except queue.Empty:
                if self._ended.is_set():
                    raise self._failure("the connection ended") from None
                continue
            if "ended" in answer:
                raise self._failure(str(answer["ended"]))
            return answer
        raise HostError(f"{self.name}: no answer in {SILENT_SECONDS:g} s")

    def _read(self) -> None:
        assert self._process is not None
        assert self._process.stdout is not None
        why = "the connection ended"
        with contextlib.suppress(OSError, ValueError):  # it was closed
            while line := self._process.stdout.readline(shapes.LONGEST + 1):
                try:
                    answer = shapes.parsed(line)
                except ValueError as error:
                    why = f"its answer is not understood ({error})"
                    break
                waiting = self._answers.get(_number(answer))
                if waiting is not None:
                    waiting.put(answer)
        self._ended.set()
        for one in list(self._answers.values()):
            one.put({"ended": why})

    def _read_errors(self) -> None:
        assert self._process is not None
        assert self._process.stderr is not None
        with contextlib.suppress(OSError, ValueError):
            while line := self._process.stderr.readline(1 << 16):
                self._stderr.append(line.decode("utf-8", "replace").rstrip()[:500])

    def _ping(self) -> None:
        while not self._ended.wait(_PING_SECONDS):
            try:
                self._send({"op": "ping"})
            except HostError:
                return


def _number(answer: Any) -> int:
    number = answer.get("id") if isinstance(answer, dict) else None
    return number if isinstance(number, int) else 0


def binary(data: bytes) -> str:
    """Bytes as a request has them."""
    return base64.b64encode(data).decode("ascii")


def unbinary(text: str) -> bytes:
    """The reverse.

    :raise HostError: when a host sent something else.
    """
    try:
        return base64.b64decode(text, validate=True)
    except ValueError as error:
        raise HostError(f"the host sent damaged data ({error})") from None
