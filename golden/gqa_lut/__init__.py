"""GQA-LUT (DAC 2024): piecewise-linear functions of INT8 codes, the search for their tables, integer operations.

Tables, functions, searches and the integer softmax, LayerNorm and GELU are here. What the hardware gives, and when, is
in `golden.gqa_lut.pwl_unit`, `golden.gqa_lut.softmax_unit` and `golden.gqa_lut.layernorm_unit`.

Examples
--------
GELU of codes in sixteenths, with the table of eight segments that ships:

>>> from bitloom.golden import gqa_lut
>>> gqa_lut.gelu([-128, -16, 0, 16, 32], 4).tolist()
[0, -2, 0, 14, 31]
"""

from .integer_ops import exponentials, gelu, inverse_root, layernorm, reciprocal, softmax
from .pwl import (
    MULTI_RANGES,
    SHIPPED,
    PwlTable,
    accumulate,
    dumps,
    errors,
    evaluate,
    from_breakpoints,
    largest_error,
    load,
    loads,
    mse,
    multi_range,
    shipped,
    widened,
)
from .pwl_functions import FUNCTIONS, Function, expression
from .pwl_search import METHODS, Genetic, genetic, search

__all__ = [
    "FUNCTIONS",
    "METHODS",
    "MULTI_RANGES",
    "SHIPPED",
    "Function",
    "Genetic",
    "PwlTable",
    "accumulate",
    "dumps",
    "errors",
    "evaluate",
    "exponentials",
    "expression",
    "from_breakpoints",
    "gelu",
    "genetic",
    "inverse_root",
    "largest_error",
    "layernorm",
    "load",
    "loads",
    "mse",
    "multi_range",
    "reciprocal",
    "search",
    "shipped",
    "softmax",
    "widened",
]
