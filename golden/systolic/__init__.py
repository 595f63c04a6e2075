"""Systolic tiles: operand formats, the exact product, and how products of any shape are cut.

Formats, the product and its jobs are here. What a tile's streams carry is in `golden.systolic.tiling`, what those of
the core gemm carry in `golden.systolic.gemm`; `golden.systolic.tile` and `golden.systolic.gemm` each have their cycles.

Examples
--------
A sum that leaves the accumulator's range wraps, and is told:

>>> import bitloom
>>> from bitloom.golden import systolic
>>> config = bitloom.core("systolic-tile", rows=2, cols=2, accumulator=16).config
>>> product, overflow = systolic.matmul([[100, 100, 100]], [[100, 127, 127], [1, -1, 1]], config)
>>> product.tolist(), overflow.tolist()
([[-30136, 100]], [[True, False]])
"""

from .gemm import Job, Model, Outcome, jobs
from .tile import DATAFLOWS, FORMATS, Operand, check_formats, matmul, max_k
from .tiling import check_k, panels, steps

__all__ = [
    "DATAFLOWS",
    "FORMATS",
    "Job",
    "Model",
    "Operand",
    "Outcome",
    "check_formats",
    "check_k",
    "jobs",
    "matmul",
    "max_k",
    "panels",
    "steps",
]
