"""Operands of the MX tile's reductions, of every kind, and what of their sums was seen."""

import numpy as np

from ...golden import mx
from ...golden.mx.formats import E4M3, E8M0_BIAS
from ...golden.mx.product import flush
from .. import reductions

__all__ = ["FAR", "KINDS", "Draw", "Reduction", "cover"]

#: Kinds of operands: any codes with scales near each other; all of one sign and the largest; few that are not zero;
#: blocks that take back an earlier one; that take back the one before but for an element; sums of pieces, of which the
#: highest ones are taken back, and to which half of their last bit is added, or a little more or less; sums that lie
#: halfway between two FP32 numbers; scales that are NaN; quantized numbers.
KINDS = ("any", "extreme", "zeros", "cancelling", "near", "pieces", "ties", "nan", "numbers")
#: Kinds of formats whose scales reach beyond FP32: terms and sums around the least normal number, and around the
#: largest one, drawn and made.
FAR = ("small", "least", "large", "most")

#: Terms of the kinds that are made: significand and exponent.
_TERMS = {
    # With 2**12 + 2**-11 before it 2**-12 is halfway and rounds up, and after that down.
    "ties": ((1, 12), (1, -11), (1, -12), (1, -12)),
    # A sum that is less, and a term.
    "least": ((1.5, -126), (-1, -126), (1, -127)),
    # A sum that is more, and a term of the other sign.
    "most": ((1, 127), (1, 127), (-1, 254)),
}

_LEAST = 2.0**-126
#: Exponents of two scales together, and of one, that all formats have.
_TOP, _LOWEST = 14, -9


