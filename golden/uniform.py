"""Plain symmetric integers, one scale step a slice: what every other format is compared with."""

import numpy as np

from . import scale
from .checks import finite

__all__ = ["decode", "encode", "round_trip", "search_scale"]


def encode(x, bits):
    """Round to the nearest integer, ties away from zero, saturating symmetrically.

    Parameters
    ----------
    x : array_like
        Finite real numbers in units of the scale step.
    bits : int
        Bits of a code, 2 to 8; the most negative code is not used.

    Returns
    -------
    ndarray of int8
        Of the shape of `x`.
    """
    return round_trip(finite(x), bits).astype(np.int8)


def decode(codes):
    """Values of the codes, int64."""
    return np.asarray(codes, dtype=np.int64)


def round_trip(x, bits):
    """Encode and decode at once, in floating point."""
    if not 2 <= bits <= 8:
        raise ValueError(f"bits must be 2 to 8, not {bits}")
    top = (1 << (bits - 1)) - 1
    return np.copysign(np.minimum(np.floor(np.abs(x) + 0.5), top), x) + 0.0


def search_scale(x, bits, axis=None):
    """Scale step of least mean squared error; the candidates of `ovp.search_scale`, and the largest magnitude."""
    top = (1 << (bits - 1)) - 1
    return scale.search(
        x,
        top,
        lambda scaled: round_trip(scaled, bits),
        axis,
        try_maximum=True,
        rough=lambda magnitudes: np.minimum(np.rint(magnitudes), top),
    )
