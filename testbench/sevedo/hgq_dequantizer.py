"""Bench of the HGQ dequantizer (Hierarchical Group Quantization): every scheme."""

import numpy as np

from ..reductions import items, run
from ..stream import describing
from .hgq_reductions import Draw, cover

__all__ = ["dequantizer"]


async def dequantizer(bench):
    """Fine groups of tensors of every kind, `lanes` rows with one column, as their dot products."""
    config, rng = bench.config, bench.rng
    lanes, layouts = config.unit_lanes, {"i": config.i_layout, "o": config.o_layout}

    def transfers(reduction):
        (x, x_shifts, x_scales), (w, w_shifts, w_scales) = (
            reduction.groups(t, rng) for t in (reduction.x, reduction.w)
        )
        dots = (x.astype(np.int64) * w).sum(axis=2)
        fields = {
            "dots": dots.T,
            "x_shifts": x_shifts.T,
            "x_scales": x_scales.T,
            "w_shift": w_shifts[0],
            "w_scale": w_scales[0],
            "last": np.arange(reduction.steps) == reduction.steps - 1,
        }
        return {"i": fields}

    def results(reduction):
        codes = reduction.results.view(np.uint32)[:, 0]
        return {"value": codes, "last": np.arange(lanes) == lanes - 1}

    steady = max(config.groups, config.schedule.spacing) if config.scheme != "flat" else 1
    sent = await run(
        bench,
        Draw(config, lanes, 1, rng),
        lambda reductions: items(reductions, layouts, transfers, results),
        steady,
        (describing(config.i_layout, "x_scales", "w_scale"), describing(config.o_layout, "value")),
    )
    cover(bench, sent)
