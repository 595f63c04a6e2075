"""Bench of the MX tile: every format."""

from ..reductions import run_tile
from .reductions import Draw, cover

__all__ = ["tile"]


async def tile(bench):
    """Blocks of tensors of every kind, and the results of `golden.mx.matmul`."""
    config, rng = bench.config, bench.rng

    def parts(reduction):
        sides = {}
        for name, t in (("x", reduction.x), ("w", reduction.w)):
            codes, scales = (part.swapaxes(0, 1) for part in reduction.groups(t, rng))
            sides[name] = {"codes": codes, "scale": scales}
        return sides

    steady = config.rows if config.immediate else max(config.steps, config.schedule.spacing)
    cover(bench, await run_tile(bench, Draw(config, rng), parts, steady))
