"""Bench of the MX quantizer: every FP16 code, both ends of each code's values at every scale, NaN, short rows."""

import functools

import numpy as np

from ...golden import mx
from .. import half_rows
from ..bench import Failure, Phase
from ..half_rows import NONFINITE
from ..stream import describing, packed

__all__ = ["quantizer"]

_SPECIAL = np.array([0x7C00, 0xFC00, 0x7C01, 0xFE00, 0x7FFF], np.uint16)
#: Magnitudes by their leading bits: the least and the largest one of each subnormal bit and of each exponent.
_LEAST = np.array([*(1 << np.arange(10)), *(np.arange(1, 31) << 10)])
_MOST = np.array([*((2 << np.arange(10)) - 1), *((np.arange(1, 31) << 10) + 1023)])
_BEHIND = 5  # transfers of a block that fills all stages from the memory to the output by itself


async def quantizer(bench):
    """Codes and scales of every kind; rows of every length to the cycle; special values, stalls and resets."""
    if bench.codes is not None:
        raise Failure("the quantizer takes FP16 values, no packed codes")
    config, rng = bench.config, bench.rng
    block, lanes = config.block, config.lanes
    sent = []

    def phase(name, rows, **options):
        """Rows are 1-axis arrays of FP16 codes."""
        items, quantized = _items(rows, config)
        cycles = items.pop("cycles")
        if options.pop("exact", False):
            options["cycles"] = cycles
        if options.get("cut") is None:
            sent.append(quantized)
        return Phase(name, **items, **options)

    def draw(count, sizes, nonfinite=0.0):
        return [_draw(rng, int(size), nonfinite) for size in rng.choice(sizes, count)]

    phases = [
        *(phase(f"largest value {most:#06x}", [_ends(rng, config, kind)]) for kind, most in enumerate(_MOST)),
        phase("every finite code", [half_rows.by_magnitude(rng)]),
        phase("every code", [rng.permutation(1 << 16).astype(np.uint16)]),
        *(phase(name, rows, reset=True) for name, rows in _corners(config).items()),
        *half_rows.lengths(phase, draw, block, lanes, "block"),
    ]
    # What the memory holds, and behind it the first transfer at the output and the three that follow.
    held, outputs, nonfinite = config.depth + 4, config.load, (0.01, 0.01)
    phases += half_rows.alone(phase, draw, rng, block, lanes)
    phases += half_rows.stalled(bench, phase, draw, block, outputs, nonfinite)
    phases += half_rows.full(phase, draw, block, config.load, held, _BEHIND)
    await bench.run(phases, describe=_descriptions(config), flag="nonfinite")
    _cover(bench, sent)


def _descriptions(config):
    """What a report shows of an input's and of an output's payload."""
    return describing(config.value_layout, "values"), describing(config.output_layout, "codes", "scale")


def _cover(bench, sent):
    """Which FP16 codes and scales were sent; and at each scale, which codes, and which ends of a code's values."""
    config = bench.config
    x = np.concatenate([rows for rows, _ in sent])
    codes, scales = (np.concatenate([getattr(t, part) for _, t in sent]) for part in ("codes", "scales"))
    bench.cover("FP16 codes", np.bincount(x.ravel(), minlength=1 << 16).astype(bool).sum(), 1 << 16)
    kinds = _kinds(x)
    ends = reached = made = wanted = 0
    for kind in range(len(_MOST)):
        here = kinds == kind
        # As sets of FP16 codes and of element codes that come with a largest value of this kind.
        values, elements = np.unique(x[here]), np.unique(codes[here])
        known, possible = _known(config.format, kind)
        # Of both signs.
        known = np.concatenate([known, known | 0x8000])
        ends, reached = ends + np.isin(known, values).sum(), reached + len(known)
        made, wanted = made + np.isin(possible, elements).sum(), wanted + len(possible)
    bench.cover("ends of a code's values", ends, reached)
    bench.cover("codes at each scale", made, wanted)
    # Of each kind of largest value, of zeros, and of NaN.
    bench.cover("scales", len(np.unique(scales)), len(_MOST) + 2)


def _kinds(x):
    """For each block of FP16 codes, the place of its largest magnitude in `_MOST`; -1 for zeros, NaN and Inf."""
    largest = (x & 0x7FFF).max(axis=1)
    return np.where((largest == 0) | (largest >= NONFINITE), -1, np.searchsorted(_MOST, largest))


