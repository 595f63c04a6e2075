"""Bench of the N:M selector: every N, every set of kept indices, ties, zeros, the least weight, short rows."""

import itertools

import numpy as np

from ...golden.sat import selector as golden
from ...golden.sat import sparse as nm_sparse
from ...golden.systolic import tile as systolic
from ..bench import Failure, Phase, shares
from ..stream import STALL_PAIRS, Collected, describing

__all__ = ["selector"]

#: Kinds of groups: any; one magnitude and its neighbours; extremes; mostly zeros.
_KINDS = ("any", "near", "extreme", "zeros")


async def selector(bench):
    """Rows of groups at every N: every set of indices, to the cycle, rows that end within a group, resets, stalls.

    A row is as many weights for each lane.
    """
    if bench.codes is not None:
        raise Failure("the selector takes a stream of weights, no packed codes")
    config, rng = bench.config, bench.rng
    m, counts = config.group, range(1, config.group + 1)
    sent = []

    def phase(name, n, rows, port=None, **options):
        if options.get("cut") is None:
            sent.extend((row, n) for row in rows)
        return Phase(name, **_items(rows, n, config), ports={"slots": n if port is None else port}, **options)

    def draw(length, kind=None):
        return _draw((config.lanes, length), kind or str(rng.choice(_KINDS)), config, rng)

    def lengths(weights):
        """Lengths of rows that together have `weights` weights, often whole groups."""
        while weights > 0:
            length = int(rng.choice([m, m * rng.integers(1, 4), rng.integers(1, 3 * m)]))
            weights -= length
            yield length

    phases = []
    for n in counts:
        at = f"{n}:{m}"
        phases.append(phase(f"{at}, every set of indices", n, [_every_set(n, config, rng)], reset=True))
        for groups in (1, 5):
            options = {"reset": True, "cycles": golden.cycles(config, groups, n)}
            phases.append(phase(f"{at}, {groups} groups back to back", n, [draw(groups * m)], **options))
        phases.append(phase(f"{at}, measured", n, [draw(m) for _ in range(20)], reset=True, measured=True))
        rows = [draw(length, kind) for length, kind in itertools.product(range(1, 2 * m), _KINDS)]
        phases.append(phase(f"{at}, rows of every length", n, rows))
    for n, port in ((m, 0), *((port - m, port) for port in range(m + 1, 1 << m.bit_length()))):
        phases.append(phase(f"slots = {port}, which counts as {n}", n, [draw(2 * m)], port=port))
    for index, count in enumerate(shares(bench.vectors, len(STALL_PAIRS) * m)):
        (source, sink), n = STALL_PAIRS[index % len(STALL_PAIRS)], counts[index // len(STALL_PAIRS)]
        cut = int(rng.integers(1, 6 * m))
        left = [draw(length) for length in lengths(8 * m)]
        phases.append(phase("left by a reset", n, left, sink="heavy", cut=cut, reset=True))
        rows = [draw(length) for length in lengths(max(-(-count // n), 1) * m)]
        name = f"random rows, {n}:{m}, stalls {source} in, {sink} out"
        phases.append(phase(name, n, rows, source=source, sink=sink, reset=True, vectors=count))
    for source in ("eager", "sparse"):
        name = f"full, stalls {source} in"
        phases.append(
            phase(name, m, [draw(m) for _ in range(8)], source=source, capacity=_capacity(config), reset=True)
        )

    await bench.run(phases, describe=(describing(config.i_layout), describing(config.o_layout)))

    seen = set()
    for row, n in sent:
        _, indices = nm_sparse.select(nm_sparse.pad(row, m), n, m)
        seen.update((n, *kept) for kept in indices.reshape(-1, n).tolist())
    bench.cover("sets of kept indices", len(seen), (1 << m) - 1)


def _capacity(config):
    """Transfers inside when nothing leaves, N = M: of two groups, and the one in the register.

    The first group has two of its slots in the output's registers already, but leaves its place only as a whole.
    """
    return 2 * config.group + 1


def _every_set(n, config, rng):
    """Weights for all lanes in which every set of `n` kept indices comes."""
    m = config.group
    sets = [kept for kept in itertools.product((0, 1), repeat=m) if sum(kept) == n]
    low, high = systolic.FORMATS[config.format].limits
    kept = np.array(sets + [sets[0]] * (-len(sets) % config.lanes), bool)
    # Neighbouring magnitudes on both sides of the cut, of any sign.
    least = rng.integers(1, high + 1, (len(kept), 1))
    magnitudes = np.where(kept, least + rng.integers(0, 2, kept.shape), least - 1)
    weights = np.clip(np.where(rng.random(kept.shape) < 1 / 2, -magnitudes, magnitudes), low, high)
    weights = np.where(kept & (np.abs(weights) < least), least, weights)
    return weights.reshape(-1, config.lanes, m).transpose(1, 0, 2).reshape(config.lanes, -1)


def _draw(shape, kind, config, rng):
    low, high = systolic.FORMATS[config.format].limits
    drawn = rng.integers(low, high + 1, shape)
    if kind == "near":
        level = int(rng.integers(1, high + 2))
        signs = rng.choice([-1, 1], shape)
        return np.clip(signs * (level - rng.integers(0, 2, shape)), low, high)
    if kind == "extreme":
        return rng.choice([low, low + 1, high, -1, 0], shape)
    if kind == "zeros":
        return np.where(rng.random(shape) < 1 / config.group, drawn, 0)
    return drawn


def _items(rows, n, config):
    """What goes in and what must come out of rows, each of shape (lanes, length), as fields of a `Phase`."""
    m = config.group
    inputs, outputs, after, delay = Collected(config.i_layout), Collected(config.o_layout), [], []
    counting = []
    for row in rows:
        length = row.shape[1]
        at = np.arange(length)
        start = len(inputs)
        inputs.add(lanes=row.T, last=at == length - 1)
        # The number of slots counts with a group's first weights.
        counting += (at % m == 0).tolist()
        kept = nm_sparse.select(nm_sparse.pad(row, m), n, m)
        values, indices = (slots.reshape(config.lanes, -1).T for slots in kept)
        at = np.arange(len(values))
        outputs.add(**{"lanes.value": values, "lanes.index": indices}, last=at == at[-1])
        after += (start + np.minimum((at // n + 1) * m, length) - 1).tolist()
        delay += (at % n).tolist()
    items = {"inputs": inputs.payloads(), "outputs": outputs.payloads(), "after": after, "delay": delay}
    return items | {"counting": counting}
