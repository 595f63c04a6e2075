"""Bench of the LayerNorm unit: rows of every short length and of the longest, extremes, stalls, exact cycles."""

from ...golden.gqa_lut import layernorm_unit as golden
from ...golden.gqa_lut.integer_ops import layernorm
from ..bench import Failure, Phase
from ..stream import signed
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
            inputs=payloads(rows, marked),
            outputs=payloads(outputs),
            after=after,
            delay=delay,
            **{"flags": [False] * len(after), **options},
        )

    def describe(payload):
        return {"element": signed(payload & 255, 8), "last": payload >> 8}

    phases = phases_of_rows(bench, longest, phase, ones=30)
    await bench.run(phases, describe=(describe, describe), flag="error")
    bench.cover("lengths", len(tried(longest) & seen), len(tried(longest)))
