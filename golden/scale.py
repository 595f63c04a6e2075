"""Scale search: the step at which a quantizer of a tensor or of each of its rows errs least."""

import numpy as np

from .checks import finite

__all__ = ["CANDIDATES", "search"]

#: Percent of the three-sigma bound, as the OliVe authors' scripts try them.
CANDIDATES = range(75, 250, 2)

# Elements worked on at once: the temporaries stay in the cache, and are small enough for the allocator to keep.
_BLOCK = 1 << 13
_SMALLEST = np.finfo(np.float64).smallest_subnormal


def search(x, top, round_trip, axis=None, *, try_maximum=False):
    """Find the scale step of least mean squared error.

    Parameters
    ----------
    x : array_like, shape (..., K)
        Finite real numbers.
    top : int
        Largest normal code: a candidate maps `i` percent of ``max(|mean + 3 std|, |mean - 3 std|)`` to it.
    round_trip : callable
        Takes numbers in units of the step, gives them quantized; may pad the last axis.
    axis : None or 0
        None: one step for the tensor; 0: one for each slice of the first axis.
    try_maximum : bool
        Also try the largest magnitude, first.

    Returns
    -------
    float or ndarray of float64, shape (x.shape[0],)
        The step; the first minimum wins; 1 for a slice that is all zero or empty.
    """
    x = finite(x)
    if axis not in (None, 0):
        raise ValueError(f"axis must be None or 0, not {axis!r}")
    if not x.size:
        return 1.0 if axis is None else np.ones(len(x))
    if axis is None:
        return float(_search_rows(x.reshape(1, -1, x.shape[-1]), top, round_trip, try_maximum)[0])
    rows = x.reshape(x.shape[0], -1, x.shape[-1] if x.ndim > 1 else 1)
    size = max(1, _BLOCK // rows[0].size)
    blocks = [_search_rows(rows[i : i + size], top, round_trip, try_maximum) for i in range(0, len(rows), size)]
    return np.concatenate(blocks)


def _search_rows(x, top, round_trip, try_maximum):
    """One step for each x[r], x of shape (R, rows, K)."""
    # A power of two changes no rounding, and so brought near 1 no number's square leaves the range of float64.
    exponents = np.frexp(np.abs(x).max(axis=(1, 2)))[1]
    x = np.ldexp(x, -exponents[:, None, None])
    flat = x.reshape(len(x), -1)
    count = flat.shape[1]
    mean = flat.mean(axis=1)
    deviation = flat.std(axis=1, ddof=1) if count > 1 else np.zeros(len(x))
    bound = np.maximum(np.abs(mean + 3 * deviation), np.abs(mean - 3 * deviation))
    bounds = [bound * percent / 100 for percent in CANDIDATES]
    if try_maximum:
        bounds.insert(0, np.abs(flat).max(axis=1))
    best, least = np.ones(len(x)), np.full(len(x), np.inf)
    for candidate in bounds:
        step = np.where(candidate > 0, candidate / top, 1.0)
        quantized = round_trip(x / step[:, None, None])[..., : x.shape[-1]]
        error = (np.square(quantized * step[:, None, None] - x)).mean(axis=(1, 2))
        better = error < least
        best, least = np.where(better, step, best), np.where(better, error, least)
    return np.where(bound > 0, np.maximum(np.ldexp(best, exponents), _SMALLEST), 1.0)
