"""The machine: a whole BERT-style encoder in integers, from token ids to an embedding, and the requantizer in it.

`golden.workloads.machine_model` makes one of a float model; the steps of its tensors are those of
`golden.workloads.machine_steps`.

Examples
--------
Sums of two channels become 8-bit codes, each with a bias, a multiplier and a shift of its own:

>>> from bitloom.golden import machine
>>> multiplier, shift = machine.dyadic([1 / 300, 1 / 50])
>>> multiplier.tolist(), shift.tolist()
([55924, 41943], [24, 21])
>>> machine.requantize([[12000, -900], [160, 80000]], [300, 0], multiplier, shift).tolist()
[[41, -18], [2, 127]]
"""

from .encoder import Encoder, Layer
from .pairs import PairRequantizer
from .parts import Linear, Norm, Requantizer
from .requantizer import MULTIPLIERS, SHIFTS, dyadic, requantize

__all__ = [
    "MULTIPLIERS",
    "SHIFTS",
    "Encoder",
    "Layer",
    "Linear",
    "Norm",
    "PairRequantizer",
    "Requantizer",
    "dyadic",
    "requantize",
]
