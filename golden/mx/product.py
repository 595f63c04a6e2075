"""The matrix product of two quantized tensors, as the hardware computes it."""

import math

import numpy as np

from .formats import E4M3, E8M0_BIAS

__all__ = ["NAN", "flush", "matmul"]

#: The NaN of every result that is none: the canonical one.
NAN = np.uint32(0x7FC00000).view(np.float32)
_SMALLEST = np.finfo(np.float32).tiny


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
    fmt, rows = x.format, math.prod(x.codes.shape[:-1])
    left, right = (_integers(t) for t in (x, w))
    left_scales, right_scales = (_scales(t) for t in (x, w))
    result = np.zeros((rows, len(right)), np.float32)
    with np.errstate(over="ignore", invalid="ignore"):
        for block in range(left.shape[1]):
            # Integers below 2**53, in whatever order; scales' products have 8 bits at most.
            term = left[:, block] @ right[:, block].T
            term *= left_scales[:, block, None] * right_scales[None, :, block]
            result = flush(result + flush(term.astype(np.float32)))
        if fmt.two_level:
            result = flush(result * flush(np.float32(x.tensor_scale) * np.float32(w.tensor_scale)))
    nan = x.nan.reshape(rows, -1).any(axis=1)[:, None] | w.nan.any(axis=1)
    result[nan | np.isnan(result)] = NAN
    return result.reshape(*x.codes.shape[:-1], len(right))


def flush(x):
    """+0 for float32 numbers below the normal ones."""
    return np.where(np.abs(x) < _SMALLEST, np.float32(0), x)


def _integers(t):
    """Elements as exact integers in float64, shape (rows, blocks, block)."""
    element = t.format.element
    integers = element.integers.astype(np.float64)
    return integers[t.codes].reshape(-1, t.scales.shape[-1], t.format.block)


def _scales(t):
    """Scales in units of an integer of `_integers`, shape (rows, blocks), exact."""
    if t.format.two_level:
        scales = E4M3.magnitudes[np.minimum(t.scales, E4M3.largest_code)]
    else:
        scales = np.ldexp(1.0, np.minimum(t.scales, 254).astype(np.int32) - E8M0_BIAS)
    return np.ldexp(scales, -t.format.element.fraction_bits).reshape(-1, t.scales.shape[-1])
