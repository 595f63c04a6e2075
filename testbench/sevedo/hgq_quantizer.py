"""Bench of the HGQ quantizer: every FP16 code, every largest magnitude, every shift, special values and short rows."""

import numpy as np

from ...golden.sevedo import hgq as golden
from ..bench import Failure, Phase, shares
from ..stream import STALL_PAIRS, describing, packed

__all__ = ["quantizer"]

_LEAST, _NONFINITE = 0x0400, 0x7C00  # magnitudes: the least normal one, Inf
_QUICK = 8  # transfers of a coarse group up to which every magnitude is the largest one of a group
_TIES = 200  # groups


async def quantizer(bench):
    """Codes, scales and shifts of every kind; rows of every length to the cycle; special values, stalls and resets."""
    if bench.codes is not None:
        raise Failure("the quantizer takes FP16 values, no packed codes")
    config, rng = bench.config, bench.rng
    coarse, lanes = config.coarse, config.lanes
    sent = []

    def phase(name, rows, **options):
        """Rows are 1-axis arrays of FP16 codes."""
        items, quantized = _items(rows, config)
        if options.pop("exact", False):
            options["cycles"] = items["cycles"]
        if options.get("cut") is None:
            sent.append(quantized)
        items = {key: value for key, value in items.items() if key != "cycles"}
        return Phase(name, **items, **options)

    def draw(count, sizes, nonfinite=0.0):
        return [_draw(rng, int(size), config, nonfinite) for size in rng.choice(sizes, count)]

    whole = [coarse]
    phases = [
        phase("largest magnitudes", list(_largest(rng, config)), reset=True),
        phase("every finite code", [_by_magnitude(rng)]),
        phase("every code", [rng.permutation(1 << 16).astype(np.uint16)]),
        *(phase(name, rows) for name, rows in _corners(config).items()),
        phase("ties and their neighbours", _ties(rng, config), reset=True),
        phase("one coarse group", draw(1, whole), reset=True, exact=True),
        phase("coarse groups back to back", draw(6, whole), reset=True, exact=True),
        phase("long rows back to back", draw(3, [2 * coarse, 3 * coarse]), reset=True, exact=True),
        phase("measured", draw(20, whole), reset=True, measured=True),
        phase("rows of every length", [row[:size] for size, row in enumerate(draw(2 * coarse, [2 * coarse]), 1)]),
        phase("short rows", draw(8, range(1, coarse + 1)), reset=True, exact=True),
        phase("rows of one transfer", draw(8, [lanes]), reset=True, exact=True),
    ]
    for lane in range(lanes):
        for code in (0x7C00, 0xFE00):
            rows = draw(4, whole)
            rows[2][lane + lanes * rng.integers(config.load)] = code
            phases.append(phase(f"{code:#x} alone in lane {lane}", rows, reset=True))
    phases += [*_stalled(bench, phase, draw), *_full(config, phase, draw)]
    await bench.run(phases, describe=_descriptions(config), flag="nonfinite")
    _cover(bench, sent)


