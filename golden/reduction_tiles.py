"""Matrix products of any shape on a tile of `golden.reductions`: what goes through its streams, and results put back.

Tiles of results lie in row-major order; the last ones of either side are filled up with copies of the last row, whose
results are dropped. The order is our choice; `Schedule.product_cycles` counts for it.
"""

import numpy as np

from .transfers import Transfers

__all__ = ["panels", "results", "tile_order", "transfers"]


def transfers(x, w, config):
    """Transfers of both sides.

    Parameters
    ----------
    x, w : dict of str to ndarray, shape (rows, steps, ...)
        Fields of a group, row by row and step by step along K.
    config
        `rows` and `cols` of the tile.

    Returns
    -------
    dict of str to Transfers
        Fields `groups.NAME` and `last` of the streams `x` and `w`.
    """
    sides = {"x": _side(x, config.rows), "w": _side(w, config.cols)}
    orders = tile_order(*(len(fields["last"]) for fields in sides.values()))
    return {name: Transfers(fields, order) for (name, fields), order in zip(sides.items(), orders, strict=True)}


def results(values, m, n, config):
    """The product that a tile's results make.

    Parameters
    ----------
    values : ndarray, shape (transfers, rows, cols)
        As they come: of each transfer some rows of a tile.
    m, n : int
        Shape of the product.
    config
        `rows` and `cols` of the tile.

    Returns
    -------
    ndarray, shape (m, n)
    """
    across = -(-n // config.cols)
    tiles = values.reshape(-1, across, config.rows, config.cols).transpose(0, 2, 1, 3)
    return tiles.reshape(-1, across * config.cols)[:m, :n]


def panels(values, lanes):
    """All of K for `lanes` rows at a time: from (rows, steps, ...) to (panels, steps, lanes, ...)."""
    fill = [(0, -len(values) % lanes)] + [(0, 0)] * (values.ndim - 1)
    whole = np.pad(values, fill, mode="edge")
    return whole.reshape(-1, lanes, *values.shape[1:]).swapaxes(1, 2)


def tile_order(down, across):
    """Which panel of either side comes with each tile, tiles in row-major order."""
    return np.indices((down, across)).reshape(2, -1)


def _side(fields, lanes):
    groups = {f"groups.{name}": panels(values, lanes) for name, values in fields.items()}
    count, steps = next(iter(groups.values())).shape[:2]
    return groups | {"last": np.broadcast_to(np.arange(steps) == steps - 1, (count, steps))}
