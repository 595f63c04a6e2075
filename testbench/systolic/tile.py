"""Bench of the systolic tile: both dataflows and every pair of formats."""

import itertools

import numpy as np

from ...golden.olive import ovp
from ...golden.systolic import tile as golden
from ..bench import Failure, Phase, shares
from ..stream import STALL_PAIRS, Collected, describing, packed
from .results import result_fields

__all__ = ["tile"]

_BUSY = 0.99  # of the cycles back to back, in which the multipliers must be busy
_LONGEST = 1024  # steps of a reduction that is made to leave the accumulator's range


async def tile(bench):
    """Reductions of every length: back to back, at the extremes, with illegal pairs, after resets and under stalls.

    Where nothing stalls, cycles, latency and interval must be those of the model.
    """
    if bench.codes is not None:
        raise Failure("the tile takes two streams of operands, no packed codes")
    config, rng = bench.config, bench.rng
    rows, cols = config.rows, config.cols
    sides = [_Side(operand, rng) for operand in config.operands]
    sent = []

    def phase(name, reductions, **options):
        if options.get("cut") is None:
            sent.extend(reductions)
        return Phase(name, **_items(reductions, sides, config), **options)

    def draw(shapes, legal=False):
        return [(sides[0].draw(m, k, legal), sides[1].draw(cols, k, legal)) for m, k in shapes]

    # Legal operands alone first, for which the flag of illegal pairs must stay low.
    phases = []
    for (m, k, n), shapes in _products(config):
        cycles = golden.cycles(config, m, k, n)
        phases.append(phase(f"({m}, {k}) x ({k}, {n})", draw(shapes, legal=True), reset=True, cycles=cycles))
    # So long that the way in and out is less than a hundredth of it.
    whole = rows if config.weight_stationary else rows + rows % 2
    tiles = -(-100 * (golden.latency(config) + 2 * rows) // rows)
    # Weight-stationary, the first activations may wait for their weights behind the tile's own edge.
    busy = phase("back to back", draw([(rows, whole)] * tiles, legal=True), reset=True, measured=True, warm_up=1)
    phases.append(busy)
    for a, w in itertools.product(sides[0].ends, sides[1].ends):
        extremes = [(np.full((rows, k), a), np.full((cols, k), w)) for k in _lengths_at_the_limit(config)]
        phases.append(phase(f"{a:#x} x {w:#x} alone", extremes))
    if config.operands[0].pairs:
        for side, k in itertools.product(range(2), (1, 2 * rows)):
            drawn = draw([(rows, k)] * 5, legal=True)
            sides[side].spoil(drawn[2][side])
            phases.append(phase(f"one illegal pair in {'aw'[side]}, K = {k}", drawn, reset=True))
    for (source, sink), count in zip(STALL_PAIRS, shares(bench.vectors, len(STALL_PAIRS)), strict=True):
        cut = int(rng.integers(1, 12 * rows))
        interrupted = draw(_random_shapes(8 * rows, config, rng))
        phases.append(phase("left by a reset", interrupted, sink="heavy", cut=cut, reset=True))
        drawn = draw(_random_shapes(max(count, 1), config, rng))
        name = f"random reductions, stalls {source} in, {sink} out"
        phases.append(phase(name, drawn, source=source, sink=sink, reset=True, vectors=count))

    await bench.run(phases, describe=_descriptions(config), flag="illegal" if config.operands[0].pairs else None)

    steps = config.operands[0].steps
    lengths = {a.shape[1] * steps for a, _ in sent}
    # A pair is two steps, which a single row is shorter than.
    kinds = [any(k > rows for k in lengths)] + [any(k <= rows for k in lengths)] * (steps <= rows)
    bench.cover("kinds of reductions, up to the array's rows and longer", sum(kinds), len(kinds))
    if busy.taken:
        share = tiles * whole / busy.taken
        if share < _BUSY:
            bench.mismatch("utilization", 0, f"{_BUSY:.0%} or more", f"{share:.2%}")
        bench.figure("utilization", f"{share:.2%} of the multipliers' cycles, tiles of K = {whole} back to back")


class _Side:
    """Operands of one side as the lanes of transfers: integers, or packed pairs as unsigned words.

    Attributes
    ----------
    ends : tuple of int
        The lanes with the smallest and with the largest sum of values.
    """

    def __init__(self, operand, rng):
        self.operand, self.rng = operand, rng
        if operand.pairs:
            self._all = np.arange(1 << operand.lane_bits)
            illegal = ovp.illegal(self.codes(self._all[:, None]), operand.pairs)[:, 0]
        else:
            low, high = operand.limits
            self._all = np.arange(low, high + 1)
            illegal = np.zeros(len(self._all), bool)
        self._legal, self._illegal = self._all[~illegal], self._all[illegal]
        sums = operand.values(self.codes(self._legal[:, None])).sum(axis=1)
        self.ends = tuple(int(self._legal[at]) for at in (sums.argmin(), sums.argmax()))

    def codes(self, lanes):
        """The operands as the golden model takes them."""
        if not self.operand.pairs:
            return lanes
        return (
            np.ascontiguousarray(lanes.astype("<u2")).view(np.uint8)
            if self.operand.bits == 8
            else lanes.astype(np.uint8)
        )

    def draw(self, count, k, legal=False):
        """Random operands, shape (count, transfers): any, or mostly the extremes, or mostly zeros."""
        shape = count, -(-k // self.operand.steps)
        drawn = self.rng.choice(self._legal if legal else self._all, shape)
        often = [None, 0, *self.ends][self.rng.integers(4)]
        return drawn if often is None else np.where(self.rng.random(shape) < 3 / 4, often, drawn)

    def spoil(self, lanes):
        """Put an illegal pair somewhere."""
        lanes[tuple(self.rng.integers(lanes.shape))] = self.rng.choice(self._illegal)

    def illegal(self, lanes):
        """For each transfer of `lanes`, shape (transfers, lanes), whether it has an illegal pair."""
        return np.isin(lanes, self._illegal).any(axis=1)


def _products(config):
    """Shapes (M, K, N) of products of several tiles, and shapes (M, K) of their reductions in order."""
    rows = config.rows
    for k in sorted({1, 2, max(rows - 1, 1), rows, 2 * rows + 3}):
        if not config.weight_stationary:
            yield (2 * rows, k, 2 * config.cols), [(rows, k)] * 4
            continue
        padded = -(-k // config.operands[0].steps) * config.operands[0].steps
        for m in sorted({1, rows + 2, min(config.partials, 64) + 1}):
            chunk = m if padded <= rows else config.partials
            yield (m, k, 2 * config.cols), [(min(chunk, m - row), k) for row in range(0, m, chunk)] * 2


def _lengths_at_the_limit(config):
    """Transfers of reductions of the extremes: the longest that stays in the accumulator's range, and longer ones."""
    limit = golden.max_k(config) // config.operands[0].steps
    return [limit, limit + 1, 2 * limit + 3] if limit < _LONGEST else [3, config.rows + 1]


def _random_shapes(count, config, rng):
    """Shapes (M, K) of reductions, `count` rows of results and few more."""
    shapes, given = [], 0
    while given < count:
        k = int(rng.choice([1, 2, rng.integers(1, config.rows + 1), rng.integers(1, 4 * config.rows)]))
        m = config.rows
        if config.weight_stationary:
            m = int(rng.integers(1, 1 + (min(2 * m, config.partials) if k > config.rows else 2 * m)))
        shapes.append((m, k))
        given += m
    return shapes


def _items(reductions, sides, config):
    """What goes in and what must come out of reductions, as fields of a `Phase`."""
    transfers, lasts, outputs, after = ([], []), ([], []), Collected(config.o_layout), ([], [])
    taken, delay = [0, 0], []
    for lanes in reductions:
        product, overflow = golden.matmul(*(side.codes(x) for side, x in zip(sides, lanes, strict=True)), config)
        order = np.arange(len(product))
        blocks = [x.T for x in lanes]
        ends = [np.arange(len(block)) == len(block) - 1 for block in blocks]
        if config.weight_stationary:
            # Each row of results by itself, once in each block of the reduction.
            blocks[0] = _in_blocks(lanes[0], config.rows // sides[0].operand.steps)
            ends[0] = np.arange(len(blocks[0])) % len(order) == order[-1]
        for side in range(2):
            transfers[side].append(blocks[side])
            lasts[side].append(ends[side])
            taken[side] += len(blocks[side])
            after[side].append(np.full(len(order), taken[side] - 1))
        if config.weight_stationary:
            after[0][-1] += order - order[-1]
        delay.append(0 * order if config.weight_stationary else order)
        outputs.add(**result_fields(config, product, overflow, order == order[-1]))

    inputs, offending, flags = {}, {}, np.zeros(len(outputs), bool)
    for name, side, parts, last, following in zip("aw", sides, transfers, lasts, after, strict=True):
        lanes = np.concatenate(parts)
        inputs[name] = packed(getattr(config, f"{name}_layout"), lanes=lanes, last=np.concatenate(last))
        illegal = side.illegal(lanes)
        if illegal.any():
            offending[name] = int(illegal.argmax())
            flags |= np.concatenate(following) >= offending[name]
    return {
        "inputs": inputs,
        "outputs": outputs.payloads(),
        "after": np.concatenate(after[0]).tolist(),
        "delay": np.concatenate(delay).tolist(),
        "flags": flags.tolist(),
        "offending": offending,
    }


def _in_blocks(lanes, width):
    """Activations as transfers of `width` lanes, block by block of the reduction; its last block is filled up."""
    lanes = np.hstack([lanes] + [lanes[:, -1:]] * (-lanes.shape[1] % width))
    return np.concatenate(np.hsplit(lanes, lanes.shape[1] // width))


def _descriptions(config):
    """What a report shows of an activations' and a results' payload."""
    codes = ["lanes"] if config.operands[0].pairs else []
    return describing(config.a_layout, *codes), describing(config.o_layout)
