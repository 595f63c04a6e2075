"""SAT/BDWP (TCAD 2023): N:M sparse weights, their selection, training step, products and cycles.

The format is here. What the hardware computes of it is in `golden.sat.tile`, its cycles there and in
`golden.sat.selector`; `golden.sat.sparse` has the exact product and the paper's cycles.

Examples
--------
The two largest of every four weights, with their places:

>>> from bitloom.golden import sat
>>> values, indices = sat.select([[3, -7, 1, 5, 0, 2, -2, 1]], 2, 4)
>>> values.tolist(), indices.tolist()
([[[-7, 5], [2, -2]]], [[[1, 3], [1, 2]]])
>>> sat.expand(values, indices, 4).tolist()
[[0, -7, 0, 5, 0, 2, -2, 0]]
"""

from .sparse import (
    WIDTHS,
    BdwpStep,
    bdwp_masks,
    bdwp_step,
    expand,
    group_bits,
    index_bits,
    load,
    merge_groups,
    pack,
    pad,
    save,
    select,
    step_work,
    unpack,
)

__all__ = [
    "WIDTHS",
    "BdwpStep",
    "bdwp_masks",
    "bdwp_step",
    "expand",
    "group_bits",
    "index_bits",
    "load",
    "merge_groups",
    "pack",
    "pad",
    "save",
    "select",
    "step_work",
    "unpack",
]
