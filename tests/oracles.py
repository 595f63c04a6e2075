"""Oracles and stimuli that more than one test file uses; they know nothing of the models."""

from fractions import Fraction

import numpy as np


def nearest(value, precision, least):
    """`value` rounded to `precision` significant bits, no finer than ``2**least``; ties to even."""
    if value == 0:
        return value
    top = abs(value).numerator.bit_length() - abs(value).denominator.bit_length()
    top -= abs(value) < Fraction(2) ** top
    unit = Fraction(2) ** max(top - precision + 1, least)
    return round(value / unit) * unit


def float16(value):
    """`value` rounded to FP16 of any exponent above the subnormal ones."""
    return nearest(value, 11, -24)


def float32(value):
    """`value` rounded to FP32 of any exponent above the subnormal ones."""
    return nearest(value, 24, -149)


def codes(rng, operand, lanes, k):
    """Random codes of a `golden.systolic.tile.Operand`, the illegal ones included."""
    if operand.pairs:
        return rng.integers(0, 256, (lanes, -(-k // 2) * operand.bits // 4), dtype=np.uint8)
    low, high = operand.limits
    return rng.integers(low, high + 1, (lanes, k))
