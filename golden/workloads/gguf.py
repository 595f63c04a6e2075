"""Read GGUF files, versions 2 and 3, with NumPy alone.

A file is a header with counts, pairs of key and value, a description of each tensor and, aligned, the tensors' bytes;
all little-endian. Source: the GGUF format description of the ggml project, and its block formats:

======  ===========================================================================  =========================
type    a block                                                                      value
======  ===========================================================================  =========================
F32     one IEEE 754 single                                                          itself
F16     one IEEE 754 half                                                            itself
Q4_0    32 values: half ``scale``, 16 bytes of codes                                 ``scale * (code - 8)``
Q4_1    32 values: half ``scale``, half ``minimum``, 16 bytes of codes               ``scale * code + minimum``
Q8_0    32 values: half ``scale``, 32 signed bytes                                   ``scale * code``
======  ===========================================================================  =========================

Of 16 bytes of codes, the low halves are values 0 to 15 and the high halves values 16 to 31. The library `gguf` is not
used because it raises what NumPy or Python happens to raise when a file is damaged.
"""

import math
import mmap
import os
import stat
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ..checks import named

_VERSIONS = (2, 3)
_ALIGNMENT = 32  # bytes, where the file states none
_AXES = 4  # the most that ggml has

_NUMBERS = {
    0: "u1",
    1: "i1",
    2: "<u2",
    3: "<i2",
    4: "<u4",
    5: "<i4",
    6: "<f4",
    7: "u1",
    10: "<u8",
    11: "<i8",
    12: "<f8",
}
_BOOL, _STRING, _ARRAY = 7, 8, 9

# Type: name, values in a block, the block's bytes.
_TYPES = {
    0: ("F32", 1, np.dtype("<f4")),
    1: ("F16", 1, np.dtype("<f2")),
    2: ("Q4_0", 32, np.dtype([("scale", "<f2"), ("codes", "u1", 16)])),
    3: ("Q4_1", 32, np.dtype([("scale", "<f2"), ("minimum", "<f2"), ("codes", "u1", 16)])),
    8: ("Q8_0", 32, np.dtype([("scale", "<f2"), ("codes", "i1", 32)])),
}
# Only for the message that refuses them.
_OTHERS = {
    **dict(enumerate(("Q5_0", "Q5_1"), 6)),
    **dict(enumerate(("Q8_1", "Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K", "Q8_K", "IQ2_XXS", "IQ2_XS", "IQ3_XXS"), 9)),
    **dict(enumerate(("IQ1_S", "IQ4_NL", "IQ3_S", "IQ2_S", "IQ4_XS", "I8", "I16", "I32", "I64", "F64"), 19)),
    **dict(enumerate(("IQ1_M", "BF16"), 29)),
}


@dataclass(frozen=True, eq=False)
class Tensor:
    """One tensor, as it is stored.

    Parameters
    ----------
    kind : str
        ``F32``, ``F16``, ``Q4_0``, ``Q4_1`` or ``Q8_0``.
    shape : tuple of int
        As NumPy has it, the axis that lies together in memory last: a weight is (N, K).
    blocks : ndarray, shape (..., blocks)
        A read-only view of the file; the last axis counts the blocks of a row.
    """

    kind: str
    shape: tuple
    blocks: np.ndarray = field(repr=False)

    def values(self):
        """The values in float32, of shape `shape`; for F32 the view itself."""
        if self.kind in ("F32", "F16"):
            return self.blocks.astype(np.float32, copy=False)
        codes = self.blocks["codes"]
        if self.kind != "Q8_0":
            codes = np.concatenate([codes & 15, codes >> 4], axis=-1)
        y = codes.astype(np.float32)
        if self.kind == "Q4_0":
            y -= 8
        # What is not finite is the reader's business, and is no reason to warn.
        with np.errstate(invalid="ignore"):
            y *= self.blocks["scale"].astype(np.float32)[..., None]
            if self.kind == "Q4_1":
                y += self.blocks["minimum"].astype(np.float32)[..., None]
        return y.reshape(self.shape)


