"""Which of several causes in one log is the one that matters."""

from __future__ import annotations

import io

from migratable.explain.story import explain

EOF = (
    b"2026-11-20 10:01:11.123+0000: 4411: error : virNetSocketReadWire:1791 : End of file while "
    b"reading data: Input/output error\n"
)
CPU = (
    b"2026-11-20 10:01:12.123+0000: 4413: error : virCPUx86Compare:1791 : operation failed: guest "
    b"CPU doesn't match specification: missing features: avx512f,pku\n"
)


def test_a_connection_that_ended_is_no_cause_beside_another() -> None:
    for log in (EOF + CPU, CPU + EOF):
        (failure,) = explain(io.BytesIO(log)).explanations
        assert failure.message == "libvirt-cpu-specification"
        assert failure.line.endswith("avx512f,pku")
    (alone,) = explain(io.BytesIO(EOF)).explanations
    assert alone.message == "libvirt-eof"
