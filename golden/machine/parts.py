"""What an integer encoder is made of: linear layer, LayerNorm with its channels' scales, softmax, GELU of 16-bit codes.

Codes are signed integers. Where a tensor has a scale s, a code stands for ``code * 2**-s``. `entries`, 8 or 16, are
those of the shipped tables of exp, 1/x, 1/sqrt(x) and GELU.
"""

import functools
from dataclasses import dataclass

import numpy as np

from .. import exact
from ..gqa_lut import integer_ops, pwl
from .requantizer import Requantizer

__all__ = ["GELU_SCALES", "WIDE", "Linear", "Norm", "gelu", "gelu_table", "saturated", "softmax"]

#: Bits of the residuals and of GELU's codes.
WIDE = 16
#: Scales of GELU's codes: from that of the shipped table to one that has codes of -8 to 8, all breakpoints among them.
GELU_SCALES = range(5, 13)

_RECIPROCAL_SCALE, _ROOT_SCALE = 7, 6
_TOP = 1 << (WIDE - 1)


@dataclass(frozen=True, eq=False)
class Linear:
    """A linear layer and the requantizer behind it; call it on activations.

    Parameters
    ----------
    weights : ndarray of int8, shape (N, K)
        -127 to 127.
    bias : ndarray of int64, shape (N,)
        In units of the sums; a sum with its bias has 32 bits.
    requantizer : Requantizer
    """

    weights: np.ndarray
    bias: np.ndarray
    requantizer: Requantizer

    def sums(self, x):
        """32-bit sums, (T, N), of activations -128 to 127, (T, K)."""
        return exact.product(x, self.weights) + self.bias

    def __call__(self, x):
        """Codes, (T, N)."""
        return self.requantizer(self.sums(x))


@dataclass(frozen=True, eq=False)
class Norm:
    """LayerNorm of 16-bit codes with scale and shift of channels; call it on rows.

    The unit's output has 16 bits and the largest scale at which the root of the row's length has a code, as no element
    is farther from the mean, in standard deviations. Then the requantizer takes it, the bias added: ``(y + bias) *
    multiplier``, as of a linear layer with one weight a channel.

    Parameters
    ----------
    epsilon : int
        As of `integer_ops.layernorm`.
    bias : ndarray of int64, shape (H,)
    requantizer : Requantizer
        To 16 bits.
    """

    epsilon: int
    bias: np.ndarray
    requantizer: Requantizer

    @staticmethod
    def scale(length):
        """Scale of the unit's output: the largest at which sqrt(length) has a 16-bit code."""
        return next(s for s in reversed(range(WIDE)) if length << 2 * s < _TOP * _TOP)

    def __call__(self, x, entries):
        """Codes of 16 bits, (T, H), of codes of 16 bits."""
        table, scale = pwl.shipped(f"rsqrt-normalized-{entries}")[_ROOT_SCALE], self.scale(x.shape[-1])
        bits = {"input_bits": WIDE, "output_bits": WIDE}
        return self.requantizer(integer_ops.layernorm(x, scale, epsilon=self.epsilon, table=table, **bits) + self.bias)


def softmax(q, s, entries):
    """Softmax over the last axis, as `integer_ops.softmax`, 8 bits without sign in units of 2**-8."""
    exponentials, reciprocals = (pwl.shipped(f"{name}-{entries}") for name in ("exp", "div-normalized"))
    return integer_ops.softmax(q, s, table=exponentials[s], reciprocals=reciprocals[_RECIPROCAL_SCALE])


def gelu(q, s, entries):
    """GELU of 16-bit codes, one scale for both sides.

    Parameters
    ----------
    q : array_like of int
        -32768 to 32767.
    s : int
        5 to 12.
    entries : int

    Returns
    -------
    ndarray of int64
        -32768 to 32767.

    Raises
    ------
    ValueError, TypeError
    """
    table = gelu_table(s, entries)
    return pwl.evaluate(q, table, s, table.fraction_bits, -_TOP, _TOP - 1)


@functools.cache
def gelu_table(s, entries):
    """The shipped table of GELU at the scale 2**-5, its breakpoints moved to the codes of another scale.

    Slopes and intercepts do not depend on the scale (GQA-LUT, section 2 as summarized), and so stay 8-bit numbers.

    Parameters
    ----------
    s : int
        5 to 12.
    entries : int

    Returns
    -------
    PwlTable
        Of width 16.

    Raises
    ------
    ValueError
    """
    if s not in GELU_SCALES:
        raise ValueError(f"the scale of GELU must be {GELU_SCALES[0]} to {GELU_SCALES[-1]}, not {s!r}")
    table = pwl.shipped(f"gelu-{entries}")[GELU_SCALES[0]]
    # A threshold is the last code before a breakpoint.
    thresholds = [((threshold + 1) << (s - GELU_SCALES[0])) - 1 for threshold in table.thresholds]
    return pwl.PwlTable(thresholds, table.slopes, table.intercepts, table.fraction_bits, width=WIDE)


def saturated(x):
    """`x` within 16 bits."""
    return np.clip(x, -_TOP, _TOP - 1)