@dataclass(frozen=True, eq=False)
class Gguf:
    """What a file holds.

    Parameters
    ----------
    path : Path
    metadata : dict of str to int, float, bool, str, list of str or ndarray
        By key; arrays of numbers and of bools are ndarrays.
    tensors : dict of str to Tensor
        By name, in the order of the file.
    """

    path: Path
    metadata: dict = field(repr=False)
    tensors: dict = field(repr=False)

    def get(self, key, kind, default=None):
        """A value of the metadata.

        Parameters
        ----------
        key : str
        kind : type
            What it must be: int, float, bool, str, list or ndarray. A bool is no int.
        default : optional
            For a key that is missing; None if it may not be.

        Raises
        ------
        ValueError
            When it is missing, or of another type; names file and key.
        """
        value = self.metadata.get(key, default)
        if value is None:
            raise ValueError(f"{self.path}: {key} is missing")
        if type(value) is not kind:
            raise ValueError(f"{self.path}: {key} must be of type {kind.__name__}, not {type(value).__name__}")
        return value

    def take(self, name, *shape):
        """The values of a tensor in float32.

        Raises
        ------
        ValueError
            When it is missing, of another shape, or holds NaN or Inf; names file and tensor.
        """
        tensor = self.tensors.get(name)
        if tensor is None:
            raise ValueError(f"{self.path}: tensor {name} is missing")
        if tensor.shape != shape:
            raise ValueError(f"{self.path}: tensor {name} has shape {tensor.shape}, expected {shape}")
        values = tensor.values()
        if not np.isfinite(values).all():
            raise ValueError(f"{self.path}: tensor {name} must be finite, not hold NaN or Inf")
        return values


def load(path):
    """Map a GGUF file into memory.

    Parameters
    ----------
    path : str or Path

    Returns
    -------
    Gguf
        The file stays mapped as long as one of its tensors lives. What cannot be mapped, such as a pipe, is read whole.

    Raises
    ------
    ValueError
        When the file is not well formed, or holds tensors of other types; names the file and what is wrong.
    OSError
        When the file cannot be read.
    """
    with open(path, "rb") as file:
        state = os.fstat(file.fileno())
        if stat.S_ISREG(state.st_mode) and state.st_size:
            data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        else:
            data = file.read()
    with named(path):
        cursor = _Cursor(data)
        tensors, pairs = _read_header(cursor)
        metadata = _unique(cursor, pairs, "key", _read_value)
        described = _unique(cursor, tensors, "tensor", _read_tensor)
        alignment = _alignment(metadata)
        start = cursor.position + -cursor.position % alignment
        _check_places(described, alignment, start, len(data))
        views = {name: _view(data, start, *entry) for name, entry in described.items()}
    return Gguf(Path(path), metadata, views)


class _Cursor:
    """A place in the file's bytes, which moves on with what is read."""

    def __init__(self, data):
        self.data = data
        self.position = 0

    def take(self, size):
        """The next bytes."""
        end = self.position + size
        if end > len(self.data):
            raise ValueError(f"truncated: {size} bytes wanted at byte {self.position}, the file has {len(self.data)}")
        taken = self.data[self.position : end]
        self.position = end
        return taken

    def integer(self, size):
        """The next bytes as one unsigned number."""
        return int.from_bytes(self.take(size), "little")

    def string(self):
        """The next text, which has its length before it."""
        start, text = self.position, self.take(self.integer(8))
        try:
            return text.decode()
        except UnicodeDecodeError:
            raise ValueError(f"the string at byte {start} is not UTF-8") from None

    def numbers(self, kind, count):
        """The next numbers, an array of one type."""
        dtype = np.dtype(_NUMBERS[kind])
        start, values = self.position, np.frombuffer(self.take(count * dtype.itemsize), dtype)
        if kind != _BOOL:
            return values
        if values.max(initial=0) > 1:
            raise ValueError(f"a bool at byte {start} or after it is neither 0 nor 1")
        return values.astype(bool)


