"""What goes through a stream, as fields: a golden model knows no bits of a payload."""

from typing import NamedTuple

import numpy as np

__all__ = ["Transfers"]


class Transfers(NamedTuple):
    """Blocks of transfers, and the order in which they go through; who drives a core packs each block once.

    Attributes
    ----------
    fields : dict of str to ndarray, shape (blocks, transfers, ...)
        Of each field of the payload.
    order : ndarray of int, shape (any,)
        Blocks as they go through: a block may come several times.
    """

    fields: dict
    order: np.ndarray
