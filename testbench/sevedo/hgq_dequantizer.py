"""Bench of the HGQ dequantizer (Hierarchical Group Quantization): every scheme."""

import numpy as np

from ...golden.sevedo import hgq_tile as golden
from ..stream import signed, split, with_last
from .hgq_reductions import Draw, items, run, side_by_side

__all__ = ["dequantizer"]


async def dequantizer(bench):
    """Fine groups of tensors of every kind, `lanes` rows with one column, as their dot products."""
    config, rng = bench.config, bench.rng
    lanes, width = config.unit_lanes, config.dot_shape.width

    def transfers(reduction):
        (x, x_shifts, x_scales), (w, w_shifts, w_scales) = (
            reduction.groups(t, rng) for t in (reduction.x, reduction.w)
        )
        dots = (x.astype(np.int64) * w).sum(axis=2)
        parts = [
            (dots.T, width),
            (x_shifts.T, config.shift_width),
            (x_scales.T, 16),
            (w_shifts.T, config.shift_width),
            (w_scales.T, 16),
            (_ends(reduction.steps), 1),
        ]
        return {"i": side_by_side(parts)}

    def results(reduction):
        codes = reduction.results.view(np.uint32)[:, 0].tolist()
        return with_last(codes, np.arange(lanes) == lanes - 1, 32)

    def describe_input(payload):
        dots = [signed(word, width) for word in split(payload, width, lanes)]
        return {"dots": dots, "rest": hex(payload >> (width * lanes))}

    def describe_output(payload):
        return {"value": f"{payload & 0xFFFFFFFF:#010x}", "last": payload >> 32}

    steady = max(config.groups, golden.spacing(config)) if config.scheme != "flat" else 1
    await run(
        bench,
        Draw(config, lanes, 1, rng),
        lambda reductions: items(reductions, transfers, results),
        lambda lengths: golden.dequantizer_cycles(config, lengths),
        steady,
        (describe_input, describe_output),
    )


def _ends(steps):
    return (np.arange(steps) == steps - 1)[:, None]
