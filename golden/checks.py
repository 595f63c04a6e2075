"""Checks that the models share."""

import operator

import numpy as np

__all__ = ["finite", "integer"]


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


def integer(what, value, low, high):
    """`value` as an int from `low` to `high`, without an upper limit if `high` is None.

    Raises
    ------
    ValueError
        For anything else, naming `what`, what is allowed and the value.
    """
    try:
        number = operator.index(value)
    except TypeError:
        number = low - 1
    if number < low or (high is not None and number > high):
        wanted = f"{low} to {high}" if high is not None else f"{low} or more"
        raise ValueError(f"{what} must be {wanted}, not {value!r}")
    return number