def _stalled(bench, phase, draw):
    """Phases under every pair of stalls, some of them left by a reset; `phase` and `draw` as of the bench."""
    config, rng, phases = bench.config, bench.rng, []
    whole = [config.coarse]
    for index, count in enumerate(shares(bench.vectors, 3 * len(STALL_PAIRS))):
        source, sink = STALL_PAIRS[index % len(STALL_PAIRS)]
        if index < 2 * len(STALL_PAIRS):
            cut = int(rng.integers(1, 6 * config.load + config.latency))
            phases.append(phase("left by a reset", draw(8, whole, 0.1), sink="heavy", cut=cut, reset=True))
        groups = count // config.groups + 2
        # Finite for the first half, so that the flag is seen low under stalls too.
        rows = draw(groups // 2, whole) + draw(groups - groups // 2, range(1, 3 * config.coarse), 0.02)
        options = {"source": source, "sink": sink, "reset": True, "vectors": count}
        phases.append(phase(f"random values, stalls {source} in, {sink} out", rows, **options))
    return phases


def _full(config, phase, draw):
    """Phases in which the output is blocked until nothing more goes in; `phase` and `draw` as of the bench."""
    phases = []
    # What the memory holds, and behind it the first fine group and the two transfers that follow.
    held = config.depth + config.parts + 2
    for source in ("eager", "sparse"):
        # A slow source fills the stages behind the memory only if a group is as long as they are.
        if source == "eager" or config.load >= config.parts + 2:
            rows = draw(held // config.load + 3, [config.coarse])
            phases.append(phase(f"full, stalls {source} in", rows, source=source, capacity=held, reset=True))
    return phases


def _descriptions(config):
    """What a report shows of an input's and of an output's payload."""

    return describing(config.value_layout, "values"), describing(config.output_layout, "group.scale")


def _cover(bench, sent):
    """Which codes, largest magnitudes, and shifts with codes were sent: pairs of groups and of what they become."""
    config = bench.config
    codes, largest, kinds = np.zeros(1 << 16, bool), np.zeros(_NONFINITE, bool), set()
    for x, tensor in sent:
        codes[x] = True
        clean = golden.sanitize(x.view(np.float16))[0].view(np.uint16) & 0x7FFF
        largest[clean.max(axis=1)] = True
        pairs = np.stack([np.repeat(tensor.shifts, config.fine, axis=1).astype(np.int8), tensor.codes], axis=-1)
        kinds |= set(map(tuple, np.unique(pairs[clean > 0], axis=0).tolist()))
    bench.cover("codes", codes.sum(), 1 << 16)
    if config.load <= _QUICK:
        bench.cover("largest magnitudes", largest.sum(), 1 + _NONFINITE - _LEAST)
    if config.fine > 1:
        shifts = 1 << config.shift_bits if config.groups > 1 else 1
        bench.cover("shifts with each code", len(kinds), shifts * (2 * golden.LARGEST_CODE + 1))


def _items(rows, config):
    """What goes in and what must come out of rows of FP16 codes, as fields of a `Phase`; and the quantized groups."""
    sizes = np.array([len(row) for row in rows])
    transfers, groups = -(-sizes // config.lanes), -(-sizes // config.coarse)
    # Filled up, rows are nothing but coarse groups.
    x = np.zeros(groups.sum() * config.coarse, np.uint16)
    starts = np.repeat((np.cumsum(groups) - groups) * config.coarse - (np.cumsum(sizes) - sizes), sizes)
    x[np.arange(sizes.sum()) + starts] = np.concatenate(rows)
    x = x.reshape(-1, config.coarse)
    tensor = golden.quantize(x.view(np.float16), config.coarse, config.fine, config.shift_bits, config.threshold)
    special = (x & 0x7FFF) >= _NONFINITE

    # For each transfer of rows that are filled up: whether it is sent.
    index = np.arange(len(x) * config.load) - np.repeat(
        (np.cumsum(groups) - groups) * config.load, groups * config.load
    )
    row_transfers = np.repeat(transfers, groups * config.load)
    sent = index < row_transfers
    ends = (index == row_transfers - 1)[sent]
    after = np.cumsum(sent)[config.load - 1 :: config.load] - 1
    final = np.zeros(len(x) * config.groups, bool)
    final[np.cumsum(groups) * config.groups - 1] = True
    beats = x.reshape(-1, config.lanes)[sent]
    offending = special.reshape(-1, config.lanes)[sent].any(axis=1)
    items = {
        "inputs": packed(config.value_layout, values=beats, last=ends),
        "outputs": _payloads(tensor, final, config),
        "after": np.repeat(after, config.groups).tolist(),
        "delay": np.tile(np.arange(config.groups) * config.parts, len(x)).tolist(),
        "flags": special.reshape(-1, config.fine).any(axis=1).tolist(),
        "offending": {"i": int(offending.argmax())} if offending.any() else {},
        "cycles": len(x) * config.load + config.latency + (config.groups - 1) * config.parts,
    }
    return items, (x, tensor)


def _payloads(tensor, last, config):
    """Output payloads."""
    group = {
        "codes": tensor.codes.reshape(-1, config.fine),
        "shift": tensor.shifts.ravel(),
        "scale": np.repeat(tensor.scales.view(np.uint16), config.groups),
    }
    return packed(config.output_layout, group=group, last=last)


def _draw(rng, size, config, nonfinite):
    """A row of fine groups of different widths around a common exponent, some of few or of no bits."""
    groups = -(-size // config.fine)
    width = np.exp2(rng.integers(-6, 3, (groups, 1))) * np.exp2(rng.integers(-15, 14))
    values = rng.normal(size=(groups, config.fine)) * width * rng.choice([0, 1, 1, 1], (groups, 1))
    codes = np.clip(values, -65504, 65504).astype(np.float16).view(np.uint16).ravel()[:size]
    codes &= np.where(rng.random(size) < 1 / 8, 0xFFC0, 0xFFFF).astype(np.uint16)
    special = rng.choice(np.array([0x7C00, 0xFC00, 0x7C01, 0xFE00], np.uint16), size)
    return np.where(rng.random(size) < nonfinite, special, codes)


def _by_magnitude(rng):
    """Every finite code, near ones together."""
    codes = np.arange(1 << 16).astype(np.uint16)
    codes = rng.permutation(codes[(codes & 0x7FFF) < _NONFINITE])
    return codes[np.argsort((codes & 0x7FFF) + rng.integers(0, 1 << 9, len(codes)))]


def _largest(rng, config):
    """Coarse groups, shape (N, coarse), with each normal magnitude as the largest one, or with as many as are quick."""
    magnitudes = np.arange(_LEAST, _NONFINITE)
    if config.load > _QUICK:
        magnitudes = np.sort(rng.permutation(magnitudes)[: len(magnitudes) * _QUICK // config.load])
    values = rng.integers(0, 1 << 15, (len(magnitudes), config.coarse)) * (magnitudes[:, None] + 1) >> 15
    np.put_along_axis(values, rng.integers(0, config.coarse, (len(values), 1)), magnitudes[:, None], axis=1)
    return (values | rng.integers(0, 2, values.shape) << 15).astype(np.uint16)


def _ties(rng, config):
    """Rows of halves of the scale, and their neighbours, at each shift."""
    # 7 bits of the scale: seven times it, and 13 halves of it, are exact.
    units = rng.integers(64, 128, (_TIES, 1, 1)) * np.exp2(rng.integers(-8, 3, (_TIES, 1, 1)))
    exponents = np.arange(config.groups) % (1 << config.shift_bits)
    halves = rng.integers(-14, 15, (_TIES, config.groups, config.fine))
    # The first one gives the fine group its width, and the coarse group its scale.
    halves[..., 0] = 14
    values = (halves * units * np.exp2(-exponents[:, None] - 1)).astype(np.float16).view(np.uint16)
    step = rng.integers(-1, 2, values.shape) * ((values & 0x7FFF) > _LEAST)
    step[..., 0] = 0
    return list((values + step).astype(np.uint16).reshape(_TIES, config.coarse))


def _corners(config):
    """Rows by name."""

    def row(*values, size=config.coarse):
        return np.resize(np.array(values, np.uint16), size)

    def first(*values):
        return np.pad(np.array(values, np.uint16)[: config.coarse], (0, max(0, config.coarse - len(values))))

    # A fine group whose largest magnitude is at the threshold of each shift, one below, one above.
    edges = []
    for exponent in range(1, 1 << config.shift_bits):
        for step in (-1, 0, 1) if config.groups > 1 else ():
            wide = np.float16(4 << 8)
            narrow = int(np.float16(config.threshold * (1 << 8) / (1 << exponent)).view(np.uint16)) + step
            codes = np.zeros((config.groups, config.fine), np.uint16)
            codes[0, -1], codes[1, 0] = wide.view(np.uint16) | 0x8000, narrow
            edges.append(codes.ravel())
    return {
        "all zero": [row(0), row(0x8000), row(0x8001, 0x03FF)],
        "subnormal numbers and -0 beside 1": [row(0x3C00, 0x03FF, 0x8001, 0x8000)],
        "the least normal numbers": [row(0x0400, 0x8400, 0x0401), row(0x0F00), row(0x0EFF, 0x8F01)],
        "the largest numbers": [row(0x7BFF, 0xFBFF), row(0xFBFF, 0x0400)],
        "NaN counts as +0": [row(0x7C01, 0x3C00, 0xFE00), row(0x7FFF, 0xFFFF)],
        "Inf counts as 65504": [row(0x7C00, 0x7000, 0xFC00), row(0x7BFF, 0x7C00)],
        "the scale's significand wraps": [row(code) for code in (0x3EFF, 0x3F00, 0x3F01, 0x3FFF, 0x4000)],
        "scales around the least one": [row(code) for code in range(0x0EFC, 0x0F04)],
        "one value": [first(code) for code in (0x3C00, 0xBC00, 0x0400, 0x7C00)],
        **({"at the threshold of a shift": edges} if edges else {}),
    }
