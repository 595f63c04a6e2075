"""Search for piecewise-linear tables: the genetic one of GQA-LUT (DAC 2024), and an exact one.

The genetic search moves the breakpoints; slopes and intercepts are those of the chords between them, rounded. It gives
one set of slopes and intercepts for all scales, and rounds the breakpoints to codes for each: to the nearest, as the
public code does; a summary of the paper prints ceil.

The exact search (our choice) finds, for one scale, the table of least squared error over all input codes of all tables
that there are, by dynamic programming over the at most 256 codes. No other table has a smaller error at that scale.
"""

import math
from dataclasses import dataclass

import numpy as np

from . import pwl
from .pwl import PwlTable

__all__ = [
    "CROSSOVER",
    "GENERATIONS",
    "METHODS",
    "MUTATION",
    "POPULATION",
    "ROUNDING",
    "TOURNAMENT",
    "Genetic",
    "exact",
    "genetic",
    "search",
]

#: Ways to search: genetic, and exact by dynamic programming.
METHODS = ("ga", "dp")
#: The paper's setup: individuals, generations, probabilities of crossover and mutation, individuals of a tournament,
#: and probability of rounding a breakpoint to each of the precisions. (Its 5 fraction bits are not taken over:
#: `Function.fraction_bits` has 6 for most functions, as the public code.)
POPULATION, GENERATIONS, CROSSOVER, MUTATION, TOURNAMENT, ROUNDING = 50, 500, 0.7, 0.2, 3, 0.05

_ENTRIES = range(2, 65)
_WIDTH = 8
_SMALLEST, _LARGEST = -1 << (_WIDTH - 1), (1 << (_WIDTH - 1)) - 1
# Rounding mutation: fewest and most fraction bits of a rounded breakpoint (the public code), else 0 and 6.
_FEWEST_BITS, _MOST_BITS = {("gelu", 8): 2, ("hswish", 16): 2}, 6
# The noise of the public code: a draw of 0.9 or more moves a breakpoint.
_NOISE_FROM, _NOISE = 0.9, 0.2
# The public code narrows these breakpoints for 16 entries.
_BOUNDS = {("exp", 16): (-6.5, 0.0)}


@dataclass(frozen=True)
class Genetic:
    """What the genetic search found.

    Parameters
    ----------
    function : Function
    breakpoints : tuple of float
        Not decreasing.
    slopes, intercepts : tuple of int
        As of `PwlTable`, in the order of the real inputs.
    error : float
        Mean squared error on the grid, with breakpoints that are not rounded.
    """

    function: object
    breakpoints: tuple
    slopes: tuple
    intercepts: tuple
    error: float

    def table(self, s):
        """The table at a scale; its breakpoints are rounded to that scale's codes."""
        f = self.function
        codes = {"first": f.first, "last": f.last, "negate_input": f.negate_input}
        return pwl.from_breakpoints(self.breakpoints, self.slopes, self.intercepts, f.fraction_bits, s, **codes)


def search(function, entries, method, seed=1, progress=lambda done, total: None, generations=GENERATIONS):
    """Tables of a function at every scale that is of interest.

    Parameters
    ----------
    function : Function
    entries : int
        2 to 64; the paper has 8 and 16.
    method : str
        ``ga`` or ``dp``.
    seed, generations : int
        As of `genetic`.
    progress : callable, optional
        Called with (done, total), in generations or in scales.

    Returns
    -------
    dict of int to PwlTable
        By scale s.
    """
    if method not in METHODS:
        raise ValueError(f"the method must be {' or '.join(METHODS)}, not {method!r}")
    if method == "ga":
        winner = genetic(function, entries, seed, generations, progress)
        return {s: winner.table(s) for s in function.scales}
    tables = {}
    for done, s in enumerate(function.scales):
        progress(done, len(function.scales))
        tables[s] = exact(function, entries, s)
    progress(len(function.scales), len(function.scales))
    return tables


# -- exact -------------------------------------------------------------------------------------------------------------


def exact(function, entries, s):
    """The table of least squared error over the codes that count, of all tables with 8-bit slopes and intercepts.

    The error is that of `pwl.mse`: of the sum before it is rounded to output codes.

    Parameters
    ----------
    function : Function
    entries : int
        2 to 64. With fewer codes than entries, the last entry fills up.
    s : int
        Scale, 0 to 7.

    Returns
    -------
    PwlTable

    Raises
    ------
    ValueError
        For another number of entries or scale, and when no code counts or the function is not finite at one.
    """
    _check_entries(entries)
    if not 0 <= s < _WIDTH:
        raise ValueError(f"the scale s must be 0 to {_WIDTH - 1}, not {s}")
    codes = function.codes(s)
    if not codes.size:
        raise ValueError(f"no code of {function.name} counts at the scale s = {s}")
    x = function.inputs(codes, s)
    y = _finite(function, x) * 2.0**function.fraction_bits
    cost, slopes, intercepts = _segments(x, y)
    starts = _shortest_path(cost, min(entries, len(codes)))
    segments = [*zip(starts, [*starts[1:], len(codes)], strict=True)]
    segments += segments[-1:] * (entries - len(segments))
    thresholds = [int(codes[start]) - 1 for start in starts[1:]]
    thresholds += [function.last] * (entries - 1 - len(thresholds))
    lines = [(int(slopes[segment]), int(intercepts[segment])) for segment in segments]
    return PwlTable(thresholds, *zip(*lines, strict=True), function.fraction_bits, function.negate_input)