class Reduction:
    """Operands of one reduction, and its results.

    Attributes
    ----------
    kind : str
    x, w : MxTensor, shapes (rows, K), (cols, K)
    steps : int
        Transfers along K.
    results : ndarray of float32, shape (rows, cols)
    """

    def __init__(self, config, kind, x, w):
        self.config, self.kind, self.x, self.w = config, kind, x, w
        self.steps = -(-x.k // config.lanes)
        self.results = mx.matmul(x, w)

    def groups(self, t, rng):
        """Codes, shape (count, steps, lanes), and scales, shape (count, steps), of a tensor.

        Scales that do not count are any, and so is the sign that E4M3 scales do not have.
        """
        count, lanes, steps = len(t.codes), self.config.lanes, self.steps
        codes = t.codes[:, : steps * lanes].reshape(count, steps, lanes)
        group = np.arange(steps) // self.config.steps
        ends = np.append(group[1:] != group[:-1], True)
        sign = rng.integers(0, 2, (count, steps)) << 7 if t.format.two_level else 0
        scales = np.where(ends, t.scales[:, group] | sign, rng.integers(0, 256, (count, steps)))
        return codes, scales

    def events(self):
        """How often sums and terms were of each kind, by name, as `cover` counts them."""
        x, w = (_numbers(t) for t in (self.x, self.w))
        scales = [np.ldexp(1.0, t.scales.astype(int) - E8M0_BIAS) for t in (self.x, self.w)]
        if self.x.format.two_level:
            scales = [E4M3.magnitudes[t.scales] for t in (self.x, self.w)]
        total = np.zeros((len(x), len(w)), np.float32)
        seen = dict.fromkeys((*_TIES, *_RANGE), 0)
        with np.errstate(over="ignore", invalid="ignore"):
            for block in range(x.shape[1]):
                exact = (x[:, block] @ w[:, block].T) * scales[0][:, block, None] * scales[1][None, :, block]
                # Larger than all that is finite in FP32; NaN is counted as such by the results.
                term = flush(exact.astype(np.float32))
                both = total.astype(float) + term
                after = both.astype(np.float32)
                low, high = _halfway(total, term, both)
                seen["halfway sums, to the even one below"] += low
                seen["halfway sums, to the even one above"] += high
                seen["terms below the normal numbers"] += ((exact != 0) & (term == 0)).sum()
                seen["sums below the normal numbers"] += ((both != 0) & (np.abs(both) < _LEAST)).sum()
                finite = np.isfinite(total) & np.isfinite(term)
                seen["terms beyond FP32"] += np.isinf(term).sum()
                seen["sums beyond FP32"] += (finite & np.isinf(after)).sum()
                seen["infinity less infinity"] += (np.isinf(total) & np.isinf(term) & np.isnan(after)).sum()
                total = flush(after)
        return seen


#: What must be seen of every format, and of those whose scales reach that far.
_TIES = ("halfway sums, to the even one below", "halfway sums, to the even one above")
_RANGE = (
    "terms below the normal numbers",
    "sums below the normal numbers",
    "terms beyond FP32",
    "sums beyond FP32",
    "infinity less infinity",
)


def _numbers(t):
    """Elements, float64, shape (count, blocks, block)."""
    values = np.ldexp(t.format.element.integers.astype(float), -t.format.element.fraction_bits)
    return values[t.codes].reshape(len(t.codes), -1, t.format.block)


def _halfway(a, b, both):
    """How many sums of finite FP32 numbers are halfway between two, and round down, and up, in magnitude."""
    finite = np.isfinite(both) & (both != 0)
    exact = finite & (both - a == b) & (both - b == a)
    rounded = both.astype(np.float32)
    error = np.where(exact, rounded.astype(float) - both, 0)
    half = np.spacing(np.abs(np.where(finite, both, 1)).astype(np.float32), dtype=np.float32).astype(float) / 2
    # Just above a power of two the numbers below it are nearer; no sum rounds there from below and is halfway.
    tie = exact & (np.abs(error) == half)
    down = np.abs(rounded) < np.abs(both)
    return (tie & down).sum(), (tie & ~down).sum()


class Draw(reductions.Draw):
    """Random reductions of parts of blocks.

    Parameters
    ----------
    config : MxTileConfig
    rng : numpy.random.Generator
    """

    def __init__(self, config, rng):
        super().__init__(KINDS if config.fmt.two_level else (*KINDS, *FAR), config.steps, rng)
        self.often = {"pieces": 30}
        self.config, self.fmt = config, config.fmt

    def make(self, steps, kind):
        """A reduction of that many transfers, the last one not always whole."""
        config, rng = self.config, self.rng
        k = steps * config.lanes - int(rng.integers(config.lanes))
        counts = config.rows, config.cols
        if kind == "numbers":
            return Reduction(config, kind, *(self._quantized(count, k) for count in counts))
        blocks = -(-k // self.fmt.block)
        codes = [self._codes(kind, count, blocks) for count in counts]
        scales = self._scales(kind, counts, blocks)
        if kind == "cancelling":
            for block in range(2, blocks, 3):
                self._take_back(codes, scales, block, block - 2)
        elif kind == "near":
            for block in range(1, blocks, 2):
                self._take_back(codes, scales, block, block - 1)
                codes[0][:, block, 0] ^= rng.integers(0, 2, counts[0]).astype(np.uint8)
        elif kind == "pieces":
            self._pieces(codes, scales)
        elif kind in _TERMS:
            self._make_terms(codes, scales, _TERMS[kind])
        return Reduction(config, kind, *(self._tensor(*side, k) for side in zip(codes, scales, strict=True)))

    def _tensor(self, codes, scales, k):
        codes = codes.reshape(len(codes), -1)
        codes[:, k:] = 0
        one = np.float32(1) if self.fmt.two_level else None
        return mx.MxTensor(self.fmt, codes, scales.astype(np.uint8), k, one)

    def _quantized(self, count, k):
        x = self.rng.normal(size=(count, k)) * 2.0 ** self.rng.integers(-4, 6, (1, k))
        t = mx.quantize(x, self.fmt)
        return self._tensor(t.codes.reshape(*t.scales.shape, -1), t.scales, k)

    def _codes(self, kind, count, blocks):
        """Codes, shape (count, blocks, block)."""
        rng, element = self.rng, self.fmt.element
        shape = count, blocks, self.fmt.block
        codes = rng.integers(0, 1 << element.bits, shape).astype(np.uint8)
        if kind == "extreme":
            ends = np.flatnonzero(np.abs(element.integers) == np.abs(element.integers).max())
            both = [ends[0], ends[-1]] if element.exponent_bits else [0x80, 0x7F]
            codes[:] = rng.choice(np.array(both, np.uint8), (count, 1, 1))
        elif kind in ("zeros", "ties"):
            codes[rng.random(shape) < 31 / 32] = 0
        return codes

    def _scales(self, kind, counts, blocks):
        """Codes of scales of both sides, shapes (count, blocks)."""
        rng, top = self.rng, self.fmt.nan_scale
        shapes = [(count, blocks) for count in counts]
        if self.fmt.two_level:
            scales = [rng.integers(0, top, shape) for shape in shapes]
        else:
            scales = [E8M0_BIAS + rng.integers(-5, 6, shape) for shape in shapes]
        if kind == "extreme":
            scales = [rng.choice([0, 1, top // 2, top - 2, top - 1], shape) for shape in shapes]
        elif kind in FAR:
            # The sum of both codes from which on an integer's lowest bit, or its highest one, has FP32's least or
            # largest exponent; a few below and above.
            spread = self.config.integer_shape.width + 2
            middle = 2 * E8M0_BIAS + 2 * self.fmt.element.fraction_bits + (-126 if kind in ("small", "least") else 128)
            total = middle - rng.integers(-2, spread, (1, blocks))
            share = np.clip(total // 2 + rng.integers(-3, 4, (1, blocks)), total - 254, 254)
            scales = [np.tile(part, (count, 1)) for part, count in zip((share, total - share), counts, strict=True)]
        elif kind == "nan":
            scales = [np.where(rng.random(part.shape) < 1 / 8, top, part) for part in scales]
        return scales

    def _take_back(self, codes, scales, block, earlier):
        """Make a block's products those of an earlier one with the other sign."""
        (x, w), element = codes, self.fmt.element
        if element.exponent_bits:
            x[:, block] = x[:, earlier] ^ (1 << element.bits - 1)
        else:
            x[:, block] = -np.where(x[:, earlier] == 0x80, 0x81, x[:, earlier]).astype(np.uint8)
        w[:, block] = w[:, earlier]
        for side in scales:
            side[:, block] = side[:, earlier]

    def _pieces(self, codes, scales):
        """Of five blocks each three of falling weight, the first or nearly it taken back, and half of a last bit.

        The first block of the next five is a little above what is left, so that the sum loses some of its bits. Weights
        are those of the first row and column.
        """
        rng, (x, w), element = self.rng, codes, self.fmt.element
        # A power of two squared, and the least product: about a sixty-fourth of that.
        power, least = int(2.0**element.emax), 2.0**-element.fraction_bits
        x[:, :, 2:] = 0
        total, top, fall = 0.0, _TOP, 0
        for block in range(x.shape[1]):
            place, leading = block % 5, int(np.frexp(total)[1])
            if place == 3:
                self._take_back(codes, scales, block, block - 3)
                x[:, block, 1] ^= rng.integers(0, 2, len(x)).astype(np.uint8)
            elif place == 4:
                x[:, block, 0], w[:, block, 0] = self._code_of(power * rng.choice([-1, 1])), self._code_of(power)
                x[:, block, 1] = rng.choice([0, self._code_of(least), self._code_of(-least)], len(x))
                w[:, block, 1] = self._code_of(least)
            product = self._product(codes, block)
            if place == 0:
                fall = int(rng.integers(4, 17))
                if total:
                    top = min(leading + int(rng.integers(0, 8)) - int(np.frexp(product)[1]), _TOP)
            exponent = (top, top - fall, top - 2 * fall, top, leading - 25 - 2 * element.emax)[place]
            exponent = max(exponent, 2 * _LOWEST)
            for side, half in zip(scales, (exponent // 2, -(-exponent // 2)), strict=True):
                side[:, block] = self._scale_of(half)
            total += product * 2.0**exponent

    def _product(self, codes, block):
        """The sum of the products of a block of the first row and column, without scales."""
        element = self.fmt.element
        x, w = (np.ldexp(element.integers[side[0, block]].astype(float), -element.fraction_bits) for side in codes)
        return float(x @ w)

    def _make_terms(self, codes, scales, terms):
        """The first blocks: one product each, of which the term is known; all of the other sign in every second one."""
        flip = self.rng.choice([-1, 1])
        for block, (significand, exponent) in enumerate(terms[: codes[0].shape[1]]):
            for side, element, half in zip(
                (0, 1), (1, significand * flip), (exponent // 2, -(-exponent // 2)), strict=True
            ):
                codes[side][:, block] = 0
                codes[side][:, block, 0] = self._code_of(element)
                scales[side][:, block] = self._scale_of(half)

    def _code_of(self, value):
        """Code of an element."""
        element = self.fmt.element
        return int(np.flatnonzero(element.integers == value * 2**element.fraction_bits)[0])

    def _scale_of(self, exponent):
        """Code of the scale 2**exponent."""
        if not self.fmt.two_level:
            return E8M0_BIAS + exponent
        return int(np.flatnonzero(E4M3.magnitudes == 2.0**exponent)[0])


def cover(bench, sent):
    """Count the kinds of sums and terms that were sent."""
    seen = [reduction.events() for reduction in sent]
    names = _TIES if bench.config.fmt.two_level else (*_TIES, *_RANGE)
    bench.cover("kinds of sums", sum(any(events[name] for events in seen) for name in names), len(names))
