"""A TPM emulator that computes nothing, for QEMU's ``tpm-emulator`` backend.

This file is run as a script by :mod:`migratable.qemu.process` with a bare interpreter, so it
imports nothing of this package::

    tpm_stand_in.py CONTROL_SOCKET|fd:NUMBER

It speaks as much of swtpm's control protocol (``backends/tpm/tpm_ioctl.h``, the same in 4.1 to
11.1) as a machine that never runs needs: it says that it is a TPM 2.0, hands out and takes state
blobs, and answers every TPM command with a failure. It ends when QEMU closes the connection, which
it waits for at a path, or which it has inherited.
"""

import contextlib
import os
import select
import socket
import struct
import sys

# Control commands; after the number (32 bits, big-endian) come this many bytes.
GET_CAPABILITY, GET_TPMESTABLISHED, GET_STATEBLOB, SET_STATEBLOB = 0x01, 0x04, 0x0C, 0x0D
SET_DATAFD, SET_BUFFERSIZE = 0x10, 0x11
REQUEST_SIZE = {
    0x02: 4,  # INIT: flags
    0x05: 4,  # SET_LOCALITY
    0x0B: 4,  # RESET_TPMESTABLISHED
    GET_STATEBLOB: 12,  # flags, type, offset
    SET_STATEBLOB: 12,  # flags, type, length; data follows
    SET_BUFFERSIZE: 4,
}
CAPABILITIES = 0x37EF  # all but HASHING, GET_CONFIG and what is younger than QEMU 4.1
BUFFER_SIZE = 4096
PERMANENT = 1
BLOB = bytes(64)
OK = struct.pack(">I", 0)
TPM2_FAILURE = struct.pack(">HII", 0x8001, 10, 0x101)


class ClosedError(Exception):
    """The other side went away."""


class Control:
    """The control connection; keeps file descriptors that come with a message."""

    def __init__(self, connection: socket.socket) -> None:
        """Take over a connected socket."""
        self.connection = connection
        self.descriptors: list[int] = []

    def read(self, size: int) -> bytes:
        """Read exactly *size* bytes."""
        data = b""
        while len(data) < size:
            part, descriptors, _, _ = socket.recv_fds(self.connection, size - len(data), 4)
            if not part:
                raise ClosedError
            self.descriptors += descriptors
            data += part
        return data

    def answer(self) -> None:
        """Take one command and answer it."""
        (command,) = struct.unpack(">I", self.read(4))
        request = self.read(REQUEST_SIZE.get(command, 0))
        reply = OK
        if command == GET_CAPABILITY:
            reply += struct.pack(">I", CAPABILITIES)
        elif command == GET_TPMESTABLISHED:
            reply += bytes(4)
        elif command == SET_BUFFERSIZE:
            reply += struct.pack(">III", BUFFER_SIZE, BUFFER_SIZE, BUFFER_SIZE)
        elif command == GET_STATEBLOB:
            blob = BLOB if struct.unpack(">III", request)[1] == PERMANENT else b""
            reply += struct.pack(">III", 0, len(blob), len(blob)) + blob
        elif command == SET_STATEBLOB:
            left = struct.unpack(">III", request)[2]
            while left:
                left -= len(self.read(min(left, 65536)))
        self.connection.sendall(reply)


def answer_data(descriptor: int) -> bool:
    """Fail one TPM command; False when the channel was closed."""
    head = os.read(descriptor, BUFFER_SIZE)
    if head:
        os.write(descriptor, TPM2_FAILURE)
    return bool(head)


def connected(address: str) -> socket.socket:
    """The connection to QEMU."""
    if address.startswith("fd:"):
        return socket.socket(fileno=int(address.removeprefix("fd:")))
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(address)
        listener.listen(1)
        connection, _ = listener.accept()
    os.unlink(address)  # noqa: PTH108 -- no pathlib for 10 ms
    return connection


def main() -> None:
    """Serve one QEMU."""
    connection = connected(sys.argv[1])
    control = Control(connection)
    with contextlib.suppress(ClosedError, OSError):
        while True:
            ready, _, _ = select.select([connection.fileno(), *control.descriptors], [], [])
            for descriptor in ready:
                if descriptor == connection.fileno():
                    control.answer()
                elif not answer_data(descriptor):
                    control.descriptors.remove(descriptor)


if __name__ == "__main__":
    main()
