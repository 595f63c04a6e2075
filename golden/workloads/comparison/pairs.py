"""Outlier-victim pairs in groups with FP16 scales: how good OliVe's pairs are with them, accuracy alone."""

from dataclasses import dataclass

import numpy as np

from ...checks import named, within
from ...olive import ovp
from ...sevedo import hgq
from .scheme import Scheme

__all__ = ["GroupedPairs", "PairScheme"]

_SMALLEST = float(np.finfo(np.float16).smallest_subnormal)


@dataclass(frozen=True, eq=False)
class GroupedPairs:
    """An operand.

    Attributes
    ----------
    codes : ndarray of uint8, shape (rows, groups, bytes of a group)
        K is padded to whole groups with zeros.
    scales : ndarray of float16, shape (rows, groups)
    shape : (int, int)
        Rows and K.
    """

    codes: np.ndarray
    scales: np.ndarray
    shape: tuple


class PairScheme(Scheme):
    """Pairs of both operands along K, and a scale for each `group` of values; no core here takes them.

    The scale is that of the candidate of `ovp.search_scale` with the least error of the group, rounded to FP16; for
    activations, too, which a core would have to search while it runs (our choice: what groups can give, not what they
    cost).

    Parameters
    ----------
    fmt : OvpFormat
    group : int, >= 2 and even
    """

    def __init__(self, fmt, group):
        self.fmt, self.group = fmt, group
        self.weight_bits = self.activation_bits = fmt.bits + 16 / group

    def weights(self, weight, seen, kind):
        return self.encode(weight, None)

    def operand(self, b, step):
        return self.encode(b, None)

    def encode(self, x, step):
        with named("activations or weights in groups"):
            within(x, 0, hgq.LARGEST_HALF)
        groups = np.pad(x, ((0, 0), (0, -x.shape[1] % self.group))).reshape(-1, self.group)
        steps = np.clip(ovp.search_scale(groups, self.fmt, 0), _SMALLEST, hgq.LARGEST_HALF).astype(np.float16)
        codes = ovp.encode(groups / steps[:, None].astype(np.float64), self.fmt)
        count = len(groups) // len(x)
        return GroupedPairs(codes.reshape(len(x), count, -1), steps.reshape(len(x), count), x.shape)

    def product(self, a, w):
        # Each factor has a float32, and so their sums are rounded in float64 and once more at the end.
        return (self._numbers(a) @ self._numbers(w).T).astype(np.float32)

    def restore(self, raw, a, w):
        return raw

    def shape(self, w):
        return w.shape

    def code_values(self, w):
        return ovp.values(w.codes, self.fmt).reshape(len(w.codes), -1)[:, : w.shape[1]]

    def _numbers(self, t):
        return (ovp.values(t.codes, self.fmt) * t.scales[..., None].astype(np.float64)).reshape(len(t.codes), -1)
