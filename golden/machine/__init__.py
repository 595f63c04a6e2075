"""The machine: a whole BERT-style encoder in integers, from token ids to an embedding.

`golden.workloads.machine_model` makes one of a float model; the steps of its tensors are those of
`golden.workloads.machine_steps`.

Examples
--------
A requantizer that multiplies by 0.3, and by -0.01:

>>> from bitloom.golden import machine
>>> requantizer = machine.Requantizer.of([0.3, -0.01])
>>> requantizer.multipliers.tolist(), requantizer.shift
([19661, -655], 16)
>>> requantizer([[100, 100], [5, 50], [1000, -1000]]).tolist()
[[30, -1], [2, 0], [127, 10]]
"""

from .encoder import Encoder, Layer
from .parts import Linear, Norm
from .requantizer import Requantizer, requantize

__all__ = ["Encoder", "Layer", "Linear", "Norm", "Requantizer", "requantize"]
