"""What the benches of the HGQ dequantizer and of the HGQ tile share: operands of reductions of every kind."""

import numpy as np

from ...golden.sevedo import hgq
from .. import reductions

__all__ = ["KINDS", "Draw", "Reduction", "cover"]

#: Kinds of operands: any legal codes; all of one sign and the largest; few that are not zero; coarse groups that take
#: back an earlier one; that take back the one before but for some of its bits, few or many; integers with as many bits
#: that count as there can be; products that lie halfway between two FP32 numbers; quantized numbers with outliers.
KINDS = ("any", "extreme", "zeros", "cancelling", "near", "wide", "ties", "numbers")

_NORMAL = range(0x0400, 0x7C00)  # codes of positive normal FP16 numbers
_ENDS = (0x0400, 0x7BFF)


class Reduction:
    """Operands of one reduction, and its results.

    Attributes
    ----------
    kind : str
    x, w : HgqTensor, shapes (rows, K), (cols, K)
    steps : int
        Fine groups along K.
    results : ndarray of float32, shape (rows, cols)
    """

    def __init__(self, config, kind, x, w):
        self.config, self.kind, self.x, self.w = config, kind, x, w
        self.steps = -(-x.k // config.fine)
        self.results = hgq.matmul(x, w)

    def groups(self, t, rng):
        """Codes, shape (count, steps, fine), shifts and scales' codes, shapes (count, steps), of a tensor.

        Scales that do not count are any.
        """
        count, fine, steps = len(t.codes), self.config.fine, self.steps
        padding = max(steps * fine - t.codes.shape[1], 0)
        codes = np.pad(t.codes, ((0, 0), (0, padding)))[:, : steps * fine].reshape(count, steps, fine)
        shifts = np.zeros((count, steps), np.int64)
        if self.config.shift_width:
            shifts[:] = t.shifts[:, :steps]
        whole = {"hgq": self.config.groups, "flat": 1, "channel": steps}[self.config.scheme]
        group = np.arange(steps) // whole
        ends = np.append(group[1:] != group[:-1], True)
        scales = np.where(ends, t.scales.view(np.uint16)[:, group], rng.integers(0, 1 << 16, (count, steps)))
        return codes, shifts, scales

    def ties(self):
        """Roundings of scaled integers that are halfway, down and up: two numbers."""
        x, w = (_integers(t) for t in (self.x, self.w))
        integers = np.abs(np.einsum("mck,nck->mnc", x, w))
        scales = [(t.scales.view(np.uint16).astype(np.int64) & 1023) + 1024 for t in (self.x, self.w)]
        products = integers * scales[0][:, None] * scales[1][None, :]
        below = np.maximum(np.frexp(products.astype(np.float64))[1] - 24, 0)
        halfway = (below > 0) & (products & ((1 << below) - 1) == (1 << below) >> 1)
        odd = (products >> below) & 1 == 1
        return np.array([(halfway & ~odd).sum(), (halfway & odd).sum()])


def _integers(t):
    """Codes with their shifts, int64, shape (count, coarse groups, coarse)."""
    shifts = np.repeat(t.shifts.astype(np.int64), t.fine, axis=-1)
    return (t.codes.astype(np.int64) << shifts).reshape(len(t.codes), -1, t.coarse)


class Draw(reductions.Draw):
    """Random reductions of fine groups.

    Parameters
    ----------
    config : DequantizerConfig
    rows, cols : int
    rng : numpy.random.Generator
    """

    def __init__(self, config, rows, cols, rng):
        super().__init__(KINDS, config.groups, rng)
        self.config, self.rows, self.cols = config, rows, cols

    def make(self, steps, kind):
        """A reduction of that many fine groups, the last one not always whole."""
        config, rng = self.config, self.rng
        k = steps * config.fine - int(rng.integers(config.fine))
        if kind == "numbers":
            return Reduction(config, kind, *(self._quantized(count, k) for count in (self.rows, self.cols)))
        x, w = (self._codes(kind, count, k) for count in (self.rows, self.cols))
        if kind == "cancelling" and config.scheme != "channel":
            self._cancel(x, w)
        if kind == "near" and config.scheme != "channel":
            self._near(x, w)
        return Reduction(config, kind, x, w)

    def _sizes(self, k):
        """Coarse and fine group of the golden model's tensors."""
        if self.config.scheme == "channel":
            return k, k
        return (self.config.coarse if self.config.scheme == "hgq" else self.config.fine), self.config.fine

    def _quantized(self, count, k):
        x = self.rng.normal(size=(count, k)) * 2.0 ** self.rng.integers(-4, 6, (1, k))
        return hgq.quantize(x.astype(np.float16), *self._sizes(k), shift_bits=self.config.shift_width)

    def _codes(self, kind, count, k):
        rng, (coarse, fine) = self.rng, self._sizes(k)
        groups, top = -(-k // coarse), (1 << self.config.shift_width) - 1
        codes = rng.integers(-7, 8, (count, groups * coarse)).astype(np.int8)
        shifts = rng.integers(0, top + 1, (count, groups * (coarse // fine))).astype(np.uint8)
        scales = rng.integers(_NORMAL[0], _NORMAL[-1] + 1, (count, groups))
        if kind == "extreme":
            codes[:] = 7 * rng.choice([-1, 1], (count, 1))
            shifts[:] = top
            scales = rng.choice(_ENDS, (count, groups))
        elif kind == "zeros":
            codes[rng.random(codes.shape) < 31 / 32] = 0
        elif kind == "cancelling":
            # Large ones, and in every third group much smaller ones.
            scales[:] = 0x6000 | (scales[:, :1] & 0x1BFF)
            scales[:, 1::3] -= rng.integers(4, 13) << 10
        elif kind == "wide":
            # The first fine group is the largest one, and shifted as far as can be; the others not at all.
            codes.reshape(count, groups, -1, fine)[:, :, 0] = 7 * rng.choice([-1, 1], (count, 1, 1))
            shifts[:] = np.where(np.arange(shifts.shape[1]) % (coarse // fine), 0, top)
        elif kind == "ties":
            # Few bits, so that a product often has one more than FP32 holds.
            scales = (scales & 0x7C00) | (rng.integers(0, 32, scales.shape) << rng.integers(0, 6, scales.shape))
        codes[:, k:] = 0
        scales = scales.astype(np.uint16).view(np.float16)
        return hgq.HgqTensor(codes, shifts, scales, k, self.config.shift_width)

    def _cancel(self, x, w):
        """Every third coarse group takes back what was before a small one, of which a few bits are left then."""
        for group in range(2, x.scales.shape[1], 3):
            _take_back(x, w, group, group - 2)

    def _near(self, x, w):
        """Every second coarse group takes back the one before it, but for a code and some of the scales' bits."""
        rng = self.rng
        for group in range(1, x.scales.shape[1], 2):
            _take_back(x, w, group, group - 1)
            code = x.codes[:, group * x.coarse]
            code[:] = np.clip(code + rng.integers(-1, 2, code.shape), -7, 7)
            for t in (x, w):
                scales = t.scales.view(np.uint16)
                change = rng.integers(-1, 2, len(scales)) << rng.integers(0, 10, len(scales))
                scales[:, group] = np.clip(scales[:, group - 1] + change, *_ENDS)


def _take_back(x, w, group, earlier):
    """Make a coarse group's products those of an earlier one with the other sign."""
    whole, parts = x.coarse, x.coarse // x.fine
    here, first = (slice(g * whole, (g + 1) * whole) for g in (group, earlier))
    fine, above = (slice(g * parts, (g + 1) * parts) for g in (group, earlier))
    legal = min(whole, x.k - group * whole)
    x.codes[:, here][:, :legal] = -x.codes[:, first][:, :legal]
    w.codes[:, here][:, :legal] = w.codes[:, first][:, :legal]
    x.shifts[:, fine], w.shifts[:, fine] = x.shifts[:, above], w.shifts[:, above]


def cover(bench, sent):
    """Count the roundings of scaled integers that were sent."""
    ties = sum(reduction.ties() for reduction in sent)
    bench.cover("halfway products, to the even one below and above", (ties > 0).sum(), len(ties))
