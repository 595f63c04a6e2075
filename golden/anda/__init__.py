"""Anda (HPCA 2025): groups of FP16 activations with one exponent, stored as bit planes; their products and cycles.

Formats and products are here; how long the compressor, the decompressor and the buffer take is in `golden.anda.cycles`,
the tile's cycles and the dot products of its baselines in `golden.anda.tile`.

Examples
--------
Sixteen values share the exponent of the largest; with 5 bits of mantissa all of these are exact.

>>> import numpy as np
>>> from bitloom.golden import anda
>>> x = np.linspace(-2, 1.75, 16, dtype=np.float16)
>>> tensor = anda.encode(x, 5, group=16)
>>> anda.decode(tensor).tolist()[:4]
[-2.0, -1.75, -1.5, -1.25]
>>> float(anda.compression_ratio(5))
2.632390745501285
"""

from .planes import (
    CONVERSIONS,
    GROUP,
    MAX_MANTISSA,
    ROUNDINGS,
    WEIGHT_GROUP,
    AndaTensor,
    compression_ratio,
    decode,
    encode,
    encoded_matmul,
    group_dot,
    matmul,
    pack,
    to_float16,
    unpack,
)
from .tile import fp16_matmul

__all__ = [
    "CONVERSIONS",
    "GROUP",
    "MAX_MANTISSA",
    "ROUNDINGS",
    "WEIGHT_GROUP",
    "AndaTensor",
    "compression_ratio",
    "decode",
    "encode",
    "encoded_matmul",
    "fp16_matmul",
    "group_dot",
    "matmul",
    "pack",
    "to_float16",
    "unpack",
]
