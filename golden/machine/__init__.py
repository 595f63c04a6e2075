"""The machine: what stands between the cores when a whole encoder runs in integers.

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

from .requantizer import MULTIPLIERS, SHIFTS, dyadic, requantize

__all__ = ["MULTIPLIERS", "SHIFTS", "dyadic", "requantize"]
