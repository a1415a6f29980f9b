"""Pasted text that would take hours if time grew with the square of its length."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest

from migratable.commandline import parse
from migratable.errors import CommandLineError
from migratable.facts.options import FLAGS

Q = "qemu-system-x86_64 "
N = 190_000
BOMBS = {
    "open JSON": Q + "-device { " + "a " * N,
    "opening JSON": Q + "-device {" + "{ " * N,
    "one value": Q + "-append " + "a " * N,
    "a long path": "/" * N * 4,
    "a brace": "{" * N * 4,
    "dashes": "-" * N * 4 + Q,
    "pipes": "|" * N * 4 + Q,
    "programs of Multipass": "process program 'x' " * (N // 5) + "process arguments '",
    "half of Multipass": "process program '" * (N // 5),
    "blank lines": Q + "-m 1" + "\n" * N * 4,
    "lines of one width": Q + "-m 1\n" + ("a" * 79 + "\n") * (N // 20),
    "prompts": Q + "-m 1\n" + ("root@a" + "x" * 60 + "\n") * (N // 20),
    "redirections": Q + "-m 1" + " > a" * N + " b",
    "continued lines": "a \\\n" * N,
    "blanks": Q + "-m 1" + " " * N * 4 + "x",
    "a KubeVirt log": '{"log":"kvm' + " " * N * 4 + '"}',
    "lists": "['" * N,
    "words": Q + "-S " * N,
    "brackets": "[" * N * 4,
}


@pytest.fixture(autouse=True)
def _ended() -> Iterator[None]:
    """A regular expression that runs for hours is not interrupted by Python."""
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.alarm(120)
    yield
    signal.alarm(0)


@pytest.mark.parametrize("name", BOMBS)
def test_time_grows_with_the_length_alone(name: str) -> None:
    assert len(BOMBS[name]) < 1 << 20
    try:
        assert parse(BOMBS[name]).program
    except CommandLineError as error:
        assert len(str(error)) < 2000


def test_a_log_of_any_length_is_cut_to_its_last_start() -> None:
    start = (
        "2026-01-01 00:00:00.000+0000: starting up libvirt version: 11.3.0, qemu version: 10.0\n"
    )
    text = (start + f"{Q}-m 1 \\\n-name a\n" + "x" * 80 + "\n") * 20_000
    assert len(text) > 1 << 21
    assert parse(text).get("m", "size") == "1"
    with pytest.raises(CommandLineError, match="too long"):
        parse("x" * (1 << 21))
    with pytest.raises(CommandLineError, match="too many"):
        parse(["qemu-system-x86_64", *["-S"] * 20_000])


def test_an_option_that_took_nothing_in_the_releases_that_had_it() -> None:
    """In 4.1 and 4.2; what follows it is an option: as its value it would pass unseen."""
    assert "virtfs_synth" in FLAGS
    line = parse(["qemu-system-x86_64", "-virtfs_synth", "-daemonize"])
    assert [option.name for option in line.options] == ["virtfs_synth", "daemonize"]
