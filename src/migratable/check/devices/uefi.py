"""UEFI variables that QEMU itself keeps (10.0 and later): hw/uefi/var-service-*.c."""

from __future__ import annotations

from collections.abc import Iterator
from errno import EPERM

from migratable.check.devices import post_load
from migratable.check.events import BodyLoaded
from migratable.check.problem import Problem, UnexaminedError
from migratable.verdict import Severity

#: MAX_BUFFER_SIZE, EFI_VARIABLE_ATTRIBUTE_SUPPORTED; an entry's two lengths end at byte 8.
_LARGEST_BUFFER, _ATTRIBUTES, _LENGTHS = 64 << 10, 0x6F, 8
#: ``size=`` of the device when it is not given; more than a variable's own structure takes.
_STORE, _STRUCTURE = 256 << 10, 256
_SURROGATES = range(0xD800, 0xE000)


@post_load("uefi-variable")
def variable(at: BodyLoaded) -> Iterator[Problem]:
    """uefi_vars_post_load of a variable: its name and attributes."""
    name, attributes = at.body.data("name") or b"", at.body.number("attributes") or 0
    if not _is_valid(name, terminated=True) or attributes & ~_ATTRIBUTES:
        yield Problem(
            rule="field-validation",
            summary=f"a UEFI variable has attributes {attributes:#x} and the name {name.hex()!r}",
            words=(("uefi-variables", {}),),
            errno=EPERM,
            field="attributes" if attributes & ~_ATTRIBUTES else "name",
        )


@post_load("uefi-var-policy")
def policy(at: BodyLoaded) -> Iterator[Problem]:
    """uefi_var_policy_post_load: the length that is in the entry, and the name at its end."""
    entry = at.body.data("entry") or b""
    size, begin = (int.from_bytes(entry[place : place + 2], "little") for place in (4, 6))
    whole = size == len(entry) >= _LENGTHS and begin < size
    if not whole or not _is_valid(entry[begin:], terminated=False):
        yield Problem(
            rule="field-validation",
            summary=f"a policy for UEFI variables of {len(entry)} bytes says {size}, its name is "
            f"at {begin}",
            words=(("uefi-policy", {}),),
            errno=EPERM,
            field="entry",
        )


@post_load("uefi-vars")
def store(at: BodyLoaded) -> Iterator[Problem]:
    """uefi_vars_post_load: size of the buffer, and of all variables.

    That of a variable also looks at the length of its digest, which no table reads and
    ``get_qtailq`` (migration/vmstate-types.c) does not clear: 10.0 refused 6 of 300 loads of
    streams that are alike.

    :raise UnexaminedError: for more than every destination has room for.
    """
    buffer = at.body.number("buf_size") or 0
    if buffer > _LARGEST_BUFFER:
        yield Problem(
            rule="field-validation",
            summary=f"the buffer for UEFI variables has {buffer} bytes, 65536 are possible",
            words=(("uefi-buffer", {}),),
            errno=EPERM,
            field="buf_size",
        )
        return
    variables = at.body.children.get("variables", ())
    if any(one.number("digest_size") is None for one in variables):
        yield Problem(
            rule="field-validation",
            refuses=False,
            severity=Severity.ENDANGERS,
            summary="this QEMU may refuse the UEFI variables by chance",
            explanation="It checks the length of a variable's digest in memory that it has neither "
            "read nor cleared, and prints 'invalid uefi variable' now and then. Migrate again.",
        )
    parts = variables, at.body.children.get("var_policies", ())
    used = sum(
        _STRUCTURE + sum(one.number(size) or 0 for size in ("name_size", "data_size", "entry_size"))
        for part in parts
        for one in part
    )
    sized = any("uefi-vars" in word and "size" in word for word in at.profile.command_line)
    if used > (0 if sized else _STORE):
        raise UnexaminedError(f"whether the destination's store has room for {used} bytes")


def _is_valid(name: bytes, *, terminated: bool) -> bool:
    """``uefi_str_is_valid``: no half of a pair before the end."""
    if len(name) % 2:
        return False
    for place in range(0, len(name), 2):
        char = int.from_bytes(name[place : place + 2], "little")
        if not char:
            return True
        if char in _SURROGATES:
            return False
    return not terminated
