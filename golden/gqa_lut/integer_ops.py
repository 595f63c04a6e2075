"""Softmax, LayerNorm and GELU in integers only, with the table unit of GQA-LUT (DAC 2024) inside.

Codes are INT8; LayerNorm takes and gives up to 16 bits.

The compositions are our choice: the paper gives the unit, not what surrounds it. Rounding is half up
(`pwl.round_shift`), saturation comes once, after it. Divisions are left to two tables whose input is normalized by a
leading-one detector: 1/x on 1 to 2, and 1/sqrt(x) on 1 to 4.

Codes are integers; a scale ``s`` says that a code stands for ``code * 2**-s``.
"""

import numpy as np

from ..checks import integer
from . import pwl
from .fine_root import CODE_BITS, ROOT_FRACTION, fine_root

__all__ = ["exponentials", "gelu", "inverse_root", "layernorm", "reciprocal", "softmax"]

_LOW, _HIGH = -128, 127
_EXPONENTIAL_BITS = 8
_RECIPROCAL_SCALE, _ROOT_SCALE = 7, 6


def gelu(q, s, out_scale=None, table=None):
    """GELU, or any other function of one number whose table is given: one pass through the unit.

    Parameters
    ----------
    q : array_like of int
        -128 to 127.
    s : int
        Scale of the input, 0 to 7.
    out_scale : int, optional
        Scale of the output, 0 to 15; that of the input by default.
    table : PwlTable, optional
        For scale `s`; the shipped one of GELU with 8 entries by default.

    Returns
    -------
    ndarray of int64
        -128 to 127.

    Raises
    ------
    ValueError, TypeError
    """
    s = _scale(s)
    out_scale = s if out_scale is None else out_scale
    if not 0 <= out_scale <= 15:
        raise ValueError(f"out_scale must be 0 to 15, not {out_scale}")
    table = pwl.shipped("gelu-8")[s] if table is None else table
    return pwl.evaluate(_codes(q), table, s, table.fraction_bits + s - out_scale, _LOW, _HIGH)


def softmax(q, s, out_bits=8, *, mask=None, table=None, reciprocals=None):
    """Softmax over the last axis.

    Parameters
    ----------
    q : array_like of int, shape (..., L)
        Logits, -128 to 127; L is 1 to 2**20.
    s : int
        Scale of the logits, 0 to 7.
    out_bits : int
        Fraction bits of the result, 1 to 15. Of 8, a row of 1024 equal logits becomes 0: long rows want more.
    mask : array_like of bool, optional
        Of a shape that broadcasts to that of `q`. True keeps a logit, False takes it out, as the bit `mask` of
        `cores.gqa_lut.softmax_unit` and the attention mask of `transformer.Encoder`. A row without any True gives
        zeros.
    table : PwlTable, optional
        exp(-u) at scale `s`, as of `exponentials`.
    reciprocals : PwlTable, optional
        As of `reciprocal`.

    Returns
    -------
    ndarray of int64, shape (..., L)
        0 to ``2**out_bits - 1``, in units of ``2**-out_bits``.

    Raises
    ------
    ValueError, TypeError
    """
    if not 1 <= out_bits <= 15:
        raise ValueError(f"out_bits must be 1 to 15, not {out_bits}")
    e = exponentials(q, s, mask=mask, table=table)
    r, n, fraction = reciprocal(e.sum(axis=-1, keepdims=True), reciprocals)
    return np.minimum(pwl.round_shift(e * r, fraction + n - out_bits), (1 << out_bits) - 1)


def exponentials(q, s, *, mask=None, table=None):
    """The first pass of `softmax`: e to the distance from the row's maximum.

    Parameters
    ----------
    q, s, mask
        As of `softmax`; logits that are taken out do not count for the maximum either.
    table : PwlTable, optional
        Of exp, for codes 0 to 255 that stand for their negatives; the shipped one with 8 entries by default.

    Returns
    -------
    ndarray of int64, of the shape of `q`
        0 to 255, in units of 1/256; 0 where `mask` is False. The maximum itself is 255: 256 saturates.
    """
    q, s = _row(q, "softmax"), _scale(s)
    table = pwl.shipped("exp-8")[s] if table is None else table
    mask = np.broadcast_to(True if mask is None else np.asarray(mask, bool), q.shape)
    top = np.where(mask, q, _LOW).max(axis=-1, keepdims=True)
    distance = np.where(mask, top - q, 0)
    e = pwl.evaluate(distance, table, s, table.fraction_bits + s - _EXPONENTIAL_BITS, 0, 255)
    return np.where(mask, e, 0)


def reciprocal(d, table=None):
    """2**n / d, where n is the position of d's leading one.

    Parameters
    ----------
    d : array_like of int
        0 or more. Of 0, the result is that of 1, which is the largest there is.
    table : PwlTable, optional
        1/x for the codes 128 to 255 at the scale 2**-7; the shipped ``div-normalized-8`` by default.

    Returns
    -------
    r, n : ndarray of int64
        ``r * 2**-(fraction + n)`` is about 1/d.
    fraction : int
        Fraction bits of r: those of the table, and 7.
    """
    table = pwl.shipped("div-normalized-8")[_RECIPROCAL_SCALE] if table is None else table
    d = np.maximum(np.asarray(d, np.int64), 1)
    n = pwl.floor_log2(d)
    r = pwl.accumulate(_shift_right(d, n - _RECIPROCAL_SCALE), table, _RECIPROCAL_SCALE)
    return r, n, table.fraction_bits + _RECIPROCAL_SCALE


