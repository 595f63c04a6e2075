"""The Anda tile's cycles, and the arithmetic of the baseline that it is compared with.

What the tile computes is `golden.anda.planes.matmul`: with processing elements `anda` for any mantissa, with `figna`,
which have whole mantissas of 13 bits, for that one. `fp16` is the path of a GPU: weights are dequantized to FP16,
products and sums are FP32.
"""

import numpy as np

from .planes import WEIGHT_GROUP

__all__ = [
    "ALIGNED",
    "CONVERT",
    "DEQUANTIZE",
    "FP16_PRODUCT",
    "PES",
    "ROUND",
    "SCALE",
    "SIGNS",
    "SUMMED",
    "cycles",
    "dequantize",
    "dot_bits",
    "fp16_matmul",
    "group_cycles",
    "interval",
    "latency",
    "period",
    "products",
    "spacing",
]

#: Arithmetic of the processing elements: bit-serial; bit-parallel on aligned mantissas; floating point.
PES = ("anda", "figna", "fp16")
#: Where a group's signs are: in front of its planes, or beside the first one.
SIGNS = ("inline", "beside")
#: Bits of an aligned mantissa (FIGNA: 14 with the sign).
ALIGNED = 13

#: Cycles of an integer dot product: operands; parts of counts, or products; counts, or parts; their sum; accumulator.
SUMMED = 5
#: Cycles from a dot product to a floating-point number, of the multiplication by a scale, of the rounding of a result.
CONVERT, SCALE, ROUND = 3, 4, 3
#: Cycles of a weight's dequantization, of an exact product of two FP16 numbers.
DEQUANTIZE, FP16_PRODUCT = 8, 4

# Transfers of a group's weights, one for each of their planes.
_WEIGHT_PLANES = 4
# Cycles in which weights wait for activations, where they come together.
_WEIGHTS = 1


def dot_bits(config):
    """Bits of a group's dot product in two's complement: magnitudes up to ``8 * group * (2**M - 1)``."""
    mantissa = config.max_mantissa if config.pe == "anda" else ALIGNED
    return (8 * config.group * ((1 << mantissa) - 1)).bit_length() + 1


def latency(config):
    """Cycles, without stalls, from a reduction's last transfer on `a` to its first result's `valid`."""
    if config.pe == "fp16":
        term = DEQUANTIZE + FP16_PRODUCT + config.adder * (config.lanes - 1).bit_length()
    else:
        term = SUMMED + CONVERT + SCALE
    return term + config.adder + (ROUND if config.output == "fp16" else 0) + 2


def group_cycles(config, mantissa):
    """Transfers on `a` for what an accumulator adds at a time: a group, or `lanes` products of `share` rows.

    M + 1 for a group, with the signs in front, is derived: the paper's Figure 15 implies it, its text does not say it.
    """
    if config.pe == "anda":
        return mantissa + (config.signs == "inline")
    return config.group // config.lanes if config.pe == "figna" else config.share


def spacing(config):
    """Least cycles between the sums of a group and of the next one: an addition, and the turns of `share` rows."""
    return max(config.share, config.adder + 1)


def period(config, mantissa):
    """Cycles between groups without stalls."""
    return max(group_cycles(config, mantissa), spacing(config))


def interval(config):
    """Cycles from a transfer on `a` to the next one of its group, or of the next group where each has only one."""
    longest = config.max_mantissa if config.pe == "anda" else None
    return 1 if group_cycles(config, longest) > 1 else period(config, longest)


def products(config):
    """Products of the whole tile in a period."""
    if config.pe == "fp16":
        return config.rows * config.cols * config.lanes
    return config.rows * config.cols * config.group


def cycles(config, m, k, n, mantissa=None):
    """Cycles from the first input transfer to the last result, both included, without stalls.

    The tiles of an (M, K) x (K, N) product go through back to back: each takes as many periods as it has groups, at
    least the latency and its rows. In front are the first weights, four cycles where they come as planes, else one.

    Parameters
    ----------
    config
        `pe`, `rows`, `cols`, `group`, `max_mantissa`, `lanes`, `share`, `adder`, `signs`, `conversion`,
        `output`.
    m, k, n : int
        Shape, each 1 or more; M and N are padded to whole tiles, K to whole groups (`fp16`: lanes).
    mantissa : int, optional
        Bits of a mantissa; only for `anda`.
    """
    for name, value in (("m", m), ("k", k), ("n", n)):
        if value < 1:
            raise ValueError(f"{name} must be 1 or more, not {value}")
    if config.pe == "anda" and not (mantissa is not None and 1 <= mantissa <= config.max_mantissa):
        raise ValueError(f"mantissa must be 1 to {config.max_mantissa}, not {mantissa}")
    groups = -(-k // (config.lanes if config.pe == "fp16" else config.group))
    tiles = -(-m // config.rows) * -(-n // config.cols)
    each = period(config, mantissa)
    # A reduction's results leave before those of the next one may arrive. With `fp16` that is before its last step.
    drain = latency(config) - 1 + config.rows + (config.share - 1 if config.pe == "fp16" else 0)
    weights = _WEIGHT_PLANES if config.pe == "anda" else _WEIGHTS
    last = weights + group_cycles(config, mantissa) - 1 + (groups - 1) * each + (tiles - 1) * max(groups * each, drain)
    return last + latency(config) + config.rows


def dequantize(weights, scales):
    """Weights times their scales, shape (N, K), rounded to FP16, to the nearest, ties to even."""
    weights, scales = np.asarray(weights), np.asarray(scales)
    repeated = np.repeat(scales, WEIGHT_GROUP, axis=1)[:, : weights.shape[1]]
    with np.errstate(over="ignore"):
        return weights.astype(np.float16) * repeated


def fp16_matmul(x, weights, scales, lanes):
    """Matrix product of FP16 activations and dequantized weights.

    Products are exact in float32. Those of `lanes` steps along K are added by pairs, the first with the second, and the
    sums in the same way; then their sum is added to the accumulator, which starts at +0. Each sum is rounded to
    float32, to the nearest, ties to even (our choice: the order of a GPU is not published).

    Parameters
    ----------
    x : ndarray of float16, shape (M, K)
        Any codes.
    weights : array_like of int, shape (N, K)
        -8 to 7.
    scales : ndarray of float16, shape (N, ceil(K / 128))
        Finite.
    lanes : int
        A power of two; a K that is not a multiple of it is padded with products +0.

    Returns
    -------
    accumulators : ndarray of float32, shape (M, N)
        A NaN is always 0x7FC00000.
    outputs : ndarray of float16, shape (M, N)
        Rounded to the nearest, ties to even, to Inf where they are too large.
    """
    x, w = np.asarray(x), dequantize(weights, scales)
    padding = -x.shape[1] % lanes
    x, w = (np.pad(side, ((0, 0), (0, padding))).astype(np.float32) for side in (x, w))
    accumulators = np.zeros((len(x), len(w)), np.float32)
    with np.errstate(over="ignore", invalid="ignore"):
        for start in range(0, x.shape[1], lanes):
            terms = x[:, None, start : start + lanes] * w[None, :, start : start + lanes]
            while terms.shape[2] > 1:
                terms = terms[..., ::2] + terms[..., 1::2]
            accumulators += terms[..., 0]
        accumulators[np.isnan(accumulators)] = np.float32(np.nan)
        return accumulators, accumulators.astype(np.float16)
