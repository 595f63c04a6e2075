"""Cycles of the HGQ tile and of its dequantizer (Hierarchical Group Quantization, SeVeDo 2025), and of two baselines.

What they compute is `golden.sevedo.hgq.matmul`: with the scheme `hgq` of any tensors, with `flat` of those of
`golden.sevedo.hgq.flat` in groups as wide as a dot product, with `channel` of those of `golden.sevedo.hgq.per_channel`.
"""

from .hgq import LARGEST_CODE
from .hgq import accumulator_bits as hgq_accumulator_bits

__all__ = [
    "CHANNEL_BITS",
    "EXACT_BITS",
    "MAX_K",
    "SCHEMES",
    "TERM",
    "accumulator_bits",
    "adder",
    "cycles",
    "dequantizer_cycles",
    "dequantizer_latency",
    "dot_bits",
    "float_operations",
    "latency",
    "results",
    "spacing",
    "tile_cycles",
]

#: Scales of coarse groups with shifts below them; a scale for each fine group; one scale for a whole row.
SCHEMES = ("hgq", "flat", "channel")
#: Bits of the largest integer that goes through the scaler, which has no rounding before its product.
EXACT_BITS = 24
#: Bits of the accumulator of `channel`, sign included, and the longest reduction that it holds.
CHANNEL_BITS, MAX_K = EXACT_BITS + 1, (1 << EXACT_BITS) // LARGEST_CODE**2
#: Cycles from an integer to the FP32 number that is added: magnitude, operands, product, rounding.
TERM = 4


def dot_bits(config):
    """Bits of a fine group's dot product in two's complement: 11 for 16 products up to 49."""
    return 1 + (config.fine * LARGEST_CODE**2).bit_length()


def accumulator_bits(config):
    """Bits of what is scaled: 20 for the default groups; `flat`: a dot product."""
    if config.scheme == "hgq":
        return hgq_accumulator_bits(config.coarse, config.shift_bits, config.shift_bits)
    return dot_bits(config) if config.scheme == "flat" else CHANNEL_BITS


def adder(config):
    """Cycles of an FP32 addition: one where a sum is needed in the next cycle, none where there is nothing to add."""
    return {"hgq": config.adder, "flat": 1, "channel": 0}[config.scheme]


def spacing(config):
    """Least cycles between the ends of two coarse groups; of two reductions where only these take time.

    The lanes of a unit take turns, and a sum must be there before the next term of its lane; `flat` has a term of every
    lane in every cycle, and waits for its drain.
    """
    if config.scheme == "flat":
        return config.drain
    return max(config.unit_lanes, adder(config) + 1)


def dequantizer_latency(config):
    """Cycles, without stalls, from a reduction's last transfer to its first result's `valid`.

    Registers on the way: the dot products, the coarse group's integers (not `flat`), `TERM`, `adder`, the output.
    """
    return 1 + (config.scheme != "flat") + TERM + adder(config) + 1


def latency(config):
    """The tile's: operands and dot products, and the drain of `flat`, are in front of and behind a dequantizer."""
    return config.dot + dequantizer_latency(config) + (config.scheme == "flat")


def results(config):
    """Transfers of a reduction's results on the tile's output."""
    return config.rows if config.scheme == "flat" else config.unit_lanes


def dequantizer_cycles(config, lengths):
    """Cycles from the first transfer to the last result, both included, without stalls.

    Parameters
    ----------
    config
        `scheme`, `coarse`, `fine`, `shift_bits`, `unit_lanes`, `adder`, `drain`.
    lengths : sequence of int
        Transfers of each reduction, 1 or more.
    """
    return _last_transfer(config, lengths) + dequantizer_latency(config) + config.unit_lanes


def tile_cycles(config, lengths):
    """`dequantizer_cycles` of the tile."""
    return _last_transfer(config, lengths) + latency(config) + results(config)


def cycles(config, m, k, n):
    """Cycles from the first input transfer to the last result, both included, without stalls.

    The tiles of an (M, K) x (K, N) product go through back to back, a fine group a cycle. Only a coarse group (`flat`
    and `channel`: a reduction) with fewer fine groups than the unit has lanes waits, until these have had their turns.

    Parameters
    ----------
    config
        As of `dequantizer_cycles`, and `rows`, `cols`.
    m, k, n : int
        Shape, each 1 or more; M and N are padded to whole tiles, K to whole fine groups.
    """
    for name, value in (("m", m), ("k", k), ("n", n)):
        if value < 1:
            raise ValueError(f"{name} must be 1 or more, not {value}")
    tiles = -(-m // config.rows) * -(-n // config.cols)
    return tile_cycles(config, [-(-k // config.fine)] * tiles)


def float_operations(config, k):
    """Floating-point multiplications and additions for each product of a reduction of `k` steps."""
    if config.scheme == "channel":
        return 1 / k
    return 2 * -(-k // (config.coarse if config.scheme == "hgq" else config.fine)) / k


def _last_transfer(config, lengths):
    """The cycle of the last transfer, from 0 on."""
    if config.scheme == "hgq":
        whole = config.coarse // config.fine
        lengths = [min(whole, length - at) for length in lengths for at in range(0, length, whole)]
    least = spacing(config)
    return lengths[0] - 1 + sum(max(length, least) for length in lengths[1:])
