"""Read and write safetensors files with NumPy alone.

A file is an 8-byte little-endian header length, a JSON header and the tensors' bytes. The header maps each name to
``{"dtype", "shape", "data_offsets": [begin, end]}``, offsets counted from the end of the header, further fields
ignored; the tensors cover the rest of the file without gap or overlap. Source: the safetensors format description,
rules as in its reference library. That library is not used because its NumPy side refuses BF16 and pipes, gives
arrays that may be written to, and does not name the tensor that is at fault.
"""

import json
import math
import mmap
import os
import stat
from pathlib import Path

import numpy as np

from .. import strict_json

# NumPy types in the order in which the reference library sorts tensors on writing, widest first.
_DTYPES = {
    "U64": np.dtype("<u8"),
    "I64": np.dtype("<i8"),
    "F64": np.dtype("<f8"),
    "F32": np.dtype("<f4"),
    "U32": np.dtype("<u4"),
    "I32": np.dtype("<i4"),
    "BF16": np.dtype("<u2"),  # NumPy has no bfloat16: the bits, widened to float32 on reading
    "F16": np.dtype("<f2"),
    "U16": np.dtype("<u2"),
    "I16": np.dtype("<i2"),
    "I8": np.dtype("i1"),
    "U8": np.dtype("u1"),
    "BOOL": np.dtype("u1"),  # bytes other than 0 and 1 count as true; NumPy's own bool would leave them undefined
}
_WRITABLE = {dtype: tag for tag, dtype in _DTYPES.items() if tag not in ("BF16", "BOOL")} | {np.dtype(bool): "BOOL"}
_ORDER = {tag: rank for rank, tag in enumerate(_DTYPES)}
_METADATA = "__metadata__"
_MAX_HEADER = 100_000_000  # bytes, the reference library's limit


def load(path):
    """Map a safetensors file into memory.

    Parameters
    ----------
    path : str or Path

    Returns
    -------
    dict of str to ndarray
        In the order of the header. Read-only views of the mapped file, so that only the pages that are used are read;
        BF16 comes as a float32 copy and BOOL as a bool copy. The file stays mapped as long as a view lives. What cannot
        be mapped, such as a pipe, is read whole.

    Raises
    ------
    ValueError
        When the file is not well formed; names the file and what is wrong.
    OSError
        When the file cannot be read.
    """
    with open(path, "rb") as file:
        prefix = file.read(8)
        if len(prefix) < 8:
            raise ValueError(f"{path}: truncated: {len(prefix)} bytes, a safetensors file has at least 8")
        length = int.from_bytes(prefix, "little")
        if length > _MAX_HEADER:
            raise ValueError(f"{path}: header of {length} bytes, at most {_MAX_HEADER} allowed: no safetensors file?")
        text = file.read(length)
        if len(text) < length:
            raise ValueError(f"{path}: truncated: header of {length} bytes announced, {len(text)} present")
        entries = _parse_header(path, text)
        state, start = os.fstat(file.fileno()), 8 + length
        if stat.S_ISREG(state.st_mode):
            _check_cover(path, entries, state.st_size - start)
            data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        else:
            data, start = file.read(), 0
            _check_cover(path, entries, len(data))
    return {name: _view(path, name, data, start, *entry) for name, entry in entries.items()}


def save(path, tensors, metadata=None):
    """Write a safetensors file.

    The bytes equal those of the reference library: widest type first, then by name, header padded to 8 bytes.

    Parameters
    ----------
    path : str or Path
        Target; its parent folders are made.
    tensors : dict of str to ndarray
        Floats of 16 to 64 bits, integers of 8 to 64 bits, bool; any byte order and strides.
    metadata : dict of str to str, optional

    Raises
    ------
    TypeError, ValueError
        When a name, a type or the metadata cannot be stored; nothing is written.
    """
    arrays = {}
    for name, tensor in tensors.items():
        if not isinstance(name, str) or name == _METADATA:
            raise ValueError(f"{path}: tensor name {name!r}, expected a string other than {_METADATA!r}")
        array = np.asarray(tensor)
        little = array.dtype.newbyteorder("<")
        if little not in _WRITABLE:
            raise TypeError(
                f"{path}: tensor {name!r} has type {array.dtype}, expected one of {', '.join(map(str, _WRITABLE))}"
            )
        arrays[name] = (_WRITABLE[little], array.astype(little, copy=False))
    header = {}
    if metadata is not None:
        if not all(isinstance(item, str) for pair in metadata.items() for item in pair):
            raise TypeError(f"{path}: metadata {metadata!r}, expected strings to strings")
        header[_METADATA] = dict(metadata)
    names = sorted(arrays, key=lambda name: (_ORDER[arrays[name][0]], name))
    end = 0
    for name in names:
        tag, array = arrays[name]
        begin, end = end, end + array.nbytes
        header[name] = {"dtype": tag, "shape": list(array.shape), "data_offsets": [begin, end]}
    text = strict_json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for name in names:
            file.write(arrays[name][1].tobytes())


