"""Bench of the N:M sparse tile: every N, dense ones included, and slots that no selector gives."""

import itertools

import numpy as np

from ...golden.sat import sparse as nm_sparse
from ...golden.sat import tile as golden
from ...golden.systolic import tile as systolic
from ..bench import Failure, Phase, shares
from ..stream import STALL_PAIRS, Collected, describing
from ..systolic.results import result_fields

__all__ = ["tile"]

_BUSY = 0.99  # of the cycles back to back, in which a slot must be taken
_LONGEST = 1024  # slots of a reduction that is made to leave the accumulator's range

#: Kinds of weights: kept ones of random or of extreme values, of groups with few or no others than zeros; slots of any
#: index, also the same one again, in any order.
_KINDS = ("selected", "extreme", "zeros", "any")
#: Where a reduction ends: by either stream's `last` or both, with a group or within it.
_ENDS = ("both", "a", "w", "within")


async def tile(bench):
    """Reductions of every N and length: back to back, at the extremes, after resets and under stalls.

    Where nothing stalls, cycles, latency and interval must be those of the model.
    """
    if bench.codes is not None:
        raise Failure("the tile takes two streams of operands, no packed codes")
    config, rng = bench.config, bench.rng
    draw = _Draw(config, rng)
    counts, sent = range(1, config.group + 1), set()

    def phase(name, n, reductions, port=None, **options):
        if options.get("cut") is None:
            sent.update((reduction.kind, reduction.end, n) for reduction in reductions)
        return Phase(name, **_items(reductions, n, config), ports={"slots": n if port is None else port}, **options)

    phases = []
    for n in counts:
        at = f"{n}:{config.group}"
        for groups in sorted({1, -(-config.rows // n), 2 * config.rows // n + 3}):
            k = groups * config.group
            cycles = golden.cycles(config, 2 * config.rows, k, 2 * config.cols, n)
            drawn = [draw(n, groups) for _ in range(4)]
            phases.append(phase(f"{at}, K = {k}, four tiles", n, drawn, reset=True, cycles=cycles))
        drawn = [draw(n, draw.length(), *case) for case in itertools.product(_KINDS, _ENDS)]
        phases.append(phase(f"{at}, special weights", n, drawn))
    for n, port in ((config.group, 0), *((n - config.group, n) for n in range(config.group + 1, 1 << _bits(config)))):
        phases.append(phase(f"slots = {port}, which counts as {n}", n, [draw(n, 3) for _ in range(3)], port=port))
    for a, w in itertools.product(*(operand.limits for operand in config.operands)):
        for n in (1, config.group):
            drawn = [draw.constant(a, w, n, groups) for groups in _lengths_at_the_limit(config, n)]
            phases.append(phase(f"{a} x {w} alone, {n}:{config.group}", n, drawn))
    # So long that the way in and out is less than a hundredth of it.
    few = 2
    whole = -(-config.rows // few)
    tiles = -(-100 * (golden.latency(config) + 2 * config.rows) // config.rows)
    busy = phase("back to back", few, [draw(few, whole) for _ in range(tiles)], reset=True, measured=True)
    phases.append(busy)
    for (source, sink), count in zip(STALL_PAIRS, shares(bench.vectors, len(STALL_PAIRS)), strict=True):
        for n, part in zip(rng.permutation(counts).tolist(), shares(count, len(counts)), strict=True):
            cut = int(rng.integers(1, 12 * config.rows + 20))
            left = [draw(n, draw.length()) for _ in range(8)]
            phases.append(phase("left by a reset", n, left, sink="heavy", cut=cut, reset=True))
            # A reduction gives `rows` vectors.
            drawn = [draw(n, draw.length()) for _ in range(max(-(-part // config.rows), 1))]
            name = f"random reductions, {n}:{config.group}, stalls {source} in, {sink} out"
            phases.append(phase(name, n, drawn, source=source, sink=sink, reset=True, vectors=part))

    await bench.run(phases, describe=(describing(config.w_layout), describing(config.o_layout)))

    cases = [(kind, end, n) for kind, end, n in itertools.product(_KINDS, _ENDS, counts)]
    bench.cover("kinds of weights and of ends at each N", sum(case in sent for case in cases), len(cases))
    if busy.taken:
        share = tiles * whole * few / busy.taken
        if share < _BUSY:
            bench.mismatch("utilization", 0, f"{_BUSY:.0%} or more", f"{share:.2%}")
        bench.figure("utilization", f"{share:.2%} of the multipliers' cycles at {few}:{config.group}, back to back")


class _Reduction:
    """One reduction for all rows and columns.

    Attributes
    ----------
    kind, end : str
        One of `_KINDS`, of `_ENDS`.
    a : ndarray, shape (rows, K)
    values, indices : ndarray, shape (cols, K / M, N)
    slots : int
        How many of them go in; the others are zeros.
    """

    def __init__(self, kind, end, a, values, indices, slots):
        self.kind, self.end, self.a, self.values, self.indices, self.slots = kind, end, a, values, indices, slots


class _Draw:
    """Random reductions."""

    def __init__(self, config, rng):
        self.config, self.rng = config, rng

    def length(self):
        """Some number of groups: often one or two."""
        rng = self.rng
        return int(rng.choice([1, 2, rng.integers(1, 5), rng.integers(1, 2 + self.config.rows)]))

    def __call__(self, n, groups, kind=None, end="both"):
        """A reduction of `groups` groups, of any kind of weights by default."""
        config, rng = self.config, self.rng
        kind = kind or str(rng.choice(_KINDS))
        a = self._values(config.operands[0], (config.rows, groups * config.group), kind == "extreme")
        w = self._values(config.operands[1], (config.cols, groups * config.group), kind == "extreme")
        if kind == "zeros":
            w = np.where(rng.random(w.shape) < 1 / (2 * config.group), w, 0)
        values, indices = nm_sparse.select(w, n, config.group)
        if kind == "any" and n < config.group:
            indices = rng.integers(0, config.group, indices.shape)
        slots = groups * n
        if end == "within":
            slots -= int(rng.integers(0, n))
            kept = np.arange(groups * n).reshape(groups, n) < slots
            values = np.where(kept, values, 0)
        return _Reduction(kind, end, a, values, indices, slots)

    def constant(self, a, w, n, groups):
        """A reduction of the same activation and weight everywhere."""
        config = self.config
        a, w = np.full((config.rows, groups * config.group), a), np.full((config.cols, groups * config.group), w)
        return _Reduction("extreme", "both", a, *nm_sparse.select(w, n, config.group), groups * n)

    def _values(self, operand, shape, extreme):
        low, high = operand.limits
        drawn = self.rng.integers(low, high + 1, shape)
        often = self.rng.choice([low, high], shape)
        return np.where(self.rng.random(shape) < 7 / 8, often, drawn) if extreme else drawn


def _lengths_at_the_limit(config, n):
    """Groups of reductions of the extremes: the most that stay in the accumulator's range, and more."""
    limit = systolic.max_k(config) // n
    return [limit, limit + 1, 2 * limit + 3] if 0 < limit * n < _LONGEST else [3]


def _items(reductions, n, config):
    """What goes in and what must come out of reductions, as fields of a `Phase`."""
    inputs = {"w": Collected(config.w_layout), "a": Collected(config.a_layout)}
    outputs, after, delay, counting = Collected(config.o_layout), [], [], []
    order = np.arange(config.rows)
    for reduction in reductions:
        product, overflow = golden.matmul(reduction.values, reduction.indices, reduction.a, config)
        values, indices = (
            x.reshape(config.cols, -1)[:, : reduction.slots].T for x in (reduction.values, reduction.indices)
        )
        if n == config.group:
            # The tile counts: what is in their place has no meaning.
            indices = (indices * 5 + 3) % config.group
        at = np.arange(len(values))
        ends = (at == at[-1]) & (reduction.end != "a")
        # The number of slots counts with a group's first one.
        counting += (at % n == 0).tolist()
        inputs["w"].add(**{"lanes.value": values, "lanes.index": indices}, last=ends)
        groups = reduction.a.reshape(config.rows, -1, config.group).transpose(1, 0, 2)
        at = np.arange(len(groups))
        ends = (at == at[-1]) & (reduction.end in ("both", "a"))
        inputs["a"].add(lanes=groups, last=ends)
        outputs.add(**result_fields(config, product, overflow, order == order[-1]))
        after += [len(inputs["w"]) - 1] * config.rows
        delay += order.tolist()
    inputs = {name: sent.payloads() for name, sent in inputs.items()}
    return {"inputs": inputs, "outputs": outputs.payloads(), "after": after, "delay": delay, "counting": counting}


def _bits(config):
    return config.group.bit_length()
