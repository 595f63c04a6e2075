"""What an integer encoder is made of: requantizer, linear layer, LayerNorm with its channels' scales, softmax, GELU.

Codes are signed integers. Where a tensor has a scale s, a code stands for ``code * 2**-s``. `entries`, 8 or 16, are
those of the shipped tables of exp, 1/x, 1/sqrt(x) and GELU.
"""

import functools
from dataclasses import dataclass

import numpy as np

from .. import exact
from ..gqa_lut import integer_ops, pwl
from .requantizer import dyadic, requantize

__all__ = [
    "GELU_SCALES",
    "UNITS",
    "WIDE",
    "Linear",
    "Norm",
    "Requantizer",
    "gelu",
    "gelu_table",
    "layernorm",
    "saturated",
    "softmax",
]

#: Bits of the residuals and of GELU's codes.
WIDE = 16
#: Scales of GELU's codes: from that of the shipped table to one that has codes of -8 to 8, all breakpoints among them.
GELU_SCALES = range(5, 13)

_RECIPROCAL_SCALE, _ROOT_SCALE = 7, 6
_BIAS_BITS = 30
_TOP = 1 << (WIDE - 1)


@dataclass(frozen=True, eq=False)
class Requantizer:
    """A requantizer with its table; call it on sums.

    Parameters
    ----------
    bias, multiplier, shift : ndarray of int64, shape (N,) or ()
        As of `requantize`.
    bits : int
        Of the codes.
    """

    bias: np.ndarray
    multiplier: np.ndarray
    shift: np.ndarray
    bits: int = 8

    @classmethod
    def of(cls, scale, offset=0.0, bits=8):
        """The requantizer that gives ``sums * scale + offset``.

        The bias is added in front of the scale, and so is the offset over the scale. A scale so small that no bias
        would fit, which moves no code by more than two (a full 16-bit deviation of LayerNorm) or much less, is replaced
        by the smallest that does: ``2**(bits - 30)``.

        Parameters
        ----------
        scale : array_like of float, shape (N,) or ()
            0 to below 255.99.
        offset : array_like of float, shape (N,) or ()
            In output codes; what no code has becomes the nearest that one has.
        bits : int

        Raises
        ------
        ValueError
            As `dyadic`.
        """
        scale, least = np.asarray(scale, np.float64), 2.0 ** (bits - _BIAS_BITS)
        multiplier, shift = dyadic(np.where((scale >= 0) & (scale < least), least, scale))
        top = 1 << (bits - 1)
        bias = np.floor(np.clip(offset, -top, top) / np.ldexp(multiplier.astype(np.float64), -shift) + 0.5)
        return cls(bias.astype(np.int64), multiplier, shift, bits)

    @property
    def scale(self):
        """What it multiplies by, float64."""
        return np.ldexp(self.multiplier.astype(np.float64), -self.shift)

    def __call__(self, sums, residual=None):
        """Codes, as `requantize` gives."""
        return requantize(sums, self.bias, self.multiplier, self.shift, self.bits, residual=residual)


@dataclass(frozen=True, eq=False)
class Linear:
    """A linear layer and the requantizer behind it, which has its bias; call it on activations.

    Parameters
    ----------
    weights : ndarray of int8, shape (N, K)
        -127 to 127.
    requantizer : Requantizer
    """

    weights: np.ndarray
    requantizer: Requantizer

    def sums(self, x):
        """32-bit sums, (T, N), of activations -128 to 127, (T, K)."""
        return exact.product(x, self.weights)

    def __call__(self, x, residual=None):
        """Codes, (T, N); `residual` as of `requantize`."""
        return self.requantizer(self.sums(x), residual)


@dataclass(frozen=True, eq=False)
class Norm:
    """LayerNorm of 16-bit codes with scale and shift of channels; call it on rows.

    The unit's output has 16 bits and the largest scale at which the root of the row's length has a code, as no element
    is farther from the mean, in standard deviations. Then the requantizer takes it as of a linear layer with one weight
    a channel, which is the channel's sign.

    Parameters
    ----------
    epsilon : int
        As of `integer_ops.layernorm`.
    signs : ndarray of int64, shape (H,)
        1, or -1 where gamma is negative: multipliers have no sign.
    requantizer : Requantizer
        To 16 bits.
    """

    epsilon: int
    signs: np.ndarray
    requantizer: Requantizer

    @staticmethod
    def scale(length):
        """Scale of the unit's output: the largest at which sqrt(length) has a 16-bit code."""
        return next(s for s in reversed(range(WIDE)) if length << 2 * s < _TOP * _TOP)

    def __call__(self, x, entries, unit=None):
        """Codes of 16 bits, (T, H), of codes of 16 bits; `unit` takes the place of `layernorm`."""
        return self.requantizer(self.signs * (unit or layernorm)(x, self.epsilon, entries))


def layernorm(q, epsilon, entries):
    """LayerNorm over the last axis without scale and shift of channels, as `integer_ops.layernorm`.

    Parameters
    ----------
    q : array_like of int, shape (..., H)
        Of 16 bits.
    epsilon : int
    entries : int

    Returns
    -------
    ndarray of int64
        Of 16 bits, at the scale `Norm.scale` of H.
    """
    table = pwl.shipped(f"rsqrt-normalized-{entries}")[_ROOT_SCALE]
    bits = {"input_bits": WIDE, "output_bits": WIDE}
    return integer_ops.layernorm(q, Norm.scale(np.shape(q)[-1]), epsilon=epsilon, table=table, **bits)


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
    first = GELU_SCALES[0]
    return pwl.widened(pwl.shipped(f"gelu-{entries}")[first], first, s)


#: What the integer units do, by name: of codes, of their scale (of LayerNorm: epsilon), and of entries.
UNITS = {"softmax": softmax, "gelu": gelu, "layernorm": layernorm}


def saturated(x):
    """`x` within 16 bits."""
    return np.clip(x, -_TOP, _TOP - 1)
