"""How often each value of a code occurs among the weights of a model."""

from collections import Counter

import numpy as np

__all__ = ["BINS", "histogram"]

#: Values that are told apart, at most.
BINS = 256


def histogram(prepared):
    """Values of the codes of all linear layers.

    Parameters
    ----------
    prepared : Prepared

    Returns
    -------
    list of (number, int)
        Value in units of the step or scale, ascending, and how many weights have it. Of more than `BINS` values those
        of the largest magnitudes count as the largest one on their side that is kept.
    """
    counts = Counter()
    for w in prepared.weights.values():
        counts.update(_counted(prepared.scheme.code_values(w)))
    kept = sorted(counts, key=lambda value: (abs(value), value))[:BINS]
    low, high = min(kept, default=0), max(kept, default=0)
    bins = Counter()
    for value, count in counts.items():
        bins[min(max(value, low), high)] += count
    return [(value * prepared.scheme.unit, bins[value]) for value in sorted(bins)]


def _counted(values):
    """Counts by value of an array of integers."""
    low = int(values.min())
    counts = np.bincount((values.astype(np.int32) - low).ravel())
    return {low + int(index): int(counts[index]) for index in np.flatnonzero(counts)}
