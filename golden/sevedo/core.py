"""The SeVeDo core: what goes through its streams for a layer, in which order, and how long it takes at least.

What it computes is `golden.sevedo.layer.linear`. Tokens go through in blocks of `rows`, outputs in blocks of `cols`;
all of it is our choice.
"""

import numpy as np

from ..transfers import Transfers
from . import lvc_cycles

__all__ = ["ADDER", "check", "latency", "least_cycles", "order", "results", "transfers", "waits_for_terms"]

#: Cycles of each of the two FP32 additions of the merge.
ADDER = 5
#: From a merged value to the output: its register, both additions, the rounding, the output register.
_MERGE = 1 + 2 * ADDER + 1 + 1
#: From a residual to its merge: the queue.
_QUEUE = 2
#: From the layer's transfer to the first activations; from these to the quantizer, by a register and the product.
_START, _SMOOTH = 2, 1 + 3


def latency(config):
    """Cycles from the last weights of a block of outputs to the first result, where the low-rank terms are there."""
    return config.tile.schedule.latency + _QUEUE + _MERGE


def least_cycles(config, layer, tokens):
    """Cycles from a layer's transfer to its last result, both included, that no run can fall below.

    The longest of what each part needs alone: the low-rank path up to the first and the last block of tokens, the
    quantizer likewise, the tile, and the merge of what follows.

    Parameters
    ----------
    config : SevedoCoreConfig
        Or anything with its fields.
    layer : SevedoLayer
    tokens : int
        1 or more.
    """
    n, k = layer.shape
    tile = config.tile
    blocks, columns, steps = -(-tokens // config.rows), -(-n // config.cols), -(-k // config.fine)
    final = (tokens - (blocks - 1) * config.rows) * (n - (columns - 1) * config.cols)
    # Reductions that the tile may have begun before anything is merged: in the queue and behind it, and on their way.
    ahead = 3 + -(-3 // tile.unit_lanes) + -(-tile.schedule.latency // steps)

    bounds = []
    # The last block, and the one before, which is whole, as the others are.
    for block in {0, max(blocks - 2, 0), blocks - 1}:
        known, left = min(tokens, (block + 1) * config.rows), tokens - block * config.rows
        reductions = columns * (blocks - block)
        terms, begin = _arrivals(config, layer, known)
        bounds.append(terms + left * n + _MERGE)
        if reductions > ahead:
            bounds.append(terms + _last_weights(tile, steps, reductions - ahead) + latency(config) + final)
        bounds.append(begin + _last_weights(tile, steps, reductions) + latency(config) + final)
        bounds.append(begin + _last_weights(tile, steps, 1) + latency(config) + left * n)
    return max(bounds)


def waits_for_terms(config, layer, tokens):
    """Whether a layer's first residual waits for low-rank terms, so that it takes longer than `latency`.

    Parameters
    ----------
    config : SevedoCoreConfig
        Or anything with its fields.
    layer : SevedoLayer
    tokens : int
        1 to `rows`.
    """
    terms, begin = _arrivals(config, layer, tokens)
    steps = -(-layer.shape[1] // config.fine)
    return terms > begin + _last_weights(config.tile, steps, 1) + config.tile.schedule.latency + _QUEUE


def _arrivals(config, layer, tokens):
    """The cycles of a layer from which on its first `tokens` terms, and fine groups, can be read at the earliest."""
    k, quantizer = layer.shape[1], config.quantizer
    # Both paths take their first activations at the same time; the terms can be read two cycles behind the last.
    terms = _START + lvc_cycles.cycles(config.lvc, [(layer.low_rank, tokens)])
    groups = _START + tokens * -(-k // config.coarse) * quantizer.load - 1 + _SMOOTH
    groups += quantizer.latency + (config.coarse // config.fine - 1) * quantizer.parts
    # Written, then read.
    return terms, groups + 2


def _last_weights(tile, steps, reductions):
    """The cycle, from 0 on, in which the tile takes the last of the weights of some reductions."""
    return tile.schedule.cycles([steps] * reductions) - tile.schedule.latency - tile.schedule.results


def check(layer, config):
    """Refuse a layer that a core cannot take.

    Raises
    ------
    ValueError
        Names the size.
    """
    n, k = layer.shape
    w = layer.residual
    for name, value in (
        ("coarse", w.coarse),
        ("fine", w.fine),
        ("shift_bits", w.shift_bits),
        ("threshold", layer.threshold),
    ):
        if getattr(config, name) != value:
            raise ValueError(f"{name} of the layer must be the core's {getattr(config, name)}, not {value}")
    for name, value, most in (
        ("input channels", k, config.max_channels),
        ("output channels", n, config.max_outputs),
        ("rank", layer.low_rank.rank, config.max_rank),
    ):
        if value > most:
            raise ValueError(f"{name} of the layer must be at most the core's {most}, not {value}")


def transfers(layer, x, config, rng=None):
    """What goes through the core's streams for a layer and its tokens.

    Parameters
    ----------
    layer : SevedoLayer
    x : ndarray of float16, shape (M, K)
        Any codes, channels in their own order; up to 65535 tokens.
    config : SevedoCoreConfig
        Or anything with its fields.
    rng : numpy.random.Generator, optional
        Gives what is behind the last channel, rank and output; zeros by default.

    Returns
    -------
    dict of str to Transfers
        Of `w`, `layer`, `x`, `smooth`, `low_rank`, `scales` and `bias`.

    Raises
    ------
    ValueError
        As `check`, and for activations of another type or shape.
    """
    check(layer, config)
    k = layer.shape[1]
    if x.dtype != np.float16 or x.ndim != 2 or x.shape[1] != k or len(x) >= 1 << 16:
        raise ValueError(f"x must be float16 of shape (up to 65535, {k}), not {x.dtype} of shape {x.shape}")
    tokens, blocks = len(x), -(-len(x) // config.rows)
    codes = _filled(x[:, layer.order].view(np.uint16), 1, config.lanes, 0, 1 << 16, rng).reshape(-1, config.lanes)
    factors = _filled(np.tile(layer.smoothing.view(np.uint16), (tokens, 1)), 1, config.lanes, 0, 1 << 16, rng)
    bias = _filled(layer.bias.view(np.uint16)[None], 1, config.cols, 0, 1 << 16, rng).reshape(-1, config.cols)
    scales = layer.low_rank.scales.view(np.uint16)
    return {
        "w": _repeated(_residual(layer.residual, config, rng), blocks),
        "layer": _repeated(_told(layer, tokens, config, rng), 1),
        "x": _repeated({"payload": codes}, 1),
        "smooth": _repeated({"payload": factors.reshape(-1, config.lanes)}, 1),
        "low_rank": _repeated({"payload": _tables(layer.low_rank, config, rng)}, tokens),
        "scales": _repeated({"payload": scales}, tokens),
        "bias": _repeated({"payload": bias}, blocks),
    }


def _repeated(fields, times):
    """Transfers of fields of shape (transfers, ...), all of them so many times."""
    return Transfers({name: values[None] for name, values in fields.items()}, np.zeros(times, int))


def order(tokens, n, config):
    """Which result comes when: numbers ``token * n + output``, shape (tokens * n,)."""
    numbers = np.arange(tokens * n).reshape(tokens, n)
    blocks = [
        numbers[row : row + config.rows, col : col + config.cols].ravel()
        for row in range(0, tokens, config.rows)
        for col in range(0, n, config.cols)
    ]
    return np.concatenate(blocks) if blocks else numbers.ravel()


def results(fields, tokens, n, config):
    """Results from what comes out of the stream `o`.

    Parameters
    ----------
    fields : dict of str to ndarray, shape (tokens * n,)
        Of the payloads: `value`, uint16, and `last`.
    tokens, n : int
    config : SevedoCoreConfig

    Returns
    -------
    y : ndarray of float16, shape (tokens, n)
    last : ndarray of bool, shape (tokens * n,)
        In the order in which they came.
    """
    y = np.empty(tokens * n, np.uint16)
    y[order(tokens, n, config)] = fields["value"]
    return y.view(np.float16).reshape(tokens, n), fields["last"] != 0


def _residual(w, config, rng):
    """Block of outputs by block of outputs, fine group by fine group, the columns side by side."""
    n, steps, fine = len(w.codes), -(-w.k // w.fine), w.fine
    codes = _filled(w.codes[:, : steps * fine].astype(np.int64), 0, config.cols, -8, 8, rng)
    shifts = _filled(w.shifts[:, :steps].astype(np.int64), 0, config.cols, 0, 1 << w.shift_bits, rng)
    scales = np.repeat(w.scales.view(np.uint16), w.coarse // fine, axis=1)[:, :steps]
    scales = _filled(scales.astype(np.int64), 0, config.cols, 0, 1 << 16, rng)
    shape = -(-n // config.cols), config.cols, steps
    # (blocks * steps, columns, ...)
    codes = codes.reshape(*shape, fine).transpose(0, 2, 1, 3).reshape(-1, config.cols, fine)
    shifts, scales = (part.reshape(shape).transpose(0, 2, 1).reshape(-1, config.cols) for part in (shifts, scales))
    return {"payload.codes": codes, "payload.shift": shifts, "payload.scale": scales}


def _tables(t, config, rng):
    """Of a token: for each group of columns, block by block, the columns side by side; L1, then L2."""
    lanes, columns = config.lanes, config.columns
    blocks = [np.zeros((0, columns, lanes), np.int64)]
    for table in (t.l1, t.l2) if t.rank else ():
        whole = _filled(_filled(table.astype(np.int64), 0, lanes, -128, 128, rng), 1, columns, -128, 128, rng)
        steps, groups = whole.shape[0] // lanes, whole.shape[1] // columns
        blocks.append(whole.reshape(steps, lanes, groups, columns).transpose(2, 0, 3, 1).reshape(-1, columns, lanes))
    return np.concatenate(blocks)


def _told(layer, tokens, config, rng):
    """The only transfer of `layer`."""
    t, (n, k) = layer.low_rank, layer.shape
    extra = np.zeros((1, config.max_rank), np.int64) if rng is None else rng.integers(0, 9, (1, config.max_rank))
    extra[0, : t.rank] = t.extra
    sizes = {
        "tokens": tokens,
        "channels": k,
        "wide_channels": t.wide_channels,
        "rank": t.rank,
        "wide_ranks": t.wide_ranks,
        "outputs": n,
        "shift": t.shift,
        "gain": t.gain,
    }
    return {name: np.array([value]) for name, value in sizes.items()} | {"rank_shifts": extra}


def _filled(table, axis, multiple, low, high, rng):
    """A table filled up along an axis to a multiple, with zeros or any codes from `low` to below `high`."""
    shape = list(table.shape)
    shape[axis] = -shape[axis] % multiple
    filling = np.zeros(shape, np.int64) if rng is None else rng.integers(low, high, shape)
    return np.concatenate([table, filling], axis=axis)
