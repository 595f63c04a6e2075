"""Exact integer matrix products, and accumulators of any width."""

import itertools
import math

import numpy as np

__all__ = ["overflows", "product", "wrap"]

# Rows of either side and steps along K for which sums are looked at together: the temporaries stay in the cache, and so
# small a product takes OpenBLAS one thread. With more it spends its time in waiting for them.
_ROWS, _COLUMNS, _STEPS = 32, 128, 64


def product(a, w):
    """``a @ w.T``, exact while it fits int64.

    Parameters
    ----------
    a, w : ndarray of int64, shapes (M, K) and (N, K)

    Returns
    -------
    ndarray of int64, shape (M, N)
    """
    kind = _exact(_bound(a, w))
    return (a.astype(kind) @ w.astype(kind).T).astype(np.int64)


def _exact(bound):
    """The type in which products are fastest, of those that hold all integers up to a bound."""
    return np.float32 if bound <= 1 << 24 else np.float64 if bound <= 1 << 53 else np.int64


def _bound(a, w):
    """What no sum of magnitudes of products of two rows exceeds: the product of the largest norms (Cauchy, Schwarz)."""
    norms = [math.sqrt(np.vecdot(x, x).max(initial=0)) for x in (a.astype(np.float64), w.astype(np.float64))]
    # Float64 rounds each of the K sums and squares by half a unit at the most.
    return math.prod(norms) * (1 + (a.shape[1] + 8) * 2.0**-52)


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
    limit, bound = 1 << (width - 1), _bound(a, w)
    flags = np.zeros((len(a), len(w)), bool)
    if bound < limit:
        return flags
    wide = wrapped and int(np.abs(a).max()) * int(np.abs(w).max()) >= limit
    kinds = _exact(bound), np.int32 if bound < 1 << 31 else np.int64
    for row, column in itertools.product(range(0, len(a), _ROWS), range(0, len(w), _COLUMNS)):
        rows, columns = slice(row, row + _ROWS), slice(column, column + _COLUMNS)
        flags[rows, columns] = _overflows(a[rows], w[columns], width, wide, *kinds)
    return flags


def _overflows(a, w, width, wide, kind, integer):
    """`overflows` of some rows, in types that hold all sums: one for products of matrices, and an integer."""
    limit = 1 << (width - 1)
    flags, sums = np.zeros((len(a), len(w)), bool), np.zeros((len(a), len(w)), kind)
    for step in range(0, a.shape[1], _STEPS):
        x, y = (side[:, step : step + _STEPS].astype(integer) for side in (a, w))
        doubtful = ~flags
        if not wide:
            # In these steps a sum moves by no more than the magnitudes: where that is not too far, it stays in range.
            doubtful &= np.abs(sums) + np.abs(x).astype(kind) @ np.abs(y).astype(kind).T >= limit
        at = np.nonzero(doubtful)
        terms = x[at[0]] * y[at[1]]
        if wide:
            terms = wrap(terms, width)
        terms[:, 0] += sums[at].astype(integer)
        running = np.add.accumulate(terms, axis=1, out=terms)
        flags[at] = (running.min(axis=1) < -limit) | (running.max(axis=1) >= limit)
        sums += x.astype(kind) @ y.astype(kind).T
        sums[at] = running[:, -1]
    return flags


def wrap(x, width):
    """The low `width` bits of signed integers as two's complement; those of `width` bits or less are as they were."""
    shift = max(8 * x.itemsize - width, 0)
    return np.left_shift(x, shift) >> shift
