"""Whatever is on a command line or in a batch: an answer of QEMU's, or an error of ours."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from migratable.errors import CommandLineError, PlanError
from migratable.pseries import Model, judge_lines, releases

TEXT = st.text(max_size=12)
KEYS = st.sampled_from([
    "cap-htm", "cap-cfpc", "cap-ibs", "cap-hpt-max-page-size", "cap-nested-hv", "ic-mode", "usb",
    "max-cpu-compat", "kernel-irqchip", "kernel_irqchip", "accel", "type", "resize-hpt", "",
])  # fmt: skip
VALUES = st.one_of(
    TEXT,
    st.sampled_from(["on", "off", "?", "64k", "0x10000", "1e3", "²", "xive", "dual", "power8"]),
)
OPTION = st.builds("{}={}".format, KEYS, VALUES) | TEXT
MACHINE = st.lists(OPTION, max_size=4).map(lambda parts: ",".join(["pseries", *parts]))
NUMBERS = st.one_of(TEXT, st.integers(-5, 5000).map(str), st.just("²"))
SMP = st.lists(
    st.builds(
        "{}={}".format,
        st.sampled_from(["cpus", "threads", "cores", "sockets", "maxcpus", "foo"]),
        NUMBERS,
    )
    | NUMBERS,
    max_size=4,
).map(",".join)
WORDS = st.one_of(
    st.tuples(st.sampled_from(["-M", "-machine"]), MACHINE | TEXT),
    st.tuples(st.just("-cpu"), st.sampled_from(["POWER9", "max", "004e1200", "750"]) | TEXT),
    st.tuples(st.just("-m"), NUMBERS),
    st.tuples(st.just("-smp"), SMP),
    st.tuples(st.just("-accel"), st.just("tcg") | TEXT),
    st.tuples(TEXT),
)
ARGS = st.lists(WORDS, max_size=4).map(lambda groups: [word for group in groups for word in group])


@given(st.sampled_from(releases()), ARGS, st.sampled_from(releases()), ARGS)
def test_any_command_line_has_an_answer(
    source: str, source_args: list[str], destination: str, destination_args: list[str]
) -> None:
    try:
        pair = Model().judge(source, source_args, destination, destination_args)
    except CommandLineError as error:
        assert str(error)
        return
    assert pair.verdict in ("loads", "refused", "unknown")
    if pair.verdict == "refused":
        assert pair.source is not None
        assert pair.destination_stderr if pair.source.runs else pair.source.stderr
    if pair.verdict == "unknown":
        assert pair.unknown


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)
SIDE = st.fixed_dictionaries({}, optional={"release": JSON | st.just("7.2"), "args": JSON})


@given(
    st.one_of(
        TEXT,
        JSON.map(json.dumps),
        st.fixed_dictionaries(
            {}, optional={"id": JSON, "source": SIDE | JSON, "destination": SIDE | JSON}
        ).map(json.dumps),
    )
)
def test_any_line_of_a_batch_has_an_answer_or_its_number(line: str) -> None:
    try:
        answers = list(judge_lines([line], Model(), name="x"))
    except PlanError as error:
        assert str(error).startswith("x:1: ")
        return
    assert len(answers) <= 1
