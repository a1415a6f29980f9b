"""Take a paused machine's own stream without RAM contents, at a cost independent of RAM.

Main memory is a shared named file (:mod:`migratable.commandline.inert.machine`), which the
capability ``x-ignore-shared`` leaves out; what the capability adds to the stream is taken out
again, so that the result is what an ordinary migration of the same machine would send, less the
pages.
"""

from __future__ import annotations

import os
import threading
import time
from dataclasses import replace

from migratable.errors import QemuError
from migratable.qemu.process import QemuProcess
from migratable.qemu.qmp import QmpError
from migratable.stream import Section, SectionKind, read, write
from migratable.stream.edit import elide_ram, map_sections, without_capability
from migratable.stream.pages import ram_start

_IGNORE_SHARED = "x-ignore-shared"
_CAPABILITIES = "configuration/capabilities"


def take(qemu: QemuProcess, *, ignore_shared: bool, timeout: float = 60.0) -> bytes:
    """Migrate the paused machine into memory; its bytes as they came.

    :param ignore_shared: leave shared file-backed RAM out.
    :raise QmpError: When the machine refuses to migrate, with its reason.
    :raise QemuError: When it fails or takes longer than *timeout* seconds.
    """
    if ignore_shared:
        capability = {"capability": _IGNORE_SHARED, "state": True}
        qemu.qmp("migrate-set-capabilities", capabilities=[capability])
    qemu.qmp("migrate-set-parameters", max_bandwidth=1 << 40)
    reading, writing = os.pipe()
    received: list[bytes] = []

    def drain() -> None:
        while data := os.read(reading, 1 << 20):
            received.append(data)

    try:
        qemu.send_fd("migratable", writing)
    except BaseException:
        os.close(reading)
        raise
    finally:
        os.close(writing)
    drainer = threading.Thread(target=drain, daemon=True)
    drainer.start()
    try:
        qemu.qmp("migrate", uri="fd:migratable")
        _await_completion(qemu, timeout)
        drainer.join(timeout)
    except QmpError:
        qemu.qmp("closefd", fdname="migratable")  # or the drainer would wait for it
        drainer.join(timeout)
        raise
    finally:
        if not drainer.is_alive():
            os.close(reading)
    return b"".join(received)


def _await_completion(qemu: QemuProcess, timeout: float) -> None:
    deadline = time.monotonic() + timeout
    pause = 0.001
    while True:
        answer = qemu.qmp("query-migrate")
        status = answer.get("status")
        if status == "completed":
            return
        if status in {"failed", "cancelled", "cancelling"}:
            reason = answer.get("error-desc") or "; ".join(qemu.stderr_lines()[-2:]) or status
            raise QemuError(f"the destination cannot save its own state: {reason}")
        if time.monotonic() > deadline:
            raise QemuError(f"the destination's own stream took more than {timeout:g} s")
        time.sleep(pause)
        pause = min(pause * 1.5, 0.02)


def plain(data: bytes) -> bytes:
    """Take out RAM contents and the marks of ``x-ignore-shared``.

    :raise StreamError: When QEMU has written what we cannot read.
    """
    stream = elide_ram(read(data))
    configuration = stream.configuration
    if configuration is not None and _IGNORE_SHARED in configuration.capabilities:
        configuration = without_capability(configuration, _IGNORE_SHARED)
        blocks = [replace(block, gpa=None) for block in stream.ram_blocks]

        def ungated(section: Section) -> Section:
            if section.idstr != "ram" or section.kind is not SectionKind.START:
                return section
            return ram_start(blocks, section_id=section.section_id, footer=section.footer)

        vmdesc = stream.vmdesc
        if vmdesc is not None and vmdesc.configuration is not None:
            body = vmdesc.configuration
            body = replace(
                body, subsections=tuple(s for s in body.subsections if s.name != _CAPABILITIES)
            )
            stream = replace(stream, vmdesc=replace(vmdesc, configuration=body))
        stream = replace(map_sections(stream, ungated), configuration=configuration)
    return write(stream)
