"""``include/migration/vmstate.h: enum VMStateFlags``, under the names that they have there."""

from __future__ import annotations

from migratable.profile.tables import Flag

# Plain integers: operations on enum.IntFlag would take half of a replay's time.
VMS_ALLOC = int(Flag.ALLOC)
VMS_ARRAY = int(Flag.ARRAY)
VMS_ARRAY_OF_POINTER = int(Flag.ARRAY_OF_POINTER)
VMS_ARRAY_OF_POINTER_AUTO_ALLOC = int(Flag.ARRAY_OF_POINTER_AUTO_ALLOC)
VMS_MULTIPLY = int(Flag.MULTIPLY)
VMS_MULTIPLY_ELEMENTS = int(Flag.MULTIPLY_ELEMENTS)
VMS_MUST_EXIST = int(Flag.MUST_EXIST)
VMS_POINTER = int(Flag.POINTER)
VMS_STRUCT = int(Flag.STRUCT)
VMS_VARRAY_INT32 = int(Flag.VARRAY_INT32)
VMS_VBUFFER = int(Flag.VBUFFER)
VMS_VSTRUCT = int(Flag.VSTRUCT)
