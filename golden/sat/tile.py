"""The N:M sparse tile: its exact product, what goes through its streams, and the number of cycles it needs.

Activations are (T, K), tokens in the rows of the tile; weights are kept values and indices, (O, K / M, N), as
`nm_sparse.select` gives them for a weight matrix (O, K), output channels in the columns: the product is (T, O). Slots
go through one a cycle, so everything but the choice of activations is that of the dense tile with K / M * N steps: so
are sums, flags and cycles. Our reconstruction: what is inside SAT's processing element is not public.
"""

import numpy as np

from ..checks import integer
from ..systolic import tile as systolic
from ..transfers import Transfers

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
    """What goes through the tile's streams for a matrix product; tiles in row-major order, as in `systolic.tiling`.

    The products of the tile's results, put together again, are `systolic.tiling.results(fields, T, O, config)`.

    Parameters
    ----------
    values, indices, a
        As of `matmul`. Where all of a group are kept, indices do not count: the tile has a counter for them.
    config
        Also `rows` and `cols`; `operands`, the formats.

    Returns
    -------
    dict of str to Transfers
        Fields `lanes` of the stream `a`, `lanes.value` and `lanes.index` of `w`, and `last` of both.
    """
    _places(values, indices, a, config)
    values, indices, a = np.asarray(values), np.asarray(indices), np.asarray(a)
    m = config.group
    w = {
        f"lanes.{name}": _tiles(slots.reshape(len(slots), -1), config.cols).transpose(0, 2, 1)
        for name, slots in (("value", values), ("index", indices))
    }
    tokens = _tiles(a, config.rows).reshape(-1, config.rows, a.shape[1] // m, m)
    sent = {"a": {"lanes": tokens.transpose(0, 2, 1, 3)}, "w": w}
    for fields in sent.values():
        blocks, count = next(iter(fields.values())).shape[:2]
        fields["last"] = np.broadcast_to(np.arange(count) == count - 1, (blocks, count))
    tiles = np.indices((len(tokens), len(w["lanes.value"]))).reshape(2, -1)
    return {name: Transfers(sent[name], order) for name, order in zip("aw", tiles, strict=True)}


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
