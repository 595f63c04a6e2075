"""Cycles of the HGQ tile and of its dequantizer (Hierarchical Group Quantization, SeVeDo 2025), and of two baselines.

What they compute is `golden.sevedo.hgq.matmul`: with the scheme `hgq` of any tensors, with `flat` of those of
`golden.sevedo.hgq.flat` in groups as wide as a dot product, with `channel` of those of `golden.sevedo.hgq.per_channel`.
"""

import numpy as np

from .. import reduction_tiles
from ..reductions import Schedule
from .hgq import LARGEST_CODE
from .hgq import accumulator_bits as hgq_accumulator_bits

__all__ = [
    "CHANNEL_BITS",
    "EXACT_BITS",
    "MAX_K",
    "SCHEMES",
    "TERM",
    "accumulator_bits",
    "cycles",
    "dot_bits",
    "float_operations",
    "schedule",
    "transfers",
]

#: Scales of coarse groups with shifts below them; a scale for each fine group; one scale for a whole row.
SCHEMES = ("hgq", "flat", "channel")
#: Bits of the largest integer that goes through the scaler, which has no rounding before its product.
EXACT_BITS = 24
#: Bits of the accumulator of `channel`, sign included, and the longest reduction that it holds.
CHANNEL_BITS, MAX_K = EXACT_BITS + 1, (1 << EXACT_BITS) // LARGEST_CODE**2
#: Cycles from an integer to the FP32 number that is added: magnitude, leading zeros, operands, product, rounding.
TERM = 5


def dot_bits(config):
    """Bits of a fine group's dot product in two's complement: 11 for 16 products up to 49."""
    return 1 + (config.fine * LARGEST_CODE**2).bit_length()


def accumulator_bits(config):
    """Bits of what is scaled: 20 for the default groups; `flat`: a dot product."""
    if config.scheme == "hgq":
        return hgq_accumulator_bits(config.coarse, config.shift_bits, config.shift_bits)
    return dot_bits(config) if config.scheme == "flat" else CHANNEL_BITS


def schedule(config, edges=0):
    """When the integers of groups become sums.

    An addition takes one cycle where a sum is needed in the next one, and none where there is nothing to add.

    Parameters
    ----------
    config
        `scheme`, `groups`, `unit_lanes`, `adder`, `drain`.
    edges : int
        Cycles in front of and behind the units.

    Returns
    -------
    Schedule
    """
    block, adder = {"hgq": (config.groups, config.adder), "flat": (1, 1), "channel": (None, 0)}[config.scheme]
    return Schedule(config.unit_lanes, block, TERM, adder, config.scheme == "flat", config.drain, edges)


def cycles(config, m, k, n):
    """Cycles from the first input transfer to the last result, both included, without stalls.

    The tiles of an (M, K) x (K, N) product go through back to back, a fine group a cycle. Only a coarse group (`flat`
    and `channel`: a reduction) with fewer fine groups than the unit has lanes waits, until these have had their turns.

    Parameters
    ----------
    config : HgqTileConfig
    m, k, n : int
        Shape, each 1 or more; M and N are padded to whole tiles, K to whole fine groups.

    Raises
    ------
    ValueError
        For another shape.
    """
    return config.schedule.product_cycles(config, config.fine, m, k, n)


def float_operations(config, k):
    """Floating-point multiplications and additions for each product of a reduction of `k` steps."""
    if config.scheme == "channel":
        return 1 / k
    return 2 * -(-k // (config.coarse if config.scheme == "hgq" else config.fine)) / k


def transfers(x, w, config):
    """What goes through the tile's streams for a matrix product; tiles as of `golden.reduction_tiles`.

    Parameters
    ----------
    x : HgqTensor, shape (M, K)
        Activations.
    w : HgqTensor, shape (N, K)
        Weights.
    config : HgqTileConfig

    Returns
    -------
    dict of str to Transfers
    """
    return reduction_tiles.transfers(_groups(x), _groups(w), config)


def _groups(t):
    """Fields of fine groups, as far as there are values."""
    steps = -(-t.k // t.fine)
    return {
        "codes": t.codes[:, : steps * t.fine].reshape(len(t.codes), steps, t.fine),
        "shift": t.shifts[:, :steps],
        "scale": np.repeat(t.scales.view(np.uint16), t.coarse // t.fine, axis=1)[:, :steps],
    }
