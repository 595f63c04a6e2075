"""SeVeDo (2025): Hierarchical Group Quantization (HGQ), the low-rank path, and the layers that merge both.

``quantize``, ``dequantize``, ``matmul``, ``pack`` and ``unpack`` are those of HGQ; ``linear`` is a whole layer, which
`golden.sevedo.decompose` makes of a weight matrix. Cycles are in `golden.sevedo.core`, `golden.sevedo.hgq_tile` and
`golden.sevedo.lvc_cycles`.

Examples
--------
Two fine groups of four under one scale: the first is narrow, and has steps of an eighth.

>>> import numpy as np
>>> from bitloom.golden import sevedo
>>> x = np.array([0.5, -0.25, 0.75, 1, 7, -3, 2, 5], np.float16)
>>> tensor = sevedo.quantize(x, coarse=8, fine=4)
>>> tensor.codes.tolist(), tensor.shifts.tolist(), tensor.scales.tolist()
([4, -2, 6, 7, 7, -3, 2, 5], [0, 3], [1.0])
>>> sevedo.dequantize(tensor).tolist()
[0.5, -0.25, 0.75, 0.875, 7.0, -3.0, 2.0, 5.0]
"""

from .decompose import Split, split, tables
from .hgq import COARSE, FINE, HgqTensor, dequantize, flat, matmul, pack, per_channel, quantize, unpack
from .layer import SevedoLayer, arrange, content_hash, linear, load, residual, take, to_bytes, to_half
from .lvc import LowRank, product, project, quantize_input

__all__ = [
    "COARSE",
    "FINE",
    "HgqTensor",
    "LowRank",
    "SevedoLayer",
    "Split",
    "arrange",
    "content_hash",
    "dequantize",
    "flat",
    "linear",
    "load",
    "matmul",
    "pack",
    "per_channel",
    "product",
    "project",
    "quantize",
    "quantize_input",
    "residual",
    "split",
    "tables",
    "take",
    "to_bytes",
    "to_half",
    "unpack",
]
