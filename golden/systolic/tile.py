"""The systolic tile: the operand formats it takes, the exact matrix product, and the number of cycles it needs.

Activations and weights both have one row per result index and run along K: `a` is (M, K), `w` is (N, K), as a linear
layer stores its weights, and the product is (M, N). A plain format takes integers; an outlier-victim-pair format
(OliVe, ISCA 2023, Section 4) takes the packed bytes of `ovp.encode`, pairs along K: derived. The accumulator wraps, and
a flag tells for each result whether a running sum left its range: our choice, the paper fixes only the 32 bits.
"""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from .. import exact
from ..olive import ovp

__all__ = [
    "DATAFLOWS",
    "FORMATS",
    "PIPELINES",
    "Operand",
    "check_formats",
    "cycles",
    "latency",
    "matmul",
    "max_k",
    "term_bits",
    "term_latency",
]

#: What stays in the array: the results, or the weights.
DATAFLOWS = ("output-stationary", "weight-stationary")

#: What a blocked output does to the array: it holds all registers, or none, as there is room for what is inside.
PIPELINES = ("auto", "stalling", "free-running")


@dataclass(frozen=True)
class Operand:
    """Format of one operand of the tile.

    Parameters
    ----------
    name : str
        Name on the command line.
    bits : int
        Bits of one code.
    pairs : OvpFormat or None
        Outlier-victim-pair format; None: two's complement integers.
    """

    name: str
    bits: int
    pairs: ovp.OvpFormat | None = None

    @property
    def steps(self):
        """Steps along K that one transfer holds: 2 for packed pairs, else 1."""
        return 2 if self.pairs else 1

    @property
    def lane_bits(self):
        """Bits of one row's or column's part of a transfer."""
        return self.steps * self.bits

    @property
    def extremes(self):
        """Smallest and largest value of any code, the illegal ones included."""
        if not self.pairs:
            return self.limits
        values = [integers << exponents for exponents, integers in (self.pairs.normal_table, self.pairs.outlier_table)]
        return int(np.min(values)), int(np.max(values))

    @property
    def limits(self):
        """Smallest and largest value of a legal code."""
        if self.pairs:
            top = int(self.pairs.outlier_magnitudes[-1])
            return -top, top
        return -(1 << (self.bits - 1)), (1 << (self.bits - 1)) - 1

    def values(self, codes):
        """Values of codes, int64: the codes themselves, or two values a pair, every byte being defined.

        Raises
        ------
        ValueError
            For codes of another type or out of range.
        """
        codes = np.asarray(codes)
        if self.pairs:
            return ovp.values(codes, self.pairs)
        low, high = self.limits
        if not np.issubdtype(codes.dtype, np.integer):
            raise ValueError(f"{self.name} takes integers, not {codes.dtype}")
        if codes.size and not (low <= codes.min() and codes.max() <= high):
            bad = codes[(codes < low) | (codes > high)].flat[0]
            raise ValueError(f"{self.name} takes integers from {low} to {high}, not {bad}")
        return codes.astype(np.int64)


#: Operand formats by name.
FORMATS = {
    operand.name: operand
    for operand in (
        Operand("int8", 8),
        Operand("int4", 4),
        *(Operand(f"ovp-{fmt.name}", fmt.bits, fmt) for fmt in (ovp.INT4, ovp.FLINT4, ovp.INT8)),
    )
}

#: What takes codes of 8 bits with and without sign: for the machine's array, and in no tile of the catalogue.
_INT9 = Operand("int9", 9)
_OPERANDS = FORMATS | {_INT9.name: _INT9}


def check_formats(a_format, w_format):
    """Both operands' formats.

    Plain integers go with plain integers, pairs with pairs of the same width (OliVe, Section 4.5: one width a product).

    Raises
    ------
    ValueError
        For an unknown format or a pair of formats that is not defined.
    """
    for name in (a_format, w_format):
        if name not in _OPERANDS:
            raise ValueError(f"format must be one of {', '.join(FORMATS)}, not {name!r}")
    a, w = _OPERANDS[a_format], _OPERANDS[w_format]
    if bool(a.pairs) != bool(w.pairs) or (a.pairs and a.bits != w.bits):
        legal = [
            o.name for o in FORMATS.values() if bool(o.pairs) == bool(a.pairs) and (not a.pairs or o.bits == a.bits)
        ]
        raise ValueError(f"w_format must be one of {', '.join(legal)} for a_format {a_format}, not {w_format!r}")
    return a, w


def term_bits(config, legal=True):
    """Bits of a two's complement number that holds every product, of legal operands or of any."""
    low, high = _product_limits(config, legal)
    return max(high, -low - 1).bit_length() + 1


def term_latency(config):
    """Cycles from operands to their product: registers for operands and product, for the shift, for a sum of four.

    Free-running, one more, behind the product.
    """
    a, _ = check_formats(config.a_format, config.w_format)
    return (2 if not a.pairs else 3 if a.bits == 4 else 4) + config.free_running


