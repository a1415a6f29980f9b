"""Devices on s390x's channel: their addresses, ``devno=fe.0.1234``.

A section's name begins with the address (``/fe.0.0001/virtio-net``). Devices without ``devno`` get
the first free one in the order of the command line (hw/s390x/css.c: css_find_free_devno).
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from migratable.commandline import CommandLine, Option
from migratable.hints import backends, line_edits
from migratable.hints.candidate import Candidate, Situation

_PATH = re.compile(r"/?(?P<bus>[0-9a-f]{1,2}\.[0-9a-f]\.(?P<devno>[0-9a-f]{4}))/(?P<name>[^/]+)")
#: Sections whose drivers have other names.
_DRIVERS = {
    "virtio-console": ("virtio-serial",),
    "virtio-input": ("virtio-keyboard", "virtio-mouse", "virtio-tablet"),
    "virtio-vhost_vsock": ("vhost-vsock",),
}


def placed(situation: Situation, idstr: str) -> Iterator[Candidate]:
    """The guest's device at its address: all of a kind at theirs, one moved, or one added."""
    path = _PATH.fullmatch(idstr)
    if path is None:
        return
    drivers = [f"{one}-ccw" for one in _DRIVERS.get(path["name"], (path["name"],))]
    yield from _all_of(situation, path["name"], drivers)
    for option, driver, _ in list(situation.line.devices()):
        if driver in drivers and option.fields.get("devno") != path["bus"]:
            fields = option.fields.set("devno", path["bus"])
            yield line_edits.changed(option, fields, f"-device {driver},…,devno={path['bus']}")
    for driver in drivers:
        if driver in situation.parts.buses:
            yield from _added(situation, driver, path["bus"], path["devno"])


def _all_of(situation: Situation, name: str, drivers: list[str]) -> Iterator[Candidate]:
    """As many as the guest has, in the order of their addresses."""
    found = [_PATH.fullmatch(name) for name in sorted(situation.guest.names)]
    places = [match["bus"] for match in found if match is not None and match["name"] == name]
    options = [option for option, driver, _ in situation.line.devices() if driver in drivers]
    if len(places) != len(options) or not options:
        return

    def edit(line: CommandLine) -> CommandLine:
        for option, place in zip(options, places, strict=True):
            line = line.replace(option, option.with_fields(option.fields.set("devno", place)))
        return line

    pairs = zip(options, places, strict=True)
    said = " ".join(f"-device {_driver(one)},devno={place}" for one, place in pairs)
    yield Candidate(action=said, edit=edit)


def _driver(option: Option) -> str:
    return option.fields.get("driver") or ""


def _added(situation: Situation, driver: str, bus: str, devno: str) -> Iterator[Candidate]:
    name = f"b{devno}"
    for options, members in backends.generic(situation, driver, name):

        def edit(
            line: CommandLine,
            options: backends.Options = options,
            members: tuple[str, ...] = tuple(members),
        ) -> CommandLine:
            for key, value in options:
                line = line.append(key, value)
            return line.append("device", ",".join([driver, *members, f"devno={bus}"]))

        before = "".join(f"-{key} {value} " for key, value in options)
        said = ",".join([driver, *members, f"devno={bus}"])
        yield Candidate(action=f"{before}-device {said}", edit=edit)