def layernorm(q, out_shift=5, *, epsilon=1, table=None, input_bits=8, output_bits=8, fine=False):
    """Distance from the mean over the standard deviation, over the last axis; without scale and shift of channels.

    The scale of the input does not matter, so none is given. Nothing is divided by C: with s1 the sum and s2 the sum of
    squares of a row, ``(C q - s1) / sqrt(C s2 - s1**2)`` is the same.

    Parameters
    ----------
    q : array_like of int, shape (..., C)
        Of `input_bits` bits; C is 1 to 2**20, of more than 12 bits to ``2**(32 - input_bits)``.
    out_shift : int
        Scale of the output, 0 to ``output_bits - 1``; in 8 bits, 5 covers four standard deviations.
    epsilon : int
        Added to ``C s2 - s1**2``, 1 to 2**32: C**2 times what LayerNorm calls epsilon, in input codes.
    table : PwlTable, optional
        As of `inverse_root`.
    input_bits, output_bits : int
        Of codes, 8 to 16. Mean and variance are exact.
    fine : bool
        As of `inverse_root`. Without it a row may be too large or too small by 0.9 %.

    Returns
    -------
    ndarray of int64, shape (..., C)
        Of `output_bits` bits, in units of ``2**-out_shift``. 0 in a constant row.

    Raises
    ------
    ValueError, TypeError
    """
    input_bits, output_bits = integer("input_bits", input_bits, 8, 16), integer("output_bits", output_bits, 8, 16)
    if not 0 <= out_shift < output_bits:
        raise ValueError(f"out_shift must be 0 to {output_bits - 1}, not {out_shift}")
    if not 1 <= epsilon <= 1 << 32:
        raise ValueError(f"epsilon must be 1 to 2**32, not {epsilon}")
    q = _row(q, "layernorm", input_bits)
    count = q.shape[-1]
    total = q.sum(axis=-1, keepdims=True)
    spread = count * np.square(q).sum(axis=-1, keepdims=True) - total**2 + epsilon
    r, m, fraction = inverse_root(spread, table, fine=fine)
    low, high = _limits(output_bits)
    return np.clip(pwl.round_shift((count * q - total) * r, fraction + m - out_shift), low, high)


def inverse_root(v, table=None, *, fine=False):
    """2**m / sqrt(v), where m is half the position of v's leading one, rounded down.

    Parameters
    ----------
    v : array_like of int
        0 or more. Of 0, the result is that of 1, which is the largest there is.
    table : PwlTable, optional
        1/sqrt(x) for the codes 64 to 255 at the scale 2**-6; the shipped ``rsqrt-normalized-8`` by default.
    fine : bool
        `golden.gqa_lut.fine_root` of 16 bits in place of a table: errors are below 0.0022 % in place of 0.9 %.

    Returns
    -------
    r, m : ndarray of int64
        ``r * 2**-(fraction + m)`` is about 1/sqrt(v).
    fraction : int
        Fraction bits of r: those of the table, and 6; 16 if `fine`.

    Raises
    ------
    ValueError
        For a table that would not be used.
    """
    if fine and table is not None:
        raise ValueError("table must be None where the root is fine")
    v = np.maximum(np.asarray(v, np.int64), 1)
    m = pwl.floor_log2(v) >> 1
    if fine:
        return fine_root(_shift_right(v, 2 * m - (CODE_BITS - 2))), m, ROOT_FRACTION
    table = pwl.shipped("rsqrt-normalized-8")[_ROOT_SCALE] if table is None else table
    r = pwl.accumulate(_shift_right(v, 2 * m - _ROOT_SCALE), table, _ROOT_SCALE)
    return r, m, table.fraction_bits + _ROOT_SCALE


def _shift_right(values, bits):
    """Cut, where `bits` is positive; else shift left."""
    return values >> np.maximum(bits, 0) << np.maximum(-bits, 0)


def _limits(bits):
    """Least and largest code."""
    return -1 << (bits - 1), (1 << (bits - 1)) - 1


def _codes(q, bits=8):
    q, (low, high) = np.asarray(q), _limits(bits)
    if q.dtype.kind not in "iu":
        raise TypeError(f"codes must be integers, not {q.dtype}")
    if q.size and not low <= int(q.min()) <= int(q.max()) <= high:
        raise ValueError(f"codes must be {low} to {high}, they are {q.min()} to {q.max()}")
    return q.astype(np.int64)


def _row(q, name, bits=8):
    q, longest = _codes(q, bits), min(20, 32 - bits)
    if q.ndim == 0 or not 1 <= q.shape[-1] <= 1 << longest:
        raise ValueError(f"{name} needs rows of 1 to 2**{longest} codes, not the shape {q.shape}")
    return q


def _scale(s):
    if s not in range(8):
        raise ValueError(f"the scale s must be 0 to 7, not {s!r}")
    return int(s)
