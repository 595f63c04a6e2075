"""The requantizer: 32-bit sums times a 16-bit multiplier, shifted, rounded half up, saturated.

A multiplier and a shift stand for the real number ``multiplier * 2**-shift``, the dyadic scale of Jacob et al. 2018
(arXiv 1712.05877, section 2.2): a channel has its multiplier, a tensor its shift. One shift for the whole tensor costs
nothing: what a multiplier is off by, half a unit, is as small beside the largest channel's.
"""

from dataclasses import dataclass

import numpy as np

from ..gqa_lut import pwl

__all__ = ["MULTIPLIER_BITS", "SHIFTS", "SUM_BITS", "Requantizer", "requantize"]

#: Bits of a sum and of a multiplier, both signed.
SUM_BITS, MULTIPLIER_BITS = 32, 16
#: The shifts that there are; the longest product has 47 bits.
SHIFTS = range(48)

_LARGEST = (1 << (MULTIPLIER_BITS - 1)) - 1


def requantize(sums, multipliers, shift, bits=8):
    """``(sums * multipliers + 2**(shift - 1)) >> shift``, saturated to signed codes.

    Parameters
    ----------
    sums : array_like of int, shape (..., N)
        Signed, of 32 bits.
    multipliers : array_like of int, shape (N,) or ()
        Signed, of 16 bits.
    shift : int
        0 to 47; 0 rounds nothing.
    bits : int
        Of a result, 2 to 16.

    Returns
    -------
    ndarray of int64, shape (..., N)
        ``-2**(bits - 1)`` to ``2**(bits - 1) - 1``.

    Raises
    ------
    ValueError, TypeError
        For numbers out of range, and for such as are no integers.
    """
    sums, multipliers = _signed("sums", sums, SUM_BITS), _signed("multipliers", multipliers, MULTIPLIER_BITS)
    if shift not in SHIFTS:
        raise ValueError(f"shift must be 0 to {SHIFTS[-1]}, not {shift!r}")
    if bits not in range(2, 17):
        raise ValueError(f"bits must be 2 to 16, not {bits!r}")
    top = 1 << (bits - 1)
    return np.clip(pwl.round_shift(sums * multipliers, shift), -top, top - 1)


@dataclass(frozen=True, eq=False)
class Requantizer:
    """A requantizer with its numbers; call it on sums.

    Parameters
    ----------
    multipliers : ndarray of int64, shape (N,) or ()
    shift, bits : int
        As of `requantize`.
    """

    multipliers: np.ndarray
    shift: int
    bits: int = 8

    @classmethod
    def of(cls, ratios, bits=8):
        """The requantizer that multiplies by real numbers.

        Parameters
        ----------
        ratios : array_like of float, shape (N,) or ()
            Finite; the shift is the largest at which the largest magnitude has a multiplier.
        bits : int

        Raises
        ------
        ValueError
            For a magnitude beyond 32767, and for numbers that are not finite.
        """
        ratios = np.asarray(ratios, np.float64)
        largest = float(np.abs(ratios).max(initial=0))
        if not largest <= _LARGEST:
            raise ValueError(f"ratios must be finite and within {_LARGEST}, the largest magnitude is {largest:.6g}")
        shift = next(shift for shift in reversed(SHIFTS) if _rounded(largest, shift) <= _LARGEST)
        return cls(_rounded(ratios, shift).astype(np.int64), shift, bits)

    @property
    def ratios(self):
        """The real numbers that it multiplies by, float64."""
        return np.ldexp(self.multipliers.astype(np.float64), -self.shift)

    def __call__(self, sums):
        """Codes, as `requantize` gives."""
        return requantize(sums, self.multipliers, self.shift, self.bits)


def _rounded(ratios, shift):
    return np.floor(np.ldexp(ratios, shift) + 0.5)


def _signed(name, values, bits):
    values = np.asarray(values)
    if values.dtype.kind not in "iu":
        raise TypeError(f"{name} must be integers, not {values.dtype}")
    top = 1 << (bits - 1)
    if values.size and not -top <= int(values.min()) <= int(values.max()) < top:
        raise ValueError(f"{name} must be {-top} to {top - 1}, they are {values.min()} to {values.max()}")
    return values.astype(np.int64)
