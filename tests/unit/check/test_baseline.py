"""What a destination's own stream tells, and what it has more than another."""

from __future__ import annotations

from dataclasses import replace

from tests.unit.check.test_replay import NUMBER, PLAIN, destination, handler, loaded, rules, section


def test_the_section_of_an_instance() -> None:
    """As ``find_se``: instance ids may have come with a sign."""
    first, second = handler(), handler(instance_id=1)
    own = (section(), section(body=b"\0\0\0\5", number=4, instance_id=1))
    to = destination(first, second, own=own)
    states = [to.section(one).state for one in (first, second)]
    assert [state.number("n") for state in states if state is not None] == [7, 5]
    signed = destination(handler(instance_id=-1), own=(section(instance_id=0xFFFFFFFF),))
    assert signed.section(signed.tables.handlers[0]).state is not None


def test_an_alias_of_an_old_name() -> None:
    """``find_se``: the compat name with its own instance, or the alias."""
    named = replace(handler("pci/dev"), compat=("dev", 7), alias_id=5)
    to = destination(named)
    found = [to.find_se("dev", number) for number in (7, 5, 0, 6)]
    assert found == [named, named, None, None]


def test_an_own_section_that_cannot_be_followed() -> None:
    """With a subsection that no table has, and with a field of which nothing tells."""
    more = section(body=b"\0\0\0\7\5\5dev/x\0\0\0\1", footer=False)
    reason = destination(own=(more,)).section(handler()).unexamined
    assert reason == "subsection dev/x of the destination's own stream"
    optional = replace(PLAIN, fields=(replace(NUMBER, test=1),))
    to = destination(handler(), vmsds=(optional,), own=(section(),))
    assert to.section(handler()).unexamined == "whether dev:n is read is not known"


def test_a_destination_that_has_more_is_no_way_back() -> None:
    to = destination(handler(), handler("more"), own=(section(), section("more", number=4)))
    replay = loaded(section(), to=to)
    assert [(one.rule, one.summary) for one in replay.findings] == [
        ("no-way-back", "no way back: the destination has more, which the stream lacks")
    ]
    assert loaded(section(), section("more", number=4), to=to).findings == []


def test_a_stream_without_a_configuration_is_of_any_family() -> None:
    assert rules(loaded(section(version=3), machine=None))[-1] == "version-too-new"