def _unique(pairs):
    """Build a dict from JSON pairs; a repeated name is an error instead of a silent loss."""
    result = dict(pairs)
    if len(result) < len(pairs):
        seen = set()
        raise ValueError(f"duplicate name {next(name for name, _ in pairs if name in seen or seen.add(name))!r}")
    return result


def _refuse(constant):
    raise ValueError(f"{constant} is no JSON")


def _parse_header(path, text):
    """Return ``{name: (tag, shape, begin, end)}``, each entry sound in itself."""
    try:
        header = json.loads(text.decode(), object_pairs_hook=_unique, parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path}: header is not valid JSON: {error}") from None
    if not isinstance(header, dict):
        raise ValueError(f"{path}: header is a JSON {type(header).__name__}, expected an object")
    header.pop(_METADATA, None)
    return {name: _parse_entry(f"{path}: tensor {name!r}", entry) for name, entry in header.items()}


def _parse_entry(where, entry):
    if not isinstance(entry, dict) or not entry.keys() >= {"dtype", "shape", "data_offsets"}:
        raise ValueError(f"{where}: expected the fields dtype, shape and data_offsets")
    tag, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not isinstance(tag, str) or tag not in _DTYPES:
        raise ValueError(f"{where}: dtype {tag!r}, expected one of {', '.join(_DTYPES)}")
    if not _is_sizes(shape):
        raise ValueError(f"{where}: shape {shape!r}, expected a list of non-negative integers")
    if not _is_sizes(offsets) or len(offsets) != 2 or offsets[0] > offsets[1]:
        raise ValueError(f"{where}: data_offsets {offsets!r}, expected [begin, end] with 0 <= begin <= end")
    begin, end = offsets
    need = math.prod(shape) * _DTYPES[tag].itemsize
    if end - begin != need:
        raise ValueError(f"{where}: {tag} of shape {shape} takes {need} bytes, data_offsets span {end - begin}")
    return tag, shape, begin, end


def _is_sizes(value):
    return isinstance(value, list) and all(type(item) is int and item >= 0 for item in value)


def _check_cover(path, entries, size):
    """Require that the tensors cover the data part, ``size`` bytes, without gap or overlap."""
    reached = 0
    for name, (_, _, begin, end) in sorted(entries.items(), key=lambda item: item[1][2:]):
        if begin != reached:
            fault = "overlaps the tensor before it" if begin < reached else f"leaves a gap after byte {reached}"
            raise ValueError(f"{path}: tensor {name!r}: data_offsets [{begin}, {end}] {fault}")
        if end > size:
            raise ValueError(
                f"{path}: tensor {name!r}: data_offsets [{begin}, {end}] exceed the {size} bytes of data: truncated?"
            )
        reached = end
    if reached != size:
        raise ValueError(f"{path}: {size - reached} bytes at the end belong to no tensor")


def _view(path, name, data, start, tag, shape, begin, end):
    try:
        raw = np.ndarray(shape, _DTYPES[tag], data, start + begin)
    except (ValueError, OverflowError) as error:  # too many dimensions, or a huge side beside an empty one
        raise ValueError(f"{path}: tensor {name!r}: shape {shape} does not fit NumPy: {error}") from None
    if tag == "BF16":
        return (raw.astype(np.uint32) << 16).view(np.float32)
    return raw != 0 if tag == "BOOL" else raw
