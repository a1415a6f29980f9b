"""libvirt's save image: a header, the domain's XML, a cookie, then the stream.

======  ====  =====================================================================
offset  size  field (integers in the source host's byte order)
======  ====  =====================================================================
0       16    ``LibvirtQemudSave``; ``LibvirtQemudPart`` until the save is finished
16      4     version: 2; 1 has no cookie; 3 came with the sparse format
20      4     data_len: XML, NUL, cookie, NUL, padding
24      4     was the guest running
28      4     0 raw, 1 gzip, 2 bzip2, 3 xz, 4 lzop, 5 zstd, 6 sparse (mapped-ram)
32      4     offset of the cookie in the data, 0 without
36      56    unused
======  ====  =====================================================================

The stream is at 92 + data_len, always (``save-image-define`` uses the padding). Source: libvirt
``src/qemu/qemu_saveimage.h``; images of libvirt 9.0.
"""

from __future__ import annotations

import struct

from migratable.errors import ContainerError
from migratable.stream.containers.container import Container, Contents, Opening

HEADER_SIZE = 92
COMPRESSIONS = (None, "gzip", "bzip2", "xz", "lzop", "zstd", None)
_SAVE = b"LibvirtQemudSave"
_PART = b"LibvirtQemudPart"
_MAX_XML = 64 << 20


def _open(data: memoryview, opening: Opening) -> Contents:
    """Read header and XML.

    :raise ContainerError: when the save is unfinished, the header cut short, or of a version or
        format that we do not know.
    """
    name = opening.name
    if data[:16] not in (_SAVE, _PART):
        raise ContainerError(f"{name}: libvirt's magic is damaged", offset=12)
    if data[:16] == _PART:
        raise ContainerError(
            f"{name} is an unfinished libvirt save (LibvirtQemudPart): libvirt was interrupted or "
            "is still writing it, and refuses it too; save the guest again",
            offset=0,
        )
    if len(data) < HEADER_SIZE:
        raise ContainerError(f"{name}: libvirt header is cut short", offset=len(data))
    order = "<" if struct.unpack_from("<I", data, 16)[0] < 1 << 16 else ">"
    version, length, running, kind, cookie = struct.unpack_from(f"{order}5I", data, 16)
    if version not in (1, 2, 3):
        raise ContainerError(f"{name}: libvirt save image version {version}", offset=16)
    if kind >= len(COMPRESSIONS):
        raise ContainerError(f"{name}: libvirt save image format {kind} is unknown", offset=28)
    origin = HEADER_SIZE + length
    if origin >= len(data):
        raise ContainerError(
            f"{name}: libvirt header promises {length} bytes of XML, the file has "
            f"{len(data) - HEADER_SIZE}; it is cut short",
            offset=20,
        )
    if not 0 <= cookie <= length or length > _MAX_XML:
        raise ContainerError(
            f"{name}: libvirt header: cookie at {cookie} of {length} bytes", offset=32
        )
    text = bytes(data[HEADER_SIZE:origin])
    xml = text[: cookie or None].split(b"\0", 1)[0].decode(errors="replace")
    from migratable import redact  # noqa: PLC0415 -- libvirt's images alone

    facts: dict[str, object] = {
        "libvirt_version": version,
        "was_running": bool(running),
        "domain_xml": redact.domain_xml(xml),  # libvirt saves it with its passwords
        "byte_order": "little" if order == "<" else "big",
    }
    if cookie:
        facts["cookie_xml"] = text[cookie:].split(b"\0", 1)[0].decode(errors="replace")
    return Contents(data=data[origin:], begins=origin, inside=COMPRESSIONS[kind], facts=facts)


CONTAINER = Container(
    name="libvirt",
    magics=(b"LibvirtQemud",),
    open=_open,
    remedy="save it with save_image_format = 'raw' in qemu.conf",
)
