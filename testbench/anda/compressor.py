"""Bench of the Anda compressor: every FP16 code at every distance, every mantissa length, both roundings."""

import numpy as np

from ...golden.anda import cycles as anda_cycles
from ...golden.anda import planes as golden
from ..bench import Failure, Phase, shares
from ..stream import STALL_PAIRS, describing, packed
from .planes import plane_payloads

__all__ = ["compressor"]

_NONFINITE = 31
_KINDS = ("numbers", "codes", "near", "ties", "zeros")


async def compressor(bench):
    """Every code at every distance from its group's exponent; every length to the cycle; specials, stalls, resets.

    A group holds values, a set groups; a shape is the number of values that each of some sets has.
    """
    if bench.codes is not None:
        raise Failure("the compressor takes FP16 values, no packed codes")
    config, rng = bench.config, bench.rng
    whole, longest = config.lanes * config.group, config.max_mantissa
    sent = []

    def phase(name, sets, mantissa, sizes=None, **options):
        sizes = [whole] * len(sets) if sizes is None else sizes
        sets = np.where(np.arange(whole) < np.array(sizes)[:, None], sets.reshape(len(sets), whole), 0)
        legal = min(max(mantissa, 1), longest)
        if options.pop("exact", False):
            loads = [size // config.width for size in sizes]
            options["cycles"] = anda_cycles.compressor_cycles(config, loads, [legal] * len(sets))
        sets = sets.reshape(len(sets), config.lanes, config.group).astype(np.uint16)
        if options.get("cut") is None:
            sent.append((sets, legal))
        return Phase(name, **_items(sets, sizes, legal, config, rng), ports={"mantissa": mantissa}, **options)

    def draw(count, mantissa, kinds=_KINDS, nonfinite=0.0):
        return _draw((count, config.lanes, config.group), mantissa, kinds, nonfinite, rng)

    # The planes of a mantissa are those of every longer one that is cut: only rounding must be seen with all of them.
    lengths = range(1, longest + 1)
    phases = []
    for finite in (True, False):
        groups = _every_distance(config.group, finite, rng)
        groups = np.concatenate([groups, rng.choice(groups, -len(groups) % config.lanes)])
        sets = groups.reshape(-1, config.lanes, config.group)
        parts = len(lengths) if config.rounding == "nearest" else 1
        for part, mantissa in zip(np.array_split(sets, parts), lengths[-parts:], strict=True):
            name = f"every {'finite' if finite else 'other'} code, every distance, M = {mantissa}"
            phases.append(phase(name, part, mantissa, reset=finite))
    phases += _every_length(config, rng, phase, draw)
    length = min(config.load, longest)
    phases.append(phase("measured", draw(20, length), length, reset=True, measured=True))

    for lane in range(config.lanes):
        for code in (0x7C00, 0xFE00):
            sets = draw(4, longest, ("numbers",))
            sets[2, lane, rng.integers(config.group)] = code
            phases.append(phase(f"{code:#x} alone in lane {lane}", sets, longest, reset=True))
    phases += _stalled(bench, phase, draw)
    if longest > 1:
        for source in ("eager", "sparse"):
            name, capacity = f"full, stalls {source} in", _capacity(config)
            sets = draw(capacity // config.load + 2, longest)
            phases.append(phase(name, sets, longest, source=source, capacity=capacity, reset=True))

    await bench.run(phases, describe=_descriptions(config), flag="nonfinite")
    _cover(bench, sent)


def _every_length(config, rng, phase, draw):
    """Phases with every length of mantissas, and with lengths out of range; `phase` and `draw` as of the bench."""
    phases, longest = [], config.max_mantissa
    for mantissa in range(1, longest + 1):
        name = f"M = {mantissa}"
        for count in (1, 4):
            options = {"reset": True, "exact": True}
            phases.append(phase(f"{name}, {count} sets back to back", draw(count, mantissa), mantissa, **options))
        sizes = (rng.integers(1, config.lanes + 1, 6) * config.group).tolist()
        phases.append(phase(f"{name}, missing groups", draw(6, mantissa), mantissa, sizes, reset=True, exact=True))
        sizes = (rng.integers(1, config.load + 1, 6) * config.width).tolist()
        phases.append(phase(f"{name}, missing values", draw(6, mantissa), mantissa, sizes))
    for mantissa in [0, *range(longest + 1, 1 << longest.bit_length())]:
        phases.append(phase(f"length {mantissa}, out of range", draw(3, longest), mantissa))
    return phases


def _stalled(bench, phase, draw):
    """Phases under every pair of stalls, some of them left by a reset; `phase` and `draw` as of the bench."""
    config, rng, phases = bench.config, bench.rng, []
    whole, longest = config.lanes * config.group, config.max_mantissa
    for index, count in enumerate(shares(bench.vectors, len(STALL_PAIRS) * longest)):
        (source, sink), mantissa = STALL_PAIRS[index % len(STALL_PAIRS)], index // len(STALL_PAIRS) + 1
        if index < 2 * len(STALL_PAIRS):
            cut = int(rng.integers(1, 4 * (config.load + mantissa)))
            interrupted = draw(8, mantissa, nonfinite=0.1)
            phases.append(phase("left by a reset", interrupted, mantissa, sink="heavy", cut=cut, reset=True))
        sets = draw(-(-count // mantissa) + 1, mantissa)
        # Finite for the first half, so that the flag is seen low under stalls too.
        sets[len(sets) // 2 :] = draw(len(sets) - len(sets) // 2, mantissa, nonfinite=0.02)
        sizes = [whole if rng.random() < 3 / 4 else rng.integers(1, config.load + 1) * config.width for _ in sets]
        name = f"random values, M = {mantissa}, stalls {source} in, {sink} out"
        options = {"source": source, "sink": sink, "reset": True, "vectors": count}
        phases.append(phase(name, sets, mantissa, sizes, **options))
    return phases


def _cover(bench, sent):
    """Which codes at which distances, lengths and roundings were sent: pairs of sets and of their mantissas' length."""
    config, longest = bench.config, bench.config.max_mantissa
    seen = np.zeros((1 << 16, 31), bool)
    roundings = set()
    for sets, mantissa in sent:
        exponents = np.maximum((sets >> 10) & 31, 1).astype(np.int64)
        distances = exponents.max(axis=-1, keepdims=True) - exponents
        seen[sets.ravel(), distances.ravel()] = True
        if config.rounding == "nearest":
            roundings |= _roundings(sets, distances + 11 - mantissa)
    bench.cover("codes at every distance", seen.sum(), 2048 * (31 + sum(range(1, 32))))
    bench.cover("mantissa lengths", len({mantissa for _, mantissa in sent}), longest)
    if config.rounding == "nearest":
        # With all 11 bits dropped there is no odd neighbour below a tie, with one nothing is above a half.
        kinds = 4 * len(range(max(1, 11 - longest), 12)) - 1 - (longest > 9)
        bench.cover("kinds of roundings", len(roundings), kinds)


def _capacity(config):
    """Transfers inside when nothing leaves: those of two sets, and those of the pipeline before them.

    The pipeline is three registers; rounding, five and the queue, which has room for a group and three transfers.
    """
    return 2 * config.load + (config.group // config.width + 8 if config.rounding == "nearest" else 3)


def _items(sets, sizes, mantissa, config, rng):
    """What goes in and what must come out of sets, shape (N, lanes, group), as fields of a `Phase`."""
    tensor = golden.encode(sets.view(np.float16), mantissa, config.rounding, config.group)
    planes, exponents = tensor.planes[..., 0, :], tensor.exponents[..., 0]
    transfers = sets.reshape(len(sets), config.load, config.width)
    loads = np.array(sizes) // config.width
    place = np.arange(config.load)
    given, last = place < loads[:, None], place == loads[:, None] - 1
    # A set that is full ends by itself, with or without the mark.
    last &= (loads[:, None] < config.load) | (rng.random(last.shape) < 1 / 2)
    given, transfers = given.ravel(), transfers.reshape(-1, config.width)
    after = np.cumsum(loads) - 1
    nonfinite = ((transfers >> 10) & 31 == _NONFINITE).any(axis=1)[given]
    return {
        "inputs": packed(config.value_layout, values=transfers[given], last=last.ravel()[given]),
        "outputs": plane_payloads(tensor.signs[..., 0], planes, exponents, config.group),
        "after": np.repeat(after, mantissa).tolist(),
        "delay": np.tile(np.arange(mantissa), len(sets)).tolist(),
        "flags": np.repeat((exponents == _NONFINITE).any(axis=1), mantissa).tolist(),
        "offending": {"i": int(nonfinite.argmax())} if nonfinite.any() else {},
        # The mantissa length counts with a set's first values.
        "counting": np.tile(place == 0, len(sets))[given].tolist(),
    }


def _every_distance(group, finite, rng):
    """Groups, shape (N, group), in which each code meets each exponent that a group with it can have.

    Finite: the groups without Inf and NaN, else those with them.
    """
    codes = np.arange(1 << 16, dtype=np.uint16)
    exponents = np.maximum((codes >> 10) & 31, 1)
    groups = []
    for shared in range(1, _NONFINITE) if finite else [_NONFINITE]:
        values = rng.permutation(codes[exponents <= shared])
        values = np.concatenate([values, rng.choice(values, -len(values) % (group - 1))]).reshape(-1, group - 1)
        # One that has the exponent in each.
        anchors = rng.choice(codes[exponents == shared], (len(values), 1))
        groups.append(rng.permuted(np.hstack([values, anchors]), axis=1))
    return np.concatenate(groups)


def _draw(shape, mantissa, kinds, nonfinite, rng):
    """Random FP16 codes, group by group of one kind; finite, but for a share of the values."""
    drawn = rng.integers(0, 1 << 16, shape)
    drawn = np.where((drawn >> 10) & 31 == _NONFINITE, drawn ^ 0x4000, drawn)
    numbers = rng.normal(size=shape) * np.exp2(rng.uniform(-20, 12, (*shape[:-1], 1)))
    numbers = np.clip(numbers, -65504, 65504).astype(np.float16).view(np.uint16).astype(np.int64)
    signs = drawn & 0x8000
    # Exponents close to each other, from subnormals up.
    top = rng.integers(1, _NONFINITE, (*shape[:-1], 1))
    distance = rng.integers(0, 15, shape) * (rng.random(shape) < 7 / 8)
    field = np.maximum(top - distance, 0)
    near = signs | (field << 10) | (drawn & 0x3FF)
    # About halves of the last bit that is kept, and the largest mantissas below them.
    dropped = np.clip(np.maximum(top - np.maximum(field, 1), 0) + 11 - mantissa, 0, 10)
    half = (1 << dropped) >> 1
    low = np.maximum(half + rng.integers(-1, 2, shape), 0)
    high = np.where(rng.random(shape) < 1 / 2, 0x3FF, drawn)
    ties = signs | (field << 10) | ((high >> dropped << dropped) | low) & 0x3FF
    choices = {"numbers": numbers, "codes": drawn, "near": near, "ties": ties, "zeros": signs}
    kind = rng.integers(len(kinds), size=(*shape[:-1], 1))
    values = np.select([kind == index for index in range(len(kinds))], [choices[name] for name in kinds])
    spoiled = rng.random(shape) < nonfinite
    return np.where(spoiled, values | 0x7C00, values).astype(np.uint16)


def _roundings(sets, dropped):
    """The kinds of roundings in these codes: (bits dropped, down or up, of a tie or not)."""
    codes = sets.astype(np.int64)
    mantissas = ((codes & 0x7C00 != 0) << 10) | (codes & 0x3FF)
    rounded = (dropped > 0) & (dropped < 12)
    mantissas, dropped = mantissas[rounded], dropped[rounded]
    half, rest = (1 << dropped) >> 1, mantissas & ((1 << dropped) - 1)
    tie = rest == half
    up = (rest > half) | (tie & ((mantissas >> dropped) & 1 == 1))
    return set(np.unique(dropped * 4 + up * 2 + tie).tolist())


def _descriptions(config):
    """What a report shows of an input's and of an output's payload."""
    return describing(config.value_layout, "values"), describing(config.planes_layout, "plane", "signs")
