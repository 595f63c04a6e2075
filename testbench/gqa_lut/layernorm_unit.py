"""Bench of the LayerNorm unit: rows of every short length and of the longest, extremes, stalls, exact cycles."""

from ...golden.gqa_lut import layernorm_unit as golden
from ...golden.gqa_lut.integer_ops import layernorm
from ..bench import Failure, Phase
from ..stream import describing
from .rows import payloads, phases_of_rows, tried

__all__ = ["unit"]


async def unit(bench):
    """Rows of all kinds; the cycles of rows of equal and of mixed lengths; rows too long; resets and stalls."""
    if bench.codes is not None:
        raise Failure("the unit takes elements of rows, no packed codes")
    config = bench.config
    longest = config.max_length
    seen = set()

    def phase(name, rows, marked=None, **options):
        if options.pop("exact", False):
            options["cycles"] = golden.cycles(config, [len(row) for row in rows])
        outputs, after, delay, begin = [], [], [], 0
        for row in rows:
            outputs.append(layernorm(row, config.out_shift, epsilon=config.epsilon, table=config.table))
            begin += len(row)
            after += [begin - 1] * len(row)
            delay += range(len(row))
            if options.get("cut") is None:
                seen.add(len(row))
        return Phase(
            name,
            inputs=payloads(config.in_layout, marked, element=rows),
            outputs=payloads(config.out_layout, element=outputs),
            after=after,
            delay=delay,
            **{"flags": [False] * len(after), **options},
        )

    phases = phases_of_rows(bench, longest, phase, ones=30)
    await bench.run(phases, describe=(describing(config.in_layout), describing(config.out_layout)), flag="error")
    bench.cover("lengths", len(tried(longest) & seen), len(tried(longest)))
