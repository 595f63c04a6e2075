"""OliVe (ISCA 2023): outlier-victim pairs, the number formats, encoder, decoder and exact product.

The names below are those of `golden.olive.ovp`, as ``olive.encode``.

Examples
--------
Figure 1 of the paper: the second pair's outlier is kept, and its neighbour, the victim, given up.

>>> from bitloom.golden import olive
>>> codes = olive.encode([1.5, 2.6, -5.2, -98, 17.6, 4.2], olive.INT4)
>>> [hex(code) for code in codes]
['0x32', '0xf8', '0x82']
>>> olive.values(codes, olive.INT4).tolist()
[2, 3, 0, -96, 16, 0]
"""

from .ovp import (
    FLINT4,
    FORMATS,
    INT4,
    INT8,
    OvpFormat,
    decode,
    encode,
    illegal,
    kinds,
    matmul,
    round_trip,
    search_scale,
    statistics,
    values,
)

__all__ = [
    "FLINT4",
    "FORMATS",
    "INT4",
    "INT8",
    "OvpFormat",
    "decode",
    "encode",
    "illegal",
    "kinds",
    "matmul",
    "round_trip",
    "search_scale",
    "statistics",
    "values",
]
