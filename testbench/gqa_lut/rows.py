"""Rows as payloads of a stream, and the phases that the benches of the softmax and LayerNorm units share."""

import numpy as np

from ..bench import shares
from ..stream import STALL_PAIRS, packed

__all__ = ["kinds", "lengths", "payloads", "phases_of_rows", "tried"]

_SHORT = 12  # up to which every length is tried


def lengths(rng, longest, total):
    """Random lengths of rows, short ones more often, of `total` elements."""
    sizes = []
    while total > 0:
        length = int(rng.integers(1, longest, endpoint=True)) >> int(rng.integers(0, longest.bit_length()))
        sizes.append(min(total, max(1, length)))
        total -= sizes[-1]
    return sizes


def _limits(bits):
    return -1 << (bits - 1), (1 << (bits - 1)) - 1


def kinds(rng, length, bits=8):
    """A row of each kind: random, extremes of all sorts, constant, narrow, one that sticks out.

    Returns
    -------
    list of ndarray of int64
        Of `bits` bits.
    """
    (low, high), unit = _limits(bits), 1 << (bits - 8)
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
        np.clip(np.rint(unit * rng.normal(rng.integers(-60, 60), rng.integers(1, 40), length)), low, high),
    ]
    return [row.astype(np.int64) for row in rows]


def payloads(layout, last=None, /, **rows):
    """Payloads of rows, one element a transfer.

    Parameters
    ----------
    layout : StructLayout
        Fields, and `last` of the row.
    last : list of bool, optional
        Whether each row is marked; all are by default.
    **rows : list of ndarray of int
        Of each other field by its name.

    Returns
    -------
    list of int
    """
    sizes = [len(row) for row in next(iter(rows.values()))]
    ends = np.zeros(sum(sizes), bool)
    ends[np.cumsum(sizes) - 1] = True if last is None else last
    return packed(layout, **{name: np.concatenate(parts) for name, parts in rows.items()}, last=ends)


def tried(longest):
    """The lengths that rows of all kinds must have had: every short one, and the longest."""
    return {*range(1, min(_SHORT, longest) + 1), longest}


def phases_of_rows(bench, longest, phase, ones, bits=8):
    """Rows of all kinds; rows of equal and of mixed lengths, to the cycle; stalls after resets; rows that are too long.

    Parameters
    ----------
    bench : bench.Bench
        Its `rng` and `vectors`.
    longest : int
        The greatest length.
    phase : callable
        Takes a name, rows and fields of `bench.Phase`, gives a `Phase`. Of its own it must know `exact`: it takes
        as many cycles as the model says; and `marked`: which rows have their `last`.
    ones : int
        Rows of one element that follow the longest row: more than can wait behind it.
    bits : int
        Of an element.

    Returns
    -------
    list of Phase
    """
    rng = bench.rng
    low, high = _limits(bits)

    def random_rows(wanted):
        return [rng.integers(low, high, length, endpoint=True) for length in wanted]

    phases = [
        phase(
            f"rows of {length}", [row for _ in range(2 if length <= _SHORT else 1) for row in kinds(rng, length, bits)]
        )
        for length in sorted(tried(longest))
    ]
    for length in sorted({min(length, longest) for length in (1, 2, 3, 7, longest)}):
        for count in (1, 6 if length < 100 else 3):
            rows = random_rows([length] * count)
            phases.append(phase(f"{count} rows of {length} back to back", rows, reset=True, exact=True))
    mixed = [*lengths(rng, min(longest, 60), 500), longest, *[1] * ones, *lengths(rng, min(longest, 40), 200)]
    phases.append(phase("rows of any length", random_rows(mixed), reset=True, exact=True))
    phases.append(phase("measured", random_rows([min(longest, 9)] * 12), reset=True, measured=True))

    for count, (source, sink) in zip(shares(bench.vectors, len(STALL_PAIRS)), STALL_PAIRS, strict=True):
        cut = int(rng.integers(1, 6 * min(longest, 100)))
        rows = random_rows(lengths(rng, longest, 600))
        phases.append(phase("left by a reset", rows, sink="heavy", cut=cut, reset=True))
        rows = [rng.choice(np.array(kinds(rng, length, bits))) for length in lengths(rng, longest, max(count, 1))]
        name = f"random rows, stalls {source} in, {sink} out"
        phases.append(phase(name, rows, source=source, sink=sink, reset=True, vectors=count))

    # Two rows of the greatest length without a mark between them, or after the second one.
    rows = random_rows([longest, longest, min(3, longest)])
    flags = [True] * sum(map(len, rows))
    options = {"marked": [False, False, True], "offending": {"i": longest - 1}, "flags": flags, "reset": True}
    phases.append(phase("rows that are too long", rows, **options))
    for made in phases:
        # A unit reads a whole row once or twice again before it gives anything.
        made.silent = 2 * longest
    return phases