def _segments(x, y):
    """Least squared error and its slope and intercept of every run of points, each of shape (M, M + 1).

    At ``[i, j]`` is the run from i to j, j excluded; where there is none, the error is infinite.
    """
    count = len(x)
    shape = (count, count + 1)
    number, mean_x, mean_y, spread, slope, residual = (np.zeros(shape) for _ in range(6))
    cost = np.full(shape, np.inf)
    for i in range(count):
        n = np.arange(1, count - i + 1)
        # Relative to the run's first point, so that little cancels.
        dx, dy = x[i:] - x[i], y[i:] - y[i]
        mx, my = np.cumsum(dx) / n, np.cumsum(dy) / n
        inside = n[:, None] > np.arange(count - i)
        cx, cy = (dx - mx[:, None]) * inside, (dy - my[:, None]) * inside
        sxx = np.einsum("ij,ij->i", cx, cx)
        k = np.einsum("ij,ij->i", cx, cy) / np.where(sxx > 0, sxx, 1)
        cy -= k[:, None] * cx
        row = i, slice(i + 1, None)
        number[row], mean_x[row], mean_y[row], spread[row], slope[row] = n, mx + x[i], my + y[i], sxx, k
        residual[row] = np.einsum("ij,ij->i", cy, cy)
    runs = number > 0
    line = _integer_lines(*(a[runs] for a in (number, mean_x, mean_y, spread, slope)))
    slopes, intercepts = np.zeros(shape, np.int64), np.zeros(shape, np.int64)
    cost[runs], slopes[runs], intercepts[runs] = residual[runs] + line[0], line[1], line[2]
    return cost, slopes, intercepts


def _integer_lines(number, mean_x, mean_y, spread, slope):
    """What the best 8-bit slope and intercept of every run add to the error of the best real line, and both.

    That error is ``spread * (K - slope)**2 + number * (B - ideal)**2``, where ideal is the best real intercept for K.
    So B is the integer nearest to it, and K is tried outwards from `slope` until the first square alone is too large.
    """
    least, best_k, best_b = np.full(len(number), np.inf), np.zeros(len(number)), np.zeros(len(number))
    middle = np.clip(np.rint(slope), _SMALLEST, _LARGEST)
    alive = np.arange(len(number))
    for distance in range(_LARGEST - _SMALLEST + 1):
        alive = alive[spread[alive] * max(0.0, distance - 0.5) ** 2 < least[alive]]
        for k in (middle[alive] - distance, middle[alive] + distance):
            ideal = mean_y[alive] - k * mean_x[alive]
            b = np.clip(np.rint(ideal), _SMALLEST, _LARGEST)
            off = spread[alive] * np.square(k - slope[alive]) + number[alive] * np.square(b - ideal)
            better = (off < least[alive]) & _fits(k)
            chosen = alive[better]
            least[chosen], best_k[chosen], best_b[chosen] = off[better], k[better], b[better]
    return least, best_k, best_b


def _shortest_path(cost, segments):
    """Starts of the runs of the cheapest cut of all points into `segments` runs."""
    count = len(cost)
    least = np.full(count + 1, np.inf)
    least[0] = 0
    came_from = []
    for _ in range(segments):
        total = least[:-1, None] + cost
        came_from.append(total.argmin(axis=0))
        least = total.min(axis=0)
    starts, end = [], count
    for step in reversed(came_from):
        end = int(step[end])
        starts.append(end)
    return starts[::-1]


# -- genetic -----------------------------------------------------------------------------------------------------------


