"""Bench of the softmax unit: rows of every short length and of the longest, extremes, masks, stalls, exact cycles."""

import numpy as np

from ...golden.gqa_lut import softmax_unit as golden
from ...golden.gqa_lut.integer_ops import softmax
from ..bench import Failure, Phase
from ..stream import describing
from .rows import kinds, payloads, phases_of_rows, tried

__all__ = ["unit"]


async def unit(bench):
    """Rows of all kinds; the cycles of rows of equal and of mixed lengths; rows too long; resets and stalls."""
    if bench.codes is not None:
        raise Failure("the unit takes logits, no packed codes")
    config, rng = bench.config, bench.rng
    longest, bits = config.max_length, config.out_bits
    exponential, reciprocal = config.tables
    seen = set()

    def phase(name, rows, masks=None, **options):
        if options.pop("exact", False):
            options["cycles"] = golden.cycles(config, [len(row) for row in rows])
        if masks is None:
            masks = [rng.random(len(row)) >= rng.choice([0, 0, 0.3, 0.9]) for row in rows]
        if not config.mask:
            masks = [np.ones(len(row), bool) for row in rows]
        outputs, after, delay, begin = [], [], [], 0
        for row, mask in zip(rows, masks, strict=True):
            tables = {"table": exponential, "reciprocals": reciprocal}
            outputs.append(softmax(row, config.scale, bits, mask=mask, **tables))
            begin += len(row)
            after += [begin - 1] * len(row)
            delay += range(len(row) - 1, 2 * len(row) - 1)
            if options.get("cut") is None:
                seen.add(len(row))
        fields = {"mask": masks} if config.mask else {}
        # The longest row that is allowed must still be marked, else it counts as an error.
        marked = options.pop("marked", None)
        return Phase(
            name,
            inputs=payloads(config.in_layout, marked, logit=rows, **fields),
            outputs=payloads(config.out_layout, probability=outputs),
            after=after,
            delay=delay,
            offending=options.pop("offending", {}),
            flags=options.pop("flags", [False] * len(after)),
            **options,
        )

    phases = []
    if config.mask:
        rows = kinds(rng, min(5, longest))
        phases.append(phase("no logit is kept", rows, [np.zeros(len(row), bool) for row in rows]))
        # The largest logit is taken out, also as the first and the last one.
        rows = [rng.integers(-128, 100, min(5, longest)) for _ in range(20)]
        for index, row in enumerate(rows):
            row[index % len(row)] = 127
        phases.append(phase("the largest logit is taken out", rows, [row != 127 for row in rows]))
    phases += phases_of_rows(bench, longest, phase, ones=14)

    describe = describing(config.in_layout), describing(config.out_layout)
    await bench.run(phases, describe=describe, flag="error")
    bench.cover("lengths", len(tried(longest) & seen), len(tried(longest)))
