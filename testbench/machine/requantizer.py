"""Bench of the requantizer: ties and both ends of the range at every shift, whole tables, tables and sums that wait."""

from dataclasses import dataclass, field

import numpy as np

from ...golden.machine import requantizer as golden
from ..bench import Failure, Phase, shares
from ..stream import STALL_PAIRS, describing, packed

__all__ = ["core"]

_CAPACITY = golden.LATENCY + 1  # transfers that the core takes while its output is blocked
_INT32 = -(1 << 31), (1 << 31) - 1
_INT16 = -(1 << 15), (1 << 15) - 1


@dataclass
class _Work:
    """A table and the transfers that use it.

    Attributes
    ----------
    table : dict of str to ndarray of int64, shape (words, lanes)
        `bias`, `multiplier`, `shift`.
    word : ndarray of int, shape (transfers,)
    sums, residual : ndarray of int64, shape (transfers, lanes)
    marked : bool
        Whether the table's last entry says so.
    """

    table: dict
    word: np.ndarray
    sums: np.ndarray
    residual: np.ndarray
    marked: bool = True
    entries: dict = field(init=False)

    def __post_init__(self):
        self.entries = {name: values[self.word] for name, values in self.table.items()}


async def core(bench):
    """Directed works, whole tables, exact cycles; random works with stalls and resets."""
    if bench.codes is not None:
        raise Failure("the requantizer takes sums and tables, no packed codes")
    config, rng = bench.config, bench.rng
    sent = []

    def phase(name, works, **options):
        if options.get("cut") is None:
            sent.extend(works)
        if options.pop("exact", False):
            sizes = [work.table["shift"].size for work in works], [len(work.word) for work in works]
            options["cycles"] = golden.cycles(*sizes)
        return Phase(name, **_streams(rng, config, works), **options)

    def draw(transfers, words=None):
        words = int(rng.integers(1, min(config.depth, 6), endpoint=True)) if words is None else words
        return _drawn(rng, config, words, transfers)

    shifts = [phase(f"shift {shift}", _at_shift(rng, config, shift)) for shift in golden.SHIFTS]
    order = rng.permutation(config.depth)
    whole = [_drawn(rng, config, config.depth, len(order), word=order, marked=marked) for marked in (False, True)]
    several = [draw(int(transfers)) for transfers in (1, 40, 1, 2, 3, 30, 30, 1)]
    phases = [
        *shifts,
        phase("whole tables", whole, exact=True),
        phase("works back to back", several, reset=True, exact=True),
        phase("measured", [draw(200)], reset=True, measured=True, exact=True),
        phase("one sum", [draw(1, 1)], reset=True, exact=True),
        phase("full", [draw(40, 1)], reset=True, capacity=_CAPACITY),
    ]
    for (source, sink), count in zip(STALL_PAIRS, shares(bench.vectors, len(STALL_PAIRS)), strict=True):
        cut = int(rng.integers(1, 200))
        phases.append(phase("left by a reset", [draw(60) for _ in range(4)], sink="heavy", cut=cut, reset=True))
        works, left = [], max(count, 1)
        while left > 0:
            works.append(draw(min(left, int(rng.integers(1, 60)))))
            left -= len(works[-1].word)
        name = f"random works, stalls {source} in, {sink} out"
        phases.append(phase(name, works, source=source, sink=sink, reset=True, vectors=count))
    for made in phases:
        # While a table is loaded nothing comes out.
        made.silent = 8 * config.depth * config.lanes
    await bench.run(phases, describe=(describing(config.sum_layout), describing(config.out_layout)))
    _cover(bench, sent)


def _streams(rng, config, works):
    """Payloads of works, as fields of a `Phase`."""
    sums, table = {name: [] for name in ("sums", "word", "release")}, {name: [] for name in works[0].table}
    codes, residuals, table["last"] = [], [], []
    for work in works:
        ends = np.zeros(len(work.word), int)
        ends[-1] = 1
        for name, values in (("sums", work.sums), ("word", work.word), ("release", ends)):
            sums[name].append(values)
        # `last` of any lane but the last one has no effect.
        last = rng.integers(0, 2, work.table["shift"].shape)
        last[:, -1] = 0
        last[-1, -1] = work.marked
        for name, values in (work.table | {"last": last}).items():
            table[name].append(np.ravel(values))
        residual = work.residual if config.residual else None
        residuals.append(work.residual)
        codes.append(golden.requantize(work.sums, **work.entries, bits=config.output_bits, residual=residual))
    sums, table = ({name: np.concatenate(parts) for name, parts in each.items()} for each in (sums, table))
    table["shift"] = table["shift"] - golden.SHIFTS[0]
    last = rng.integers(0, 2, len(sums["word"]))
    inputs = {"i": packed(config.sum_layout, **sums, last=last), "table": packed(config.table_layout, **table)}
    if config.residual:
        inputs["residual"] = packed(config.residual_layout, payload=np.concatenate(residuals))
    return {"inputs": inputs, "outputs": packed(config.out_layout, codes=np.concatenate(codes), last=last)}


