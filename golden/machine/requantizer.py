"""Sums of products to codes of the next layer: a bias, a dyadic scale for each channel, rounding, saturation.

A scale is ``multiplier * 2**-shift`` with a multiplier of 16 bits, so that no division is left (dyadic scales as of
I-BERT and of GQA-LUT). Widths, the range of shifts, ties and the residual sum are our choice.
"""

import numpy as np

from ..checks import integer

__all__ = ["LATENCY", "MULTIPLIERS", "SHIFTS", "cycles", "dyadic", "requantize"]

#: Multipliers, without sign.
MULTIPLIERS = range(1 << 16)
#: Shifts: from scales of nearly 256 down to one that takes 32-bit sums to 8-bit codes with all 16 bits of a multiplier.
SHIFTS = range(8, 40)
#: Cycles of the requantizer: memory, entry, bias, products, sum of them, shift, rounding, output.
LATENCY = 8

_SUMS = range(-(1 << 31), 1 << 31)
_RESIDUALS = range(-(1 << 15), 1 << 15)


def requantize(sums, bias, multiplier, shift, bits=8, *, residual=None):
    """``(sums + bias) * multiplier * 2**-shift``, rounded half up, plus a residual code, saturated once.

    All arrays broadcast; channels are usually the last axis.

    Parameters
    ----------
    sums : array_like of int
        Of 32 bits with sign.
    bias : array_like of int
        The same, in units of the sums; their sum is exact.
    multiplier : array_like of int
        0 to 65535.
    shift : array_like of int
        8 to 39.
    bits : int
        Of the codes, 8 to 16.
    residual : array_like of int, optional
        Codes of 16 bits with sign, in units of the output, that are added before the saturation.

    Returns
    -------
    ndarray of int64
        ``-2**(bits - 1)`` to ``2**(bits - 1) - 1``.

    Raises
    ------
    TypeError
        For an array of anything but integers, naming it.
    ValueError
        For a number out of range, naming what it is.
    """
    bits = integer("bits", bits, 8, 16)
    sums, bias = _within("sums", sums, _SUMS), _within("bias", bias, _SUMS)
    multiplier, shift = _within("multiplier", multiplier, MULTIPLIERS), _within("shift", shift, SHIFTS)
    # Below 2**49 in magnitude.
    scaled = ((sums + bias) * multiplier + (np.int64(1) << (shift - 1))) >> shift
    if residual is not None:
        scaled = scaled + _within("residual", residual, _RESIDUALS)
    return np.clip(scaled, -1 << (bits - 1), (1 << (bits - 1)) - 1)


def dyadic(scale):
    """Multiplier and shift of a scale: the nearest that there are, with a multiplier of 16 bits where that can be.

    Parameters
    ----------
    scale : array_like of float
        0 to below 255.99; of less than 2**-24, the multiplier has fewer bits.

    Returns
    -------
    multiplier, shift : ndarray of int64

    Raises
    ------
    ValueError
        For a scale out of range.
    """
    scale = np.asarray(scale, np.float64)
    most = MULTIPLIERS[-1] / (1 << SHIFTS[0])
    # Also of NaN.
    wrong = ~((scale >= 0) & (scale <= most))
    if wrong.any():
        raise ValueError(f"a scale must be 0 to {most:.6g}, not {scale[wrong].flat[0]:.6g}")
    # A scale is below 2**exponent, and not below half of that.
    exponent = np.frexp(scale)[1]
    shift = np.clip(16 - exponent, SHIFTS[0], SHIFTS[-1]).astype(np.int64)
    multiplier = np.rint(np.ldexp(scale, shift)).astype(np.int64)
    # 2**16 itself is one half more often: the next power of two has it.
    carried = multiplier > MULTIPLIERS[-1]
    return np.where(carried, multiplier >> 1, multiplier), shift - carried


def cycles(tables, works):
    """Cycles from the first entry to the last output, both included, of streams that never stall.

    Parameters
    ----------
    tables : sequence of int
        Entries of each table.
    works : sequence of int
        Transfers of sums of each piece of work, that with the table of the same place.

    Returns
    -------
    int
    """
    loaded, ended, time = 0, [], 0
    for index, (entries, transfers) in enumerate(zip(tables, works, strict=True)):
        # A table goes where the one before the last was, once its work is done.
        loaded = max(loaded, ended[index - 2] if index > 1 else 0) + entries
        time = max(time, loaded) + transfers
        ended.append(time)
    return time + LATENCY


def _within(name, values, allowed):
    values = np.asarray(values)
    if values.dtype.kind not in "iu":
        raise TypeError(f"{name} must be integers, not {values.dtype}")
    if values.size and not (values.min() >= allowed[0] and values.max() <= allowed[-1]):
        raise ValueError(f"{name} must be {allowed[0]} to {allowed[-1]}, they are {values.min()} to {values.max()}")
    return values.astype(np.int64)
