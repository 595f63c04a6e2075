"""A .npz file that zip can open, and of which no array can be read."""

import io
import struct
import zipfile

import numpy as np

__all__ = ["BROKEN_MEMBERS", "broken"]


def _with(data, field, value):
    """With another value in a field of the only member's two headers; it stands two bytes later in the second one."""
    data, local, central = bytearray(data), data.index(b"PK\3\4"), data.rindex(b"PK\1\2")
    struct.pack_into("<H", data, local + field, value)
    struct.pack_into("<H", data, central + field + 2, value)
    return bytes(data)


def _damaged(data):
    data = bytearray(data)
    data[data.index(b"NUMPY") + 150] ^= 0xFF
    return bytes(data)


def _huge(data):
    """With a shape that no memory holds."""
    content = io.BytesIO()
    header = {"descr": "<f8", "fortran_order": False, "shape": (1 << 60,)}
    with zipfile.ZipFile(content, "w") as archive, archive.open("last.npy", "w") as member:
        np.lib.format.write_array_header_1_0(member, header)
    return content.getvalue()


#: What is wrong to what makes it so.
BROKEN_MEMBERS = {
    "encrypted": lambda data: _with(data, 6, 1),
    "compressed in an unknown way": lambda data: _with(data, 8, 99),
    "damaged": _damaged,
    "of a shape that no memory holds": _huge,
}


def broken(kind):
    """Bytes of a file with the array `last`, which is broken in that way."""
    content = io.BytesIO()
    np.savez(content, last=np.zeros(4, np.uint8))
    return BROKEN_MEMBERS[kind](content.getvalue())
