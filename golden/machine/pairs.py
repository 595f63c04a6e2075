"""Linear layers in outlier-victim pairs: two codes of 4 bits in a byte (OliVe, ISCA 2023; `golden.olive.ovp`).

In a machine of such a format the weights and the inputs of linear layers are pairs along K; attention has 8 bits. What
is to become a pair is a fixed-point number first. A decoded value is -96 to 96, which an array of 8-bit products takes
as any other code: so pairs are decoded in front of the array, and one array has both formats. All of it is our choice;
the paper decodes in front of its array, too (Figure 8), and has exponents inside.
"""

from dataclasses import dataclass

import numpy as np

from ..olive import ovp
from .parts import WIDE, Requantizer

__all__ = ["FRACTION", "PAIRS", "PairRequantizer", "decoded", "encoded"]

#: The format of the pairs.
PAIRS = ovp.INT4
#: Fraction bits of a fixed-point number, of 16 bits, that becomes half of a pair: it is below 512 in magnitude, where
#: 96 is the largest value that a pair has.
FRACTION = 6


def encoded(fixed):
    """Bytes of the pairs of fixed-point numbers.

    Parameters
    ----------
    fixed : array_like of int, shape (..., K)
        Of 16 bits, with `FRACTION` bits behind the point; K is even.

    Returns
    -------
    ndarray of int64, shape (..., K / 2)
        -128 to 127, as the memories hold them; the even number's code is the lower half.
    """
    codes = ovp.encode(np.ldexp(np.asarray(fixed, np.float64), -FRACTION), PAIRS)
    return codes.view(np.int8).astype(np.int64)


def decoded(octets):
    """Values, -96 to 96, of the bytes of pairs: int64, shape (..., K), of (..., K / 2)."""
    return ovp.values(np.asarray(octets).astype(np.int8).view(np.uint8), PAIRS)


@dataclass(frozen=True, eq=False)
class PairRequantizer(Requantizer):
    """A requantizer to fixed point and the encoder of pairs behind it; call it on sums, for the values of the pairs.

    Pairs lie along the last axis.
    """

    bits: int = WIDE

    def __call__(self, sums, residual=None):
        """Values, -96 to 96."""
        return decoded(encoded(super().__call__(sums, residual)))
