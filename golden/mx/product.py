"""The matrix product of two quantized tensors, as the hardware computes it."""

import math

import numpy as np

from .formats import E4M3, E8M0_BIAS

__all__ = ["NAN", "flush", "matmul"]

#: The NaN of every result that is none: the canonical one.
NAN = np.uint32(0x7FC00000).view(np.float32)
_SMALLEST = np.finfo(np.float32).tiny
_LARGEST = 2.0**127
# Rows at once: their sums stay in the cache.
_ROWS = 128


def matmul(x, w):
    """Matrix product in FP32.

    For each block, ascending: the sum of the products of elements, exact, times both scales, is rounded to FP32 and
    added to the result, which starts at +0 and is rounded to FP32 again. Ties go to even; what is below 2**-126 in
    magnitude, after rounding, is +0. Beyond FP32's range is infinity. The sum of NVFP4 is multiplied once, at the end,
    with the product of both tensors' scales, which is rounded to FP32 first. A result with a block that is NaN on
    either side is NaN, 0x7FC00000. (FP32 sums: MX v1.0, 6.2; the order, small numbers and infinity: our choice.)

    Parameters
    ----------
    x : MxTensor, shape (..., K)
        Activations.
    w : MxTensor, shape (N, K)
        Weights, in the same format.

    Returns
    -------
    ndarray of float32, shape (..., N)
        Never -0.

    Raises
    ------
    ValueError
        When the two do not fit together.
    """
    if x.format != w.format or x.k != w.k or w.codes.ndim != 2:
        given = f"{x.format.name} with K = {x.k} and {w.format.name} with K = {w.k}, weights of {w.codes.ndim} axes"
        raise ValueError(f"format and K of activations and of 2-axis weights must agree, not {given}")
    fmt, rows, blocks = x.format, math.prod(x.codes.shape[:-1]), x.scales.shape[-1]
    left, right = (_scaled(t) for t in (x, w))
    exact = _exact_in_float32(fmt, blocks, (left[1], right[1]))
    kind = np.float32 if exact else np.float64
    left, right = (np.ascontiguousarray(values.swapaxes(0, 1), kind) for values, _ in (left, right))
    result = np.zeros((rows, right.shape[1]), np.float32)
    with np.errstate(over="ignore", invalid="ignore"):
        for start in range(0, rows, _ROWS):
            part = result[start : start + _ROWS]
            for block in range(blocks):
                term = left[block, start : start + _ROWS] @ right[block].T
                if exact:
                    part += term
                else:
                    part[...] = flush(part + flush(term.astype(np.float32)))
        if fmt.two_level:
            result = flush(result * flush(np.float32(x.tensor_scale) * np.float32(w.tensor_scale)))
    nan = x.nan.reshape(rows, -1).any(axis=1)[:, None] | w.nan.any(axis=1)
    result[nan | np.isnan(result)] = NAN
    return result.reshape(*x.codes.shape[:-1], right.shape[1])


def flush(x):
    """+0 for float32 numbers below the normal ones."""
    return np.where(np.abs(x) < _SMALLEST, np.float32(0), x)


def _scaled(t):
    """Elements times their scales, float64, shape (rows, blocks, block), and the scales in units of `integers`.

    Both are exact, and so are the sums of a block's products, in whatever order: those of a row and a column have one
    unit, of which they are integers below 2**53. The scale of a block of zeros, and of one that is NaN, counts as 1.
    """
    element = t.format.element
    integers = element.integers.astype(np.float64)[t.codes].reshape(-1, t.scales.shape[-1], t.format.block)
    if t.format.two_level:
        scales = E4M3.magnitudes[np.minimum(t.scales, E4M3.largest_code)]
    else:
        scales = np.ldexp(1.0, np.minimum(t.scales, 254).astype(np.int32) - E8M0_BIAS)
    scales = np.ldexp(scales, -element.fraction_bits).reshape(integers.shape[:2])
    scales = np.where(integers.any(axis=-1) & ~t.nan.reshape(scales.shape), scales, 1.0)
    return integers * scales[:, :, None], scales


def _exact_in_float32(fmt, blocks, sides):
    """Whether float32 holds what is summed, and rounds nothing but what FP32 sums round.

    So it is where the sums of a block's products have at most 24 bits, and no number that is not 0 can be below
    2**-126, or beyond the range.
    """
    element = largest = int(np.abs(fmt.element.integers).max())
    units = [side.min(initial=1.0) for side in sides]
    if fmt.two_level:
        # A scale is an integer of four bits times a power of two, no smaller than the smallest scale.
        largest, units = 15 * element, [np.ldexp(E4M3.magnitudes[1], -fmt.element.fraction_bits)] * 2
    tops = [side.max(initial=1.0) * element for side in sides]
    numbers = *units, math.prod(units), *tops, math.prod(tops) * fmt.block * blocks
    return fmt.block * largest**2 <= 1 << 24 and all(_SMALLEST <= number <= _LARGEST for number in numbers)
