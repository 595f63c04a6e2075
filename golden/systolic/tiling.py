"""Matrix products of any shape on a systolic tile: cutting into transfers, and putting results together again.

Output-stationary, a tile is `rows` results by `cols`; weight-stationary, all M rows by `cols`, or at most `partials`
rows where K is larger than `rows`. Tiles lie in row-major order, weight-stationary column by column; the last ones are
padded with zeros. Operands are those of `systolic.matmul`: `a` is (M, K), `w` is (N, K), or packed pairs. The order of
tiles is our choice; `systolic.cycles` counts for it.
"""

from types import SimpleNamespace

import numpy as np

from ..transfers import Transfers
from . import tile as systolic

__all__ = ["check_k", "ends", "panels", "results", "steps", "transfers"]


def steps(codes, operand):
    """Steps along K of codes: their number, padded to whole pairs."""
    return codes.shape[1] * 8 // operand.bits if operand.pairs else codes.shape[1]


def check_k(config, k):
    """Refuse a K for which an accumulator could leave its range.

    Raises
    ------
    ValueError
        Names the largest K, and the accumulator that would do.
    """
    if k <= (largest := systolic.max_k(config)):
        return
    # The range doubles with each bit.
    wider = SimpleNamespace(a_format=config.a_format, w_format=config.w_format, accumulator=config.accumulator)
    while systolic.max_k(wider) < k:
        wider.accumulator += 1
    formats = f"{config.a_format} x {config.w_format}"
    raise ValueError(
        f"K must be {largest:,} or less for {formats} in an accumulator of {config.accumulator} bits, not {k:,}: "
        f"that takes accumulator={wider.accumulator}"
    )


def transfers(a, w, config):
    """What goes through the tile's streams for a matrix product.

    Parameters
    ----------
    a : ndarray, shape (M, K), or (M, bytes) for packed pairs
        Codes of the activations.
    w : ndarray, shape (N, K), or (N, bytes) for packed pairs
        Codes of the weights.
    config : SystolicConfig
        Of the tile.

    Returns
    -------
    dict of str to Transfers
        Fields `lanes` and `last` of the streams `a` and `w`.
    """
    operands = systolic.check_formats(config.a_format, config.w_format)
    w = panels(w, operands[1], config.cols)
    k = w.shape[1]
    ends = np.arange(k) == k - 1
    w = {"lanes": w, "last": np.broadcast_to(ends, w.shape[:2])}
    if config.dataflow == "output-stationary":
        a = panels(a, operands[0], config.rows)
        a = {"lanes": a, "last": np.broadcast_to(ends, a.shape[:2])}
        tiles = np.indices((len(a["lanes"]), len(w["lanes"]))).reshape(2, -1)
        return {"a": Transfers(a, tiles[0]), "w": Transfers(w, tiles[1])}
    lanes = config.rows // operands[0].steps
    a = _padded(_lanes(a, operands[0]), lanes, 1)
    a = a.reshape(len(a), -1, lanes)
    # For each chunk of rows: block after block of the reduction.
    chunks = _chunks(len(a), k * operands[0].steps, config)
    order = np.concatenate([np.tile(rows, a.shape[1]) for rows in chunks])
    block = np.concatenate([np.repeat(np.arange(a.shape[1]), len(rows)) for rows in chunks])
    ends = np.isin(order, [rows[-1] for rows in chunks])
    tiles = np.arange(len(w["lanes"]))
    return {
        "a": Transfers({"lanes": a[order, block][None], "last": ends[None]}, 0 * tiles),
        "w": Transfers(w, np.repeat(tiles, len(chunks))),
    }


def panels(codes, operand, lanes):
    """Lanes of one operand's transfers: all of K for `lanes` rows at a time, the last ones padded with zeros.

    Parameters
    ----------
    codes : ndarray, shape (rows, K), or (rows, bytes) for packed pairs
        Codes.
    operand : systolic.Operand
        Format.
    lanes : int
        Lanes of a transfer.

    Returns
    -------
    ndarray of int, shape (panels, transfers, lanes)
        Integers, or packed pairs as words.
    """
    arranged = _padded(_lanes(codes, operand), lanes, 0)
    return arranged.reshape(-1, lanes, arranged.shape[1]).transpose(0, 2, 1)


def results(fields, m, n, config):
    """The product that a tile's results make.

    Parameters
    ----------
    fields : dict of str to ndarray, shape (transfers, cols)
        Of all payloads of the stream `o`: `sums`, `overflow` where the tile has flags, and `last`, (transfers,).
    m, n : int
        Shape of the product.
    config : SystolicConfig
        Of the tile.

    Returns
    -------
    product : ndarray of int64, shape (m, n)
        Sums.
    overflow : ndarray of bool, shape (m, n)
        Flags; all False where the tile has none.
    last : ndarray of bool, shape (transfers,)
        The field `last` of each payload.
    """
    cols = config.cols
    sums = fields["sums"].astype(np.int64)
    flags = fields["overflow"] != 0 if config.overflow else np.zeros(sums.shape, bool)
    rows = -(-m // config.rows) * config.rows if config.dataflow == "output-stationary" else m
    tiles = -(-n // cols)

    def whole(lanes):
        if config.dataflow == "output-stationary":
            lanes = lanes.reshape(-1, tiles, config.rows, cols).transpose(0, 2, 1, 3)
        else:
            lanes = lanes.reshape(tiles, rows, cols).transpose(1, 0, 2)
        return lanes.reshape(rows, -1)[:m, :n]

    return whole(sums), whole(flags), fields["last"] != 0


def ends(m, k, n, config):
    """Which results are a tile's last row, as the field `last` must say: bool, shape (transfers,)."""
    tiles = -(-n // config.cols)
    if config.dataflow == "output-stationary":
        return np.tile(np.arange(config.rows) == config.rows - 1, -(-m // config.rows) * tiles)
    return np.tile(np.isin(np.arange(m), [rows[-1] for rows in _chunks(m, k, config)]), tiles)


def _chunks(m, k, config):
    """Rows of results that go through a weight-stationary tile together, `k` padded to whole pairs."""
    whole = m if k <= config.rows else config.partials
    return [np.arange(start, min(start + whole, m)) for start in range(0, m, whole)]


def _lanes(codes, operand):
    """Codes as lanes, one a transfer, shape (rows, transfers): integers, or packed pairs as words."""
    if operand.pairs:
        return np.ascontiguousarray(codes, np.uint8).view(f"<u{operand.lane_bits // 8}")
    return codes.astype(np.int8)


def _padded(lanes, size, axis):
    """Zeros added, so that an axis is a multiple of `size`."""
    pad = [(0, 0), (0, 0)]
    pad[axis] = (0, -lanes.shape[axis] % size)
    return np.pad(lanes, pad)