def _limits(config):
    """Least and largest code."""
    return -1 << (config.output_bits - 1), (1 << (config.output_bits - 1)) - 1


def _at_shift(rng, config, shift):
    """Two works of one shift: sums on both sides of where codes begin, at the range's ends and about zero."""
    low, high = _limits(config)
    # Ties need a power of two; with the largest multipliers the sums go furthest.
    multipliers = np.array([1 << min(15, shift - 1), rng.integers(60_000, 1 << 16)])
    targets = np.repeat([low - 1, low, -1, 0, 1, 2, high, high + 1, high + 2], 2)
    works = []
    for _ in range(2):
        shape = 2, config.lanes
        table = {
            "bias": rng.integers(-1000, 1000, shape),
            "multiplier": np.broadcast_to(multipliers[:, None], shape),
            "shift": np.full(shape, shift),
        }
        word = np.repeat([0, 1], len(targets))
        residual = _spread(rng, (len(word), config.lanes), 16) if config.residual else 0
        below = np.tile([0, 1], len(targets))[:, None]
        wanted = np.tile(targets, 2)[:, None]
        works.append(_Work(table, word, *_sums(table, word, wanted, residual, below)))
    return works


def _sums(table, word, wanted, residual, below):
    """Sums with which a result, together with its residual code, is just `wanted`, or just below it.

    Where no sum is large enough, the residual code gives way.

    Returns
    -------
    sums, residual : ndarray of int64
    """
    bias, multiplier, shift = (table[name][word] for name in ("bias", "multiplier", "shift"))
    reach = np.maximum(multiplier, 1) * ((1 << 31) - 2000) >> shift
    scaled = np.clip(wanted - residual, -reach, reach)
    residual = np.clip(wanted - scaled, *_INT16)
    # The least number that is rounded up to `scaled`.
    edge = -((1 - 2 * scaled << shift - 1) // np.maximum(multiplier, 1))
    return np.clip(edge - below - bias, *_INT32), residual


def _drawn(rng, config, words, transfers, *, word=None, marked=True):
    """A work of random entries; sums are random, or near where a random code begins, or as large as can be."""
    shape, low, high = (words, config.lanes), *_limits(config)
    extremes = rng.choice([0, 1, 1 << 15, (1 << 16) - 1], shape)
    table = {
        "bias": _spread(rng, shape, 32),
        "multiplier": np.where(rng.random(shape) < 1 / 4, extremes, rng.integers(0, 1 << 16, shape)),
        "shift": rng.choice(golden.SHIFTS, shape),
    }
    word = rng.integers(0, words, transfers) if word is None else word
    shape = transfers, config.lanes
    wanted = rng.integers(low - 2, high + 2, shape, endpoint=True)
    sums, residual = _sums(table, word, wanted, _spread(rng, shape, 16), rng.integers(0, 2, shape))
    sums = np.where(rng.random(shape) < 1 / 2, sums, _spread(rng, shape, 32))
    return _Work(table, word, sums, residual, marked)


def _spread(rng, shape, bits):
    """Numbers of all magnitudes, the greatest ones now and then."""
    low, high = -1 << (bits - 1), (1 << (bits - 1)) - 1
    numbers = rng.integers(low, high, shape, endpoint=True) >> rng.integers(0, bits, shape)
    return np.where(rng.random(shape) < 1 / 8, rng.choice([low, high], shape), numbers)


def _cover(bench, works):
    """Ties and ends of the range at each shift; biased sums of more than 32 bits; every word of both tables."""
    config = bench.config
    low, high = _limits(config)
    bits = {name: np.concatenate([work.entries[name].ravel() for work in works]) for name in works[0].entries}
    sums, residual = (np.concatenate([getattr(work, name).ravel() for work in works]) for name in ("sums", "residual"))
    biased, shift = sums + bits["bias"], bits["shift"]
    product, half = biased * bits["multiplier"], np.int64(1) << (shift - 1)
    raw = (product + half >> shift) + (residual if config.residual else 0)
    ties = set(zip(*_where(product & (2 * half - 1) == half, shift, product < 0), strict=True))
    bench.cover("ties", len(ties), 2 * len(golden.SHIFTS))
    ends = (low - 1, low, high, high + 1)
    # At larger shifts no sum is large enough.
    reached = [s for s in golden.SHIFTS if config.residual or s <= 47 - config.output_bits]
    at = set(zip(*_where(np.isin(raw, ends), shift, raw), strict=True))
    bench.cover("ends of the range", len(at & {(s, end) for s in reached for end in ends}), len(reached) * len(ends))
    bench.cover("sums of 33 bits", int(biased.min() < _INT32[0]) + int(biased.max() > _INT32[1]), 2)
    bench.cover("words", max(len(np.unique(work.word)) for work in works), config.depth)


def _where(mask, *arrays):
    """Elements of arrays where a mask is set, as Python's numbers."""
    return [array[mask].tolist() for array in arrays]