def _read_header(cursor):
    """Number of tensors and number of pairs."""
    magic = cursor.take(4)
    if magic != b"GGUF":
        raise ValueError(f"begins with {magic!r}, a GGUF file begins with b'GGUF'")
    version = cursor.integer(4)
    if version not in _VERSIONS:
        swapped = int.from_bytes(version.to_bytes(4, "little"), "big")
        byte_order = " in big-endian order" if swapped in _VERSIONS else ""
        raise ValueError(
            f"GGUF version {swapped if byte_order else version}{byte_order}, expected 2 or 3, little-endian"
        )
    tensors, pairs = cursor.integer(8), cursor.integer(8)
    # The shortest ones: an empty name, one number; an empty name, one axis.
    if pairs * 13 + tensors * 32 > len(cursor.data):
        raise ValueError(
            f"{pairs} keys and {tensors} tensors announced in a file of {len(cursor.data)} bytes: truncated?"
        )
    return tensors, pairs


def _unique(cursor, count, noun, read):
    """A dict of as many entries, each a name and what `read` makes of the bytes after it."""
    entries = {}
    for _ in range(count):
        name = cursor.string()
        if name in entries:
            raise ValueError(f"{noun} {name!r} is there twice")
        with named(f"{noun} {name!r}"):
            entries[name] = read(cursor)
    return entries


def _read_value(cursor):
    kind = cursor.integer(4)
    if kind == _STRING:
        return cursor.string()
    if kind in _NUMBERS:
        return cursor.numbers(kind, 1)[0].item()
    if kind != _ARRAY:
        raise ValueError(f"unknown type of value {kind}")
    kind, count = cursor.integer(4), cursor.integer(8)
    if kind == _STRING:
        return [cursor.string() for _ in range(count)]
    if kind in _NUMBERS:
        return cursor.numbers(kind, count)
    raise ValueError(f"an array of values of type {kind}, expected numbers, bools or strings")


def _read_tensor(cursor):
    """Type, shape and place of a tensor, sound in themselves."""
    axes = cursor.integer(4)
    if not 1 <= axes <= _AXES:
        raise ValueError(f"{axes} axes, expected 1 to {_AXES}")
    shape = tuple(cursor.integer(8) for _ in range(axes))[::-1]
    kind, offset = cursor.integer(4), cursor.integer(8)
    if kind not in _TYPES:
        expected = ", ".join(name for name, _, _ in _TYPES.values())
        raise ValueError(f"type {_OTHERS.get(kind, kind)}, expected one of {expected}")
    name, block, _ = _TYPES[kind]
    if min(shape) < 1:
        raise ValueError(f"shape {shape}, expected sides of 1 or more")
    if shape[-1] % block:
        raise ValueError(f"rows of {shape[-1]} values, {name} has blocks of {block}")
    return kind, shape, offset


def _alignment(metadata):
    alignment = metadata.get("general.alignment", _ALIGNMENT)
    if type(alignment) is not int or alignment < 8 or alignment % 8:
        raise ValueError(f"general.alignment must be a multiple of 8, not {alignment!r}")
    return alignment


def _check_places(described, alignment, start, size):
    """Require that every tensor is aligned and within the file, and that no two share bytes."""
    reached = 0
    for name, (kind, shape, offset) in sorted(described.items(), key=lambda item: item[1][2]):
        _, block, dtype = _TYPES[kind]
        end = offset + math.prod(shape) // block * dtype.itemsize
        if offset % alignment:
            raise ValueError(f"tensor {name!r} has the offset {offset}, expected a multiple of {alignment}")
        if offset < reached:
            raise ValueError(f"tensor {name!r} at byte {start + offset} overlaps the one before it")
        if start + end > size:
            raise ValueError(f"tensor {name!r} ends at byte {start + end}, the file has {size} bytes: truncated?")
        reached = end


def _view(data, start, kind, shape, offset):
    name, block, dtype = _TYPES[kind]
    return Tensor(name, shape, np.ndarray((*shape[:-1], shape[-1] // block), dtype, data, start + offset))