def genetic(function, entries, seed=1, generations=GENERATIONS, progress=lambda done, total: None):
    """The paper's genetic search with rounding mutation.

    An individual is a sorted set of breakpoints; its error is the mean squared one on a grid of steps of 0.01, with
    slopes and intercepts rounded. In each generation, tournaments choose the individuals, pairs of them swap a random
    run of breakpoints, and some mutate: a breakpoint is rounded to some number of fraction bits, or moved.

    Where the paper is silent, or its public code does otherwise: one draw decides on a breakpoint's mutation (the
    paper), with the code's branch of Gaussian noise; slopes and intercepts are rounded before the error is taken (the
    code); the best individual of all generations is kept, not of the last (the paper); between equal breakpoints the
    segment is the constant through the function (our choice: the code's 0 would show where the grid does not look);
    individuals whose slopes or intercepts do not fit 8 bits are the worst (our choice).

    Parameters
    ----------
    function : Function
    entries : int
        2 to 64.
    seed : int
        0 to 2**32 - 1. The same seed gives the same result: NumPy keeps the streams of `RandomState` for ever.
    generations : int
        0 or more.
    progress : callable, optional
        Called with (done, total) in generations.

    Returns
    -------
    Genetic

    Raises
    ------
    ValueError
        For a parameter out of its range, when the function is not finite on its grid, and when nothing fits 8 bits.
    """
    _check_entries(entries)
    if generations < 0:
        raise ValueError(f"generations must be 0 or more, not {generations}")
    if not 0 <= seed < 1 << 32:
        raise ValueError(f"the seed must be 0 to 2**32 - 1, not {seed}")
    grid = function.grid()
    target = _finite(function, grid) * 2.0**function.fraction_bits
    low, high = _BOUNDS.get((function.name, entries), function.bounds)
    random = np.random.RandomState(seed)
    people = np.sort(random.uniform(low, high, (POPULATION, entries - 1)), axis=1)
    error, slopes, intercepts = _fitness(function, people, grid, target)
    best = math.inf, None
    for generation in range(generations + 1):
        progress(generation, generations)
        first = int(error.argmin())
        if error[first] < best[0]:
            parts = people[first].tolist(), slopes[first].astype(int).tolist(), intercepts[first].astype(int).tolist()
            best = float(error[first]), [*map(tuple, parts)]
        if generation < generations:
            people = _select(random, people, error)
            _cross(random, people)
            _mutate(random, people, function, low, high)
            people.sort(axis=1)
            error, slopes, intercepts = _fitness(function, people, grid, target)
    if best[1] is None:
        raise ValueError(f"no chords of {function.name} fit 8 bits with {function.fraction_bits} fraction bits")
    return Genetic(function, *best[1], best[0])


def _fitness(function, people, grid, target):
    """Error, slopes and intercepts of every individual; target, slopes and intercepts in units of the fraction."""
    sides = [np.full((len(people), 1), end) for end in function.ends]
    knots = np.concatenate([sides[0], people, sides[1]], axis=1)
    values = function(knots) * 2.0**function.fraction_bits
    left, width = knots[:, :-1], np.diff(knots, axis=1)
    slope = np.where(width > 0, np.diff(values, axis=1) / np.where(width > 0, width, 1), 0)
    intercept = values[:, :-1] - slope * left
    slope, intercept = np.rint(slope), np.rint(intercept)
    # How many breakpoints are at or below each point of the grid.
    passed = np.zeros((len(people), len(grid) + 1), np.int64)
    np.add.at(passed, (np.arange(len(people))[:, None], np.searchsorted(grid, people)), 1)
    entry = np.cumsum(passed[:, :-1], axis=1)
    outputs = np.take_along_axis(slope, entry, 1) * grid + np.take_along_axis(intercept, entry, 1)
    error = np.mean(np.square(outputs - target), axis=1) * 4.0**-function.fraction_bits
    lines = np.concatenate([slope, intercept], axis=1)
    return np.where(_fits(lines).all(axis=1), error, np.inf), slope, intercept


def _select(random, people, error):
    contenders = random.randint(0, len(people), (len(people), TOURNAMENT))
    return people[contenders[np.arange(len(people)), error[contenders].argmin(axis=1)]]


def _cross(random, people):
    """Swap a run of breakpoints between neighbours, in place."""
    pairs, points = len(people) // 2, people.shape[1]
    swaps = random.random_sample(pairs) < CROSSOVER
    cuts = np.sort(random.randint(0, points + 1, (pairs, 2)), axis=1)
    place = np.arange(points)
    run = swaps[:, None] & (cuts[:, :1] <= place) & (place < cuts[:, 1:])
    left, right = people[0 : 2 * pairs : 2], people[1 : 2 * pairs : 2]
    left[run], right[run] = right[run], left[run].copy()


def _mutate(random, people, function, low, high):
    """Round or move breakpoints of some individuals, in place."""
    chosen = random.random_sample(len(people)) < MUTATION
    draw = random.random_sample(people.shape)
    noise = random.normal(0, _NOISE, people.shape)
    moved = np.where(draw >= _NOISE_FROM, people + noise, people)
    if function.rounding:
        fewest = _FEWEST_BITS.get((function.name, people.shape[1] + 1), 0)
        bits = np.floor(draw / ROUNDING)
        rounds = (fewest <= bits) & (bits <= _MOST_BITS)
        step = 2.0 ** -np.where(rounds, bits, 0)
        moved = np.where(rounds, np.rint(people / step) * step, moved)
    people[chosen] = np.clip(moved, low, high)[chosen]


def _fits(values):
    return (values >= _SMALLEST) & (values <= _LARGEST)


def _check_entries(entries):
    if entries not in _ENTRIES:
        raise ValueError(f"entries must be {_ENTRIES[0]} to {_ENTRIES[-1]}, not {entries!r}")


def _finite(function, x):
    y = function(x)
    if not np.isfinite(y).all():
        at = np.flatnonzero(~np.isfinite(y))[0]
        raise ValueError(f"{function.name} must be finite on its range, not {y[at]} at x = {x[at]:g}")
    return y
