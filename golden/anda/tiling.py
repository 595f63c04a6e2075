"""Matrix products of any shape on the Anda tile: what goes through its streams.

Tiles are those of `golden.reduction_tiles`.
"""

import numpy as np

from ..reduction_tiles import panels, tile_order
from ..transfers import Transfers

__all__ = ["transfers"]


def transfers(x, weights, scales, config):
    """Transfers of a matrix product.

    Parameters
    ----------
    x : AndaTensor or ndarray of float16, shape (M, K)
        Activations; of `fp16` numbers.
    weights : ndarray of int, shape (N, K)
        -8 to 7.
    scales : ndarray of float16, shape (N, ceil(K / 128))
    config : AndaTileConfig
        Of the processing elements `anda` or `fp16`.

    Returns
    -------
    dict of str to Transfers

    Raises
    ------
    ValueError
        For other processing elements.
    """
    if config.pe not in ("anda", "fp16"):
        raise ValueError(f"pe must be anda or fp16, not {config.pe!r}")
    sides = _serial(x, weights, config) if config.pe == "anda" else _floating(x, weights, config)
    codes = panels(scales.view(np.uint16), config.cols)
    sides["scales"] = {f"scales.{name}": part for name, part in _numbers(codes).items()}
    counts = [len(next(iter(sides[name].values()))) for name in ("a", "w")]
    first, second = tile_order(*counts)
    return {name: Transfers(fields, first if name in ("a", "heads") else second) for name, fields in sides.items()}


def _serial(t, weights, config):
    """Fields of `anda`: of a group its signs and its planes; the four planes of its weights."""
    signs, exponents = (panels(part, config.rows) for part in (t.signs, t.exponents))
    words = panels(t.planes, config.rows).swapaxes(2, 3)
    groups = signs.shape[1]
    if config.signs == "inline":
        words = np.concatenate([signs[:, :, None], words], axis=2)
    length = words.shape[2]
    a = {"words": _joined(words), "last": _ends(len(words), groups * length)}
    sides = {"a": a}
    if config.signs == "inline":
        a["exponents"] = np.repeat(exponents, length, axis=1)
    else:
        sides["heads"] = {"signs": signs, "exponents": exponents}
    filled = np.pad(weights, ((0, 0), (0, groups * t.group - weights.shape[1])))
    # The sign first.
    bits = (filled.reshape(len(filled), groups, 1, t.group) >> np.arange(3, -1, -1)[:, None]) & 1
    places = np.arange(t.group, dtype=np.uint64)
    columns = (bits.astype(np.uint64) << places).sum(axis=-1, dtype=np.uint64)
    return sides | {"w": {"planes": _joined(panels(columns, config.cols).swapaxes(2, 3))}}


def _floating(x, weights, config):
    """Fields of `fp16`: each step along K for one row of every unit after the other."""
    steps = -(-x.shape[1] // config.lanes)
    filling = ((0, 0), (0, steps * config.lanes - x.shape[1]))
    codes, filled = np.pad(x.view(np.uint16), filling), np.pad(weights, filling)
    rows = panels(codes.reshape(len(codes), steps, config.lanes), config.rows)
    turns = rows.reshape(len(rows), steps, config.units, config.share, config.lanes).swapaxes(2, 3)
    a = {f"values.{name}": part for name, part in _numbers(_joined(turns)).items()}
    a["last"] = np.repeat(_ends(len(rows), steps), config.share, axis=1)
    return {"a": a, "w": {"weights": panels(filled.reshape(len(filled), steps, config.lanes), config.cols)}}


def _joined(values):
    """The second and third axis as one."""
    return values.reshape(len(values), -1, *values.shape[3:])


def _ends(count, length):
    return np.broadcast_to(np.arange(length) == length - 1, (count, length))


def _numbers(codes):
    """Fields of FP16 numbers, of their codes."""
    return {"fraction": codes & 0x3FF, "exponent": (codes >> 10) & 0x1F, "sign": codes >> 15}
