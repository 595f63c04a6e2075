"""Checks that the models share."""

import contextlib
import operator

import numpy as np

__all__ = ["chosen", "finite", "integer", "matrix", "named", "within"]


def chosen(name, values, allowed):
    """Refuse a value that is not among those allowed.

    Raises
    ------
    ValueError
        For the first such value, naming it and what is allowed.
    """
    for value in values:
        if value not in allowed:
            raise ValueError(f"{name} must be one of {', '.join(allowed)}, not {value!r}")


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


def matrix(x):
    """A weight matrix as float64, its rows together in memory.

    Raises
    ------
    ValueError
        As `finite`, and for other than two axes, or no value at all.
    """
    x = finite(x)
    if x.ndim != 2:
        raise ValueError(f"a weight must have two axes, not shape {x.shape}")
    if not x.size:
        raise ValueError(f"a weight must have a value, not shape {x.shape}")
    return np.ascontiguousarray(x)


@contextlib.contextmanager
def named(name):
    """Put a name before the message of a ValueError that the block raises."""
    try:
        yield
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None


def within(x, low, high):
    """Refuse numbers that a format can only turn into zeros, or cannot hold.

    Parameters
    ----------
    x : ndarray
        Finite.
    low, high : float
        What the largest magnitude may be if it is not 0. Numbers below `low` beside larger ones are no fault: they are
        close to 0.

    Raises
    ------
    ValueError
        Names the range of `x`, and what is allowed.
    """
    # As Python's numbers: NumPy would compare in float32 if the limit is one.
    largest, low, high = float(np.abs(x).max(initial=0)), float(low), float(high)
    if largest > high or 0 < largest < low:
        allowed = f"0 or {low:.6g} to {high:.6g}" if low else f"at most {high:.6g}"
        extent = f"values from {np.min(x):.4g} to {np.max(x):.4g}"
        raise ValueError(f"{extent}: the largest magnitude must be {allowed}, not {largest:.4g}")


def integer(name, value, low, high):
    """`value` as an int from `low` to `high`, without an upper limit if `high` is None.

    Raises
    ------
    ValueError
        For anything else, naming it, what is allowed and the value.
    """
    try:
        number = operator.index(value)
    except TypeError:
        number = low - 1
    if number < low or (high is not None and number > high):
        wanted = f"{low} to {high}" if high is not None else f"{low} or more"
        raise ValueError(f"{name} must be {wanted}, not {value!r}")
    return number