def max_k(config):
    """Largest K for which no accumulator can leave its range, whatever the legal operands.

    Parameters
    ----------
    config
        `a_format`, `w_format`, and `accumulator`, the accumulator's width in bits.

    Notes
    -----
    At most one of a pair is an outlier, so the worst pair of steps is one product of two outliers.
    """
    a, _ = check_formats(config.a_format, config.w_format)
    low, high = _product_limits(config)
    limit = 1 << (config.accumulator - 1)
    return a.steps * min((limit - 1) // high, limit // -low)


def matmul(a, w, config):
    """Exact matrix product of the tile.

    Parameters
    ----------
    a : array_like, shape (M, K), or (M, bytes) for packed pairs
        Activations.
    w : array_like, shape (N, K), or (N, bytes) for packed pairs
        Weights.
    config
        `a_format`, `w_format`, and `accumulator`, the accumulator's width in bits.

    Returns
    -------
    product : ndarray of int64, shape (M, N)
        Sums of products, modulo 2**accumulator, in two's complement.
    overflow : ndarray of bool, shape (M, N)
        Whether a running sum, k ascending, left the accumulator's range. Each product wraps first; that changes
        nothing for legal codes, whose products fit.

    Raises
    ------
    ValueError
        If the operands differ in K, or their codes are out of range.
    """
    a_operand, w_operand = check_formats(config.a_format, config.w_format)
    a, w = a_operand.values(a), w_operand.values(w)
    if a.ndim != 2 or w.ndim != 2 or a.shape[1] != w.shape[1]:
        raise ValueError(f"operands must have shapes (M, K) and (N, K), not {a.shape} and {w.shape}")
    width = config.accumulator
    return exact.wrap(exact.product(a, w), width), exact.overflows(a, w, width, wrapped=True)


def latency(config):
    """Cycles, without stalls, from a reduction's last input transfer to its first result's `valid`.

    Registers on the way: the packed pairs and the second value of the last one (2, none for plain integers), the
    operands (1), the term (`term_latency`), the accumulator, the drain and the output (1 each); each further row or
    column of blocks adds one. Free-running, one more in the output's queue.

    Weight-stationary: from a transfer of activations in a reduction's last block to their result's `valid`. The
    packed pairs (1, none for plain integers), the operands (1), the term, a sum for each row, the output (1); each
    further column of blocks adds one.
    """
    a, _ = check_formats(config.a_format, config.w_format)
    if config.dataflow == "weight-stationary":
        return (1 if a.pairs else 0) + term_latency(config) + config.rows + _blocks(config.cols, config) + 1
    ends = (2 if a.pairs else 0) + 2 + config.free_running
    return ends + term_latency(config) + _blocks(config.rows, config) + _blocks(config.cols, config)


def cycles(config, m, k, n):
    """Cycles from the first input transfer to the last result, both included, without stalls.

    The tiles of an (M, K) x (K, N) product go through back to back. Output-stationary, a reduction shorter than the
    array has rows waits for the results before it to drain. Weight-stationary, a tile has all M rows, or at most
    `partials` of them where K is larger than `rows`; a block of its reduction takes as long as its weights, its rows
    and, but for the first block, the way of a partial sum, `rows + 2`, whichever is longest.

    Parameters
    ----------
    config
        `dataflow`, `free_running`, `rows`, `cols`, `block`, `partials`, `a_format`, `w_format`.
    m, k, n : int
        Shape, each 1 or more; N, and output-stationary M, are padded to whole tiles, K to whole pairs.
    """
    for name, value in (("m", m), ("k", k), ("n", n)):
        if value < 1:
            raise ValueError(f"{name} must be 1 or more, not {value}")
    a, _ = check_formats(config.a_format, config.w_format)
    transfers = -(-k // a.steps)
    if config.dataflow == "weight-stationary":
        return _weight_stationary_cycles(config, m, transfers * a.steps, -(-n // config.cols))
    tiles = -(-m // config.rows) * -(-n // config.cols)
    period = max(transfers * a.steps, config.rows)
    last_transfer = (transfers - 1) * a.steps + (tiles - 1) * period
    return last_transfer + latency(config) + config.rows


def _weight_stationary_cycles(config, m, steps, tiles):
    """`cycles` of tiles of all M rows each; `steps` along K."""
    whole = m if steps <= config.rows else config.partials
    # Rows of results, steps of the reduction, and whether it comes to partial sums, for each block.
    blocks = [
        (min(whole, m - row), min(config.rows, steps - step), step > 0)
        for row in range(0, m, whole)
        for step in range(0, steps, config.rows)
    ] * tiles
    first = blocks[0][1]
    last = blocks[-1][0] - 1
    # From one block's first activations to the next one's.
    periods = [
        max(before, here, config.rows + 2 if resumes else 0) for (before, _, _), (_, here, resumes) in pairwise(blocks)
    ]
    return first + sum(periods) + last + latency(config) + 1


def _blocks(lanes, config):
    return -(-lanes // config.block)


def _product_limits(config, legal=True):
    a, w = (o.limits if legal else o.extremes for o in check_formats(config.a_format, config.w_format))
    products = [x * y for x in a for y in w]
    return min(products), max(products)