@functools.cache
def _known(format, kind):
    """Of blocks with a largest value of that kind: both ends of each code's magnitudes, and the codes that there are.

    All roundings are seen from there: a tie is an end, and its neighbour is one.
    """
    magnitudes = np.arange(_MOST[kind] + 1).astype(np.uint16)
    signed, width = [], mx.FORMATS[format].block
    for sign in (0, 0x8000):
        rows = np.zeros((-(-len(magnitudes) // (width - 1)), width), np.uint16)
        rows[:, 0] = _MOST[kind]
        rows[:, 1:] = np.resize(magnitudes, (len(rows), width - 1)) | sign
        codes = mx.quantize(rows.view(np.float16), format).codes[:, 1:].ravel()
        signed.append(codes[: len(magnitudes)])
    changes = np.flatnonzero(np.diff(signed[0].astype(int)))
    ends = np.unique(np.concatenate([[0], changes, changes + 1, [len(magnitudes) - 1]]))
    return ends.astype(np.uint16), np.unique(signed)


def _ends(rng, config, kind):
    """A row with both ends of each code's values, of both signs, and values between them, all of one scale."""
    ends, _ = _known(config.format, kind)
    between = rng.integers(0, 1 << 15, len(ends)) * (_MOST[kind] + 1) >> 15
    values = rng.permutation(np.concatenate([ends, ends | 0x8000, between | rng.integers(0, 2, len(ends)) << 15]))
    blocks = -(-len(values) // (config.block - 1))
    rows = np.zeros((blocks, config.block), np.uint16)
    rows[:, 1:] = np.resize(values, (blocks, config.block - 1))
    # The largest value is anywhere in the block.
    rows[:, 0] = rng.integers(_LEAST[kind], _MOST[kind] + 1, blocks) | rng.integers(0, 2, blocks) << 15
    return rng.permuted(rows, axis=1).ravel()


def _items(rows, config):
    """What goes in and what must come out of rows of FP16 codes, as fields of a `Phase`; and the quantized blocks."""
    load, filled = config.load, half_rows.Filled.of(rows, config.block, config.lanes)
    tensor = mx.quantize(filled.x.view(np.float16), config.format, nan_blocks=True)
    outputs = {
        "codes": tensor.codes.reshape(-1, config.lanes),
        "scale": np.repeat(tensor.scales, load),
        "last": filled.final(load),
    }
    items = {
        "inputs": packed(config.value_layout, values=filled.beats, last=filled.ends),
        "outputs": packed(config.output_layout, **outputs),
        "after": np.repeat(filled.after, load).tolist(),
        "delay": np.tile(np.arange(load), len(filled.x)).tolist(),
        "flags": np.repeat(tensor.nan, load).tolist(),
        "offending": filled.offending,
        "cycles": len(filled.x) * load + config.latency + load - 1,
    }
    return items, (filled.x, tensor)


def _draw(rng, size, nonfinite):
    """A row of values of different widths around a common exponent, some of few or of no bits."""
    width = np.exp2(rng.integers(-6, 3, size)) * np.exp2(rng.integers(-24, 14))
    values = rng.normal(size=size) * width * rng.choice([0, 1, 1, 1], size)
    codes = np.clip(values, -65504, 65504).astype(np.float16).view(np.uint16)
    codes &= np.where(rng.random(size) < 1 / 8, 0xFFC0, 0xFFFF).astype(np.uint16)
    return np.where(rng.random(size) < nonfinite, rng.choice(_SPECIAL, size), codes)


def _corners(config):
    """Rows by name."""

    def row(*values):
        return np.resize(np.array(values, np.uint16), config.block)

    def alone(value):
        """Each value of a block, alone among zeros."""
        return list(np.eye(config.block, dtype=np.uint16) * np.uint16(value))

    return {
        "all zero": [row(0), row(0x8000), row(0, 0x8000)],
        "after a large block, zeros": [row(0x7BFF), row(0), row(0x0001, 0x8000), row(0)],
        "the least number at each place": alone(0x8001),
        "a normal number at each place": alone(0x3C00),
        "subnormal numbers beside the least normal one": [row(0x0400, 0x83FF, 0x0001), row(0x0001, 0x8400, 0x8200)],
        "the largest numbers": [row(0x7BFF, 0xFBFF), row(0xFBFF, 0x0400), row(0x7BFF, 0x0001)],
        "NaN among numbers, and what follows": [row(0x3C00), row(0x3C00, 0x7E00), row(0xBC00, 0x0001)],
        "all Inf, all NaN": [row(0x7C00, 0xFC00), row(0x7C01, 0xFFFF), row(0x4000)],
        "Inf beside zeros": [row(0x7C00, 0, 0x8000), row(0)],
        "a short row of NaN": [row(0xFE00)[:1], row(0x4200)[:1], row(0x4500)],
    }
