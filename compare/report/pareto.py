"""Which rows no other row beats."""

import math

__all__ = ["front"]


def front(points):
    """The Pareto front.

    Parameters
    ----------
    points : sequence of (float, float)
        Cost and worth: less of the first and more of the second is better.

    Returns
    -------
    list of bool
        Whether no other point is at least as good in both and better in one.
    """
    best, kept = -math.inf, set()
    for cost, worth in sorted(set(points), key=lambda point: (point[0], -point[1])):
        if worth > best:
            best = worth
            kept.add((cost, worth))
    return [point in kept for point in points]
