"""Matrix products of any shape on a systolic tile: cutting into transfers, and putting results together again.

Output-stationary, a tile is `rows` results by `cols`; weight-stationary, all M rows by `cols`, or at most `partials`
rows where K is larger than `rows`. Tiles lie in row-major order, weight-stationary column by column; the last ones are
padded with zeros. Operands are those of `systolic.matmul`: `a` is (M, K), `w` is (N, K), or packed pairs. The order of
tiles is our choice; `systolic.cycles` counts for it.
"""

from types import SimpleNamespace

import numpy as np

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
    """Payloads of the tile's streams for a matrix product.

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
    dict of str to ndarray of uint8, shape (transfers, bytes)
        Payloads of `a` and `w`, the lowest byte first.
    """
    operands = systolic.check_formats(config.a_format, config.w_format)
    a, w = (_lanes(codes, operand) for codes, operand in zip((a, w), operands, strict=True))
    width = operands[0].lane_bits, operands[1].lane_bits
    k = w.shape[1]
    w = _padded(w, config.cols, 0).reshape(-1, config.cols, k).transpose(0, 2, 1)
    ends = np.arange(k) == k - 1
    w = _packed(w, width[1], np.broadcast_to(ends, w.shape[:2]))
    if config.dataflow == "output-stationary":
        a = _padded(a, config.rows, 0).reshape(-1, config.rows, k).transpose(0, 2, 1)
        a = _packed(a, width[0], np.broadcast_to(ends, a.shape[:2]))
        whole = (len(a), len(w))
        a = np.broadcast_to(a[:, None], (*whole, *a.shape[1:]))
        w = np.broadcast_to(w[None], (*whole, *w.shape[1:]))
        return {name: codes.reshape(-1, codes.shape[-1]) for name, codes in (("a", a), ("w", w))}
    lanes = config.rows // operands[0].steps
    a = _padded(a, lanes, 1)
    a = a.reshape(len(a), -1, lanes)
    # For each chunk of rows: block after block of the reduction.
    chunks = _chunks(len(a), k * operands[0].steps, config)
    order = np.concatenate([np.tile(rows, a.shape[1]) for rows in chunks])
    block = np.concatenate([np.repeat(np.arange(a.shape[1]), len(rows)) for rows in chunks])
    ends = np.isin(np.arange(len(a)), [rows[-1] for rows in chunks])
    a = _packed(a, width[0], np.broadcast_to(ends[:, None], a.shape[:2]))[order, block]
    return {
        "a": np.tile(a, (len(w), 1)),
        "w": np.repeat(w, len(chunks), axis=0).reshape(-1, w.shape[-1]),
    }


def panels(codes, operand, lanes):
    """Transfers of one operand, without `last`: all of K for `lanes` rows at a time, the last ones padded with zeros.

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
    ndarray of uint8, shape (panels, transfers, bytes)
        Payloads, the lowest byte first.
    """
    arranged = _padded(_lanes(codes, operand), lanes, 0)
    arranged = arranged.reshape(-1, lanes, arranged.shape[1]).transpose(0, 2, 1)
    payloads = _packed(arranged, operand.lane_bits, np.zeros(arranged.shape[:2], bool))
    return payloads[..., : -(-lanes * operand.lane_bits // 8)]


def results(payloads, m, n, config):
    """The product that a tile's results make.

    Parameters
    ----------
    payloads : ndarray of uint8, shape (transfers, bytes)
        Of the stream `o`, all of them.
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
    cols, width = config.cols, config.accumulator
    sums = _fields(payloads, 0, width, cols)
    flags = _fields(payloads, cols * width, 1, cols) != 0 if config.overflow else np.zeros(sums.shape, bool)
    last = _fields(payloads, cols * (width + config.overflow), 1, 1)[:, 0] != 0
    rows = -(-m // config.rows) * config.rows if config.dataflow == "output-stationary" else m
    tiles = -(-n // cols)

    def whole(lanes):
        if config.dataflow == "output-stationary":
            lanes = lanes.reshape(-1, tiles, config.rows, cols).transpose(0, 2, 1, 3)
        else:
            lanes = lanes.reshape(tiles, rows, cols).transpose(1, 0, 2)
        return lanes.reshape(rows, -1)[:m, :n]

    return whole(sums), whole(flags), last


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
    """Codes as unsigned lanes, one a transfer, shape (rows, transfers)."""
    if operand.pairs:
        return np.ascontiguousarray(codes, np.uint8).view(f"<u{operand.lane_bits // 8}")
    return codes.astype(np.uint8) & np.uint8((1 << operand.bits) - 1)


def _padded(lanes, size, axis):
    """Zeros added, so that an axis is a multiple of `size`."""
    pad = [(0, 0), (0, 0)]
    pad[axis] = (0, -lanes.shape[axis] % size)
    return np.pad(lanes, pad)


def _packed(lanes, width, last):
    """Payloads of lanes, shape (..., lanes) to (..., bytes), with `last` above them."""
    bits = lanes.shape[-1] * width
    if width == 4:
        lanes = np.pad(lanes, [(0, 0)] * (lanes.ndim - 1) + [(0, lanes.shape[-1] % 2)])
        lanes = lanes[..., ::2] | lanes[..., 1::2] << 4
    lanes = np.ascontiguousarray(lanes).view(np.uint8)
    payloads = np.zeros((*lanes.shape[:-1], bits // 8 + 1), np.uint8)
    payloads[..., : lanes.shape[-1]] = lanes
    payloads[..., -1] |= last.astype(np.uint8) << bits % 8
    return payloads


def _fields(payloads, start, width, count):
    """Two's complement fields of `width` bits, up to 57, from a bit on: int64, shape (transfers, count)."""
    bits = start + width * np.arange(count)
    # A field lies in the eight bytes from its first one on.
    payloads = np.pad(payloads, [(0, 0), (0, 7)])
    fields = np.empty((len(payloads), count), np.int64)
    for index, bit in enumerate(bits.tolist()):
        words = np.ascontiguousarray(payloads[:, bit // 8 : bit // 8 + 8]).view("<i8")[:, 0]
        fields[:, index] = words << (64 - width - bit % 8) >> (64 - width)
    return fields
