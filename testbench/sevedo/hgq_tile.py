"""Bench of the HGQ tile (Hierarchical Group Quantization): every scheme."""

from ..reductions import run_tile
from .hgq_reductions import Draw, cover

__all__ = ["tile"]


async def tile(bench):
    """Fine groups of tensors of every kind, and the results of `golden.sevedo.hgq.matmul`."""
    config, rng = bench.config, bench.rng

    def parts(reduction):
        sides = {}
        for name, t in (("x", reduction.x), ("w", reduction.w)):
            codes, shifts, scales = (part.swapaxes(0, 1) for part in reduction.groups(t, rng))
            sides[name] = {"codes": codes, "shift": shifts, "scale": scales}
        return sides

    steady = {"hgq": config.groups, "flat": config.rows, "channel": config.unit_lanes}[config.scheme]
    cover(bench, await run_tile(bench, Draw(config, config.rows, config.cols, rng), parts, steady))
