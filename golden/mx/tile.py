"""Widths and cycles of the MX tile. What it computes is `golden.mx.matmul`, without the scales of tensors."""

import numpy as np

from .. import reduction_tiles
from ..reductions import Schedule

__all__ = ["accumulator_bits", "cycles", "dot_bits", "product_bits", "schedule", "term", "transfers"]


def product_bits(element):
    """Bits of the magnitude of a product of two elements, as integers: 8 for E2M1."""
    return (_largest(element) ** 2).bit_length()


def dot_bits(element, lanes):
    """Bits of the sum of `lanes` products in two's complement: 13 for 16 products of E2M1."""
    return 1 + (lanes * _largest(element) ** 2).bit_length()


def accumulator_bits(fmt):
    """Bits of the integer of a block in two's complement: 14 for MXFP4. At most 24, so FP32 holds its magnitude."""
    return dot_bits(fmt.element, fmt.block)


def term(fmt):
    """Cycles from an integer to the FP32 number that is added: magnitude, with E4M3 scales a product, result."""
    return 3 if fmt.two_level else 2


def schedule(config):
    """When the integers of blocks become sums (our choice).

    A block of one transfer whose lanes share no unit is immediate.

    Parameters
    ----------
    config
        `fmt`, `steps` of a block, `unit_lanes`, `adder_cycles`, `dot`, `rows`, `immediate`.

    Returns
    -------
    Schedule
    """
    return Schedule(
        lanes=config.unit_lanes,
        block=config.steps,
        term=term(config.fmt),
        adder=config.adder_cycles,
        immediate=config.immediate,
        drain=config.rows,
        edges=config.dot + config.immediate,
    )


def cycles(config, m, k, n):
    """Cycles of an (M, K) x (K, N) product, without stalls: `Schedule.product_cycles` with parts of `config.lanes`."""
    return config.schedule.product_cycles(config, config.lanes, m, k, n)


def transfers(x, w, config):
    """What goes through the tile's streams for a matrix product; tiles as of `golden.reduction_tiles`.

    Parameters
    ----------
    x : MxTensor, shape (M, K)
        Activations.
    w : MxTensor, shape (N, K)
        Weights.
    config : MxTileConfig

    Returns
    -------
    dict of str to Transfers
    """
    return reduction_tiles.transfers(_parts(x, config.lanes), _parts(w, config.lanes), config)


def _parts(t, lanes):
    """Fields of parts of blocks, as far as there are values."""
    steps = -(-t.k // lanes)
    return {
        "codes": t.codes[:, : steps * lanes].reshape(len(t.codes), steps, lanes),
        "scale": np.repeat(t.scales, t.format.block // lanes, axis=1)[:, :steps],
    }


def _largest(element):
    """Largest magnitude of an element as an integer."""
    return int(abs(element.integers).max())
