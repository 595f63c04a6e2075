"""Exact integer matrix products, and accumulators of any width."""

import numpy as np

__all__ = ["overflows", "product", "wrap"]

# Products that are looked at one by one at a time: the temporaries stay below 100 MB.
_BLOCK = 1 << 22


def product(a, w):
    """``a @ w.T``, exact while it fits int64.

    Parameters
    ----------
    a, w : ndarray of int64, shapes (M, K) and (N, K)

    Returns
    -------
    ndarray of int64, shape (M, N)
    """
    # Floating point is exact, and much faster, while no partial sum can leave its integers.
    bound = _bound(a, w)
    for kind, limit in ((np.float32, 1 << 24), (np.float64, 1 << 53)):
        if bound <= limit:
            return (a.astype(kind) @ w.astype(kind).T).astype(np.int64)
    return a @ w.T


def _bound(a, w):
    """What no partial sum of magnitudes exceeds."""
    return int(np.abs(a).max(initial=0)) * int(np.abs(w).max(initial=0)) * a.shape[1]


def overflows(a, w, width, wrapped=False):
    """Where a running sum of ``a @ w.T`` leaves an accumulator's range, k ascending.

    Parameters
    ----------
    a, w : ndarray of int64, shapes (M, K) and (N, K)
    width : int
        Bits of the accumulator, two's complement.
    wrapped : bool
        Whether a product that is wider counts by its low `width` bits.

    Returns
    -------
    ndarray of bool, shape (M, N)
    """
    limit = 1 << (width - 1)
    if _bound(a, w) < limit:
        return np.zeros((len(a), len(w)), bool)
    # Only where the magnitudes add up to more than the accumulator holds can it be: check those one by one.
    flags = product(np.abs(a), np.abs(w)) >= limit
    rows, columns = np.nonzero(flags)
    block = max(1, _BLOCK // max(a.shape[1], 1))
    for start in range(0, len(rows), block):
        at = rows[start : start + block], columns[start : start + block]
        terms = a[at[0]] * w[at[1]]
        running = np.cumsum(wrap(terms, width) if wrapped else terms, axis=1)
        flags[at] = ((running < -limit) | (running >= limit)).any(axis=1)
    return flags


def wrap(x, width):
    """The low `width` bits, up to 64, of int64 as two's complement."""
    shift = 64 - width
    return np.left_shift(x, shift) >> shift
