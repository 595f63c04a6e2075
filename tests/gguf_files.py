"""Writes GGUF files piece by piece, and quantizes values into their blocks."""

import struct

import numpy as np

#: Struct's letter of each type of value.
VALUES = {
    "u8": (0, "B"),
    "i8": (1, "b"),
    "u16": (2, "H"),
    "i16": (3, "h"),
    "u32": (4, "I"),
    "i32": (5, "i"),
    "f32": (6, "f"),
    "bool": (7, "?"),
    "u64": (10, "Q"),
    "i64": (11, "q"),
    "f64": (12, "d"),
}
TENSORS = {"F32": 0, "F16": 1, "Q4_0": 2, "Q4_1": 3, "Q8_0": 8}


def text(characters):
    data = characters if isinstance(characters, bytes) else characters.encode()
    return struct.pack("<Q", len(data)) + data


def value(kind, content):
    """A value of the metadata with its type; an array's `kind` is that of its elements in brackets."""
    if kind == "string":
        return struct.pack("<I", 8) + text(content)
    if kind == "[string]":
        return struct.pack("<IIQ", 9, 8, len(content)) + b"".join(map(text, content))
    number, letter = VALUES[kind.strip("[]")]
    if kind.startswith("["):
        return struct.pack(f"<IIQ{len(content)}{letter}", 9, number, len(content), *content)
    return struct.pack(f"<I{letter}", number, content)


def tensor(name, shape, kind, offset):
    """The description of a tensor; the axis that lies together comes first in the file."""
    sides = struct.pack(f"<I{len(shape)}Q", len(shape), *reversed(shape))
    return text(name) + sides + struct.pack("<IQ", TENSORS.get(kind, kind), offset)


def build(pairs, tensors, alignment=32, version=3):
    """The bytes of a file.

    `pairs` is a list of (key, type, value), `tensors` one of (name, shape, type, bytes).
    """
    header = b"GGUF" + struct.pack("<IQQ", version, len(tensors), len(pairs))
    header += b"".join(text(key) + value(kind, content) for key, kind, content in pairs)
    data = b""
    for name, shape, kind, content in tensors:
        header += tensor(name, shape, kind, len(data))
        data += padded(content, alignment)
    return padded(header, alignment) + data


def padded(data, alignment):
    return data + b"\0" * (-len(data) % alignment)


def stored(kind, values):
    """The bytes of values as a type stores them, and the values that these bytes stand for, in float64."""
    if kind in ("F32", "F16"):
        exact = np.asarray(values).astype({"F32": "<f4", "F16": "<f2"}[kind])
        return exact.tobytes(), exact.astype(float)
    made = [BLOCKS[kind](block) for block in np.asarray(values, dtype=float).reshape(-1, 32).tolist()]
    return b"".join(data for data, _ in made), np.array([x for _, x in made]).reshape(np.shape(values))


def half(x):
    return struct.unpack("<e", struct.pack("<e", x))[0]


def halves(codes):
    """16 bytes: code i is the low half of byte i, code 16 + i its high half."""
    return bytes(codes[i] | codes[16 + i] << 4 for i in range(16))


def q4_0(block):
    scale = half(max(map(abs, block)) / 7)
    codes = [min(max(round(x / scale) + 8, 0), 15) for x in block]
    return struct.pack("<e", scale) + halves(codes), [scale * (code - 8) for code in codes]


def q4_1(block):
    low = half(min(block))
    scale = half((max(block) - low) / 15)
    codes = [min(max(round((x - low) / scale), 0), 15) for x in block]
    return struct.pack("<ee", scale, low) + halves(codes), [scale * code + low for code in codes]


def q8_0(block):
    scale = half(max(map(abs, block)) / 127)
    codes = [min(max(round(x / scale), -128), 127) for x in block]
    return struct.pack("<e32b", scale, *codes), [scale * code for code in codes]


BLOCKS = {"Q4_0": q4_0, "Q4_1": q4_1, "Q8_0": q8_0}
