"""Bench of the HGQ tile (Hierarchical Group Quantization): every scheme."""

import numpy as np

from ...golden.sevedo import hgq_tile as golden
from ..stream import describing
from .hgq_reductions import Draw, items, run

__all__ = ["tile"]


async def tile(bench):
    """Fine groups of tensors of every kind, and the results of `golden.sevedo.hgq.matmul`."""
    config, rng = bench.config, bench.rng
    draw = Draw(config, config.rows, config.cols, rng)

    layouts = {"x": config.x_layout, "w": config.w_layout, "o": config.o_layout}

    def transfers(reduction):
        inputs = {}
        # Either stream may end the reduction.
        either = int(rng.integers(3))
        for number, (name, t) in enumerate((("x", reduction.x), ("w", reduction.w))):
            codes, shifts, scales = (part.swapaxes(0, 1) for part in reduction.groups(t, rng))
            ends = (np.arange(reduction.steps) == reduction.steps - 1) & (either != number)
            groups = {"codes": codes, "shift": shifts, "scale": scales}
            inputs[name] = {**{f"groups.{field}": values for field, values in groups.items()}, "last": ends}
        return inputs

    def results(reduction):
        rows = reduction.results.view(np.uint32).reshape(golden.results(config), config.o_rows, config.cols)
        return {"values": rows, "last": np.arange(len(rows)) == len(rows) - 1}

    steady = {"hgq": config.groups, "flat": config.rows, "channel": config.unit_lanes}[config.scheme]
    await run(
        bench,
        draw,
        lambda reductions: items(reductions, layouts, transfers, results),
        lambda lengths: golden.tile_cycles(config, lengths),
        steady,
        (describing(config.x_layout, "groups.scale"), describing(config.o_layout, "values")),
    )
