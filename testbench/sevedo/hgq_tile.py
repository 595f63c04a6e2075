"""Bench of the HGQ tile (Hierarchical Group Quantization): every scheme."""

import numpy as np

from ...golden.sevedo import hgq_tile as golden
from ..stream import join, signed, split, with_last
from .hgq_reductions import Draw, items, run, side_by_side

__all__ = ["tile"]


async def tile(bench):
    """Fine groups of tensors of every kind, and the results of `golden.sevedo.hgq.matmul`."""
    config, rng = bench.config, bench.rng
    draw = Draw(config, config.rows, config.cols, rng)

    def transfers(reduction):
        inputs = {}
        # Either stream may end the reduction.
        either = int(rng.integers(3))
        for number, (name, t) in enumerate((("x", reduction.x), ("w", reduction.w))):
            codes, shifts, scales = (part.swapaxes(0, 1) for part in reduction.groups(t, rng))
            parts = []
            for lane in range(codes.shape[1]):
                parts += [
                    (codes[:, lane], 4),
                    (shifts[:, lane, None], config.shift_width),
                    (scales[:, lane, None], 16),
                ]
            ends = (np.arange(reduction.steps) == reduction.steps - 1) & (either != number)
            inputs[name] = side_by_side([*parts, (ends[:, None], 1)])
        return inputs

    def results(reduction):
        rows = reduction.results.view(np.uint32).reshape(golden.results(config), -1)
        return with_last(join(rows, 32), np.arange(len(rows)) == len(rows) - 1, 32 * rows.shape[1])

    def describe_input(payload):
        return {"groups": [_group(word, config) for word in split(payload, config.group_layout.size, config.rows)]}

    def describe_output(payload):
        count = config.o_rows * config.cols
        return {"values": [f"{word:#010x}" for word in split(payload, 32, count)], "last": payload >> (32 * count)}

    steady = {"hgq": config.groups, "flat": config.rows, "channel": config.unit_lanes}[config.scheme]
    await run(
        bench,
        draw,
        lambda reductions: items(reductions, transfers, results),
        lambda lengths: golden.tile_cycles(config, lengths),
        steady,
        (describe_input, describe_output),
    )


def _group(word, config):
    codes = [signed(code, 4) for code in split(word, 4, config.fine)]
    return f"{codes}, shift and scale {word >> (4 * config.fine):#x}"
