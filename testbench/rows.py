"""Rows as payloads of a stream, for the benches of the softmax and LayerNorm units."""

import numpy as np

__all__ = ["kinds", "lengths", "payloads"]

_CODES = (-128, 127)


def lengths(rng, longest, total):
    """Random lengths of rows, short ones more often, of `total` elements."""
    found = []
    while total > 0:
        length = int(rng.integers(1, longest, endpoint=True)) >> int(rng.integers(0, longest.bit_length()))
        found.append(min(total, max(1, length)))
        total -= found[-1]
    return found


def kinds(rng, length):
    """A row of each kind: random, extremes of all sorts, constant, narrow, one that sticks out.

    Returns
    -------
    list of ndarray of int64
    """
    low, high = _CODES
    outlier = np.full(length, low)
    outlier[rng.integers(length)] = high
    alone = np.full(length, high)
    alone[rng.integers(length)] = low
    rows = [
        rng.integers(low, high, length, endpoint=True),
        np.full(length, low),
        np.full(length, high),
        np.zeros(length),
        np.where(np.arange(length) % 2, low, high),
        outlier,
        alone,
        np.arange(length) % 3 - 1,
        np.clip(np.rint(rng.normal(rng.integers(-60, 60), rng.integers(1, 40), length)), low, high),
    ]
    return [row.astype(np.int64) for row in rows]


def payloads(rows, last=None, fields=()):
    """Payloads of 8-bit codes, then other fields of (values of each row, bits), then `last` of the row.

    Parameters
    ----------
    rows : list of ndarray of int
    last : list of bool, optional
        Whether each row is marked; all are by default.
    fields : sequence of (list of ndarray, int)
        Beside the codes.

    Returns
    -------
    list of int
    """
    found, bits = [], 8 + sum(width for _, width in fields)
    for index, row in enumerate(rows):
        words = row & 255
        at = 8
        for values, width in fields:
            words = words | values[index].astype(np.int64) << at
            at += width
        words[-1] |= (last is None or last[index]) << bits
        found += words.tolist()
    return found
