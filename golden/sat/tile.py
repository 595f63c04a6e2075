"""The N:M sparse tile: its exact product, the payloads of its streams, and the number of cycles it needs.

Activations are (T, K), tokens in the rows of the tile; weights are kept values and indices, (O, K / M, N), as
`nm_sparse.select` gives them for a weight matrix (O, K), output channels in the columns: the product is (T, O). Slots
go through one a cycle, so everything but the choice of activations is that of the dense tile with K / M * N steps: so
are sums, flags and cycles. Our reconstruction: what is inside SAT's processing element is not public.
"""

import numpy as np

from ..checks import integer
from ..systolic import tile as systolic
from . import sparse as nm_sparse

__all__ = ["GROUPS", "cycles", "latency", "matmul", "steps", "transfers"]

#: Groups that the hardware can be built for.
GROUPS = (8, 4)


def latency(config):
    """Cycles, without stalls, from a reduction's last slot to its first result's `valid`: as the dense tile."""
    return systolic.latency(config)


def steps(config, k, n):
    """Cycles of a reduction of length `k`, padded to whole groups: N for each."""
    return -(-k // config.group) * integer(f"N of M = {config.group}", n, 1, config.group)


def cycles(config, t, k, o, n):
    """Cycles from the first input transfer to the last result, both included, without stalls.

    `nm_sparse.cycles` is the schedule of spec 5.1; this differs from it by a constant and by the last tile. Rows are
    tokens here, not output channels, as in the dense tile. Blocks instead of processing elements are a cycle apart,
    and registers of multiplier, accumulator and output count. The last reduction does not wait for a drain.

    Parameters
    ----------
    config
        `rows`, `cols`, `block`, `group`, `a_format`, `w_format`, and `dataflow`, output-stationary.
    t, k, o : int
        Tokens, length and output channels, each 1 or more, padded to whole tiles and groups.
    n : int
        Slots of a group; all M for dense weights.
    """
    return systolic.cycles(config, t, steps(config, integer("k", k, 1, None), n), o)


def matmul(values, indices, a, config):
    """Exact matrix product of the tile.

    Parameters
    ----------
    values, indices : array_like of int, shape (O, K / M, N)
        Weights: slots in the order in which they go in; those with the same index in a group both count.
    a : array_like of int, shape (T, K)
        Activations.
    config
        `group`, `a_format`, `w_format`, and `accumulator`, the accumulator's width in bits.

    Returns
    -------
    product : ndarray of int64, shape (T, O)
        Sums of products, modulo 2**accumulator, in two's complement.
    overflow : ndarray of bool, shape (T, O)
        Whether a running sum, slot by slot, left the accumulator's range.

    Raises
    ------
    ValueError
        For shapes that do not fit, a K that is not padded, and codes or indices out of range.
    """
    places, values = _places(values, indices, a, config)
    a = np.asarray(a)
    columns = [systolic.matmul(a[:, place], slots[None], config) for place, slots in zip(places, values, strict=True)]
    product, overflow = (np.concatenate(parts, axis=1) for parts in zip(*columns, strict=True))
    return product, overflow


def transfers(values, indices, a, config):
    """Payloads of the tile's streams for a matrix product; tiles in row-major order, as in `golden.systolic.tiling`.

    The products of the tile's results, cut and put together again, are `gemm.results(payloads, T, O, config)`.

    Parameters
    ----------
    values, indices, a
        As of `matmul`. Where all of a group are kept, indices do not count: the tile has a counter for them.
    config
        Also `rows` and `cols`; `operands`, the formats.

    Returns
    -------
    dict of str to ndarray of uint8, shape (transfers, bytes)
        Payloads of `a` and `w`, the lowest byte first.
    """
    _places(values, indices, a, config)
    values, indices, a = np.asarray(values), np.asarray(indices), np.asarray(a)
    (a_operand, w_operand), m = systolic.check_formats(config.a_format, config.w_format), config.group
    groups = a.shape[1] // m
    slots = (values & ((1 << w_operand.bits) - 1)) | (indices << w_operand.bits)
    w = _tiles(slots.reshape(len(slots), -1), config.cols)
    w = _payloads(w.transpose(0, 2, 1), w_operand.bits + nm_sparse.index_bits(m))
    tokens = _tiles(a & ((1 << a_operand.bits) - 1), config.rows).reshape(-1, config.rows, groups, m)
    x = _payloads(tokens.transpose(0, 2, 1, 3).reshape(len(tokens), groups, config.rows * m), a_operand.bits)
    whole = len(x), len(w)
    x = np.broadcast_to(x[:, None], (*whole, *x.shape[1:]))
    w = np.broadcast_to(w[None], (*whole, *w.shape[1:]))
    return {name: payloads.reshape(-1, payloads.shape[-1]) for name, payloads in (("a", x), ("w", w))}


def _places(values, indices, a, config):
    """For each output channel, where along K its slots' activations are; and the values of the slots."""
    values, indices, a, m = np.asarray(values), np.asarray(indices), np.asarray(a), config.group
    if values.ndim != 3 or values.shape != indices.shape or a.ndim != 2 or a.shape[1] != values.shape[1] * m:
        raise ValueError(
            f"operands must have shapes (O, K / {m}, N), the same and (T, K), K padded, "
            f"not {values.shape}, {indices.shape} and {a.shape}"
        )
    if not values.size:
        raise ValueError(f"operands must hold at least one value, not be of shape {values.shape}")
    integer(f"N of M = {m}", values.shape[2], 1, m)
    wrong = (indices < 0) | (indices >= m)
    if wrong.any():
        raise ValueError(f"an index must be 0 to {m - 1}, not {indices[wrong][0]}")
    places = indices + m * np.arange(values.shape[1])[:, None]
    return places.reshape(len(values), -1), values.reshape(len(values), -1)


def _tiles(lanes, size):
    """Rows padded with zeros to a multiple of `size`, as (tiles, size, ...)."""
    lanes = np.pad(lanes, [(0, -len(lanes) % size), (0, 0)])
    return lanes.reshape(-1, size, lanes.shape[1])


def _payloads(lanes, width):
    """Bytes of payloads, shape (tiles, transfers, lanes) to (tiles, transfers, bytes), the last transfer marked."""
    bits = ((lanes[..., None] >> np.arange(width)) & 1).astype(np.uint8).reshape(*lanes.shape[:2], -1)
    ends = np.zeros((*lanes.shape[:2], 1), np.uint8)
    ends[:, -1] = 1
    return np.packbits(np.concatenate([bits, ends], axis=2), axis=2, bitorder="little")
