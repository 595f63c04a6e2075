"""Bench of the HGQ quantizer: every FP16 code, every largest magnitude, every shift, special values and short rows."""

import numpy as np

from ...golden.sevedo import hgq as golden
from .. import half_rows
from ..bench import Failure, Phase
from ..half_rows import NONFINITE
from ..stream import describing, packed

__all__ = ["quantizer"]

_LEAST = 0x0400  # magnitude of the least normal number
_QUICK = 8  # transfers of a coarse group up to which every magnitude is the largest one of a group
_TIES = 200  # coarse groups with ties, or more where all pairs of a half and a shift need more
_HALVES = np.arange(-2 * golden.LARGEST_CODE, 2 * golden.LARGEST_CODE + 1)


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

    phases = [
        phase("largest magnitudes", list(_largest(rng, config)), reset=True),
        phase("every finite code", [half_rows.by_magnitude(rng)]),
        phase("every code", [rng.permutation(1 << 16).astype(np.uint16)]),
        *(phase(name, rows) for name, rows in _corners(config).items()),
        phase("ties and their neighbours", _ties(rng, config), reset=True),
        *half_rows.lengths(phase, draw, coarse, lanes, "coarse group"),
    ]
    # What the memory holds, and behind it the first fine group and the two transfers that follow.
    held, outputs, nonfinite = config.depth + config.parts + 2, config.groups, (0.1, 0.02)
    phases += half_rows.alone(phase, draw, rng, coarse, lanes)
    phases += half_rows.stalled(bench, phase, draw, coarse, outputs, nonfinite)
    phases += half_rows.full(phase, draw, coarse, config.load, held, config.parts + 2)
    await bench.run(phases, describe=_descriptions(config), flag="nonfinite")
    _cover(bench, sent)


def _descriptions(config):
    """What a report shows of an input's and of an output's payload."""

    return describing(config.value_layout, "values"), describing(config.output_layout, "group.scale")


def _cover(bench, sent):
    """Which codes, largest magnitudes, and shifts with codes were sent: pairs of groups and of what they become."""
    config = bench.config
    codes, largest, kinds = np.zeros(1 << 16, bool), np.zeros(NONFINITE, bool), set()
    for x, tensor in sent:
        codes[x] = True
        clean = golden.sanitize(x.view(np.float16))[0].view(np.uint16) & 0x7FFF
        largest[clean.max(axis=1)] = True
        pairs = np.stack([np.repeat(tensor.shifts, config.fine, axis=1).astype(np.int8), tensor.codes], axis=-1)
        kinds |= set(map(tuple, np.unique(pairs[clean > 0], axis=0).tolist()))
    bench.cover("codes", codes.sum(), 1 << 16)
    if config.load <= _QUICK:
        bench.cover("largest magnitudes", largest.sum(), 1 + NONFINITE - _LEAST)
    if config.fine > 1:
        shifts = 1 << config.shift_bits if config.groups > 1 else 1
        bench.cover("shifts with each code", len(kinds), shifts * (2 * golden.LARGEST_CODE + 1))


def _items(rows, config):
    """What goes in and what must come out of rows of FP16 codes, as fields of a `Phase`; and the quantized groups."""
    filled = half_rows.Filled.of(rows, config.coarse, config.lanes)
    x = filled.x
    tensor = golden.quantize(x.view(np.float16), config.coarse, config.fine, config.shift_bits, config.threshold)
    special = (x & 0x7FFF) >= NONFINITE
    items = {
        "inputs": packed(config.value_layout, values=filled.beats, last=filled.ends),
        "outputs": _payloads(tensor, filled.final(config.groups), config),
        "after": np.repeat(filled.after, config.groups).tolist(),
        "delay": np.tile(np.arange(config.groups) * config.parts, len(x)).tolist(),
        "flags": special.reshape(-1, config.fine).any(axis=1).tolist(),
        "offending": filled.offending,
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


def _largest(rng, config):
    """Coarse groups, shape (N, coarse), with each normal magnitude as the largest one, or with as many as are quick."""
    magnitudes = np.arange(_LEAST, NONFINITE)
    if config.load > _QUICK:
        magnitudes = np.sort(rng.permutation(magnitudes)[: len(magnitudes) * _QUICK // config.load])
    values = rng.integers(0, 1 << 15, (len(magnitudes), config.coarse)) * (magnitudes[:, None] + 1) >> 15
    np.put_along_axis(values, rng.integers(0, config.coarse, (len(values), 1)), magnitudes[:, None], axis=1)
    return (values | rng.integers(0, 2, values.shape) << 15).astype(np.uint16)


def _ties(rng, config):
    """Rows of every half of the scale at every shift, and their neighbours."""
    shifts = 1 << config.shift_bits
    rows = max(_TIES, shifts * len(_HALVES))
    row, group, element = np.ogrid[:rows, : config.groups, : config.fine]
    # Each group in its turn is the widest one, which gives the scale; the others of a row have one shift.
    exponents = np.where(group == row % config.groups, 0, row % shifts)
    halves = _HALVES[(row // shifts + group + element) % len(_HALVES)]
    # The first one gives the fine group its width.
    halves[..., 0] = _HALVES[-1]
    # 7 bits of the scale: seven times it, and 13 halves of it, are exact.
    units = rng.integers(64, 128, (rows, 1, 1)) * np.exp2(rng.integers(-8, 3, (rows, 1, 1)))
    values = (halves * units * np.exp2(-exponents - 1.0)).astype(np.float16).view(np.uint16)
    step = rng.integers(-1, 2, values.shape) * ((values & 0x7FFF) > _LEAST)
    step[..., 0] = 0
    return list((values + step).astype(np.uint16).reshape(rows, config.coarse))


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
