"""Make a full stream of what ``xen-save-devices-state`` writes.

It writes the header, a FULL section for every device, and EOF. What an ordinary migration has
besides comes from questions to the VM: the configuration section, the ``ram`` section with the
list of blocks, ``spapr/htab``'s START, and a vmdesc (which names no device). Source:
``migration/savevm.c`` ``qmp_xen_save_devices_state``, ``qemu_save_device_state``; 5.2 to 11.1.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from migratable.errors import CaptureError, StreamError
from migratable.stream import Section, SectionKind, Stream, read
from migratable.stream.edit import describe
from migratable.stream.iterable import NO_HTAB
from migratable.stream.model import Configuration, ConfigurationSubsection, Element
from migratable.stream.pages import ram_end, ram_start
from migratable.stream.ram import RamBlock

Page = tuple[str, int, bytes]
"""Block id, offset in it, contents."""
_RUNSTATE_SIZE = 32
"""Bytes of the name; 9.0 and later have other fields in the rest of what were 100."""


def device_state(raw: bytes) -> Stream:
    """Take apart what the VM wrote.

    :raise CaptureError: When it is not what ``xen-save-devices-state`` writes.
    """
    try:
        stream = read(raw)
    except StreamError as error:
        raise CaptureError(f"the VM's device state cannot be read: {error}") from None
    if not stream.eof or not stream.devices:
        raise CaptureError("the VM wrote no device state; check its disk space and its sandbox")
    return stream


def full_stream(
    state: Stream,
    *,
    machine: str,
    status: str,
    blocks: Sequence[RamBlock],
    pages: Iterable[Page] = (),
    uuid: bytes | None = None,
    early_first: bool = False,
) -> Stream:
    """Complete *state*, what :func:`device_state` gives.

    :param status: the VM's run state; a paused VM's own stream says so, this command's does not.
    :param uuid: sixteen bytes, when the capability ``validate-uuid`` is on.
    :param early_first: do sections that go before the pages precede the list of blocks too (11.1)?
    """
    sections = [_with_status(section, status) for section in state.sections]
    used = {section.section_id for section in sections}
    free = (number for number in range(1, 1 << 31) if number not in used)
    ram_id = next(free)
    head: list[Element] = [ram_start(blocks, section_id=ram_id)]
    if any(section.idstr == "spapr" for section in sections):
        head.append(_htab_start(_htab_shift(sections), next(free)))
    early = [section for section in sections if _is_early(section)]
    late = [section for section in sections if not _is_early(section)]
    end = ram_end(sorted(pages, key=lambda page: page[:2]), section_id=ram_id)
    announced = (*early, *head) if early_first else (*head, *early)
    elements: tuple[Element, ...] = (*announced, end, *late)
    subsections: tuple[ConfigurationSubsection, ...] = ()
    if uuid is not None:
        subsections = (ConfigurationSubsection(name="configuration/uuid", version=1, body=uuid),)
    return replace(
        state,
        configuration=Configuration(machine=machine, subsections=subsections),
        elements=elements,
        # QEMU wants one to be there and does not read it. A machine with suppress-vmdesc sends
        # none, and none of it reads so far. What is in it the VM did not tell.
        vmdesc=describe((), state.page_size),
        trailer=b"",
        ram=None,
    )


def _with_status(section: Section, status: str) -> Section:
    """``globalstate`` of a VM that does not run (``global_state_store_running`` says it does)."""
    if section.idstr != "globalstate" or status == "running":
        return section
    text = status.encode() + b"\0"
    rest = bytes(section.body[4 + _RUNSTATE_SIZE :])
    body = len(text).to_bytes(4, "big") + text.ljust(_RUNSTATE_SIZE, b"\0") + rest
    return replace(section, body=body)


def _is_early(section: Section) -> bool:
    """Does a migration send it before the pages (``early_setup``, 8.0 and later)?"""
    return section.idstr.endswith("virtio-mem-device-early")


def _htab_start(shift: int | None, section_id: int) -> Section:
    body = (NO_HTAB if shift is None else shift).to_bytes(4, "big")
    return Section(
        kind=SectionKind.START,
        section_id=section_id,
        idstr="spapr/htab",
        instance_id=0,
        version_id=1,
        body=body,
    )


def _htab_shift(sections: Sequence[Section]) -> int | None:
    """Size of the guest's hash table, None when it uses radix.

    A radix guest sends ``spapr_patb_entry``. The shift is in the device tree that the machine
    made for it (``ibm,pft-size``: two u32), which is in ``spapr``'s own section ``spapr_dtb``.
    """
    spapr = next(section for section in sections if section.idstr == "spapr")
    if b"spapr_patb_entry" in bytes(spapr.body):
        return None
    for section in sections:
        data = bytes(section.body)
        at = data.find(b"\xd0\x0d\xfe\xed")
        if at >= 0:
            shift = fdt_pft_size(data[at:])
            if shift is not None:
                return shift
    return None


def fdt_pft_size(tree: bytes) -> int | None:
    """The second number of the first ``ibm,pft-size`` in a flattened device tree."""

    def word(at: int) -> int:
        return int.from_bytes(tree[at : at + 4], "big")

    structure, strings = word(8), word(12)
    name = tree.find(b"ibm,pft-size\0", strings)
    if name < 0:
        return None
    wanted = name - strings
    at, end = structure, min(len(tree), structure + word(36))
    while at < end:
        token = word(at)
        at += 4
        if token == 1:  # FDT_BEGIN_NODE
            at = (tree.index(b"\0", at) + 4) & ~3 if b"\0" in tree[at:end] else end
        elif token == 3:  # FDT_PROP
            size, name_at = word(at), word(at + 4)
            if name_at == wanted and size == 8:
                return word(at + 12)
            at += 8 + (size + 3 & ~3)
        elif token not in (2, 4):  # FDT_END_NODE, FDT_NOP
            return None
    return None
