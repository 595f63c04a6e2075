"""Checks that the models share."""

import numpy as np

__all__ = ["finite"]


def finite(x):
    """`x` as float64, with at least one axis.

    Raises
    ------
    ValueError
        For a scalar, and for NaN or Inf, naming the first such value and its index.
    """
    x = np.asarray(x, dtype=np.float64)
    if x.ndim == 0:
        raise ValueError(f"x must have at least one axis, not be the scalar {x}")
    wrong = ~np.isfinite(x)
    if wrong.any():
        index = tuple(int(i) for i in np.argwhere(wrong)[0])
        raise ValueError(f"x must be finite, not {x[index]} at index {index}")
    return x
