"""Scale search: the step at which a quantizer of a tensor or of each of its rows errs least."""

import numpy as np

from .checks import finite

__all__ = ["CANDIDATES", "search"]

#: Percent of the three-sigma bound, as the OliVe authors' scripts try them.
CANDIDATES = range(75, 250, 2)

# Elements worked on at once: the temporaries stay in the cache, and are small enough for the allocator to keep.
_BLOCK = 1 << 14
_SMALLEST = np.finfo(np.float64).smallest_subnormal
_HALF_ULP = 2.0**-24


def search(x, top, round_trip, axis=None, *, try_maximum=False, rough=None, jump=None):
    """Find the scale step of least mean squared error.

    The error of each candidate is found in float32 first, with a bound of what that may be off; those that may be the
    least are compared in float64. So the step is that of float64 alone, and all but a few candidates take half the
    time (our choice).

    Parameters
    ----------
    x : array_like, shape (..., K)
        Finite real numbers.
    top : int
        Largest normal code: a candidate maps `i` percent of ``max(|mean + 3 std|, |mean - 3 std|)`` to it.
    round_trip : callable
        Takes numbers in units of the step, float64 or float32, gives them quantized in the same type; may pad the last
        axis. A number becomes the nearest of a grid, which has 0 and both signs; or 0, beside one from `jump` on.
    axis : None or 0
        None: one step for the tensor; 0: one for each slice of the first axis.
    try_maximum : bool
        Also try the largest magnitude, first.
    rough : callable, optional
        The same for float32 magnitudes alone, where ties may go either way; None: `round_trip`.
    jump : float, optional
        Magnitude, in units of the step, from which on a number may make another one 0.

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
    quantizer = top, round_trip, try_maximum, rough or round_trip, jump
    if axis is None:
        return float(_search_rows(x.reshape(1, -1, x.shape[-1]), *quantizer)[0])
    rows = x.reshape(x.shape[0], -1, x.shape[-1] if x.ndim > 1 else 1)
    size = max(1, _BLOCK // rows[0].size)
    return np.concatenate([_search_rows(rows[i : i + size], *quantizer) for i in range(0, len(rows), size)])


def _search_rows(x, top, round_trip, try_maximum, rough, jump):
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
    steps = np.array([np.where(candidate > 0, candidate / top, 1.0) for candidate in bounds])
    errors = _errors(x, steps, round_trip, _contenders(np.abs(x), steps, rough, jump) & (bound > 0))
    best = steps[errors.argmin(axis=0), np.arange(len(x))]
    return np.where(bound > 0, np.maximum(np.ldexp(best, exponents), _SMALLEST), 1.0)


def _errors(x, steps, round_trip, wanted):
    """Mean squared errors of the wanted candidates, by candidate and x[r]; infinity of the others."""
    errors = np.full(steps.shape, np.inf)
    pairs = np.argwhere(wanted)
    size = max(1, _BLOCK // x[0].size)
    for start in range(0, len(pairs), size):
        candidates, rows = pairs[start : start + size].T
        step, taken = steps[candidates, rows, None, None], x[rows]
        quantized = round_trip(taken / step)[..., : x.shape[-1]]
        errors[candidates, rows] = np.square(quantized * step - taken).mean(axis=(1, 2))
    return errors


def _contenders(x, steps, rough, jump):
    """Which candidates may have the least error of the magnitudes x[r], bool, by candidate and r.

    Each float32 operation is off by half a unit in the last place. As the distance from a grid changes no faster than
    the number, an element's error is off by less than 16 such of the element, and its root of the sum of squares by no
    more than that of these. Only where a number comes to lie on the other side of `jump` more changes: such a candidate
    stays.
    """
    squares, doubtful = np.zeros(steps.shape), np.zeros(steps.shape, bool)
    size = max(1, _BLOCK // x[:, 0].size)
    inverse = (1 / steps).astype(np.float32)
    for start in range(0, x.shape[1], size):
        part = x[:, start : start + size].astype(np.float32)
        for candidate, factor in enumerate(inverse):
            scaled = part * factor[:, None, None]
            error = (rough(scaled)[..., : x.shape[-1]] - scaled).reshape(len(x), -1)
            squares[candidate] += np.vecdot(error, error)
            if jump is not None:
                doubtful[candidate] |= np.abs(scaled - jump).min(axis=(1, 2)) <= 8 * _HALF_ULP * jump
    roots = np.sqrt(squares) * steps
    # A sum of n squares in float32 is off by less than n half units.
    slack = roots * min(size, x.shape[1]) * x.shape[2] * _HALF_ULP
    slack += 16 * _HALF_ULP * np.sqrt(np.square(x).sum(axis=(1, 2)))
    return doubtful | (roots - slack <= (roots + slack).min(axis=0))
